"""Items about the quality of the lists, overall and of parts of the users and the catalogue."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit.data import DAY, Dataset
from recokit.data.validation.report import Check
from recokit.evaluation import Condition, Verdict
from recokit.evaluation.report import ALL
from recokit.metrics import NDCG
from recokit.preflight.context import QUALITY, Item, K, LaunchContext
from recokit.training import detect_leakage

#: Items with fewer events are new.
_NEW = 5
#: A catalogue of fewer lists' length is shown whole, whatever the pipeline.
_LISTS = 5
#: Test users that must have something in the lists, so that lists for strangers can be judged.
_STRANGERS = 30


def against_baseline(launch: LaunchContext) -> Check:
    """Check that lists are no worse than the baseline's on a later window of time."""
    item = Item(
        "quality.baseline",
        f"{QUALITY}, Recall@50 and MAP@10 on later events, not below the baseline's by more than "
        f"{launch.limits.margin:.0%}",
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
    lost = [one for one in overall if one.verdict is Verdict.FAIL]
    unsure = [one for one in overall if one.verdict is not Verdict.PASS]
    named = lost or unsure or overall
    message = "; ".join(f"{one.what}: {one.reason}" if len(overall) > 1 else one.reason for one in named)
    if lost:
        return item.check("fail", message, "keep the baseline", evidence=means)
    if unsure:
        return item.check("warn", message, "more test users: these cannot tell", evidence=means)
    return item.check("pass", message, evidence=means)


def segments(launch: LaunchContext) -> Check:
    """Check that no segment of users is worse off."""
    limits = launch.limits
    item = Item(
        "quality.segments",
        f"no segment that surely loses more than {limits.segment_margin:.0%} of its {QUALITY}, Recall@50 or MAP@10",
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
    if any(one.verdict is Verdict.FAIL for one in _overall(launch)):
        return item.check("warn", message, "see quality.baseline: the loss is everybody's", evidence=changes)
    return item.check("fail", message, "look at these users with the debugger", evidence=changes)


def _overall(launch: LaunchContext) -> list[Condition]:
    return [one for one in launch.gate.conditions if one.kind == "quality"]


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
    limits = launch.limits
    item = Item(
        "quality.cold_start",
        f"full lists for users without history, of at least {limits.warn_cold:.0%} of the {QUALITY} of popular items, "
        "and new items among the candidates",
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
    ratio, judged = (None, 0) if launch.test is None else _against_popular(launch, launch.test, lists.ids(0))
    evidence |= {"judged_users": judged} | ({} if ratio is None else {"of_popular": ratio})
    if ratio is not None:
        message += f"; on {judged:,} test users that list has {ratio:.0%} of the {QUALITY} of popular items"
    if not lengths.all():
        return item.check("fail", message, "candidates.Popular or ColdStart as a source", evidence=evidence)
    if ratio is not None and ratio < limits.fail_cold:
        return item.check("fail", message, "strangers get a poor list: candidates.Popular", evidence=evidence)
    if lengths.min() < K or not reached or (ratio is not None and ratio < limits.warn_cold):
        hint = "candidates.Content or Explore finds items without events"
        return item.check("warn", message, hint, evidence=evidence)
    if ratio is None:
        why = f"{message}; its quality is not known: {judged:,} test users have something that popular items hold"
        return item.unchecked(why, "test=, a later part", evidence=evidence)
    return item.check("pass", message, evidence=evidence)


def _against_popular(launch: LaunchContext, later: Dataset, shown: list[Any]) -> tuple[float | None, int]:
    """Return the quality of one list for everybody over that of the popular items, and the users it was judged on.

    On users of the test part who are new in it, where these are enough; else on all of them. None where too few have
    anything in either list.
    """
    log, test = launch.train.interactions, later.interactions
    known = np.unique(launch.train.user_ids.decode(log.user[log.user > 0]))
    truths: dict[Any, set[Any]] = {}
    good = test.counted & (test.user > 0)
    users = later.user_ids.decode(test.user[good])
    items = later.item_ids.decode(test.item[good])
    for user, bought in zip(users.tolist(), items.tolist(), strict=True):
        truths.setdefault(user, set()).add(bought)
    strangers = {user: truth for user, truth in truths.items() if user not in set(known.tolist())}
    judged = strangers if len(strangers) >= _STRANGERS else truths
    popular = _popular(launch)
    metric = NDCG(K)
    ours, theirs = (metric([ids] * len(judged), list(judged.values())) for ids in (shown, popular))
    held = sum(bool(truth & {*shown, *popular}) for truth in judged.values())
    if held < _STRANGERS or not theirs > 0:
        return None, held
    return float(ours / theirs), len(judged)


def _popular(launch: LaunchContext) -> list[Any]:
    """Return the most popular items that may be shown, of the last four weeks of train."""
    log, n_items = launch.train.interactions, launch.train.n_items
    late = log.timestamp > launch.train.until - 28 * DAY
    weight = np.bincount(log.item[late], weights=np.maximum(log.weight[late], 0.0), minlength=n_items + 1)
    weight[0] = 0.0
    stock, blocked = (launch.columns.get(name) for name in ("in_stock", "blocked"))
    if stock is not None:
        weight[~(stock > 0)] = 0.0
    if blocked is not None:
        weight[blocked > 0] = 0.0
    best = np.argsort(-weight, kind="stable")[:K]
    return list(launch.train.item_ids.decode(best[weight[best] > 0]).tolist())
