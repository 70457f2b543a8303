"""Skew: features that serving computed otherwise than training would."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recokit._kernels.membership import locate_sorted
from recokit._utils.options import at_least, between, require, whole
from recokit._utils.report import json_ready
from recokit.data import Candidates, Dataset, Requests
from recokit.data.validation.report import Check, CheckReport, Status
from recokit.errors import DataError
from recokit.monitoring.feature_log.log import FeatureLog
from recokit.monitoring.feature_log.requests import LoggedRequests
from recokit.protocols import Role, Runnable, traits_of
from recokit.typing import BoolArray, Float32Array, FloatArray, IntArray

#: Requests computed at a time; bounds memory, changes no result.
_CHUNK = 256
#: Differences below this are none, however small the values are.
_NOTHING = 1e-9
#: Differing rows in which one value is the same multiple of the other, from which a unit is suspected.
_UNIT_SHARE = 0.95


@dataclass(frozen=True, eq=False, repr=False)
class SkewReport(CheckReport):
    """A check for each feature that serving computed otherwise, one for all where none differs.

    Parameters
    ----------
    title, checks
        As in :class:`~recokit.data.validation.report.CheckReport`.
    rows : int
        Candidates compared.
    figures : mapping of str to mapping of str to float
        By feature: ``rows`` compared, ``equal`` (share of the rows), ``median`` and ``largest`` difference over the
        rows that have both values, ``missing_served`` and ``missing_now`` (share of the rows where only that side
        is missing).
    """

    rows: int = 0
    figures: Mapping[str, Mapping[str, float]] = field(default_factory=dict)

    @property
    def features(self) -> tuple[str, ...]:
        """Features with a finding, each once."""
        return tuple(dict.fromkeys(check.subject for check in self.findings if check.subject))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON; unknown figures are None."""
        return {**super().to_dict(), "rows": self.rows, "figures": json_ready(self.figures)}


def skew(
    log: LoggedRequests | FeatureLog | str | os.PathLike[str],
    pipeline: Runnable,
    dataset: Dataset,
    *,
    tolerance: float = 1e-6,
    warn: float = 0.001,
    fail: float = 0.01,
    max_requests: int = 2_000,
) -> SkewReport:
    """Compute served features again as of each request, and compare.

    The pipeline runs again with the dataset's events and tables: what evaluates as of a request's own time (histories,
    features) sees the events strictly before it, as in training; sources and rankers stay as they are fitted. A
    difference is training-serving skew: the ranker learns from other values than it is served with.

    Parameters
    ----------
    log : LoggedRequests, FeatureLog or path
        The served requests; of a FeatureLog, those that it has written.
    pipeline : Pipeline
        The one that served, or another one that training would use.
    dataset : Dataset
        All that is known now, with the events up to the last request.
    tolerance : float, default 1e-6
        Values are equal if they differ by at most this share of the larger one.
    warn, fail : float
        A feature that differs in more than this share of the rows.
    max_requests : int, default 2,000
        A larger log is sampled by impression id.

    Returns
    -------
    SkewReport
        The checks ``skew.values``, ``skew.missing``, ``skew.columns``, ``skew.candidates`` and ``skew.models``.

    Raises
    ------
    DataError
        If the log cannot be read, or has no requests.
    ConfigurationError
        If an option is out of range.

    Notes
    -----
    Features that depend on what the sources found, and those of stages that do not evaluate as of the request, are
    compared only for requests that this very pipeline served. Candidates that are no longer found, such as fallback
    items or those that today's stock removes, are counted and not compared.

    Examples
    --------
    >>> import tempfile
    >>> import recokit as rk
    >>> from recokit import candidates, features
    >>> data = rk.testing.toy_dataset()
    >>> log = FeatureLog(tempfile.mkdtemp())
    >>> stages = [candidates.Popular(), features.ItemActivity(windows=("7D",)), features.Item("price")]
    >>> pipeline = rk.Pipeline(stages, observers=[log]).fit(data.before(data.until))
    >>> answer = pipeline.recommend(["user-1", "user-2"], k=10, now=pipeline.fitted_until)
    >>> log.flush()
    >>> print(skew(log, pipeline, data)["skew.values"])
    ok   skew.values: none of 8 features differs
    """
    require(between(0, 1, open_high=True), tolerance=tolerance)
    require(between(0, 1), warn=warn, fail=fail)
    require(at_least(warn), fail=fail)
    require(whole(1), max_requests=max_requests)
    logged = log if isinstance(log, LoggedRequests) else FeatureLog.load(_path(log))
    n_logged = len(logged)
    if not n_logged:
        raise DataError("found no requests in the log; expected at least one")
    if n_logged > max_requests:
        # Impression ids are hashes: the smallest are a sample.
        logged = logged.take(np.sort(np.argsort(logged.impression, kind="stable")[:max_requests]))
    again = _compute_again(logged, pipeline, dataset)
    compared = _Compared.of(logged, again, pipeline, tolerance)
    checks = (
        *compared.values(warn, fail),
        *compared.missing(warn, fail),
        _columns(logged, again),
        _candidates(again),
        _models(logged, pipeline),
    )
    sampled = f", sampled of {n_logged:,}" if n_logged > len(logged) else ""
    title = f"Skew of {len(logged):,} requests{sampled}"
    return SkewReport(title, checks, int(again.found.sum()), compared.figures())


