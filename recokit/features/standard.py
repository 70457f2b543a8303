"""Standard: a good set of features, chosen from the data."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from recokit._utils.moved import moved_attribute, renamed
from recokit._utils.options import check_options, names
from recokit._utils.params import clone, is_fitted
from recokit.compose.alone.features import AloneFeatures
from recokit.data import Candidates, Dataset, LiveEvents, Requests, Schema, Table, UserHistory, seconds
from recokit.data.event_types import kind_of, names_of, negative_names
from recokit.errors import ConfigurationError, did_you_mean
from recokit.features._block import bound_copy
from recokit.features.activity import ItemActivity, UserActivity
from recokit.features.affinity import ItemCategory, UserCategory, UserItem
from recokit.features.assemble import Assemble
from recokit.features.attributes import Calendar, Item, SourceScores, User
from recokit.features.conversion import Conversion
from recokit.features.price import Price
from recokit.features.session import Session
from recokit.features.table import FeatureTable
from recokit.typing import Float32Array, IntArray

#: Windows to choose from; the longest that fit three times into the data's span are taken.
_WINDOWS = ("1h", "6h", "1D", "7D", "30D", "90D")
_WINDOWS_TAKEN = 3
#: Columns whose labels users have an affinity to, if the data has them.
_AFFINITIES = ("category", "seller", "brand", "product_type")
#: What an event against an item speaks against, by kind; else it is the strongest.
_SPEAKS_AGAINST = {"refund": "purchase", "remove_from_cart": "add_to_cart"}
_SAMPLE = 2_000
#: The earlier one of two features with a larger correlation is enough.
_ALIKE = 0.98


class Standard(AloneFeatures):
    """The features that nearly every ranker wants, chosen from what the data has.

    ``fit`` looks at the data: windows that fit its span, affinities to category, seller and brand where items have
    them, prices where events have values, conversion rates where there are several types of events, numeric columns,
    the session, the calendar, sources. Features that are constant on a sample of the data are left out, and so are
    those that go with an earlier one (a correlation above .98) and those that grow with the length of the log, such as
    ``user_tenure_days``: a ranker that learned from older windows would meet values that it never saw. ``names`` is
    empty before ``fit``; features of sources come with ``bind``. ``table()`` has the meaning of each feature.

    Columns that a live rule of the pipeline reads, such as the stock of ``rules.InStock("qty")``, are left out too, and
    so is what ``exclude`` names; ``left_out_`` lists all of these with the reason.

    Flags (numeric columns with one or two distinct values) are left out: they hold today's state, which a training row
    must not see. Add :class:`Item` for those that never change.

    Parameters
    ----------
    exclude : sequence of str
        Names of features to leave out.
    live_events : LiveEvents, optional
        Events that come in while the model serves; the features see them at once.
    """

    places_: tuple[int, ...]

    as_of = True

    names_: tuple[str, ...] = ()

    tail = moved_attribute("live_events")

    @renamed(tail="live_events")
    def __init__(self, *, exclude: Sequence[str] = (), live_events: LiveEvents | None = None) -> None:
        self.exclude, self.live_events = exclude, live_events
        check_options(self, {"exclude": names})

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the features; empty before ``fit``."""
        return self.names_

    @property
    def requires(self) -> tuple[str, ...]:
        """The history, item columns that the features use, and once bound the sources' columns."""
        return self.assemble_.requires if is_fitted(self, "assemble_") else ("history",)

    def fit(self, dataset: Dataset) -> Standard:
        """Choose features, and index the dataset's events."""
        unbound = Assemble(_blocks(dataset), live_events=self.live_events).fit(dataset)
        bound = unbound.bind(dataset.schema)
        self.assemble_ = unbound
        self.left_out_ = _left_out(bound, dataset)
        self.names_ = self._kept(bound, self.left_out_)
        self.updated_at_ = dataset.until
        return self

    def refit(self, dataset: Dataset) -> Standard:
        """Return a copy that knows another dataset's events; the features stay those that ``fit`` chose.

        It is to be bound again.
        """
        assemble = clone(self._assembled()).fit(dataset)
        return bound_copy(self, assemble_=assemble, updated_at_=dataset.until)

    def bind(self, schema: Schema) -> Standard:
        """Return a copy bound to the tables and sources.

        Raises
        ------
        ConfigurationError
            If ``exclude`` names a feature that does not exist.
        """
        assemble = self._assembled().bind(schema)
        unknown = [name for name in self.exclude if name not in assemble.names]
        if unknown and schema.source_names:
            raise ConfigurationError(
                f"found no feature {unknown[0]!r} to exclude; {did_you_mean(unknown[0], assemble.names)}"
            )
        left_out = {**self.left_out_, **_live(assemble, schema)}
        names = self._kept(assemble, left_out)
        places = [names.index(name) if name in names else -1 for name in assemble.names]
        left_out |= dict.fromkeys(self.exclude, "excluded")
        return bound_copy(self, assemble_=assemble, names_=names, places_=tuple(places), left_out_=left_out)

    def _kept(self, assemble: Assemble, left_out: Mapping[str, str]) -> tuple[str, ...]:
        return tuple(name for name in assemble.names if name not in left_out and name not in self.exclude)

    def table(self) -> FeatureTable:
        """Return the meaning of each feature."""
        kept = {*self.names}
        return FeatureTable([feature for feature in self._assembled().table() if feature.name in kept])

    def freshness(self) -> dict[str, float]:
        """Return until when the data of each feature is known, in seconds since 1970; ``inf`` if always current."""
        known = self._assembled().freshness()
        return {name: known[name] for name in self.names}

    def featurize(self, candidates: Candidates) -> Float32Array:
        """Return the features as of each request's own time, (N, F) float32; NaN means missing.

        Raises
        ------
        NotFittedError
            If ``fit`` and ``bind`` were not called.
        """
        return self._assembled()._selected(candidates, np.array(self.places_) >= 0)

    def _assembled(self) -> Assemble:
        assemble: Assemble = self.assemble_
        return assemble


