"""FirstOf: a chain of sources, the next only for requests that are still short of items."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.segments import counts_to_offsets, offsets_to_rows
from recokit._utils.options import require, whole
from recokit.compose.composed import Composed, ask, require_sources
from recokit.compose.step import Step, leaf_name
from recokit.data.candidates import Retrieved
from recokit.data.requests import Requests
from recokit.errors import ConfigurationError, ContractError
from recokit.typing import IntArray


class FirstOf(Composed):
    """Source that asks the next of its sources only for the requests that are still short of items.

    Parameters
    ----------
    sources : sequence
        Sources, the preferred first.
    min_items : int, default 10
        A request with fewer items goes on to the next source, whose items are appended without repeats.

    Raises
    ------
    ConfigurationError
        For no source, something that is no source, a Step, or an option out of range.

    Notes
    -----
    Scores are each source's own, and do not compare across them.

    Examples
    --------
    >>> from recokit.candidates import FromFunction
    >>> def personal(requests, limit):
    ...     return [[3] if user else [] for user in requests.user]
    >>> def popular(requests, limit):
    ...     return [[1, 3, 2]] * len(requests)
    >>> source = FirstOf([FromFunction(personal), FromFunction(popular)], min_items=2)
    >>> source.retrieve(Requests.build(np.array([1])), limit=3).item.tolist()
    [3, 1, 2]
    """

    def __init__(self, sources: Sequence[Any], *, min_items: int = 10) -> None:
        require(whole(1), min_items=min_items)
        require_sources(sources, "FirstOf")
        if any(isinstance(source, Step) for source in sources):
            raise ConfigurationError(
                "found a Step inside FirstOf; expected sources; hint: Step(FirstOf([...]))"
            )
        self.sources, self.min_items = sources, min_items

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return at most ``limit`` items of each row.

        A source that fails is skipped and noted in ``errors``; if all of them fail, the last error is
        raised.

        Raises
        ------
        ContractError
            If a source returns something that is not a list of distinct items.
        """
        n_rows = len(requests)
        joined = Retrieved.empty(n_rows)
        short = np.arange(n_rows)
        errors: list[Exception] = []
        answered = False
        for source in self.sources:
            if answered and not len(short):
                break
            some = requests if len(short) == n_rows else requests.take(short)
            try:
                part = ask(source, some, limit, leaf_name(source))
            except (ContractError, ConfigurationError):
                raise
            except Exception as error:  # that is what the next source is for
                errors.append(error)
                continue
            errors.extend(part.errors)
            joined = _appended(joined, part, short, limit) if answered else part
            answered = True
            short = np.flatnonzero(np.diff(joined.offsets) < min(self.min_items, limit))
        if not answered:
            raise errors[-1]
        return Retrieved(joined.offsets, joined.item, joined.score, tuple(errors))


def _appended(first: Retrieved, part: Retrieved, rows: IntArray, limit: int) -> Retrieved:
    """Append a part's lists to those of some rows, without repeats, up to the limit."""
    row, old_row = rows[offsets_to_rows(part.offsets)], offsets_to_rows(first.offsets)
    fresh = ~pairs_in_sets(row, part.item, first.offsets, first.item)
    both = np.concatenate([old_row, row[fresh]])
    order = np.argsort(both, kind="stable")
    counts = np.bincount(both, minlength=len(first.offsets) - 1)
    kept = np.minimum(counts, limit)
    order = order[np.arange(len(order)) - counts_to_offsets(counts)[both[order]] < kept[both[order]]]
    return Retrieved(
        counts_to_offsets(kept),
        np.concatenate([first.item, part.item[fresh]])[order],
        np.concatenate([first.score, part.score[fresh]])[order],
    )
