"""Kinds of hard rules and labels: too much goes, too little, or nothing is marked."""

from __future__ import annotations

from typing import Any

import numpy as np

from recokit.errors import ConfigurationError
from recokit.protocols import Role, traits_of
from recokit.testing.faults import rules, stages
from recokit.testing.faults.catalogue import Planted, broken, broken_for, kind
from recokit.testing.faults.site import Draw, Site
from recokit.typing import AnyArray


def _stock(site: Site, draw: Draw) -> tuple[str, AnyArray]:
    """Draw a rule with an array of stock, and the stock."""
    names = site.those(Role.FILTER, lambda stage: isinstance(vars(stage).get("stock"), np.ndarray))
    name = draw.some(names, "rule with an array of stock")
    return name, site.pipeline[name].stock


def _removing(site: Site) -> list[str]:
    """Return the rules that remove any of the sampled candidates."""
    events = site.pipeline.run(site.requests, observe=False).trace.events
    removing = {event.name for event in events if event.role == "filter" and event.n_out < event.n_in}
    return [name for name in site.named(Role.FILTER) if name in removing]


@kind("rules", "RULE_REMOVES_MORE", "BUSINESS_RULES_TOO_AGGRESSIVE")
def category_removed(site: Site, draw: Draw) -> Planted:
    """A rule removes all items of one category besides what it should."""
    column = next(iter(site.pipeline.schema.items.categorical.values()), None)
    if "category" in site.pipeline.schema.items.categorical:
        column = site.pipeline.schema.items.categorical["category"]
    if column is None:
        raise ConfigurationError("found no item column of labels; expected one, such as category")
    shares = np.bincount(column.codes[site.batch.item], minlength=len(column.labels) + 1) / len(site.batch)
    shares[0] = 0.0
    label = draw.some(np.flatnonzero((shares > 0.08) & (shares < 0.6)).tolist(), "category of some size")
    gone = np.flatnonzero(column.codes == label)
    name = draw.some(site.named(Role.FILTER), "hard rule")
    return broken(
        site, name, lambda rule: rules.removing(rule, gone), detail=f"{shares[label]:.0%} of candidates"
    )


@kind("rules", "BUSINESS_RULES_TOO_AGGRESSIVE", "RULE_REMOVES_MORE", alone=True)
def stock_feed_empty(site: Site, draw: Draw) -> Planted:
    """The feed of the stock has delivered nearly nothing, so nearly all is taken to be sold out."""
    name, stock = _stock(site, draw)
    left = draw.between(0.0, 0.2)
    there = np.random.default_rng(draw.seed).random(len(stock)) < left
    return broken(
        site, name, lambda rule: stages.with_option(rule, stock=stock * there), detail=f"{left:.0%} left"
    )


@kind("rules", "RULE_REMOVES_LESS")
def stock_all_in_stock(site: Site, draw: Draw) -> Planted:
    """Everything counts as in stock."""
    name, stock = _stock(site, draw)
    return broken(site, name, lambda rule: stages.with_option(rule, stock=np.maximum(stock, 1)))


@kind("rules", "RULE_REMOVES_LESS", "RULE_REMOVES_MORE", "BUSINESS_RULES_TOO_AGGRESSIVE")
def stock_of_other_items(site: Site, draw: Draw) -> Planted:
    """The stock belongs to other items: its ids have slipped."""
    name, stock = _stock(site, draw)
    by = draw.whole(1, 20)
    moved = np.concatenate([stock[:1], np.roll(stock[1:], by)])
    if (moved > 0).tolist() == (stock > 0).tolist():
        raise ConfigurationError("found the same stock of all items; expected some to be sold out")
    return broken(site, name, lambda rule: stages.with_option(rule, stock=moved), detail=f"by {by}")


@kind("rules", "RULE_REMOVES_LESS")
def recall_list_lost(site: Site, draw: Draw) -> Planted:
    """A list of items that must not be shown has arrived empty."""
    names = site.those(
        Role.FILTER,
        lambda stage: isinstance(vars(stage).get("items"), list | tuple) and len(stage.items) > 0,
    )
    names = [name for name in names if name in _removing(site)]
    name = draw.some(names, "rule with a list that removes something")
    return broken(site, name, lambda rule: stages.with_option(rule, items=[]))


@kind("rules", "RULE_REMOVES_LESS", "RULE_BYPASSED")
def rule_bypassed(site: Site, draw: Draw) -> Planted:
    """A rule lets everything pass: a switch left over from a test."""
    return broken(site, draw.some(_removing(site), "rule that removes something"), rules.passing)


@kind("rules", "RULE_REMOVES_LESS", "RULE_REMOVES_MORE", "BUSINESS_RULES_TOO_AGGRESSIVE", alone=True)
def rule_turned_round(site: Site, draw: Draw) -> Planted:
    """A rule removes what it should keep, and keeps what it should remove."""
    return broken(site, draw.some(_removing(site), "rule that removes something"), rules.turned_round)


@kind("rules", "RULE_REMOVES_LESS", "RULE_BYPASSED")
def rule_bypassed_for_segment(site: Site, draw: Draw) -> Planted:
    """A rule lets everything pass for one segment of the users or requests."""
    name = draw.some(_removing(site), "rule that removes something")
    return broken_for(site, name, rules.passing, site.segment(draw))


@kind("rules", "LABELS_LOST")
def sponsored_flags_lost(site: Site, draw: Draw) -> Planted:
    """The flags of what is paid for are gone, so that nothing is labelled."""
    names = site.those(Role.ANNOTATOR, lambda stage: "labels" in traits_of(stage).provides)
    name = draw.some(names, "annotator of labels")
    flags = [flag for flag in vars(site.pipeline[name]).get("flags_", []) if flag is not None]
    if not any((flag > 0).any() for flag in flags):
        raise ConfigurationError("found no item that is paid for; expected some")

    def lost(stage: Any) -> Any:
        def labels(found: Any, batch: Any) -> Any:
            return {"labels": np.array([""] * len(batch), object)}

        blank = stages.answering(stage, labels)
        # The copy has a class of its own, so its check can go without touching the original's.
        type(blank).verify = lambda self, batch: np.ones(len(batch), np.bool_)
        return blank

    return broken(site, name, lost)
