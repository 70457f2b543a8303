"""Estimates of examination by place: a click model, randomised swaps, and rankers that disagree.

Three experiments, one model: ``P(click) = examination[place] * relevance[group]``. A group is what is as relevant
wherever it stands: an item, a pair of user and item, rows that a ranker scored alike, or the rows of a swap.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np

from recokit._utils.options import above, one_of, require, rules, whole
from recokit._utils.params import Configured
from recokit.debias.position_bias import Clicks, PositionBias
from recokit.errors import ConfigurationError, DataError
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

By = Literal["item", "pair", "score"]


@dataclass(eq=False, repr=False, kw_only=True)
class PositionModel(Configured):
    """Position-based click model, fitted by expectation and maximisation.

    ``P(click) = examination[place] * relevance[group]``; Richardson and others, *Predicting clicks*, 2007, and Wang and
    others, *Position bias estimation for unbiased learning to rank in personal search*, 2018. It needs groups that were
    shown in several places, and is right as far as a group is as relevant wherever it stands: where the
    list puts an item high for the users who like it most, ``by="item"`` leaves some of the bias, and a score or
    :func:`intervention_harvest` do better.

    Parameters
    ----------
    by : {"item", "pair", "score"}, default "item"
        The groups: items; pairs of user and item; or rows of about the same score (of a ranker, passed to ``fit``).
    min_shown : int, default 20
        Groups shown less often are left out: a relevance estimated from a few impressions follows the clicks so
        closely that no bias is left to see.
    n_bins : int, default 100
        Groups that scores are split into, of equal size.
    max_iterations : int, default 2000
        Steps at most.
    tolerance : float, default 1e-7
        The steps end when no place's examination changes by more.

    Attributes
    ----------
    bias_ : PositionBias
        Examination by place.
    n_iterations_ : int
        Steps made.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Examples
    --------
    >>> from recokit.datasets import make_marketplace
    >>> market = make_marketplace(500, 60, seed=1, positions=2)
    >>> PositionModel().fit(market.impressions).bias_.examination.round(1).tolist()
    [1.0, 0.6]
    """

    _OPTIONS = rules(
        by=one_of("item", "pair", "score"),
        min_shown=whole(1),
        n_bins=whole(1),
        max_iterations=whole(1),
        tolerance=above(0),
    )

    by: By = "item"
    min_shown: int = 20
    n_bins: int = 100
    max_iterations: int = 2000
    tolerance: float = 1e-7

    def fit(self, impressions: Clicks, *, score: AnyArray | None = None) -> Self:
        """Estimate how much each place is examined.

        Parameters
        ----------
        impressions : Clicks
            Impressions with their places and clicks.
        score : ndarray of float, shape (N,), optional
            A ranker's score of each impression, for ``by="score"``: of one that does not know the place.

        Raises
        ------
        DataError
            If lengths differ, there are no clicks, no group was shown often enough, or places cannot be compared,
            since no group was shown in both.
        """
        position, clicked = _shown(impressions)
        group = self._groups(impressions, score)
        used = (position > 0) & (np.bincount(group, position > 0)[group] >= self.min_shown)
        if not used.any():
            raise DataError(
                f"found no {self.by} shown {self.min_shown} times among {len(position)} impressions; "
                "hint: by='item' or by='score' makes larger groups; intervention_harvest needs no large ones"
            )
        cells = Cells.of(group[used], position[used], clicked[used])
        examination, self.n_iterations_ = most_likely(cells, self.max_iterations, self.tolerance)
        self.bias_ = cells.bias(examination, int(np.count_nonzero(~used)))
        return self

    def _groups(self, impressions: Clicks, score: AnyArray | None) -> IntArray:
        if (score is None) == (self.by == "score"):
            raise ConfigurationError(
                f"found by={self.by!r} and score={score is not None}; expected both or none"
            )
        if score is None:
            return _keys(impressions, self.by)
        score = np.asarray(score, np.float64)
        if score.shape != impressions.item.shape or not np.isfinite(score).all():
            raise DataError(
                f"found scores of shape {score.shape}; expected {impressions.item.shape}, finite ones"
            )
        edges = np.quantile(score, np.linspace(0, 1, self.n_bins + 1)[1:-1])
        return np.searchsorted(edges, score).astype(np.int64)

    def propensity(self, position: IntArray) -> FloatArray:
        """Return the examination of 1-based places, see :meth:`PositionBias.at`."""
        return self.bias_.at(position)


def propensity_from_swaps(position: IntArray, clicked: AnyArray, partner: IntArray) -> PositionBias:
    """Estimate examination from randomised swaps: two places of a list exchange their items by the toss of a coin.

    Whatever stands in the two places is then as relevant in one as in the other, so their clicks compare the places
    alone. Joachims, Swaminathan and Schnabel, *Unbiased learning-to-rank with biased feedback*, 2017. Swaps of the
    first place with each other one are the usual design; any that ties the places together will do.

    Parameters
    ----------
    position : ndarray of int64, shape (N,)
        1-based place where each item was shown.
    clicked : ndarray of bool, shape (N,)
        Whether it was clicked.
    partner : ndarray of int64, shape (N,)
        The other place of the coin toss, whether or not it came to a swap; 0 for items outside the experiment. Of a
        list, both items of a toss belong here.

    Raises
    ------
    DataError
        If lengths differ, a place is its own partner, there are no clicks, or swaps do not tie the places together.

    Examples
    --------
    >>> position, partner = np.array([1, 2, 1, 2]), np.array([2, 1, 2, 1])
    >>> propensity_from_swaps(position, np.array([1, 0, 1, 1]), partner)
    PositionBias([1.000, 0.500])
    """
    position, partner = np.asarray(position, np.int64), np.asarray(partner, np.int64)
    clicked = _checked(position, np.asarray(clicked))
    if partner.shape != position.shape or ((position == partner) & (position > 0)).any():
        raise DataError(
            f"found partners of shape {partner.shape}, some of which may be the place itself; expected "
            f"{position.shape}, another place or 0"
        )
    used = (position > 0) & (partner > 0)
    low, high = np.minimum(position, partner)[used], np.maximum(position, partner)[used]
    cells = Cells.of(low * (int(high.max(initial=0)) + 1) + high, position[used], clicked[used])
    examination, _ = most_likely(cells)
    return cells.bias(examination, int(np.count_nonzero(~used)))


def intervention_harvest(
    impressions: Clicks,
    *,
    method: Literal["all_pairs", "pivot_one"] = "all_pairs",
    by: Literal["item", "pair"] = "pair",
) -> PositionBias:
    """Estimate examination from what rankers did differently: no experiment needed.

    Where two rankers, or one on two days, showed the same thing in two places, the clicks compare the places. Each
    thing counts the same in both places, however often it was shown there. Agarwal and others, *Estimating position
    bias without intrusive interventions*, 2019. Right as far as the reason for the move has nothing to do with what
    the user wants.

    Parameters
    ----------
    impressions : Clicks
        Impressions with their places and clicks.
    method : {"all_pairs", "pivot_one"}, default "all_pairs"
        Compare all places with each other, or each with the first one: simpler, and wasteful.
    by : {"pair", "item"}, default "pair"
        One thing is an item shown to the same user, or to anybody.

    Raises
    ------
    ConfigurationError
        For another method.
    DataError
        If lengths differ, there are no clicks, or nothing ties the places together.
    """
    require(one_of("all_pairs", "pivot_one"), method=method)
    require(one_of("pair", "item"), by=by)
    position, clicked = _shown(impressions)
    used = position > 0
    cells = Cells.of(_keys(impressions, by)[used], position[used], clicked[used])
    moved = np.bincount(cells.group)[cells.group] > 1
    first, second = pairs_of_cells(cells, moved)
    low, high = cells.place[first], cells.place[second]
    if method == "pivot_one":
        first, second, low, high = (part[low == 0] for part in (first, second, low, high))
    # Both sides of a comparison weigh 1 for each thing: its share of clicks in that place.
    rate, key = cells.clicks / cells.shown, low * cells.n_places + high
    compared = Cells.build(
        np.concatenate([key, key]),
        np.concatenate([low, high]),
        np.ones(2 * len(key)),
        np.concatenate([rate[first], rate[second]]),
    )
    examination, _ = most_likely(compared)
    return cells.bias(examination, int(cells.shown[~moved].sum()) + int(np.count_nonzero(~used)))


def _keys(impressions: Clicks, by: str) -> IntArray:
    item = np.asarray(impressions.item, np.int64)
    if by == "item":
        return _coded(item)
    key = np.asarray(impressions.user, np.int64) * (int(item.max(initial=0)) + 1) + item
    return _coded(key)


def _coded(key: IntArray) -> IntArray:
    codes: IntArray = np.unique(key, return_inverse=True)[1].astype(np.int64)
    return codes


def _shown(impressions: Clicks) -> tuple[IntArray, FloatArray]:
    position: IntArray = np.asarray(impressions.position, np.int64)
    clicked = _checked(position, np.asarray(impressions.clicked))
    for name in ("user", "item"):
        if len(getattr(impressions, name)) != len(position):
            raise DataError(
                f"found {name} for {len(getattr(impressions, name))} impressions; expected {len(position)}"
            )
    return position, clicked


def _checked(position: IntArray, clicked: Any) -> FloatArray:
    if clicked.shape != position.shape or (len(position) and position.min() < 0):
        raise DataError(
            f"found {clicked.shape} clicks for {position.shape} places from {position.min(initial=0)}; "
            "expected one for each, places from 1, and 0 for what was not shown"
        )
    values: FloatArray = clicked.astype(np.float64)
    bad = np.flatnonzero((values != 0) & (values != 1))
    if len(bad):
        raise DataError(f"found click {values[bad[0]]}; expected 0 or 1", rows=bad)
    return values


@dataclass(frozen=True, eq=False)
class Cells:
    """Impressions and clicks of each group in each place where it was shown; places from 0."""

    group: IntArray
    place: IntArray
    shown: FloatArray
    clicks: FloatArray
    n_places: int

    @classmethod
    def of(cls, group: IntArray, position: IntArray, clicked: FloatArray) -> Cells:
        """Count impressions (N,), each of a group, in a 1-based place."""
        return cls.build(group, position - 1, np.ones(len(group)), clicked)

    @classmethod
    def build(cls, group: IntArray, place: IntArray, shown: FloatArray, clicks: FloatArray) -> Cells:
        """Add up parts (M,) of the same group and place."""
        n_places = int(place.max(initial=-1)) + 1
        _, code = np.unique(group, return_inverse=True)
        key, cell = np.unique(code * max(n_places, 1) + place, return_inverse=True)
        return cls(
            group=key // max(n_places, 1),
            place=key % max(n_places, 1),
            shown=_sums(cell, shown, len(key)),
            clicks=_sums(cell, clicks, len(key)),
            n_places=n_places,
        )

    def bias(self, examination: FloatArray, n_unused: int) -> PositionBias:
        """Return an examination with what it was estimated from."""
        shown, clicks = (_sums(self.place, part, self.n_places) for part in (self.shown, self.clicks))
        return PositionBias(examination, shown, clicks, n_unused)


def _sums(code: IntArray, values: FloatArray, n: int) -> FloatArray:
    sums: FloatArray = np.bincount(code, values, n).astype(np.float64, copy=False)
    return sums


def most_likely(cells: Cells, max_iterations: int = 2000, tolerance: float = 1e-7) -> tuple[FloatArray, int]:
    """Return the examination (K,) that makes the clicks most likely, and the steps it took."""
    _require_comparable(cells)
    place, group, n_groups = cells.place, cells.group, int(cells.group.max()) + 1
    place_shown = np.bincount(place, cells.shown)
    group_shown = np.bincount(group, cells.shown)
    skipped = cells.shown - cells.clicks
    examination, relevance = _start(cells, n_groups)
    step, change = 0, np.inf
    while step < max_iterations and change > tolerance:
        examined, relevant = examination[place], relevance[group]
        # Impressions without a click were examined and not relevant, or relevant and not examined, or neither.
        missed = skipped / np.maximum(1.0 - examined * relevant, 1e-12)
        of_place = np.bincount(place, cells.clicks + missed * examined * (1.0 - relevant)) / place_shown
        relevance = (
            np.bincount(group, cells.clicks + missed * relevant * (1.0 - examined), n_groups) / group_shown
        )
        change = float(np.abs(of_place / of_place[0] - examination / examination[0]).max())
        examination, step = of_place, step + 1
    return examination / examination[0], step


def _start(cells: Cells, n_groups: int) -> tuple[FloatArray, FloatArray]:
    """Return a start that is the answer already where clicks are rare; steps from anywhere else are many and small."""
    clicks = np.bincount(cells.place, cells.clicks)
    wanted = np.bincount(cells.group, cells.clicks, n_groups)
    examination = np.ones(cells.n_places)
    for _ in range(50):
        relevance = wanted / np.bincount(cells.group, cells.shown * examination[cells.place], n_groups)
        examination = clicks / np.bincount(cells.place, cells.shown * relevance[cells.group])
    scale = 0.9 / max(float(examination.max()), 1e-12)
    return examination * scale, np.minimum(relevance / scale, 0.95)


def _require_comparable(cells: Cells) -> None:
    clicks = np.bincount(cells.place, cells.clicks, max(cells.n_places, 1))
    if not (clicks > 0).all():
        raise DataError(
            f"found no click on place {int(np.argmin(clicks > 0)) + 1} among {cells.shown.sum():.0f} impressions; "
            "expected some on every place; hint: more impressions, or fewer places"
        )
    reached = np.zeros(cells.n_places, np.bool_)
    reached[0] = True
    for _ in range(cells.n_places):
        groups = np.zeros(int(cells.group.max()) + 1, np.bool_)
        groups[cells.group[reached[cells.place]]] = True
        reached[cells.place[groups[cells.group]]] = True
    if not reached.all():
        raise DataError(
            f"found nothing that ties place {int(np.argmin(reached)) + 1} to the first one; expected things shown in "
            "several places; hint: randomised swaps tie them"
        )


def pairs_of_cells(cells: Cells, moved: BoolArray) -> tuple[IntArray, IntArray]:
    """Return all pairs of cells of one group, the higher place of the list first."""
    at = np.flatnonzero(moved)
    first, second = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    # Cells are sorted by group and place: those of a group lie within so many steps of each other.
    for step in range(1, cells.n_places):
        later = at[step:]
        earlier = at[: len(later)]
        same = cells.group[earlier] == cells.group[later]
        first.append(earlier[same])
        second.append(later[same])
    return np.concatenate(first), np.concatenate(second)
