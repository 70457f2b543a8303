"""Kinds in the data: items, events and tables that are wrong before any stage reads them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recokit.data import DAY, Candidates, Dataset, Interactions, Table
from recokit.errors import ConfigurationError
from recokit.protocols import Role
from recokit.testing.faults import sources
from recokit.testing.faults.catalogue import Planted, broken, kind
from recokit.testing.faults.site import Draw, Site
from recokit.typing import AnyArray, IntArray


def _with_log(data: Dataset, log: Interactions) -> Dataset:
    return data.with_interactions(log, cut=data.until)


def _fed(site: Site, data: Dataset, detail: str) -> Planted:
    """Return the pipeline that knows other data; no stage is to blame, but whichever reads them may be named."""
    learned = [name for name in site.named(Role.SOURCE) if site.learns(name)]
    stages = ("", *learned, *site.named(Role.HYDRATOR), *site.named(Role.FEATURIZER))
    return Planted(site.taught(data), stages, detail=detail)


@kind("data", "ITEMS_DUPLICATED", alone=True)
def items_duplicated(site: Site, draw: Draw) -> Planted:
    """Popular items stand in the catalogue under a second id, with the same attributes and half of their events."""
    order = np.argsort(-site.popularity, kind="stable")
    order = order[order > 0]
    n = max(5, round(draw.between(0.05, 0.15) * len(order)))
    first, twin = order[:n], order[-n:]
    log, random = site.data.interactions, np.random.default_rng(draw.seed)
    other = np.arange(site.n_items + 1)
    other[first] = twin
    item = np.where(random.random(len(log)) < 0.5, other[log.item], log.item)
    data = _with_log(site.data, replace_log(log, item=item))
    return _fed(site, replace(data, items=_copied_rows(site.data.items, twin, first)), f"{n} items")


@kind("data", "ITEMS_DELISTED", "SOURCE_CHANGED", alone=True)
def delisted_items_indexed(site: Site, draw: Draw) -> Planted:
    """Items that are no longer sold are still in an index and take the first places of its answers."""
    name = draw.some(site.named(Role.SOURCE), "source")
    gone = _removed_by_rules(site)
    share = draw.between(0.3, 0.7)
    return broken(
        site, name, lambda stage: sources.delisted(stage, gone, draw.seed, share), detail=f"{share:.0%}"
    )


@kind("data", "INDEX_SHIFTED", "INDEX_SHUFFLED")
def id_map_shifted(site: Site, draw: Draw) -> Planted:
    """The map from places in an index to ids has slipped, so each entry belongs to another item."""
    names = site.those(Role.SOURCE, sources.has_index)
    by = draw.some((1, -1, 2, 3, 7, 20))
    name = draw.some(names, "source with an index")
    return broken(site, name, lambda stage: sources.shifted(stage, by), detail=f"by {by}")


@kind("data", "BOT_TRAFFIC")
def bot_farm(site: Site, draw: Draw) -> Planted:
    """A few accounts have made thousands of events on a few items in the last days, which moves popularity."""
    log, random = site.data.interactions, np.random.default_rng(draw.seed)
    users = draw.subset(np.unique(log.user), 0.01)[: draw.whole(3, 10)]
    tail = np.flatnonzero((site.popularity > 0) & (site.popularity <= np.quantile(site.popularity[1:], 0.7)))
    items = draw.subset(tail, 0.02)[: draw.whole(3, 12)]
    n = max(200, round(draw.between(0.15, 0.4) * len(log)))
    strongest = int(log.event.max())
    data = _with_log(
        site.data,
        with_events(
            log,
            user=random.choice(users, n),
            item=random.choice(items, n),
            timestamp=site.now - random.uniform(60.0, draw.between(1.0, 3.0) * DAY, n),
            event=strongest,
            weight=float(log.weight[log.event == strongest].max()),
        ),
    )
    return _fed(site, data, f"{n} events of {len(users)} accounts on {len(items)} items")


@kind("data", "EVENTS_LATE", "HISTORY_LATE", "STALE_FEATURES", "STALE_INDEX", alone=True)
def newest_events_missing(site: Site, draw: Draw) -> Planted:
    """The log has stopped: no event of the last days has come in, while everything was built on time."""
    days = draw.between(8.0, 30.0)
    log = site.data.interactions
    span = min(days * DAY, 0.4 * (site.now - float(log.timestamp[0])))
    data = _with_log(site.data, log.take(np.flatnonzero(log.timestamp < site.now - span)))
    return _fed(site, data, f"{span / DAY:.0f} days")


@kind("data", "EVENTS_DUPLICATED", "HISTORY_DUPLICATED", alone=True)
def events_replayed(site: Site, draw: Draw) -> Planted:
    """A part of the log has been read several times, so its events count as often."""
    log, times = site.data.interactions, draw.whole(2, 6)
    cut = np.quantile(log.timestamp, draw.between(0.0, 0.5))
    count = np.where(log.timestamp >= cut, times, 1)
    index = np.repeat(np.arange(len(log)), count)
    return _fed(site, _with_log(site.data, log.take(index)), f"{times} times")


@kind("data", "EVENT_TYPE_LOST", "OWNED_LOST", alone=False)
def event_type_lost(site: Site, draw: Draw) -> Planted:
    """The strongest type of event no longer arrives, so nobody seems to buy."""
    log = site.data.interactions
    if len(log.event_names) < 2:
        raise ConfigurationError("found one type of event; expected several, of which one can be lost")
    strongest = len(log.event_names) - 1
    kept = log.event != strongest
    if kept.all():
        raise ConfigurationError("found no event of the strongest type; expected some to lose")
    return _fed(site, _with_log(site.data, log.take(np.flatnonzero(kept))), log.event_names[strongest])


@kind("data", "ITEM_COLUMN_LOST", "FEATURES_LOST", "FEATURE_QUALITY_ISSUE", "FEATURES_DEFAULTED", alone=False)
def item_column_lost(site: Site, draw: Draw) -> Planted:
    """A feed has delivered an item column empty for most items."""
    items = site.data.items
    name = draw.some([*items.numeric_names], "numeric item column")
    numeric = items.numeric.copy()
    rows = draw.subset(np.arange(1, len(numeric)), draw.between(0.7, 1.0))
    numeric[rows, items.numeric_names.index(name)] = np.nan
    data = replace(site.data, items=replace(items, numeric=numeric))
    return Planted(
        site.pipeline.with_events(data),
        ("", *site.named(Role.FEATURIZER), *site.named(Role.FILTER)),
        detail=name,
    )


def replace_log(log: Interactions, **columns: AnyArray) -> Interactions:
    """Return the events with other columns, sorted by time."""
    changed = log.replace(**columns)
    return changed.take(np.argsort(changed.timestamp, kind="stable"))


def with_events(
    log: Interactions, *, user: IntArray, item: IntArray, timestamp: AnyArray, event: int, weight: float
) -> Interactions:
    """Return the log with more events of one type."""
    n = len(user)
    pattern = log.take(np.zeros(n, np.int64))
    new = pattern.replace(
        user=user,
        item=item,
        timestamp=np.asarray(timestamp, np.float64),
        event=np.full(n, event, np.int64),
        weight=np.full(n, weight, np.float32),
    )
    both = {
        name: None if getattr(log, name) is None else np.concatenate([getattr(log, name), getattr(new, name)])
        for name in log.__dataclass_fields__
        if name != "event_names"
    }
    return replace_log(log, **both)  # type: ignore[arg-type]


def _copied_rows(items: Table, to: IntArray, of: IntArray) -> Table:
    """Return the table in which some items have the rows of others."""
    row = np.arange(len(items.numeric))
    row[to] = of
    return replace(
        items,
        numeric=items.numeric[row],
        categorical={
            name: replace(column, codes=column.codes[row]) for name, column in items.categorical.items()
        },
        other={name: column[row] for name, column in items.other.items()},
        exact={name: column[row] for name, column in items.exact.items()},
    )


def _removed_by_rules(site: Site) -> IntArray:
    """Return the items that the hard rules let pass for nobody."""
    everything = np.arange(1, site.n_items + 1)
    kept = np.ones(len(everything), np.bool_)
    requests = site.hydrated.take(np.zeros(1, np.int64))
    every = Candidates.from_lists([everything.tolist()], requests=requests)
    for name in site.named(Role.FILTER):
        stage = site.pipeline[name]
        if not {"owned", "history"} & set(getattr(stage, "requires", ())):
            kept &= stage.keep(every)
    gone: IntArray = everything[~kept]
    if not len(gone):
        raise ConfigurationError("found no item that the hard rules remove; expected some to be delisted")
    return gone
