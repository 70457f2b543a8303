"""Scatter: results of a stage on some of the rows, put together for the whole batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.segments import counts_to_offsets
from recokit.data import Candidates, Ragged, Retrieved
from recokit.data.candidates import missing
from recokit.data.requests import Hydrated
from recokit.pipeline.run import Outcome, put
from recokit.typing import AnyArray, BoolArray


def masked(answer: Retrieved, mask: BoolArray) -> Retrieved:
    """Return the answer with empty lists in rows where the mask (B,) is not set."""
    if mask.all():
        return answer
    counts = np.diff(answer.offsets)
    kept = np.repeat(mask, counts)
    return replace(
        answer, offsets=counts_to_offsets(counts * mask), item=answer.item[kept], score=answer.score[kept]
    )


def without(batch: Candidates, other: Candidates) -> Candidates:
    """Return the batch without the items that the other batch has in the same row."""
    return batch.compress(~pairs_in_sets(batch.row, batch.item, other.offsets, other.item))


def join_retrieved(outcome: Outcome[Retrieved], n_rows: int) -> Retrieved:
    """Return the lists of all rows; rows that no piece covers have none."""
    whole = outcome.whole(n_rows)
    if whole is not None:
        return whole
    if not outcome.pieces:
        return Retrieved.empty(n_rows)
    parts = [part for _, part in outcome.pieces]
    rows = np.concatenate([rows for rows, _ in outcome.pieces])
    offsets = counts_to_offsets(np.concatenate([np.diff(part.offsets) for part in parts]))
    item, score = (
        np.concatenate([part.item for part in parts]),
        np.concatenate([part.score for part in parts]),
    )
    errors = tuple(error for part in parts for error in part.errors)
    joined = Retrieved(offsets, item, score, errors).take(np.argsort(rows, kind="stable"))
    counts = np.zeros(n_rows, np.int64)
    counts[np.sort(rows)] = np.diff(joined.offsets)
    return replace(joined, offsets=counts_to_offsets(counts))


def join_hydrated(outcome: Outcome[Hydrated], n_rows: int) -> Hydrated:
    """Return columns and lists of all rows, missing values and empty lists where no piece covers a row."""
    whole = outcome.whole(n_rows)
    if whole is not None:
        return whole
    columns: dict[str, AnyArray] = {}
    ragged: dict[str, Ragged] = {}
    for rows, part in outcome.pieces:
        mask = np.zeros(n_rows, np.bool_)
        mask[rows] = True
        place = np.zeros(n_rows, np.int64)
        place[rows] = np.arange(len(rows))
        for name, lists in part.ragged.items():
            ragged[name] = ragged.get(name, Ragged.empty(n_rows)).merge(lists.take(place), mask)
        for name, column in part.columns.items():
            columns[name] = np.where(mask, column[place], columns.get(name, missing(n_rows, column)))
    return Hydrated(columns, ragged)


def join_columns(batch: Candidates, outcome: Outcome[Mapping[str, AnyArray]]) -> dict[str, AnyArray]:
    """Return columns of all rows: as they were, or missing, where no piece covers a row."""
    columns: dict[str, AnyArray] = {}
    for rows, part in outcome.pieces:
        if len(rows) == len(batch.offsets) - 1:
            return dict(part)
        for name, values in part.items():
            if name not in columns:
                before = batch.columns.get(name)
                columns[name] = missing(len(batch), values) if before is None else before.copy()
            put(columns[name], batch, rows, values)
    return columns
