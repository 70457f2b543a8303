"""Items about serving: time, errors, lists when parts are down, and outcomes."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit.budget import PHASE_BUDGET_MS, TOTAL_BUDGET_MS
from recokit.data import Requests, Retrieved
from recokit.data.validation.report import Check, Status
from recokit.preflight.context import Item, K, LaunchContext
from recokit.protocols import Role
from recokit.trace import Status as Answered
from recokit.typing import FloatArray

#: Failing stages that a message names.
_NAMED = 3


def latency(launch: LaunchContext) -> Check:
    """Check that requests keep the budget at p99, and phases their shares of it."""
    budget = launch.limits.budget_ms
    item = Item(
        "serving.latency",
        f"p99 within {budget:g} ms, phases within their shares of it",
        "print(result.trace) shows the time of each stage",
    )
    p99 = {
        part: 1e3 * float(np.quantile(seconds, 0.99)) for part, seconds in launch.seconds["pipeline"].items()
    }
    shares = {phase: ms * budget / TOTAL_BUDGET_MS for phase, ms in PHASE_BUDGET_MS.items()}
    late = [f"{phase} {p99[phase]:.1f} ms of {ms:g}" for phase, ms in shares.items() if p99[phase] > ms]
    status: Status = "fail" if p99["total"] > budget else "warn" if late else "pass"
    message = f"p99 of {launch.n_requests} single requests is {p99['total']:.1f} ms"
    message += f"; above their shares: {', '.join(late)}" if late else ""
    return item.check(status, message, evidence=p99)


def slower(launch: LaunchContext) -> Check:
    """Check that the latency alert, raised at twice the baseline's, would not be raised at once."""
    times = launch.limits.slower
    item = Item(
        "serving.slower",
        f"median and p95 below {times:g} times the baseline's",
        "the latency alert would be raised",
    )
    if launch.baseline is None:
        return item.unchecked("no baseline to compare with", "baseline=what serves now")
    now, usual = (_quantiles(launch.seconds[name]["total"]) for name in ("pipeline", "baseline"))
    # The alert asks for both, so that one slow request is no cause.
    ratio = min(now[q] / max(usual[q], 1e-9) for q in ("p50", "p95"))
    message = (
        f"median {1e3 * now['p50']:.1f} ms and p95 {1e3 * now['p95']:.1f} ms, "
        f"the baseline's {1e3 * usual['p50']:.1f} and {1e3 * usual['p95']:.1f}"
    )
    evidence = now | {f"baseline_{q}": seconds for q, seconds in usual.items()}
    return item.graded(ratio, message, warn=times, fail=times, evidence=evidence)


def _quantiles(seconds: FloatArray) -> dict[str, float]:
    return {f"p{q}": float(np.percentile(seconds, q)) for q in (50, 95, 99)}


def fallback(launch: LaunchContext) -> Check:
    """Check that users get lists where every source is down, and where the rankers are."""
    item = Item(
        "serving.fallback",
        "full lists with every source down, and with the rankers down",
        "Pipeline(..., fallback=candidates.Popular())",
    )
    n = len(launch.users)
    empty = {
        "sources": _empty_lists(launch, Role.SOURCE, _NoSource()),
        "rankers": _empty_lists(launch, Role.SCORER, _NoScores()),
    }
    if not any(empty.values()):
        return item.check("pass", f"all {n} users get a list either way", evidence=empty)
    parts = [
        f"{short} of {n} users get nothing with the {part} down" for part, short in empty.items() if short
    ]
    return item.check("fail", ", ".join(parts), evidence=empty)


def _empty_lists(launch: LaunchContext, role: Role, down: Any) -> int:
    """Return how many users get nothing once all stages of a role are down."""
    broken = launch.pipeline
    for node in launch.pipeline:
        if node.role is role and not node.name.startswith("fallback"):
            broken = broken.replace(node.name, down)
    lists = broken.recommend(launch.users, k=K, now=launch.now)
    return int(np.count_nonzero(np.diff(lists.offsets) == 0))


def errors(launch: LaunchContext) -> Check:
    """Check that no stage fails, and nobody gets a fallback or nothing."""
    item = Item(
        "serving.errors",
        "no stage that fails, and no list from the fallback or empty",
        "mend the stage, or see result.reasons",
    )
    status, reasons, limits = launch.served.status, launch.served.reasons, launch.limits
    counts = {kind.name: int(np.count_nonzero(status == kind)) for kind in Answered}
    events = [event for trace in launch.served.traces for event in trace.events]
    failing = sorted({f"{event.name}: {event.error}" for event in events if event.error})
    relaxed = np.array([all("relaxed" in reason for reason in row) for row in reasons], np.bool_)
    ill = float(((status != Answered.OK) & ~relaxed).mean()) if len(status) else 1.0
    return item.graded(
        1.0 if failing else ill,
        "; ".join([f"{ill:.1%} of {len(status)} requests are not OK", *failing[:_NAMED]]),
        warn=limits.warn_errors,
        fail=limits.fail_errors,
        evidence=counts,
    )


def outcomes(launch: LaunchContext) -> Check:
    """Name the outcomes to watch: clicks and purchases are known only once lists are shown."""
    item = Item("serving.outcomes", "click-through, conversion and revenue per session by experiment group")
    return item.unchecked("known only from live traffic", "monitoring.OutcomeMonitor")


class _NoSource:
    """A source that is down."""

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        raise RuntimeError("the checklist tries what happens when sources are down")


class _NoScores:
    """A ranker that is down."""

    def score(self, candidates: Any) -> Any:
        raise RuntimeError("the checklist tries what happens when the ranker is down")
