"""Ask: one row that waits for its list, and what it is answered."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recokit.errors import DataError
from recokit.result import Recommendations
from recokit.trace import Status, Trace
from recokit.typing import Float32Array

#: Options of a row that are lists of item ids.
LISTS = ("history", "session", "items", "exclude")
#: Share of a row's time, and seconds at least, that are kept for an answer without the model.
RESERVE, _RESERVE_S = 0.15, 0.005


@dataclass(frozen=True, eq=False)
class Answer:
    """The list of one request, and where it came from.

    Parameters
    ----------
    lists : Recommendations
        Of everyone who was answered together.
    row : int
        Which of them it is.
    source : {"model", "cached", "stale", "precomputed"}
        The model's own run, a list made earlier that is fresh, or that is being made again, or the list made ahead.
    why : str
        Why it is not the model's, empty where it is.
    """

    lists: Recommendations
    row: int = 0
    source: str = "model"
    why: str = ""

    def ids(self) -> list[Any]:
        """Return the external item ids, best first."""
        return self.lists.ids(self.row)

    def scores(self) -> Float32Array:
        """Return the scores of the items; NaN where one was not scored."""
        return self.lists.scores(self.row)

    def to_records(self) -> list[dict[str, Any]]:
        """Return a record for each item, as ``Recommendations.to_records``."""
        return self.lists.records(self.row)

    @property
    def user(self) -> Any:
        """The external user id, None for an anonymous user."""
        return self.lists.users[self.row]

    @property
    def status(self) -> Status:
        """How it was answered."""
        return Status(int(self.lists.status[self.row]))

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why it is not OK."""
        own = self.lists.reasons[self.row]
        return (self.why, *own) if self.why else own

    @property
    def fingerprint(self) -> str:
        """The model that made it."""
        return self.lists.fingerprint

    @property
    def trace(self) -> Trace:
        """The trace of the run, of everyone who was answered together."""
        return self.lists.trace

    def __len__(self) -> int:
        return len(self.lists.codes(self.row))

    def __repr__(self) -> str:
        return f"Answer({len(self)} items for {self.user!r}, {self.status.name}, {self.source})"


@dataclass(eq=False)
class Ask:
    """One row that waits.

    Parameters
    ----------
    user : id or None
        Who it is for.
    k : int
        List length.
    lists : mapping of str to sequence of ids
        Those of ``history``, ``session``, ``items`` and ``exclude`` that were given.
    context : mapping of str to value
        The context columns that were given.
    now, seed
        As for ``recommend``.
    caller : hashable
        Whose turn it takes.
    arrived, due : float
        When it came, and when its answer must be there, on the service's clock.
    place : object
        Where the answer is brought, with ``put``.
    """

    user: Any
    k: int
    lists: Mapping[str, Sequence[Any]]
    context: Mapping[str, Any]
    now: Any
    seed: int
    caller: Hashable
    arrived: float
    due: float
    place: Any
    #: What makes its answer the same as another's; None where answers are not kept.
    key: Hashable | None = None
    #: Others who wait for the same list.
    followers: list[Ask] = field(default_factory=list)
    waiting: bool = False
    done: bool = False
    #: A list is made again in the background: nobody waits for it.
    refresh: bool = False

    def options(self) -> dict[str, Any]:
        """Return the options of ``recommend`` for this row alone."""
        lists = {name: [values] for name, values in self.lists.items()}
        context = {name: [value] for name, value in self.context.items()}
        return {**lists, "context": context, "now": self.now, "seed": self.seed}

    @property
    def until(self) -> float:
        """Until when the model may answer; the rest is kept for an answer without it."""
        whole_time = self.due - self.arrived
        return self.due - min(max(RESERVE * whole_time, _RESERVE_S), 0.5 * whole_time)

    @property
    def last_until(self) -> float:
        """Until when the model may answer any of those who wait for the row."""
        return max(one.until for one in (self, *self.followers)) if self.followers else self.until

    def is_bare(self, answer: Answer) -> bool:
        """Tell whether the model found nothing for it although rules forbid nothing."""
        return answer.status is Status.EMPTY and "items" not in self.lists

    @property
    def nobody_waits(self) -> bool:
        """Whether all who asked have an answer."""
        return self.done and all(one.done for one in self.followers)


def checked_lists(given: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    """Return the lists that were given.

    Raises
    ------
    DataError
        If one is no list of ids.
    """
    lists = {name: values for name, values in given.items() if values is not None}
    for name, values in lists.items():
        if isinstance(values, str | bytes) or not hasattr(values, "__len__"):
            raise DataError(f"found {name}={str(values)[:60]!r}; expected a list of item ids")
    return lists
