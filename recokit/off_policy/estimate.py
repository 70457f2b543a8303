"""Estimate: what another policy would have been worth, by several estimators, or a refusal to say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from recokit._utils.options import require, share
from recokit.errors import ConfigurationError, SupportError, did_you_mean
from recokit.off_policy import estimators as _weighed
from recokit.off_policy import slates as _slates
from recokit.off_policy.estimators import Estimator
from recokit.off_policy.intervals import Interval, Parts, interval_of
from recokit.off_policy.report import HINT, Estimate, OffPolicyReport
from recokit.off_policy.rounds import LoggedRounds
from recokit.off_policy.support import Overlap, Support, overlap_of

__all__ = ["ESTIMATORS", "as_estimators", "estimate"]

#: Estimators by name, with their default options.
ESTIMATORS: Mapping[str, type[Estimator]] = {
    name: getattr(module, name)
    for module in (_weighed, _slates)
    for name in module.__all__
    if name != "Estimator"
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
        Least and most summed reward of a round.
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
    require(share, confidence=confidence)
    if resamples < 2:
        raise ConfigurationError(f"found resamples={resamples}; expected at least 2")
    if reward_range is not None and not reward_range[0] < reward_range[1]:
        raise ConfigurationError(f"found reward_range={reward_range}; expected the least and the most reward")
    asked = as_estimators(_default(rounds) if estimators is None else estimators)
    overlaps = _Overlaps(rounds)

    def ends(parts: Parts, kind: Interval) -> tuple[float, float, float]:
        return interval_of(parts, rounds.clusters, kind, confidence, resamples=resamples, seed=seed)

    found, refused, told = [], {}, list(notes)
    for estimator in asked:
        overlap = overlaps.of(estimator)
        problems = () if support is None or overlap is None else support.problems(overlap)
        if problems:
            refused[estimator.name] = problems
            continue
        parts = estimator.parts(rounds, reward_range)
        error, low, high = ends(parts, interval)
        lift = parts.less(rounds.logged)
        # The lift has no bounds of its own that would be worth having.
        _, lift_low, lift_high = ends(lift, "hall" if interval == "bernstein" else interval)
        found.append(
            Estimate(
                estimator.name, parts.value(), low, high, error, lift.value(), lift_low, lift_high, overlap
            )
        )
        told += _warnings(estimator.name, parts, overlap)
    if not found:
        reasons = "; ".join(f"{name}: {', '.join(why)}" for name, why in refused.items())
        raise SupportError(f"found no support in {len(rounds):,} rounds ({reasons}); {HINT}")
    own = Parts(rounds.logged, bounds=reward_range)
    error, low, high = ends(own, "hall" if interval == "bernstein" and reward_range is None else interval)
    logged = Estimate("logged", own.value(), low, high, error, 0.0, 0.0, 0.0, None)
    n_clusters = None if rounds.clusters is None else int(rounds.clusters.max()) + 1
    return OffPolicyReport(
        tuple(found), refused, logged, len(rounds), len(rounds.reward), n_clusters, interval, confidence,
        tuple(told),
    )  # fmt: skip


def as_estimators(given: str | Estimator | Sequence[str | Estimator]) -> list[Estimator]:
    """Return estimators of names and estimators.

    Raises
    ------
    ConfigurationError
        For an unknown name, anything else, none, or one twice.
    """
    asked = [given] if isinstance(given, str | Estimator) else list(given)
    found = []
    for one in asked:
        if isinstance(one, str):
            if one not in ESTIMATORS:
                raise ConfigurationError(f"found estimator {one!r}; {did_you_mean(one, ESTIMATORS)}")
            one = ESTIMATORS[one]()
        if not isinstance(one, Estimator):
            raise ConfigurationError(
                f"found estimator {one!r}; expected a name such as 'SNIPS', or an Estimator"
            )
        found.append(one)
    names = [one.name for one in found]
    if not names or len(set(names)) < len(names):
        raise ConfigurationError(f"found estimators {names}; expected at least one, each once")
    return found


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
            self._known[id(weight)] = overlap_of(
                weight, weight, self._rounds.propensity, self._rounds.clusters
            )
        return self._known[id(weight)]


def _default(rounds: LoggedRounds) -> list[str]:
    modelled = rounds.predicted is not None and rounds.expected is not None
    if rounds.width == 1:
        return ["IPS", "SNIPS", *(["DM", "DR", "SNDR"] if modelled else [])]
    return ["IIPS", "SNIIPS", "RIPS", "SNRIPS", *(["DM", "CascadeDR"] if modelled else [])]


def _warnings(name: str, parts: Parts, overlap: Overlap | None) -> list[str]:
    if overlap is None:
        return [f"{name} is as right as the reward model: its interval tells only how rounds differ"]
    told = []
    if overlap.cut > _MUCH_CUT:
        told.append(f"{name} leaves out {overlap.cut:.0%} of the weights: what that costs is in no interval")
    pieces = parts.plain if parts.numerator is None else parts.numerator
    squares = float(np.dot(pieces, pieces))
    many = float(np.abs(pieces).sum()) ** 2 / squares if squares > 0 else 0.0
    if many < _FEW_REWARDS:
        told.append(f"{name} rests on {many:.0f} effective rewards: take its interval with a grain of salt")
    return told
