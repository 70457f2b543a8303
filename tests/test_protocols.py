"""Optional members of stages: what a stage says of itself, and the table of the documentation."""

from __future__ import annotations

import dataclasses
import math
import re
from pathlib import Path

from recokit import protocols
from recokit.protocols import (
    Dated,
    ErasesUsers,
    Observer,
    Recommender,
    Runnable,
    Traits,
    WantsRanked,
    traits_of,
)

VERBS = set(protocols._VERBS)
#: Protocols of observers, of whole models and of stores, not of stages.
NOT_OF_STAGES = {Observer, WantsRanked, Dated, ErasesUsers, Recommender, Runnable}


def declared_members() -> set[str]:
    """Return the optional members that protocols and traits declare."""
    optional = [
        value
        for value in vars(protocols).values()
        if isinstance(value, type)
        and getattr(value, "_is_runtime_protocol", False)
        and value not in NOT_OF_STAGES
    ]
    members = {
        name
        for protocol in optional
        for name in {*vars(protocol), *vars(protocol).get("__annotations__", {})}
        if not name.startswith("_")
    }
    traits = {field.name for field in dataclasses.fields(Traits)}
    return (members - VERBS) | {name.replace("fitted_until", "fitted_until_") for name in traits}


def documented_members() -> set[str]:
    text = (Path(__file__).parents[1] / "docs/reference/stages.md").read_text("utf-8")
    table = text[text.index("| member | meaning |") :].split("\n\n")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines()[2:]]
    return {name for cell in first_cells for name in re.findall(r"`(\w+)", cell)}


def test_the_documentation_lists_every_optional_member() -> None:
    assert documented_members() == declared_members()


def test_traits_have_defaults_and_read_the_stage() -> None:
    class Silent:
        pass

    class Outspoken:
        requires = ["history"]  # noqa: RUF012
        provides = ("a", "b")
        io_bound = live = as_of = 1
        fitted_until_ = 5
        hard = 0
        pool = 40

    assert traits_of(Silent()) == Traits((), (), False, False, False, -math.inf, True, None)
    assert traits_of(Outspoken()) == Traits(("history",), ("a", "b"), True, True, True, 5.0, False, 40)