def _path(log: FeatureLog | str | os.PathLike[str]) -> Path:
    return Path(log.path if isinstance(log, FeatureLog) else log)


@dataclass(frozen=True, eq=False)
class _Again:
    """Features (N, F) of the logged candidates, computed again; NaN where ``found`` (N,) is not set."""

    features: Float32Array
    names: tuple[str, ...]
    found: BoolArray


def _compute_again(logged: LoggedRequests, pipeline: Runnable, dataset: Dataset) -> _Again:
    replay = pipeline.with_events(dataset)
    hydrated = {
        name for node in replay if node.role is Role.HYDRATOR for name in traits_of(node.stage).provides
    }
    blocks, found = [], []
    names: tuple[str, ...] = ()
    for start in range(0, len(logged), _CHUNK):
        part = logged.take(np.arange(start, min(start + _CHUNK, len(logged))))
        batch = replay.candidates(_requests(part, pipeline, hydrated))
        position, there = _locate(part, batch, pipeline)
        block = np.full((len(there), len(batch.feature_names)), np.nan, np.float32)
        block[there] = batch.features[position[there]]
        blocks.append(block)
        found.append(there)
        names = batch.feature_names
    return _Again(np.concatenate(blocks), names, np.concatenate(found))


def _requests(part: LoggedRequests, pipeline: Runnable, hydrated: set[str]) -> Requests:
    """Return the requests again, with the context and lists of their callers."""
    given = part.given.tolist()
    names = sorted({name for one in given for name in one["context"]} - hydrated)
    context = {name: [one["context"].get(name) for one in given] for name in names}
    fields = sorted({name for one in given for name in one["lists"]})
    lists: dict[str, Any] = {name: [one["lists"].get(name) for one in given] for name in fields}
    options = {"now": part.now, "context": context, **lists}
    requests = pipeline.requests(part.user.tolist(), **options)
    return replace(requests, k=part.k, seed=part.seed)


def _locate(part: LoggedRequests, batch: Candidates, pipeline: Runnable) -> tuple[IntArray, BoolArray]:
    """Return where each logged candidate is in a batch, and whether it is."""
    ids = pipeline.schema.item_ids
    width = len(ids) + 1
    key = batch.row * width + batch.item
    order = np.argsort(key, kind="stable")
    item = ids.encode(part.item)
    position, found = locate_sorted(key[order], part.row * width + item)
    return order[np.minimum(position, max(len(order) - 1, 0))] if len(order) else position, found & (item > 0)


class _Test(NamedTuple):
    """A comparison of columns: its verdict is the share of bad rows, a message and a hint."""

    name: str
    finding: str
    expected: str
    verdict: Callable[[int], tuple[float, str, str]]


