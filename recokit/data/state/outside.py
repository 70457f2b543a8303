"""What lies outside a saved state: servers and files, which whoever loads it gives again."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from recokit._utils.options import shown
from recokit._utils.params import get_params
from recokit.errors import ConfigurationError, did_you_mean


class Outside:
    """Mixin of what names places outside: a text in one of these options is neither saved nor taken from a state."""

    places: ClassVar[tuple[str, ...]] = ()


class Connection(Outside):
    """Mixin of what opens a server or a file: saved by its name and its other options, opened by the caller alone."""

    @classmethod
    def connection_name(cls, options: Mapping[str, Any]) -> str:
        """Return how ``connections=`` calls it, from its options."""
        return str(options.get("prefix", cls.__name__))


def without_places(value: Outside, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options as they are saved: those of a connection without its places, others with None for a path."""
    places = type(value).places
    if isinstance(value, Connection):
        return {name: part for name, part in options.items() if name not in places}
    return {name: None if name in places and is_place(part) else part for name, part in options.items()}


def is_place(value: Any) -> bool:
    """Tell whether a value names a place."""
    return isinstance(value, str | os.PathLike)


class Connections:
    """The connections that a caller gives to a state, by name.

    Parameters
    ----------
    given : mapping of str to object, optional
        For each name the open store, or the URL or path to open it with under its saved options.
    needed : mapping of str to str
        The names that the state has, and the class of each.

    Raises
    ------
    ConfigurationError
        If one is missing, or one too many.
    """

    def __init__(self, given: Mapping[str, Any] | None, needed: Mapping[str, str]) -> None:
        self._given = dict(given or {})
        missing = [name for name in needed if name not in self._given]
        if missing:
            kinds = ", ".join(f"{name!r} ({needed[name]})" for name in missing[:5])
            raise ConfigurationError(
                f"found {len(missing)} connections in a saved state that it must not open itself: {kinds}; expected "
                f"connections={{{missing[0]!r}: a store, or its URL or path}}"
            )
        for name in self._given:
            if name not in needed:
                raise ConfigurationError(
                    f"found connections={shown(name)}, which the saved state does not have; "
                    f"{did_you_mean(name, needed)}"
                )

    def connect(self, cls: type[Connection], name: str, options: Mapping[str, Any]) -> Any:
        """Return the caller's store of a name, opened with the saved options where the caller gave a place."""
        given = self._given[name]
        if is_place(given):
            return cls(given, **options)  # type: ignore[call-arg]  # its first option is the place
        return given


def distinct(name: str, taken: Iterable[str]) -> str:
    """Return a name that is not taken, with a number where it was.

    Examples
    --------
    >>> distinct("item", ["item"]), distinct("item", [])
    ('item-2', 'item')
    """
    names = set(taken)
    numbered = [name, *(f"{name}-{i}" for i in range(2, len(names) + 2))]
    return next(candidate for candidate in numbered if candidate not in names)


def saved_options(value: Connection) -> dict[str, Any]:
    """Return the options of a connection that are saved."""
    return without_places(value, get_params(value))
