"""Checks of the candidates: whether the sources find the right items, and how old they are."""

from __future__ import annotations

import numpy as np

from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding, Severity

__all__ = ["CandidateRecall", "SourceAge", "SourceMix"]


class CandidateRecall:
    """Items known to be good, among the candidates."""

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        if evidence.retrieved is None or not len(evidence.retrieved):
            return [
                Finding(
                    "CANDIDATE_GENERATION_FAILURE",
                    Severity.CRITICAL,
                    "",
                    "candidates",
                    "no source found anything",
                    "Look at the sources: are they fitted, and do they know this kind of user?",
                    {"by_source": evidence.candidate_sources},
                )
            ]
        good = evidence.known_good
        if good is None or not len(good):
            return []
        if np.isin(good, evidence.retrieved.item).any():
            return []
        # What a healthy pipeline does not find either is hard to find: any other cause explains the list better.
        healthy = evidence.baseline.retrieved if evidence.baseline is not None else None
        hard = healthy is not None and not np.isin(good, healthy.item).any()
        absent = int(np.count_nonzero(good == 0))
        return [
            Finding(
                "CANDIDATE_GENERATION_FAILURE",
                Severity.SYMPTOM if hard else Severity.CRITICAL,
                "",
                "candidates",
                f"none of {len(good)} items known to be good is among {len(evidence.retrieved)} candidates"
                + (f"; the catalogue lacks {absent} of them" if absent else "")
                + ("; the baseline finds none either" if hard else ""),
                "Fit the pipeline on a dataset that has these items."
                if absent == len(good)
                else "No ranker can mend this: refresh or add sources, or raise their limits.",
                {
                    "known_good": evidence.ids(good[good > 0]),
                    "not_in_catalogue": absent,
                    "by_source": evidence.candidate_sources,
                },
            )
        ]


class SourceAge:
    """Sources that have not seen recent events.

    Parameters
    ----------
    max_age : float, default 7 days
        Seconds.
    """

    def __init__(self, max_age: float = 7 * 86_400.0) -> None:
        self.max_age = max_age

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        ages = {
            event.name: evidence.now - getattr(evidence.stages[event.name], "fitted_until_", np.inf)
            for event in evidence.trace.events
            if event.role == "source" and event.name in evidence.stages
        }
        stale = {name: age for name, age in ages.items() if np.isfinite(age) and age > self.max_age}
        if not stale:
            return []
        oldest = max(stale, key=lambda name: stale[name])
        days = {name: round(age / 86_400, 1) for name, age in stale.items()}
        return [
            Finding(
                "STALE_INDEX",
                Severity.WARNING,
                oldest,
                "data",
                f"{', '.join(stale)} last saw events {max(days.values())} days before the request",
                "Fit these sources on recent events and swap them in: pipeline.replace(name, fitted_source).",
                {"age_days": days, "max_age_days": self.max_age / 86_400},
            )
        ]


class SourceMix:
    """Sources that find nothing, or other items than they do in the baseline.

    Parameters
    ----------
    minimum : float, default 0.2
        Least share of the 20 items first in the baseline's source that must be first in the same source here.
    """

    def __init__(self, minimum: float = 0.2) -> None:
        self.minimum = minimum

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        before = evidence.baseline
        found = []
        for source, count in evidence.candidate_sources.items():
            usual = 0 if before is None else before.candidate_sources.get(source, 0)
            events = [event for event in evidence.trace.events if event.name.rpartition(".")[2] == source]
            troubled = any(event.error or event.skipped or not event.n_rows for event in events)
            name = events[0].name if events else source
            if not count and not troubled:
                found.append(
                    Finding(
                        "SOURCE_EMPTY",
                        Severity.WARNING if usual else Severity.NOTE,
                        name,
                        "candidates",
                        f"{name} adds no candidate" + (f", in the baseline {usual}" if usual else ""),
                        f"Check what {name} was fitted on and whether its index has items.",
                        {"baseline": usual},
                    )
                )
            elif before is not None and usual and count:
                wanted = before.first_of(source)
                share = float(np.isin(wanted, evidence.first_of(source)).mean()) if len(wanted) else 1.0
                if share < self.minimum:
                    found.append(
                        Finding(
                            "SOURCE_CHANGED",
                            Severity.WARNING,
                            name,
                            "data",
                            f"{name} ranks {share:.0%} of the baseline's first {len(wanted)} items first",
                            f"Check the index of {name}: its version, its vectors, and which item each belongs to.",
                            {"shared": share, "baseline": evidence.ids(wanted)},
                        )
                    )
        return found