@dataclass(frozen=True, eq=False)
class _Compared:
    """Logged features beside those computed again: rows that may be compared, and in which they differ."""

    names: tuple[str, ...]
    served: Float32Array
    now: Float32Array
    #: Rows (N, F) that may be compared.
    able: BoolArray
    tolerance: float

    @classmethod
    def of(cls, logged: LoggedRequests, again: _Again, pipeline: Runnable, tolerance: float) -> _Compared:
        names = tuple(name for name in logged.feature_names if name in again.names)
        served = logged.features[:, [logged.feature_names.index(name) for name in names]]
        now = again.features[:, [again.names.index(name) for name in names]]
        own = (logged.model == pipeline.fingerprint)[logged.row]
        as_of = np.isin(names, list(_as_of_names(pipeline)))
        return cls(names, served, now, again.found[:, None] & (own[:, None] | as_of), tolerance)

    def figures(self) -> dict[str, dict[str, float]]:
        return {name: self._figures(column) for column, name in enumerate(self.names)}

    def values(self, warn: float, fail: float) -> Iterator[Check]:
        expected = f"equal to {self.tolerance:g} in all but {warn:.1%} of the rows"

        def verdict(column: int) -> tuple[float, str, str]:
            served, now = self._both(column)
            different = self._different(served, now)
            share = float(different.mean()) if len(different) else 0.0
            gap = np.abs(served - now)[different]
            message = (
                f"differs in {share:.2%} of {len(served):,} rows, the median of them by {_median(gap):.4g}, "
                f"the largest by {gap.max(initial=0.0):.4g}"
            )
            return share, message + _multiple(served[different], now[different]), _HINT

        test = _Test("skew.values", "differs", expected, verdict)
        return self._run(test, warn, fail)

    def missing(self, warn: float, fail: float) -> Iterator[Check]:
        def verdict(column: int) -> tuple[float, str, str]:
            gone_served, gone_now = self._missing(column)
            n = len(gone_served)
            only_served, only_now = (gone_served & ~gone_now), (gone_now & ~gone_served)
            share = float((only_served | only_now).mean()) if n else 0.0
            message = (
                f"missing when served but not now in {only_served.mean() if n else 0:.2%} of {n:,} rows, "
                f"now but not when served in {only_now.mean() if n else 0:.2%}"
            )
            return share, message, "is a table, a store or a default other than in training?"

        expected = "missing on both sides or on none"
        test = _Test("skew.missing", "is missing on one side", expected, verdict)
        return self._run(test, warn, fail)

    def _run(self, test: _Test, warn: float, fail: float) -> Iterator[Check]:
        columns = [column for column in range(len(self.names)) if self.able[:, column].any()]
        if not columns:
            yield Check(test.name, "not checked", "no candidate could be computed again", test.expected)
            return
        clean = True
        for column in columns:
            share, message, hint = test.verdict(column)
            if share <= warn:
                continue
            clean = False
            status: Status = "fail" if share > fail else "warn"
            yield Check(
                test.name,
                status,
                f"{self.names[column]} {message}",
                expected=test.expected,
                hint=hint,
                subject=self.names[column],
                rows=self._rows(column, test.name),
                evidence=self._figures(column),
            )
        if clean:
            message = f"none of {len(columns)} features {test.finding}"
            yield Check(test.name, "pass", message, test.expected)

    def _both(self, column: int) -> tuple[FloatArray, FloatArray]:
        """Return both values of the rows that have both."""
        there = self.able[:, column] & np.isfinite(self.served[:, column]) & np.isfinite(self.now[:, column])
        return self.served[there, column].astype(np.float64), self.now[there, column].astype(np.float64)

    def _missing(self, column: int) -> tuple[BoolArray, BoolArray]:
        able = self.able[:, column]
        return ~np.isfinite(self.served[able, column]), ~np.isfinite(self.now[able, column])

    def _different(self, served: FloatArray, now: FloatArray) -> BoolArray:
        different: BoolArray = np.abs(served - now) > np.maximum(
            self.tolerance * np.maximum(np.abs(served), np.abs(now)), _NOTHING
        )
        return different

    def _rows(self, column: int, name: str) -> IntArray:
        """Return the candidates of the log that a finding is about."""
        served, now = (side[:, column].astype(np.float64) for side in (self.served, self.now))
        one_sided = np.isfinite(served) != np.isfinite(now)
        with np.errstate(invalid="ignore"):
            bad = one_sided if name == "skew.missing" else self._different(served, now) & ~one_sided
        return np.flatnonzero(bad & self.able[:, column])

    def _figures(self, column: int) -> dict[str, float]:
        served, now = self._both(column)
        gone_served, gone_now = self._missing(column)
        gap, n = np.abs(served - now), max(len(gone_served), 1)
        equal = int((~self._different(served, now)).sum()) + int((gone_served & gone_now).sum())
        return {
            "rows": float(len(gone_served)),
            "equal": equal / n,
            "median": _median(gap),
            "largest": float(gap.max()) if len(gap) else np.nan,
            "missing_served": float((gone_served & ~gone_now).sum()) / n,
            "missing_now": float((gone_now & ~gone_served).sum()) / n,
        }


