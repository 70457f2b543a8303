"""Immutable objects: frozen is as a frozen dataclass, however its fields are called."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Mapping
from dataclasses import field

import pytest

from recokit._utils.copies import frozen


@frozen
class Parts:
    values: list[int]
    self_: int
    name: str = "none"
    made: Mapping[str, int] = field(default_factory=dict)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", sum(self.values))


@dataclasses.dataclass(frozen=True, eq=False)
class Plain:
    values: list[int]
    self_: int
    name: str = "none"
    made: Mapping[str, int] = field(default_factory=dict)
    total: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "total", sum(self.values))


@pytest.mark.parametrize(
    ("arguments", "named"),
    [(([1, 2], 3), {}), (([1, 2], 3, "some"), {"made": {"a": 1}}), ((), {"self_": 1, "values": []})],
)
def test_holds_what_a_frozen_dataclass_holds(arguments, named):
    found, expected = Parts(*arguments, **named), Plain(*arguments, **named)
    assert vars(found) == vars(expected)
    assert repr(found) == repr(expected).replace("Plain", "Parts")
    assert vars(dataclasses.replace(found, name="other")) == vars(dataclasses.replace(expected, name="other"))


def test_each_has_a_default_of_its_own():
    assert Parts([], 1).made is not Parts([], 1).made


def test_cannot_be_changed_and_is_equal_to_itself_alone():
    part = Parts([], 1)
    with pytest.raises(dataclasses.FrozenInstanceError):
        part.name = "other"
    with pytest.raises(dataclasses.FrozenInstanceError):
        del part.name
    assert part == part and part != Parts([], 1) and len({part, Parts([], 1)}) == 2


def test_wrong_arguments_are_told_as_usual():
    for arguments, message in (([[]], "Parts.__init__.*self_"), (range(5), "positional arguments")):
        with pytest.raises(TypeError, match=message):
            Parts(*arguments)
    assert str(inspect.signature(Parts)) == str(inspect.signature(Plain))
