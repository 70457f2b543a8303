"""Checks of the candidates: whether the sources find the right items, and how old and whole their indexes are."""

from __future__ import annotations

import numpy as np

from recokit.debugger.captured import n_shared
from recokit.debugger.evidence import TOP, Evidence
from recokit.debugger.finding import Finding, Severity
from recokit.debugger.scan import SourceScan
from recokit.trace import StageEvent
from recokit.typing import IntArray

__all__ = ["CandidateRecall", "IndexHealth", "SourceAge", "SourceMix"]

#: Share of the baseline's answers in the self-test from which on the rest of an index is in order.
SOUND = 0.5


class CandidateRecall:
    """Items known to be good, among the candidates, and which source used to find them.

    Without a baseline, none among the candidates is a failure (R38). With one, what the baseline does not find either
    is hard to find, which is worth knowing and no fault of this pipeline's; and one item found by luck proves nothing.

    Parameters
    ----------
    certain : int, default 3
        Known-good items that the baseline must find for their absence to be a cause; fewer make a note.
    """

    def __init__(self, certain: int = 3) -> None:
        self.certain = certain

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        if evidence.retrieved is None or not len(evidence.retrieved):
            return [
                Finding(
                    "CANDIDATE_GENERATION_FAILURE",
                    Severity.CRITICAL,
                    "",
                    "no source found anything",
                    "Look at the sources: are they fitted, and do they know this kind of user?",
                    "candidates",
                    "data",
                    evidence={"by_source": evidence.candidate_sources},
                )
            ]
        good = evidence.known_good
        if good is None or not len(good) or n_shared(good, evidence.retrieved.item):
            return []
        baseline = evidence.baseline
        used_to = {} if baseline is None else _finders(baseline, good)
        n_usual = 0 if baseline is None else n_shared(good, baseline.retrieved_items)
        hard = baseline is not None and n_usual < self.certain
        absent = int(np.count_nonzero(good == 0))
        return [
            Finding(
                "CANDIDATE_GENERATION_FAILURE",
                Severity.NOTE if hard else Severity.CRITICAL,
                max(used_to, key=lambda name: used_to[name]) if n_usual else "",
                f"none of {len(good)} items known to be good is among {len(evidence.retrieved)} candidates"
                + (f"; the catalogue lacks {absent} of them" if absent else "")
                + (f"; the baseline finds {n_usual or 'none either'}" if baseline is not None else ""),
                "Fit the pipeline on a dataset that has these items."
                if absent == len(good)
                else "No ranker can mend this: refresh or add sources, or raise their limits.",
                "candidates",
                "data",
                evidence={
                    "known_good": len(good),
                    "not_in_catalogue": absent,
                    "by_source": evidence.candidate_sources,
                    "in_baseline_by_source": used_to,
                },
                items=evidence.ids(good[good > 0]),
                relative=baseline is not None,
            )
        ]


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
        """Return what there is to say, nothing if all is well."""
        found = []
        for event in _sources(evidence):
            age = evidence.now - getattr(evidence.stages[event.name], "fitted_until_", np.inf)
            usual = 0.0
            if evidence.baseline is not None and event.name in evidence.baseline.stages:
                known = getattr(evidence.baseline.stages[event.name], "fitted_until_", np.inf)
                usual = evidence.now - known if np.isfinite(known) else 0.0
            # Unless the baseline's is as old, apart from the one day that a nightly fit may be late.
            if np.isfinite(age) and age > self.max_age and age > usual + 86_400.0:
                found.append(
                    Finding(
                        "STALE_INDEX",
                        Severity.CRITICAL if _shared(evidence, event) < 0.5 else Severity.WARNING,
                        event.name,
                        f"{event.name} last saw events {age / 86_400:.1f} days before the request",
                        "Fit it on recent events and swap it in: pipeline.replace(name, fitted_source).",
                        "candidates",
                        "data",
                        evidence={
                            "age_days": round(age / 86_400, 1),
                            "max_age_days": self.max_age / 86_400,
                            "baseline_age_days": round(usual / 86_400, 1),
                        },
                    )
                )
        return found


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
        """Return what there is to say, nothing if all is well."""
        found: list[Finding] = []
        usual = {} if evidence.baseline is None else evidence.baseline.candidate_sources
        for event in _sources(evidence):
            leaf = event.name.rpartition(".")[2]
            count, before = evidence.candidate_sources.get(leaf, 0), usual.get(leaf, 0)
            if evidence.failed_here(event) or event.skipped or not event.n_rows:
                continue
            if not count:
                found += [self._empty(event.name, before)]
            elif evidence.baseline is not None and self._floods(evidence, event, leaf, usual):
                found += [self._flooding(event.name, count, before, usual)]
            elif before:
                share = _shared(evidence, event)
                if share < self.minimum:
                    found += [self._changed(evidence, event, leaf, share)]
        return found

    def _floods(self, evidence: Evidence, event: StageEvent, leaf: str, usual: dict[str, int]) -> bool:
        assert evidence.baseline is not None
        given = sum(one.n_out for one in evidence.baseline.trace.events if one.name == event.name)
        now = evidence.candidate_sources
        others = sum(n for name, n in usual.items() if name != leaf)
        left = sum(n for name, n in now.items() if name != leaf and name in usual)
        grown = now[leaf] >= usual.get(leaf, 0) + max(TOP / 2, 0.1 * usual.get(leaf, 0))
        return grown and event.n_out > self.flood * given and others - left >= 0.03 * max(others, 1)

    def _empty(self, name: str, before: int) -> Finding:
        return Finding(
            "SOURCE_EMPTY",
            Severity.CRITICAL if before else Severity.NOTE,
            name,
            f"{name} adds no candidate" + (f", in the baseline {before}" if before else ""),
            f"Check what {name} was fitted on and whether its index has items.",
            "candidates",
            "data",
            evidence={"candidates": 0, "baseline": before},
            relative=bool(before),
        )

    def _flooding(self, name: str, count: int, before: int, usual: dict[str, int]) -> Finding:
        return Finding(
            "SOURCE_FLOODS",
            Severity.CRITICAL,
            name,
            f"{name} adds {count} candidates, in the baseline {before}: it takes the places of other sources",
            f"Check what {name} now finds, and give it a limit of its own: Step({name.rpartition('.')[2]}, limit=...).",
            "candidates",
            "data",
            evidence={"candidates": count, "baseline": before, "baseline_by_source": usual},
            relative=True,
        )

    def _changed(self, evidence: Evidence, event: StageEvent, leaf: str, share: float) -> Finding:
        assert evidence.baseline is not None
        wanted = evidence.baseline.found_by(leaf)[:TOP]
        # An index that still answers as the baseline's does is sound: it is this user's items that have moved.
        known = evidence.scan.sources.get(event.name)
        sound = known is not None and known.shared_of_rest > SOUND
        return Finding(
            "SOURCE_CHANGED",
            Severity.NOTE if sound else Severity.CRITICAL,
            event.name,
            f"{event.name} puts {share:.0%} of the baseline's first {len(wanted)} items first",
            f"Check the index of {event.name}: its version, its vectors, and which item each belongs to; "
            "debugger.scan() tells more.",
            "candidates",
            "data",
            evidence={"shared": share},
            items=evidence.ids(wanted[~np.isin(wanted, evidence.found_by(leaf))]),
            relative=True,
        )