_HINT = (
    "served from an older table or without the latest events (give the stage live_events, or refit more often), or "
    "computed from events after the request?"
)


def _median(values: FloatArray) -> float:
    return float(np.median(values)) if len(values) else np.nan


def _multiple(served: FloatArray, now: FloatArray) -> str:
    """Say that one side is the same multiple of the other, if it is: another unit."""
    able = now != 0
    if able.sum() < 3:
        return ""
    ratio = served[able] / now[able]
    middle = float(np.median(ratio))
    alike = np.abs(ratio - middle) <= 1e-4 * abs(middle)
    if middle <= 0 or alike.mean() < _UNIT_SHARE or len(np.unique(now[able])) < 3:
        return ""
    return f"; what was served is {middle:.6g} times what is computed now: another unit?"


def _as_of_names(pipeline: Runnable) -> set[str]:
    """Return the features that depend on events and tables as of the request alone, whatever model served."""
    nodes = [node for node in pipeline if node.role is Role.FEATURIZER]
    names = {name for node in nodes if traits_of(node.stage).as_of for name in node.stage.names}
    sources = [node.leaf for node in pipeline if node.role is Role.SOURCE]
    return names - {f"{source}_{part}" for source in sources for part in ("rank", "score")} - {"source_count"}


def _columns(logged: LoggedRequests, again: _Again) -> Check:
    name, expected = "skew.columns", "the same features when served and now"
    gone = [feature for feature in logged.feature_names if feature not in again.names]
    new = [feature for feature in again.names if feature not in logged.feature_names]
    if gone:
        message = f"found no {', '.join(gone)} in the pipeline, which were served"
        hint = "give the pipeline that served, or train on the features that are logged"
        return Check(name, "fail", message, expected, hint, subject=gone[0])
    if new:
        message = f"found {', '.join(new)} in the pipeline, which were not served"
        hint = "serve them before they are trained on"
        return Check(name, "warn", message, expected, hint, subject=new[0])
    return Check(name, "pass", f"all {len(again.names)} features are on both sides", expected)


def _candidates(again: _Again) -> Check:
    name, expected = "skew.candidates", "most logged candidates found again"
    n, found = len(again.found), int(again.found.sum())
    message = f"{found:,} of {n:,} logged candidates are found again and compared"
    if found > n / 2:
        return Check(name, "pass", message, expected, evidence={"found": found, "rows": n})
    hint = "fallback items, another model's candidates, or today's stock: log with unserved=None, or give the model"
    return Check(name, "warn", message, expected, hint, evidence={"found": found, "rows": n})


def _models(logged: LoggedRequests, pipeline: Runnable) -> Check:
    name, expected = "skew.models", "requests that this pipeline served"
    other = int((logged.model != pipeline.fingerprint).sum())
    if not other:
        return Check(name, "pass", f"this pipeline served all {len(logged):,} requests", expected)
    message = (
        f"{other:,} of {len(logged):,} requests were served by another model: features that depend on its sources or "
        "its fit are compared in the others only"
    )
    return Check(name, "not checked", message, expected)
