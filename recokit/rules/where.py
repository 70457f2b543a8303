"""Where and FromFunction: items for which a condition holds, as an expression or a function."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from recokit._utils.calls import require_takes
from recokit.compose.alone.lists import AloneRule
from recokit.data import Candidates, CandidatesById, Schema
from recokit.data.expression import Condition
from recokit.errors import ConfigurationError
from recokit.typing import AnyArray, BoolArray


class Where(AloneRule):
    """Filter of items for which a condition on columns holds; what is unknown is out.

    Parameters
    ----------
    condition : str
        Compares columns of the item, the user and the request: ``"item.min_age <= request.age"``,
        ``"not item.recalled and request.country in ('DE', 'FR')"``. There are numbers, text, ``True``, ``False``,
        ``+ - * /``, comparisons, ``in`` and ``not in`` with a list, ``and``, ``or``, ``not``. A column by itself is a
        flag that holds above 0. ``request.now`` and ``request.k`` come with every request, other names from its
        context.

    Raises
    ------
    ConfigurationError
        If the condition cannot be read or says more than that, or there is no such column.

    Notes
    -----
    A missing value makes what it stands in unknown, unless the rest decides: ``unknown or True`` holds. Nothing is
    evaluated but the operators above: a condition may come from a configuration file. One on items alone is decided
    once, when the pipeline is compiled.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> rule = Where("item.price < 20 and not item.sponsored").bind(toy_dataset().schema)
    >>> rule.keep(Candidates.from_lists([[1, 2, 3]])).dtype
    dtype('bool')
    """

    columns_: Mapping[str, AnyArray]

    #: Whether the condition holds, by item code, for one on items alone.
    kept_: BoolArray | None = None

    def __init__(self, condition: str) -> None:
        self._condition = Condition(condition)
        self.condition = condition

    @property
    def requires(self) -> tuple[str, ...]:
        """The columns."""
        return self._condition.requires

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the columns."""
        bound: Any = copy.copy(self)
        columns = self._condition.columns(schema)
        bound.columns_ = columns
        if self._condition.of_items_only and columns:
            # Decided now for the whole catalogue: the columns are not needed again.
            bound.columns_, bound.kept_ = {}, self._condition.of_items(columns).certain
        return bound

    def keep(self, candidates: Candidates) -> BoolArray:
        """Tell for which items the condition holds for sure, (N,) bool."""
        columns, kept = self.columns_, self.kept_
        if kept is not None:
            return np.asarray(kept[candidates.item])
        return self._condition.of_candidates(columns, candidates).certain


class FromFunction(AloneRule):
    """Filter made of a function, for what an expression cannot say.

    Parameters
    ----------
    function : callable
        Gets the candidates in external ids (:class:`recokit.data.CandidatesById`: ``item_ids``, ``user_ids``, ``now``,
        ``item_column(name)``, ``requests`` and so on), returns what to keep, (N,) bool; each candidate by itself.
    requires : sequence of str, optional
        Names that it reads, such as ``"history"`` or ``"context.country"``.
    codes : bool, default False
        Whether the function gets the :class:`Candidates` themselves, in codes.

    Raises
    ------
    ConfigurationError
        If it is no function, or takes other arguments.

    Notes
    -----
    A function is code, which a saved pipeline cannot hold: to save one, write a class with ``keep``. Used without a
    pipeline, which would bind it, it gets codes: nothing tells the ids.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> data = toy_dataset()
    >>> rule = FromFunction(lambda candidates: candidates.item_ids != 102).bind(data.schema)
    >>> rule.keep(Candidates.from_lists([[1, 2, 3]])).tolist()
    [True, False, True]
    """

    own_code = True

    #: The model's vocabularies, once bound.
    schema_: Schema | None = None

    def __init__(
        self, function: Callable[[Any], BoolArray], *, requires: Sequence[str] = (), codes: bool = False
    ) -> None:
        if not callable(function):
            raise ConfigurationError(
                f"found {function!r}; expected a function; hint: rules.Where for an expression"
            )
        require_takes(function, "candidates")
        self.function, self.requires, self.codes = function, requires, codes

    def bind(self, schema: Schema) -> FromFunction:
        """Return a copy that knows the ids."""
        bound = copy.copy(self)
        bound.schema_ = schema
        return bound

    def keep(self, candidates: Candidates) -> BoolArray:
        """Return the function's answer."""
        if self.codes or self.schema_ is None:
            return self.function(candidates)
        return self.function(CandidatesById(candidates, self.schema_))
