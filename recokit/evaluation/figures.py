"""Figures: what is measured of one recommender's lists, user by user; figures of parts of the users add up."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from recokit._stats.intervals import FEW_USERS
from recokit.data import Dataset, Ragged, Vocabulary
from recokit.data.vocabulary import as_ids
from recokit.errors import DataError, VocabularyMismatch
from recokit.evaluation.list_sources import MISSING, ListSource
from recokit.evaluation.report import Evaluation, Score
from recokit.evaluation.truth import Truth
from recokit.metrics import CatalogueMetric, Exposure, MatchedLists, UserMetric
from recokit.trace import Status
from recokit.typing import AnyArray, FloatArray, IntArray

#: Lists of so many items, of part of the catalogue, that miss nothing are candidates sampled around what is relevant.
SAMPLE = 20


@dataclass(frozen=True, eq=False)
class Measures:
    """What is measured: metrics, of lists of what length, asked for when, with intervals of what confidence."""

    metrics: Sequence[UserMetric | CatalogueMetric]
    k: int
    now: float | None
    confidence: float


@dataclass(frozen=True, eq=False)
class Setting:
    """What all recommenders of one call are evaluated on: users, measures, and the tables that metrics read."""

    truth: Truth
    measures: Measures
    segments: tuple[IntArray, tuple[str, ...]]
    item_tables: Dataset | None
    history: Dataset | None
    #: Past events of each item of the recommender, where ``history`` has those of some users only.
    popularity: FloatArray | None = None


@dataclass(frozen=True, eq=False)
class Figures:
    """What was measured of some users: their values, and sums over them.

    Parameters
    ----------
    users : ndarray, shape (U,)
        External ids.
    per_user : ndarray of float64, shape (U, M)
        Value of each user and metric; NaN where undefined, and for metrics of the whole catalogue.
    segment : ndarray of int64, shape (U,)
        Code of each user's segment.
    segments : tuple of str
        Their names, all users first.
    exposure : mapping of (int, int) to Exposure
        What was shown, by metric and segment.
    statuses : ndarray of int64
        Users by status.
    sums : ndarray of int64
        Users with a list, with a list that misses nothing, places of all lists, users without a relevant item, lists of
        other users.
    n_items : int
        Size of the catalogue.
    """

    users: AnyArray
    per_user: FloatArray
    segment: IntArray
    segments: tuple[str, ...]
    exposure: dict[tuple[int, int], Exposure]
    statuses: IntArray
    sums: IntArray
    n_items: int

    @classmethod
    def joined(cls, parts: Sequence[Figures]) -> Figures:
        """Return the figures of all users, sorted by id: as exact as if they had been measured together.

        Raises
        ------
        DataError
            If there is no part, or a user is in two of them.
        """
        if not parts:
            raise DataError("found no user with a relevant item; expected at least one")
        first = parts[0]
        names = list(first.segments) if all(part.segments == first.segments for part in parts) else None
        if names is None:  # labels that were given user by user: a part knows those of its users
            names = [first.segments[0], *sorted({name for part in parts for name in part.segments[1:]})]
        places = [np.array([names.index(name) for name in part.segments]) for part in parts]
        exposure: dict[tuple[int, int], Exposure] = {}
        for part, place in zip(parts, places, strict=True):
            for (column, code), shown in part.exposure.items():
                key = (column, int(place[code]))
                exposure[key] = exposure.get(key, Exposure.none()) + shown
        users = as_ids(np.concatenate([part.users for part in parts]))
        order = np.argsort(users, kind="stable")
        again = np.flatnonzero(users[order][1:] == users[order][:-1])
        if len(again):
            raise DataError(
                f"found user {users[order][again[0]]!r} in two parts; expected each in one; hint: partition by user"
            )
        return cls(
            users[order],
            np.concatenate([part.per_user for part in parts])[order],
            np.concatenate([place[part.segment] for part, place in zip(parts, places, strict=True)])[order],
            tuple(names),
            exposure=exposure,
            statuses=np.sum([part.statuses for part in parts], axis=0),
            sums=np.sum([part.sums for part in parts], axis=0),
            n_items=max(part.n_items for part in parts),  # a part without a user met no catalogue
        )

    def evaluation(self, name: str, measures: Measures, overlap: str) -> Evaluation:
        """Return the means, with their intervals, of all users and of each segment."""
        metrics = measures.metrics
        return Evaluation(
            name=name,
            scores=tuple(
                self._score(code, column, measures)
                for code in range(len(self.segments))
                for column in range(len(metrics))
            ),
            users=Vocabulary(self.users),
            metrics=tuple(metric.name for metric in metrics),
            definitions={metric.name: metric.definition for metric in metrics},
            per_user=self.per_user.astype(np.float32),
            segment=self.segment,
            segments=self.segments,
            statuses={
                **{status.name: int(self.statuses[status]) for status in Status},
                "MISSING": int(self.statuses[MISSING]),
            },
            n_without_truth=int(self.sums[3]),
            n_outside=int(self.sums[4]),
            k=measures.k,
            now=measures.now,
            confidence=measures.confidence,
            sampled=self._sampled(),
            overlap=overlap,
        )

    def _sampled(self) -> bool:
        """Return whether lists are a part of the catalogue that happens to hold everything relevant to everybody."""
        listed, complete, places = self.sums[:3].tolist()
        enough = listed >= FEW_USERS and SAMPLE <= places / max(1, listed) < self.n_items / 2
        return bool(enough and complete == listed)

    def _score(self, code: int, column: int, measures: Measures) -> Score:
        metric, segment = measures.metrics[column], self.segments[code]
        users = np.ones(len(self.segment), np.bool_) if code == 0 else self.segment == code
        if isinstance(metric, CatalogueMetric):
            exposure = self.exposure.get((column, code), Exposure.none())
            value = metric.from_exposure(exposure, self.n_items)
            return Score(metric.name, segment, value, np.nan, np.nan, n=int(users.sum()))
        values = self.per_user[users, column]
        return Score.of(metric.name, segment, values, measures.confidence, bounds=metric.bounds)


def figures_of(lists: ListSource, setting: Setting, starts: Iterable[int], size: int) -> Figures:
    """Measure the lists of a setting's users, from each start so many at a time."""
    filling = _Filling(setting)
    for start in starts:
        filling.add(lists, start, min(start + size, len(setting.truth)))
    return filling.figures(lists.n_outside)


