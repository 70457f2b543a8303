"""Checks of labels against impressions: what joins, and in which order."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit.data.event_types import codes_of, kind_of
from recokit.data.interactions import Interactions
from recokit.data.validation._log import above, below
from recokit.data.validation.limits import ValidationLimits
from recokit.data.validation.report import Check
from recokit.errors import DataError
from recokit.typing import BoolArray, FloatArray, IntArray

#: Event types that follow an impression. A click always does; a conversion may come without one.
LABELS = ("click", "add_to_cart", "purchase")
IMPRESSIONS = ("impression", "view", "exposure")
_ALWAYS_SHOWN = ("click",)


@dataclass(frozen=True, eq=False)
class Shown:
    """Impressions: user and item codes, time, and ids (0 where unknown)."""

    user: IntArray
    item: IntArray
    timestamp: FloatArray
    impression: IntArray


def read_impressions(given: Any) -> Shown | None:
    """Return given impressions as columns; DataError if one is missing or of another length."""
    if given is None:
        return None

    def get(name: str) -> Any:
        return given.get(name) if isinstance(given, Mapping) else getattr(given, name, None)

    columns = {name: get(name) for name in ("user", "item", "timestamp")}
    absent = [name for name, column in columns.items() if column is None]
    if absent:
        raise DataError(f"found impressions without {', '.join(absent)}; expected user, item and timestamp")
    user, item = (np.asarray(columns[name], np.int64) for name in ("user", "item"))
    time = np.asarray(columns["timestamp"], np.float64)
    ids = get("impression")
    number = np.arange(1, len(user) + 1) if ids is None else np.asarray(ids, np.int64)
    if not len(user) == len(item) == len(time) == len(number):
        lengths = [len(user), len(item), len(time), len(number)]
        raise DataError(f"found impressions with columns of lengths {lengths}; expected one length")
    return Shown(user, item, time, number)


def label_quality(
    log: Interactions,
    shown: Shown | None,
    label_events: tuple[str, ...],
    impression_events: tuple[str, ...],
    *,
    limits: ValidationLimits,
) -> tuple[Check, ...]:
    """Check, for each type of label, what share joins to an impression, and that none comes before it.

    Ids join where both sides have them, and must agree on user and item; else an impression of the same user and
    item joins, wherever in time. A conversion without an impression id is organic, and does not count.
    """
    of_labels, of_impressions = (
        codes_of(log.event_names, names) for names in (label_events, impression_events)
    )
    labels = [log.event_names[code] for code in of_labels if code not in of_impressions]
    if shown is None:
        at = np.isin(log.event, of_impressions)
        ids = np.zeros(len(log), np.int64) if log.impression is None else log.impression
        shown = Shown(log.user[at], log.item[at], log.timestamp[at], ids[at])
    if not labels or not len(shown.user):
        reason = "found no impressions" if labels else "found no events that follow impressions"
        hint = f"log what was shown as one of {', '.join(impression_events)}, or pass impressions="
        return tuple(
            Check(name, "not checked", reason, hint=hint) for name in ("labels.joined", "labels.order")
        )
    by_id = log.impression is not None and bool((shown.impression > 0).any())
    shown_at = _join_ids(log, shown) if by_id else _join_pairs(log, shown)
    joined, order = [], []
    for name in labels:
        of_type = log.event == log.event_names.index(name)
        organic = np.zeros(len(log), np.bool_)
        if by_id and kind_of(name) not in _ALWAYS_SHOWN and log.impression is not None:
            organic = of_type & (log.impression == 0)
        joined.append(_joined(name, of_type, organic, np.isfinite(shown_at), limits))
        order.append(_order(name, of_type, log.timestamp, shown_at, limits))
    return (*joined, *order)


def _join_ids(log: Interactions, shown: Shown) -> FloatArray:
    """Return when each event's impression was shown, NaN without one of its id, user and item."""
    assert log.impression is not None
    known = np.flatnonzero(shown.impression > 0)
    order = known[np.lexsort((shown.timestamp[known], shown.impression[known]))]
    ids = shown.impression[order]
    at = np.minimum(np.searchsorted(ids, log.impression), len(ids) - 1)
    match = order[at]
    ok = (shown.impression[match] == log.impression) & (log.impression > 0)
    ok &= (shown.user[match] == log.user) & (shown.item[match] == log.item)
    return np.where(ok, shown.timestamp[match], np.nan)


def _join_pairs(log: Interactions, shown: Shown) -> FloatArray:
    """Return when each event's user was first shown its item, NaN if never."""
    width = int(max(log.item.max(initial=0), shown.item.max(initial=0))) + 1
    key = shown.user * width + shown.item
    order = np.lexsort((shown.timestamp, key))
    own = log.user * width + log.item
    at = np.minimum(np.searchsorted(key[order], own), len(key) - 1)
    match = order[at]
    return np.where(key[match] == own, shown.timestamp[match], np.nan)


def _joined(
    name: str, of_type: BoolArray, organic: BoolArray, joins: BoolArray, limits: ValidationLimits
) -> Check:
    counted = of_type & ~organic
    orphan = counted & ~joins
    share = 1.0 - orphan.sum() / max(counted.sum(), 1)
    status = below(share, limits.warn_joined, limits.fail_joined)
    aside = f"; {organic.sum():,} more have no impression id" if organic.any() else ""
    return Check(
        "labels.joined",
        status,
        f"{share:.2%} of {counted.sum():,} {name} events join to an impression{aside}",
        f"at least {limits.warn_joined:.0%}",
        ""
        if status == "pass"
        else "are impressions of some surface not logged, or ids rewritten on the way?",
        subject=name,
        rows=np.flatnonzero(orphan),
        evidence={"labels": int(counted.sum()), "joined": float(share), "organic": int(organic.sum())},
    )


def _order(
    name: str, of_type: BoolArray, time: FloatArray, shown_at: FloatArray, limits: ValidationLimits
) -> Check:
    joined = of_type & np.isfinite(shown_at)
    early = joined & (time < np.where(joined, shown_at, -np.inf))
    n = int(early.sum())
    share = n / max(int(joined.sum()), 1)
    status = above(share, limits.warn_early, limits.fail_early) if n else "pass"
    lead = float(np.median((shown_at - time)[early])) if n else 0.0
    found = f"{n:,} of {joined.sum():,} {name} events ({share:.2%}) come before their impression"
    return Check(
        "labels.order",
        status,
        found + (f", the median by {lead:.3g} s" if n else ""),
        f"less than {limits.warn_early:.1%}",
        ""
        if status == "pass"
        else "clocks of client and server differ, or labels are joined to a later impression",
        subject=name,
        rows=np.flatnonzero(early),
        evidence={"labels": int(joined.sum()), "early": n, "median_lead_s": lead},
    )
