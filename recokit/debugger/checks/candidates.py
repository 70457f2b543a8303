"""Checks of the candidates: whether the sources find the right items, and how old and whole their indexes are."""

from __future__ import annotations

import numpy as np

from recokit.data import DAY
from recokit.debugger.captured import n_shared
from recokit.debugger.checks.causes import finding
from recokit.debugger.evidence import TOP, Evidence
from recokit.debugger.finding import Finding, Severity
from recokit.debugger.isolated import shared_of_source
from recokit.debugger.scan import SourceScan
from recokit.trace import StageEvent
from recokit.typing import IntArray

#: Share of the baseline's answers in the self-test from which on the rest of an index is in order.
SOUND = 0.5
#: A stale source is critical where fewer than this share of the baseline's first items come first in it.
MOVED_ON = 0.5
#: How much older than the baseline's a source may be: a nightly fit may be a day late.
LATE = DAY
#: Growth of a source that floods, and share of the other sources' candidates that it crowds out.
GROWN, CROWDED_OUT = 0.1, 0.03
#: Probes that must have one and the same answer.
MANY_PROBES = 20
#: Length of the mean direction from which on vectors all point one way, and below which the baseline's do not.
ONE_WAY, SPREAD = 0.98, 0.9


class CandidateRecall:
    """Items known to be good, among the candidates, and which source used to find them.

    With a baseline, items that it misses too are hard to find, which is worth knowing and no fault of this pipeline's;
    and one item found by luck proves nothing. Without one, it is told by other users' candidates whether none found is
    ordinary; one or two known-good items that are not found always are, where there are others to compare with.

    Parameters
    ----------
    certain : int, default 3
        Known-good items that must be missed for that to be a cause: with a baseline, of those that it finds.
    ordinary : float, default 0.02
        Probability of finding none, going by other users' candidates, from which on that is ordinary.
    """

    def __init__(self, certain: int = 3, ordinary: float = 0.02) -> None:
        self.certain, self.ordinary = certain, ordinary

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        if evidence.retrieved is None or not len(evidence.retrieved):
            usual = evidence.baseline
            is_usual = usual is not None and (usual.retrieved is None or not len(usual.retrieved))
            by_source = {"by_source": evidence.candidate_sources}
            severity = Severity.NOTE if is_usual else None
            return [
                finding("CANDIDATE_GENERATION_FAILURE.no_candidates", evidence=by_source, severity=severity)
            ]
        good = evidence.known_good
        if good is None or not len(good) or n_shared(good, evidence.retrieved.item):
            return []
        baseline = evidence.baseline
        finders = {} if baseline is None else _finders(baseline, good)
        n_usual = 0 if baseline is None else n_shared(good, baseline.retrieved_items)
        is_hard = self._is_ordinary(evidence, good) if baseline is None else n_usual < self.certain
        absent = int(np.count_nonzero(good == 0))
        return [
            finding(
                "CANDIDATE_GENERATION_FAILURE" + (".not_in_catalogue" if absent == len(good) else ""),
                max(finders, key=lambda name: finders[name]) if n_usual else "",
                {
                    "known_good": len(good),
                    "not_in_catalogue": absent,
                    "by_source": evidence.candidate_sources,
                    "in_baseline_by_source": finders,
                },
                items=evidence.ids(good[good > 0]),
                severity=Severity.NOTE if is_hard else Severity.CRITICAL,
                relative=baseline is not None,
                candidates=len(evidence.retrieved),
                in_baseline=None if baseline is None else n_usual or "none either",
            )
        ]

    def _is_ordinary(self, evidence: Evidence, good: IntArray) -> bool:
        """Whether other users' candidates say that finding none of so many is nothing special."""
        if evidence.recall_of_others is None:
            return False
        found = evidence.recall_of_others(evidence.now)
        if not len(found):
            return False
        # Sources that find no more than as many items at random would are no standard.
        by_chance = len(evidence.retrieved_items) / max(len(evidence.schema.item_ids), 1)
        if found.mean() <= by_chance:
            return False
        return len(good) < self.certain or float(np.mean((1.0 - found) ** len(good))) > self.ordinary


def _finders(evidence: Evidence, good: IntArray) -> dict[str, int]:
    """Return how many known-good items each source found, by path."""
    return {
        event.name: n_shared(good, evidence.found_by(event.name.rpartition(".")[2]))
        for event in _sources(evidence)
    }


