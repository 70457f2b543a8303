"""Checks of the steps from ranking to list: hard rules, limits and diversity, each apart."""

from __future__ import annotations

import numpy as np

from recokit.debugger.captured import captured_rows, listed, n_missing, n_shared
from recokit.debugger.checks.causes import finding
from recokit.debugger.evidence import TOP, Evidence
from recokit.debugger.finding import Finding
from recokit.protocols import Role
from recokit.trace import StageEvent
from recokit.typing import IntArray

#: Items that a rule must remove for a difference, or a group, to count.
MIN_GROUP = 3
#: Lists of the requests that hold the user's own items.
USERS_LISTS = frozenset({"history", "owned", "earlier"})
#: Share of the removed items that a group must hold to be named.
NEARLY_ALL = 0.9


class HardRules:
    """Hard rules that remove too much of the top, and more of it than the baseline's do.

    A rule on the user's own items, such as :class:`recokit.rules.NotOwned`, is there to remove them: those that are in
    the user's lists do not count, however much the ranker likes them.

    Parameters
    ----------
    maximum : int, default 10
        Items of the top 20 that rules may remove.
    more : int, default 5
        Items of the top 20 that they must remove beyond those that the baseline's rules remove.
    """

    def __init__(self, maximum: int = 10, more: int = 5) -> None:
        self.maximum, self.more = maximum, more

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        # A filter that failed removes everything, and its failure is a finding of its own.
        failed = {event.name for event in evidence.events("filter") if evidence.failed_here(event)}
        by_rule = {
            name: _not_of_the_user(evidence, name, items)
            for name, items in evidence.removed.items()
            if name not in failed
        }
        by_rule = {name: items for name, items in by_rule.items() if items}
        removed = {item for items in by_rule.values() for item in items}
        if not removed:
            return []
        # With fewer than 20 candidates the same half counts.
        n_open = len(evidence.best_with_rules_off)
        part = min(1.0, max(n_open, 1) / TOP)
        if (
            len(removed) <= self.maximum * part
            or len(removed) < _usually_removed(evidence) + self.more * part
        ):
            return []
        counts = {name: len(items) for name, items in by_rule.items()}
        worst = max(counts, key=lambda name: counts[name])
        event = next(event for event in evidence.events("filter") if event.name == worst)
        group = _group_removed(evidence, _gone(evidence, event))
        return [
            finding(
                "BUSINESS_RULES_TOO_AGGRESSIVE",
                worst,
                {"removed_by": counts, "of": n_open, "group": group},
                items=evidence.ids(sorted(removed)),
                removed=len(removed),
            )
        ]


def _not_of_the_user(evidence: Evidence, name: str, items: list[int]) -> list[int]:
    """Return what a rule removed, for a rule on the user's lists without the items that these lists have."""
    lists = USERS_LISTS.intersection(evidence.traits(name).requires)
    own = {code for of in lists for code in evidence.requests.lists(of).values.tolist()}
    return [item for item in items if item not in own]


def _usually_removed(evidence: Evidence) -> float:
    """Return how many of the top 20 the baseline's rules remove; without a baseline, minus infinity."""
    if evidence.baseline is None:
        return -np.inf
    return len({item for items in evidence.baseline.removed.values() for item in items})


class RuleChanges:
    """Rules that remove items which the same rule of the baseline lets pass.

    Parameters
    ----------
    more : float, default 0.05
        Share of the candidates that a rule may remove beyond those that the baseline's removes of the same ones.
    """

    def __init__(self, more: float = 0.05) -> None:
        self.more = more

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        if evidence.baseline is None:
            return []
        usual = {event.name: event for event in evidence.baseline.events("filter")}
        findings: list[Finding] = []
        for event in evidence.events("filter"):
            before = usual.get(event.name)
            if before is None or event.n_in == event.n_out or evidence.failed_here(event):
                continue
            kept, gone = _kept(evidence.baseline, before), _gone(evidence, event)
            if len(gone) < MIN_GROUP:
                continue
            extra = gone[np.isin(gone, kept)]
            both = len(extra) + n_shared(kept, _kept(evidence, event))
            if len(extra) >= MIN_GROUP and len(extra) > self.more * both:
                figures = {
                    "removed": len(extra),
                    "of": both,
                    "group": _group_removed(evidence, extra),
                }
                findings.append(finding("RULE_REMOVES_MORE", event.name, figures, items=evidence.ids(extra)))
        return findings


