"""Estimators that weigh a round as a whole: one item shown, or a whole list as if it were one."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from recokit._utils.params import Configured
from recokit.errors import ConfigurationError
from recokit.off_policy.intervals import Parts
from recokit.off_policy.rounds import LoggedRounds
from recokit.typing import FloatArray


class Estimator(Configured, ABC):
    """An estimator of what the target policy is worth: the mean over rounds of their summed reward.

    Everything is computed in one pass over arrays; nothing is fitted.
    """

    @property
    def name(self) -> str:
        """The class, with the options that are not the default."""
        shown = repr(self)
        return shown[:-2] if shown.endswith("()") else shown

    @abstractmethod
    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return what each round contributes to the estimate.

        Parameters
        ----------
        rounds : LoggedRounds
        reward_range : (float, float), optional
            Smallest and largest summed reward of a round, from which bounds of the contributions follow, if any.

        Raises
        ------
        ConfigurationError
            If the rounds lack a column of a reward model that is needed.
        """

    @abstractmethod
    def weights(self, rounds: LoggedRounds) -> FloatArray | None:
        """Return the weights that tell whether the log supports the estimate; None where it weighs nothing.

        (n,), or (n, width) where each place has its own.
        """

    def used(self, rounds: LoggedRounds) -> FloatArray | None:
        """Return the weights as they are used, which may be limited; in the shape of :meth:`weights`."""
        return self.weights(rounds)


class DM(Estimator):
    """Direct method: the mean of what a reward model expects under the target policy.

    ``mean(expected)``. As right as the model, which the interval knows nothing about: it only tells how rounds differ.
    Needs no propensities and no support, and shows nothing where the model is wrong.
    """

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the expected reward of each round."""
        return Parts(rounds.totals(rounds.column("expected", self.name)), bounds=reward_range)

    def weights(self, rounds: LoggedRounds) -> None:
        """Return None: nothing is weighed."""


class _WholeLists(Estimator):
    def weights(self, rounds: LoggedRounds) -> FloatArray:
        """Return the weight of each list, not limited, (n,)."""
        return rounds.list_weight


class IPS(_WholeLists):
    """Inverse propensity score: rewards, weighed by how much likelier the target policy shows what was shown.

    ``mean(w * reward)`` with ``w = target / propensity``; for lists the product over places and the summed reward.
    Horvitz and Thompson, 1952; Strehl and others, *Learning from logged implicit exploration data*, 2010. Unbiased
    where propensities are right and the log shows all that the target policy may show. For lists its weights grow with
    every place: RIPS and IIPS assume more and vary less.
    """

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the weighed reward of each round."""
        return Parts(rounds.list_weight * rounds.logged)


class SNIPS(_WholeLists):
    """Self-normalised IPS: the weighted mean of the rewards, ``sum(w * reward) / sum(w)``.

    Swaminathan and Joachims, *The self-normalized estimator for counterfactual learning*, 2015. Slightly biased,
    steady, within the range of the rewards, and free of a constant factor in the propensities. The usual first choice
    without a reward model.
    """

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the weighed reward and the weight of each round."""
        weight = rounds.list_weight
        return Parts(np.zeros(len(rounds)), weight * rounds.logged, weight)


class ClippedIPS(_WholeLists):
    """IPS with weights cut at a limit: ``mean(min(w, max_weight) * reward)``.

    Bottou and others, *Counterfactual reasoning and learning systems*, 2013. Too low, for rewards from 0, by what was
    cut off.

    Parameters
    ----------
    max_weight : float, optional
        The limit; by default the square root of the number of rounds, with which what is cut vanishes as the log grows:
        Ionides, *Truncated importance sampling*, 2008. :func:`slope` chooses among several.

    Raises
    ------
    ConfigurationError
        If it is not above 0.
    """

    def __init__(self, *, max_weight: float | None = None) -> None:
        self.max_weight = _above_zero(max_weight, "max_weight")

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the weighed reward of each round."""
        limit = _limit(self.max_weight, rounds)
        bounds = None
        if reward_range is not None:
            low, high = reward_range
            bounds = (min(low, 0.0) * limit, max(high, 0.0) * limit)
        return Parts(np.minimum(rounds.list_weight, limit) * rounds.logged, bounds=bounds)

    def used(self, rounds: LoggedRounds) -> FloatArray:
        """Return the weight of each list, cut."""
        return np.minimum(rounds.list_weight, _limit(self.max_weight, rounds))


