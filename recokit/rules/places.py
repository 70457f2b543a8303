"""Spacing, Pinned and Slots: where in a list items may stand."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from recokit._utils.options import Rule, between, require, shown, whole
from recokit.compose.alone.lists import AloneRule
from recokit.data import Candidates, Pin, Schema
from recokit.data.by_id import codes_of_known
from recokit.errors import ConfigurationError
from recokit.rules._groups import LABEL, GroupLimit, Only, groups_by, item_name
from recokit.typing import BoolArray, IntArray


class Spacing(GroupLimit):
    """Limit of one item of a group in every so many consecutive places.

    Parameters
    ----------
    column : str
        Item column. Items where it is missing are not limited.
    every : int
        At least 2. ``Spacing("seller", 2)``: no two of a seller in a row. ``Spacing("sponsored", 4, only=1)``: three
        others between two sponsored items, at least.
    only, separator, hard, relax_order
        See :class:`MaxShare`.

    Raises
    ------
    ConfigurationError
        If ``every`` is below 2, or there is no such column or value.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> rule = Spacing("seller", 2).bind(toy_dataset().schema)
    >>> rule.limit(Candidates.from_lists([[1, 2, 3]]))[0].sliding
    True
    """

    _OPTIONS: ClassVar[Mapping[str, Rule]] = {
        **GroupLimit._OPTIONS,
        "every": whole(2, hint="one in every place is no limit"),
    }
    missing: Literal["together", "alone"] = "alone"

    def __init__(
        self,
        column: str,
        every: int,
        *,
        only: Only | None = None,
        separator: str | None = None,
        hard: bool = False,
        relax_order: int = 0,
    ) -> None:
        self.column, self.every, self.only = column, every, only
        self.separator, self.hard, self.relax_order = separator, hard, relax_order
        self._check()

    def _bounds(self) -> dict[str, Any]:
        return {"maximum": 1, "within": self.every, "sliding": True}


class Pinned(AloneRule):
    """Fixed places for some items, where they are among the candidates.

    A pin counts however low the score. Soft limits yield to it; where a hard one forbids it, the item competes by its
    score and the pin is recorded as relaxed. A source such as ``candidates.Editorial`` makes sure of the candidates.

    Parameters
    ----------
    places : mapping of item id to int
        1-based places, each for one item. A place beyond the end of a list is none, and ids that the catalogue lacks
        match nothing.
    label : str, optional
        For places that are paid for: the label that these items carry, such as ``"sponsored"``. Hand the rule to
        :class:`Disclose` too; a pipeline without is refused.
    max_unknown : float, default 0.5
        The share of ids that the catalogue may lack: of these there is a warning, above it an error.

    Raises
    ------
    ConfigurationError
        If there are no places, a place is below 1 or has two items, or the label is empty or holds a comma.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> data = toy_dataset()
    >>> rule = Pinned({data.item_ids.ids[2]: 1}).bind(data.schema)
    >>> rule.limit(Candidates.from_lists([[1, 2, 3]]))[0].position.tolist()
    [0, 0, 1]
    """

    position_: IntArray

    hard = False

    requires: tuple[str, ...] = ()

    def __init__(
        self, places: Mapping[Any, int], *, label: str | None = None, max_unknown: float = 0.5
    ) -> None:
        if not isinstance(places, Mapping) or not places:
            raise ConfigurationError(
                f"found places={shown(places)}; expected items with their places, such as {{'item-7': 1}}"
            )
        at: dict[int, Any] = {}
        for item, place in places.items():
            require(whole(1), place=place)
            if place in at:
                raise ConfigurationError(
                    f"found {at[place]!r} and {item!r} pinned to place {place}; expected one item a place"
                )
            at[place] = item
        require(LABEL, label=label)
        require(between(0, 1), max_unknown=max_unknown)
        self.places, self.label, self.max_unknown = places, label, max_unknown

    def touches(self, candidates: Candidates) -> BoolArray:
        """Tell which items are pinned, (N,) bool."""
        return np.asarray(self.position_[candidates.item] > 0)

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the items' codes."""
        bound: Any = copy.copy(self)
        bound.position_ = np.zeros(len(schema.item_ids) + 1, np.int64)
        codes = codes_of_known(schema.item_ids, self.places, "pinned", max_unknown=self.max_unknown)
        bound.position_[codes] = list(self.places.values())
        bound.position_[0] = 0
        return bound

    def limit(self, candidates: Candidates) -> tuple[Pin, ...]:
        """Return the pins among these candidates."""
        return (Pin("pinned", self.position_[candidates.item]),)


class Slots(AloneRule):
    """Places that are kept for items of a kind, such as new or sponsored ones.

    The best items of the kind are held for the slots; others of the kind may stand elsewhere. Soft limits yield to a
    slot. Where there is no such item, or hard limits forbid it, another takes the place.

    Parameters
    ----------
    column : str
        Item column.
    places : sequence of int
        1-based, distinct. A place beyond the end of a list is none.
    only : value or sequence of values, default 1
        The values of the column that make the kind.
    label : str, optional
        For slots that are paid for: the label that these items carry. Hand the rule to :class:`Disclose` too; a
        pipeline without is refused. Items of a column such as ``"sponsored"`` are labelled anyway.

    Raises
    ------
    ConfigurationError
        If there are no places, one is below 1 or occurs twice, or there is no such column or value.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> rule = Slots("category", [2], only="books").bind(toy_dataset().schema)
    >>> [pin.name for pin in rule.limit(Candidates.from_lists([[1, 2, 3]]))]
    ['slots(category)@2']
    """

    member_: BoolArray

    hard = False

    def __init__(
        self, column: str, places: Sequence[int], *, only: Only = 1, label: str | None = None
    ) -> None:
        item_name(column)
        if not len(places) or len(set(places)) != len(places):
            raise ConfigurationError(f"found places={places!r}; expected distinct ones, such as [3, 7]")
        for place in places:
            require(whole(1), place=place)
        require(LABEL, label=label)
        self.column, self.places, self.only, self.label = column, places, only, label

    @property
    def requires(self) -> tuple[str, ...]:
        """The item column."""
        return (item_name(self.column),)

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows which items are of the kind."""
        bound: Any = copy.copy(self)
        bound.member_ = groups_by(schema, self.column, only=self.only)[0] >= 0
        return bound

    def touches(self, candidates: Candidates) -> BoolArray:
        """Tell which items are of the kind, (N,) bool."""
        return np.asarray(self.member_[candidates.item])

    def limit(self, candidates: Candidates) -> tuple[Pin, ...]:
        """Return one pin for each place, to which all items of the kind are candidates."""
        member = self.member_[candidates.item]
        name = self.column.removeprefix("item.")
        return tuple(
            Pin(f"slots({name})@{place}", np.where(member, place, 0).astype(np.int64))
            for place in self.places
        )
