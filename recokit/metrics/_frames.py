"""Lists and truth in dataframes, a row for each item, as one ragged row for each user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from recokit._ops.segments import stable_order
from recokit.data.frames import ALIASES, Frame
from recokit.data.ragged import Ragged
from recokit.data.vocabulary import as_ids, factorize
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.typing import AnyArray, FloatArray, IntArray

__all__ = ["Ties", "read_frames"]

Ties = Literal["position", "id"]


def read_frames(
    lists: Any, truth: Any, columns: Mapping[str, str] | None, ties: Ties
) -> tuple[AnyArray, Ragged, Ragged, FloatArray]:
    """Return the users, their lists and relevant items by codes that both share, and the gains.

    Parameters and errors as those of :meth:`recokit.metrics.Judged.from_frames`.
    """
    if ties not in get_args(Ties):
        raise ConfigurationError(f"found ties={ties!r}; {did_you_mean(str(ties), get_args(Ties))}")
    shown, relevant = (_frame(frame, columns or {}) for frame in (lists, truth))
    users, (list_user, truth_user) = _shared_codes([shown.ids("user_id"), relevant.ids("user_id")])
    items, (list_item, truth_item) = _shared_codes([shown.ids("item_id"), relevant.ids("item_id")])
    key = _order_key(shown)
    if key is not None and ties == "id":
        # The larger text first among equal keys: the stable sort by the key comes second.
        text = np.array([str(item) for item in items.tolist()], object)
        place = np.argsort(np.argsort(text, kind="stable"))[list_item - 1]
        order: IntArray | None = np.lexsort((-place, key, list_user))
    else:
        order = _by_user(list_user, key)
    gains = relevant.number("weight") if "weight" in relevant else np.ones(len(truth_user))
    by_user = _by_user(truth_user, None)
    return (
        users,
        _ragged(list_user, list_item, order, len(users)),
        _ragged(truth_user, truth_item, by_user, len(users)),
        gains if by_user is None else gains[by_user],
    )


def _frame(frame: Any, columns: Mapping[str, str]) -> Frame:
    read = Frame(frame)
    return read.renamed({ours: own for ours, own in columns.items() if own in read.original}, ALIASES)


def _shared_codes(parts: list[AnyArray]) -> tuple[AnyArray, list[IntArray]]:
    """Return the distinct ids of all parts, ascending, and each part's codes from 1."""
    filled = [part for part in parts if len(part)]
    if len({part.dtype.kind for part in filled}) > 1:
        as_ids([part[0] for part in filled])  # raises: integers here, text there
    ids = np.concatenate(filled) if filled else np.zeros(0, np.int64)
    low = int(ids.min(initial=0)) if ids.dtype.kind == "i" else 0
    span = int(ids.max(initial=0)) - low if ids.dtype.kind == "i" and len(ids) else 0
    if ids.dtype.kind == "i" and span < 4 * len(ids) + 1024:
        present = np.zeros(span + 1, np.bool_)
        present[ids - low] = True
        code = np.cumsum(present)[ids - low]
        distinct: AnyArray = np.flatnonzero(present) + low
    else:
        code, distinct = factorize(ids)
    return distinct, np.split(code, np.cumsum([len(part) for part in parts])[:-1])


def _order_key(frame: Frame) -> AnyArray | None:
    """Return what ascends along each list, None where the rows' own order does."""
    if "rank" in frame:
        rank = frame.number("rank")
        bad = np.flatnonzero(np.isnan(rank))
        if len(bad):
            raise DataError("found rank nan; expected a number in every row", rows=bad)
        return rank
    return -frame.number("score") if "score" in frame else None  # NaN sorts last


def _by_user(user: IntArray, key: AnyArray | None) -> IntArray | None:
    """Return the stable order by user and key, None where it is that already."""
    step = np.diff(user)
    if key is None:
        return None if (step >= 0).all() else stable_order(user)
    if ((step > 0) | ((step == 0) & (key[1:] >= key[:-1]))).all():
        return None
    return np.lexsort((key, user))


def _ragged(user: IntArray, item: IntArray, order: IntArray | None, n: int) -> Ragged:
    offsets = np.concatenate([[0], np.cumsum(np.bincount(user - 1, minlength=n))]).astype(np.int64)
    return Ragged(offsets, item if order is None else item[order])
