"""Finding: one thing that a check saw."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Literal

__all__ = ["Finding", "Question", "Severity"]

Question = Literal["candidates", "ranking", "rules", "data", "model", "serving"]


class Severity(IntEnum):
    """How bad a finding is. Causes rank above the symptoms they explain."""

    NOTE = 0  #: worth knowing; no verdict
    SYMPTOM = 1  #: something is wrong with the list; the verdict if no cause is found
    WARNING = 2  #: a cause that costs quality
    CRITICAL = 3  #: a cause that spoils the list


@dataclass(frozen=True)
class Finding:
    """One thing that a check saw.

    Parameters
    ----------
    code : str
        Such as ``"CANDIDATE_GENERATION_FAILURE"``.
    severity : Severity
    stage : str
        Path of the stage concerned, empty if it is none in particular.
    question : str
        Where to look: at the candidates, the ranking or the rules; at data, model or serving.
    message : str
        What was found, in a sentence.
    action : str
        What to do about it.
    evidence : mapping
        The numbers, and item ids, behind it.
    """

    code: str
    severity: Severity
    stage: str
    question: Question
    message: str
    action: str
    evidence: Mapping[str, Any] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "code": self.code,
            "severity": self.severity.name.lower(),
            "stage": self.stage,
            "question": self.question,
            "message": self.message,
            "action": self.action,
            "evidence": dict(self.evidence),
        }
