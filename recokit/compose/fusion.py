"""Fusion of the answers of sources, and the check of their contract. Public in recokit.compose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from recokit._kernels.fusion import Fusion, fuse_lists, lists_hold
from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.segments import bounds, offsets_to_rows, rank_in_row, rows_to_offsets
from recokit._utils.moved import renamed
from recokit.data.candidates import Candidates, Retrieved
from recokit.data.ragged import Ragged
from recokit.data.requests import Requests
from recokit.errors import ConfigurationError, ContractError
from recokit.typing import AnyArray, BoolArray, IntArray

#: One bit of a uint64 for each source.
MAX_SOURCES = 64
_PARTS = (
    ("offsets", np.dtype(np.int64)),
    ("item", np.dtype(np.int64)),
    ("score", np.dtype(np.float32)),
)
_ANY_CODE = np.iinfo(np.int64).max


def fuse(
    names: Sequence[str],
    retrieved: Sequence[Retrieved],
    requests: Requests,
    *,
    by: Fusion = "interleave",
    limit: int = 500,
    quotas: Mapping[str, float] | None = None,
) -> Candidates:
    """Fuse the answers of several sources into one batch of candidates.

    Parameters
    ----------
    names : sequence of str
        Names of the sources.
    retrieved : sequence of Retrieved
        Their answers, checked; :meth:`Retrieved.empty` for a source that gave none.
    requests : Requests
        The B requests.
    by, limit, quotas
        See :class:`recokit.compose.Merge`.

    Returns
    -------
    Candidates
        In fusion order within each row, not scored, with the columns ``{name}_rank`` and ``{name}_score``.

    Raises
    ------
    ConfigurationError
        For more than 64 sources.

    Examples
    --------
    >>> found = Retrieved.from_padded(np.array([[4, 2]]), np.array([[0.9, 0.1]]))
    >>> batch = fuse(["popular"], [found], Requests.build(np.array([0])))
    >>> batch.item.tolist(), batch.column("popular_rank").tolist()
    ([4, 2], [1.0, 2.0])
    """
    if not 0 < len(names) <= MAX_SOURCES:
        raise ConfigurationError(f"found {len(names)} sources; expected 1 to {MAX_SOURCES}, one bit each")
    shares = [1.0 / len(names) if quotas is None else quotas.get(name, 0.0) for name in names]
    fused = fuse_lists(
        [part.offsets for part in retrieved],
        [part.item for part in retrieved],
        [part.score for part in retrieved],
        by=by,
        limit=limit,
        shares=shares,
    )
    columns: dict[str, AnyArray] = {}
    for source, name in enumerate(names):
        columns[f"{name}_rank"] = fused.rank[source]
        columns[f"{name}_score"] = fused.score[source]
    unscored = np.empty(len(fused.item), np.float32)
    unscored.fill(np.nan)
    return Candidates(
        requests,
        fused.offsets,
        fused.row,
        fused.item,
        score=unscored,
        sources=fused.sources,
        source_names=tuple(names),
        columns=columns,
        features=np.empty((len(unscored), 0), np.float32),
    )


def check_retrieved(retrieved: Any, n_rows: int, n_items: int | None, name: str, *, limit: int) -> None:
    """Check a source's answer.

    Parameters
    ----------
    retrieved : object
        The answer.
    n_rows : int
        Number of requests.
    n_items : int, optional
        Number of items in the catalogue; None skips the check of the largest code.
    name : str
        Name of the source, for messages.
    limit : int
        Maximum number of items of a row.

    Raises
    ------
    ContractError
        If it is no Retrieved, an array has the wrong type or shape, offsets do not ascend from 0 to the number
        of items, a row has more than ``limit`` items or one twice, or a code is none of the catalogue's.
    """
    if not isinstance(retrieved, Retrieved):
        _broken(name, type(retrieved).__name__, "Retrieved")
    offsets, item, score = retrieved.offsets, retrieved.item, retrieved.score
    for array, (part, dtype) in zip((offsets, item, score), _PARTS, strict=True):
        if not isinstance(array, np.ndarray) or array.dtype != dtype or array.ndim != 1:
            kind = f"{array.dtype} {array.shape}" if isinstance(array, np.ndarray) else type(array).__name__
            _broken(name, f"{part} as {kind}", f"a one-dimensional array of {dtype}")
    if len(offsets) != n_rows + 1:
        _broken(name, f"{len(offsets)} offsets", f"{n_rows + 1}, for {n_rows} requests")
    if len(score) != len(item):
        _broken(name, f"{len(item)} items and {len(score)} scores", "one score for each item")
    highest = _ANY_CODE if n_items is None else n_items
    if not lists_hold(offsets, item, highest=highest, limit=limit):
        _tell_breach(name, offsets, item, highest, limit)


def _tell_breach(name: str, offsets: IntArray, item: IntArray, highest: int, limit: int) -> None:
    """Raise the ContractError of lists that break their contract."""
    counts = np.diff(offsets)
    if offsets[0] != 0 or offsets[-1] != len(item) or counts.min(initial=0) < 0:
        _broken(name, "offsets that do not ascend from 0 to the number of items", "CSR offsets")
    if counts.max(initial=0) > limit:
        row = int(counts.argmax())
        _broken(name, f"{counts[row]} items in row {row}", f"at most {limit}, the limit it was given")
    outside = item[(item < 1) | (item > highest)]
    if len(outside):
        known = highest if highest < _ANY_CODE else "the number of items"
        _broken(
            name, f"item code {outside[0]}", f"codes from 1 to {known}; hint: codes of another vocabulary?"
        )
    of_row = offsets_to_rows(offsets)
    order = np.lexsort((item, of_row))
    again = order[1:][(np.diff(item[order]) == 0) & (np.diff(of_row[order]) == 0)][0]
    _broken(name, f"item code {item[again]} twice in row {of_row[again]}", "distinct items")


def _broken(name: str, found: str, expected: str) -> None:
    raise ContractError(f"found {found} from {name}.retrieve; expected {expected}")


@renamed(found="answer")
def first_allowed(answer: Retrieved, requests: Requests, k: int) -> Retrieved:
    """Return the first k items of each row of a ready answer that the list ``exclude`` of the requests lacks."""
    exclude = requests.ragged.get("exclude")
    if exclude is None and (not len(requests) or bounds(answer.offsets[1:] - answer.offsets[:-1])[1] <= k):
        return answer
    row, item, score = offsets_to_rows(answer.offsets), answer.item, answer.score
    if exclude is not None:
        kept = ~_excluded(answer, exclude)
        row, item, score = row[kept], item[kept], score[kept]
    first = rank_in_row(row, rows_to_offsets(row, len(requests))) < k
    return Retrieved(rows_to_offsets(row[first], len(requests)), item[first], score[first])


def retrieve_allowed(source: Any, requests: Requests, k: int) -> Retrieved:
    """Return at most k items of each row, none from the list ``exclude`` of the requests.

    A source that returns excluded ones is asked again, for as many more as the longest list of them.
    """
    answer: Retrieved = source.retrieve(requests, k)
    exclude = requests.ragged.get("exclude")
    if exclude is None or not _excluded(answer, exclude).any():
        return answer
    answer = source.retrieve(requests, k + int(exclude.counts.max()))
    return first_allowed(answer, requests, k)


def _excluded(answer: Retrieved, exclude: Ragged) -> BoolArray:
    return pairs_in_sets(offsets_to_rows(answer.offsets), answer.item, exclude.offsets, exclude.values)
