"""List cache: lists that were made earlier, while they are worth showing."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

from recokit._utils.options import check_options, rules, whole
from recokit._utils.params import Configured
from recokit.data import Candidates, seconds
from recokit.errors import ConfigurationError
from recokit.serving.ask import Ask

_OPTIONS = rules(max_lists=whole(1))


@dataclass(frozen=True, eq=False, slots=True)
class CachedList:
    """A list as it was made.

    Parameters
    ----------
    listed : Candidates
        The list with all its columns, one row.
    made_at : float
        When, on the service's clock.
    """

    listed: Candidates
    made_at: float


class ListCache(Configured):
    """Keeps each list for requests that ask for the same again.

    A fresh one is shown, a stale one is shown while it is made again in the background, once however many ask. Whatever
    its age, hard filters and limits hold for it as of each request: what has sold out is gone. A list belongs to a
    model, a user, what the user has done since (``changed``), and all options of the request but its time.

    Parameters
    ----------
    fresh : duration, default "2min"
        How long a list is shown without being made again.
    stale : duration, default "1D"
        How long it is shown at all.
    max_lists : int, default 100_000
        Lists kept; the ones unused for longest go.
    version : callable, optional
        From a user id to anything that changes with the user's history, such as the number of a session's events;
        lists of other versions are not shown.

    Raises
    ------
    ConfigurationError
        If ``stale`` is shorter than ``fresh``.
    """

    def __init__(
        self,
        *,
        fresh: str | float = "2min",
        stale: str | float = "1D",
        max_lists: int = 100_000,
        version: Callable[[Any], Hashable] | None = None,
    ) -> None:
        self.fresh, self.stale, self.max_lists, self.version = fresh, stale, max_lists, version
        check_options(self, _OPTIONS)
        self._fresh, self._stale = seconds(fresh), seconds(stale)
        if self._stale < self._fresh:
            raise ConfigurationError(
                f"found stale={stale!r} and fresh={fresh!r}; expected stale to be the longer"
            )
        self._lists: OrderedDict[Hashable, CachedList] = OrderedDict()
        self._changes: OrderedDict[Any, int] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Return the number of lists kept."""
        return len(self._lists)

    def key(self, fingerprint: str, ask: Ask) -> Hashable | None:
        """Return what a list belongs to; None for a request whose options cannot be told apart."""
        lists = tuple((name, tuple(values)) for name, values in sorted(ask.lists.items()))
        context = tuple(sorted(ask.context.items()))
        version = None if self.version is None or ask.user is None else self.version(ask.user)
        key = (
            fingerprint,
            ask.user,
            self._changes.get(ask.user, 0),
            version,
            ask.k,
            ask.seed,
            lists,
            context,
        )
        try:
            hash(key)
        except TypeError:
            return None
        return key

    def get(self, key: Hashable, now: float) -> tuple[CachedList, bool] | None:
        """Return a list and whether it is fresh; None where there is none that may be shown."""
        with self._lock:
            found = self._lists.get(key)
            if found is None:
                return None
            age = now - found.made_at
            if age > self._stale:
                del self._lists[key]
                return None
            self._lists.move_to_end(key)
        return found, age <= self._fresh

    def put(self, key: Hashable, listed: Candidates, now: float) -> None:
        """Keep a list."""
        with self._lock:
            self._lists[key] = CachedList(listed, now)
            self._lists.move_to_end(key)
            while len(self._lists) > self.max_lists:
                self._lists.popitem(last=False)

    def changed(self, user: Any) -> None:
        """Show no list of a user that was made before now: there is an event of theirs, or consent is withdrawn."""
        with self._lock:
            self._changes[user] = self._changes.pop(user, 0) + 1
            while len(self._changes) > self.max_lists:
                # Whose count is forgotten could meet a list of an earlier one: theirs go too.
                forgotten, _ = self._changes.popitem(last=False)
                for key in [key for key in self._lists if key[1] == forgotten]:  # type: ignore[index]
                    del self._lists[key]

    def clear(self) -> None:
        """Forget all lists."""
        with self._lock:
            self._lists.clear()
