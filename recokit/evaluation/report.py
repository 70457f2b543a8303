"""Evaluation: the figures of one recommender."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from recokit._stats.intervals import FEW_NOTE, Mean
from recokit._utils.frames_out import Recorded
from recokit._utils.options import shortened
from recokit._utils.report import Content, Report, Table, json_number, json_ready
from recokit.data import Vocabulary
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.metrics.registry import canonical
from recokit.typing import AnyArray, BoolArray, Float32Array, FloatArray, IntArray

_SAMPLED = (
    "WARNING: every list holds all that is relevant, as sampled candidates do; figures of them are not those of full "
    "lists, and may order recommenders otherwise"
)


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
    few : bool
        Whether the interval may hold the truth less often than it says: below 200 users, or below 15 whose value is
        not the one that most have.
    """

    metric: str
    segment: str
    mean: float
    low: float
    high: float
    n: int
    few: bool = False

    @classmethod
    def of(
        cls, metric: str, segment: str, values: AnyArray, confidence: float, *, bounds: tuple[float, float]
    ) -> Score:
        """Return the score of each user's values, see :func:`mean_interval`."""
        mean = Mean.of(values)
        low, high = mean.interval(confidence, bounds)
        return cls(metric, segment, mean.mean, low, high, n=mean.n, few=mean.few and mean.n > 1)

    def __float__(self) -> float:
        return self.mean

    def __str__(self) -> str:
        if math.isnan(self.mean):
            return "-"
        if math.isnan(self.low):
            return f"{self.mean:.4f}"
        return f"{self.mean:.4f} [{self.low:.4f}, {self.high:.4f}]{'*' if self.few else ''}"


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation(Recorded, Report):
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
    sampled : bool
        Whether the lists look like candidates sampled around the relevant items, see :func:`evaluate`.
    overlap : str
        What of the truth the model had seen, where that was allowed; empty if nothing.
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
    sampled: bool = False
    overlap: str = ""

    def __len__(self) -> int:
        """Return the number of evaluated users."""
        return len(self.users)

    def __repr__(self) -> str:
        figures = ", ".join(f"{score.metric} {score}" for score in self.scores if score.segment == ALL)
        return f"Evaluation({shortened(figures, 120)}; {len(self):,} users)"

    def __getitem__(self, key: str | tuple[str, str]) -> Score:
        """Return the score of a metric, or of a metric and a segment.

        Raises
        ------
        ConfigurationError
            If the metric or the segment was not evaluated.
        """
        metric, segment = (key, ALL) if isinstance(key, str) else key
        metric = self.metrics[self.column(metric)]
        self.code(segment)
        return next(score for score in self.scores if (score.metric, score.segment) == (metric, segment))

    def values(self, metric: str) -> Float32Array:
        """Return a metric's value of each user, (U,) float32, in the order of ``users``."""
        return self.per_user[:, self.column(metric)]

    def values_for(self, metric: str, users: Vocabulary) -> FloatArray:
        """Return a metric's values of these users, (len(users),) float64; NaN for those who were not evaluated."""
        codes = self.users.encode(users.ids)
        return np.append(np.nan, self.values(metric).astype(np.float64))[codes]

    def of_segment(self, segment: str) -> BoolArray:
        """Return which users are of a segment, (U,); all for ``"all"``."""
        code = self.code(segment)
        return np.ones(len(self), np.bool_) if code == 0 else self.segment == code

    def column(self, metric: str) -> int:
        """Return the place of a metric in ``per_user``; ConfigurationError if it was not evaluated."""
        metric = metric if metric in self.metrics else canonical(metric)
        if metric not in self.metrics:
            raise ConfigurationError(f"found no metric {metric!r}; {did_you_mean(metric, self.metrics)}")
        return self.metrics.index(metric)

    def code(self, segment: str) -> int:
        """Return the code of a segment, 0 for ``"all"``; ConfigurationError if it was not evaluated."""
        if segment not in self.segments:
            raise ConfigurationError(f"found no segment {segment!r}; {did_you_mean(segment, self.segments)}")
        return self.segments.index(segment)

    def to_records(self) -> list[dict[str, Any]]:
        """Return records of name, segment, metric, mean, low, high, n, few, one for each score; NaN as None."""
        return [
            json_ready({"name": self.name, "segment": score.segment, **asdict(score)})
            for score in self.scores
        ]

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the values of single users, ready for JSON."""
        return {
            "name": self.name,
            "n_users": len(self),
            **self._counts(),
            "scores": self.to_records(),
        }

    def _counts(self) -> dict[str, Any]:
        """Return how it was evaluated, and whom."""
        return {
            "k": self.k,
            "now": self.now,
            "confidence": self.confidence,
            "statuses": dict(self.statuses),
            "n_without_truth": self.n_without_truth,
            "n_outside": self.n_outside,
            "sampled": self.sampled,
            "overlap": self.overlap,
            "definitions": dict(self.definitions),
        }

    @property
    def fingerprint(self) -> str:
        """Hash of users, metrics, their definitions, list length and time: equal where values are comparable."""
        same = [self.users.ids.tolist(), self.metrics, dict(self.definitions), self.k, self.now]
        return _digest(json.dumps(same, default=str))

    def save(self, path: str | Path) -> None:
        """Write everything, the values of single users too, to a JSON file."""
        body = {
            "name": self.name,
            **self._counts(),
            "metrics": list(self.metrics),
            "segments": list(self.segments),
            "scores": [json_ready(asdict(score)) for score in self.scores],
            "users": self.users.ids.tolist(),
            "segment": self.segment.tolist(),
            "per_user": {
                # float32 has nine digits; more would only make the file larger.
                metric: [json_number(float(f"{value:.9g}")) for value in self.values(metric).tolist()]
                for metric in self.metrics
            },
        }
        text = json.dumps(body, separators=(",", ":"), allow_nan=False)
        head = json.dumps({"format": _FORMAT, "fingerprint": self.fingerprint, "sha256": _digest(text)})
        Path(path).write_text(f'{head[:-1]}, "evaluation":\n{text}}}\n', encoding="utf-8")

    @classmethod
    def load(cls, path: str | Path) -> Evaluation:
        """Read a file that :meth:`save` wrote.

        Raises
        ------
        DataError
            If it is another file, or was changed.
        """
        body = _checked_body(path)
        users, metrics = Vocabulary(body["users"]), tuple(body["metrics"])
        columns = [body["per_user"][metric] for metric in metrics]
        parts = {
            "users": users,
            "metrics": metrics,
            "segment": np.array(body["segment"], np.int64),
            "segments": tuple(body["segments"]),
            "per_user": np.array(columns, np.float32).T.reshape(len(users), len(columns)),
            "scores": tuple(_score(score) for score in body["scores"]),
        }
        return cls(**{**body, **parts})

    def plot(self, metric: str, *, ax: Any = None) -> Any:
        """Draw a metric's mean and interval of each segment; needs matplotlib (extra ``plots``).

        Returns
        -------
        matplotlib Axes
        """
        return plot_scores({self.name: self}, metric, ax)

    def _content(self) -> Content:
        rows = Table(["segment", "users", *self.metrics], rows_of(self))
        return Content(f"Evaluation of {self.name}", [rows], title_of(self), notes_of([self]))


def plot_scores(parts: Mapping[str, Evaluation], metric: str, ax: Any) -> Any:
    """Draw a metric's mean and interval, segments from top to bottom, recommenders side by side."""
    from recokit._utils.plots.intervals import draw_intervals

    first = next(iter(parts.values()))
    series = {
        name: np.array(
            [(score.mean, score.low, score.high) for score in (part[metric, s] for s in first.segments)]
        )
        for name, part in parts.items()
    }
    groups = [f"{s}\n{np.count_nonzero(first.of_segment(s)):,} users" for s in first.segments]
    return draw_intervals(series, groups, f"{metric}, mean and {first.confidence:.0%} interval", ax)


