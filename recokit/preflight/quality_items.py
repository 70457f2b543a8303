"""Items about the quality of the lists, overall and of parts of the users and the catalogue."""

from __future__ import annotations

import numpy as np

from recokit.data.validation.report import Check
from recokit.evaluation import Condition, Verdict
from recokit.evaluation.report import ALL
from recokit.preflight.launch import QUALITY, K, Launch, judged, unchecked
from recokit.training import detect_leakage

__all__ = ["against_baseline", "catalogue", "cold_start", "segments"]


def against_baseline(launch: Launch) -> Check:
    """R7: on a held-out time window, no worse than the baseline."""
    name = "quality.baseline"
    expected = f"{QUALITY} on later events, not below the baseline's by more than {launch.limits.margin:.0%}"
    if launch.test is None:
        return unchecked(name, "no test part was given", expected, "train, test = dataset.split_at(...)")
    leak = detect_leakage(launch.train, launch.test)["leak.time_overlap"]
    if leak.status == "fail":
        return Check(name, "fail", leak.message, expected, "hold out a window of later time")
    evidence = {
        who: {
            s.metric: s.mean
            for e in (launch.quality, launch.depth)
            for s in e[who].scores
            if s.segment == ALL
        }
        for who in launch.subjects
    }
    if launch.baseline is None:
        score = launch.quality["pipeline"][QUALITY]
        message = f"{QUALITY} {score} without a baseline to compare with"
        return Check(name, "not checked", message, expected, "baseline=what serves now", evidence=evidence)
    found = _overall(launch)
    if found.verdict is Verdict.FAIL:
        return Check(name, "fail", found.reason, expected, "keep the baseline", evidence=evidence)
    known = found.verdict is Verdict.PASS
    hint = "" if known else "more test users: these cannot tell"
    return Check(name, "pass" if known else "warn", found.reason, expected, hint, evidence=evidence)


def segments(launch: Launch) -> Check:
    """R8: no segment of users is worse off."""
    name = "quality.segments"
    expected = f"no segment that surely loses more than {launch.limits.segment_margin:.0%} of its {QUALITY}"
    if launch.test is None or launch.baseline is None:
        return unchecked(name, "no test part, or no baseline to compare with", expected, "test=, baseline=")
    found = [one for one in launch.gate.conditions if one.kind == "segment"]
    known = [one for one in found if one.verdict is not Verdict.NOT_JUDGED]
    evidence = {one.what: {"change": one.value, "low": one.low, "high": one.high} for one in found}
    if not known:
        why = f"no segment has {launch.limits.segment_users:,} users"
        return Check(name, "not checked", why, expected, "segment_users=", evidence=evidence)
    worse = [one for one in known if one.verdict is Verdict.FAIL]
    if not worse:
        message = f"{len(known)} of {len(found)} segments judged, none clearly worse"
        return Check(name, "pass", message, expected, evidence=evidence)
    # A loss of everybody is one finding, not one for each segment.
    overall = _overall(launch).verdict is Verdict.FAIL
    message = "; ".join(f"{one.what}: {one.reason}" for one in worse)
    hint = (
        "see quality.baseline: the loss is everybody's"
        if overall
        else "look at these users with the debugger"
    )
    return Check(name, "warn" if overall else "fail", message, expected, hint, evidence=evidence)


def _overall(launch: Launch) -> Condition:
    return next(one for one in launch.gate.conditions if one.kind == "quality")


def catalogue(launch: Launch) -> Check:
    """R20: lists show more than the head of the catalogue, and differ."""
    name, expected = "quality.catalogue", "lists that differ between users and reach into the catalogue"
    shown = np.bincount(launch.item, minlength=launch.train.n_items + 1)[1:]
    if len(launch.served) < K or not shown.sum() or launch.train.n_items < 5 * K:
        return unchecked(name, "too few lists, or too small a catalogue, to tell", expected)
    head = float(np.sort(shown)[::-1][:K].sum() / shown.sum())
    covered = float(np.count_nonzero(shown) / launch.train.n_items)
    message = (
        f"{covered:.1%} of the catalogue is shown; the {K} most shown items take {head:.0%} of all places"
    )
    hint = "personal sources, exploration, or a diversity objective"
    limits = launch.limits
    return judged(
        name, head, limits.warn_head, limits.fail_head, message, expected, hint, coverage=covered, head=head
    )


def cold_start(launch: Launch) -> Check:
    """R22: users without history get lists; new items can be found."""
    name, expected = (
        "quality.cold_start",
        "full lists for users without history, and new items among the candidates",
    )
    cold = launch.pipeline.recommend([None] * 3, k=K, now=launch.now, seed=1)
    lengths = np.diff(cold.offsets)
    counts = np.bincount(launch.train.interactions.item, minlength=launch.train.n_items + 1)[1:]
    new = np.flatnonzero(counts < 5) + 1
    reached = float(np.isin(new, launch.item).mean()) if len(new) else 1.0
    evidence = {"cold_list_length": float(lengths.mean()), "new_items": len(new), "new_items_shown": reached}
    message = f"a user without history gets {lengths.mean():.3g} of {K} items"
    message += f"; {reached:.0%} of {len(new)} new items are shown"
    if not lengths.all():
        return Check(
            name, "fail", message, expected, "candidates.Popular or ColdStart as a source", evidence=evidence
        )
    if lengths.min() < K or not reached:
        hint = "candidates.Content or Explore finds items without events"
        return Check(name, "warn", message, expected, hint, evidence=evidence)
    return Check(name, "pass", message, expected, evidence=evidence)
