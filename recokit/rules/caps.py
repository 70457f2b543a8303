"""MaxShare and MaxPerGroup: limits on how much of a list one group may take."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from recokit._configured import Configured
from recokit.data import Candidates, Cap, Schema
from recokit.errors import ConfigurationError
from recokit.rules._columns import item_name, require_bound

__all__ = ["MaxPerGroup", "MaxShare"]


class _GroupCap(Configured):
    """A cap on the groups of an item column."""

    column: str

    @property
    def requires(self) -> tuple[str, ...]:
        """The item column."""
        return (item_name(self.column),)

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows each item's group."""
        bound: Any = copy.copy(self)
        column = schema.item_column(self.column)
        # A numeric column (a seller's number) groups by its values; a missing one is the group of unknown items.
        bound.group_ = (
            column if column.dtype.kind == "i" else np.unique(column, return_inverse=True)[1].astype(np.int64)
        )
        return bound


class MaxShare(_GroupCap):
    """Limit on the share of the list that one group may take (R14).

    Parameters
    ----------
    column : str
        Item column, such as ``"category"``. Items where it is missing count as one group.
    share : float
        Above 0, at most 1. A list of n items may have ``max(1, floor(share * n))`` of a group; 0.4 in R14.
    hard : bool, default False
        A hard limit is never broken: the list ends early. A soft one is relaxed, and recorded, to fill the list.
    relax_order : int, default 0
        Soft limits with a lower number are relaxed first.

    Raises
    ------
    ConfigurationError
        If the share is out of range, or there is no such column.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> rule = MaxShare("category", 0.4).bind(toy_dataset().schema)
    >>> rule.limit(Candidates.from_lists([[1, 2, 3]]))[0].share
    0.4
    """

    def __init__(self, column: str, share: float, *, hard: bool = False, relax_order: int = 0) -> None:
        item_name(column)
        if not 0 < share <= 1:
            raise ConfigurationError(f"found share={share}; expected above 0 and at most 1")
        self.column, self.share, self.hard, self.relax_order = column, share, hard, relax_order

    def limit(self, candidates: Candidates) -> tuple[Cap, ...]:
        """Return the cap on these candidates."""
        group = require_bound(self, "group_")[candidates.item]
        name = f"max_share({self.column})"
        return (Cap(name, group, share=self.share, hard=self.hard, relax_order=self.relax_order),)


class MaxPerGroup(_GroupCap):
    """Limit on the number of items of one group (R16: 3 of a seller within 10).

    Parameters
    ----------
    column : str
        Item column, such as ``"seller"``. Items where it is missing count as one group.
    maximum : int
        At least 1.
    within : int, optional
        The limit holds in the first so many places; in the whole list by default.
    sliding : bool, default False
        The limit holds in every run of ``within`` consecutive places.
    hard, relax_order
        See :class:`MaxShare`.

    Raises
    ------
    ConfigurationError
        If a number is below 1, ``sliding`` is set without ``within``, or there is no such column.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> rule = MaxPerGroup("seller", 3, within=10).bind(toy_dataset().schema)
    >>> rule.limit(Candidates.from_lists([[1, 2, 3]]))[0].within
    10
    """

    def __init__(
        self,
        column: str,
        maximum: int,
        *,
        within: int | None = None,
        sliding: bool = False,
        hard: bool = False,
        relax_order: int = 0,
    ) -> None:
        item_name(column)
        if maximum < 1:
            raise ConfigurationError(
                f"found maximum={maximum}; expected at least 1; hint: rules.Blocked shows none at all"
            )
        if within is not None and within < 1:
            raise ConfigurationError(f"found within={within}; expected at least 1")
        if sliding and within is None:
            raise ConfigurationError("found sliding=True without within; expected the length of the runs")
        self.column, self.maximum, self.within, self.sliding = column, maximum, within, sliding
        self.hard, self.relax_order = hard, relax_order

    def limit(self, candidates: Candidates) -> tuple[Cap, ...]:
        """Return the cap on these candidates."""
        group = require_bound(self, "group_")[candidates.item]
        return (
            Cap(
                f"max_per_group({self.column})",
                group,
                maximum=self.maximum,
                within=self.within,
                sliding=self.sliding,
                hard=self.hard,
                relax_order=self.relax_order,
            ),
        )
