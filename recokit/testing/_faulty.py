"""How faulty copies of stages are made: other attributes, or another answer under the same class name."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, TypeVar

from recokit.protocols import role_of
from recokit.testing._answers import VERBS

__all__ = ["answering", "changed", "has", "with_attributes"]

T = TypeVar("T")


def has(stage: Any, name: str) -> bool:
    return hasattr(stage, name)


def with_attributes(stage: T, **attributes: Any) -> T:
    twin = copy.copy(stage)
    twin.__dict__.update(attributes)
    return twin


def changed(stage: T, change: Callable[..., Any]) -> T:
    """Return a copy whose verb is ``change(call, *args)``; its class has the name that it had."""
    kind = type(stage)
    verb = VERBS[role_of(stage)]
    answer = getattr(kind, verb)

    def altered(self: Any, *args: Any) -> Any:
        return change(lambda *given: answer(self, *given), *args)

    twin = copy.copy(stage)
    names = {"__module__": kind.__module__, "__qualname__": kind.__qualname__, "__doc__": kind.__doc__}
    twin.__class__ = type(kind.__name__, (kind,), {verb: altered, **names})
    return twin


def answering(stage: T, change: Callable[[Any, Any], Any]) -> T:
    """Return a copy whose answers are changed, given the batch that they are for."""
    return changed(stage, lambda call, batch, *args: change(call(batch, *args), batch))
