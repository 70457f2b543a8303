"""Stock that is old or does not come, lists for each request, purchases that come round again, frequency caps."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.data import Candidates, Dataset, Live, LiveEvents, Ragged, Requests, Schema
from recokit.errors import ConfigurationError, ContractError, DataError, NotFittedError
from recokit.protocols import traits_of
from recokit.testing import toy_dataset
from recokit.trace import Status

DAY = 86_400.0
DATA = toy_dataset()
SCHEMA = DATA.schema
N = DATA.n_items + 1
UNITS = np.append([0.0, 5.0, 0.0, 2.0, np.nan], np.full(N - 5, -1.0))


def batch_at(now: float, lists: list[list[int]], **options: Any) -> Candidates:
    requests = Requests.build(np.arange(1, len(lists) + 1), now=now, **options)
    return Candidates.from_lists(lists, requests=requests)


class TestAgeOfStock:
    updated = np.append([0.0, 1000.0, 1000.0, 400.0, 1000.0], np.zeros(N - 5))

    @pytest.mark.parametrize("live", [False, True])
    def test_what_was_known_too_long_ago_is_not_known(self, live: bool) -> None:
        units, updated = (Live(part) if live else part for part in (UNITS, self.updated))
        rule = rules.InStock(units, max_age="10min", updated_at=updated).bind(SCHEMA)
        assert rule.keep(batch_at(1000.0, [[1, 2, 3, 4, 5]])).tolist() == [True, False, True, False, False]
        assert rule.keep(batch_at(1100.0, [[1, 2, 3, 4, 5]])).tolist() == [True, False, False, False, False]

    def test_the_age_of_a_column_is_that_of_its_table(self) -> None:
        frame = {
            "item_id": [1, 2, 3],
            "units": [3.0, 3.0, 3.0],
            "updated_at": [1000.0, 10.0, float("nan")],
        }
        schema = Dataset.from_frame(None, items=frame).schema
        rule = rules.InStock("units", max_age="100s").bind(schema)
        assert rule.keep(batch_at(1050.0, [[1, 2, 3]])).tolist() == [True, False, False]
        with pytest.raises(ConfigurationError, match="items without updated_at"):
            rules.InStock("price", max_age="1h").bind(SCHEMA)

    def test_a_missing_age_is_too_old(self) -> None:
        updated = np.full(N, np.nan)
        rule = rules.InStock(np.ones(N), max_age="1h", updated_at=updated).bind(SCHEMA)
        assert not rule.keep(batch_at(0.0, [[1, 2]])).any()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"max_age": "soon", "updated_at": np.zeros(N)}, "max_age: "),
            ({"max_age": "1h"}, "expected both or none"),
            ({"updated_at": np.zeros(N)}, "expected both or none"),
            ({"timeout": 1.0}, "with a callable"),
        ],
    )
    def test_options_that_make_no_sense_are_refused(self, options: Any, message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            rules.InStock(np.ones(N), **options)
        with pytest.raises(ConfigurationError, match="timeout=0"):
            rules.InStock(lambda item: item, timeout=0)


class TestStockThatFails:
    def answer(self, stock: Any, **options: Any) -> rk.Recommendations:
        stages = [candidates.Popular(half_life=None), rules.InStock(stock, **options)]
        pipeline = rk.Pipeline(stages, fallback=candidates.Popular(half_life=None)).fit(DATA)
        return pipeline.recommend(["user-1", "user-2"], k=3, now=2e9)

    def test_a_source_that_raises_fails_closed(self) -> None:
        def broken(item: np.ndarray) -> np.ndarray:
            raise ConnectionError("no stock today")

        result = self.answer(broken)
        assert (result.status == Status.FAILED).all() and not len(result.item)
        assert "no stock today" in result.reasons[0][0]

    def test_a_source_that_hangs_fails_closed_in_time(self) -> None:
        release = threading.Event()

        def hung(item: np.ndarray) -> np.ndarray:
            release.wait(20)
            return np.ones(len(item))

        started = time.perf_counter()
        result = self.answer(hung, timeout=0.05)
        assert time.perf_counter() - started < 5
        release.set()
        assert (result.status == Status.FAILED).all() and not len(result.item)
        assert "found no answer from stock after 50 ms" in result.reasons[0][0]

    def test_a_source_that_answers_in_time_is_heard(self) -> None:
        result = self.answer(lambda item: (item % 2).astype(float), timeout=5.0)
        assert len(result.item) and (result.item % 2 == 1).all()

    @pytest.mark.parametrize(
        "stock",
        [lambda item: np.ones(1), lambda item: np.ones((len(item), 2)), Live(np.ones(3)), Live([1] * N)],
    )
    def test_the_wrong_length_is_a_contract_error(self, stock: Any) -> None:
        with pytest.raises(ContractError, match="found stock of"):
            self.answer(stock)

    def test_an_array_of_the_wrong_length_is_refused_when_bound(self) -> None:
        for options in (
            {"stock": np.ones(N + 1)},
            {"stock": np.ones(N), "updated_at": np.ones(3), "max_age": "9s"},
        ):
            with pytest.raises(ConfigurationError, match=f"expected \\({N},\\)"):
                rules.InStock(**options).bind(SCHEMA)


class TestLists:
    ids = DATA.item_ids.decode(np.arange(N)).tolist()

    def by_country(self, rule: Any, countries: list[Any]) -> list[list[bool]]:
        columns = {"country": np.array(countries, object)}
        batch = batch_at(0.0, [[1, 2, 3]] * len(countries), columns=columns)
        return rule.bind(SCHEMA).keep(batch).reshape(-1, 3).tolist()

    def test_each_label_has_its_list_and_an_unknown_one_sees_nothing(self) -> None:
        lists = {"DE": [self.ids[1]], "FR": [self.ids[2], self.ids[3]]}
        blocked = self.by_country(rules.Blocked(lists, by="country"), ["DE", "FR", "US", None])
        assert blocked == [[False, True, True], [True, False, False], [False] * 3, [False] * 3]
        allowed = self.by_country(rules.Allowed(lists, by="country"), ["DE", "FR", "US"])
        assert allowed == [[True, False, False], [False, True, True], [False] * 3]
        assert rules.Blocked(lists, by="country").requires == ("context.country",)

    def test_others_may_have_a_list(self) -> None:
        lists = {"DE": [self.ids[1]], "*": [self.ids[3]]}
        assert self.by_country(rules.Blocked(lists, by="country"), ["DE", "US"]) == [
            [False, True, True],
            [True, True, False],
        ]

    def test_a_recall_holds_from_the_next_request_on(self) -> None:
        recalled = Live([self.ids[2]], name="recalled")
        rule = rules.Blocked(recalled).bind(SCHEMA)
        batch = batch_at(0.0, [[1, 2, 3]])
        assert rule.keep(batch).tolist() == [True, False, True]
        recalled.set([self.ids[1], self.ids[2]])
        assert rule.keep(batch).tolist() == [False, False, True]
        with pytest.raises(NotFittedError, match="Blocked before bind"):
            rules.Blocked(recalled).keep(batch)
        with pytest.raises(DataError, match="expected int ids"):
            rules.Blocked(Live(["item-2"])).bind(SCHEMA)

    @pytest.mark.parametrize(
        ("items", "by"), [({"DE": [1]}, None), ([1], "country"), ("sponsored", "country"), (Live(5), None)]
    )
    def test_lists_and_labels_come_together(self, items: Any, by: Any) -> None:
        with pytest.raises(ConfigurationError, match="found items"):
            rules.Allowed(items, by=by)

    def test_what_is_both_allowed_and_blocked_is_not_shown(self) -> None:
        both = [self.ids[1], self.ids[2]]
        stages = [candidates.Popular(half_life=None), rules.Allowed(both), rules.Blocked(both)]
        result = rk.Pipeline(stages, fallback=candidates.Popular()).fit(DATA).recommend([None], k=3, now=2e9)
        assert result.ids(0) == [] and result.status[0] == Status.EMPTY
        assert result.reasons[0][0] == "no item passed every hard rule"


class TestRepurchase:
    def keep(self, rule: rules.NotOwned, schema: Schema, timed: bool = True) -> list[bool]:
        owned = Ragged.from_lists([[1, 1, 2, 3]])
        if timed:
            owned = replace(owned, columns={"timestamp": DAY * np.array([10.0, 90.0, 60.0, 95.0])})
        return rule.bind(schema).keep(batch_at(100 * DAY, [[1, 2, 3, 4]], ragged={"owned": owned})).tolist()

    def schema(self) -> Schema:
        items = {
            "item_id": [1, 2, 3, 4],
            "consumable": [True, True, True, True],
            "lasts": [30.0, 30.0, None, 1.0],
        }
        return Dataset.from_frame(None, items=items).schema

    def test_consumables_come_back_after_a_time(self) -> None:
        schema = self.schema()
        assert self.keep(rules.NotOwned(except_for="consumable"), schema) == [True] * 4
        rule = rules.NotOwned(except_for="consumable", again_after="30D")
        assert self.keep(rule, schema) == [False, True, False, True]  # the last purchase decides
        assert self.keep(rule, schema, timed=False) == [False, False, False, True]

    def test_how_long_an_item_lasts_may_be_a_column(self) -> None:
        rule = rules.NotOwned(except_for="consumable", again_after="item.lasts")
        assert self.keep(rule, self.schema()) == [False, True, False, True]
        assert rule.requires == ("owned", "item.consumable", "item.lasts")

    def test_it_needs_to_know_what_may_be_bought_again(self) -> None:
        with pytest.raises(ConfigurationError, match="without except_for"):
            rules.NotOwned(again_after="30D")
        with pytest.raises(ConfigurationError, match="found no item column 'last'"):
            rules.NotOwned(except_for="consumable", again_after="item.last").bind(self.schema())


class TestFrequencyCap:
    log = Dataset.from_frame(
        {
            "user_id": [1, 1, 1, 2, 1],
            "item_id": [7, 7, 8, 7, 7],
            "timestamp": [10.0, 20.0, 25.0, 26.0, 30.0],
            "event": ["impression", "impression", "impression", "impression", "click"],
        }
    )

    def keep(self, rule: rules.FrequencyCap, now: float, **options: Any) -> list[bool]:
        requests = Requests.build(np.array([1, 2, 0]), now=now, **options)
        return rule.keep(Candidates.from_lists([[1, 2]] * 3, requests=requests)).tolist()

    def test_what_was_shown_often_enough_within_the_window_is_out(self) -> None:
        rule = rules.FrequencyCap(2, "100s").fit(self.log)
        assert self.keep(rule, 40.0) == [False, True, True, True, True, True]
        assert self.keep(rule, 20.0) == [True] * 6  # strictly before
        assert self.keep(rule, 115.0) == [True] * 6
        assert self.keep(rules.FrequencyCap(1, "100s").fit(self.log), 40.0) == [
            False,
            False,
            False,
            True,
            True,
            True,
        ]

    def test_three_impressions_in_seven_days_are_enough_by_default(self) -> None:
        day = 86_400.0
        times, events = [1.0, 2.0, 3.0, 3.0], ["impression", "impression", "impression", "click"]
        log = {"user_id": [1] * 4, "item_id": [7] * 4, "timestamp": times, "event": events}
        rule = rules.FrequencyCap().fit(Dataset.from_frame(log))
        batches = [
            Candidates.from_lists([[1]], requests=Requests.build(np.array([1]), now=now))
            for now in (3.0, 4.0, 7 * day + 0.5, 7 * day + 1.5)
        ]
        assert [rule.keep(batch).tolist() for batch in batches] == [[True], [False], [False], [True]]
        assert rule.requires == () and rule.fitted_until_ == 3.0

    def test_it_looks_at_the_time_of_each_request_so_it_may_learn_from_later_data(self) -> None:
        rule = rules.FrequencyCap(1, "100s")
        assert traits_of(rule).as_of
        assert self.keep(rule.fit(self.log), 15.0) == [False, True, True, True, True, True]

    def test_several_types_count_together(self) -> None:
        rule = rules.FrequencyCap(3, "100s", events=["impression", "click"]).fit(self.log)
        assert self.keep(rule, 40.0) == [False, True, True, True, True, True]

    def test_live_events_count_too(self) -> None:
        tail = LiveEvents()
        rule = rules.FrequencyCap(2, "100s", live_events=tail).fit(self.log)
        tail.append({"user_id": [2], "item_id": [7], "timestamp": [35.0], "event": ["impression"]}, now=1e3)
        assert self.keep(rule, 40.0) == [False, True, False, True, True, True]

    def test_types_may_come_with_the_tail_only(self) -> None:
        tail = LiveEvents()
        rule = rules.FrequencyCap(1, "100s", events=["view"], live_events=tail).fit(self.log)
        assert self.keep(rule, 40.0) == [True] * 6
        tail.append({"user_id": [1], "item_id": [8], "timestamp": [35.0], "event": ["view"]}, now=1e3)
        assert self.keep(rule, 40.0) == [True, False, True, True, True, True]
        with pytest.raises(ConfigurationError, match="found no event type view"):
            rules.FrequencyCap(events=["view"]).fit(self.log)

    def test_a_list_of_the_requests_counts_too(self) -> None:
        shown = Ragged.from_lists([[], [1], [2, 2]])
        rule = rules.FrequencyCap(2, "100s", shown="shown").fit(self.log)
        assert rule.requires == ("shown",)
        assert self.keep(rule, 40.0, ragged={"shown": shown}) == [False, True, False, True, True, False]
        timed = replace(shown, columns={"timestamp": np.array([-100.0, 39.0, -99.0])})
        assert self.keep(rule, 40.0, ragged={"shown": timed}) == [False, True, True, True, True, True]

    @pytest.mark.parametrize("options", [{"maximum": 0}, {"events": "impression"}, {"events": []}])
    def test_options_out_of_range_are_refused(self, options: Any) -> None:
        with pytest.raises(ConfigurationError):
            rules.FrequencyCap(**options)
        with pytest.raises(NotFittedError, match="FrequencyCap before fit"):
            self.keep(rules.FrequencyCap(), 1.0)
