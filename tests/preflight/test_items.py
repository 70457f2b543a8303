"""Each item of the checklist alone, on lists, times and figures that are written down here."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit.data import Dataset, Vocabulary
from recokit.data.sampling import UniformNegatives
from recokit.data.validation.report import Check
from recokit.errors import ConfigurationError, DataError
from recokit.evaluation import Verdict
from recokit.preflight import (
    PreflightLimits,
    PreflightReport,
    data_items,
    quality_items,
    rule_items,
    serving_items,
)
from recokit.preflight.columns import blocked_values, item_values
from recokit.preflight.context import Item, LaunchContext
from recokit.protocols import Role
from recokit.trace import Status

NOW = 1_750_000_000.0
ITEMS = [f"item-{i}" for i in range(1, 61)]
EVENTS = ["view", "click", "add_to_cart", "purchase"]


def dataset(rows: Sequence[tuple[str, str, str]], **weights: float) -> Dataset:
    """Return a log of (user, item, event) rows, a second apart, with all 60 items known."""
    user, item, event = zip(*rows, strict=True)
    log = {
        "user_id": user,
        "item_id": item,
        "event": event,
        "timestamp": NOW - len(rows) + np.arange(len(rows)),
    }
    return Dataset.from_frame(log, items={"item_id": ITEMS}, event_weights=weights)


TRAIN = dataset([("ann", "item-1", "purchase"), ("bob", "item-2", "purchase"), ("ann", "item-3", "view")])


class Served:
    """Lists of items by number, as recommendations."""

    def __init__(
        self,
        *rows: Sequence[int],
        users: Sequence[str] = ("ann", "bob"),
        reasons: Sequence[Sequence[str]] | None = None,
        status: Sequence[Status] | None = None,
        labels: Sequence[str] | None = None,
        events: Sequence[Any] = (),
        item_ids: Vocabulary = TRAIN.item_ids,
    ) -> None:
        self.users = np.array(users[: len(rows)], object)
        self.offsets = np.cumsum([0, *map(len, rows)])
        self.item = item_ids.encode([f"item-{i}" for row in rows for i in row])
        self.item_ids = item_ids
        self.reasons = reasons or [()] * len(rows)
        self.status = np.array(status or [Status.OK] * len(rows), np.int64)
        self.columns = {} if labels is None else {"labels": np.array(labels, object)}
        self.traces = [SimpleNamespace(events=events)]

    def __len__(self) -> int:
        return len(self.offsets) - 1


class Fixed:
    """A pipeline that serves the same lists, whoever asks."""

    def __init__(self, served: Any, nodes: Sequence[Any] = ()) -> None:
        self.served, self.nodes, self.asked = served, nodes, []

    def recommend(self, users: Any, **options: Any) -> Any:
        self.asked.append((list(users), options))
        return self.served

    def __iter__(self) -> Any:
        return iter(self.nodes)


def launch(*rows: Sequence[int], limits: Any = None, train: Dataset = TRAIN, **parts: Any) -> LaunchContext:
    known = {"users", "reasons", "status", "labels", "events", "item_ids"}
    served = Served(*rows, **{name: parts.pop(name) for name in known & set(parts)})
    values: dict[str, Any] = {
        "pipeline": Fixed(served),
        "train": train,
        "now": NOW,
        "users": ["ann", "bob"],
        "limits": PreflightLimits().changed(**(limits or {})),
    }
    return LaunchContext(**{**values, **parts})


def by_item(**values: float) -> np.ndarray:
    """Return 0 for each item, and a value for those of ``i1`` and the like; NaN for the unknown item."""
    out = np.zeros(len(ITEMS) + 1)
    out[0] = np.nan
    for name, value in values.items():
        out[TRAIN.item_ids.encode([f"item-{name[1:]}"])] = value
    return out


# -- the item itself


def test_an_item_has_its_hint_unless_it_passes_or_another_is_given():
    item = Item("name", "expected", "hint")
    checks = [
        item.check("pass", "m"),
        item.check("fail", "m"),
        item.check("warn", "m", "other", evidence={"n": 1}),
    ]
    assert [check.hint for check in checks] == ["", "hint", "other"]
    assert [dict(check.evidence) for check in checks] == [{}, {}, {"n": 1}]
    assert (checks[1].name, checks[1].message, checks[1].expected) == ("name", "m", "expected")
    assert item.unchecked("why").status == "not checked" and item.unchecked("why").hint == ""


@pytest.mark.parametrize(
    ("value", "status"), [(1.0, "pass"), (1.01, "warn"), (2.0, "warn"), (2.01, "fail"), (0.0, "pass")]
)
def test_a_value_is_bad_above_its_limits_not_at_them(value: float, status: str):
    assert Item("name", "expected").graded(value, "message", warn=1.0, fail=2.0).status == status


# -- columns


def test_columns_are_numbers_by_item_code_and_text_becomes_groups():
    train = Dataset.from_frame(
        {"user_id": ["ann"], "item_id": ["fig"], "timestamp": [1.0]},
        items={"item_id": ["fig", "oil"], "price": [2.0, 3.0]},
    )
    assert item_values(train, "in_stock", "price", None)[1:].tolist() == [2.0, 3.0]
    assert item_values(train, "in_stock", None, "in_stock") is None
    assert item_values(train, "in_stock", "in_stock", "in_stock") is None
    groups = item_values(train, "category", ["b", "a", "b"], None)
    assert groups.dtype == np.float64 and groups[0] == groups[2] != groups[1]
    assert item_values(train, "in_stock", np.array([False, True, False]), None).tolist() == [0.0, 1.0, 0.0]
    with pytest.raises(ConfigurationError, match=r"found blocked of shape \(2,\).*or a list of item ids"):
        item_values(train, "blocked", np.ones(2), None)
    with pytest.raises(ConfigurationError) as error:
        item_values(train, "seller", np.ones(2), None)
    assert "list of item ids" not in str(error.value)


def test_blocked_ids_leave_the_unknown_item_unknown():
    values = blocked_values(TRAIN, {"item-2"})
    assert np.isnan(values[0]) and np.flatnonzero(values[1:] == 1).tolist() == [
        int(TRAIN.item_ids.encode(["item-2"])[0]) - 1
    ]
    assert values[1:].sum() == 1 and values.shape == (61,)
    assert blocked_values(TRAIN, None) is None
    assert blocked_values(TRAIN, ["item-1"] * 60)[1:].sum() == 1
    with pytest.raises(ConfigurationError, match="expected item ids, which are fewer"):
        blocked_values(TRAIN, ["item-1"] * 61)


# -- rules


def test_stock_must_be_known_to_be_there():
    check = rule_items.stock(launch([1, 2], [3], columns={"in_stock": by_item(i1=1, i2=2, i3=0.5)}))
    assert (check.status, check.message) == ("pass", "none of 3 served items is not known to be in stock")
    for value in (0.0, -1.0, np.nan):
        check = rule_items.stock(launch([1, 2], [3], columns={"in_stock": by_item(i1=1, i2=value, i3=1)}))
        assert check.status == "fail" and check.hint == "rules.InStock"
        assert dict(check.evidence) == {"served": 3, "bad": 1, "items": ["item-2"]}
    assert rule_items.stock(launch([1], columns={"in_stock": None})).status == "not checked"
    assert rule_items.stock(launch([], columns={"in_stock": by_item()})).message == "no item was served"


def test_evidence_names_five_items_at_most():
    check = rule_items.stock(launch([9, 8, 7, 6, 5, 4], columns={"in_stock": by_item()}))
    assert len(check.evidence["items"]) == 5 and check.evidence["bad"] == 6


def test_an_owned_item_is_bad_for_its_owner_only_and_only_if_bought():
    columns = {"consumable": None}
    assert rule_items.owned(launch([2, 3], [1, 3], columns=columns)).status == "pass"
    check = rule_items.owned(launch([2, 1], [1], columns=columns))
    assert check.status == "fail" and check.evidence["items"] == ["item-1"] and check.evidence["bad"] == 1
    for value, status in ((1.0, "pass"), (0.0, "fail"), (np.nan, "fail")):
        columns = {"consumable": by_item(i1=value)}
        assert rule_items.owned(launch([1], columns=columns)).status == status
    stranger = launch([1], users=["nobody"], columns={"consumable": None})
    assert rule_items.owned(stranger).status == "pass"
    views = dataset([("ann", "item-1", "view")])
    assert rule_items.owned(launch([1], train=views, columns=columns)).status == "not checked"


def test_an_item_of_another_vocabulary_is_looked_up_by_its_id():
    other = Vocabulary(["item-9", "item-1", "item-77"])
    context = launch([1, 9], [77], item_ids=other, columns={"blocked": by_item(i9=1)})
    assert context.item.tolist() == [*TRAIN.item_ids.encode(["item-1", "item-9"]).tolist(), 0]
    assert context.row.tolist() == [0, 0, 1]
    assert rule_items.policy(context).evidence["bad"] == 2  # the unknown one is forbidden too


def test_policy_forbids_what_is_above_zero_or_unknown():
    for value, status in ((0.0, "pass"), (-1.0, "pass"), (0.1, "fail"), (np.nan, "fail")):
        assert rule_items.policy(launch([1], columns={"blocked": by_item(i1=value)})).status == status
    assert rule_items.policy(launch([1], columns={"blocked": None})).status == "not checked"


@pytest.mark.parametrize(
    ("sponsored", "label", "status"),
    [
        (1, "", "fail"),
        (1, "sponsored", "pass"),
        (0, "", "pass"),
        (np.nan, "", "fail"),
        (np.nan, "ad", "pass"),
    ],
)
def test_what_may_be_sponsored_needs_a_label(sponsored: float, label: str, status: str):
    columns = {"sponsored": by_item(i1=sponsored)}
    check = rule_items.disclosure(launch([1, 2], labels=[label, ""], columns=columns))
    assert check.status == status
    if not label:
        assert rule_items.disclosure(launch([1, 2], columns=columns)).status == status
    assert rule_items.disclosure(launch([1], columns={"sponsored": None})).status == "not checked"


@pytest.mark.parametrize(
    ("rows", "broken"),
    [
        (([1, 2, 11, 12, 21],), 0),  # two of five are 40%
        (([1, 2, 3, 11, 12],), 1),
        (([1], [2]), 0),  # one is always allowed
        (([1, 2], [11, 21]), 1),
        (([1, 2, 31, 32, 33],), 0),  # those of no category count for none
    ],
)
def test_no_category_above_its_share_of_each_list(rows: Any, broken: int):
    group = by_item(**{f"i{i}": i // 10 for i in range(1, 30)}, **{f"i{i}": np.nan for i in range(30, 40)})
    check = rule_items.categories(launch(*rows, columns={"category": group}))
    assert check.evidence == {"lists": len(rows), "broken": broken, "silent": broken}
    assert check.status == ("fail" if broken else "pass")


def test_a_cap_that_was_relaxed_on_record_only_warns():
    columns = {"category": by_item()}
    relaxed = [("max_share relaxed",)]
    for reasons, status in (
        ([relaxed[0], relaxed[0]], "warn"),
        ([relaxed[0], ("slow",)], "fail"),
        (None, "fail"),
    ):
        check = rule_items.categories(launch([1, 2, 3], [4, 5, 6], reasons=reasons, columns=columns))
        assert check.status == status
    assert (check.evidence["broken"], check.evidence["silent"]) == (2, 2)
    assert rule_items.categories(launch([1], columns={"category": None})).status == "not checked"
    assert rule_items.categories(launch([], columns=columns)).status == "not checked"


def test_sellers_are_capped_at_the_top_only():
    columns = {"seller": by_item(**{f"i{i}": 1 for i in range(1, 5)}, **{f"i{i}": i for i in range(5, 20)})}
    limits = {"max_per_seller": 3, "seller_places": 5}
    assert rule_items.sellers(launch([1, 2, 3, 5, 6, 4], limits=limits, columns=columns)).status == "pass"
    assert rule_items.sellers(launch([1, 2, 3, 5, 4, 6], limits=limits, columns=columns)).status == "fail"
    defaults = rule_items.sellers(launch([1], columns=columns))
    assert defaults.expected == "at most 3 items of a seller in the first 10 places"


def test_the_rule_that_removes_most_is_graded(monkeypatch: pytest.MonkeyPatch):
    def figures(*rules: tuple[str, str, int, int]) -> Any:
        parts = [SimpleNamespace(name=n, kind=k, n_in=i, removed=r) for n, k, i, r in rules]
        return lambda served: SimpleNamespace(rules=parts)

    many = figures(("few", "filter", 100, 10), ("most", "check", 100, 60), ("limit", "limit", 0, 99))
    monkeypatch.setattr(rule_items.rules, "report", many)
    check = rule_items.removals(launch([1]))
    assert check.status == "warn" and check.hint == "look at what most removes: rules.report"
    assert check.evidence == {"few": 0.1, "most": 0.6}
    assert check.message == "most removes 60% of its candidates, the most of 2 rules"
    assert rule_items.removals(launch([1], limits={"fail_removed": 0.59})).status == "fail"
    monkeypatch.setattr(rule_items.rules, "report", figures(("idle", "filter", 0, 0)))
    assert rule_items.removals(launch([1])).status == "pass"
    monkeypatch.setattr(rule_items.rules, "report", figures(("limit", "limit", 9, 9)))
    assert rule_items.removals(launch([1])).status == "not checked"


# -- serving


def timed(**seconds: Sequence[float]) -> Any:
    """Return a pipeline that takes so many seconds in turn, the first on warming up; ``total`` and phases by role."""
    turns = iter(zip(*seconds.values(), strict=True))

    class Timed:
        def __init__(self) -> None:
            self.users: list[Any] = []

        def recommend(self, users: Any, **options: Any) -> Any:
            self.users.append((*users, options["k"], options["now"]))
            spent = dict(zip(seconds, next(turns), strict=True))
            total = spent.pop("total")
            events = [SimpleNamespace(role=role, seconds=part) for role, part in spent.items()]
            return SimpleNamespace(trace=SimpleNamespace(seconds=total, events=events))

    return Timed()


def test_seconds_are_those_of_all_turns_but_the_first_by_phase():
    pipeline = timed(
        total=[9, 1, 2], source=[9, 0.1, 0.2], hydrator=[9, 0.3, 0.4], scorer=[9, 5, 6], filter=[9, 7, 8]
    )
    seconds = launch(pipeline=pipeline, n_requests=2).seconds
    assert list(seconds) == ["pipeline"]
    shown = {name: [round(x, 6) for x in part.tolist()] for name, part in seconds["pipeline"].items()}
    assert shown == {
        "total": [1.0, 2.0],
        "candidates": [0.4, 0.6],
        "features": [0.0, 0.0],
        "ranking": [5.0, 6.0],
        "post": [7.0, 8.0],
    }
    assert pipeline.users == [("ann", 10, NOW), ("bob", 10, NOW), ("ann", 10, NOW)]


@pytest.mark.parametrize(
    ("total", "post", "status"),
    [(0.1, 0.005, "pass"), (0.1001, 0.005, "fail"), (0.1, 0.0051, "warn"), (0.2, 0.1, "fail")],
)
def test_latency_is_the_p99_against_the_budget_and_its_shares(total: float, post: float, status: str):
    pipeline = timed(total=[9, total, total], selection=[9, post, post])
    check = serving_items.latency(launch(pipeline=pipeline, n_requests=2))
    assert check.status == status
    assert check.evidence["total"] == pytest.approx(1e3 * total)
    assert ("above their shares: post" in check.message) == (post > 0.005)
    assert "of 2 single requests" in check.message


def test_another_budget_scales_the_shares():
    pipeline = timed(total=[9, 0.15], selection=[9, 0.009])
    assert serving_items.latency(launch(pipeline=pipeline, limits={"budget_ms": 200})).status == "pass"
    pipeline = timed(total=[9, 0.04], selection=[9, 0.003])
    check = serving_items.latency(launch(pipeline=pipeline, limits={"budget_ms": 50}))
    assert check.status == "warn" and check.message.endswith("above their shares: post 3.0 ms of 2.5")


@pytest.mark.parametrize(("factor", "status"), [(2.0, "pass"), (2.01, "fail"), (0.5, "pass")])
def test_slower_is_the_smaller_ratio_of_median_and_p95(factor: float, status: str):
    usual = [9, 0.01, 0.02, 0.03]
    context = launch(
        pipeline=timed(total=[factor * x for x in usual]), baseline=timed(total=usual), n_requests=3
    )
    check = serving_items.slower(context)
    assert check.status == status
    assert check.evidence["p50"] == pytest.approx(factor * 0.02)
    assert check.evidence["baseline_p95"] == pytest.approx(0.029)
    # One slow request moves p95 alone, and raises no alert.
    spike = launch(
        pipeline=timed(total=[9, *[0.01] * 9, 5]), baseline=timed(total=[9, *[0.01] * 10]), n_requests=10
    )
    assert serving_items.slower(spike).status == "pass"
    assert serving_items.slower(launch()).status == "not checked"


class Staged(Fixed):
    """A pipeline of nodes that serves nothing once the stages of a role are replaced."""

    def __init__(self, nodes: Sequence[Any], needs: Role, down: frozenset[str] = frozenset()) -> None:
        super().__init__(None, nodes)
        self.needs, self.down = needs, down

    def replace(self, name: str, stage: Any) -> Staged:
        return Staged(self.nodes, self.needs, self.down | {name})

    def recommend(self, users: Any, **options: Any) -> Any:
        left = [node for node in self.nodes if node.role is self.needs and node.name not in self.down]
        return SimpleNamespace(offsets=np.array([0, 1, 2 if left else 1]))


@pytest.mark.parametrize(("needs", "part"), [(Role.SOURCE, "sources"), (Role.SCORER, "rankers")])
def test_fallback_counts_users_without_a_list_when_a_role_is_down(needs: Role, part: str):
    nodes = [SimpleNamespace(role=Role.SOURCE, name="a"), SimpleNamespace(role=Role.SCORER, name="b")]
    check = serving_items.fallback(launch(pipeline=Staged(nodes, needs)))
    assert check.status == "fail" and check.message == f"1 of 2 users get nothing with the {part} down"
    assert check.evidence[part] == 1 and sum(check.evidence.values()) == 1
    spare = [SimpleNamespace(role=role, name=f"fallback.{role}") for role in (Role.SOURCE, needs)]
    check = serving_items.fallback(launch(pipeline=Staged([*nodes, *spare], needs)))
    assert (check.status, check.message) == ("pass", "all 2 users get a list either way")


def test_errors_are_the_share_that_is_not_ok_but_for_relaxed_limits():
    status = [Status.OK, Status.DEGRADED]
    assert serving_items.errors(launch([1], [2])).status == "pass"
    relaxed = launch([1], [2], status=status, reasons=[(), ("a relaxed", "b relaxed")])
    assert serving_items.errors(relaxed).status == "pass"
    mixed = launch([1], [2], status=status, reasons=[(), ("a relaxed", "slow")])
    check = serving_items.errors(mixed)
    assert check.status == "fail" and check.message == "50.0% of 2 requests are not OK"
    assert check.evidence == {**dict.fromkeys(Status.__members__, 0), "OK": 1, "DEGRADED": 1}
    three = launch([1], [2], [3], users=["ann", "bob", "cid"])
    assert serving_items.errors(three).evidence["OK"] == 3
    assert serving_items.errors(replace(mixed, limits=PreflightLimits(fail_errors=0.5))).status == "warn"
    events = [
        SimpleNamespace(name=name, error="Boom" if name else "") for name in ("d", "c", "b", "a", "a", "")
    ]
    check = serving_items.errors(launch([1], events=events))
    assert check.status == "fail"
    assert check.message == "0.0% of 1 requests are not OK; a: Boom; b: Boom; c: Boom"
    assert serving_items.errors(launch(users=[])).status == "fail"  # nobody was answered


def test_outcomes_wait_for_traffic():
    check = serving_items.outcomes(launch())
    assert (check.status, check.hint) == ("not checked", "monitoring.OutcomeMonitor")


# -- quality


def test_the_head_of_the_catalogue_may_not_take_all_places():
    users = [f"u{i}" for i in range(10)]
    rows = [[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]] * 9 + [list(range(11, 21))]
    check = quality_items.catalogue(launch(*rows, users=users))
    assert check.status == "fail" and check.evidence == {"coverage": 20 / 60, "head": 0.9}
    assert quality_items.catalogue(launch(*rows, users=users, limits={"fail_head": 0.9})).status == "warn"
    spread = [[10 * i % 60 + j for j in range(1, 11)] for i in range(10)]
    assert quality_items.catalogue(launch(*spread, users=users)).status == "pass"
    assert quality_items.catalogue(launch(*rows[:9], users=users)).status == "not checked"
    assert quality_items.catalogue(launch(*[[]] * 10, users=users)).status == "not checked"
    small = Dataset.from_frame(
        {"user_id": ["ann"], "item_id": ["item-1"], "timestamp": [1.0]}, items={"item_id": ITEMS[:49]}
    )
    few = launch(*[[1]] * 10, users=users, train=small, item_ids=small.item_ids)
    assert quality_items.catalogue(few).status == "not checked"


def cold(*lengths: int, shown: Sequence[int] = (), counts: Sequence[int] = ()) -> Check:
    """Return the item for cold lists of such lengths, items shown, and events by item."""
    rows = [("ann", f"item-{i}", "view") for i, n in enumerate(counts, 1) for _ in range(n)] or [
        ("ann", "item-1", "view")
    ]
    train = dataset(rows)
    context = launch(list(shown), train=train, item_ids=train.item_ids)
    context.served  # noqa: B018  cached: the pipeline is asked again for cold users
    context.pipeline.served = SimpleNamespace(offsets=np.cumsum([0, *lengths]))
    check = quality_items.cold_start(context)
    assert context.pipeline.asked[-1] == ([None] * 3, {"k": 10, "now": NOW, "seed": 1})
    return check


def test_cold_users_get_full_lists_and_new_items_are_shown():
    unjudged = cold(10, 10, 10, shown=[60])
    assert unjudged.status == "not checked" and "its quality is not known" in unjudged.message
    assert cold(10, 9, 10, shown=[60]).status == "warn"
    assert cold(10, 0, 10, shown=[60]).status == "fail"
    assert cold(10, 10, 10).status == "warn"
    check = cold(10, 10, 10, shown=[1], counts=[5, 4])
    assert check.status == "warn" and check.evidence["new_items"] == 59
    assert cold(10, 10, 10, shown=[2], counts=[5, 4]).evidence["new_items_shown"] == pytest.approx(1 / 59)
    everything = cold(10, 10, 10, shown=[1], counts=[5] * 60)
    assert everything.status == "not checked" and everything.evidence["new_items_shown"] == 1.0


def condition(kind: str, what: str, verdict: Verdict) -> Any:
    return SimpleNamespace(
        kind=kind, what=what, verdict=verdict, value=0.1, low=0.0, high=0.2, reason=f"r {what}"
    )


def gated(*conditions: Any, **parts: Any) -> Any:
    limits = PreflightLimits()
    return SimpleNamespace(
        limits=limits, test=object(), baseline=object(), gate=SimpleNamespace(conditions=conditions), **parts
    )


@pytest.mark.parametrize(
    ("overall", "segments", "status"),
    [
        (Verdict.PASS, [Verdict.PASS, Verdict.CANNOT_TELL], "pass"),
        (Verdict.PASS, [Verdict.PASS, Verdict.FAIL], "fail"),
        (Verdict.CANNOT_TELL, [Verdict.FAIL], "fail"),
        (Verdict.FAIL, [Verdict.FAIL], "warn"),  # the loss of everybody is the finding
        (Verdict.PASS, [Verdict.NOT_JUDGED, Verdict.NOT_JUDGED], "not checked"),
        (Verdict.PASS, [Verdict.NOT_JUDGED, Verdict.PASS], "pass"),
    ],
)
def test_segments_fail_where_one_surely_loses_and_not_all_do(overall: Verdict, segments: Any, status: str):
    parts = [condition("segment", f"s{i}", verdict) for i, verdict in enumerate(segments)]
    check = quality_items.segments(gated(condition("quality", "all", overall), *parts))
    assert check.status == status
    assert list(check.evidence) == [part.what for part in parts]
    assert check.evidence["s0"] == {"change": 0.1, "low": 0.0, "high": 0.2}
    if status == "fail":
        assert check.message == "; ".join(f"{p.what}: r {p.what}" for p in parts if p.verdict is Verdict.FAIL)


def test_segments_need_a_test_part_and_a_baseline():
    for missing in ("test", "baseline"):
        context = gated()
        setattr(context, missing, None)
        assert quality_items.segments(context).status == "not checked"


@pytest.mark.parametrize(
    ("verdict", "status"), [(Verdict.PASS, "pass"), (Verdict.FAIL, "fail"), (Verdict.CANNOT_TELL, "warn")]
)
def test_the_baseline_item_is_the_gates_verdict_on_quality(verdict: Verdict, status: str):
    data = rk.testing.toy_dataset()
    train, test = data.split_at(data.until - 10 * 86_400)
    score = SimpleNamespace(metric="NDCG@10", mean=0.5, segment="all")
    part = SimpleNamespace(metric="NDCG@10", mean=0.1, segment="cold")
    deep = SimpleNamespace(metric="Recall@50", mean=0.7, segment="all")
    figures = {name: SimpleNamespace(scores=[score, part]) for name in ("pipeline", "baseline")}
    depth = {name: SimpleNamespace(scores=[deep]) for name in ("pipeline", "baseline")}
    context = gated(
        condition("segment", "s", Verdict.FAIL),
        condition("quality", "all", verdict),
        quality=figures,
        depth=depth,
    )
    context.train, context.test, context.subjects = train, test, {"pipeline": 1, "baseline": 2}
    check = quality_items.against_baseline(context)
    assert (check.status, check.message) == (status, "r all")
    assert check.evidence == {name: {"NDCG@10": 0.5, "Recall@50": 0.7} for name in ("pipeline", "baseline")}
    context.test = train  # the same time as train: no figure is believed
    leaking = quality_items.against_baseline(context)
    assert leaking.status == "fail" and leaking.hint == "hold out a window of later time"


# -- data


def test_event_weights_fall_from_purchase_to_view():
    rows = [("ann", "item-1", event) for event in EVENTS]
    ordered = {"purchase": 4.0, "add_to_cart": 3.0, "click": 2.0, "view": 1.0}
    check = data_items.event_weights(launch(train=dataset(rows, **ordered)))
    assert check.status == "pass" and check.evidence == ordered
    equal = data_items.event_weights(launch(train=dataset(rows, **{**ordered, "click": 3.0})))
    assert equal.status == "fail" and "add_to_cart 3 (signal); click 3 (signal)" in equal.message
    one = data_items.event_weights(launch(train=dataset(rows[:1])))
    assert (one.status, one.message) == ("not checked", "found events view 0.1 (signal): nothing to compare")
    two = data_items.event_weights(launch(train=dataset(rows[:2], view=1.0, click=2.0)))
    assert two.status == "pass"


def validation(*checks: Check) -> Any:
    from recokit.data.validation.report import CheckReport

    return SimpleNamespace(validation=CheckReport("data", checks), limits=PreflightLimits(), event_ids=None)


def test_the_data_item_is_the_worst_check_but_for_those_with_items_of_their_own():
    bad = [Check(name, "fail", "found it", hint="mend") for name in ("duplicates.retries", "sufficiency")]
    assert data_items.training_data(validation(Check("time", "pass", "fine"), *bad)).message == "all of time"
    parts = [Check(name, "warn", f"of {name}", hint="same") for name in "abcde"]
    check = data_items.training_data(validation(Check("z", "not checked", "none"), *parts))
    assert check.status == "warn" and check.hint == "same"
    assert check.message == "a: of a; b: of b; c: of c; and 3 more"
    three = data_items.training_data(validation(*parts[:3]))
    assert three.message == "a: of a; b: of b; c: of c"
    assert check.evidence == {"z": "not checked", **dict.fromkeys("abcde", "warn")}
    assert data_items.duplicates(validation(*bad, *parts)).message == "duplicates.retries: found it"


@pytest.mark.parametrize(("users", "status"), [(1_000, "warn"), (100, "warn"), (99, "fail")])
def test_the_amount_fails_below_a_tenth_of_what_is_needed(users: int, status: str):
    evidence = {"interactions": 10_000, "users": users, "items": 500}
    check = Check("sufficiency", "warn", "few", "more", "use popularity", evidence=evidence)
    amount = data_items.amount(validation(check))
    assert (amount.name, amount.status, amount.hint) == ("data.amount", status, "use popularity")
    assert ("far too few users" in amount.message) == (status == "fail")
    assert amount.evidence == evidence


def test_negatives_are_audited_against_both_parts():
    data = rk.testing.toy_dataset()
    train, test = data.split_at(data.until - 10 * 86_400)
    good = launch(train=train, test=test, negatives=UniformNegatives().fit(train))
    check = data_items.negatives(good)
    assert check.status == "pass" and check.evidence["known_positives"] == 0
    log = train.interactions
    bad = data_items.negatives(replace(good, negatives=(log.user[:50], log.item[:50])))
    assert bad.status == "fail" and "known positives" in bad.message and bad.hint
    for missing in ({"negatives": None}, {"test": None}):
        assert data_items.negatives(replace(good, **missing)).status == "not checked"


def test_a_change_of_distribution_alone_only_warns(monkeypatch: pytest.MonkeyPatch):
    found = [
        Check("drift.psi", "fail", "psi"),
        Check("drift.new_labels", "fail", "labels"),
        Check("drift.modes", "not checked", "no column"),
        Check("drift.mean", "pass", "mean"),
    ]

    class Monitor:
        def __init__(self, profile: Any) -> None:
            assert profile == "profile"

        def check(self, batch: Any) -> Any:
            return found

    monkeypatch.setattr(data_items, "DriftMonitor", Monitor)
    pipeline = SimpleNamespace(requests=lambda users, now: (users, now), candidates=lambda requests: requests)
    context = launch(pipeline=pipeline, profile="profile")
    check = data_items.drift(context)
    assert check.status == "warn" and check.message == "drift.psi: psi; drift.new_labels: labels"
    assert list(check.evidence) == ["drift.psi", "drift.new_labels", "drift.mean"]
    found[3] = Check("drift.mean", "fail", "mean")
    assert data_items.drift(context).status == "fail"
    found[3] = Check("drift.mean", "not checked", "mean")
    assert data_items.drift(context).message.endswith("drift.mean: mean")
    assert data_items.drift(replace(context, profile=None)).status == "not checked"


# -- the call


class Silent:
    """A model that is never asked."""

    def recommend(self, users: Any, k: Any = 10, *, now: Any = None, seed: int = 0) -> Any:
        raise AssertionError("asked")


class Watched(Silent):
    """A pipeline with observers, and nothing else."""

    def __init__(self) -> None:
        self.observers = ("one",)


@pytest.fixture
def contexts(monkeypatch: pytest.MonkeyPatch) -> list[LaunchContext]:
    """Replace the checklist by an item that keeps the context it is given."""
    kept: list[LaunchContext] = []

    def item(launch: LaunchContext) -> Check:
        kept.append(launch)
        return Check("an.item", "pass", "fine")

    monkeypatch.setattr(sys.modules["recokit.preflight.preflight"], "CHECKLIST", {"an.item": item})
    return kept


def test_a_launch_is_now_with_a_sample_of_users_and_the_columns_of_the_table(
    contexts: list[LaunchContext],
) -> None:
    train = Dataset.from_frame(
        {
            "user_id": ["a", "b", "c", "d", "e"],
            "item_id": ["x"] * 5,
            "timestamp": [1.0, 2.0, 3.0, 4.0, 5.0],
        },
        items={"item_id": ["x", "y"], "in_stock": [1.0, 0.0]},
        users={"user_id": ["f"]},
    )
    pipeline = Watched()
    report = rk.preflight(pipeline, train, n_users=3)
    (launch_,) = contexts
    assert report.title == "Launch checklist of 1 items" and report.names == ("an.item",)
    assert launch_.now == np.nextafter(5.0, np.inf)
    assert launch_.users == ["a", "c", "e"]  # spread evenly, without the one who has no events
    assert launch_.pipeline.observers == () and pipeline.observers == ("one",)
    assert (launch_.n_requests, launch_.by, launch_.limits) == (50, "activity", PreflightLimits())
    assert launch_.columns["in_stock"][1:].tolist() == [1.0, 0.0]
    assert [name for name, values in launch_.columns.items() if values is None] == [
        "consumable",
        "sponsored",
        "category",
        "seller",
        "blocked",
    ]


def test_options_reach_the_launch(contexts: list[LaunchContext]) -> None:
    early, _ = rk.testing.toy_dataset().split_at(rk.testing.toy_dataset().until - 86_400)
    limits = PreflightLimits(margin=0.3, slower=9.0)
    usual = Silent()
    rk.preflight(
        Silent(), early, baseline=usual, n_users=99, n_requests=7, limits=limits, margin=0.1, users=5
    )
    (launch_,) = contexts
    assert launch_.now == early.cut
    assert (launch_.baseline, launch_.n_requests) == (usual, 7)
    assert len(launch_.users) == len(np.unique(early.interactions.user))
    assert (launch_.limits.margin, launch_.limits.slower, launch_.limits.validation.users) == (0.1, 9.0, 5)
    rk.preflight(Silent(), early, now="2025-01-01")
    assert contexts[1].now == 1_735_689_600.0
    for options in ({"n_users": 0}, {"n_requests": 0}):
        with pytest.raises(ConfigurationError, match="expected a whole number of at least 1"):
            rk.preflight(Silent(), early, **options)
    rk.preflight(Silent(), early, n_users=1, n_requests=1)


def test_limits_are_changed_by_name_and_no_other() -> None:
    changed = PreflightLimits().changed(margin=0.5, users=3)
    assert (changed.margin, changed.validation.users, changed.max_share) == (0.5, 3, 0.4)
    with pytest.raises(ConfigurationError, match="found limit 'margn'; did you mean 'margin'"):
        PreflightLimits().changed(margn=0.5)


def test_an_error_of_ours_fails_its_item_and_any_other_is_raised(contexts: list[LaunchContext]) -> None:
    from recokit.errors import NotFittedError

    module = sys.modules["recokit.preflight.preflight"]
    errors: list[Exception] = [
        ConfigurationError("found a typo"),
        NotFittedError("not yet"),
        ZeroDivisionError(),
    ]

    def broken(launch: LaunchContext) -> Check:
        raise errors.pop(0)

    module.CHECKLIST["a.broken.item"] = broken
    check = rk.preflight(Silent(), TRAIN)["a.broken.item"]
    assert (check.status, check.message) == ("fail", "could not be checked: found a typo")
    for kind in (NotFittedError, ZeroDivisionError):
        with pytest.raises(kind):
            rk.preflight(Silent(), TRAIN)


@pytest.mark.parametrize(
    ("statuses", "codes", "ready"),
    [
        (["pass", "pass"], (0, 0), True),
        (["pass", "warn"], (0, 1), False),
        (["pass", "not checked"], (1, 1), False),
        (["warn", "fail"], (1, 1), False),
    ],
)
def test_exit_codes_and_errors_of_a_report(statuses: Any, codes: tuple[int, int], ready: bool) -> None:
    report = PreflightReport("title", tuple(Check(f"n{i}", s, "found it") for i, s in enumerate(statuses)))
    assert (report.exit_code(), report.exit_code(strict=True)) == codes
    assert report.ready == ready
    for strict in (False, True):
        if codes[strict]:
            with pytest.raises(DataError, match=r"stand in the way: .*n1"):
                report.raise_for_status(strict=strict)
        else:
            assert report.raise_for_status(strict=strict) is report
    if not codes[0]:
        assert report.raise_for_status() is report


# -- the module


def test_preflight_can_be_called_before_and_after_its_module_is_imported():
    code = (
        "import recokit as rk\n"
        "data = rk.testing.toy_dataset()\n"
        "pipeline = rk.Pipeline([rk.candidates.Popular()]).fit(data)\n"
        "check = lambda: len(rk.preflight(pipeline, data, n_users=1, n_requests=1))\n"
        "before = check()\n"
        "import recokit.preflight\n"
        "from recokit.preflight import preflight\n"
        "print(before, check(), len(preflight(pipeline, data, n_users=1, n_requests=1)))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["22", "22", "22"]
