"""Python files and modules of the user: what they return, and the classes that they define."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from recokit._cli.options import UsageError
from recokit.errors import ConfigurationError, RecokitError, did_you_mean


def returned(target: str, default: str, expected: type, *arguments: Any) -> Any:
    """Return what a function of the user's code returns, or the object of that name.

    Parameters
    ----------
    target : str
        ``file.py``, ``file.py:name``, ``package.module`` or ``package.module:name``.
    default : str
        The name, where the target has none.
    expected : type
        What is to be returned.
    arguments
        For functions that take some; they may take fewer.

    Raises
    ------
    UsageError
        If there is no such file, module or name.
    ConfigurationError
        If the code fails, or returns something else.
    """
    where, _, name = target.partition(":")
    module, name = load(where), name or default
    if not hasattr(module, name):
        raise UsageError(f"found no {name!r} in {where}; {did_you_mean(name, _public(module))}")
    found = getattr(module, name)
    if callable(found) and not isinstance(found, expected):
        try:
            found = found(*arguments[: _n_required(found)])
        except RecokitError:
            raise
        except Exception as error:
            raise _failed(where, error) from error
    if not isinstance(found, expected):
        raise ConfigurationError(
            f"found {type(found).__name__} from {where}:{name}; expected a {expected.__name__}"
        )
    return found


def load(where: str) -> ModuleType:
    """Import a Python file as the module of its name, or a module; what lies beside it can be imported."""
    path = Path(where)
    if path.suffix != ".py":
        sys.path[:0] = [] if str(Path.cwd()) in sys.path else [str(Path.cwd())]
        if _is_missing(where):
            raise UsageError(f"found no module {where!r}; expected FILE.py or a module that can be imported")
        return _imported(where, lambda: importlib.import_module(where))
    if not path.is_file():
        raise UsageError(f"found no file {where!r}")
    known = sys.modules.get(path.stem)
    if known is not None:
        if Path(getattr(known, "__file__", None) or "").resolve() == path.resolve():
            return known
        raise UsageError(f"found {where!r}, named like the module {path.stem!r}; expected another name")
    sys.path.insert(0, str(path.resolve().parent))
    return _imported(where, lambda: importlib.import_module(path.stem))


def classes(where: str) -> list[type]:
    """Return the classes that a file or module defines, which a saved model may hold."""
    module = load(where)
    return [
        value
        for value in vars(module).values()
        if inspect.isclass(value) and value.__module__ == module.__name__
    ]


def _imported(where: str, load_it: Any) -> ModuleType:
    try:
        module: ModuleType = load_it()
    except RecokitError:
        raise
    except Exception as error:
        raise _failed(where, error) from error
    return module


def _failed(where: str, error: Exception) -> ConfigurationError:
    """Return an error that names the last line of the user's own file."""
    own = str(Path(where).resolve()) if where.endswith(".py") else where.replace(".", "/")
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if own in frame.filename]
    line = error.lineno if isinstance(error, SyntaxError) else (frames[-1].lineno if frames else None)
    place = f"line {line} of {where}" if line else where
    return ConfigurationError(f"found {type(error).__name__} in {place}: {error}; hint: --traceback")


def _is_missing(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is None
    except (ImportError, ValueError):
        return True


def _n_required(function: Any) -> int:
    parameters = inspect.signature(function).parameters.values()
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return sum(one.kind in kinds and one.default is one.empty for one in parameters)


def _public(module: ModuleType) -> list[str]:
    return [name for name in vars(module) if not name.startswith("_")]
