"""Diagnosis: the verdict on one user's list, and on many."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from recokit._html import page, table, text
from recokit.debugger.finding import Finding, Severity

__all__ = ["HEALTHY", "Diagnosis", "PopulationDiagnosis"]

#: The verdict where no check found a cause or a symptom (R38).
HEALTHY = "NO_OBVIOUS_ISSUE"


@dataclass(frozen=True)
class Diagnosis:
    """What the checks found for one user.

    Parameters
    ----------
    user : object
        External id.
    findings : tuple of Finding
        All of them, the worst first; of equal ones the one that stands earlier in the funnel.
    figures : mapping
        The figures of R38.
    funnel : tuple of mapping
        One record for each stage: name, role, n_in, n_out, ms.
    not_assessed : tuple of str
        What could not be checked, and why.
    """

    user: Any
    findings: tuple[Finding, ...]
    figures: Mapping[str, Any]
    funnel: tuple[Mapping[str, Any], ...] = field(repr=False)
    not_assessed: tuple[str, ...] = ()

    @property
    def verdict(self) -> str:
        """Code of the worst finding that is more than a note, or ``"NO_OBVIOUS_ISSUE"``."""
        return self.findings[0].code if self._is_ill else HEALTHY

    @property
    def stage(self) -> str:
        """Path of the stage that the verdict concerns, empty if it is none in particular."""
        return self.findings[0].stage if self._is_ill else ""

    @property
    def action(self) -> str:
        """What to do first."""
        return self.findings[0].action if self._is_ill else "Nothing: no check found a cause."

    @property
    def _is_ill(self) -> bool:
        return bool(self.findings) and self.findings[0].severity > Severity.NOTE

    def to_dict(self) -> dict[str, Any]:
        """Return the keys of R38 with the findings, as plain values ready for JSON."""
        return {
            "user": self.user.item() if isinstance(self.user, np.generic) else self.user,
            **self.figures,
            "diagnosis": self.verdict,
            "action": self.action,
            "stage": self.stage,
            "findings": [finding.to_dict() for finding in self.findings],
            "not_assessed": list(self.not_assessed),
        }

    def __str__(self) -> str:
        lines = [f"{self.verdict} for user {self.user}", f"  {self.action}", ""]
        for step in self.funnel:
            note = step["error"] or step["skipped"]
            lines.append(
                f"  {step['name']:<24} {step['role']:<11} "
                f"{step['n_in']:>7,} -> {step['n_out']:>7,} {step['ms']:>8.2f} ms"
                f"{'  ' + note if note else ''}"
            )
        lines.append("")
        lines += [
            f"  {finding.severity.name.lower():<9}{finding.code}: {finding.message}"
            for finding in self.findings
        ]
        lines += [f"  not assessed: {reason}" for reason in self.not_assessed]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        kind = "bad" if self._is_ill else "good"
        body = f'<p class="{kind}"><b>{text(self.verdict)}</b> {text(self.action)}</p>'
        rows = [
            (
                finding.severity.name.lower(),
                finding.code,
                finding.stage,
                finding.question,
                finding.message,
                finding.action,
            )
            for finding in self.findings
        ]
        body += table(("severity", "finding", "stage", "question", "what", "action"), rows)
        steps = [
            (
                step["name"],
                step["role"],
                step["n_in"],
                step["n_out"],
                step["ms"],
                step["error"] or step["skipped"],
            )
            for step in self.funnel
        ]
        body += "<p></p>" + table(("stage", "role", "in", "out", "ms", "note"), steps)
        return page(f"Diagnosis of user {self.user}", body, "; ".join(self.not_assessed))


@dataclass(frozen=True)
class PopulationDiagnosis:
    """Verdicts over a sample of users.

    Parameters
    ----------
    diagnoses : tuple of Diagnosis
        One for each user.
    segments : tuple of str
        Segment of each user.
    """

    diagnoses: tuple[Diagnosis, ...]
    segments: tuple[str, ...]

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of users by verdict, for ``"all"`` and each segment."""
        found: dict[str, dict[str, int]] = {"all": {}}
        for diagnosis, segment in zip(self.diagnoses, self.segments, strict=True):
            for name in {"all", segment} - {""}:
                verdicts = found.setdefault(name, {})
                verdicts[diagnosis.verdict] = verdicts.get(diagnosis.verdict, 0) + 1
        return found

    @property
    def verdict(self) -> str:
        """The most common verdict; of equally common ones an issue before none."""
        counts = self.counts()["all"]
        return max(counts, key=lambda code: (counts[code], code != HEALTHY), default=HEALTHY)

    def scope(self, code: str) -> str:
        """Answer "everyone or a segment?": ``"everyone"``, the segment's name, ``"some"`` or ``"no one"``.

        A segment carries it where at least half of its users have it and less than a tenth of all others do.
        """
        counts = self.counts()
        share = {name: part.get(code, 0) / sum(part.values()) for name, part in counts.items() if part}
        if not share.get("all"):
            return "no one"
        if share["all"] >= 0.5:
            return "everyone"
        for name in sorted(share):
            inside = sum(counts[name].values())
            others = sum(counts["all"].values()) - inside
            elsewhere = (counts["all"][code] - counts[name].get(code, 0)) / max(others, 1)
            if name != "all" and share[name] >= 0.5 and elsewhere < 0.1:
                return name
        return "some"

    def to_dict(self) -> dict[str, Any]:
        """Return the verdicts by segment and how far each reaches, ready for JSON."""
        counts = self.counts()
        return {
            "counts": counts,
            "verdict": self.verdict,
            "scope": {code: self.scope(code) for code in counts["all"]},
        }

    def __str__(self) -> str:
        lines = [f"{len(self.diagnoses):,} users: {self.verdict}, {self.scope(self.verdict)}"]
        for name, verdicts in self.counts().items():
            lines += [
                f"  {name:<14}{code:<34}{n:>7,}"
                for code, n in sorted(verdicts.items(), key=lambda pair: -pair[1])
            ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [(name, code, n) for name, verdicts in self.counts().items() for code, n in verdicts.items()]
        return page(
            "Diagnosis of many users", table(("segment", "verdict", "users"), rows), str(self.verdict)
        )
