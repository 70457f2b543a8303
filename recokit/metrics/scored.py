"""Metrics of scored rows: how well scores separate what happened, and how far predicted ratings are off."""

from __future__ import annotations

from typing import Any, Literal, get_args

import numpy as np

from recokit._stats.ranks import area_under_curve, areas_under_curve
from recokit._utils.options import one_of, require
from recokit.data.vocabulary import as_ids, factorize
from recokit.errors import DataError
from recokit.metrics.base import mean_of
from recokit.typing import AnyArray, BoolArray, FloatArray, IntArray

Numbers = AnyArray | list[float] | list[int] | list[bool]


def auc(score: Numbers, label: Numbers) -> float:
    """Return the area under the ROC curve of all rows together: how likely a positive row scores above a negative one.

    ``(sum of the positives' ranks - P (P + 1) / 2) / (P N)``, ties by half. Hanley and McNeil, *The meaning and use of
    the area under a ROC curve*, 1982. Compares rows of different users, unlike :func:`gauc`.

    Parameters
    ----------
    score : array_like of float, shape (N,)
        Higher is more likely. Rows with NaN count as scored below all others.
    label : array_like of bool or float, shape (N,)
        Above 0 for positive rows.

    Returns
    -------
    float
        0 to 1; NaN without a positive or without a negative row.

    Raises
    ------
    DataError
        If lengths differ, or a label is NaN.

    Examples
    --------
    >>> auc([0.9, 0.8, 0.7, 0.1], [1, 0, 1, 0])
    0.75
    """
    values, positive = _scored(score, label)
    return area_under_curve(values, positive)


def auc_per_user(user: Any, score: Numbers, label: Numbers) -> tuple[AnyArray, FloatArray]:
    """Return the distinct users, ascending, and the :func:`auc` of each one's rows, NaN where undefined.

    Examples
    --------
    >>> users, values = auc_per_user(["ann", "ann", "bob"], [0.2, 0.1, 0.3], [1, 0, 1])
    >>> users.tolist(), values.tolist()
    (['ann', 'bob'], [1.0, nan])
    """
    _check_order(user, label)
    values, positive = _scored(score, label)
    code, users = _users(user, len(values))
    return users, areas_under_curve(code, values, positive, len(users))


def gauc(
    user: Any,
    score: Numbers,
    label: Numbers,
    *,
    weight: Literal["positives", "rows", "equal"] = "positives",
) -> float:
    """Return the grouped AUC: the weighted mean of each user's own :func:`auc`.

    Zhou et al., *Deep interest network for click-through rate prediction*, 2018. Users with rows of one kind only have
    no AUC and are left out, see :func:`auc_per_user`.

    Parameters
    ----------
    user : sequence of int or str, shape (N,)
        Whose row it is.
    score, label : array_like, shape (N,)
        As for :func:`auc`.
    weight : {"positives", "rows", "equal"}, default "positives"
        Weight of a user: positive rows, as in RecBole; all rows, the impressions of the paper; or 1.

    Examples
    --------
    Ann's is 0.5 with 2 positive rows, Bob's 1 with 1.

    >>> users = ["ann", "ann", "ann", "bob", "bob"]
    >>> round(gauc(users, [3, 2, 1, 2, 1], [1, 0, 1, 1, 0]), 4)
    0.6667
    """
    require(one_of("positives", "rows", "equal"), weight=weight)
    _check_order(user, label)
    values, positive = _scored(score, label)
    code, users = _users(user, len(values))
    each = areas_under_curve(code, values, positive, len(users))
    weights = {
        "positives": np.bincount(code[positive], minlength=len(users)),
        "rows": np.bincount(code, minlength=len(users)),
        "equal": np.ones(len(users)),
    }[weight]
    defined = ~np.isnan(each)
    return float(np.average(each[defined], weights=weights[defined])) if defined.any() else float("nan")


def rmse(predicted: Numbers, rating: Numbers, *, user: Any = None) -> float:
    """Return the root of the mean squared error of predicted ratings, ``sqrt(mean((predicted - rating) ** 2))``.

    Herlocker, Konstan, Terveen and Riedl, *Evaluating collaborative filtering recommender systems*, 2004.

    Parameters
    ----------
    predicted, rating : array_like of float, shape (N,)
        Rows with a NaN in either are left out: count them before you compare models.
    user : sequence of int or str, shape (N,), optional
        With it, the mean over users of each one's own value.

    Returns
    -------
    float
        NaN without rows.

    Examples
    --------
    >>> round(rmse([4.0, 3.0], [5.0, 3.0]), 4)
    0.7071
    """
    return _error(predicted, rating, user, "rmse")


