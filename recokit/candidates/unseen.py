"""Unseen: a source without the items that the history has."""

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any

import numpy as np

from recokit.compose.composed import Composed
from recokit.compose.fusion import retrieve_allowed
from recokit.compose.step import leaf_name
from recokit.data import Ragged, Requests, Retrieved
from recokit.data.schema import Schema
from recokit.errors import ConfigurationError
from recokit.protocols import Source, bound


class Unseen(Composed):
    """Source that passes over what the user already has, so that its limit is filled with what is new.

    Where every source of a pipeline is one, the caller's own ``items=`` are without the history too. For what comes
    from elsewhere, such as a fallback or another source, :class:`recokit.rules.NotSeen` is the rule.

    The history, and what it leaves out of a long one, joins the list ``exclude`` of the requests, which recokit's
    sources heed while they look for the best; a source that does not gets a larger limit, by as many as it may lose.

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
    >>> from recokit.data import Dataset
    >>> data = Dataset.from_frame({"user": [1, 1, 2], "item": [1, 2, 1], "timestamp": range(3)})
    >>> source = Unseen(Popular()).fit(data)
    >>> requests = Requests.build(np.array([2]), ragged={"history": Ragged.from_lists([[1]])})
    >>> source.retrieve(requests, limit=10).item.tolist()
    [2]
    """

    def __init__(self, source: Any) -> None:
        if not isinstance(source, Source):
            raise ConfigurationError(f"found {source!r}; expected an object with retrieve")
        self.source = source

    @property
    def name(self) -> str:
        """Name of the source in columns and traces."""
        return leaf_name(self.source)

    @property
    def sources(self) -> list[Any]:  # type: ignore[override]
        """The one source."""
        return [self.source]

    @property
    def requires(self) -> tuple[str, ...]:
        """The history, what it leaves out, and what the source requires."""
        return tuple(dict.fromkeys(("history", "earlier", *super().requires)))

    @property
    def passes_over(self) -> tuple[str, ...]:
        """The history, and what it leaves out."""
        return ("history", "earlier")

    def bind(self, schema: Schema) -> Unseen:
        """Return a copy with the source bound to the schema."""
        twin = copy.copy(self)
        twin.source = bound(self.source, schema)
        return twin

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the source's ``limit`` best items of each row that are neither in its history nor excluded."""
        lists = _joined(requests.lists("history"), requests.lists("exclude"))
        if len(requests.lists("earlier").values):
            lists = _joined(lists, requests.lists("earlier"))
        return retrieve_allowed(
            self.source, replace(requests, ragged={**requests.ragged, "exclude": lists}), limit
        )


def _joined(one: Ragged, other: Ragged) -> Ragged:
    """Return the values of both lists of each row; their order and columns do not matter to a set."""
    row = np.concatenate([one.rows, other.rows])
    order = np.argsort(row, kind="stable")
    values = np.concatenate([one.values, other.values])[order]
    return Ragged(one.offsets + other.offsets, values)
