"""Support: whether a log can tell anything about another policy, and the limits below which it is not asked to."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recokit._kernels.segments import segment_sum
from recokit._utils.report import Content, Report, Table
from recokit.errors import ConfigurationError
from recokit.typing import FloatArray, IntArray

#: Fewer large weights than this tell nothing of a tail.
_MIN_TAIL = 5


@dataclass(frozen=True, repr=False)
class Overlap(Report):
    """How far what the target policy shows was shown in the log, by the weights of one estimator.

    Where each place has weights of its own, those of the place with the fewest effective rounds.

    Parameters
    ----------
    rounds : int
        Rounds of the log.
    place : int
        1-based place that the figures are of; 0 for whole lists.
    effective : float
        Kish's effective sample size ``sum(w) ** 2 / sum(w ** 2)``: so many rounds of the target policy's own would tell
        as much.
    matched : float
        Share of rounds with a weight above 0: the target policy might have shown the same.
    mean_weight, mean_error : float
        Mean weight and its standard error. It is 1 where all that the target policy shows can be in the log and
        propensities are right; what is missing is its share of things that are never shown.
    largest : float
        Largest weight, as it is used.
    largest_share : float
        Share of the largest hundredth of the weights in their sum.
    tail : float
        Shape of a generalised Pareto distribution fitted to the largest weights: above 0.5 their variance is not
        finite, above 0.7 means of them are not to be trusted. NaN where they do not differ or are too few.
    cut : float
        Share of the weights that the estimator cuts off, shrinks away or leaves to the model.
    smallest : float
        Smallest propensity of what was shown.
    """

    rounds: int
    place: int
    effective: float
    matched: float
    mean_weight: float
    mean_error: float
    largest: float
    largest_share: float
    tail: float
    cut: float
    smallest: float

    @property
    def effective_share(self) -> float:
        """Effective rounds as a share of all."""
        return self.effective / self.rounds

    def _content(self) -> Content:
        where = f"place {self.place} of {self.rounds:,} lists" if self.place else f"{self.rounds:,} rounds"
        rows = [
            ("effective rounds", f"{self.effective:,.0f} ({self.effective_share:.1%})"),
            ("rounds that the target policy might have made", f"{self.matched:.1%}"),
            ("mean weight, 1 with full support", f"{self.mean_weight:.3f} +- {self.mean_error:.3f}"),
            ("largest weight", f"{self.largest:.4g}"),
            ("share of the largest 1% of the weights", f"{self.largest_share:.1%}"),
            ("tail index, fine below 0.5, bad above 0.7", f"{self.tail:.2f}"),
            ("weight cut off or left to the model", f"{self.cut:.1%}"),
            ("smallest propensity", f"{self.smallest:.4g}"),
        ]
        return Content(f"Overlap of the two policies, {where}", [Table((), rows)])


@dataclass(frozen=True, kw_only=True)
class Support:
    """Limits below which an estimate is refused: numbers are easily made, and then believed.

    Parameters
    ----------
    min_effective : float, default 200.0
        Effective rounds. Below that an interval tells little, and Student's is too narrow for skewed rewards.
    max_missing : float, default 3.0
        Standard errors that the mean weight may be from 1. Beyond it (by chance 1 in 370) the target policy shows
        what the log never does, or propensities are wrong.
    max_tail : float, default 0.7
        Tail index: beyond it means of the weights hardly settle; Vehtari, Simpson, Gelman, Yao and Gabry, *Pareto
        smoothed importance sampling*, 2015. Counts where the tail carries more than ``min_tail_share``.
    min_tail_share : float, default 0.25
        Share of the largest hundredth of the weights in their sum.
    max_cut : float, default 0.5
        Share of the weights that an estimator may cut off or leave to the model: beyond it the rest says little of the
        policy.

    Raises
    ------
    ConfigurationError
        If a limit is negative or NaN.
    """

    min_effective: float = 200.0
    max_missing: float = 3.0
    max_tail: float = 0.7
    min_tail_share: float = 0.25
    max_cut: float = 0.5

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not value >= 0:
                raise ConfigurationError(f"found {name}={value}; expected at least 0, inf for no upper limit")

    def problems(self, overlap: Overlap) -> tuple[str, ...]:
        """Return what speaks against an estimate, in words; nothing where all is well."""
        problems = []
        if overlap.effective < self.min_effective:
            problems.append(
                f"{overlap.effective:,.0f} effective rounds of {overlap.rounds:,}, fewer than {self.min_effective:g}"
            )
        away = overlap.mean_weight - 1.0
        if np.isfinite(overlap.mean_error) and abs(away) > self.max_missing * overlap.mean_error + 1e-9:
            text = f"a mean weight of {overlap.mean_weight:.3f} +- {overlap.mean_error:.3f} instead of 1"
            below = "the target policy shows what the log never does"
            above = "propensities are too small, or the target's probabilities too large"
            why = below if away < 0 else above
            problems.append(f"{text}: {why}")
        if overlap.tail > self.max_tail and overlap.largest_share > self.min_tail_share:
            problems.append(
                f"a tail index of the weights of {overlap.tail:.2f}, above {self.max_tail:g}, in a tail that carries "
                f"{overlap.largest_share:.0%} of them"
            )
        if overlap.cut > self.max_cut:
            problems.append(f"{overlap.cut:.0%} of the weights cut off, more than {self.max_cut:.0%}")
        return tuple(problems)


def overlap_of(
    weight: FloatArray, used: FloatArray, propensity: FloatArray, clusters: IntArray | None
) -> Overlap:
    """Return the overlap by weights (n,) or (n, width): full ones, and as they are used."""
    place = 0
    if weight.ndim == 2:
        place = int(np.argmin(_effective(used)))
        weight, used = (np.ascontiguousarray(part[:, place]) for part in (weight, used))
        place += 1
    total, n = float(weight.sum()), len(weight)
    n_top = max(n // 100, 1)
    top = np.partition(used, n - n_top)[n - n_top :]
    kept = float(used.sum())
    return Overlap(
        rounds=n,
        place=place,
        effective=float(_effective(used[:, None])[0]),
        matched=float(np.count_nonzero(weight) / n),
        mean_weight=total / n,
        mean_error=_error_of_mean(weight, clusters),
        largest=float(top.max()),
        largest_share=float(top.sum() / kept) if kept > 0 else np.nan,
        tail=tail_index(used),
        cut=1.0 - kept / total if total > 0 else 0.0,
        smallest=float(propensity.min()),
    )


def _effective(weight: FloatArray) -> FloatArray:
    """Return Kish's effective sample size of each column, (n, K) -> (K,); 0 where all weights are 0."""
    squares = np.einsum("nk,nk->k", weight, weight)
    return np.asarray(
        np.divide(weight.sum(axis=0) ** 2, squares, out=np.zeros(len(squares)), where=squares > 0)
    )


