"""Decision: what to do, in words, and why."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from recokit.experiments.effects import Effect, Guarded
from recokit.experiments.splits import Split

#: Share of a day that is not worth another one.
_NEAR = 0.1
Verdict = Literal["ship", "do not ship", "cannot tell yet", "do not read"]


@dataclass(frozen=True)
class Decision:
    """What to do with an experiment.

    Parameters
    ----------
    verdict : {"ship", "do not ship", "cannot tell yet", "do not read"}
    reasons : tuple of str
        At least one.
    arm : str
        The arm to ship, empty for none.
    days : float
        More days needed, NaN where that is not the question or not known.
    """

    verdict: Verdict
    reasons: tuple[str, ...]
    arm: str = ""
    days: float = math.nan

    def __str__(self) -> str:
        words: str = self.verdict
        if self.verdict == "ship":
            words = f"ship {self.arm}"
        elif self.verdict == "cannot tell yet" and math.isfinite(self.days):
            n = max(1, math.ceil(self.days - _NEAR))
            words = f"cannot tell yet: {n:,} more day{'' if n == 1 else 's'}"
        return f"{words}, because {'; '.join(self.reasons)}"


def decide(
    splits: Sequence[Split],
    effects: Sequence[Effect],
    guarded: Sequence[Guarded],
    *,
    days_left: float,
    done: bool,
) -> Decision:
    """Return the decision: about each treatment, and of these the best.

    A broken split stops everything. A treatment is shipped where it is better and every guardrail holds, and not where
    it is worse, or a guardrail is broken, or the planned end is reached without a difference; else one has to wait.
    """
    broken = [split for split in splits if split.is_broken]
    if broken:
        return Decision("do not read", tuple(_broken(split) for split in broken[:3]))
    found = [
        _about(effect, [one for one in guarded if one.effect.arm == effect.arm], days_left, done)
        for effect in effects
    ]
    order = ("ship", "cannot tell yet", "do not ship")
    best = min(order.index(one.verdict) for one in found)
    chosen = [
        (effect, one) for effect, one in zip(effects, found, strict=True) if order.index(one.verdict) == best
    ]
    if order[best] == "ship":
        return max(chosen, key=lambda pair: -pair[0].value if pair[0].lower_is_better else pair[0].value)[1]
    if len(chosen) == 1:
        return chosen[0][1]
    reasons = tuple(f"{effect.arm}: {reason}" for effect, one in chosen for reason in one.reasons)
    return Decision(chosen[0][1].verdict, reasons, days=min(one.days for _, one in chosen))


def _about(effect: Effect, guarded: Sequence[Guarded], days_left: float, done: bool) -> Decision:
    said = f"{effect.metric} {moved(effect)}"
    broken = [_said(one) for one in guarded if one.held == "broken"]
    unclear = [_said(one) for one in guarded if one.held == "cannot tell"]
    if effect.finding == "worse":
        return Decision("do not ship", (f"{said} is worse", *broken))
    if broken:
        return Decision("do not ship", (f"{said}, {effect.finding}", *broken))
    if effect.finding == "better":
        if not unclear:
            held = f"all {len(guarded)} guardrails hold" if guarded else "no guardrail was given"
            return Decision("ship", (f"{said} is better", held), effect.arm)
        if done and days_left <= 0:
            return Decision("do not ship", (f"{said} is better", *unclear, "the planned end is reached"))
        return Decision("cannot tell yet", (f"{said} is better", *unclear), days=_positive(days_left))
    if math.isnan(effect.p_value):
        return Decision(
            "cannot tell yet", (f"{effect.metric} is read at the planned end",), days=_positive(days_left)
        )
    if done and not days_left > 0:
        return Decision("do not ship", (f"{said}: no difference seen by the planned end", *unclear))
    return Decision(
        "cannot tell yet", (f"{said}: no difference seen yet", *unclear), days=_positive(days_left)
    )


def _positive(days: float) -> float:
    return days if days > 0 else math.nan


def moved(effect: Effect) -> str:
    """Return an effect in words, such as ``"+2.1% [+0.4%, +3.8%]"``; absolute where the control is 0."""
    if math.isfinite(effect.relative):
        low, high = effect.relative_interval
        return f"{effect.relative:+.1%} [{low:+.1%}, {high:+.1%}]"
    low, high = effect.interval
    return f"{effect.value:+.4g} [{low:+.4g}, {high:+.4g}]"


def _said(one: Guarded) -> str:
    loss, _, high = one.loss
    form = ".1%" if one.relative else ".4g"
    if one.held == "broken":
        return f"guardrail {one.name} is {loss:{form}} worse, at most {one.margin:{form}} was accepted"
    return f"guardrail {one.name} may be up to {high:{form}} worse, {one.margin:{form}} was accepted"


def _broken(split: Split) -> str:
    counts = " : ".join(f"{n:,}" for n in split.counts)
    expected = " : ".join(f"{n:,.0f}" for n in split.expected)
    return (
        f"the split of {split.part} is {counts} where {expected} were expected (p = {split.p_value:.1g}): units are "
        "lost or added in one arm, and what is left cannot be compared"
    )
