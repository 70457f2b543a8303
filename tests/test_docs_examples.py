"""Every public class stands in an example that runs: on a page, in the gallery, or in a docstring."""

from __future__ import annotations

import functools
import inspect
import re
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent
#: Classes that no example shows yet. It may only become shorter.
WITHOUT = frozenset(
    {
        "recokit.data.EventType",
        "recokit.debugger.Confirmation",
        "recokit.debugger.FallbackCarries",
        "recokit.debugger.MissingEvents",
        "recokit.debugger.MostlyRelaxed",
        "recokit.debugger.RepeatedEvents",
        "recokit.debugger.ShortAnswers",
        "recokit.diversity.Exposed",
        "recokit.experiments.Decision",
        "recokit.features.ItemCategory",
        "recokit.features.Price",
        "recokit.features.UserActivity",
        "recokit.metrics.CatalogueMetric",
        "recokit.metrics.Figure",
        "recokit.metrics.RelevanceMetric",
        "recokit.off_policy.DRos",
        "recokit.off_policy.PseudoInverse",
        "recokit.off_policy.Replay",
        "recokit.off_policy.SNIIPS",
        "recokit.off_policy.Support",
        "recokit.off_policy.SwitchDR",
        "recokit.protocols.FillsFeatures",
        "recokit.protocols.HoldsRules",
        "recokit.protocols.LiveValues",
        "recokit.text.AskQuery",
        "recokit.text.OnnxEncoder",
        "recokit.text.WordLlama",
        "recokit.training.HardNegatives",
    }
)


@functools.cache
def reference() -> types.ModuleType:
    """Return the module that writes the API reference, which knows where each name is described."""
    pytest.importorskip("sphinx")
    sys.path.insert(0, str(ROOT / "docs/_ext"))
    try:
        import api_pages
    finally:
        sys.path.remove(str(ROOT / "docs/_ext"))
    return api_pages


def classes() -> dict[str, type]:
    found = [entry for entries in reference().entries().values() for entry in entries]
    return {entry.path: entry.value for entry in found if entry.directive == "autoclass"}


@functools.cache
def words() -> frozenset[str]:
    """Return every word of the code that runs: pages, scripts, docstrings' examples."""
    block = re.compile(r"^[ \t]*`{3,}python([^`\n]*)\n(.*?)^[ \t]*`{3,}[ \t]*$", re.MULTILINE | re.DOTALL)
    pages = [ROOT / "README.md", *(ROOT / "docs").rglob("*.md")]
    code = [
        match[2]
        for page in pages
        for match in block.finditer(page.read_text("utf-8"))
        if "no-run" not in match[1]
    ]
    code += [script.read_text("utf-8") for script in (ROOT / "examples").rglob("*.py")]
    for script in (ROOT / "recokit").rglob("*.py"):
        code += re.findall(r"^\s*(?:>>>|\.\.\.) (.*)$", script.read_text("utf-8"), re.MULTILINE)
    return frozenset(re.findall(r"\w+", "\n".join(code)))


def returned() -> dict[str, set[str]]:
    """Return the words of what each public function and method returns, by the function's name."""
    found: dict[str, set[str]] = {}
    for entries in reference().entries().values():
        for entry in entries:
            for name, value in ((entry.name, entry.value), *_members(entry.value)):
                kind = (
                    value
                    if isinstance(value, str)
                    else getattr(value, "__annotations__", {}).get("return", "")
                )
                found.setdefault(name, set()).update(re.findall(r"\w+", str(kind)))
    return found


def _members(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, type):
        for name, member in inspect.getmembers_static(value):
            yield name, getattr(member, "__func__", member.fget if isinstance(member, property) else member)
        yield from ((name, str(kind)) for name, kind in inspect.get_annotations(value).items())


def held() -> set[str]:
    """Return the names of the classes that stand in public constants which an example uses, such as CHECKS."""
    every = [entry for entries in reference().entries().values() for entry in entries]
    used = [entry.value for entry in every if entry.directive == "autodata" and entry.name in words()]
    members = [one for value in used if isinstance(value, tuple | dict) for one in _elements(value)]
    return {one.__name__ if isinstance(one, type) else type(one).__name__ for one in members}


def _elements(value: Any) -> list[Any]:
    return list(value.values()) if isinstance(value, dict) else list(value)


def stands(value: type, made_by: dict[str, set[str]]) -> bool:
    """Tell whether an example names a class, calls what returns one, or, of a protocol, has what it asks for."""
    if value.__name__ in words() or any(value.__name__ in made_by.get(word, ()) for word in words()):
        return True
    own = {name for name in vars(value) if not name.startswith("_")} | set(inspect.get_annotations(value))
    return bool(getattr(value, "_is_protocol", False) and own & words())


def test_every_public_class_stands_in_an_example() -> None:
    made_by = returned()
    constants = held()
    shown = {
        path for path, value in classes().items() if value.__name__ in constants or stands(value, made_by)
    }
    missing = set(classes()) - shown
    assert missing <= WITHOUT, sorted(missing - WITHOUT)


def test_every_public_name_has_a_summary() -> None:
    every = [entry for entries in reference().entries().values() for entry in entries]
    assert len(every) > 500
    assert not [entry.path for entry in every if not entry.summary]