class DR(_WholeLists):
    """Doubly robust: what a model expects, corrected by the weighed error it made on what was shown.

    ``mean(expected + w * (reward - predicted))``. Dudik, Langford and Li, *Doubly robust policy evaluation and
    learning*, 2011. Right if either the propensities or the model are; with right propensities, a better model only
    makes it steadier.
    """

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the expected reward of each round, plus its weighed error."""
        expected, error = _model(rounds, self.name)
        return Parts(expected + rounds.list_weight * error)


class SNDR(_WholeLists):
    """Self-normalised DR: ``mean(expected) + sum(w * (reward - predicted)) / sum(w)``.

    Thomas and Brunskill, *Data-efficient off-policy policy evaluation for reinforcement learning*, 2016 (weighted
    doubly robust). As DR, steadier with large weights. The usual first choice with a reward model.
    """

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the expected reward, the weighed error and the weight of each round."""
        expected, error = _model(rounds, self.name)
        return Parts(expected, rounds.list_weight * error, rounds.list_weight)


class SwitchDR(_WholeLists):
    """DR that trusts the model alone where a weight is above a threshold.

    ``mean(expected + w * (w <= threshold) * (reward - predicted))``. Wang, Agarwal and Dudik, *Optimal and adaptive
    off-policy evaluation in contextual bandits*, 2017.

    Parameters
    ----------
    threshold : float, optional
        Largest weight that is used; by default the square root of the number of rounds, as for :class:`ClippedIPS`.

    Raises
    ------
    ConfigurationError
        If it is not above 0.
    """

    def __init__(self, *, threshold: float | None = None) -> None:
        self.threshold = _above_zero(threshold, "threshold")

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the expected reward of each round, plus its weighed error."""
        expected, error = _model(rounds, self.name)
        bounds = _bounds_of_dr(reward_range, _limit(self.threshold, rounds))
        return Parts(expected + self.used(rounds) * error, bounds=bounds)

    def used(self, rounds: LoggedRounds) -> FloatArray:
        """Return the weight of each list, 0 above the threshold."""
        weight = rounds.list_weight
        return np.where(weight <= _limit(self.threshold, rounds), weight, 0.0)


class DRos(_WholeLists):
    """DR with optimistic shrinkage: large weights are shrunk, the largest most.

    ``mean(expected + s * (reward - predicted))`` with ``s = shrinkage * w / (w ** 2 + shrinkage)``. Su, Dimakopoulou,
    Krishnamurthy and Dudik, *Doubly robust off-policy evaluation with shrinkage*, 2020. From DM (0) to DR (infinity).

    Parameters
    ----------
    shrinkage : float, optional
        Lambda of the paper: a weight of its square root is halved. By default the number of rounds, so that weights
        are halved where :class:`ClippedIPS` cuts them.

    Raises
    ------
    ConfigurationError
        If it is not above 0.
    """

    def __init__(self, *, shrinkage: float | None = None) -> None:
        self.shrinkage = _above_zero(shrinkage, "shrinkage")

    def parts(self, rounds: LoggedRounds, reward_range: tuple[float, float] | None = None) -> Parts:
        """Return the expected reward of each round, plus its weighed error."""
        expected, error = _model(rounds, self.name)
        bounds = _bounds_of_dr(reward_range, 0.5 * float(np.sqrt(self._lambda(rounds))))
        return Parts(expected + self.used(rounds) * error, bounds=bounds)

    def used(self, rounds: LoggedRounds) -> FloatArray:
        """Return the weight of each list, shrunk."""
        weight = rounds.list_weight
        shrunk: FloatArray = weight / (weight**2 / self._lambda(rounds) + 1.0)
        return shrunk

    def _lambda(self, rounds: LoggedRounds) -> float:
        return float(len(rounds)) if self.shrinkage is None else self.shrinkage


def _model(rounds: LoggedRounds, name: str) -> tuple[FloatArray, FloatArray]:
    """Return what the model expects of each round, and its error on what was shown."""
    predicted = rounds.totals(rounds.column("predicted", name))
    return rounds.totals(rounds.column("expected", name)), rounds.logged - predicted


def _limit(given: float | None, rounds: LoggedRounds) -> float:
    return float(np.sqrt(len(rounds))) if given is None else given


def _bounds_of_dr(reward_range: tuple[float, float] | None, limit: float) -> tuple[float, float] | None:
    """Return the bounds of a reward in the range, plus a limited weight times the error of a model in the range."""
    if reward_range is None:
        return None
    low, high = reward_range
    return low - limit * (high - low), high + limit * (high - low)


def _above_zero(value: float | None, name: str) -> float | None:
    if value is not None and not value > 0:
        raise ConfigurationError(f"found {name}={value}; expected above 0, inf for no limit")
    return value
