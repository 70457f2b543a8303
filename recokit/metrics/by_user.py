"""Metrics of lists and truth as users hold them: frames, mappings by user, sequences and arrays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recokit._utils.options import shown
from recokit.data.frames import ALIASES
from recokit.errors import DataError
from recokit.metrics._frames import Ties
from recokit.metrics.base import Metric
from recokit.metrics.matched_lists import MatchedLists
from recokit.metrics.report import Report, report
from recokit.result import Recommendations


def evaluate(
    lists: Any,
    truth: Any,
    metrics: str | Metric | Sequence[str | Metric] = ("NDCG@10", "Recall@10", "HitRate@10"),
    *,
    columns: Mapping[str, str] | None = None,
    ties: Ties = "position",
    n_items: int | None = None,
) -> Report:
    """Return metrics of lists against what was relevant, without a dataset or a pipeline.

    Parameters
    ----------
    lists : dataframe, mapping, sequence, ndarray or Recommendations
        A row for each item, with ``user_id``, ``item_id`` and ``rank`` or ``score``; or each user's item ids, best
        first, by user or in order.
    truth : dataframe, mapping, sequence or ndarray
        The relevant items in any of these forms, with ``weight`` as their gain; of a user, a mapping of item to gain.
        Lists in order and truth in order are of the same users.
    metrics : sequence of str or Metric, default NDCG, recall and hit rate of 10
    columns : mapping of str to str, optional
        recokit's name to your column name, in whichever frame it stands.
    ties : {"position", "id"}, default "position"
        See :meth:`MatchedLists.from_frames`.
    n_items : int, optional
        Size of the catalogue, for coverage.

    Returns
    -------
    Report
        Users of the truth without a list count 0; users without a truth have no value.

    Raises
    ------
    DataError
        If one goes by user and the other by order, or is none of these forms.

    Examples
    --------
    >>> found = evaluate({"ann": [7, 8], "bob": [9]}, {"user_id": ["ann", "bob"], "item_id": [8, 7]}, ["HitRate@2"])
    >>> found["HitRate@2"].value
    0.5
    """
    wanted = [metrics] if isinstance(metrics, str | Metric) else list(metrics)
    in_order = [_is_in_order(part, name) for part, name in ((lists, "lists"), (truth, "truth"))]
    if all(in_order):
        return report(MatchedLists.from_lists(lists, truth, n_items=n_items), wanted)
    if any(in_order):
        order, users = ("lists", "truth") if in_order[0] else ("truth", "lists")
        raise DataError(
            f"found {order} in order, and {users} by user; expected both by user, or both in order; "
            f"hint: dict(zip(users, {order}))"
        )
    own = columns or {}
    made, relevant = _rows(lists, own, ranked=True), _rows(truth, own, ranked=False)
    matched = MatchedLists.from_frames(made, relevant, columns=columns, ties=ties, n_items=n_items)
    return report(matched, wanted)


def _is_in_order(part: Any, name: str) -> bool:
    """Tell whether it holds one collection of ids for each user, in order."""
    if part is None or isinstance(part, str | bytes) or np.isscalar(part):
        raise DataError(
            f"found {name} of type {type(part).__name__}; expected a frame, a mapping of user to items, or a sequence "
            "of each user's items"
        )
    return isinstance(part, list | tuple | np.ndarray)


def _rows(part: Any, columns: Mapping[str, str], *, ranked: bool) -> Any:
    """Return a frame, or a mapping by user as one row for each item."""
    if isinstance(part, Recommendations):
        long = part.to_arrays()
        return {name: long[name] for name in ("user_id", "item_id", "rank")}
    if not isinstance(part, Mapping) or _has_columns(part, columns):
        return part
    users: list[Any] = []
    items: list[Any] = []
    numbers: list[float] = []
    for user, mine in part.items():
        if isinstance(mine, str | bytes) or not hasattr(mine, "__len__"):
            raise DataError(
                f"found {shown(mine)} of user {shown(user)}; expected a list of item ids; hint: [{shown(mine)}]"
            )
        items += list(mine)
        users += [user] * len(mine)
        if ranked:
            by_score = isinstance(mine, Mapping)
            numbers += [-float(score) for score in mine.values()] if by_score else range(1, len(mine) + 1)
        else:
            numbers += (
                [float(gain) for gain in mine.values()] if isinstance(mine, Mapping) else [1.0] * len(mine)
            )
    return {"user_id": users, "item_id": items, "rank" if ranked else "weight": numbers}


def _has_columns(part: Mapping[Any, Any], columns: Mapping[str, str]) -> bool:
    """Tell whether a mapping's keys are columns, such as one of users or of items."""
    known = {name for column in ("user_id", "item_id") for name in (*ALIASES[column], columns.get(column))}
    return any(name in part for name in known)
