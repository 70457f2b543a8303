"""Estimate: what another policy would have been worth, by several estimators, or a refusal to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recokit.errors import ConfigurationError, SupportError, did_you_mean
from recokit.off_policy.estimators import (
    DM,
    DR,
    IPS,
    SNDR,
    SNIPS,
    ClippedIPS,
    DRos,
    Estimator,
    SwitchDR,
)
from recokit.off_policy.intervals import Interval, IntervalOptions, Parts
from recokit.off_policy.report import HINT, Estimate, OffPolicyReport
from recokit.off_policy.rounds import LoggedRounds
from recokit.off_policy.slates import IIPS, RIPS, SNIIPS, SNRIPS, CascadeDR, PseudoInverse
from recokit.off_policy.support import Overlap, Support, overlap_of

#: Estimators by name, with their default options.
ESTIMATORS: Mapping[str, type[Estimator]] = {
    kind.__name__: kind
    for kind in (
        *(DM, DR, IPS, SNDR, SNIPS, ClippedIPS, DRos, SwitchDR),
        *(IIPS, RIPS, SNIIPS, SNRIPS, CascadeDR, PseudoInverse),
    )
}

#: Effective rewards in the weighed sum below which no interval is to be taken at its word.
_FEW_REWARDS = 30
#: Share of the weights that may be left out without a word.
_MUCH_CUT = 0.05


def estimate(
    rounds: LoggedRounds,
    estimators: str | Estimator | Sequence[str | Estimator] | None = None,
    *,
    interval: Interval = "hall",
    confidence: float = 0.95,
    support: Support | None = Support(),  # noqa: B008  (frozen)
    reward_range: tuple[float, float] | None = None,
    resamples: int = 1000,
    seed: int = 0,
    notes: Sequence[str] = (),
) -> OffPolicyReport:
    """Estimate what the target policy is worth from a log of another one.

    Parameters
    ----------
    rounds : LoggedRounds
        What was shown, what came of it, and how likely both policies were to show it.
    estimators : str, Estimator or sequence of these, optional
        Names such as ``"SNIPS"`` or estimators with options. By default IPS, SNIPS and, with a reward model, DM, DR
        and SNDR; for lists IIPS, SNIIPS, RIPS and SNRIPS and, with a reward model, DM and CascadeDR.
    interval : {"hall", "student", "bootstrap", "bernstein"}, default "hall"
        ``"student"``: the mean of what rounds contribute is close to normal, quotients by the delta method. ``"hall"``:
        the same, corrected for skewness and heavy tails, which is what rare rewards and large weights make: with some
        10 effective rewards it covers over 90% where Student's and the bootstrap's cover less than 80%.
        ``"bootstrap"``: percentiles over resampled rounds. ``"bernstein"``: holds for every number of rounds, is wide,
        and needs ``reward_range`` and an estimator with limited weights.
    confidence : float, default 0.95
        Of the intervals.
    support : Support, optional
        Limits below which an estimate is refused; None refuses nothing.
    reward_range : (float, float), optional
        Smallest and largest summed reward of a round.
    resamples : int, default 1000
        Of the bootstrap.
    seed : int, default 0
        Of the bootstrap.
    notes : sequence of str
        Shown with the report.

    Returns
    -------
    OffPolicyReport
        Refused estimators are named in ``refused``, with the reasons.

    Raises
    ------
    SupportError
        If every estimator is refused.
    ConfigurationError
        For unknown estimators or options, or rounds that lack what an estimator needs.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> shown = rng.integers(0, 2, 5000)  # two items, shown evenly; the second one is clicked more
    >>> rounds = LoggedRounds(rng.random(5000) < np.array([0.1, 0.3])[shown], propensity=np.full(5000, 0.5),
    ...                       target=np.array([0.2, 0.8])[shown])
    >>> found = estimate(rounds, "SNIPS")["SNIPS"]
    >>> found.low < 0.2 * 0.1 + 0.8 * 0.3 < found.high, found.clear
    (True, True)
    """
    options = IntervalOptions(interval, confidence, resamples, seed)
    if reward_range is not None and not reward_range[0] < reward_range[1]:
        raise ConfigurationError(
            f"found reward_range={reward_range}; expected the smallest and the largest reward"
        )
    overlaps = _Overlaps(rounds)
    estimates, refused, warnings = [], {}, list(notes)
    for estimator in as_estimators(_default(rounds) if estimators is None else estimators):
        overlap = overlaps.of(estimator)
        problems = () if support is None or overlap is None else support.problems(overlap)
        if problems:
            refused[estimator.name] = problems
            continue
        parts = estimator.parts(rounds, reward_range)
        estimates.append(_estimate(estimator.name, parts, rounds, options, overlap))
        warnings += _warnings(estimator.name, parts, overlap)
    if not estimates:
        alike = {why: [name for name, its in refused.items() if its == why] for why in refused.values()}
        reasons = "; ".join(f"{', '.join(names)}: {', '.join(why)}" for why, names in alike.items())
        raise SupportError(f"found no support in {len(rounds):,} rounds ({reasons}); {HINT}")
    return OffPolicyReport(
        estimates=tuple(estimates),
        refused=refused,
        logged=_logged(rounds, options, reward_range),
        rounds=len(rounds),
        impressions=len(rounds.reward),
        clusters=None if rounds.clusters is None else int(rounds.clusters.max()) + 1,
        interval=interval,
        confidence=confidence,
        notes=tuple(warnings),
    )


def _estimate(
    name: str, parts: Parts, rounds: LoggedRounds, options: IntervalOptions, overlap: Overlap | None
) -> Estimate:
    error, low, high = options.of(parts, rounds.clusters)
    lift = parts.less(rounds.logged)
    _, lift_low, lift_high = options.without_bounds().of(lift, rounds.clusters)
    return Estimate(
        estimator=name,
        value=parts.value(),
        low=low,
        high=high,
        error=error,
        lift=lift.value(),
        lift_low=lift_low,
        lift_high=lift_high,
        overlap=overlap,
    )


def _logged(
    rounds: LoggedRounds, options: IntervalOptions, reward_range: tuple[float, float] | None
) -> Estimate:
    """Return what the log's own policy earned, whose lift over itself is nothing."""
    parts = Parts(rounds.logged, bounds=reward_range)
    options = options.without_bounds() if reward_range is None else options
    error, low, high = options.of(parts, rounds.clusters)
    nothing = {"lift": 0.0, "lift_low": 0.0, "lift_high": 0.0}
    return Estimate("logged", parts.value(), low, high, error=error, **nothing, overlap=None)


