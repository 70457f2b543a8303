"""Step: options of one stage's place in a pipeline."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Literal, TypeAlias

from recokit._utils.options import check_options, one_of, optional as may_be_none, whole
from recokit._utils.params import Configured
from recokit.data.by_id import RequestsById
from recokit.errors import ConfigurationError
from recokit.typing import BoolArray

Condition: TypeAlias = str | Callable[[RequestsById], BoolArray]


_OPTIONS = {"on_error": one_of("degrade", "raise"), "limit": may_be_none(whole(1))}


class Step(Configured):
    """A stage with options for its place in a pipeline.

    Parameters
    ----------
    stage : object
        The stage.
    name : str, optional
        Its name in paths, columns and traces; the snake-case class name by default.
    when : str or callable, optional
        Rows that the stage applies to: a boolean context column, or a module-level function of the requests, in
        external ids (:class:`recokit.data.RequestsById`), that returns (B,) bool. Other rows pass untouched.
    on_error : {"degrade", "raise"}, default "degrade"
        Whether a failure degrades the answer, as the stage's role says, or is raised.
    optional : bool, default False
        An optional stage is the first to be skipped when half of the budget is gone before it starts.
    limit : int, optional
        For a source: maximum number of its candidates.

    Raises
    ------
    ConfigurationError
        If a name is not an identifier, or an option is out of range.

    Examples
    --------
    >>> class Everything:
    ...     def keep(self, candidates): ...
    >>> Step(Everything(), name="all_of_them").name
    'all_of_them'
    """

    def __init__(
        self,
        stage: Any,
        *,
        name: str | None = None,
        when: Condition | None = None,
        on_error: Literal["degrade", "raise"] = "degrade",
        optional: bool = False,
        limit: int | None = None,
    ) -> None:
        if isinstance(stage, Step):
            raise ConfigurationError("found a Step inside a Step; expected a stage")
        if name is not None and not name.isidentifier():
            raise ConfigurationError(
                f"found step name {name!r}; expected an identifier such as 'popular_by_region'"
            )
        self.stage, self.name, self.when = stage, name, when
        self.on_error, self.optional, self.limit = on_error, optional, limit
        check_options(self, _OPTIONS)

    @property
    def path(self) -> str:
        """The step's own part of its path."""
        return leaf_name(self)


def snake_case(name: str) -> str:
    """Return a class name in snake case.

    Examples
    --------
    >>> snake_case("ItemKNN"), snake_case("FirstOf")
    ('item_knn', 'first_of')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()


def leaf_name(source: Any) -> str:
    """Return the name of a source: its own, or its class name in snake case.

    Examples
    --------
    >>> from recokit.candidates import Popular
    >>> leaf_name(Popular())
    'popular'
    """
    name = getattr(source, "name", None)
    if name:
        return str(name)
    return leaf_name(source.stage) if isinstance(source, Step) else snake_case(type(source).__name__)


def stage_of(source: Any) -> Any:
    """Return the stage itself, without the step around it."""
    return source.stage if isinstance(source, Step) else source
