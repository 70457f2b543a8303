"""Allocation: more traffic for the arm that does better, batch by batch, and an interval that stays valid."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recokit._stats.differences import Difference
from recokit._stats.moments import Estimate
from recokit._utils.options import between, require, share
from recokit.errors import ConfigurationError, DataError
from recokit.experiments.assignment import Experiment
from recokit.off_policy.rounds import LoggedRounds
from recokit.protocols import Recommender
from recokit.typing import AnyArray, FloatArray

_GRID = np.linspace(-8.0, 8.0, 321)


class Allocation:
    """Shares of the arms for the next batch, by Thompson sampling: the chance of each to be the best.

    A floor keeps every arm going, so that it can still be compared; each batch draws its units anew.

    Parameters
    ----------
    arms : sequence of str
        The control first.
    floor : float, default 0.1
        Least share of an arm.

    Raises
    ------
    ConfigurationError
        Unless the floor leaves something to allocate.

    Examples
    --------
    >>> bandit = Allocation(["control", "new"])
    >>> bandit.update({"control": Estimate(0.10, 0.01, 900), "new": Estimate(0.13, 0.01, 900)})
    >>> {arm: round(share, 2) for arm, share in bandit.weights.items()}
    {'control': 0.11, 'new': 0.89}
    """

    def __init__(self, arms: Sequence[str], *, floor: float = 0.1) -> None:
        require(between(0, 1, open_low=True), floor=floor)
        if len(arms) < 2 or floor * len(arms) > 1:
            raise ConfigurationError(
                f"found floor={floor} of {len(arms)} arms; expected at most 1 / {len(arms)}"
            )
        self.arms, self.floor = tuple(arms), floor
        self.batches: list[dict[str, Estimate]] = []
        self.history: list[dict[str, float]] = [dict.fromkeys(self.arms, 1.0 / len(self.arms))]

    @property
    def weights(self) -> Mapping[str, float]:
        """Share of each arm in the next batch."""
        return self.history[-1]

    def experiment(self, name: str, pipelines: Mapping[str, Recommender], **options: Any) -> Experiment:
        """Return the experiment of the next batch; its name has the batch, so that units are drawn anew."""
        batch = len(self.history)
        return Experiment(f"{name}:{batch}", pipelines, weights=dict(self.weights), **options)

    def update(self, batch: Mapping[str, Estimate]) -> None:
        """Take in the estimate of each arm from the batch that ended.

        Raises
        ------
        DataError
            If an arm is missing, or has no standard error.
        """
        if set(batch) != set(self.arms) or not all(one.error > 0 for one in batch.values()):
            raise DataError(
                f"found estimates of {', '.join(batch)}; expected one with a standard error for each of "
                f"{', '.join(self.arms)}"
            )
        self.batches.append(dict(batch))
        pooled = [_pooled([one[arm] for one in self.batches]) for arm in self.arms]
        best = chance_of_best(pooled)
        free = 1.0 - self.floor * len(self.arms)
        self.history.append(
            {arm: self.floor + free * float(p) for arm, p in zip(self.arms, best, strict=True)}
        )

    def difference(self, arm: str, confidence: float = 0.95) -> tuple[float, float, float]:
        """Return an arm's difference from the control, with an interval that holds although shares followed the data.

        Zhang, Janson and Murphy, *Inference for batched bandits*, 2020: the difference of each batch counts in its own
        standard errors, which are normal given the batches before; a mean over everything is not.

        Raises
        ------
        DataError
            Before the first batch, or for an unknown arm.
        """
        from scipy.special import ndtri

        require(share, confidence=confidence)
        if not self.batches or arm not in self.arms[1:]:
            raise DataError(
                f"found {len(self.batches)} batches for {arm!r}; expected some, of {', '.join(self.arms[1:])}"
            )
        found = [Difference(batch[self.arms[0]], batch[arm]) for batch in self.batches]
        precision = sum(1.0 / one.error for one in found)
        value = sum(one.value / one.error for one in found) / precision
        reach = float(ndtri(0.5 + confidence / 2)) * math.sqrt(len(found)) / precision
        return value, value - reach, value + reach


def _pooled(estimates: Sequence[Estimate]) -> Estimate:
    weight = np.array([one.error**-2 for one in estimates])
    value = float(weight @ [one.value for one in estimates] / weight.sum())
    return Estimate(value, float(weight.sum() ** -0.5), sum(one.n for one in estimates))


def chance_of_best(estimates: Sequence[Estimate]) -> FloatArray:
    """Return the chance of each of several normal estimates to have the largest truth, (A,).

    Examples
    --------
    >>> chance_of_best([Estimate(0.0, 1.0, 9), Estimate(0.0, 1.0, 9)]).round(3).tolist()
    [0.5, 0.5]
    """
    from scipy.special import ndtr

    chances = np.empty(len(estimates))
    density = np.exp(-0.5 * _GRID**2)
    for i, one in enumerate(estimates):
        at = one.value + one.error * _GRID
        below = np.ones(len(_GRID))
        for j, other in enumerate(estimates):
            if j != i:
                below *= ndtr((at - other.value) / other.error)
        chances[i] = (density * below).sum()
    return np.asarray(chances / chances.sum())


def rounds_of(
    arm: AnyArray, reward: FloatArray, weights: Sequence[Mapping[str, float]], *, batch: AnyArray, target: str
) -> LoggedRounds:
    """Return what a bandit logged as rounds for :func:`recokit.off_policy.estimate`: the value of always one arm.

    Parameters
    ----------
    arm : ndarray of str, shape (n,)
        The arm of each unit.
    reward : ndarray of float, shape (n,)
    weights : sequence of mapping of str to float
        Shares of each batch, such as ``Allocation.history``.
    batch : ndarray of int, shape (n,)
        From 0.
    target : str
        The arm in question.

    Examples
    --------
    >>> from recokit import off_policy
    >>> rounds = rounds_of(np.array(["a", "b"]), np.array([1.0, 0.0]), [{"a": 0.5, "b": 0.5}], batch=[0, 0], target="a")
    >>> rounds.propensity.tolist(), rounds.target.tolist()
    ([0.5, 0.5], [1.0, 0.0])
    """
    names = np.asarray(arm).tolist()
    chance = [weights[int(at)][name] for at, name in zip(np.asarray(batch).tolist(), names, strict=True)]
    return LoggedRounds(
        np.asarray(reward, np.float64), np.array(chance), np.array([float(name == target) for name in names])
    )
