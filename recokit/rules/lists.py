"""Allowed and Blocked: lists of items, or flags in the item table."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence, Sized
from typing import Any

import numpy as np

from recokit._utils.options import between, require, shown
from recokit.compose.alone.lists import AloneRule
from recokit.compose.step import snake_case
from recokit.data import Candidates, Live, Schema, Vocabulary
from recokit.data.by_id import codes_of_known
from recokit.errors import ConfigurationError, DataError
from recokit.rules._groups import item_name, numeric_column
from recokit.typing import AnyArray, BoolArray

#: The label of the list for requests whose label has none.
OTHERS = "*"


class _Listed(AloneRule):
    """Items by external id, by a flag column, or by a list for each label of a context column."""

    item_ids_: Vocabulary
    listed_: BoolArray
    known_: BoolArray

    def __init__(
        self,
        items: Sequence[Any] | Live[Sequence[Any]] | Mapping[Any, Sequence[Any]] | str,
        *,
        by: str | None = None,
        max_unknown: float = 0.5,
    ) -> None:
        value = items.pin()[1] if isinstance(items, Live) else items
        if isinstance(items, str):
            item_name(items)
        elif not isinstance(value, Sized) or isinstance(value, str | bytes):
            raise ConfigurationError(
                f"found items={shown(value)}; expected a list of item ids, or the name of an item column"
            )
        if isinstance(value, Mapping) != (by is not None):
            raise ConfigurationError(
                f"found items of type {type(value).__name__} with by={by!r}; "
                "expected a list for each label of a context column together with by=, or neither"
            )
        require(between(0, 1), max_unknown=max_unknown)
        self.items, self.by, self.max_unknown = items, by, max_unknown

    @property
    def requires(self) -> tuple[str, ...]:
        """The item column, where the list is one, and the context column of the lists."""
        column = (item_name(self.items),) if isinstance(self.items, str) else ()
        return column if self.by is None else (f"context.{self.by}",)

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the items' codes; ids that the catalogue lacks match nothing."""
        bound: Any = copy.copy(self)
        if isinstance(self.items, str):
            bound.listed_ = self._flagged(numeric_column(schema, self.items))
        elif isinstance(self.items, Live):
            self._known(schema, self.items.pin()[1])  # wrong ids are found now, not by the first request
            bound.item_ids_ = schema.item_ids
        elif isinstance(self.items, Mapping):
            # Without a list for others, nothing is known of what they may see.
            lists = [self.items[OTHERS]] if OTHERS in self.items else []
            bound.known_ = np.array([bool(lists), *[True] * len(self.items)])
            lists = [*(lists or [[]]), *self.items.values()]
            self._known(schema, dict.fromkeys(id_ for ids in lists for id_ in ids))
            masks = np.stack([_mask(schema.item_ids, ids) for ids in lists])
            bound.listed_ = np.concatenate([masks, [self._of_any(masks)]])
            bound.known_ = np.append(bound.known_, OTHERS in self.items)
        else:
            self._known(schema, self.items)
            bound.listed_ = _mask(schema.item_ids, self.items)
        return bound

    def _known(self, schema: Schema, ids: Iterable[Any]) -> None:
        """Say which ids the catalogue lacks; DataError if there are too many."""
        codes_of_known(schema.item_ids, ids, snake_case(type(self).__name__), max_unknown=self.max_unknown)

    def _found(self, candidates: Candidates) -> tuple[BoolArray, BoolArray | np.bool_]:
        """Tell which items are listed, (N,) bool, and for which requests a list is known, (N,) or all."""
        known = np.True_
        if isinstance(self.items, Live):
            item_ids: Any = self.item_ids_
            return _mask(item_ids, _listed_now(candidates.requests.read(self.items)))[candidates.item], known
        listed = self.listed_
        if self.by is None:
            return np.asarray(listed[candidates.item]), known
        labels = np.asarray(candidates.requests.column(self.by), object)
        which = np.zeros(len(labels), np.int64)
        for place, label in enumerate(self.items, 1):
            which[labels == label] = place
        # An unknown label may be any: what one of the lists forbids is forbidden.
        which[np.array([label is None or label != label for label in labels.tolist()], np.bool_)] = -1
        row = which[candidates.row]
        known_lists: Any = self.known_
        return np.asarray(listed[row, candidates.item]), np.asarray(known_lists[row])

    def _flagged(self, column: AnyArray) -> BoolArray:
        return np.asarray(column > 0)

    def _of_any(self, masks: BoolArray) -> BoolArray:
        """Return the list for requests whose label nobody knows."""
        return np.asarray(masks.all(axis=0))


def _listed_now(value: Any) -> Any:
    """Return what a live list was set to; a bare id would be taken for a list of its letters, and block nothing."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Sized):
        raise DataError(f"found the live list set to {shown(value)}; expected a list of item ids")
    return value


def _mask(item_ids: Vocabulary, ids: Sequence[Any]) -> BoolArray:
    """Return which item codes are listed, (n_items + 1,) bool."""
    listed = np.zeros(len(item_ids) + 1, np.bool_)
    listed[item_ids.encode(list(ids))] = True
    listed[0] = False
    return listed


class Allowed(_Listed):
    """Filter that keeps only the items listed.

    Parameters
    ----------
    items : sequence of ids, Live of one, mapping or str
        External item ids; or the name of an item column that flags them. A missing flag is not allowed. With ``by``,
        the ids for each label; ``"*"`` stands for other labels, which else see nothing. Who has no label sees what all
        lists allow.
    by : str, optional
        Context column whose labels choose the list, such as ``"country"``.
    max_unknown : float, default 0.5
        The share of ids that the catalogue may lack: of these there is a warning, above it an error.

    Raises
    ------
    ConfigurationError
        If it is no list, or lists for labels come without ``by``.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> data = toy_dataset()
    >>> rule = Allowed(data.item_ids.decode([1, 3]).tolist()).bind(data.schema)
    >>> rule.keep(Candidates.from_lists([[1, 2, 3]])).tolist()
    [True, False, True]
    """

    def keep(self, candidates: Candidates) -> BoolArray:
        """Tell which items are listed, (N,) bool."""
        listed, known = self._found(candidates)
        return listed & known


class Blocked(_Listed):
    """Filter that drops the items listed, such as recalled ones.

    Parameters
    ----------
    items : sequence of ids, Live of one, mapping or str
        External item ids; or the name of an item column that flags them. A missing flag is blocked: unknown is unsafe.
        With ``by``, the ids for each label; ``"*"`` stands for other labels, for which else everything is blocked. For
        who has no label, what any list blocks is.
    by : str, optional
        Context column whose labels choose the list, such as ``"country"``.
    max_unknown : float, default 0.5
        The share of ids that the catalogue may lack: of these there is a warning, above it an error.

    Raises
    ------
    ConfigurationError
        If it is no list, or lists for labels come without ``by``.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> data = toy_dataset()
    >>> rule = Blocked(data.item_ids.decode([2]).tolist()).bind(data.schema)
    >>> rule.keep(Candidates.from_lists([[1, 2, 3]])).tolist()
    [True, False, True]
    """

    def keep(self, candidates: Candidates) -> BoolArray:
        """Tell which items are not listed, (N,) bool."""
        listed, known = self._found(candidates)
        return ~listed if known is np.True_ else ~listed & known

    def _flagged(self, column: AnyArray) -> BoolArray:
        return np.asarray(~(column <= 0))

    def _of_any(self, masks: BoolArray) -> BoolArray:
        return np.asarray(masks.any(axis=0))
