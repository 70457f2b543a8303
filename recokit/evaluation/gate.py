"""Gate: whether a candidate may replace the baseline, condition by condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from recokit._stats.intervals import FEW_USERS, holm, quantile_interval
from recokit._utils.report import Content, Report, Table, json_ready
from recokit.errors import ConfigurationError, DataError, GateRejected
from recokit.evaluation.comparison import POWER, compare
from recokit.evaluation.evaluate import BASELINE
from recokit.evaluation.report import Evaluation
from recokit.typing import AnyArray

__all__ = ["Condition", "Gate", "GateResult", "Verdict"]

#: Share of the baseline's mean that a candidate may lose; R23 calls a drop of 2% too much.
MARGIN = 0.02
#: Share of a segment's baseline mean that a candidate may lose there.
SEGMENT_TOLERANCE = 0.05
#: Latency that 99 of 100 requests keep, in seconds; R9.
P99 = 0.1


class Verdict(StrEnum):
    """What is known about a condition."""

    PASS = "pass"
    FAIL = "fail"
    CANNOT_TELL = "cannot tell"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Condition:
    """One condition and what was found.

    Parameters
    ----------
    kind : str
        ``"quality"``, ``"segment"``, ``"guardrail"``, ``"latency"`` or ``"coverage"``.
    what : str
        The metric, and the segment if it is of one.
    verdict : Verdict
        ``CANNOT_TELL`` and ``FAIL`` keep the candidate out, ``NOT_JUDGED`` does not.
    value, low, high : float
        What was measured, and its interval: a change relative to the baseline, or the number itself.
    limit : float
        What ``value`` is held against, in the same unit.
    reason : str
        The finding in a sentence.
    """

    kind: str
    what: str
    verdict: Verdict
    value: float
    low: float
    high: float
    limit: float
    reason: str

    def __str__(self) -> str:
        return f"{self.kind} {self.what}: {self.verdict}, {self.reason}"


@dataclass(frozen=True)
class GateResult(Report):
    """What :meth:`Gate.check` found.

    Parameters
    ----------
    baseline, candidate : str
        Names.
    conditions : tuple of Condition
        In the order quality, segments, guardrails, latency, coverage.
    confidence : float
        Of the intervals.
    fingerprint : str
        Of the test data and definitions that both share.
    """

    baseline: str
    candidate: str
    conditions: tuple[Condition, ...]
    confidence: float
    fingerprint: str

    @property
    def verdict(self) -> Verdict:
        """``FAIL`` if a condition failed, else ``CANNOT_TELL`` if one cannot be told, else ``PASS``."""
        found = {condition.verdict for condition in self.conditions}
        return next((one for one in (Verdict.FAIL, Verdict.CANNOT_TELL) if one in found), Verdict.PASS)

    @property
    def passed(self) -> bool:
        """Whether the candidate may replace the baseline."""
        return self.verdict is Verdict.PASS

    @property
    def reasons(self) -> tuple[str, ...]:
        """What keeps the candidate out; empty if nothing does."""
        out = (Verdict.FAIL, Verdict.CANNOT_TELL)
        return tuple(str(condition) for condition in self.conditions if condition.verdict in out)

    @property
    def exit_code(self) -> int:
        """0 passed, 1 failed, 2 cannot tell: for ``sys.exit`` in CI."""
        return {Verdict.PASS: 0, Verdict.FAIL: 1}.get(self.verdict, 2)

    def raise_for_status(self) -> None:
        """Raise GateRejected, with all reasons, unless the candidate passed."""
        if not self.passed:
            raise GateRejected(
                f"found {self.candidate!r} {self.verdict} against {self.baseline!r}; expected every condition to pass; "
                + "; ".join(self.reasons)
            )

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        return {
            "baseline": self.baseline,
            "candidate": self.candidate,
            "verdict": str(self.verdict),
            "passed": self.passed,
            "exit_code": self.exit_code,
            "confidence": self.confidence,
            "fingerprint": self.fingerprint,
            "conditions": [json_ready(asdict(condition)) for condition in self.conditions],
        }

    def _content(self) -> Content:
        title = f"{self.verdict.upper()}: {self.candidate} against {self.baseline}, {self.confidence:.0%} intervals"
        rows = [[one.kind, one.what, str(one.verdict), one.reason] for one in self.conditions]
        return Content(title, [Table(["condition", "of", "verdict", "reason"], rows)])


class Gate:
    """Acceptance gate: what a candidate must show before it replaces the baseline (R7).

    Quality and guardrails ask for *non-inferiority*: the paired interval of the difference, not its mean alone, must
    lie above the margin. A test that finds no difference does not show that there is none. Segments are smaller, so
    there the question is the other one: none may be clearly worse, by Holm's test over all segments and metrics, and by
    more than its tolerance.

    Parameters
    ----------
    baseline : Evaluation, str or Path
        Of the recommender to beat, or a file of :meth:`Evaluation.save`. Latency and coverage need none of it.
    metrics : sequence of str, default ("NDCG@10", "Recall@50", "MAP@10")
        That may not fall by more than the margin; R7.
    margin : float, default 0.02
        Share of the baseline's mean; 0 asks for an improvement that is clear.
    segments : float, mapping of str to float, or None, default 0.05
        Share of a segment's own baseline mean that may be lost: of every segment of the baseline, or of those named;
        None judges none.
    guardrails : mapping of str to float, optional
        Most change of other metrics, relative to the baseline. The sign is the direction: ``-0.05`` for a metric that
        may not fall by more than 5%, ``0.1`` for one that may not rise by more than 10%. Metrics of the whole catalogue
        have no interval: there the value itself counts.
    latency : float, optional
        Seconds that 99 of 100 requests must keep; R9 has 0.1, :data:`P99`. ``check`` is then given measured seconds.
    coverage : float, optional
        Least ``CatalogCoverage`` of the candidate, a share of the catalogue.
    min_users : int, default 200
        Segments with fewer users are not judged.

    Raises
    ------
    ConfigurationError
        For options that are impossible, or metrics and segments that the baseline lacks.

    Examples
    --------
    >>> from recokit.data import Vocabulary
    >>> from recokit.evaluation import evaluate
    >>> from recokit.result import Recommendations
    >>> def lists(items):
    ...     n = len(items)
    ...     return Recommendations(
    ...         users=np.arange(n), offsets=np.arange(n + 1), item=np.array(items), score=np.ones(n, np.float32),
    ...         columns={}, sources=((),) * n, status=np.zeros(n, np.int64), reasons=((),) * n,
    ...         item_ids=Vocabulary(["pear", "fig"]))
    >>> truth = {user: ["pear"] for user in range(1000)}
    >>> old = evaluate(lists([1, 2] * 500), truth, ["NDCG@1"])
    >>> new = evaluate(lists([1, 2, 1, 1] * 250), truth, ["NDCG@1"])
    >>> gate = Gate(old, metrics=["NDCG@1"])
    >>> gate.check(new).passed, gate.check(old).exit_code
    (True, 0)
    >>> Gate(new, metrics=["NDCG@1"]).check(old).reasons
    ('quality NDCG@1: fail, -33.3% [-37.0%, -29.8%], at least -2.0% allowed, 1,000 users',)
    """

    def __init__(
        self,
        baseline: Evaluation | str | Path,
        *,
        metrics: Sequence[str] = BASELINE,
        margin: float = MARGIN,
        segments: float | Mapping[str, float] | None = SEGMENT_TOLERANCE,
        guardrails: Mapping[str, float] | None = None,
        latency: float | None = None,
        coverage: float | None = None,
        min_users: int = FEW_USERS,
    ) -> None:
        self.baseline = baseline if isinstance(baseline, Evaluation) else Evaluation.load(baseline)
        if isinstance(metrics, str) or not metrics:
            raise ConfigurationError(f"found metrics={metrics!r}; expected at least one, such as ['NDCG@10']")
        self.metrics, self.margin, self.segments = tuple(metrics), margin, segments
        self.guardrails = dict(guardrails or {})
        self.latency, self.coverage, self.min_users = latency, coverage, min_users
        self._tolerances = self._read()

    def _read(self) -> dict[str, float]:
        for metric in (*self.metrics, *self.guardrails):
            self.baseline._metric(metric)
        if isinstance(self.segments, Mapping):
            tolerances = {name: float(value) for name, value in self.segments.items()}
            for name in tolerances:
                self.baseline._segment(name)
        else:
            names = () if self.segments is None else self.baseline.segments[1:]
            tolerances = {name: float(self.segments or 0.0) for name in names}
        for name, share in {"margin": self.margin, **tolerances}.items():
            if not 0 <= share < 1:
                raise ConfigurationError(
                    f"found {share} for {name}; expected a share of the baseline from 0 to 1, such as 0.02"
                )
        for name, change in self.guardrails.items():
            if not (change and np.isfinite(change)):
                raise ConfigurationError(
                    f"found guardrail {name!r}: {change}; expected a change such as -0.05, for a metric that may not "
                    "fall by more, or 0.1, for one that may not rise by more"
                )
        if self.latency is not None and not self.latency > 0:
            raise ConfigurationError(f"found latency={self.latency}; expected seconds above 0, such as 0.1")
        if self.coverage is not None and not 0 <= self.coverage <= 1:
            raise ConfigurationError(f"found coverage={self.coverage}; expected a share of the catalogue")
        return tolerances

    def check(
        self, candidate: Evaluation, *, seconds: AnyArray | Sequence[float] | None = None
    ) -> GateResult:
        """Hold a candidate against the baseline.

        Parameters
        ----------
        candidate : Evaluation
            On the same test data, with the same metrics, list length and time as the baseline.
        seconds : array-like of float, optional
            Latency of single requests; a gate with ``latency`` needs at least 368 to pass, at 95%.

        Returns
        -------
        GateResult

        Raises
        ------
        DataError
            If the two evaluations are not of the same data and definitions.
        ConfigurationError
            If the gate has a latency and no seconds are given, or a coverage that was not evaluated.
        """
        self._comparable(candidate)
        conditions = [self._changed("quality", candidate, metric, -self.margin) for metric in self.metrics]
        conditions += self._segments(candidate)
        conditions += [
            self._changed("guardrail", candidate, metric, change)
            for metric, change in self.guardrails.items()
        ]
        conditions += (
            [] if self.latency is None else [self._latency(self.latency, seconds, candidate.confidence)]
        )
        conditions += [] if self.coverage is None else [_coverage(self.coverage, candidate)]
        return GateResult(
            self.baseline.name,
            candidate.name,
            tuple(conditions),
            candidate.confidence,
            self.baseline.fingerprint,
        )

    def _comparable(self, candidate: Evaluation) -> None:
        old = self.baseline
        wanted = (*self.metrics, *self.guardrails)
        for metric in wanted:
            candidate._metric(metric)
        differ = [name for name in ("k", "now") if getattr(old, name) != getattr(candidate, name)]
        differ += [
            f"definition of {metric}"
            for metric in wanted
            if candidate.definitions[metric] != old.definitions[metric]
        ]
        n = len(old) + len(candidate) - 2 * int(np.count_nonzero(old.users.encode(candidate.users.ids)))
        differ += [f"users ({n:,} in one only)"] if n else []
        if differ:
            raise DataError(
                f"found {candidate.name!r} with another {', '.join(differ)} than the baseline {old.name!r}; "
                "expected both evaluated on the same test data in the same way"
            )

    def _changed(self, kind: str, candidate: Evaluation, metric: str, allowed: float) -> Condition:
        """Return whether a metric changed by no more than allowed; the sign says which way is worse."""
        base = self.baseline[metric].mean
        if not base > 0:
            reason = f"the baseline has {base:.4f}, of which nothing is a share"
            return Condition(kind, metric, Verdict.CANNOT_TELL, np.nan, np.nan, np.nan, allowed, reason)
        if np.isnan(self.baseline.values(metric)).all():
            value = (candidate[metric].mean - base) / base
            change, note = (value, value, value), "without interval"
            return _condition(kind, metric, _within(*change[1:], allowed), change, allowed, note)
        found = compare(candidate, self.baseline, metric)
        change = (found.mean / base, found.low / base, found.high / base)
        verdict = _within(*change[1:], allowed)
        note = f"{found.n:,} users{', which is few' if found.few else ''}"
        if verdict is Verdict.CANNOT_TELL:
            spare = abs(found.mean - allowed * base)
            needed = found.n * (found.detectable / spare) ** 2 if spare > 0 else np.inf
            note += f"; {needed:,.0f} would tell with {POWER:.0%} chance"
        return _condition(kind, metric, verdict, change, allowed, note)

    def _segments(self, candidate: Evaluation) -> list[Condition]:
        wanted = [(name, metric) for name in self._tolerances for metric in self.metrics]
        found = [compare(self.baseline, candidate, metric, segment=name) for name, metric in wanted]
        judged = [one.n >= max(2, self.min_users) for one in found]
        adjusted = iter(holm([one.p_value for one, so in zip(found, judged, strict=True) if so]))
        conditions = []
        for (name, metric), one, so in zip(wanted, found, judged, strict=True):
            base, allowed = self.baseline[metric, name].mean, -self._tolerances[name]
            p = float(next(adjusted)) if so else np.nan
            share = (-one.mean / base, -one.high / base, -one.low / base) if base > 0 else (np.nan,) * 3
            worse = p < 1 - candidate.confidence and share[0] < allowed
            verdict = Verdict.FAIL if worse else Verdict.PASS if so else Verdict.NOT_JUDGED
            note = f"{one.n:,} users" if so else f"{one.n:,} users, judged from {self.min_users:,}"
            note += f", p (Holm) {p:.3g}" if worse else ""
            conditions.append(_condition("segment", f"{metric} ({name})", verdict, share, allowed, note))
        return conditions

    def _latency(
        self, limit: float, seconds: AnyArray | Sequence[float] | None, confidence: float
    ) -> Condition:
        if seconds is None or not len(seconds):
            raise ConfigurationError(
                f"found no seconds for a gate with latency={limit}; expected the seconds of single requests"
            )
        value, low, high = quantile_interval(np.asarray(seconds, np.float64), 0.99, confidence)
        verdict = _within(low, high, limit)
        ends = f"[{low * 1e3:.1f}, {high * 1e3:.1f}]"
        reason = (
            f"{value * 1e3:.1f} {ends} ms, at most {limit * 1e3:.1f} ms allowed, {len(seconds):,} requests"
        )
        return Condition("latency", "p99", verdict, value, low, high, limit, reason)


def _coverage(least: float, candidate: Evaluation) -> Condition:
    names = [metric for metric in candidate.metrics if metric.startswith("CatalogCoverage")]
    if len(names) != 1:
        raise ConfigurationError(
            f"found {names or 'no CatalogCoverage'} among the metrics; expected one, such as 'CatalogCoverage@10', "
            "for a gate with a coverage"
        )
    value = candidate[names[0]].mean
    verdict = Verdict.PASS if value >= least else Verdict.FAIL
    reason = f"{value:.1%} of the catalogue, at least {least:.1%} required"
    return Condition("coverage", names[0], verdict, value, value, value, least, reason)


def _within(low: float, high: float, limit: float) -> Verdict:
    """Return whether an interval keeps a limit: a negative one from above, a positive one from below."""
    if np.isnan([low, high]).any():
        return Verdict.CANNOT_TELL
    best, worst = (high, low) if limit <= 0 else (-low, -high)
    if worst >= -abs(limit):
        return Verdict.PASS
    return Verdict.FAIL if best < -abs(limit) else Verdict.CANNOT_TELL


def _condition(
    kind: str, what: str, verdict: Verdict, change: tuple[float, float, float], allowed: float, note: str
) -> Condition:
    value, low, high = change
    ends = "" if low == high else f" [{low:+.1%}, {high:+.1%}]"
    bound = "most" if allowed > 0 else "least"
    reason = f"{value:+.1%}{ends}, at {bound} {allowed:+.1%} allowed, {note}"
    return Condition(kind, what, verdict, value, low, high, allowed, reason)
