"""Propensities that were not logged, estimated from what was shown."""

from __future__ import annotations

import numpy as np

from recokit._utils.options import above, require, whole
from recokit.errors import DataError
from recokit.typing import AnyArray, FloatArray, IntArray


def frequency_propensity(
    item: AnyArray, *, position: AnyArray | None = None, by: AnyArray | None = None
) -> FloatArray:
    """Estimate how likely each item was shown by how often it was, in its place and segment.

    Right for a logging policy that looks at nothing but the place and the segment; the most likely propensities then,
    which even leave estimates steadier than the true ones (Hirano, Imbens and Ridder, 2003). A policy that looks at
    more, such as the user, shows different items to users who differ in what they click: give that as ``by``, or use
    :func:`logistic_propensity`.

    Parameters
    ----------
    item : array_like of int, shape (M,)
        What was shown.
    position : array_like of int, shape (M,), optional
        Its place.
    by : array_like of int, shape (M,), optional
        Segment, such as the user's, or the day.

    Returns
    -------
    ndarray of float64, shape (M,)

    Raises
    ------
    DataError
        Without an impression, or for lengths that differ.

    Examples
    --------
    >>> frequency_propensity([1, 1, 2, 1], position=[1, 1, 1, 2]).round(2).tolist()
    [0.67, 0.67, 0.33, 1.0]
    """
    shown, n_items = _codes(item, "item", None)
    group: IntArray = np.zeros(len(shown), np.int64)
    for name, column in (("position", position), ("by", by)):
        if column is not None:
            codes, n = _codes(column, name, len(shown))
            group = np.unique(group * n + codes, return_inverse=True)[1].astype(np.int64)
    cell = np.unique(group * n_items + shown, return_inverse=True)[1]
    return np.asarray(np.bincount(cell)[cell] / np.bincount(group)[group])


def logistic_propensity(
    item: AnyArray, features: AnyArray, *, regularization: float = 1.0, max_iterations: int = 1000
) -> FloatArray:
    """Estimate how likely each item was shown in its situation, by a multinomial logistic regression.

    For some hundreds of items and what the logging policy looked at: features of the user, the place, the time. As
    right as the model; compare with :func:`frequency_propensity`, and see whether the mean weight is 1.

    Parameters
    ----------
    item : array_like of int, shape (M,)
        What was shown.
    features : array_like of float, shape (M, F)
        The situations, without the item. Scaled to unit variance inside.
    regularization : float, default 1.0
        Weight of the L2 penalty, scikit-learn's ``1 / C``.
    max_iterations : int, default 1000
        Steps at most.

    Returns
    -------
    ndarray of float64, shape (M,)

    Raises
    ------
    ConfigurationError
        If an option is not above 0.
    DataError
        For fewer than two items, lengths that differ, or features that are not finite.

    Examples
    --------
    >>> night = np.repeat([0.0, 1.0], 500)
    >>> item = np.where(np.arange(1000) % 5 < 1 + 3 * night, 1, 2)  # 1 in 5 by day, 4 in 5 at night
    >>> found = logistic_propensity(item, night[:, None])
    >>> found[:2].round(1).tolist(), found[500:502].round(1).tolist()
    ([0.2, 0.8], [0.8, 0.8])
    """
    require(above(0), regularization=regularization)
    require(whole(1), max_iterations=max_iterations)
    shown, n_items = _codes(item, "item", None)
    block = np.asarray(features, np.float64)
    if block.ndim != 2 or len(block) != len(shown) or not np.isfinite(block).all():
        raise DataError(f"found features of shape {block.shape}; expected ({len(shown)}, F), finite ones")
    if n_items < 2:
        raise DataError("found one item in all impressions; expected at least two to choose from")
    from sklearn.linear_model import LogisticRegression

    spread = block.std(axis=0)
    scaled = (block - block.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    model = LogisticRegression(C=1.0 / regularization, max_iter=max_iterations).fit(scaled, shown)
    return np.asarray(model.predict_proba(scaled)[np.arange(len(shown)), shown])


def _codes(column: AnyArray, name: str, n: int | None) -> tuple[IntArray, int]:
    values, codes = np.unique(np.asarray(column), return_inverse=True)
    if codes.ndim != 1 or not len(codes) or n not in (None, len(codes)):
        raise DataError(f"found {name} of shape {np.shape(column)}; expected ({'M' if n is None else n},)")
    return codes.astype(np.int64), len(values)
