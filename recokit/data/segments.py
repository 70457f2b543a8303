"""Segments of users and items: by activity and novelty before the cut, or by anything that tells them apart."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit._utils.options import require, whole
from recokit.data.dataset import Dataset
from recokit.data.table import Categorical
from recokit.data.times import seconds
from recokit.data.vocabulary import Vocabulary
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.typing import AnyArray, BoolArray, IntArray

#: Names of the activity segments, codes 1 to 3.
ACTIVITY = ("cold-start", "casual", "power")


_MAX_SEGMENTS = 100


def activity_segments(dataset: Dataset, *, cold: int = 5, power: int = 50) -> Categorical:
    """Sort users into segments by their number of interactions in the dataset.

    Given the part before a cut, such as the train part of a split, the count is the one before the cut.

    Parameters
    ----------
    dataset : Dataset
        The events to count.
    cold : int, default 5
        Users with fewer interactions are ``"cold-start"``.
    power : int, default 50
        Users with at least so many are ``"power"``; those between are ``"casual"``.

    Returns
    -------
    Categorical
        Codes (n_users + 1,) of the labels; the unknown user, row 0, has no interactions and is
        ``"cold-start"``.

    Raises
    ------
    ConfigurationError
        Unless ``0 < cold < power``.

    Examples
    --------
    >>> from recokit.data import Dataset
    >>> data = Dataset.from_frame({"user": [1] * 5 + [2], "item": range(6), "timestamp": range(6)})
    >>> activity = activity_segments(data)
    >>> activity.labels.decode(activity.codes).tolist()
    ['cold-start', 'casual', 'cold-start']
    """
    counts = np.bincount(dataset.interactions.user, minlength=dataset.n_users + 1)
    counts[0] = 0
    return Categorical(activity_levels(counts, cold=cold, power=power), Vocabulary(ACTIVITY))


def activity_levels(counts: IntArray, *, cold: int = 5, power: int = 50) -> IntArray:
    """Return the activity segment of users by their numbers of interactions: the one rule behind all views.

    Parameters
    ----------
    counts : ndarray of int64, shape (N,)
        Interactions before the time that is looked at.
    cold, power : int
        As in :func:`activity_segments`.

    Returns
    -------
    ndarray of int64, shape (N,)
        1 for cold-start, 2 for casual, 3 for power.

    Raises
    ------
    ConfigurationError
        Unless ``0 < cold < power``.

    Examples
    --------
    >>> activity_levels(np.array([0, 4, 5, 49, 50])).tolist()
    [1, 1, 2, 2, 3]
    """
    if not 0 < cold < power:
        raise ConfigurationError(f"found cold={cold}, power={power}; expected 0 < cold < power")
    return np.searchsorted([0, cold, power], counts, side="right")


def segments_by(
    dataset: Dataset, by: str | Categorical | AnyArray | Mapping[Any, Any], *, cold: int = 5, power: int = 50
) -> Categorical:
    """Resolve what users are told apart by: the one rule for evaluation, features and the debugger.

    Parameters
    ----------
    dataset : Dataset
        The part before the cut, with its user table.
    by : str, Categorical, ndarray or mapping
        ``"activity"``; the name of a user column (``"region"`` or ``"user.region"``); one label for each user
        code, (n_users + 1,), None or NaN for none; or external user id to label.
    cold, power : int
        As in :func:`activity_segments`.

    Returns
    -------
    Categorical
        Codes (n_users + 1,), 0 for users without a segment. Labels are text.

    Raises
    ------
    ConfigurationError
        For an unknown column, a column that does not make segments, or labels of the wrong length.

    Examples
    --------
    >>> from recokit.data import Dataset
    >>> data = Dataset.from_frame({"user": ["ann", "bob"], "item": [1, 2], "timestamp": [1, 2]})
    >>> segments = segments_by(data, {"ann": "north"})
    >>> segments.labels.decode(segments.codes).tolist()
    [None, 'north', None]
    """
    if isinstance(by, str):
        return (
            activity_segments(dataset, cold=cold, power=power) if by == "activity" else _column(dataset, by)
        )
    if isinstance(by, Categorical):
        return _checked(by, dataset.n_users)
    if isinstance(by, Mapping):
        values = np.full(dataset.n_users + 1, None, object)
        codes = dataset.user_ids.encode(list(by))
        values[codes[codes > 0]] = np.fromiter(by.values(), object, len(by))[codes > 0]
    else:
        values = np.asarray(by)
    if values.shape != (dataset.n_users + 1,):
        raise ConfigurationError(
            f"found segments of shape {values.shape}; expected ({dataset.n_users + 1},): "
            "one label for each user code, the first for unknown users"
        )
    return _labelled(values, "segments")


def _column(dataset: Dataset, name: str) -> Categorical:
    short = name.removeprefix("user.")
    users = dataset.users
    if short in users.categorical:
        column = users.categorical[short]
        if column.separator is not None:
            raise ConfigurationError(
                f"found user column {short!r}, which holds several labels each; expected one segment for each user"
            )
        return column
    if short in users.numeric_names:
        return _labelled(users.column(short), f"user column {short!r}")
    if short in users.other:
        raise ConfigurationError(
            f"found user column {short!r} of free text or times; expected a categorical or numeric column; "
            "hint: pass an array of labels by user code"
        )
    raise ConfigurationError(
        f"found no user column {short!r}; {did_you_mean(short, ['activity', *users.names])}"
    )


def _checked(by: Categorical, n_users: int) -> Categorical:
    codes = by.codes
    if codes.shape != (n_users + 1,) or codes.min() < 0 or codes.max() > len(by.labels):
        raise ConfigurationError(
            f"found segment codes of shape {codes.shape} from {codes.min(initial=0)} to "
            f"{codes.max(initial=0)}; expected shape ({n_users + 1},) and codes from 0 to {len(by.labels)}"
        )
    return by


def _labelled(values: AnyArray, what: str) -> Categorical:
    """Make a segment of each distinct value, in sorted order; whole numbers lose their decimal point."""
    present = _present(values)
    distinct, inverse = np.unique(_sortable(values[present], what), return_inverse=True)
    if len(distinct) > _MAX_SEGMENTS:
        raise ConfigurationError(
            f"found {len(distinct)} distinct values in {what}; expected at most {_MAX_SEGMENTS} segments; "
            "hint: cut numbers into bins first"
        )
    codes = np.zeros(len(values), np.int64)
    codes[present] = inverse + 1
    return Categorical(codes, Vocabulary([_text(value) for value in distinct.tolist()]))


def _present(values: AnyArray) -> BoolArray:
    if values.dtype.kind == "f":
        return ~np.isnan(values)
    if values.dtype.kind == "O":
        return np.array([value is not None and value == value for value in values.tolist()], np.bool_)
    return np.ones(len(values), np.bool_)


def _sortable(values: AnyArray, what: str) -> AnyArray:
    if values.dtype.kind != "O":
        return values
    kinds = {isinstance(value, str) for value in values.tolist()}
    if len(kinds) > 1:
        raise DataError(f"found text and numbers among the labels of {what}; expected one kind")
    return values.astype(str) if True in kinds else np.array(values.tolist())


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


#: Names of the segments of items, codes 1 and 2.
NOVELTY = ("new", "established")


def item_segments(
    dataset: Dataset, *, new: int = 5, max_age: str | float | None = None, launched: str = "launched_at"
) -> Categorical:
    """Sort items into new and established ones.

    Given the part before a cut, such as the train part of a split, events and ages are those at the cut.

    Parameters
    ----------
    dataset : Dataset
        The events to count.
    new : int, default 5
        Items with fewer events are ``"new"``; the rest is ``"established"``.
    max_age : duration, optional
        With it, the age decides instead: items launched less than this before ``dataset.until``. Items without a time
        are established.
    launched : str, default "launched_at"
        Item column with the time of launch.

    Returns
    -------
    Categorical
        Codes (n_items + 1,); the unknown item, row 0, has no segment.

    Raises
    ------
    ConfigurationError
        If ``new`` is below 1, or there is no such column of times.

    Examples
    --------
    >>> from recokit.data import Dataset
    >>> data = Dataset.from_frame({"user": range(6), "item": ["fig"] * 5 + ["kiwi"], "timestamp": range(6)})
    >>> novelty = item_segments(data)
    >>> dict(zip(data.item_ids.ids, novelty.labels.decode(novelty.codes[1:])))
    {'fig': 'established', 'kiwi': 'new'}
    """
    require(whole(1), new=new)
    if max_age is None:
        is_new = np.bincount(dataset.interactions.item, minlength=dataset.n_items + 1) < new
    else:
        if launched not in dataset.items.other or dataset.items.other[launched].dtype.kind != "f":
            raise ConfigurationError(f"found no item column {launched!r} of times; expected one for max_age")
        is_new = dataset.items.other[launched] > dataset.until - seconds(max_age)
    codes = np.where(is_new, 1, 2)
    codes[0] = 0
    return Categorical(codes, Vocabulary(NOVELTY))


def item_segments_by(dataset: Dataset, by: str | Categorical | AnyArray, *, new: int = 5) -> Categorical:
    """Resolve what items are told apart by, as :func:`recokit.data.segments_by` does for users.

    Parameters
    ----------
    dataset : Dataset
        The part before the cut, with its item table.
    by : str, Categorical or ndarray
        ``"novelty"``; the name of a categorical item column (``"category"`` or ``"item.category"``); or one label for
        each item code, (n_items + 1,), None or NaN for none.
    new : int, default 5
        As in :func:`item_segments`.

    Returns
    -------
    Categorical
        Codes (n_items + 1,), 0 for items without a segment.

    Raises
    ------
    ConfigurationError
        For an unknown column, or labels of the wrong length.
    """
    if isinstance(by, str):
        if by == "novelty":
            return item_segments(dataset, new=new)
        return dataset.items.labelled(by.removeprefix("item."))
    if isinstance(by, Categorical):
        return _checked(by, dataset.n_items)
    values = np.asarray(by)
    if values.shape != (dataset.n_items + 1,):
        raise ConfigurationError(
            f"found item segments of shape {values.shape}; expected ({dataset.n_items + 1},): one label for each item "
            "code, the first for unknown items"
        )
    return _labelled(values, "item segments")
