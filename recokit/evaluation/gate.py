"""Gate: whether a candidate may replace the baseline, condition by condition."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from recokit._stats.intervals import FEW_USERS, holm, quantile_interval
from recokit._utils.options import above, between, optional, require
from recokit._utils.report import Content, Report, Table, json_ready
from recokit.errors import ConfigurationError, DataError, GateRejected
from recokit.evaluation.comparison import POWER, compare
from recokit.evaluation.evaluate import BASELINE
from recokit.evaluation.report import Evaluation
from recokit.typing import AnyArray

#: Share of the baseline's mean that a candidate may lose: a drop of 2% is too much.
MARGIN = 0.02
#: Share of a segment's baseline mean that a candidate may lose there.
SEGMENT_TOLERANCE = 0.05
#: Seconds that 99 of 100 requests keep.
P99 = 0.1


#: What may be lost of the baseline.
_LOSS = between(0, 1, open_high=True, hint="a share of the baseline, such as 0.02")


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


@dataclass(frozen=True, repr=False)
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
        verdicts = {condition.verdict for condition in self.conditions}
        return next((one for one in (Verdict.FAIL, Verdict.CANNOT_TELL) if one in verdicts), Verdict.PASS)

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

    def plot(self, ax: Any = None) -> Any:
        """Draw a mark for each condition, with what was found.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ConfigurationError
            Without matplotlib (extra ``plots``).
        """
        from recokit._utils.plots.checks import draw_checks
        from recokit._utils.plots.style import title

        status = {Verdict.PASS: "pass", Verdict.FAIL: "fail", Verdict.CANNOT_TELL: "warn"}
        checks = [(one.what, status.get(one.verdict, "not checked"), one.reason) for one in self.conditions]
        ax = draw_checks(checks, ax)
        title(ax, f"{self.candidate} against {self.baseline}: {self.verdict}")
        return ax

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
    """Acceptance gate: what a candidate must show before it replaces the baseline.

    Quality and guardrails ask for *non-inferiority*: the paired interval of the difference, not its mean alone, must
    lie above the margin. A test that finds no difference does not show that there is none. Segments are smaller, so
    there the question is the other one: none may be clearly worse, by Holm's test over all segments and metrics, and by
    more than its tolerance.

    Parameters
    ----------
    baseline : Evaluation, str or Path
        Of the recommender to beat, or a file of :meth:`Evaluation.save`. Latency and coverage need none of it.
    metrics : sequence of str, default ("NDCG@10", "Recall@50", "MAP@10")
        That may not fall by more than the margin.
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
        Seconds that 99 of 100 requests must keep, such as 0.1. ``check`` is then given measured seconds.
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
        self._tolerances = self._checked_tolerances()
        require(optional(above(0)), latency=latency)
        require(optional(between(0, 1)), coverage=coverage)

    def _checked_tolerances(self) -> dict[str, float]:
        """Return the share that may be lost by segment; ConfigurationError for names and changes that are none."""
        for metric in (*self.metrics, *self.guardrails):
            self.baseline.column(metric)
        if isinstance(self.segments, Mapping):
            tolerances = {name: float(lost) for name, lost in self.segments.items()}
            for name in tolerances:
                self.baseline.code(name)
        else:
            names = () if self.segments is None else self.baseline.segments[1:]
            tolerances = {name: float(self.segments or 0.0) for name in names}
        for name, lost in {"margin": self.margin, **tolerances}.items():
            _LOSS.check(name, lost)
        for name, change in self.guardrails.items():
            if not (change and np.isfinite(change)):
                raise ConfigurationError(
                    f"found guardrail {name!r}: {change}; expected a change such as -0.05, for a metric that may not "
                    "fall by more, or 0.1, for one that may not rise by more"
                )
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
        self._require_comparable(candidate)
        conditions = [self._changed("quality", candidate, metric, -self.margin) for metric in self.metrics]
        conditions += self._segments(candidate)
        conditions += [
            self._changed("guardrail", candidate, metric, change)
            for metric, change in self.guardrails.items()
        ]
        if self.latency is not None:
            conditions.append(_latency(self.latency, seconds, candidate.confidence))
        if self.coverage is not None:
            conditions.append(_coverage(self.coverage, candidate))
        return GateResult(
            self.baseline.name,
            candidate.name,
            tuple(conditions),
            confidence=candidate.confidence,
            fingerprint=self.baseline.fingerprint,
        )

    def _require_comparable(self, candidate: Evaluation) -> None:
        old = self.baseline
        metrics = (*self.metrics, *self.guardrails)
        for metric in metrics:
            candidate.column(metric)
        differ = ["k"] if old.k != candidate.k else []
        differ += ["now"] if old.now != candidate.now else []
        differ += [
            f"definition of {metric}"
            for metric in metrics
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
            return _condition(kind, metric, Verdict.CANNOT_TELL, _UNKNOWN, limit=allowed, reason=reason)
        if np.isnan(self.baseline.values(metric)).all():
            change = _Range(*[(candidate[metric].mean - base) / base] * 3)
            verdict, note = change.verdict(allowed), "without interval"
        else:
            difference = compare(candidate, self.baseline, metric)
            change = _Range(difference.mean, difference.low, difference.high) / base
            verdict = change.verdict(allowed)
            note = f"{difference.n:,} users{', which is few' if difference.few else ''}"
            if verdict is Verdict.CANNOT_TELL:
                spare = abs(difference.mean - allowed * base)
                needed = difference.n * (difference.detectable / spare) ** 2 if spare > 0 else np.inf
                note += f"; {needed:,.0f} would tell with {POWER:.0%} chance"
        reason = _explained(change, allowed, note)
        return _condition(kind, metric, verdict, change, limit=allowed, reason=reason)

    def _segments(self, candidate: Evaluation) -> list[Condition]:
        pairs = [(name, metric) for name in self._tolerances for metric in self.metrics]
        losses = [compare(self.baseline, candidate, metric, segment=name) for name, metric in pairs]
        enough = np.array([loss.n >= max(2, self.min_users) for loss in losses], np.bool_)
        p_values = np.full(len(losses), np.nan)
        p_values[enough] = holm([loss.p_value for loss, tested in zip(losses, enough, strict=True) if tested])
        conditions = []
        for (name, metric), loss, tested, p in zip(pairs, losses, enough, p_values, strict=True):
            base, allowed = self.baseline[metric, name].mean, -self._tolerances[name]
            change = _Range(-loss.mean, -loss.high, -loss.low) / base if base > 0 else _UNKNOWN
            worse = p < 1 - candidate.confidence and change.value < allowed
            verdict = Verdict.FAIL if worse else Verdict.PASS if tested else Verdict.NOT_JUDGED
            note = f"{loss.n:,} users" if tested else f"{loss.n:,} users, judged from {self.min_users:,}"
            note += f", p (Holm) {p:.3g}" if worse else ""
            reason = _explained(change, allowed, note)
            conditions.append(
                _condition("segment", f"{metric} ({name})", verdict, change, limit=allowed, reason=reason)
            )
        return conditions


class _Range(NamedTuple):
    """A figure and the ends of its interval."""

    value: float
    low: float
    high: float

    def __truediv__(self, base: float) -> _Range:
        return _Range(self.value / base, self.low / base, self.high / base)

    def verdict(self, limit: float) -> Verdict:
        """Return whether the interval keeps a limit: a negative one from above, a positive one from below."""
        if np.isnan([self.low, self.high]).any():
            return Verdict.CANNOT_TELL
        best, worst = (self.high, self.low) if limit <= 0 else (-self.low, -self.high)
        if worst >= -abs(limit):
            return Verdict.PASS
        return Verdict.FAIL if best < -abs(limit) else Verdict.CANNOT_TELL


_UNKNOWN = _Range(np.nan, np.nan, np.nan)


def _condition(
    kind: str, what: str, verdict: Verdict, measured: _Range, *, limit: float, reason: str
) -> Condition:
    return Condition(kind, what, verdict, **measured._asdict(), limit=limit, reason=reason)


def _explained(change: _Range, allowed: float, note: str) -> str:
    ends = "" if change.low == change.high else f" [{change.low:+.1%}, {change.high:+.1%}]"
    bound = "most" if allowed > 0 else "least"
    return f"{change.value:+.1%}{ends}, at {bound} {allowed:+.1%} allowed, {note}"


def _latency(limit: float, seconds: AnyArray | Sequence[float] | None, confidence: float) -> Condition:
    if seconds is None or not len(seconds):
        raise ConfigurationError(
            f"found no seconds for a gate with latency={limit}; expected the seconds of single requests"
        )
    p99 = _Range(*quantile_interval(np.asarray(seconds, np.float64), 0.99, confidence))
    value, low, high = (1e3 * part for part in p99)
    reason = (
        f"{value:.1f} [{low:.1f}, {high:.1f}] ms, at most {limit * 1e3:.1f} ms allowed, "
        f"{len(seconds):,} requests"
    )
    return _condition("latency", "p99", p99.verdict(limit), p99, limit=limit, reason=reason)


def _coverage(minimum: float, candidate: Evaluation) -> Condition:
    names = [metric for metric in candidate.metrics if metric.startswith("CatalogCoverage")]
    if len(names) != 1:
        raise ConfigurationError(
            f"found {names or 'no CatalogCoverage'} among the metrics; expected one, such as 'CatalogCoverage@10', "
            "for a gate with a coverage"
        )
    value = candidate[names[0]].mean
    verdict = Verdict.PASS if value >= minimum else Verdict.FAIL
    reason = f"{value:.1%} of the catalogue, at least {minimum:.1%} required"
    return _condition(
        "coverage", names[0], verdict, _Range(value, value, value), limit=minimum, reason=reason
    )
