"""Editorial: a fixed list of items, while it is valid."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit._kernels.segments import counts_to_offsets
from recokit._utils.options import between, check_options, identifier
from recokit.compose.alone.sources import AloneSource
from recokit.compose.fusion import first_allowed
from recokit.data import Dataset, Requests, Retrieved, timestamp
from recokit.data.by_id import codes_of_known
from recokit.errors import ConfigurationError


class Editorial(AloneSource):
    """Source of a fixed list of items, in its order, while it is valid.

    Parameters
    ----------
    items : sequence of item ids
        Distinct, best first.
    start, end : str or float, optional
        From when on and until when (not included) the list is served; always by default.
    name : str, default "editorial"
        Name in paths and traces; two of these in one pipeline need two names.
    max_unknown : float, default 0.5
        The share of items that the catalogue may lack: of these there is a warning, above it an error.

    Raises
    ------
    ConfigurationError
        For an empty list, repeats, or an end that is not after the start.

    Attributes
    ----------
    item_ : ndarray of int64
        Codes.

    Examples
    --------
    >>> data = Dataset.from_frame(None, items={"item_id": ["a", "b", "c"]})
    >>> picks = Editorial(["c", "a"], end="2025-12-24").fit(data)
    >>> picks.retrieve(Requests.build(np.array([0]), now=0.0), limit=5).item.tolist()
    [3, 1]
    """

    def __init__(
        self,
        items: Sequence[Any],
        *,
        start: str | float | None = None,
        end: str | float | None = None,
        name: str = "editorial",
        max_unknown: float = 0.5,
    ) -> None:
        if isinstance(items, str) or not len(items):
            raise ConfigurationError(f"found items={items!r}; expected a list of at least one item id")
        if len(set(items)) < len(items):
            raise ConfigurationError("found an item twice in the list; expected distinct ones")
        if start is not None and end is not None and timestamp(end) <= timestamp(start):
            raise ConfigurationError(
                f"found start={start!r} and end={end!r}; expected the end after the start"
            )
        self.items, self.start, self.end, self.name = items, start, end, name
        self.max_unknown = max_unknown
        check_options(self, {"name": identifier("christmas"), "max_unknown": between(0, 1)})

    def fit(self, dataset: Dataset) -> Editorial:
        """Look the items up.

        Raises
        ------
        DataError
            If the catalogue lacks more of them than ``max_unknown`` says; of fewer there is a warning.
        """
        codes = codes_of_known(dataset.item_ids, self.items, self.name, max_unknown=self.max_unknown)
        self.item_, self.fitted_until_ = codes[codes > 0], -np.inf
        return self

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the first ``limit`` items that are not excluded, where the list is valid at the request's time.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        valid = np.ones(len(requests), np.bool_)
        if self.start is not None:
            valid &= requests.now >= timestamp(self.start)
        if self.end is not None:
            valid &= requests.now < timestamp(self.end)
        n = len(self.item_)
        rows = np.count_nonzero(valid)
        score = np.tile(1.0 / np.arange(1, n + 1, dtype=np.float32), rows)
        lists = Retrieved(counts_to_offsets(valid * n), np.tile(self.item_, rows), score)
        return first_allowed(lists, requests, limit)
