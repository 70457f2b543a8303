"""PopularInCategory: the popular items of the categories in the history."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.segments import (
    counts_to_offsets,
    multi_arange,
    offsets_to_rows,
    rank_in_row,
    rows_to_offsets,
    segment_sum,
)
from recokit._kernels.sorting import group_pairs, top_by_score
from recokit._utils.options import Rule, optional, rules
from recokit._utils.threads import map_parts
from recokit.candidates._retrieve import cost_blocks, joined
from recokit.candidates._weights import counted_events, distinct_history
from recokit.compose.alone.sources import AloneSource
from recokit.data import Dataset, Ragged, Requests, Retrieved
from recokit.data.events.user_history import check_events
from recokit.data.times import Duration, duration
from recokit.typing import Float32Array, FloatArray, IntArray

#: Items looked at in one block of requests.
_BLOCK = 1 << 20


@dataclass(eq=False, repr=False)
class PopularInCategory(AloneSource):
    """Source of the popular items of the categories in the history, in proportion to their weight there.

    Each category of the history has its share of any list, by the method of Sainte-Laguë: the best item of a category
    has the category's share of the history as its score, its second a third of that, its third a fifth and so on.
    A row whose history has no category gets the popular items of all. Where items have several categories, each counts
    for an equal part of the event, and an item has the best of its scores.

    Parameters
    ----------
    by : str, default "category"
        Item column of labels; ``"item.category"`` means the same.
    half_life : duration or None, default "14D"
        After this time an event counts half: in ``fit`` as of the end of the data, in ``retrieve`` as of the
        user's newest event.
        None for no decay.
    window : duration, optional
        Popular is what was taken in this time before the end of the data; all of it by default.
    events : sequence of str, optional
        Event types that count for popularity; all of them by default.

    Raises
    ------
    ConfigurationError
        If an option is no duration, or the data has no such event type or no such column of labels.

    Attributes
    ----------
    offsets_ : ndarray of int64, shape (C + 2,)
        Where the list of each of C categories lies; list 0 is that of all items.
    item_ : ndarray of int64
        The lists: weight descending, ties by code.
    labels_ : Ragged
        The categories of each item by code, n_items + 1 lists, empty for none.
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged
    >>> data = Dataset.from_frame(
    ...     {"user": [1, 2, 3, 3], "item": [1, 1, 3, 4], "timestamp": [1, 2, 3, 4]},
    ...     items={"item_id": [1, 2, 3, 4], "category": ["tea", "tea", "jam", "jam"]},
    ... )
    >>> source = PopularInCategory(half_life=None).fit(data)
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[2, 1, 3]])})
    >>> source.retrieve(requests, limit=3).item.tolist()
    [1, 3, 2]
    """

    _OPTIONS = rules(
        by=Rule("the name of an item column of labels", lambda value: isinstance(value, str) and value != ""),
        half_life=optional(duration),
        window=optional(duration),
    )

    by: str = "category"
    _: KW_ONLY
    half_life: Duration | None = "14D"
    window: Duration | None = None
    events: Sequence[str] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_events(self.events)

    @property
    def requires(self) -> tuple[str, ...]:
        """The history, and the item column."""
        return ("history", f"item.{self.by.removeprefix('item.')}")

    def fit(self, dataset: Dataset) -> PopularInCategory:
        """Count, and rank each category."""
        column = self.by.removeprefix("item.")
        labels = dataset.items.labelled(column).several
        log, weight = counted_events(dataset, self.events, self.window, self.half_life)
        count = segment_sum(weight, log.item, dataset.n_items + 1)
        self.labels_ = Ragged(labels.offsets, labels.code)
        overall = 1 + np.argsort(-count[1:], kind="stable")
        ranked = self.labels_.take(overall)
        order = np.argsort(ranked.values, kind="stable")
        lengths = np.bincount(ranked.values, minlength=len(labels.labels) + 1)
        lengths[0] = len(overall)
        self.item_ = np.concatenate([overall, overall[ranked.rows[order]]])
        self.offsets_ = counts_to_offsets(lengths)
        self.fitted_until_ = dataset.until
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` best items of each row that are not excluded.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        offsets, category, share = self._shares(requests)
        exclude = requests.lists("exclude")
        row = offsets_to_rows(offsets)
        start = self.offsets_[category]
        counts = np.minimum(self.offsets_[category + 1] - start, limit + exclude.counts[row])
        several = bool((self.labels_.counts > 1).any())

        def best(part: tuple[int, int]) -> tuple[IntArray, IntArray, Float32Array]:
            first, last = part
            here = slice(offsets[first], offsets[last])
            of = np.repeat(np.arange(here.start, here.stop), counts[here])
            item = self.item_[multi_arange(start[here], counts[here])]
            out = exclude.take(np.arange(first, last))
            left = ~pairs_in_sets(row[of] - first, item, out.offsets, out.values)
            of, item = of[left], item[left]
            rank = rank_in_row(of - here.start, rows_to_offsets(of - here.start, here.stop - here.start))
            score = (share[of] / (2 * rank + 1)).astype(np.float32)
            of_row = row[of] - first
            if several:
                of_row, score, item = _best_of_each(of_row, score, item)
            return top_by_score(rows_to_offsets(of_row, last - first), score, item, limit)

        cost = segment_sum(counts, row, len(requests))
        return joined(map_parts(best, list(cost_blocks(cost, _BLOCK, len(self.labels_)))))

    def _shares(self, requests: Requests) -> tuple[IntArray, IntArray, FloatArray]:
        """Return offsets, categories and their shares of each row's history; 0 alone where there are none."""
        offsets, item, weight = distinct_history(requests, half_life=self.half_life)
        labels = self.labels_.take(np.where(item < len(self.labels_), item, 0))
        part = (weight / np.maximum(labels.counts, 1))[labels.rows]
        counted = part > 0
        row, category = offsets_to_rows(offsets)[labels.rows][counted], labels.values[counted]
        pairs = group_pairs(rows_to_offsets(row, len(requests)), category)
        total = pairs.sum(part[counted])
        row, category = offsets_to_rows(pairs.offsets), category[pairs.first]
        share = total / segment_sum(total, row, len(requests))[row]
        without = np.flatnonzero(np.diff(pairs.offsets) == 0)
        order = np.argsort(np.concatenate([row, without]), kind="stable")
        row = np.concatenate([row, without])[order]
        category = np.concatenate([category, np.zeros(len(without), np.int64)])[order]
        share = np.concatenate([share, np.ones(len(without))])[order]
        return rows_to_offsets(row, len(requests)), category, share


def _best_of_each(
    row: IntArray, score: Float32Array, item: IntArray
) -> tuple[IntArray, Float32Array, IntArray]:
    """Return each row's items once, with the best of their scores."""
    order = np.lexsort((-score, item, row))
    row, score, item = row[order], score[order], item[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (row[1:] != row[:-1]) | (item[1:] != item[:-1])
    return row[first], score[first], item[first]
