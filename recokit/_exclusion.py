"""Asking a source for items outside ``exclude``, whether or not it looks at that itself. Public in recokit.compose."""

from __future__ import annotations

from typing import Any

from recokit._ops.membership import pairs_in_sets
from recokit._ops.segments import offsets_to_rows, rank_in_row, rows_to_offsets
from recokit.data.candidates import Retrieved
from recokit.data.ragged import Ragged
from recokit.data.requests import Requests
from recokit.typing import BoolArray

__all__ = ["first_allowed", "retrieve_allowed"]


def first_allowed(found: Retrieved, requests: Requests, k: int) -> Retrieved:
    """Return the first k items of each row of a ready answer that the list ``exclude`` of the requests lacks."""
    exclude = requests.ragged.get("exclude")
    row, item, score = offsets_to_rows(found.offsets), found.item, found.score
    if exclude is not None:
        kept = ~_excluded(found, exclude)
        row, item, score = row[kept], item[kept], score[kept]
    first = rank_in_row(row, rows_to_offsets(row, len(requests))) < k
    return Retrieved(rows_to_offsets(row[first], len(requests)), item[first], score[first])


def retrieve_allowed(source: Any, requests: Requests, k: int) -> Retrieved:
    """Return at most k items of each row, none from the list ``exclude`` of the requests.

    A source that returns excluded ones is asked again, for as many more as the longest list of them.
    """
    found: Retrieved = source.retrieve(requests, k)
    exclude = requests.ragged.get("exclude")
    if exclude is None or not _excluded(found, exclude).any():
        return found
    found = source.retrieve(requests, k + int(exclude.counts.max()))
    return first_allowed(found, requests, k)


def _excluded(found: Retrieved, exclude: Ragged) -> BoolArray:
    return pairs_in_sets(offsets_to_rows(found.offsets), found.item, exclude.offsets, exclude.values)
