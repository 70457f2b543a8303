"""Items about the business rules: judged on the lists that were served, whatever rules the pipeline has."""

from __future__ import annotations

import numpy as np

from recokit import rules
from recokit._kernels.segments import rank_in_row
from recokit.data.validation.report import Check, Status
from recokit.preflight.context import Item, LaunchContext
from recokit.typing import BoolArray, IntArray


def stock(launch: LaunchContext) -> Check:
    """Check that nothing out of stock is shown; unknown means out."""
    item = Item("rules.stock", "only items known to be in stock", "rules.InStock")
    in_stock = launch.columns["in_stock"]
    if in_stock is None:
        return item.unchecked("nothing says what is in stock", "in_stock=column or array")
    return _none_of(launch, item, ~(in_stock[launch.item] > 0), "not known to be in stock")


def owned(launch: LaunchContext) -> Check:
    """Check that nothing already bought is shown, but for consumables."""
    item = Item("rules.owned", "nothing bought already, but for consumables", "rules.NotOwned")
    log = launch.train.interactions
    purchases = log.of("purchase")
    if not len(purchases):
        return item.unchecked("the log has no purchases")
    width = launch.train.n_items + 1
    bought = purchases.user * width + purchases.item
    user = launch.train.user_ids.encode(launch.served.users)[launch.row]
    again = np.isin(user * width + launch.item, bought) & (user > 0)
    consumable = launch.columns["consumable"]
    if consumable is not None:
        again &= ~(consumable[launch.item] > 0)
    return _none_of(launch, item, again, "bought before and not consumable")


def policy(launch: LaunchContext) -> Check:
    """Check that nothing restricted, recalled or against the policy is shown."""
    item = Item(
        "rules.policy",
        "nothing that the content policy forbids; unknown is forbidden",
        "rules.Blocked or rules.Where",
    )
    blocked = launch.columns["blocked"]
    if blocked is None:
        return item.unchecked("nothing says what is forbidden", "blocked=column, array or list of ids")
    return _none_of(launch, item, ~(blocked[launch.item] <= 0), "forbidden")


def categories(launch: LaunchContext) -> Check:
    """Check that no category exceeds its share of a list."""
    share = launch.limits.max_share
    item = Item("rules.categories", f"no category above {share:.0%} of the list", "rules.MaxShare")
    caps = np.maximum(np.floor(share * np.diff(launch.served.offsets)), 1).astype(np.int64)
    return _capped(launch, item, "category", caps, np.ones(len(launch.item), np.bool_))


def sellers(launch: LaunchContext) -> Check:
    """Check that no seller has too many items at the top."""
    cap, places = launch.limits.max_per_seller, launch.limits.seller_places
    item = Item(
        "rules.sellers", f"at most {cap} items of a seller in the first {places} places", "rules.MaxPerGroup"
    )
    top = rank_in_row(launch.row, launch.served.offsets) < places
    return _capped(launch, item, "seller", np.full(len(launch.served), cap), top)


def disclosure(launch: LaunchContext) -> Check:
    """Check that sponsored items are labelled."""
    item = Item("rules.disclosure", "a label on every sponsored item", "rules.Disclose")
    sponsored = launch.columns["sponsored"]
    if sponsored is None:
        return item.unchecked("nothing says what is sponsored", "sponsored=column or array")
    labels = launch.served.columns.get("labels", np.full(len(launch.item), "", object))
    bare = (labels == "") & ~(sponsored[launch.item] <= 0)
    return _none_of(launch, item, bare, "sponsored, or perhaps so, without a label")


def removals(launch: LaunchContext) -> Check:
    """Check that no rule removes nearly all candidates."""
    filters = [rule for rule in rules.report(launch.served).rules if rule.kind in ("filter", "check")]
    shares = {rule.name: rule.removed / max(rule.n_in, 1) for rule in filters}
    worst = max(shares, key=lambda name: shares[name], default="")
    item = Item(
        "rules.removals",
        "rules that leave candidates to choose from",
        f"look at what {worst} removes: rules.report",
    )
    if not shares:
        return item.unchecked("no rule removes anything")
    return item.graded(
        shares[worst],
        f"{worst} removes {shares[worst]:.0%} of its candidates, the most of {len(filters)} rules",
        warn=launch.limits.warn_removed,
        fail=launch.limits.fail_removed,
        evidence=shares,
    )


def _none_of(launch: LaunchContext, item: Item, bad: BoolArray, adjective: str) -> Check:
    """Judge served items one by one: a single bad one fails."""
    if not len(bad):
        return item.unchecked("no item was served")
    n = int(np.count_nonzero(bad))
    examples = launch.train.item_ids.decode(np.unique(launch.item[bad])[:5]).tolist()
    evidence = {"served": len(bad), "bad": n, "items": examples}
    if n:
        return item.check("fail", f"{n} of {len(bad)} served items are {adjective}", evidence=evidence)
    return item.check("pass", f"none of {len(bad)} served items is {adjective}", evidence=evidence)


def _capped(launch: LaunchContext, item: Item, column: str, caps: IntArray, among: BoolArray) -> Check:
    """Judge lists by how many items of one group they have; a limit that was relaxed on record only warns."""
    group = launch.columns[column]
    if group is None:
        return item.unchecked(f"nothing says what {column} an item has", f"{column}=column or array")
    if not len(launch.item):
        return item.unchecked("no item was served")
    pairs = np.stack([launch.row[among], group[launch.item[among]]])
    groups, counts = np.unique(pairs[:, ~np.isnan(pairs[1])], axis=1, return_counts=True)
    row = groups[0].astype(np.int64)
    broken = np.unique(row[counts > caps[row]]).tolist()
    silent = sum(not any("relaxed" in reason for reason in launch.served.reasons[one]) for one in broken)
    status: Status = "fail" if silent else "warn" if broken else "pass"
    message = f"{len(broken)} of {len(launch.served)} lists break it, {silent} of them without a record"
    evidence = {"lists": len(launch.served), "broken": len(broken), "silent": silent}
    return item.check(status, message, evidence=evidence)
