"""Erasing a user: one call over everything that holds something of single users, and what it cannot reach."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recokit._utils.options import error_text, shown
from recokit._utils.report import Content, Report, Table
from recokit.errors import ConfigurationError, DataError, StageError
from recokit.exploration import UCB, ThompsonSampling
from recokit.monitoring.feature_log._files import erase_from_parts
from recokit.pipeline.pipeline import Pipeline
from recokit.protocols import ErasesUsers
from recokit.stores import ErasesRows

#: How deep options of stages are looked through: a Merge of a Step of a source of events.
_DEPTH = 6


@dataclass(frozen=True, eq=False, repr=False)
class Erasure(Report):
    """What :func:`erase_user` removed, and what it could not reach.

    Parameters
    ----------
    user : object
        External id.
    removed : tuple of (str, int)
        Each part, and how many things of the user it held.
    failed : tuple of str
        Parts that could not remove what they hold, and why.
    unreachable : tuple of str
        What still holds something of the user, and what ends it.
    """

    user: Any
    removed: tuple[tuple[str, int], ...]
    failed: tuple[str, ...]
    unreachable: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing failed and nothing is left that could not be reached."""
        return not self.failed and not self.unreachable

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "user": str(self.user),
            "removed": [{"part": part, "n": n} for part, n in self.removed],
            "failed": list(self.failed),
            "unreachable": list(self.unreachable),
        }

    def raise_for_status(self) -> Erasure:
        """Return self; raise StageError where a part failed."""
        if self.failed:
            raise StageError(
                f"found {len(self.failed)} parts that kept a user: {self.failed[0]}",
                name="erase_user",
                role="store",
            )
        return self

    def _content(self) -> Content:
        rows = [[part, f"{n:,}"] for part, n in self.removed]
        notes = [
            *(f"failed: {text}" for text in self.failed),
            *(f"not reached: {text}" for text in self.unreachable),
        ]
        return Content("Erasure", [Table(["part", "removed"], rows)], f"user {shown(self.user)}", notes)


def erase_user(user: Any, *parts: Any, names: Iterable[Any] = ()) -> Erasure:
    """Remove a user from sessions, live events, feature and outcome logs, stores and samples.

    Parameters
    ----------
    user : int or str
        External id.
    *parts
        Pipelines, of which every stage, store and observer is asked; stores, sessions, ``LiveEvents``, ``FeatureLog``,
        ``OutcomeMonitor``, ``TrafficSample`` or whatever has ``erase_user(user)``; feature stores whose rows are of
        users; and paths of feature logs. What stands twice is asked once.
    names : iterable of int or str, optional
        Other names of the same person: session and visitor ids.

    Returns
    -------
    Erasure
        What was removed from where, what failed, and what no call reaches: what was fitted holds the user's events
        until the next fit without them.

    Raises
    ------
    ConfigurationError
        For a part that holds nothing of single users, or no part at all.
    DataError
        For a user that is neither an integer nor text.

    Examples
    --------
    >>> from recokit.stores import ResidentSessions
    >>> sessions = ResidentSessions()
    >>> sessions.append("ann", 7, at=100.0)
    >>> erase_user("ann", sessions).removed
    (('ResidentSessions', 1),)
    """
    if not parts:
        raise ConfigurationError("found nothing to erase from; expected pipelines, stores, logs or monitors")
    removed: list[tuple[str, int]] = []
    failed: list[str] = []
    unreachable: list[str] = []
    people = [_person(one) for one in (user, *_several(names))]
    for name, part in _holders(parts):
        try:
            removed.append((name, sum(_erase(part, person) for person in people)))
        except Exception as error:  # one that fails must not keep the others from it
            failed.append(f"{name}: {error_text(error)}")
    for part in parts:
        if isinstance(part, Pipeline):
            unreachable += _left_in(part, people)
    unreachable.append("files that were saved or exported before, and backups: remove or replace them")
    return Erasure(user, tuple(removed), tuple(failed), tuple(unreachable))


def _person(user: Any) -> Any:
    """Return an id that can be somebody's: what is nobody's removes nothing, which looks as if all were done."""
    whole = isinstance(user, int | np.integer) and not isinstance(user, bool)
    if not whole and not (isinstance(user, str) and user):
        raise DataError(f"found user {shown(user)}; expected the external id of one user, an integer or text")
    return int(user) if whole else str(user)


def _several(names: Any) -> Iterable[Any]:
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise DataError(f"found names={shown(names)}; expected a list of ids; hint: names=[{shown(names)}]")
    return names


def _erase(part: Any, user: Any) -> int:
    if isinstance(part, ErasesUsers):
        return part.erase_user(user)
    if isinstance(part, str | os.PathLike):
        if not Path(part).is_dir():
            raise DataError(f"found no folder {shown(str(part))}; expected one of a feature log")
        return erase_from_parts(Path(part), user)
    rows: ErasesRows = part
    return rows.erase([user])


def _holders(parts: Iterable[Any]) -> Iterator[tuple[str, Any]]:
    """Return what is to be asked, each once, with its name."""
    seen: set[int] = set()
    for part in parts:
        if isinstance(part, Pipeline):
            held = [one for node in part for one in _inside(node.stage, _DEPTH)]
            held += [one for observer in part.observers for one in _inside(observer, 1)]
        elif isinstance(part, ErasesUsers | ErasesRows | str | os.PathLike):
            held = [part]
        else:
            raise ConfigurationError(
                f"found {type(part).__name__} to erase a user from; expected a pipeline, store, log or monitor, or "
                "what has erase_user(user)"
            )
        for one in held:
            if id(one) not in seen:
                seen.add(id(one))
                yield type(one).__name__ if not isinstance(one, str | os.PathLike) else str(one), one


def _inside(value: Any, depth: int) -> Iterator[Any]:
    """Return what an object holds, itself among it, that forgets users."""
    if isinstance(value, ErasesUsers):
        yield value
        return
    if depth == 0 or isinstance(value, str | bytes | type):
        return
    if isinstance(value, list | tuple):
        inner: Iterable[Any] = value
    elif isinstance(value, dict):
        inner = value.values()
    elif type(value).__module__.partition(".")[0] in ("numpy", "scipy", "builtins"):
        return
    else:
        inner = vars(value).values() if hasattr(value, "__dict__") else ()
    for part in list(inner):
        yield from _inside(part, depth - 1)


def _left_in(pipeline: Pipeline, people: list[Any]) -> list[str]:
    held = [one for node in pipeline for one in _inside(node.stage, _DEPTH)]
    policies = dict.fromkeys(type(one).__name__ for one in held if isinstance(one, ThompsonSampling | UCB))
    summed = [
        f"the statistics of {name} add up the trials of all users, in which nobody's can be told: count them anew with "
        "exploration.Statistics.of on data without these events"
        for name in policies
    ]
    return summed + _learned(pipeline, people)


def _learned(pipeline: Pipeline, people: list[Any]) -> list[str]:
    ids = pipeline.schema.user_ids
    kind = int if ids.kind == "int" else str
    known = [person for person in people if isinstance(person, kind) and ids.encode([person])[0] > 0]
    if not known:
        return []
    return [
        f"what pipeline {pipeline.fingerprint} has learned and its histories hold the user: fit it on data without "
        "these events, and replace it"
    ]
