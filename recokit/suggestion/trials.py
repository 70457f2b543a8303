"""The validation part of a suggestion, and what was tried on it."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._kernels.hashing import uniform
from recokit._stats.intervals import mean_interval
from recokit.data import Dataset, Ragged, Vocabulary, seconds
from recokit.data.sampling import hold_out
from recokit.data.segments import activity_segments
from recokit.errors import DataError
from recokit.evaluation import evaluate
from recokit.pipeline import Pipeline
from recokit.result import Recommendations
from recokit.suggestion.look import Look
from recokit.suggestion.result import Tried
from recokit.typing import AnyArray, FloatArray, IntArray

#: Users judged, at most, and fewer tell nothing apart.
MAX_USERS, MIN_USERS = 1_500, 30
#: Length of the lists whose recall decides which sources find candidates.
DEPTH = 100


@dataclass(frozen=True, eq=False)
class Judged:
    """A fitted pipeline that was tried: the goal for each user, what its lists found, and a line of the report."""

    tried: Tried
    values: FloatArray
    hits: IntArray
    pipeline: Pipeline


@dataclass(frozen=True, eq=False)
class Validation:
    """What is learned from, and what is told: some users of the part after it.

    Parameters
    ----------
    train, test : Dataset
    in_time : bool
        Whether the parts follow one another.
    goal : str
    users : ndarray, shape (U,)
        Ids.
    segment : ndarray of int64, shape (U,)
        Their activity before the cut.
    """

    train: Dataset
    test: Dataset
    in_time: bool
    goal: str
    users: AnyArray
    segment: IntArray
    seed: int

    @classmethod
    def of(cls, dataset: Dataset, look: Look, goal: str, seed: int) -> Validation | None:
        """Cut a validation part; None where too few users have something to be told."""
        if look.horizon:
            until = dataset.until if dataset.cut is not None else float(np.nextafter(dataset.until, np.inf))
            train, test = dataset.split_at(until - seconds(look.horizon))
        elif look.users:
            try:
                train, test = hold_out(dataset, 0.2, seed=seed)
            except DataError:
                return None
        else:
            return None
        log = test.interactions.signals
        users = np.unique(log.user[(log.user > 0) & (log.item > 0)])
        if len(users) < MIN_USERS or not len(train.interactions):
            return None
        draw = uniform(np.full(len(users), seed, np.uint64), users, stream=29)
        users = np.sort(users[np.argsort(draw, kind="stable")[:MAX_USERS]])
        segment = activity_segments(train).codes[users]
        return cls(
            train=train,
            test=test,
            in_time=bool(look.horizon),
            goal=goal,
            users=dataset.user_ids.decode(users),
            segment=segment,
            seed=seed,
        )

    @property
    def now(self) -> float:
        """Time of the requests."""
        return self.train.cut if self.train.cut is not None else float(np.nextafter(self.train.until, np.inf))

    def fitted(self, stages: Sequence[Any], fit: dict[str, Any]) -> tuple[Pipeline, float]:
        """Return a pipeline fitted on the train part, and the seconds that it took."""
        started = time.perf_counter()
        return Pipeline(list(stages)).fit(self.train, progress=False, **fit), time.perf_counter() - started

    def judge(self, name: str, stages: Sequence[Any], fit: dict[str, Any]) -> Judged:
        """Fit and evaluate."""
        pipeline, seconds_of_fit = self.fitted(stages, fit)
        return self.judged(name, pipeline, seconds_of_fit)

    def judged(self, name: str, pipeline: Pipeline, seconds_of_fit: float) -> Judged:
        """Evaluate a fitted pipeline."""
        started = time.perf_counter()
        lists = pipeline.recommend(self.users, k=DEPTH, now=self.now, seed=self.seed)
        answered = time.perf_counter() - started
        found = evaluate(
            lists, self.test, [self.goal], users=self.users, now=self.now, allow_overlap=not self.in_time
        )
        values = np.nan_to_num(found.values_for(self.goal, Vocabulary(self.users)))
        mean, low, high, _ = mean_interval(values)
        tried = Tried(
            name=name,
            mean=mean,
            low=low,
            high=high,
            fit_seconds=seconds_of_fit,
            milliseconds=1000 * answered / len(self.users),
        )
        return Judged(tried, values, self._hits(lists), pipeline)

    def _hits(self, lists: Recommendations) -> IntArray:
        """Return what the lists hold of what users took: distinct numbers of a user and an item."""
        truth = self.truth()
        width = self.train.n_items + 1
        row = np.repeat(np.arange(len(self.users)), np.diff(lists.offsets))
        return np.intersect1d(row * width + lists.item, truth.rows * width + truth.values)

    def truth(self) -> Ragged:
        """Return the items that each user took."""
        log = self.test.interactions.signals
        codes = self.train.user_ids.encode(self.users)
        kept = np.isin(log.user, codes) & (log.item > 0)
        pair = np.unique(log.user[kept] * (self.train.n_items + 1) + log.item[kept])
        user, item = np.divmod(pair, self.train.n_items + 1)
        start, stop = np.searchsorted(user, codes), np.searchsorted(user, codes, side="right")
        return Ragged(np.concatenate([[0], np.cumsum(stop - start)]), item)