def as_estimators(estimators: str | Estimator | Sequence[str | Estimator]) -> list[Estimator]:
    """Return estimators of names and estimators.

    Raises
    ------
    ConfigurationError
        For an unknown name, anything else, none, or one twice.
    """
    made = []
    for one in [estimators] if isinstance(estimators, str | Estimator) else estimators:
        if isinstance(one, str):
            if one not in ESTIMATORS:
                raise ConfigurationError(f"found estimator {one!r}; {did_you_mean(one, ESTIMATORS)}")
            one = ESTIMATORS[one]()
        if not isinstance(one, Estimator):
            raise ConfigurationError(
                f"found estimator {one!r}; expected a name such as 'SNIPS', or an Estimator"
            )
        made.append(one)
    names = [one.name for one in made]
    if not names or len(set(names)) < len(names):
        raise ConfigurationError(f"found estimators {names}; expected at least one, each once")
    return made


class _Overlaps:
    """Overlap of each estimator; what several share is computed once."""

    def __init__(self, rounds: LoggedRounds) -> None:
        self._rounds, self._known = rounds, dict[int, Overlap]()

    def of(self, estimator: Estimator) -> Overlap | None:
        weight = estimator.weights(self._rounds)
        if weight is None:
            return None
        used = estimator.used(self._rounds)
        assert used is not None
        if used is not weight:
            return overlap_of(weight, used, self._rounds.propensity, self._rounds.clusters)
        if id(weight) not in self._known:
            self._known[id(weight)] = overlap_of(weight, used, self._rounds.propensity, self._rounds.clusters)
        return self._known[id(weight)]


def _default(rounds: LoggedRounds) -> list[str]:
    modelled = rounds.predicted is not None and rounds.expected is not None
    if rounds.width == 1:
        return ["IPS", "SNIPS", *(["DM", "DR", "SNDR"] if modelled else [])]
    return ["IIPS", "SNIIPS", "RIPS", "SNRIPS", *(["DM", "CascadeDR"] if modelled else [])]


def _warnings(name: str, parts: Parts, overlap: Overlap | None) -> list[str]:
    if overlap is None:
        return [f"{name} is as right as the reward model: its interval tells only how rounds differ"]
    warnings = []
    if overlap.cut > _MUCH_CUT:
        warnings.append(
            f"{name} leaves out {overlap.cut:.0%} of the weights: what that costs is in no interval"
        )
    rewards = parts.plain if parts.numerator is None else parts.numerator
    squares = float(np.dot(rewards, rewards))
    effective = float(np.abs(rewards).sum()) ** 2 / squares if squares > 0 else 0.0
    if effective < _FEW_REWARDS:
        warnings.append(
            f"{name} rests on {effective:.0f} effective rewards: take its interval with a grain of salt"
        )
    return warnings
