"""Items about serving: time, errors, what happens when parts are down, and what will be watched."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit.budget import PHASE_BUDGET_MS, TOTAL_BUDGET_MS
from recokit.data import Requests, Retrieved
from recokit.data.validation.report import Check, Status
from recokit.preflight.launch import K, Launch, judged, unchecked
from recokit.protocols import Role
from recokit.trace import Status as Answered

__all__ = ["errors", "fallback", "latency", "outcomes", "slower"]

_QUANTILES = (50, 95, 99)


def latency(launch: Launch) -> Check:
    """R9: within the budget at p99; phases within their shares."""
    budget = launch.limits.budget_ms
    name, expected = "serving.latency", f"p99 within {budget:g} ms, phases within their shares of it"
    p99 = {part: 1e3 * float(np.quantile(took, 0.99)) for part, took in launch.seconds["pipeline"].items()}
    late = [
        f"{part} {p99[part]:.1f} ms of {_share(part, budget):g}"
        for part in PHASE_BUDGET_MS
        if p99[part] > _share(part, budget)
    ]
    status: Status = "fail" if p99["total"] > budget else "warn" if late else "pass"
    message = f"p99 of {launch.n_requests} single requests is {p99['total']:.1f} ms"
    message += f"; above their shares: {', '.join(late)}" if late else ""
    hint = "" if status == "pass" else "print(result.trace) shows the time of each stage"
    return Check(name, status, message, expected, hint, evidence=p99)


def slower(launch: Launch) -> Check:
    """R18: no alert on latency at once, which is at twice the baseline."""
    times = launch.limits.slower
    name, expected = "serving.slower", f"median and p95 below {times:g} times the baseline's"
    if launch.baseline is None:
        return unchecked(name, "no baseline to compare with", expected, "baseline=what serves now")
    now, usual = (
        {q: float(np.percentile(of["total"], q)) for q in _QUANTILES}
        for of in (launch.seconds["pipeline"], launch.seconds["baseline"])
    )
    ratio = min(now[q] / max(usual[q], 1e-9) for q in (50, 95))
    median, high, usual_median, usual_high = (1e3 * of[q] for of in (now, usual) for q in (50, 95))
    message = f"median {median:.1f} ms and p95 {high:.1f} ms, the baseline's {usual_median:.1f} and {usual_high:.1f}"
    evidence = {f"p{q}": now[q] for q in _QUANTILES} | {f"baseline_p{q}": usual[q] for q in _QUANTILES}
    return judged(
        name, ratio, times, times, message, expected, "the latency alert would be raised", **evidence
    )


def fallback(launch: Launch) -> Check:
    """R10: lists also where every source is down, and where the ranker is."""
    name, expected = "serving.fallback", "full lists with every source down, and with the rankers down"
    short = {}
    for what, role, down in (("sources", Role.SOURCE, _NoSource()), ("rankers", Role.SCORER, _NoScores())):
        broken = launch.pipeline
        for node in launch.pipeline:
            if node.role is role and not node.name.startswith("fallback"):
                broken = broken.replace(node.name, down)
        lengths = np.diff(broken.recommend(launch.users, k=K, now=launch.now).offsets)
        short[what] = int(np.count_nonzero(lengths == 0))
    if not any(short.values()):
        return Check(
            name, "pass", f"all {len(launch.users)} users get a list either way", expected, evidence=short
        )
    message = ", ".join(
        f"{n} of {len(launch.users)} users get nothing with the {what} down" for what, n in short.items() if n
    )
    return Check(
        name, "fail", message, expected, "Pipeline(..., fallback=candidates.Popular())", evidence=short
    )


def errors(launch: Launch) -> Check:
    """R21: no stage fails, and nobody gets a fallback or nothing."""
    name, expected = "serving.errors", "no stage that fails, and no list from the fallback or empty"
    status = launch.served.status
    counts = {kind.name: int(np.count_nonzero(status == kind)) for kind in Answered}
    failing = sorted(
        {
            f"{event.name}: {event.error}"
            for trace in launch.served.traces
            for event in trace.events
            if event.error
        }
    )
    relaxed = np.array(
        [all("relaxed" in one for one in reasons) for reasons in launch.served.reasons], np.bool_
    )
    ill = float(((status != Answered.OK) & ~relaxed).mean()) if len(status) else 1.0
    message = f"{ill:.1%} of {len(status)} requests are not OK" + "".join(f"; {one}" for one in failing[:3])
    limits = launch.limits
    hint = "mend the stage, or see result.reasons"
    return judged(
        name,
        1.0 if failing else ill,
        limits.warn_errors,
        limits.fail_errors,
        message,
        expected,
        hint,
        **counts,
    )


def outcomes(launch: Launch) -> Check:
    """R19: what users do with the lists is known only once they are shown."""
    expected = "click-through, conversion and revenue per session by experiment group"
    return unchecked(
        "serving.outcomes", "known only from live traffic", expected, "monitoring.OutcomeMonitor"
    )


class _NoSource:
    """A source that is down."""

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        raise RuntimeError("the checklist tries what happens when sources are down")


class _NoScores:
    """A ranker that is down."""

    def score(self, candidates: Any) -> Any:
        raise RuntimeError("the checklist tries what happens when the ranker is down")


def _share(phase: str, budget: float) -> float:
    return PHASE_BUDGET_MS[phase] * budget / TOTAL_BUDGET_MS