class ListChanges:
    """How much limits and diversity, each apart, change the list that the scores ask for.

    With a baseline, its limits and its diversity are applied to the same candidates and scores: what they would have
    listed, and this pipeline's do not, is theirs alone.

    Parameters
    ----------
    maximum : float, default 0.7
        Without a baseline: largest share of the top k that one of them may keep off the list.
    more : float, default 0.2
        With one: largest share of the list that may differ.
    """

    def __init__(self, maximum: float = 0.7, more: float = 0.2) -> None:
        self.maximum, self.more = maximum, more

    def look(self, evidence: Evidence) -> list[Finding]:
        """Return the findings of one user's run, none if all is well."""
        size = min(evidence.k, len(evidence.best))
        selection = evidence.events("selection")
        if not size or not selection or not len(evidence.selected):
            return []
        findings = self._limits(evidence, size, selection[0]) + self._diversity(evidence, size, selection[0])
        if findings or not evidence.exchanged:
            return findings
        figures = {
            "exchanged": evidence.exchanged,
            "by_limits": evidence.exchanged_by_limits,
            "by_diversity": evidence.exchanged_by_diversity,
        }
        return [finding("LIST_CHANGED", selection[0].name, figures, of=size)]

    def _limits(self, evidence: Evidence, size: int, event: StageEvent) -> list[Finding]:
        exchanged, more = evidence.exchanged_by_limits, evidence.kept_off_by_limits
        paired = evidence.captured.usually_limited is not None
        if not paired and evidence.baseline is not None:
            paired, more = True, exchanged - evidence.baseline.exchanged_by_limits
        if not self._too_much(paired, exchanged, more, size):
            return []
        figures = {
            "exchanged": exchanged,
            "of": size,
            "listed_by_baseline": more,
            "relaxed": dict(event.detail.get("relaxed", {})) if evidence.alone else {},
            "length": len(evidence.selected),
        }
        items = evidence.ids(np.setdiff1d(evidence.best, evidence.limited))
        return [finding("LIMIT_TOO_TIGHT", _tightest(evidence) or event.name, figures, items=items)]

    def _diversity(self, evidence: Evidence, size: int, event: StageEvent) -> list[Finding]:
        exchanged, more = evidence.exchanged_by_diversity, evidence.kept_off_by_diversity
        paired = evidence.captured.usually_listed is not None
        if not paired and evidence.baseline is not None:
            paired, more = True, exchanged - evidence.baseline.exchanged_by_diversity
        if not self._too_much(paired, exchanged, more, size):
            return []
        figures = {"exchanged": exchanged, "of": size, "listed_by_baseline": more}
        items = evidence.ids(np.setdiff1d(evidence.limited, evidence.selected))
        return [finding("DIVERSITY_TOO_STRONG", event.name, figures, items=items)]

    def _too_much(self, paired: bool, exchanged: int, more: int, size: int) -> bool:
        return more >= self.more * size and exchanged > 0 if paired else exchanged > self.maximum * size


def _tightest(evidence: Evidence) -> str:
    """Return the constraint that alone keeps most of the top k off the list."""
    names = evidence.captured.names(Role.CONSTRAINT)
    if len(names) < 2 or evidence.ranked is None:
        return names[0] if names else ""

    def kept_off(name: str) -> int:
        assert evidence.ranked is not None
        lists = listed(evidence.ranked, [evidence.stages[name]])
        return 0 if lists is None else n_missing(evidence.best, lists.item)

    return max(names, key=kept_off)


def _kept(evidence: Evidence, event: StageEvent) -> IntArray:
    return _decided(evidence, event, True)


def _gone(evidence: Evidence, event: StageEvent) -> IntArray:
    return _decided(evidence, event, False)


def _decided(evidence: Evidence, event: StageEvent, kept: bool) -> IntArray:
    if event.before is None or event.kept is None:
        return np.zeros(0, np.int64)
    here = slice(int(event.before.offsets[evidence.row]), int(event.before.offsets[evidence.row + 1]))
    item = captured_rows(event.before, evidence.row)[event.kept[here] == kept]
    mapped: IntArray = item if evidence.codes is None else evidence.codes[item]
    return mapped


def _group_removed(evidence: Evidence, gone: IntArray) -> str:
    """Return the label, such as ``category=Drama``, that nearly all removed items have and no remaining one."""
    if len(gone) < MIN_GROUP:
        return ""
    left = np.zeros(0, np.int64) if evidence.ranked is None else evidence.ranked.item
    for column, values in evidence.schema.items.categorical.items():
        codes, counts = np.unique(values.codes[gone], return_counts=True)
        label = int(codes[np.argmax(counts)])
        if label and counts.max() >= NEARLY_ALL * len(gone) and not (values.codes[left] == label).any():
            return f"{column}={values.labels.decode(np.array([label]))[0]}"
    return ""
