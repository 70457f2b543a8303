"""Mutants are drawn from code that runs: no annotation, docstring or bare star of a signature."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("cosmic_ray")

from benchmarks import mutants

CODE = '''\
"""A page."""


def area(side: int | float, *, scale: int = 2) -> int | float:
    """Return an area * scale."""
    sizes = dict(**{"scale": scale})
    return side * side * max(*sizes.values(), 1)
'''


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    path = tmp_path / "page.py"
    path.write_text(CODE)
    return path


def test_only_what_stands_between_two_sides_is_arithmetic(page: Path) -> None:
    found = mutants.mutants_of(page)
    assert {line for line, families in found.items() if "ReplaceBinaryOperator" in families} == {7}
    stars = [m for m in found[7]["ReplaceBinaryOperator"] if m.operator.endswith("Mul_Add")]
    edited = [mutant.source.splitlines()[6].strip() for mutant in stars]
    assert edited == [
        "return side + side * max(*sizes.values(), 1)",
        "return side * side + max(*sizes.values(), 1)",
    ]


def test_a_default_is_an_edit_and_every_edit_compiles(page: Path) -> None:
    found = mutants.mutants_of(page)
    lines = [mutant.source.splitlines()[3] for mutant in found[4]["NumberReplacer"]]
    assert {line.partition("scale: int =")[2].partition(")")[0].strip() for line in lines} == {"1", "3"}
    for families in found.values():
        for mutant in (mutant for group in families.values() for mutant in group):
            compile(mutant.source, "page.py", "exec")