class _Filling:
    """Figures of one recommender, filled chunk by chunk."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._segment, self._segments = setting.segments
        n_users = len(setting.truth)
        self._per_user = np.full((n_users, len(setting.measures.metrics)), np.nan)
        self._exposure: dict[tuple[int, int], Exposure] = {}
        self._statuses = np.zeros(MISSING + 1, np.int64)
        self._n_listed = self._n_complete = self._n_places = 0
        # In the recommender's item codes, which the first chunk tells.
        self._items = Vocabulary([])
        self._relevant = Ragged.empty(n_users)
        self._past: Ragged | None = None
        self._popularity: FloatArray | None = None

    def add(self, source: ListSource, start: int, stop: int) -> None:
        chunk = source.chunk(start, stop)
        if chunk.items is not self._items:
            self._use(chunk.items)
        rows = np.arange(start, stop)
        matched = MatchedLists(
            chunk.lists,
            self._relevant.take(rows),
            n_items=len(chunk.items),
            popularity=self._popularity,
            history=None if self._past is None else self._past.take(rows),
        )
        for column, metric in enumerate(self._setting.measures.metrics):
            if isinstance(metric, UserMetric):
                self._per_user[start:stop, column] = metric.per_user(matched)
            else:
                self._expose(column, metric, matched, self._segment[rows])
        listed = chunk.lists.counts > 0
        complete = np.bincount(matched.hits.row, minlength=len(matched)) == matched.n_relevant
        self._n_listed += int(np.count_nonzero(listed))
        self._n_complete += int(np.count_nonzero(complete & listed))
        self._n_places += int(chunk.lists.counts.sum())
        self._statuses += np.bincount(chunk.status, minlength=MISSING + 1)

    def _use(self, items: Vocabulary) -> None:
        setting = self._setting
        by_column = [metric.name for metric in setting.measures.metrics if metric.column is not None]
        if by_column and setting.item_tables is not None and items != setting.item_tables.item_ids:
            raise VocabularyMismatch(
                f"found {items!r} in the recommendations and {setting.item_tables.item_ids!r} in the item table "
                f"that {by_column[0]} reads; expected the same ids in the same order; "
                "hint: give by= as an array by the recommender's item code"
            )
        self._items, self._relevant = items, setting.truth.in_codes_of(items)
        if setting.history is not None and any(metric.needs_history for metric in setting.measures.metrics):
            self._past, popularity = _past_of(setting.history, setting.truth.users, items)
            self._popularity = popularity if setting.popularity is None else setting.popularity

    def _expose(self, column: int, metric: CatalogueMetric, matched: MatchedLists, segment: IntArray) -> None:
        for code in (0, *np.unique(segment[segment > 0]).tolist()):
            rows = np.arange(len(matched)) if code == 0 else np.flatnonzero(segment == code)
            shown = metric.exposure(matched.rows(rows))
            self._exposure[column, code] = self._exposure.get((column, code), Exposure.none()) + shown

    def figures(self, n_outside: int) -> Figures:
        truth = self._setting.truth
        sums = [self._n_listed, self._n_complete, self._n_places, truth.n_without, n_outside]
        return Figures(
            truth.users.ids,
            self._per_user,
            self._segment,
            self._segments,
            exposure=self._exposure,
            statuses=self._statuses,
            sums=np.array(sums, np.int64),
            n_items=len(self._items),
        )


def _past_of(past: Dataset, users: Vocabulary, items: Vocabulary) -> tuple[Ragged, FloatArray]:
    """Return the users' past items, in time order, and all items' numbers of past events, in the codes of ``items``."""
    log = past.interactions.signals
    item = log.item
    if past.item_ids != items:
        item = np.concatenate([[0], items.encode(past.item_ids.ids)])[item]
    offsets, order = log.by_user
    # A row for every user, and an empty last one for users whom the past does not know.
    offsets = np.append(offsets, [offsets[-1]] * (past.n_users + 3 - len(offsets)))
    rows = past.user_ids.encode(users.ids)
    mine = Ragged(offsets, item[order]).take(np.where(rows > 0, rows, past.n_users + 1))
    return mine, np.bincount(item, minlength=len(items) + 1).astype(np.float64)