class SourceAge:
    """Sources that have not seen recent events.

    Parameters
    ----------
    max_age : float, default 7 days
        Seconds. Where the baseline's source is as old, that is how it is meant.
    """

    def __init__(self, max_age: float = 7 * 86_400.0) -> None:
        self.max_age = max_age

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        return [
            finding(
                "STALE_INDEX",
                event.name,
                {
                    "age_days": round(age / DAY, 1),
                    "max_age_days": self.max_age / DAY,
                    "baseline_age_days": round(usual / DAY, 1),
                },
                severity=Severity.CRITICAL if _shared(evidence, event) < MOVED_ON else Severity.WARNING,
            )
            for event in _sources(evidence)
            for age, usual in [self._ages(evidence, event.name)]
            if np.isfinite(age) and age > self.max_age and age > usual + LATE
        ]

    def _ages(self, evidence: Evidence, name: str) -> tuple[float, float]:
        """Return the age of a source, and of the baseline's where it has one and knows, else 0."""
        age = evidence.now - evidence.fitted_until(name)
        baseline = evidence.baseline
        if baseline is None or name not in baseline.stages:
            return age, 0.0
        usual = evidence.now - baseline.fitted_until(name)
        return age, usual if np.isfinite(usual) else 0.0


class SourceMix:
    """Sources that find nothing, far more, or other items than they do in the baseline.

    Parameters
    ----------
    minimum : float, default 0.2
        Least share of the 20 items first in the baseline's source that must be first in the same source here.
    flood : float, default 2.0
        How many times its usual number of items a source may find, if that takes places from others.
    """

    def __init__(self, minimum: float = 0.2, flood: float = 2.0) -> None:
        self.minimum, self.flood = minimum, flood

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        findings: list[Finding] = []
        usual = {} if evidence.baseline is None else evidence.baseline.candidate_sources
        # Where several have gone silent and nothing is left, it is no single one's fault.
        silent = [name for name, n in usual.items() if n and not evidence.candidate_sources.get(name)]
        are_all = len(silent) > 1 and not any(evidence.candidate_sources.values())
        for event in _sources(evidence):
            leaf = event.name.rpartition(".")[2]
            count, before = evidence.candidate_sources.get(leaf, 0), usual.get(leaf, 0)
            if evidence.failed_here(event) or event.skipped or not event.n_rows:
                continue
            figures = {"candidates": count, "baseline": before}
            if not count:
                severity = Severity.NOTE
                if before:
                    severity = Severity.SYMPTOM if are_all else Severity.CRITICAL
                # One that finds nothing for the baseline's request either is empty by itself.
                relative = bool(before) and shared_of_source(evidence, event.name) != 0
                findings.append(
                    finding("SOURCE_EMPTY", event.name, figures, severity=severity, relative=relative)
                )
            elif evidence.baseline is not None and self._floods(evidence, event, leaf, usual):
                findings.append(
                    finding("SOURCE_FLOODS", event.name, {**figures, "baseline_by_source": usual})
                )
            elif before and (share := _shared(evidence, event)) < self.minimum:
                findings.append(self._changed(evidence, event, leaf, share))
        return findings

    def _floods(self, evidence: Evidence, event: StageEvent, leaf: str, usual: dict[str, int]) -> bool:
        assert evidence.baseline is not None
        usually_found = sum(one.n_out for one in evidence.baseline.trace.events if one.name == event.name)
        counts, before = evidence.candidate_sources, usual.get(leaf, 0)
        others = sum(n for name, n in usual.items() if name != leaf)
        left = sum(n for name, n in counts.items() if name != leaf and name in usual)
        has_grown = counts[leaf] >= before + max(TOP / 2, GROWN * before)
        crowds_out = others - left >= CROWDED_OUT * max(others, 1)
        return has_grown and crowds_out and event.n_out > self.flood * usually_found

    def _changed(self, evidence: Evidence, event: StageEvent, leaf: str, share: float) -> Finding:
        assert evidence.baseline is not None
        wanted = evidence.baseline.found_by(leaf)[:TOP]
        # An index that still answers as the baseline's does is sound: it is this user's items that have moved.
        known = evidence.scan.sources.get(event.name)
        is_sound = known is not None and known.shared_of_rest > SOUND
        # One list for all moves on with every fit: other items, where it has seen newer events, are news and no fault.
        until, usual = (one.fitted_until(event.name) for one in (evidence, evidence.baseline))
        newer = np.isfinite(usual) and until >= usual + LATE
        is_sound |= newer and "history" not in evidence.traits(event.name).requires
        by_itself = shared_of_source(evidence, event.name)
        return finding(
            "SOURCE_CHANGED",
            event.name,
            {"shared": share},
            items=evidence.ids(wanted[~np.isin(wanted, evidence.found_by(leaf))]),
            severity=Severity.NOTE if is_sound else Severity.CRITICAL,
            relative=False if by_itself < self.minimum else None,
            first=len(wanted),
        )


