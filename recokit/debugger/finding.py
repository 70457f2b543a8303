"""Finding: one thing wrong, or worth knowing, that a check saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

#: First question: candidates or ranking? ``"list"`` is the work of rules, limits and diversity on the ranking;
#: ``"serving"`` concerns the run as a whole.
Place = Literal["candidates", "ranking", "list", "serving"]
#: Second question: data, model or serving? ``"settings"`` are options that do what they say, but too much of it.
Origin = Literal["data", "model", "serving", "settings"]


class Severity(IntEnum):
    """How bad a finding is. Causes rank above the symptoms they explain."""

    NOTE = 0  #: worth knowing; no verdict
    SYMPTOM = 1  #: something is wrong with the list; the verdict if no cause is found
    WARNING = 2  #: a cause that costs quality
    CRITICAL = 3  #: a cause that spoils the list


@dataclass(frozen=True)
class Finding:
    """One thing that a check saw, and its answers to the debugger's three questions.

    Parameters
    ----------
    code : str
        The cause, such as ``"CANDIDATE_GENERATION_FAILURE"``.
    severity : Severity
    stage : str
        Path of the stage concerned, empty if it is none in particular.
    message : str
        The observation, in a sentence.
    action : str
        The remedy, in plain words.
    place : {"candidates", "ranking", "list", "serving"}
        Candidates or ranking?
    origin : {"data", "model", "serving", "settings"}
        Data, model or serving?
    scope : str, default ""
        Everyone or a segment? ``"everyone"``, ``"some"`` or the segment, such as ``"country=NL and device=app"``;
        empty for one user's diagnosis, which cannot tell.
    evidence : mapping
        The numbers behind it.
    items : tuple
        External ids of items that show it, ten at most.
    relative : bool, default False
        Whether it was found only by comparison with the baseline. Such a difference is a symptom where an earlier
        stage differs already.
    """

    code: str
    severity: Severity
    stage: str
    message: str
    action: str
    place: Place
    origin: Origin
    scope: str = ""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    items: tuple[Any, ...] = ()
    relative: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "code": self.code,
            "severity": self.severity.name.lower(),
            "stage": self.stage,
            "message": self.message,
            "action": self.action,
            "place": self.place,
            "origin": self.origin,
            "scope": self.scope,
            "evidence": dict(self.evidence),
            "items": list(self.items),
        }
