"""Checks of the hydrated requests: whether the lists that every later stage reads are this user's, whole and of now."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from recokit.data import DAY
from recokit.debugger.checks.causes import finding
from recokit.debugger.evidence import Evidence
from recokit.debugger.finding import Finding, Severity
from recokit.debugger.user_log import Listed
from recokit.protocols import Role, traits_of

HOUR = 3_600.0
#: Share of the items that must be the same for a list to be this user's, and of the events for it to be whole.
SAME_USER, WHOLE = 0.5, 0.95
#: How much two times of one event may differ, and how alike the differences must be to be one shift.
SAME_TIME, ONE_SHIFT = 1.0, 60.0
#: Share of a list's events that stand in it again, from which on it has been written twice.
TWICE = 0.45
#: Age of an event that no log has: its times are in another unit.
ABSURD = 30 * 365 * DAY
#: Events that a list must have for its own shape to say something.
MIN_EVENTS = 6


class Hydration:
    """Hydrated lists beside the baseline's of the same user and time, else beside the log, else by themselves.

    Looked at before any source is accused, as every source answers to them.
    """

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        found: dict[str, Finding] = {}
        for name in evidence.requests.ragged:
            given = evidence.requests.from_caller.get(name)
            stage = _hydrator_of(evidence, name)
            if not stage or stage in found or (given is not None and given.all()):
                continue
            for one in self._of_list(evidence, name, stage):
                found[stage] = one
                break
        return list(found.values())

    def _of_list(self, evidence: Evidence, name: str, stage: str) -> Iterator[Finding]:
        mine = _listed(evidence, name)
        usual = evidence.baseline
        if usual is not None and name in usual.requests.ragged:
            yield from _compared(evidence, name, stage, *_as_far_as_both_know(evidence, name, stage, mine))
        else:
            yield from _by_itself(evidence, name, stage, mine)
            if evidence.log is not None and name == "history":
                known = evidence.log.before(evidence.trace.requests, evidence.row)
                yield from _against_log(evidence, name, stage, mine, known)


def _listed(evidence: Evidence, name: str) -> Listed:
    """Return a list of the user's request, in the codes of the pipeline looked at."""
    lists = evidence.requests.lists(name)
    items = lists.values if evidence.codes is None else evidence.codes[lists.values]
    times = lists.columns.get("timestamp")
    return Listed(items, None if times is None else np.asarray(times, np.float64))


def _hydrator_of(evidence: Evidence, name: str) -> str:
    return next(
        (
            str(node.name)
            for node in evidence.captured.nodes
            if node.role is Role.HYDRATOR and name in evidence.traits(node.name).provides
        ),
        "",
    )


def _as_far_as_both_know(evidence: Evidence, name: str, stage: str, mine: Listed) -> tuple[Listed, Listed]:
    """Return both lists up to the time until which both hydrators have seen events, and from where both begin."""
    assert evidence.baseline is not None
    theirs = _listed(evidence.baseline, name)
    if mine.times is None or theirs.times is None:
        return mine, theirs
    stages = (evidence.stages.get(stage), evidence.baseline.stages.get(stage))
    here, there = (traits_of(one).fitted_until for one in stages)
    if np.isfinite(there) and there < min(here, evidence.now):
        mine, theirs = mine.where(mine.times < there), theirs.where(theirs.times < there)
    if len(mine) >= len(theirs) and len(mine) and mine.times is not None and theirs.times is not None:
        theirs = theirs.where(theirs.times >= mine.times.min())  # as many of the newest as either keeps
    return mine, theirs


def _compared(evidence: Evidence, name: str, stage: str, mine: Listed, usual: Listed) -> Iterator[Finding]:
    """Give what is wrong with a list beside the one that it should be."""
    same_items = np.array_equal(mine.items, usual.items)
    if same_items and (mine.times is None or usual.times is None or np.array_equal(mine.times, usual.times)):
        return
    figures = {"list": name, "events": len(mine), "usual": len(usual)}
    wanted = evidence.ids(usual.items[::-1])
    if not len(mine):
        yield finding("OWNED_LOST" if name == "owned" else "HISTORY_EMPTY", stage, figures, items=wanted)
        return
    absurd = list(_absurd(evidence, stage, mine, figures))
    if absurd:
        yield from absurd
        return
    shift = _shift(mine, usual)
    if shift:
        yield finding("TIME_SHIFTED", stage, {**figures, "hours": shift / HOUR})
        return
    own = set(usual.events)
    shared = min(
        float(np.isin(mine.items, usual.items).mean()), sum(event in own for event in mine.events) / len(mine)
    )
    if shared < SAME_USER:
        items = evidence.ids(mine.items[::-1])
        code = "SESSION_OF_ANOTHER" if name == "session" else "HISTORY_OF_ANOTHER"
        yield finding(code, stage, {**figures, "shared": shared}, items=items)
        return
    yield from _lacking(evidence, stage, mine, usual, figures)