def _blocks(dataset: Dataset) -> list[Any]:
    windows = _windows(dataset)
    half_life = windows[len(windows) // 2]
    columns = [column for column in _AFFINITIES if dataset.items.named(column) in dataset.items.categorical]
    category = "category" if "category" in columns else None
    blocks: list[Any] = [
        ItemActivity(windows=windows, half_life=half_life),
        UserActivity(windows=windows[:-1] or windows, half_life=half_life),
        # Habits show in decays slower than those that show a trend.
        UserItem(windows=windows, half_life=tuple(dict.fromkeys((half_life, windows[-1])))),
        *(UserCategory(column, half_life=half_life) for column in columns),
    ]
    if category is not None:
        blocks.append(ItemCategory(category, window=half_life))
    every = dataset.interactions.event_names
    names = [name for name in every if name not in negative_names(every)]
    entities = ["item", "user", *(f"item.{column}" for column in columns if column == "seller")]
    for weak, strong in (*itertools.pairwise(names), *_against(every, names)):
        blocks += [Conversion(strong, weak, entity=entity) for entity in entities]
    if len(names) > 1:
        # The strongest event is the one that recommendations are for.
        blocks.append(ItemActivity(windows=windows[1:], half_life=half_life, event=names[-1]))
        blocks.append(UserItem(windows=(), half_life=half_life, event=names[-1]))
    if not np.isnan(dataset.interactions.value).all():
        blocks.append(Price(category=category))
    for block, table in ((Item, dataset.items), (User, dataset.users)):
        measured = _measured(table)
        if measured:
            blocks.append(block(measured))
    return [*blocks, Session(category), Calendar(), SourceScores()]


def _against(every: Sequence[str], names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield each type of event against an item behind the one that it speaks against: refunds of purchases."""
    for name in negative_names(tuple(every)) if names else ():
        meant = names_of(names, _SPEAKS_AGAINST.get(kind_of(name) or "", ""))
        yield (*meant, names[-1])[0], name


def _windows(dataset: Dataset) -> tuple[str, ...]:
    time = dataset.interactions.timestamp
    span = float(time[-1] - time[0]) if len(time) else 0.0
    fitting = [window for window in _WINDOWS if 3 * seconds(window) <= span]
    return tuple(fitting[-_WINDOWS_TAKEN:]) or _WINDOWS[:1]


def _measured(table: Table) -> tuple[str, ...]:
    """Return numeric columns with more than two distinct values."""
    names = []
    for position, name in enumerate(table.numeric_names):
        values = table.numeric[1:, position]
        if len(np.unique(values[~np.isnan(values)])) > 2:
            names.append(name)
    return tuple(names)


def _live(assemble: Assemble, schema: Schema) -> dict[str, str]:
    """Return the features that are columns of today's state."""
    today = {name.replace(".", "_", 1): name for name in schema.live_columns}
    return {
        name: f"today's state: a live rule reads {today[name]}" for name in assemble.names if name in today
    }


def _left_out(bound: Assemble, dataset: Dataset) -> dict[str, str]:
    """Return the features that a sample shows to be of no use, and why."""
    values = bound.featurize(_sample(dataset)).astype(np.float64)
    missing = np.isnan(values)
    centred = np.where(missing, 0.0, values - np.nanmean(np.where(missing.all(axis=0), 0.0, values), axis=0))
    norm = np.linalg.norm(centred, axis=0)
    cumulative = {name for block in bound.blocks for name in block.cumulative}
    left_out: dict[str, str] = {}
    kept: list[int] = []
    for place, name in enumerate(bound.names):
        same = [other for other in kept if (missing[:, other] == missing[:, place]).all()]
        alike = np.abs(centred[:, same].T @ centred[:, place]) > _ALIKE * norm[same] * norm[place]
        if name in cumulative:
            left_out[name] = "grows with the length of the log"
        elif len(np.unique(values[:, place])) < 2:
            left_out[name] = "constant"
        elif alike.any():
            left_out[name] = f"goes with {bound.names[same[int(np.argmax(alike))]]}"
        else:
            kept.append(place)
    return left_out


def _sample(dataset: Dataset) -> Candidates:
    """Return events as of their own time, and the same with other items; without events, the catalogue."""
    log = dataset.interactions
    if len(log):
        picked = _spread(len(log))
        user, item, now = log.user[picked], log.item[picked], log.timestamp[picked]
    else:
        picked = _spread(max(dataset.n_items, dataset.n_users))
        user, item = picked % (dataset.n_users + 1), picked % (dataset.n_items + 1)
        now = np.zeros(len(picked))
    others = np.roll(item, len(item) // 2)
    requests = Requests.build(np.tile(user, 2), now=np.tile(now, 2))
    theirs = log.take(np.flatnonzero(np.isin(log.user, user)))
    history = UserHistory().fit(dataset.with_interactions(theirs)).hydrate(requests)
    n = len(requests)
    return Candidates(
        requests=requests.hydrated(history.columns, history.ragged),
        offsets=np.arange(n + 1),
        row=np.arange(n),
        item=np.concatenate([item, others]),
        score=np.full(n, np.nan, np.float32),
        sources=np.zeros(n, np.uint64),
    )


def _spread(n: int) -> IntArray:
    """Return at most ``_SAMPLE`` positions spread evenly over n."""
    return np.unique(np.linspace(0, n - 1, min(n, _SAMPLE)).astype(np.int64))
