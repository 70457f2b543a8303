"""Item segments: new and established items (R22), or anything that tells items apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from recokit.data.segments import _checked, _labelled
from recokit.data.table import Categorical
from recokit.data.times import seconds
from recokit.data.vocabulary import Vocabulary
from recokit.errors import ConfigurationError
from recokit.typing import AnyArray

if TYPE_CHECKING:
    from recokit.data.dataset import Dataset

__all__ = ["NOVELTY", "item_segments", "item_segments_by"]

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
        Items with fewer events are ``"new"``; the rest is ``"established"``. As for users, R8.
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
    if new < 1:
        raise ConfigurationError(f"found new={new}; expected at least 1")
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
        column = by.removeprefix("item.")
        return Categorical(dataset.items.column(column), dataset.items.labels(column))
    if isinstance(by, Categorical):
        return _checked(by, dataset.n_items)
    values = np.asarray(by)
    if values.shape != (dataset.n_items + 1,):
        raise ConfigurationError(
            f"found item segments of shape {values.shape}; expected ({dataset.n_items + 1},): one label for each item "
            "code, the first for unknown items"
        )
    return _labelled(values, "item segments")
