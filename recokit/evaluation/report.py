"""Evaluation: the figures of one recommender, or of several on the same users."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recokit._html import page, table
from recokit.data import Vocabulary
from recokit.errors import ConfigurationError, did_you_mean
from recokit.evaluation.intervals import mean_interval
from recokit.typing import Float32Array, IntArray

__all__ = ["ALL", "Difference", "Evaluation", "Evaluations", "Score", "compare"]

#: The segment of all users.
ALL = "all"


@dataclass(frozen=True)
class Score:
    """One metric of one segment.

    Parameters
    ----------
    metric, segment : str
        What, and of whom.
    mean, low, high : float
        Mean over users, and the ends of its interval; NaN where there is none.
    n : int
        Users in the mean: those of the segment where the metric is defined.
    """

    metric: str
    segment: str
    mean: float
    low: float
    high: float
    n: int

    def __float__(self) -> float:
        return self.mean

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "-"
        return (
            f"{self.mean:.4f}"
            if math.isnan(self.low)
            else f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]"
        )


@dataclass(frozen=True)
class Difference:
    """Paired difference of one metric between two recommenders, user by user.

    Parameters
    ----------
    a, b : str
        Names; the difference is a minus b.
    metric, segment : str
        What, and of whom.
    mean, low, high : float
        Mean difference, and the ends of its interval.
    n : int
        Users with a value from both.
    n_unpaired : int
        Users with a value from one only; they are left out.
    confidence : float
        Of the interval.
    """

    a: str
    b: str
    metric: str
    segment: str
    mean: float
    low: float
    high: float
    n: int
    n_unpaired: int
    confidence: float

    @property
    def clear(self) -> bool:
        """Whether the interval lies clear of zero."""
        return self.low > 0 or self.high < 0

    def __str__(self) -> str:
        verdict = "clear of zero" if self.clear else "cannot tell from zero"
        return (
            f"{self.metric} ({self.segment}), {self.a} - {self.b}: {self.mean:+.4f} "
            f"[{self.low:+.4f}, {self.high:+.4f}] at {self.confidence:.0%}, {self.n:,} users, {verdict}"
        )


@dataclass(frozen=True, eq=False)
class Evaluation:
    """What :func:`evaluate` found for one recommender.

    Parameters
    ----------
    name : str
        Of the recommender.
    scores : tuple of Score
        One for each segment and metric, all users first.
    users : Vocabulary
        External ids of the U evaluated users.
    metrics : tuple of str
        Names of the M metrics.
    definitions : mapping of str to str
        What each metric computes.
    per_user : ndarray of float32, shape (U, M)
        Value of each user; NaN where undefined, and for metrics of the whole catalogue.
    segment : ndarray of int64, shape (U,)
        Code of each user's segment in ``segments``, which starts with all users: 0 is none.
    segments : tuple of str
        ``"all"`` and the names of the segments.
    statuses : mapping of str to int
        Users by how they were answered: OK, DEGRADED, FALLBACK, EMPTY, FAILED, MISSING (no list at all).
    n_without_truth, n_outside : int
        Users that were asked for but have no relevant item; lists of users that were not evaluated.
    k : int
        List length asked for.
    now : float or None
        Request time.
    confidence : float
        Of the intervals.
    """

    name: str
    scores: tuple[Score, ...]
    users: Vocabulary
    metrics: tuple[str, ...]
    definitions: Mapping[str, str]
    per_user: Float32Array
    segment: IntArray
    segments: tuple[str, ...]
    statuses: Mapping[str, int]
    n_without_truth: int
    n_outside: int
    k: int
    now: float | None
    confidence: float

    def __len__(self) -> int:
        """Return the number of evaluated users."""
        return len(self.users)

    def __getitem__(self, key: str | tuple[str, str]) -> Score:
        """Return the score of a metric, or of a metric and a segment.

        Raises
        ------
        ConfigurationError
            If the metric or the segment was not evaluated.
        """
        metric, segment = (key, ALL) if isinstance(key, str) else key
        self._metric(metric)
        self._segment(segment)
        return next(score for score in self.scores if (score.metric, score.segment) == (metric, segment))

    def values(self, metric: str) -> Float32Array:
        """Return a metric's value of each user, (U,) float32, in the order of ``users``."""
        return self.per_user[:, self._metric(metric)]

    def _metric(self, metric: str) -> int:
        if metric not in self.metrics:
            raise ConfigurationError(f"found no metric {metric!r}; {did_you_mean(metric, self.metrics)}")
        return self.metrics.index(metric)

    def _segment(self, segment: str) -> int:
        if segment not in self.segments:
            raise ConfigurationError(f"found no segment {segment!r}; {did_you_mean(segment, self.segments)}")
        return self.segments.index(segment)

    def to_records(self) -> list[dict[str, Any]]:
        """Return records of name, segment, metric, mean, low, high, n, one for each score; NaN as None."""
        return [
            {
                "name": self.name,
                "segment": score.segment,
                "metric": score.metric,
                "mean": _json(score.mean),
                "low": _json(score.low),
                "high": _json(score.high),
                "n": score.n,
            }
            for score in self.scores
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the values of single users, ready for JSON."""
        return {
            "name": self.name,
            "n_users": len(self),
            "k": self.k,
            "now": self.now,
            "confidence": self.confidence,
            "statuses": dict(self.statuses),
            "n_without_truth": self.n_without_truth,
            "n_outside": self.n_outside,
            "definitions": dict(self.definitions),
            "scores": self.to_records(),
        }

    def __str__(self) -> str:
        return "\n".join(
            [_title(self), _grid(["segment", "users", *self.metrics], _rows(self)), *_notes([self])]
        )

    def _repr_html_(self) -> str:
        body = table(("segment", "users", *self.metrics), _rows(self))
        return page(f"Evaluation of {self.name}", body, "; ".join([_title(self), *_notes([self])]))


@dataclass(frozen=True, eq=False)
class Evaluations(Mapping[str, Evaluation]):
    """Several recommenders, evaluated on the same users: a mapping of name to :class:`Evaluation`."""

    parts: Mapping[str, Evaluation] = field(default_factory=dict)

    def __getitem__(self, name: str) -> Evaluation:
        if name not in self.parts:
            raise ConfigurationError(f"found no evaluation {name!r}; {did_you_mean(name, self.parts)}")
        return self.parts[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)

    def compare(self, a: str, b: str, metric: str, *, segment: str = ALL) -> Difference:
        """Return the paired difference a minus b, see :func:`compare`."""
        return compare(self[a], self[b], metric, segment=segment)

    def to_records(self) -> list[dict[str, Any]]:
        """Return the records of all, see :meth:`Evaluation.to_records`."""
        return [record for part in self.parts.values() for record in part.to_records()]

    def to_dict(self) -> dict[str, Any]:
        """Return each one's figures by name, ready for JSON."""
        return {name: part.to_dict() for name, part in self.parts.items()}

    def _table(self) -> tuple[list[str], list[list[str]]]:
        parts = list(self.parts.values())
        by_segment = zip(*([[part.name, *row] for row in _rows(part)] for part in parts), strict=True)
        return ["name", "segment", "users", *parts[0].metrics], [row for rows in by_segment for row in rows]

    def __str__(self) -> str:
        parts = list(self.parts.values())
        return "\n".join([_title(parts[0]), _grid(*self._table()), *_notes(parts)])

    def _repr_html_(self) -> str:
        parts = list(self.parts.values())
        header, rows = self._table()
        return page("Evaluation", table(header, rows), "; ".join([_title(parts[0]), *_notes(parts)]))


def compare(a: Evaluation, b: Evaluation, metric: str, *, segment: str = ALL) -> Difference:
    """Return the paired difference of a metric, a minus b, over the users that both have a value for.

    Users differ far more from one another than two recommenders do for one user: the interval of the paired
    difference is much narrower than either one's own, and the one to decide by.

    Parameters
    ----------
    a, b : Evaluation
        On the same truth.
    metric : str
        A metric that both have.
    segment : str, default "all"
        One of a's segments.

    Returns
    -------
    Difference
        With the interval of :func:`mean_interval` at a's confidence.

    Raises
    ------
    ConfigurationError
        For a metric or segment that is not there, or a metric without values of single users.
    """
    mine, theirs = a.values(metric), b.values(metric)
    if np.isnan(mine).all() or np.isnan(theirs).all():
        raise ConfigurationError(
            f"found no values of single users for {metric!r}; expected a metric with one for each"
        )
    code = a._segment(segment)
    of_segment = np.ones(len(a), np.bool_) if code == 0 else a.segment == code
    codes = b.users.encode(a.users.ids)
    paired = np.where(codes > 0, np.append(theirs, np.nan)[codes - 1], np.nan)
    difference = (mine.astype(np.float64) - paired)[of_segment]
    mean, low, high, n = mean_interval(difference, a.confidence)
    n_mine = int(np.count_nonzero(~np.isnan(mine[of_segment])))
    n_theirs = int(np.count_nonzero(~np.isnan(theirs)))
    extra = n_theirs - int(np.count_nonzero(~np.isnan(paired))) if code == 0 else 0
    return Difference(a.name, b.name, metric, segment, mean, low, high, n, n_mine - n + extra, a.confidence)


def _json(value: float) -> float | None:
    return None if math.isnan(value) else value


def _title(part: Evaluation) -> str:
    users = f"{len(part):,} users with relevant items"
    return f"{users}, lists of {part.k}, means with {part.confidence:.0%} intervals"


def _rows(part: Evaluation) -> list[list[str]]:
    users = [len(part), *np.bincount(part.segment, minlength=len(part.segments))[1:].tolist()]
    return [
        [segment, f"{n:,}", *(str(part[metric, segment]) for metric in part.metrics)]
        for segment, n in zip(part.segments, users, strict=True)
    ]


def _notes(parts: Sequence[Evaluation]) -> list[str]:
    notes = [f"{metric}: {text}" for metric, text in parts[0].definitions.items() if text]
    for part in parts:
        odd = [f"{n:,} {status}" for status, n in part.statuses.items() if n and status != "OK"]
        odd += [f"{part.n_outside:,} lists of other users left out"] if part.n_outside else []
        odd += (
            [f"{part.n_without_truth:,} users without relevant items left out"]
            if part.n_without_truth
            else []
        )
        notes += [f"{part.name}: {', '.join(odd)}"] if odd else []
    return notes


def _grid(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
        for row in (header, *rows)
    ]
    return "\n".join(line.rstrip() for line in lines)