def _error_of_mean(weight: FloatArray, clusters: IntArray | None) -> float:
    """Return the standard error of the mean weight; NaN below two rounds, or clusters."""
    mean = weight.mean()
    deviation = weight - mean
    if clusters is not None:
        deviation = segment_sum(deviation, clusters, int(clusters.max()) + 1)
    n = len(deviation)
    if n < 2:
        return float("nan")
    # Clusters add up to rounds: the error of the sum, over the number of rounds.
    return float(np.sqrt(np.dot(deviation, deviation) * n / (n - 1)) / len(weight))


def tail_index(weight: FloatArray) -> float:
    """Return the shape of the generalised Pareto distribution fitted to the largest weights.

    As Vehtari and others, 2015: the largest ``min(n / 5, 3 sqrt(n))`` weights above 0, fitted as by Zhang and Stephens,
    *A new and efficient estimation method for the generalized Pareto distribution*, 2009. NaN where too few differ from
    the smallest of them: bounded weights, such as those of policies that are sure, have no tail.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> tail_index(rng.pareto(1.0, 100_000)) > 0.7, tail_index(rng.random(100_000)) < 0
    (True, True)
    """
    positive = weight[weight > 0]
    n_tail = int(min(len(positive) / 5, 3 * np.sqrt(len(positive))))
    if n_tail < _MIN_TAIL:
        return float("nan")
    largest = np.sort(np.partition(positive, len(positive) - n_tail - 1)[-(n_tail + 1) :])
    excess = largest[1:] - largest[0]
    excess = excess[excess > 1e-12 * largest[-1]]
    return _pareto_shape(excess) if len(excess) >= _MIN_TAIL else float("nan")


def _pareto_shape(excess: FloatArray) -> float:
    """Return the shape of a generalised Pareto distribution of excesses (m,), sorted and above 0.

    The mean of a posterior over a grid of the one parameter ``theta`` that shape and scale follow from.
    """
    m = len(excess)
    n_grid = 30 + int(np.sqrt(m))
    quartile = excess[int(m / 4 + 0.5) - 1]
    grid = 1.0 / excess[-1] + (1.0 - np.sqrt(n_grid / (np.arange(1, n_grid + 1) - 0.5))) / (3.0 * quartile)
    shape = np.log1p(-grid[:, None] * excess).mean(axis=1)
    likelihood = m * (np.log(-grid / shape) - shape - 1.0)
    posterior = np.exp(likelihood - likelihood.max())
    theta = float(posterior @ grid / posterior.sum())
    return float(np.log1p(-theta * excess).mean())