def mae(predicted: Numbers, rating: Numbers, *, user: Any = None) -> float:
    """Return the mean absolute error of predicted ratings, ``mean(|predicted - rating|)``; options as for :func:`rmse`.

    Examples
    --------
    >>> mae([4.0, 3.0], [5.0, 3.0])
    0.5
    """
    return _error(predicted, rating, user, "mae")


Kind = Literal["rmse", "mae"]


def error_per_user(
    user: Any, predicted: Numbers, rating: Numbers, *, kind: Kind = "rmse"
) -> tuple[AnyArray, FloatArray]:
    """Return the distinct users, ascending, and the :func:`rmse` or :func:`mae` of each one's rows.

    Examples
    --------
    >>> users, values = error_per_user([7, 7, 3], [4.0, 3.0, 1.0], [5.0, 3.0, float("nan")])
    >>> users.tolist(), values.round(4).tolist()
    ([3, 7], [nan, 0.7071])
    """
    require(one_of(*get_args(Kind)), kind=kind)
    guess, actual = _paired("predictions", predicted, "ratings", rating)
    code, users = _users(user, len(guess))
    miss = np.abs(guess - actual)
    known = ~np.isnan(miss)
    total = np.bincount(code[known], miss[known] ** (2 if kind == "rmse" else 1), minlength=len(users))
    with np.errstate(invalid="ignore"):
        mean = total / np.bincount(code[known], minlength=len(users))
    return users, np.sqrt(mean) if kind == "rmse" else mean


def _error(predicted: Numbers, rating: Numbers, user: Any, kind: Kind) -> float:
    whose = np.zeros(np.shape(predicted)[:1], np.int64) if user is None else user
    return mean_of(error_per_user(whose, predicted, rating, kind=kind)[1])


def _scored(score: Numbers, label: Numbers) -> tuple[FloatArray, BoolArray]:
    values, labels = _paired("scores", score, "labels", label)
    bad = np.flatnonzero(np.isnan(labels))
    if len(bad):
        raise DataError("found label nan; expected above 0 for positive rows, else 0", rows=bad)
    if len(labels) and labels.min() > 0 and {*np.unique(values).tolist()} == {0.0, 1.0}:
        raise DataError(
            "found scores of only 0 and 1, and no label of 0; expected scores, then labels; hint: the order is (score, "
            "label), after the user if there is one"
        )
    return np.where(np.isnan(values), -np.inf, values), labels > 0


def _check_order(user: Any, label: Any) -> None:
    """Check that users come first: ``auc(score, label)`` has none, and another order would give a number too."""
    users, labels = np.asarray(user), np.asarray(label)
    hint = "hint: the order is (user, score, label)"
    if users.dtype.kind == "f" and users.ndim == 1 and len(users):
        raise DataError(f"found users of type {users.dtype}, such as {users[0]:g}; expected ids; {hint}")
    if labels.dtype.kind not in "biuf":
        raise DataError(f"found labels of type {labels.dtype}; expected numbers or booleans; {hint}")
    binary = users.dtype.kind in "biu" and not ({*np.unique(users).tolist()} - {0, 1})
    if binary and len(users) > 2 and len(np.unique(labels)) > 2:
        raise DataError(
            f"found users that are all 0 or 1, and {len(np.unique(labels))} different labels; expected ids, and then "
            f"labels; {hint}"
        )


def _paired(name: str, values: Numbers, other: str, others: Numbers) -> tuple[FloatArray, FloatArray]:
    x, y = np.asarray(values, np.float64), np.asarray(others, np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise DataError(
            f"found {name} of shape {x.shape}, {other} of {y.shape}; expected one dimension, and the same"
        )
    return x, y


def _users(user: Any, n: int) -> tuple[IntArray, AnyArray]:
    ids = as_ids(user, "users")
    if len(ids) != n:
        raise DataError(f"found {len(ids)} users for {n} rows; expected one for each row")
    code, users = factorize(ids)
    return code - 1, users
