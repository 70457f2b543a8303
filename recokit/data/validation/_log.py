"""Checks of the event log: repeats, unknown codes, amount."""

from __future__ import annotations

import numpy as np

from recokit.data.dataset import Dataset
from recokit.data.interactions import Interactions
from recokit.data.validation.limits import ValidationLimits
from recokit.data.validation.report import Check, Status
from recokit.errors import DataError
from recokit.typing import AnyArray


def above(value: float, warn: float, fail: float) -> Status:
    """Return the verdict on a share that is to be low."""
    return "fail" if value >= fail else "warn" if value >= warn else "pass"


def below(value: float, warn: float, fail: float) -> Status:
    """Return the verdict on a share that is to be high."""
    return "fail" if value < fail else "warn" if value < warn else "pass"


def repeated_ids(log: Interactions, event_ids: AnyArray | None, limits: ValidationLimits) -> Check:
    """Check for event ids that stand more than once; all but an id's first event count."""
    name, expected = "duplicates.event_id", "one event for each id"
    if event_ids is None:
        return Check(name, "not checked", "no event ids were given", expected, "pass event_ids=")
    ids = np.asarray(event_ids)
    if ids.shape != (len(log),):
        raise DataError(f"found event_ids of shape {ids.shape}; expected {(len(log),)}, one for each event")
    _, first = np.unique(ids, return_index=True)
    again = np.ones(len(ids), np.bool_)
    again[first] = False
    rows = np.flatnonzero(again)
    if not len(rows):
        return Check(name, "pass", f"{len(ids):,} events have {len(ids):,} ids", expected)
    share = len(rows) / len(ids)
    return Check(
        name,
        above(share, 0.0, limits.fail_duplicates),
        f"found {len(rows):,} events ({share:.2%}) of an id seen before",
        expected,
        "Dataset.without_repeats(event_ids=...) drops these rows: an event that was sent twice counts once",
        rows=rows,
        evidence={"duplicates": len(rows), "share": share},
    )


def retries(log: Interactions, window: float, limits: ValidationLimits) -> Check:
    """Check for the same user, item and event within seconds; all but the first of a run count."""
    name, expected = "duplicates.retries", f"less than {limits.warn_duplicates:.1%} of the events repeated"
    rows = np.flatnonzero(log.repeats(window))
    if not len(rows):
        return Check(name, "pass", f"no event repeats within {window:g} s", expected)
    share = len(rows) / len(log)
    status = above(share, limits.warn_duplicates, limits.fail_duplicates)
    counts = np.bincount(log.event[rows], minlength=len(log.event_names))
    kinds = {event: int(n) for event, n in zip(log.event_names, counts, strict=True) if n}
    shown = ", ".join(f"{n:,} {event}" for event, n in kinds.items())
    return Check(
        name,
        status,
        f"found {len(rows):,} events ({share:.2%}) that repeat an event of the same user, item and type "
        f"within {window:g} s: {shown}",
        expected,
        ""
        if status == "pass"
        else "Dataset.without_repeats() drops these rows: a retried request is one event; look at the client, too",
        rows=rows,
        evidence={"duplicates": len(rows), "share": share, "by_event": kinds, "window_s": window},
    )


def event_roles(dataset: Dataset) -> Check:
    """Say what each type of event weighs and is taken for; a log without a signal teaches nothing."""
    types = dataset.event_types
    evidence = {
        one.name: {"role": one.role, "weight": [one.lowest, one.highest], "n": one.n_events} for one in types
    }
    message = "; ".join(map(str, types)) or "the log has no events"
    good = not types or any(one.role == "signal" for one in types)
    hint = "" if good else "Dataset.from_frame(..., event_weights={...})"
    return Check(
        "events.types",
        "pass" if good else "fail",
        message,
        "some events of a weight above 0",
        hint,
        evidence=evidence,
    )


def unknown_codes(log: Interactions, limits: ValidationLimits) -> tuple[Check]:
    """Check for events whose user or item has no code."""
    bad = (log.user == 0) | (log.item == 0)
    share = float(bad.mean()) if len(bad) else 0.0
    status = above(share, limits.warn_unknown, limits.fail_unknown)
    users, items = int((log.user == 0).sum()), int((log.item == 0).sum())
    check = Check(
        "codes.unknown",
        status,
        f"found {users:,} events of an unknown user and {items:,} of an unknown item ({share:.2%})",
        f"less than {limits.warn_unknown:.1%}",
        "" if status == "pass" else "build the vocabularies from the same export as the log",
        rows=np.flatnonzero(bad),
        evidence={"users": users, "items": items, "share": share},
    )
    return (check,)


def sufficiency(dataset: Dataset, limits: ValidationLimits) -> tuple[Check, str]:
    """Check the amount of data, and name the approach that it is enough for."""
    log = dataset.interactions
    n_users, n_items = (len(np.unique(codes[codes > 0])) for codes in (log.user, log.item))
    per_user, per_item = len(log) / max(n_users, 1), len(log) / max(n_items, 1)
    wanted = {
        "interactions": (len(log), limits.interactions),
        "users": (n_users, limits.users),
        "items": (n_items, limits.items),
        "interactions per active user": (per_user, limits.user_interactions),
        "interactions per item": (per_item, limits.item_interactions),
    }
    short = {name: pair for name, pair in wanted.items() if pair[0] < pair[1]}
    approach = _approach(len(log), short, per_user < limits.user_interactions_good)
    thin = limits.user_interactions <= per_user < limits.user_interactions_good
    found = "; ".join(f"{have:,.4g} {name}, want {want:,g}" for name, (have, want) in short.items())
    if thin:
        want = f"{limits.user_interactions_good:g}"
        found += f"{'; ' if found else ''}{per_user:.3g} interactions per active user, good from {want}"
    evidence = {**{name: float(have) for name, (have, _) in wanted.items()}, "approach": approach}
    expected = (
        f"{limits.interactions:,} interactions of {limits.users:,} users and {limits.items:,} items, "
        f"{limits.user_interactions:g} to {limits.user_interactions_good:g} per active user, "
        f"{limits.item_interactions:g} per item"
    )
    if not found:
        message = (
            f"{len(log):,} interactions of {n_users:,} users and {n_items:,} items: enough for {approach}"
        )
        return Check("sufficiency", "pass", message, expected, evidence=evidence), approach
    hint = f"use {approach}"
    return Check("sufficiency", "warn", found, expected, hint, evidence=evidence), approach


def _approach(n: int, short: dict[str, tuple[float, float]], thin: bool) -> str:
    if n == 0:
        return "content only"
    if {"interactions", "users", "items", "interactions per active user"} & short.keys():
        return "popularity and content"
    if short or thin:
        return "item-to-item collaborative filtering, with popularity and content for the rest"
    return "collaborative filtering and learned rankers"
