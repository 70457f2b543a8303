"""Items about the quality of the lists, overall and of parts of the users and the catalogue."""

from __future__ import annotations

import numpy as np

from recokit.data.validation.report import Check
from recokit.evaluation import Condition, Verdict
from recokit.evaluation.report import ALL
from recokit.preflight.context import QUALITY, Item, K, LaunchContext
from recokit.training import detect_leakage

#: Items with fewer events are new.
_NEW = 5
#: A catalogue of fewer lists' length is shown whole, whatever the pipeline.
_LISTS = 5


def against_baseline(launch: LaunchContext) -> Check:
    """Check that lists are no worse than the baseline's on a later window of time."""
    item = Item(
        "quality.baseline",
        f"{QUALITY} on later events, not below the baseline's by more than {launch.limits.margin:.0%}",
    )
    if launch.test is None:
        return item.unchecked("no test part was given", "train, test = dataset.split_at(...)")
    leak = detect_leakage(launch.train, launch.test)["leak.time_overlap"]
    if leak.status == "fail":
        return item.check("fail", leak.message, "hold out a window of later time")
    means = {
        name: {
            score.metric: score.mean
            for evaluations in (launch.quality, launch.depth)
            for score in evaluations[name].scores
            if score.segment == ALL
        }
        for name in launch.subjects
    }
    if launch.baseline is None:
        score = launch.quality["pipeline"][QUALITY]
        message = f"{QUALITY} {score} without a baseline to compare with"
        return item.unchecked(message, "baseline=what serves now", evidence=means)
    overall = _overall(launch)
    if overall.verdict is Verdict.FAIL:
        return item.check("fail", overall.reason, "keep the baseline", evidence=means)
    if overall.verdict is Verdict.PASS:
        return item.check("pass", overall.reason, evidence=means)
    return item.check("warn", overall.reason, "more test users: these cannot tell", evidence=means)


def segments(launch: LaunchContext) -> Check:
    """Check that no segment of users is worse off."""
    limits = launch.limits
    item = Item(
        "quality.segments",
        f"no segment that surely loses more than {limits.segment_margin:.0%} of its {QUALITY}",
    )
    if launch.test is None or launch.baseline is None:
        return item.unchecked("no test part, or no baseline to compare with", "test=, baseline=")
    conditions = [one for one in launch.gate.conditions if one.kind == "segment"]
    known = [one for one in conditions if one.verdict is not Verdict.NOT_JUDGED]
    changes = {one.what: {"change": one.value, "low": one.low, "high": one.high} for one in conditions}
    if not known:
        why = f"no segment has {limits.segment_users:,} users"
        return item.unchecked(why, "segment_users=", evidence=changes)
    worse = [one for one in known if one.verdict is Verdict.FAIL]
    if not worse:
        message = f"{len(known)} of {len(conditions)} segments judged, none clearly worse"
        return item.check("pass", message, evidence=changes)
    message = "; ".join(f"{one.what}: {one.reason}" for one in worse)
    # A loss of everybody is one finding, not one for each segment.
    if _overall(launch).verdict is Verdict.FAIL:
        return item.check("warn", message, "see quality.baseline: the loss is everybody's", evidence=changes)
    return item.check("fail", message, "look at these users with the debugger", evidence=changes)


def _overall(launch: LaunchContext) -> Condition:
    return next(one for one in launch.gate.conditions if one.kind == "quality")


def catalogue(launch: LaunchContext) -> Check:
    """Check that lists differ and show more than the head of the catalogue."""
    item = Item(
        "quality.catalogue",
        "lists that differ between users and reach into the catalogue",
        hint="personal sources, exploration, or a diversity objective",
    )
    shown = np.bincount(launch.item, minlength=launch.train.n_items + 1)[1:]
    if len(launch.served) < K or not shown.sum() or launch.train.n_items < _LISTS * K:
        return item.unchecked("too few lists, or too small a catalogue, to tell")
    head = float(np.sort(shown)[::-1][:K].sum() / shown.sum())
    coverage = float(np.count_nonzero(shown) / launch.train.n_items)
    limits = launch.limits
    return item.graded(
        head,
        f"{coverage:.1%} of the catalogue is shown; the {K} most shown items take {head:.0%} of all places",
        warn=limits.warn_head,
        fail=limits.fail_head,
        evidence={"coverage": coverage, "head": head},
    )


def cold_start(launch: LaunchContext) -> Check:
    """Check that users without history get lists, and that new items are shown."""
    item = Item(
        "quality.cold_start", "full lists for users without history, and new items among the candidates"
    )
    lists = launch.pipeline.recommend([None] * 3, k=K, now=launch.now, seed=1)
    lengths = np.diff(lists.offsets)
    counts = np.bincount(launch.train.interactions.item, minlength=launch.train.n_items + 1)[1:]
    new = np.flatnonzero(counts < _NEW) + 1
    reached = float(np.isin(new, launch.item).mean()) if len(new) else 1.0
    evidence = {"cold_list_length": float(lengths.mean()), "new_items": len(new), "new_items_shown": reached}
    message = (
        f"a user without history gets {lengths.mean():.3g} of {K} items; "
        f"{reached:.0%} of {len(new)} new items are shown"
    )
    if not lengths.all():
        return item.check("fail", message, "candidates.Popular or ColdStart as a source", evidence=evidence)
    if lengths.min() < K or not reached:
        hint = "candidates.Content or Explore finds items without events"
        return item.check("warn", message, hint, evidence=evidence)
    return item.check("pass", message, evidence=evidence)
