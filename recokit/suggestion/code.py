"""The code that builds stages by hand."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any

from recokit._utils.params import get_params, same

_INDENT = "    "
_LINE = 100


def code_of(value: Any, level: int = 0) -> str:
    """Return the expression that makes a stage, or a value of its options.

    Examples
    --------
    >>> from recokit.candidates import ItemKNN, Merge, Popular
    >>> code_of(Merge([Popular(half_life=None), ItemKNN()], limit=50))
    'candidates.Merge(sources=[candidates.Popular(half_life=None), candidates.ItemKNN()], limit=50)'
    """
    if isinstance(value, list | tuple):
        return _listed([code_of(one, level + 1) for one in value], level)
    if type(value).__module__.startswith("recokit."):
        return _constructed(value, level)
    return repr(value)


def _constructed(stage: Any, level: int) -> str:
    defaults = {name: one.default for name, one in inspect.signature(type(stage)).parameters.items()}
    given = [
        f"{name}={code_of(value, level + 1)}"
        for name, value in get_params(stage).items()
        if name in defaults and (defaults[name] is inspect.Parameter.empty or not same(value, defaults[name]))
    ]
    return f"{_named(stage)}({_joined(given, level)})"


def _named(stage: Any) -> str:
    module = type(stage).__module__.split(".")[1]
    if type(stage).__name__ == "Step":
        return "rk.Step"
    return f"{'candidates' if module == 'compose' else module}.{type(stage).__name__}"


def _listed(parts: Sequence[str], level: int) -> str:
    return f"[{_joined(parts, level)}]"


def _joined(parts: Sequence[str], level: int) -> str:
    line = ", ".join(parts)
    if len(line) + len(_INDENT) * level <= _LINE and "\n" not in line:
        return line
    inner = _INDENT * (level + 1)
    return "\n" + "".join(f"{inner}{part},\n" for part in parts) + _INDENT * level


def program_of(stages: Sequence[Any], fallback: Any, fit: dict[str, Any]) -> str:
    """Return the program that fits a pipeline on ``data``."""
    options = "".join(f", {name}={value!r}" for name, value in fit.items())
    after = "" if fallback is None else f", fallback={code_of(fallback)}"
    return (
        "import recokit as rk\n"
        "from recokit import candidates, diversity, features, rankers, rules\n\n"
        f"pipeline = rk.Pipeline({code_of(list(stages))}{after}).fit(data{options})\n"
    )
