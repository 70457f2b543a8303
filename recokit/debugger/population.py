"""PopulationDiagnosis: the verdicts over a sample of users, and which of them each concerns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np

from recokit._utils.report import Content, Report, Table
from recokit.debugger.diagnosis import HEALTHY, Diagnosis, asked_again
from recokit.debugger.finding import Finding, Severity
from recokit.debugger.segments import Segment, find_segment
from recokit.typing import BoolArray

#: Share of the users from which on a finding concerns everyone.
EVERYONE = 0.8
#: Weight below which a slow stage is left out: fewer than about a third of the runs timed.
RARELY_SLOW = 1.0
#: How the codes of findings about hydrated lists begin.
OF_LISTS = ("HISTORY_", "OWNED_", "SESSION_", "TIME_")
#: Share of a segment's users that must have a finding for the segment to carry it, and how much more than elsewhere.
CARRIES, EXCESS = 0.5, 0.25


@dataclass(frozen=True, repr=False)
class PopulationDiagnosis(Report):
    """Findings over a sample of users.

    Parameters
    ----------
    diagnoses : tuple of Diagnosis
        One for each user.
    segments : mapping of str to tuple of str
        Label of each user by dimension; empty where there is none.
    again : Again, optional
        What :meth:`confirm` runs again.
    """

    diagnoses: tuple[Diagnosis, ...]
    segments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    again: Any = field(default=None, repr=False, compare=False)

    def confirm(self, stage: str | None = None, *, max_ms: float | None = None) -> Any:
        """Run some requests again with the suspected part from the baseline, and say whether the lists heal.

        Parameters
        ----------
        stage : str, optional
            The suspected stage, by path; that of the first finding by default.
        max_ms : float, optional
            Time of one user's diagnosis after which no further run is begun.

        Returns
        -------
        Confirmation

        Raises
        ------
        ConfigurationError
            If there is no baseline, or nothing is suspected.
        """
        return asked_again(self.again).confirmed(self.findings[0] if self.findings else None, stage, max_ms)

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """The findings, each cause and stage once, the weightiest first; ``scope`` says whom each concerns.

        The weight is the share of the users (of those timed, for a slow stage) times the severity, half where
        other findings come before it. Evidence and items are those of the first user who has it, and ``users`` and
        ``share_of_users`` are added, and ``inside``, ``elsewhere`` and ``p_value`` where a segment carries it.
        """
        first: dict[tuple[str, str], Finding] = {}
        weight: dict[tuple[str, str], float] = {}
        n_timed = max(sum(one.timed for one in self.diagnoses), 1)
        for diagnosis in self.diagnoses:
            seen: set[tuple[str, str]] = set()
            for place, finding in enumerate(diagnosis.findings):
                key = finding.code, finding.stage
                if key in seen or finding.severity == Severity.NOTE:
                    continue
                seen.add(key)
                n = n_timed if finding.code == "STAGE_SLOW" else len(self.diagnoses)
                weight[key] = weight.get(key, 0.0) + (1.0 if not place else 0.5) * (1 + finding.severity) / n
                if key not in first or finding.severity > first[key].severity:
                    first[key] = finding
        # One slow run among several is the machine's doing.
        rare = {key for key in first if key[0] == "STAGE_SLOW" and weight[key] < RARELY_SLOW}
        ranked = sorted(first.keys() - rare, key=lambda key: (-round(weight[key], 9), key))
        return tuple(self._of_all(first[key]) for key in ranked)

    def _of_all(self, finding: Finding) -> Finding:
        having = self._having(finding.code, finding.stage)
        evidence = {
            **finding.evidence,
            "users": int(having.sum()),
            "share_of_users": self._share(finding.code, having),
        }
        segment = self._segment(finding.code, having)
        if segment is not None:
            evidence |= {"inside": segment.inside, "elsewhere": segment.elsewhere, "p_value": segment.p_value}
        return replace(finding, scope=self._scope(finding.code, having), evidence=evidence)

    def _having(self, code: str, stage: str | None = None) -> BoolArray:
        return np.array(
            [
                any(
                    one.code == code and one.severity > Severity.NOTE and stage in (None, one.stage)
                    for one in diagnosis.findings
                )
                for diagnosis in self.diagnoses
            ],
            np.bool_,
        )

    def _share(self, code: str, having: BoolArray) -> float:
        counted = self._able(code) if code == "STAGE_SLOW" else np.ones(len(having), np.bool_)
        return float(having[counted].mean()) if counted.any() else 0.0

    def _segment(self, code: str, having: BoolArray) -> Segment | None:
        able = self._able(code)
        if not having.any() or having[able].all():
            return None
        segments = {
            name: tuple(label for label, is_able in zip(labels, able.tolist(), strict=True) if is_able)
            for name, labels in self.segments.items()
        }
        segment = find_segment(having[able].astype(np.float64), segments)
        return (
            segment
            if segment is not None and segment.inside >= CARRIES and segment.effect >= EXCESS
            else None
        )

    def _able(self, code: str) -> BoolArray:
        """Return who can have a finding: one about hydrated lists only users who have a history by the data."""
        known = np.array([not one.figures.get("cold", False) for one in self.diagnoses], np.bool_)
        everyone: BoolArray = np.ones(len(known), np.bool_)
        if code == "STAGE_SLOW":
            timed = np.array([one.timed for one in self.diagnoses], np.bool_)
            return timed if timed.any() else everyone
        return known if code.startswith(OF_LISTS) and known.any() else everyone

    def _scope(self, code: str, having: BoolArray) -> str:
        if not having.any():
            return "no one"
        if float(having[self._able(code)].mean()) >= EVERYONE:
            return "everyone"
        segment = self._segment(code, having)
        return "some" if segment is None else segment.name

    def counts(self) -> dict[str, dict[str, int]]:
        """Return the number of users by verdict, for ``"all"`` and each segment."""
        counts: dict[str, dict[str, int]] = {"all": {}}
        for place, diagnosis in enumerate(self.diagnoses):
            names = [
                f"{dimension}={labels[place]}" if dimension else labels[place]
                for dimension, labels in self.segments.items()
                if labels[place]
            ]
            for name in ["all", *names]:
                verdicts = counts.setdefault(name, {})
                verdicts[diagnosis.verdict] = verdicts.get(diagnosis.verdict, 0) + 1
        return counts

    @property
    def verdict(self) -> str:
        """Code of the first finding, or ``"NO_OBVIOUS_ISSUE"``."""
        return self.findings[0].code if self.findings else HEALTHY

    @property
    def stage(self) -> str:
        """Stage of the first finding."""
        return self.findings[0].stage if self.findings else ""

    @property
    def action(self) -> str:
        """What to do first."""
        return self.findings[0].action if self.findings else "Nothing: no check found a cause."

    def scope(self, code: str) -> str:
        """Answer "everyone or a segment?": ``"everyone"``, the segment's name, ``"some"`` or ``"no one"``."""
        return self._scope(code, self._having(code))

    def plot(self, ax: Any = None) -> Any:
        """Draw the mean funnel of a user, under the verdict.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ConfigurationError
            Without matplotlib (extra ``plots``).
        """
        from recokit._utils.plots.funnel import draw_funnel, mean_records, steps_of
        from recokit._utils.plots.style import title

        n = max(len(self.diagnoses), 1)
        shown = sum(int(one.figures["list_length"]) for one in self.diagnoses)
        ax = draw_funnel(steps_of(mean_records([one.funnel for one in self.diagnoses]), shown / n), ax)
        title(ax, f"{self.verdict}; mean of {len(self.diagnoses):,} users")
        return ax

    def to_dict(self) -> dict[str, Any]:
        """Return findings and verdicts by segment, ready for JSON."""
        return {
            "users": len(self.diagnoses),
            "verdict": self.verdict,
            "stage": self.stage,
            "action": self.action,
            "findings": [finding.to_dict() for finding in self.findings],
            "counts": self.counts(),
            "scope": {code: self.scope(code) for code in self.counts()["all"] if code != HEALTHY},
        }

    def __str__(self) -> str:
        lines = [f"{len(self.diagnoses):,} users: {self.verdict}", f"  {self.action}", ""]
        lines += [
            f"  {finding.severity.name.lower():<9}{finding.code} {finding.stage} "
            f"({finding.evidence['share_of_users']:.0%} of users, {finding.scope}): {finding.message}"
            for finding in self.findings
        ]
        lines += [
            f"  {name:<24}{code:<34}{n:>7,}"
            for name, verdicts in self.counts().items()
            for code, n in sorted(verdicts.items(), key=lambda pair: -pair[1])
        ]
        return "\n".join(lines)

    def _content(self) -> Content:
        findings = [
            (one.code, one.stage, one.scope, f"{one.evidence['share_of_users']:.0%}", one.message, one.action)
            for one in self.findings
        ]
        rows = [(name, code, n) for name, verdicts in self.counts().items() for code, n in verdicts.items()]
        return Content(
            "Diagnosis of many users",
            [
                Table(("finding", "stage", "who", "users", "what", "action"), findings),
                Table(("segment", "verdict", "users"), rows),
            ],
            notes=[self.action],
        )