class IndexHealth:
    """What the scan of the sources found: indexes that are not whole, not in order, or not finite.

    Parameters
    ----------
    lost : float, default 0.12
        Largest share of its items that a source may have lost beside the baseline's. Two healthy sources fitted a week
        apart differ by up to 0.05, also where every fifth item comes or goes.
    shared : float, default 0.15
        Least share of the baseline's answers, in the self-test, that must be answers here.
    not_finite : float, default 0.01
        Largest share of vectors that may have values that are not finite, beyond the baseline's share.
    """

    def __init__(self, lost: float = 0.12, shared: float = 0.15, not_finite: float = 0.01) -> None:
        self.lost, self.shared, self.not_finite = lost, shared, not_finite

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return what there is to say, nothing if all is well."""
        found = []
        for name, scan in evidence.scan.sources.items():
            spoiled = self._spoiled_vectors(name, scan)
            if spoiled is not None:
                found.append(spoiled)
            elif scan.answered > 0 and np.isfinite(scan.shared):
                found += self._index(evidence, name, scan)
        return found

    def _spoiled_vectors(self, name: str, scan: SourceScan) -> Finding | None:
        usual = {vectors.name: vectors for vectors in scan.usual_vectors}
        for vectors in scan.vectors:
            before = usual.get(vectors.name)
            if vectors.not_finite > self.not_finite + (0.0 if before is None else before.not_finite):
                return Finding(
                    "EMBEDDING_NOT_FINITE",
                    Severity.CRITICAL,
                    name,
                    f"{vectors.not_finite:.0%} of the vectors in {name}.{vectors.name} have values that are not finite",
                    "Load the last good vectors, and check the job that wrote these.",
                    "candidates",
                    "model",
                    evidence={"not_finite": vectors.not_finite, "array": vectors.name},
                )
            if vectors.alike > 0.98 and (before is None or before.alike < 0.9):
                return Finding(
                    "EMBEDDING_COLLAPSED",
                    Severity.CRITICAL,
                    name,
                    f"the vectors in {name}.{vectors.name} all point one way (mean direction {vectors.alike:.3f})",
                    "Train again: a collapsed model cannot tell items apart.",
                    "candidates",
                    "model",
                    evidence={"alike": vectors.alike, "array": vectors.name},
                )
        return None

    def _index(self, evidence: Evidence, name: str, scan: SourceScan) -> list[Finding]:
        figures = {
            "probes": scan.probes,
            "shared": scan.shared,
            "lost": scan.lost,
            "vanished": scan.vanished,
            "appeared": scan.appeared,
            "answered": scan.answered,
            "baseline_answered": scan.usual_answered,
        }
        if scan.lost > self.lost and scan.shared_of_rest > SOUND:
            return [
                Finding(
                    "INDEX_TRUNCATED",
                    Severity.CRITICAL,
                    name,
                    f"{name} has lost {scan.lost:.0%} of its items: {len(scan.gone)} that the baseline's often finds "
                    "are never found here",
                    f"Build the index of {name} again and compare its number of items with the catalogue's.",
                    "candidates",
                    "data",
                    evidence=figures,
                    items=evidence.ids(scan.gone),
                    relative=True,
                )
            ]
        if scan.shared < self.shared:
            return [
                Finding(
                    "INDEX_SHUFFLED",
                    Severity.CRITICAL,
                    name,
                    f"{name} gives {scan.shared:.0%} of the answers that the baseline's gives to {scan.probes} probes",
                    f"Check which item each entry of the index of {name} belongs to: its id map and its version.",
                    "candidates",
                    "data",
                    evidence=figures,
                    items=evidence.ids(scan.gone),
                    relative=True,
                )
            ]
        return []


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
