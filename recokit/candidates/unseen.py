"""Unseen: a source without the items that the history has."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from recokit._utils.params import Configured
from recokit.compose.fusion import retrieve_allowed
from recokit.data import Dataset, Ragged, Requests, Retrieved
from recokit.data.schema import Schema
from recokit.errors import ConfigurationError

__all__ = ["Unseen"]


class Unseen(Configured):
    """Source that passes over what the user already has, so that its limit is filled with what is new.

    The history joins the list ``exclude`` of the requests, which recokit's sources heed while they look for the
    best; a source that does not is asked for as many more as it may lose.

    Parameters
    ----------
    source : Source
        Any source.

    Raises
    ------
    ConfigurationError
        If it is no source.

    Examples
    --------
    >>> from recokit.candidates import Popular
    >>> data = Dataset.from_frame({"user": [1, 1, 2], "item": [1, 2, 1], "timestamp": range(3)})
    >>> source = Unseen(Popular()).fit(data)
    >>> requests = Requests.build(np.array([2]), ragged={"history": Ragged.from_lists([[1]])})
    >>> source.retrieve(requests, limit=10).item.tolist()
    [2]
    """

    def __init__(self, source: Any) -> None:
        if not hasattr(source, "retrieve"):
            raise ConfigurationError(f"found {source!r} as source; expected an object with retrieve")
        self.source = source

    @property
    def name(self) -> str:
        """Name of the source in columns and traces."""
        from recokit.compose.step import leaf_name

        return leaf_name(self.source)

    @property
    def requires(self) -> tuple[str, ...]:
        """The history, and what the source requires."""
        return tuple(dict.fromkeys(("history", *getattr(self.source, "requires", ()))))

    @property
    def io_bound(self) -> bool:
        """Whether the source waits for input and output."""
        return bool(getattr(self.source, "io_bound", False))

    @property
    def live(self) -> bool:
        """Whether the source depends on today's state."""
        return bool(getattr(self.source, "live", False))

    @property
    def as_of(self) -> bool:
        """Whether the source evaluates strictly before each request's own time."""
        return bool(getattr(self.source, "as_of", False))

    @property
    def fitted_until_(self) -> float:
        """Latest time that the source has learned from, ``-inf`` if it never learns."""
        return float(getattr(self.source, "fitted_until_", -np.inf))

    def fit(self, dataset: Dataset) -> Unseen:
        """Fit the source, where it learns."""
        if hasattr(self.source, "fit"):
            self.source.fit(dataset)
        return self

    def bind(self, schema: Schema) -> Unseen:
        """Return a copy with the source bound to the schema."""
        bound = copy.copy(self)
        if hasattr(self.source, "bind"):
            bound.source = self.source.bind(schema)
        return bound

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the source's ``limit`` best items of each row that are neither in its history nor excluded."""
        lists = _joined(requests.lists("history"), requests.lists("exclude"))
        return retrieve_allowed(
            self.source, replace(requests, ragged={**requests.ragged, "exclude": lists}), limit
        )


def _joined(one: Ragged, other: Ragged) -> Ragged:
    """Return the values of both lists of each row; their order and columns do not matter to a set."""
    row = np.concatenate([one.rows, other.rows])
    order = np.argsort(row, kind="stable")
    values = np.concatenate([one.values, other.values])[order]
    return Ragged(one.offsets + other.offsets, values)