class IndexHealth:
    """Indexes that are not whole, not in order, or not finite, by the scan of the sources.

    Parameters
    ----------
    lost : float, default 0.12
        Largest share of its items that a source may have lost beside the baseline's. Two healthy sources fitted a week
        apart differ by up to 0.05, also where every fifth item comes or goes.
    shared : float, default 0.15
        Least share of the baseline's answers, in the self-test, that must be answers here.
    not_finite : float, default 0.01
        Largest share of vectors that may have values that are not finite, beyond the baseline's share.
    other_space : float, default 0.15
        Largest share of vectors that may be of another training than the rest. Of healthy sources fitted a week apart
        it is up to 0.02.
    """

    def __init__(
        self, lost: float = 0.12, shared: float = 0.15, not_finite: float = 0.01, other_space: float = 0.15
    ) -> None:
        self.lost, self.shared, self.not_finite = lost, shared, not_finite
        self.other_space = other_space

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        findings = []
        for name, scan in evidence.scan.sources.items():
            spoiled = self._spoiled_vectors(name, scan)
            if spoiled is not None:
                findings.append(spoiled)
            elif scan.distinct == 1 and scan.answered * scan.probes >= MANY_PROBES:
                figures = {"probes": int(scan.answered * scan.probes)}
                findings.append(finding("PERSONALIZATION_LOST.one_answer", name, figures))
            elif scan.answered > 0 and np.isfinite(scan.shared):
                findings += self._index(evidence, name, scan)
        return findings

    def _spoiled_vectors(self, name: str, scan: SourceScan) -> Finding | None:
        usual = {vectors.name: vectors for vectors in scan.usual_vectors}
        for vectors in scan.vectors:
            before = usual.get(vectors.name)
            if vectors.not_finite > self.not_finite + (0.0 if before is None else before.not_finite):
                figures = {"not_finite": vectors.not_finite, "array": vectors.name}
                return finding("EMBEDDING_NOT_FINITE", name, figures)
            if vectors.alike > ONE_WAY and (before is None or before.alike < SPREAD):
                return finding("EMBEDDING_COLLAPSED", name, {"alike": vectors.alike, "array": vectors.name})
            if vectors.other_space > self.other_space:
                return finding("VERSIONS_MIXED", name, {"share": vectors.other_space, "array": vectors.name})
        return None

    def _index(self, evidence: Evidence, name: str, scan: SourceScan) -> list[Finding]:
        if scan.lost > self.lost and scan.shared_of_rest > SOUND:
            row = "INDEX_TRUNCATED"
        elif scan.shared < self.shared:
            row = "INDEX_SHUFFLED"
        else:
            return []
        figures = {
            "probes": scan.probes,
            "shared": scan.shared,
            "lost": scan.lost,
            "vanished": scan.vanished,
            "appeared": scan.appeared,
            "answered": scan.answered,
            "baseline_answered": scan.usual_answered,
        }
        return [finding(row, name, figures, items=evidence.ids(scan.gone), gone=len(scan.gone))]


def _sources(evidence: Evidence) -> list[StageEvent]:
    """Return the events of the sources themselves, not that of their fusion nor of the fallback."""
    names = set(evidence.candidate_sources)
    return [
        event
        for event in evidence.events("source")
        if event.name in evidence.stages
        and event.name.rpartition(".")[2] in names
        and not event.name.startswith("fallback.")
    ]


def _shared(evidence: Evidence, event: StageEvent) -> float:
    """Return how many of the baseline's first 20 items of a source come first here too."""
    leaf = event.name.rpartition(".")[2]
    if evidence.baseline is None:
        return 1.0
    wanted = evidence.baseline.found_by(leaf)[:TOP]
    return n_shared(wanted, evidence.found_by(leaf)[:TOP]) / len(wanted) if len(wanted) else 1.0
