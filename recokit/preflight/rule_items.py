"""Items about the business rules: judged on the lists that were served, whatever rules the pipeline has."""

from __future__ import annotations

import numpy as np

from recokit import rules
from recokit._kernels.segments import rank_in_row
from recokit.data.validation.report import Check, Status
from recokit.preflight.launch import Launch, judged, unchecked
from recokit.typing import BoolArray, IntArray

__all__ = ["categories", "disclosure", "owned", "policy", "removals", "sellers", "stock"]


def stock(launch: Launch) -> Check:
    """R11: nothing that is out of stock; unknown means out."""
    name, expected = "rules.stock", "only items known to be in stock"
    value = launch.columns["in_stock"]
    if value is None:
        return unchecked(name, "nothing says what is in stock", expected, "in_stock=column or array")
    bad = ~(value[launch.item] > 0)
    return _items(launch, name, bad, "not known to be in stock", expected, "rules.InStock")


def owned(launch: Launch) -> Check:
    """R12: no non-consumable that the user has bought."""
    name, expected = "rules.owned", "nothing bought already, but for consumables"
    log = launch.train.interactions
    if "purchase" not in log.event_names:
        return unchecked(name, "the log has no purchases", expected)
    again = launch.columns["consumable"]
    bought = log.event == log.event_names.index("purchase")
    width = launch.train.n_items + 1
    user = launch.train.user_ids.encode(launch.served.users)
    key = np.unique(log.user[bought] * width + log.item[bought])
    bad = np.isin(user[launch.row] * width + launch.item, key) & (user[launch.row] > 0)
    if again is not None:
        bad &= ~(again[launch.item] > 0)
    return _items(launch, name, bad, "bought before and not consumable", expected, "rules.NotOwned")


def policy(launch: Launch) -> Check:
    """R13: nothing restricted, recalled or against the policy."""
    name, expected = "rules.policy", "nothing that the content policy forbids; unknown is forbidden"
    value = launch.columns["blocked"]
    if value is None:
        return unchecked(
            name, "nothing says what is forbidden", expected, "blocked=column, array or list of ids"
        )
    bad = ~(value[launch.item] <= 0)
    return _items(launch, name, bad, "forbidden", expected, "rules.Blocked or rules.Where")


def categories(launch: Launch) -> Check:
    """R14: no category above its share of the list."""
    share = launch.limits.max_share
    lengths = np.diff(launch.served.offsets)
    most = np.maximum(np.floor(share * lengths), 1).astype(np.int64)
    everywhere = np.ones(len(launch.item), np.bool_)
    expected = f"no category above {share:.0%} of the list"
    return _capped(launch, "rules.categories", "category", most, everywhere, expected, "rules.MaxShare")


def sellers(launch: Launch) -> Check:
    """R16: at most so many items of one seller at the top."""
    limits = launch.limits
    most = np.full(len(launch.served), limits.max_per_seller)
    top = rank_in_row(launch.row, launch.served.offsets) < limits.seller_places
    expected = f"at most {limits.max_per_seller} items of a seller in the first {limits.seller_places} places"
    return _capped(launch, "rules.sellers", "seller", most, top, expected, "rules.MaxPerGroup")


def disclosure(launch: Launch) -> Check:
    """R15: what is sponsored says so."""
    name, expected = "rules.disclosure", "a label on every sponsored item"
    value = launch.columns["sponsored"]
    if value is None:
        return unchecked(name, "nothing says what is sponsored", expected, "sponsored=column or array")
    labels = launch.served.columns.get("labels", np.full(len(launch.item), "", object))
    bad = (labels == "") & ~(value[launch.item] <= 0)
    return _items(launch, name, bad, "sponsored, or perhaps so, without a label", expected, "rules.Disclose")


def removals(launch: Launch) -> Check:
    """R17: rules remove some candidates, not nearly all."""
    name, expected = "rules.removals", "rules that leave candidates to choose from"
    found = [rule for rule in rules.report(launch.served).rules if rule.kind in ("filter", "check")]
    if not found:
        return unchecked(name, "no rule removes anything", expected)
    shares = {rule.name: rule.removed / max(rule.n_in, 1) for rule in found}
    worst = max(shares, key=lambda rule: shares[rule])
    limits = launch.limits
    return judged(
        name,
        shares[worst],
        limits.warn_removed,
        limits.fail_removed,
        f"{worst} removes {shares[worst]:.0%} of its candidates, the most of {len(found)} rules",
        expected,
        f"look at what {worst} removes: rules.report",
        **shares,
    )


def _items(launch: Launch, name: str, bad: BoolArray, what: str, expected: str, hint: str) -> Check:
    """Judge served items one by one: a single bad one fails."""
    if not len(bad):
        return unchecked(name, "no item was served", expected)
    n = int(np.count_nonzero(bad))
    evidence = {
        "served": len(bad),
        "bad": n,
        "items": launch.train.item_ids.decode(np.unique(launch.item[bad])[:5]).tolist(),
    }
    if n:
        return Check(
            name, "fail", f"{n} of {len(bad)} served items are {what}", expected, hint, evidence=evidence
        )
    return Check(name, "pass", f"none of {len(bad)} served items is {what}", expected, evidence=evidence)


def _capped(
    launch: Launch, name: str, column: str, most: IntArray, among: BoolArray, expected: str, hint: str
) -> Check:
    """Judge lists by how many items of one group they have; a limit that was relaxed on record only warns."""
    value = launch.columns[column]
    if value is None:
        return unchecked(
            name, f"nothing says what {column} an item has", expected, f"{column}=column or array"
        )
    if not len(launch.item):
        return unchecked(name, "no item was served", expected)
    pair = np.stack([launch.row[among], value[launch.item[among]]])
    groups, counts = np.unique(pair[:, ~np.isnan(pair[1])], axis=1, return_counts=True)
    row = groups[0].astype(np.int64)
    broken = np.unique(row[counts > most[row]])
    told = [any("relaxed" in reason for reason in launch.served.reasons[one]) for one in broken.tolist()]
    silent = len(told) - sum(told)
    status: Status = "fail" if silent else "warn" if told else "pass"
    message = f"{len(broken)} of {len(launch.served)} lists break it, {silent} of them without a record"
    evidence = {"lists": len(launch.served), "broken": len(broken), "silent": silent}
    return Check(name, status, message, expected, "" if status == "pass" else hint, evidence=evidence)
