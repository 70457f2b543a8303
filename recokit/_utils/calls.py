"""Calls: whether a user's function can be called as it will be."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from recokit.errors import ConfigurationError


def require_takes(function: Callable[..., Any], *arguments: str) -> None:
    """Check that a function takes these positional arguments, as far as it says what it takes.

    Raises
    ------
    ConfigurationError
        If it takes fewer, or needs more.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions do not say
        return
    try:
        signature.bind(*arguments)
    except TypeError as error:
        name = getattr(function, "__name__", type(function).__name__)
        raise ConfigurationError(
            f"found the function {name}{signature}; expected one of ({', '.join(arguments)}): {error}"
        ) from error