def title_of(part: Evaluation) -> str:
    """Return the line above a table."""
    users = f"{len(part):,} users with relevant items"
    return f"{users}, lists of {part.k}, means with {part.confidence:.0%} intervals"


def rows_of(part: Evaluation) -> list[list[str]]:
    """Return a row for each segment: its name, users and scores."""
    users = [len(part), *np.bincount(part.segment, minlength=len(part.segments))[1:].tolist()]
    return [
        [segment, f"{n:,}", *(str(part[metric, segment]) for metric in part.metrics)]
        for segment, n in zip(part.segments, users, strict=True)
    ]


def notes_of(parts: Sequence[Evaluation]) -> list[str]:
    """Return the lines below a table: definitions, small samples, and what was odd."""
    notes = [f"{metric}: {text}" for metric, text in parts[0].definitions.items() if text]
    if any(score.few for part in parts for score in part.scores):
        notes += [FEW_NOTE]
    for part in parts:
        odd = [f"{n:,} {status}" for status, n in part.statuses.items() if n and status != "OK"]
        odd += [f"{part.n_outside:,} lists of other users left out"] if part.n_outside else []
        odd += (
            [f"{part.n_without_truth:,} users without relevant items left out"]
            if part.n_without_truth
            else []
        )
        notes += [f"{part.name}: {', '.join(odd)}"] if odd else []
        notes += [f"{part.name}: {_SAMPLED}"] if part.sampled else []
        notes += (
            [f"{part.name}: {part.overlap}: no figures of a model that goes live"] if part.overlap else []
        )
    return notes


_FORMAT = "recokit evaluation 1"


def _checked_body(path: str | Path) -> dict[str, Any]:
    """Return what a file of :meth:`Evaluation.save` holds; DataError if it is another, or was changed."""
    try:
        saved = json.loads(Path(path).read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise DataError(f"found {path} that is not JSON; expected a file of Evaluation.save") from error
    if not isinstance(saved, dict) or saved.get("format") != _FORMAT:
        raise DataError(f"found {path} of another kind; expected a file of Evaluation.save, {_FORMAT!r}")
    body: dict[str, Any] = saved["evaluation"]
    if _digest(json.dumps(body, separators=(",", ":"))) != saved["sha256"]:
        raise DataError(f"found {path} changed since it was saved; expected it as Evaluation.save wrote it")
    return body


def _score(saved: dict[str, Any]) -> Score:
    values: dict[str, Any] = {name: np.nan if value is None else value for name, value in saved.items()}
    return Score(**values)


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16]
