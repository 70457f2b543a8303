"""Lists and truth in dataframes, a row for each item, as one ragged row for each user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

import numpy as np

from recokit._kernels.segments import counts_to_offsets, stable_order
from recokit._utils.options import one_of, require
from recokit.data.frames import ALIASES, Frame
from recokit.data.ragged import Ragged
from recokit.data.vocabulary import as_ids, factorize
from recokit.errors import DataError
from recokit.typing import AnyArray, FloatArray, IntArray

Ties = Literal["position", "id"]

#: Whole numbers that are no further apart are sorted in one key with the user, several times faster.
_RANKS = 2**20


def read_frames(
    lists: Any, truth: Any, columns: Mapping[str, str] | None, ties: Ties
) -> tuple[AnyArray, Ragged, Ragged, FloatArray]:
    """Return the users, their lists and relevant items by codes that both share, and the gains.

    Parameters and errors as those of :meth:`recokit.metrics.MatchedLists.from_frames`.
    """
    require(one_of(*get_args(Ties)), ties=ties)
    shown, relevant = (_frame(frame, columns or {}) for frame in (lists, truth))
    names, (list_user, truth_user) = _shared_codes([shown.ids("user_id"), relevant.ids("user_id")])
    items, (list_item, truth_item) = _shared_codes([shown.ids("item_id"), relevant.ids("item_id")])
    key = _order_key(shown)
    if key is not None and ties == "id":
        # The larger text first among equal keys: the stable sort by the key comes second.
        text = np.array([str(item) for item in items.tolist()], object)
        place = np.argsort(np.argsort(text, kind="stable"))[list_item - 1]
        order: IntArray | None = np.lexsort((-place, key, list_user))
    else:
        order = _by_user(list_user, key)
    by_user = _by_user(truth_user, None)
    users, (list_offsets, truth_offsets) = _rows([_taken(list_user, order), _taken(truth_user, by_user)])
    gains = relevant.number("weight") if "weight" in relevant else np.ones(len(truth_user))
    return (
        names[users - 1],
        Ragged(list_offsets, _taken(list_item, order)),
        Ragged(truth_offsets, _taken(truth_item, by_user)),
        _taken(gains, by_user),
    )


def _frame(frame: Any, columns: Mapping[str, str]) -> Frame:
    read = Frame(frame)
    return read.renamed({ours: own for ours, own in columns.items() if own in read.original}, ALIASES)


def _shared_codes(parts: list[AnyArray]) -> tuple[AnyArray, list[IntArray]]:
    """Return ids in ascending order, all those of the parts among them, and each part's codes from 1."""
    filled = [part for part in parts if len(part)]
    if len({part.dtype.kind for part in filled}) > 1:
        as_ids([part[0] for part in filled])  # raises: integers here, text there
    if filled and filled[0].dtype.kind == "i":
        low, high = min(int(part.min()) for part in filled), max(int(part.max()) for part in filled)
        limit = 4 * sum(map(len, filled)) + 1024
        if high - low < limit:  # no need to look which of them occur
            below = 0 if low >= 1 and high < limit else low - 1  # what is subtracted: mostly nothing
            shifted = [part - below if below else part for part in parts]
            codes = [
                part.astype(np.int64, copy=False) for part in shifted
            ]  # one without ids may be of any kind
            return np.arange(below + 1, high + 1), codes
    code, distinct = factorize(np.concatenate(filled) if filled else np.zeros(0, np.int64))
    return distinct, np.split(code, np.cumsum([len(part) for part in parts])[:-1])


def _rows(parts: list[IntArray]) -> tuple[IntArray, list[IntArray]]:
    """Return the distinct users of all parts, ascending, and each part's CSR offsets; users ascend within a part."""
    counts = np.zeros(
        (len(parts), 1 + max((int(part[-1]) for part in parts if len(part)), default=0)), np.int64
    )
    for count, part in zip(counts, parts, strict=True):
        start = np.flatnonzero(np.concatenate([[True], part[1:] != part[:-1]]))[: len(part)]
        count[part[start]] = np.diff(np.append(start, len(part)))
    users = np.flatnonzero(counts.any(axis=0))
    return users, [counts_to_offsets(count[users]) for count in counts]


def _taken(values: AnyArray, order: IntArray | None) -> AnyArray:
    return values if order is None else values[order]


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
    ascends = user[1:] >= user[:-1]
    if key is None:
        return None if ascends.all() else stable_order(user)
    if (ascends & ((key[1:] >= key[:-1]) | (user[1:] != user[:-1]))).all():
        return None
    low, high = float(key.min()), float(key.max())
    if high - low < _RANKS and (np.floor(key) == key).all():  # ranks: both fit into one key
        return stable_order(user * int(high - low + 1) + (key - low).astype(np.int64))
    by_key = np.argsort(key, kind="stable")  # NaN last
    return by_key[stable_order(user[by_key])]
