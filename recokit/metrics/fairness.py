"""Fairness: how much groups of items are looked at, beside what they merit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np

from recokit._kernels.segments import segment_sum
from recokit._utils.options import one_of
from recokit.data.ragged import Ragged
from recokit.data.table import Categorical
from recokit.errors import DataError
from recokit.metrics.base import CatalogueMetric, Exposure
from recokit.metrics.diversity import ItemMetric, require_labels
from recokit.metrics.matched_lists import MatchedLists
from recokit.typing import AnyArray, FloatArray, IntArray

Merit = Literal["relevant", "items"]


class ExposureGap(ItemMetric, CatalogueMetric):
    """Share of all exposure that would have to go to other groups of items for each to have what it merits.

    ``sum(|e_g - m_g|) / 2`` over groups g, such as sellers: e is the group's share of exposure, m that of merit. A
    place is worth ``1 / log2(1 + place)``, the discount of NDCG; exposure and merit are added up over all users before
    they are compared. 0 is in proportion, 1 is exposure for those only who merit none. Singh and Joachims, *Fairness of
    exposure in rankings*, 2018, for exposure in proportion to merit; Biega, Gummadi and Weikum, *Equity of attention*,
    2018, for the sum of absolute differences over many rankings. NaN where nothing known is shown, or none has merit.
    :func:`exposure_by_group` and :func:`exposure_gap` say which groups have too much.

    Parameters
    ----------
    k : int
        How many places count.
    by : str, Categorical or ndarray
        Groups: an item column (bound by ``evaluate``) or labels by item code, (n_items + 1,). Items without a label
        are a group of their own; unknown items, code 0, do not count.
    merit : {"relevant", "items"}, default "relevant"
        A group merits exposure by how often its items are relevant to a user, or by the number of its items in
        the catalogue, which is what drawing at random gives it.

    Examples
    --------
    Big ones have places 1 and 1, small ones place 2: shares of .7602 and .2398. One item of each is relevant.

    >>> seller = np.array(["", "big", "big", "small"])
    >>> round(ExposureGap(10, by=seller)([[1, 3], [2]], [[1], [3]]), 4)
    0.2602
    >>> round(ExposureGap(10, by=seller, merit="items")([[1, 3], [2]]), 4)  # two thirds of the items are big ones'
    0.0935
    """

    def __init__(self, k: int, *, by: str | Categorical | AnyArray, merit: Merit = "relevant") -> None:
        super().__init__(k, by=by)
        require_labels(self)
        one_of(*get_args(Merit)).check("merit", merit)
        self.merit = merit

    @property
    def definition(self) -> str:
        """What exactly is computed."""
        due = "relevant items" if self.merit == "relevant" else "the catalogue"
        return f"sum over groups of |share of exposure - share of {due}| / 2"

    def exposure(self, matched: MatchedLists) -> Exposure:
        """Add up, by item code, the discounts of the first k places, and the merit."""
        shown = matched.first(self.k).lists
        if self.merit == "relevant":
            merit = np.bincount(matched.truth.values, minlength=1).astype(np.float64)
        else:
            merit = np.ones(len(self.features))
        counts = segment_sum(_examined(shown, None), shown.values, 1)
        return Exposure(counts, int(np.count_nonzero(shown.counts)), merit)

    def from_exposure(self, exposure: Exposure, n_items: int | None) -> float:
        """Return the share of exposure in the wrong groups; the size of the catalogue is not needed."""
        shown, due = (self._shares(values) for values in (exposure.counts, exposure.merit))
        return float(np.abs(shown - due).sum() / 2)

    def _shares(self, values: FloatArray) -> FloatArray:
        """Return each group's share of values by item code; NaN where they add up to 0."""
        group = self.features_of(np.arange(1, len(values)))
        total = segment_sum(values[1:], group, int(self.features.max()) + 1)
        with np.errstate(invalid="ignore"):
            return np.asarray(total / total.sum())


def exposure_by_group(
    lists: Ragged | Sequence[Sequence[int] | IntArray],
    group: IntArray,
    *,
    examination: AnyArray | None = None,
) -> FloatArray:
    """Return the exposure of each group: the examination of all the places that its items have.

    Singh and Joachims, *Fairness of exposure in rankings*, 2018.

    Parameters
    ----------
    lists : Ragged or sequence of lists of item codes
        Best first.
    group : ndarray of int64, shape (n_items + 1,)
        Group of each item code, 0 for none.
    examination : ndarray of float, shape (K,), optional
        Probability that each place is looked at, the first one first; nobody looks beyond the last. By default
        ``1 / log2(1 + place)``, the discount of NDCG.

    Returns
    -------
    ndarray of float64, shape (G + 1,)

    Raises
    ------
    DataError
        For an item code without a group.

    Examples
    --------
    >>> exposure_by_group([[1, 2], [1, 2]], np.array([0, 1, 2]), examination=np.array([1.0, 0.5])).tolist()
    [0.0, 2.0, 1.0]
    """
    shown = lists if isinstance(lists, Ragged) else Ragged.from_lists(lists)
    if len(shown.values) and shown.values.max() >= len(group):
        raise DataError(f"found item code {shown.values.max()}; expected at most {len(group) - 1}")
    look = _examined(shown, examination)
    return np.asarray(np.bincount(group[shown.values], look, int(group.max(initial=0)) + 1), np.float64)


def _examined(lists: Ragged, examination: AnyArray | None) -> FloatArray:
    """Return the probability that each list element is looked at, (N,)."""
    place = np.arange(len(lists.values)) - lists.offsets[lists.rows]
    if examination is None:
        return np.asarray(1 / np.log2(place + 2.0))
    known = np.append(np.asarray(examination, np.float64), 0.0)
    return np.asarray(known[np.minimum(place, len(known) - 1)])


def exposure_gap(exposure: AnyArray, merit: AnyArray) -> FloatArray:
    """Return how far each group's share of exposure is from its share of merit, as a part of the latter.

    Parameters
    ----------
    exposure, merit : ndarray of float, shape (G,)
        On any scale, at least 0.

    Returns
    -------
    ndarray of float64, shape (G,)
        0 is in proportion, 0.05 is 5% too much, -1 is nothing at all; NaN without merit.

    Raises
    ------
    DataError
        If the lengths differ, or a value is below 0.

    Examples
    --------
    >>> exposure_gap([3.0, 1.0], [1.0, 1.0]).tolist()
    [0.5, -0.5]
    """
    shown, due = np.asarray(exposure, np.float64), np.asarray(merit, np.float64)
    if shown.shape != due.shape or shown.ndim != 1:
        raise DataError(
            f"found exposure of shape {shown.shape} and merit of {due.shape}; expected one value a group"
        )
    if (shown < 0).any() or (due < 0).any():
        raise DataError("found exposure or merit below 0; expected at least 0")
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where(due > 0, (shown / shown.sum()) / (due / due.sum()) - 1, np.nan))
