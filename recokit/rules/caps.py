"""MaxShare, MaxPerGroup, MinPerGroup and OnePer: how much of a list one group may or must have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from recokit._utils.options import Rule, between, whole
from recokit.errors import ConfigurationError
from recokit.rules._groups import GroupLimit, Only


class MaxShare(GroupLimit):
    """Limit on the share of the list that one group may take .

    Parameters
    ----------
    column : str
        Item column, such as ``"category"``. Items where it is missing count as one group.
    share : float
        Above 0, at most 1. A list of n items may have ``max(1, floor(share * n))`` of a group.
    within : int, optional
        The limit holds in the first so many places; in the whole list by default.
    only : value or sequence of values, optional
        Only groups with these values are limited: ``MaxShare("sponsored", 0.2, only=1)``.
    separator : str, optional
        What stands between the values of an item that has several: with ``"|"``, ``"Comedy|Drama"`` counts for both.
        Items without a value are then in no group.
    hard : bool, default False
        A hard limit is never broken: the list ends early. A soft one is relaxed, and recorded, to fill the list.
    relax_order : int, default 0
        Soft limits with a lower number are relaxed first.

    Raises
    ------
    ConfigurationError
        If the share is out of range, or there is no such column or value.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.testing import toy_dataset
    >>> rule = MaxShare("category", 0.4).bind(toy_dataset().schema)
    >>> rule.limit(Candidates.from_lists([[1, 2, 3]]))[0].share
    0.4
    """

    _OPTIONS: ClassVar[Mapping[str, Rule]] = {**GroupLimit._OPTIONS, "share": between(0, 1, open_low=True)}

    def __init__(
        self,
        column: str,
        share: float,
        *,
        within: int | None = None,
        only: Only | None = None,
        separator: str | None = None,
        hard: bool = False,
        relax_order: int = 0,
    ) -> None:
        self.column, self.share, self.within, self.only = column, share, within, only
        self.separator, self.hard, self.relax_order = separator, hard, relax_order
        self._check()

    def _bounds(self) -> dict[str, Any]:
        return {"share": self.share, "within": self.within}


class MaxPerGroup(GroupLimit):
    """Limit on the number of items of one group .

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
    only, separator, hard, relax_order
        See :class:`MaxShare`.

    Raises
    ------
    ConfigurationError
        If a number is below 1, ``sliding`` is set without ``within``, or there is no such column or value.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.testing import toy_dataset
    >>> rule = MaxPerGroup("seller", 3, within=10).bind(toy_dataset().schema)
    >>> rule.limit(Candidates.from_lists([[1, 2, 3]]))[0].within
    10
    """

    _OPTIONS: ClassVar[Mapping[str, Rule]] = {
        **GroupLimit._OPTIONS,
        "maximum": whole(1, hint="rules.Blocked shows none at all"),
    }

    def __init__(
        self,
        column: str,
        maximum: int,
        *,
        within: int | None = None,
        sliding: bool = False,
        only: Only | None = None,
        separator: str | None = None,
        hard: bool = False,
        relax_order: int = 0,
    ) -> None:
        self.column, self.maximum, self.within, self.sliding = column, maximum, within, sliding
        self.only, self.separator, self.hard, self.relax_order = only, separator, hard, relax_order
        self._check()
        if sliding and within is None:
            raise ConfigurationError("found sliding=True without within; expected the length of the runs")

    def _bounds(self) -> dict[str, Any]:
        return {"maximum": self.maximum, "within": self.within, "sliding": self.sliding}


class MinPerGroup(GroupLimit):
    """Quota: so many items at least of a group.

    Parameters
    ----------
    column : str
        Item column, such as ``"is_new"``.
    minimum : int
        At least 1.
    only : value or sequence of values, optional
        The values that the quota is for, each one its own: ``MinPerGroup("origin", 2, only="local")``. By default every
        value that the request has a candidate of.
    within : int, optional
        The quota is to be met in the first so many places; in the whole list by default.
    separator : str, optional
        See :class:`MaxShare`.
    hard : bool, default False
        Without a candidate more, a soft quota is given up and recorded. A list that cannot meet a hard one is not
        shown at all: no shorter list would meet it either.
    relax_order : int, default 0
        See :class:`MaxShare`.

    Raises
    ------
    ConfigurationError
        If a number is below 1, the quota is larger than the places it is to be met in, or there is no such column or
        value.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.testing import toy_dataset
    >>> rule = MinPerGroup("sponsored", 1, only=0, within=3).bind(toy_dataset().schema)
    >>> rule.limit(Candidates.from_lists([[1, 2, 3]]))[0].minimum
    1
    """

    _OPTIONS: ClassVar[Mapping[str, Rule]] = {**GroupLimit._OPTIONS, "minimum": whole(1)}
    missing: Literal["together", "alone"] = "alone"

    def __init__(
        self,
        column: str,
        minimum: int,
        *,
        only: Only | None = None,
        within: int | None = None,
        separator: str | None = None,
        hard: bool = False,
        relax_order: int = 0,
    ) -> None:
        self.column, self.minimum, self.only, self.within = column, minimum, only, within
        self.separator, self.hard, self.relax_order = separator, hard, relax_order
        self._check()
        if within is not None and minimum > within:
            raise ConfigurationError(
                f"found minimum={minimum} within={within}; expected no more items than places"
            )

    def _bounds(self) -> dict[str, Any]:
        return {"minimum": self.minimum, "within": self.within}


class OnePer(GroupLimit):
    """Limit of one item for each product family, brand or franchise. Items that belong to none are not limited.

    Parameters
    ----------
    column : str
        Item column, such as ``"product_family"``.
    within : int, optional
        The limit holds in the first so many places; in the whole list by default.
    separator, hard, relax_order
        See :class:`MaxShare`.

    Raises
    ------
    ConfigurationError
        If ``within`` is below 1, or there is no such column.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> from recokit.testing import toy_dataset
    >>> rule = OnePer("seller").bind(toy_dataset().schema)
    >>> rule.limit(Candidates.from_lists([[1, 2, 3]]))[0].maximum
    1
    """

    missing: Literal["together", "alone"] = "alone"

    def __init__(
        self,
        column: str,
        *,
        within: int | None = None,
        separator: str | None = None,
        hard: bool = False,
        relax_order: int = 0,
    ) -> None:
        self.column, self.within, self.separator = column, within, separator
        self.hard, self.relax_order = hard, relax_order
        self._check()

    def _bounds(self) -> dict[str, Any]:
        return {"maximum": 1, "within": self.within}
