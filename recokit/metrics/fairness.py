"""Fairness: how much groups of items are looked at, beside what they merit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from recokit.data.ragged import Ragged
from recokit.errors import DataError
from recokit.typing import AnyArray, FloatArray, IntArray

__all__ = ["exposure_by_group", "exposure_gap"]


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
    place = np.arange(len(shown.values)) - shown.offsets[shown.rows]
    if examination is None:
        look = 1 / np.log2(place + 2.0)
    else:
        known = np.append(np.asarray(examination, np.float64), 0.0)
        look = known[np.minimum(place, len(known) - 1)]
    return np.asarray(np.bincount(group[shown.values], look, int(group.max(initial=0)) + 1), np.float64)


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
