"""Checks of the items: the same one under two ids, delisted ones in an index, and a popularity that a few have made."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from recokit.data import DAY, Schema
from recokit.data.events.user_history import EventLists, UserHistory
from recokit.debugger.checks.causes import finding
from recokit.debugger.evidence import TOP, Evidence
from recokit.debugger.finding import Finding
from recokit.typing import AnyArray, BoolArray, IntArray

#: Share of the catalogue whose rows must be distinct for equal rows to be one item.
DISTINCT = 0.7


class DuplicateItems:
    """Candidates that stand in the catalogue under a second id: rows that are equal in every column.

    Parameters
    ----------
    share : float, default 0.1
        Share of the best 50 candidates that may have a twin, beyond the baseline's catalogue.
    """

    def __init__(self, share: float = 0.1) -> None:
        self.share = share
        self._twins: WeakKeyDictionary[Any, IntArray] = WeakKeyDictionary()

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        if evidence.ranked is None or not len(evidence.ranked):
            return []
        twin = self._twins_of(evidence.schema)
        best = evidence.ranked.item[np.argsort(-np.nan_to_num(evidence.ranked.score), kind="stable")[:50]]
        doubled = best[twin[best] != best]
        usual = 0.0
        if evidence.baseline is not None and evidence.codes is None and evidence.baseline.codes is None:
            before = self._twins_of(evidence.baseline.schema)
            usual = float(np.mean(before[best] != best))
        share = len(doubled) / len(best)
        if len(doubled) < 3 or share - usual <= self.share:
            return []
        figures = {"doubled": len(doubled), "of": len(best), "baseline": usual}
        return [finding("ITEMS_DUPLICATED", evidence=figures, items=evidence.ids(doubled))]

    def _twins_of(self, schema: Schema) -> IntArray:
        """Return for each item code one with the same row, itself where there is none."""
        if schema.items not in self._twins:
            self._twins[schema.items] = _twins(schema)
        return self._twins[schema.items]


def _twins(schema: Schema) -> IntArray:
    items = schema.items
    columns = [items.numeric, *(one.codes[:, None] for one in items.categorical.values())]
    texts = [np.unique(column.astype(str), return_inverse=True)[1] for column in items.other.values()]
    rows = np.nan_to_num(
        np.concatenate(
            [np.asarray(part, np.float64) for part in [*columns, *(text[:, None] for text in texts)]], 1
        ),
        nan=-1.0,
    )
    twin = np.arange(len(rows))
    if rows.shape[1] < 2:
        return twin
    _, place, count = np.unique(rows[1:], axis=0, return_inverse=True, return_counts=True)
    place = place.ravel()
    if np.mean(count[place] == 1) < DISTINCT:  # rows do not tell items apart
        return twin
    order = np.argsort(place, kind="stable")
    for group in np.split(order, np.cumsum(count)[:-1]):
        if 1 < len(group) <= 3:
            twin[group + 1] = np.roll(group, 1) + 1
    return twin


class DelistedItems:
    """Sources whose first items are removed by the hard rules for everyone: an index that still has what is gone.

    Parameters
    ----------
    share : float, default 0.25
        Share of a source's first 20 items that such rules may remove, beyond that of the other sources, and beyond the
        baseline's.
    """

    def __init__(self, share: float = 0.25) -> None:
        self.share = share

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        gone = _removed(evidence)
        if not len(gone):
            return []
        usual = evidence.baseline
        usually_gone = gone if usual is None else np.union1d(gone, _removed(usual))
        shares = {name: self._share(evidence, name, gone) for name in evidence.candidate_sources}
        known = {name: share for name, share in shares.items() if np.isfinite(share)}
        findings = []
        for name, share in known.items():
            others = [other for source, other in known.items() if source != name]
            before = max(others, default=0.0) if usual is None else self._share(usual, name, usually_gone)
            before = before if np.isfinite(before) else 0.0
            # Without a baseline or another source nothing tells an index from a rule that removes too much.
            if share - before <= self.share or (usual is None and not others):
                continue
            path = next((path for path in evidence.stages if path.rpartition(".")[2] == name), name)
            first = evidence.found_by(name)[:TOP]
            figures = {"share": share, "usual": before, "of": len(first)}
            items = evidence.ids(first[np.isin(first, gone)])
            findings.append(finding("ITEMS_DELISTED", path, figures, items=items))
        return findings

    def _share(self, evidence: Evidence, name: str, gone: IntArray) -> float:
        first = evidence.found_by(name)[:TOP]
        return float(np.isin(first, gone).mean()) if len(first) >= 5 else float("nan")


def _removed(evidence: Evidence) -> IntArray:
    """Return what rules that do not know the user have removed."""
    gone = [np.zeros(0, np.int64)]
    for event in evidence.events("filter"):
        stage = evidence.stages.get(event.name)
        if stage is None or event.before is None or event.kept is None or evidence.failed_here(event):
            continue
        if {"owned", "history", "earlier"} & set(evidence.traits(event.name).requires):
            continue
        here = evidence.place_in(event.before)
        gone.append(event.before.item[here][~event.kept[here]])
    return np.unique(np.concatenate(gone))


class BotTraffic:
    """Items among the candidates whose events are nearly all of the last days and of a few users.

    Parameters
    ----------
    days : float, default 4
        How long the last days are.
    recent : float, default 0.5
        Least share of an item's events in them.
    by_user : float, default 15
        Least number of these events for each user who made them.
    min_events : int, default 60
        Least number of these events.
    """

    def __init__(
        self, days: float = 4.0, recent: float = 0.5, by_user: float = 15.0, min_events: int = 60
    ) -> None:
        self.days, self.recent, self.by_user, self.min_events = days, recent, by_user, min_events
        self._found: WeakKeyDictionary[Any, tuple[float, IntArray]] = WeakKeyDictionary()

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        for stage in evidence.stages.values():
            if isinstance(stage, UserHistory) and hasattr(stage, "history_"):
                made = self._items(stage.history_, evidence.now, len(evidence.schema.item_ids))
                hit = np.intersect1d(made, evidence.retrieved_items)
                if len(hit):
                    figures = {"made": len(made), "days": self.days}
                    return [finding("BOT_TRAFFIC", evidence=figures, items=evidence.ids(hit))]
        return []

    def _items(self, log: EventLists, now: float, n_items: int) -> IntArray:
        kept = self._found.get(log)
        if kept is None or kept[0] != now:
            kept = self._found[log] = (now, self._made_by_few(log, now, n_items))
        return kept[1]

    def _made_by_few(self, log: EventLists, now: float, n_items: int) -> IntArray:
        times = log.columns["timestamp"]
        new: BoolArray = (times >= now - self.days * DAY) & (times < now)
        count = np.bincount(log.item[new], minlength=n_items + 1)
        whole = np.maximum(np.bincount(log.item[times < now], minlength=n_items + 1), 1)
        user = np.repeat(np.arange(len(log.offsets) - 1), np.diff(log.offsets))
        pairs = np.unique(user[new] * (n_items + 1) + log.item[new])
        users: AnyArray = np.maximum(np.bincount(pairs % (n_items + 1), minlength=n_items + 1), 1)
        fits = (count >= self.min_events) & (count > self.recent * whole) & (count > self.by_user * users)
        return np.flatnonzero(fits)