def _lacking(
    evidence: Evidence, stage: str, mine: Listed, usual: Listed, figures: dict[str, object]
) -> Iterator[Finding]:
    """Give which events of the right list are missing, or there again."""
    wanted, there = usual.events, set(mine.events)
    kept = [event in there for event in wanted]
    items = evidence.ids(usual.items[~np.array(kept, np.bool_)][::-1])
    if len(mine) > len(usual) and len(there) <= len(set(wanted)):
        yield finding("HISTORY_DUPLICATED", stage, figures)
    elif not wanted or sum(kept) >= WHOLE * len(wanted):
        if len(mine) == len(usual) and len(mine) > 1 and not np.array_equal(mine.items, usual.items):
            yield finding("HISTORY_REORDERED", stage, figures)
    elif kept[-1]:
        yield finding("HISTORY_TRUNCATED", stage, figures, items=items, kept=sum(kept))
    else:
        missing = len(kept) - 1 - max((place for place, here in enumerate(kept) if here), default=-1)
        yield finding("HISTORY_LATE", stage, {**figures, "newest_missing": missing}, items=items)


def _shift(mine: Listed, usual: Listed) -> float:
    """Return by how many seconds all times of the same events differ, 0 where they do not, or not alike."""
    if mine.times is None or usual.times is None or not len(usual):
        return 0.0
    # The same events stand at the end, or at the beginning, of both.
    n = min(len(mine), len(usual))
    for here, there in ((slice(0, n), slice(0, n)), (slice(-n, None), slice(-n, None))):
        if np.array_equal(mine.items[here], usual.items[there]):
            moved = mine.times[here] - usual.times[there]
            if abs(np.median(moved)) > SAME_TIME and np.ptp(moved) <= ONE_SHIFT + 1e-3 * abs(
                np.median(moved)
            ):
                return float(np.median(moved))
    return 0.0


def _absurd(evidence: Evidence, stage: str, mine: Listed, figures: dict[str, object]) -> Iterator[Finding]:
    """Give times that no event can have: most of them after the request, or a lifetime before it."""
    if mine.times is not None and len(mine):
        age = float(np.median(evidence.now - mine.times))
        if age > ABSURD or age < -SAME_TIME:
            yield finding("TIME_UNIT", stage, {**figures, "days": age / DAY})


def _by_itself(evidence: Evidence, name: str, stage: str, mine: Listed) -> Iterator[Finding]:
    """Give what a list itself shows to be wrong."""
    figures: dict[str, object] = {"list": name, "events": len(mine)}
    if mine.times is not None and len(mine):
        absurd = list(_absurd(evidence, stage, mine, figures))
        yield from absurd
        if not absurd and len(mine) > 1 and (np.diff(mine.times) < 0).any():
            yield finding("HISTORY_REORDERED", stage, figures)
    if len(mine) >= MIN_EVENTS and mine.times is not None:
        again = 1.0 - len(set(mine.events)) / len(mine)
        if again >= TWICE:
            yield finding("HISTORY_DUPLICATED", stage, figures, severity=Severity.WARNING)


def _against_log(evidence: Evidence, name: str, stage: str, mine: Listed, known: Listed) -> Iterator[Finding]:
    """Give what is wrong with a list beside the user's events in the log, of which it may hold some types only."""
    figures = {"list": name, "events": len(mine), "usual": len(known)}
    if not len(mine):
        if len(known) >= MIN_EVENTS:
            yield finding("HISTORY_EMPTY", stage, figures, items=evidence.ids(known.items[::-1]))
        return
    shared = float(np.isin(mine.items, known.items).mean())
    if shared < SAME_USER:
        yield finding(
            "HISTORY_OF_ANOTHER", stage, {**figures, "shared": shared}, items=evidence.ids(mine.items[::-1])
        )
        return
    # Events of the kinds that the list holds: those of its own items tell its times.
    of_items = known.where(np.isin(known.items, mine.items))
    shift = _shift(mine, of_items)
    if shift:
        yield finding("TIME_SHIFTED", stage, {**figures, "hours": shift / HOUR})
    elif mine.times is not None and known.times is not None:
        newer = int(np.count_nonzero(known.times > mine.times.max() + SAME_TIME))
        if newer >= MIN_EVENTS and newer > len(mine):
            items = evidence.ids(known.items[known.times > mine.times.max()][::-1])
            yield finding("HISTORY_LATE", stage, {**figures, "newest_missing": newer}, items=items)
