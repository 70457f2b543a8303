"""The policy for new users, and sources without a model: trends, lists, chance, what is due."""

from __future__ import annotations

import numpy as np
import pytest

from recokit.candidates import (
    ColdStart,
    Content,
    Editorial,
    Explore,
    FirstOf,
    GraphFilter,
    History,
    Popular,
    Repurchase,
    Trending,
)
from recokit.data import DAY, Dataset, Ragged, Requests, Retrieved
from recokit.errors import ConfigurationError, DataError

ITEMS = {"item_id": [1, 2, 3, 4, 5, 6], "genre": ["war", "war", "love", "love", "war", "love"]}
DATA = Dataset.from_frame(
    {"user": [1, 1, 2, 2, 2, 3], "item": [3, 4, 3, 1, 2, 3], "timestamp": np.arange(6) * DAY}, items=ITEMS
)


def ask(*histories: list[int], seed: int = 0, now: float = 0.0, **ragged: list[list[int]]) -> Requests:
    named = {"history": list(histories), **ragged}
    return Requests.build(
        np.zeros(len(histories), np.int64),
        seed=seed,
        now=now,
        ragged={name: Ragged.from_lists(values) for name, values in named.items()},
    )


def lists(found: Retrieved) -> list[list[int]]:
    return [found.item[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


class TestColdStart:
    stages = ((0, Popular()), (1, Content()), (5, GraphFilter()))

    def test_each_row_gets_the_answer_of_its_stage(self) -> None:
        policy = ColdStart(self.stages).fit(DATA)
        requests = ask([], [5], [5, 0, 1, 1, 2, 3], [0, 0, 0, 0, 0, 0], [1, 2, 3, 4])
        assert policy.stage_of(requests).tolist() == [0, 1, 2, 0, 1]
        found = lists(policy.retrieve(requests, 4))
        for row, (_, source) in enumerate((*self.stages, self.stages[0], self.stages[1])):
            assert found[row] == lists(source.fit(DATA).retrieve(requests.take(np.array([row])), 4))[0]

    def test_onboarding_choices_are_a_history(self) -> None:
        empty = Dataset.from_frame(None, items=ITEMS)
        policy = ColdStart([(0, Popular()), (1, FirstOf([Content(), Popular()], min_items=4))]).fit(empty)
        found = lists(policy.retrieve(ask([], [3], exclude=[[], [3]]), 4))
        assert len(found[0]) == 4
        assert found[1][:2] == [4, 6] and len(found[1]) == 4

    @pytest.mark.parametrize("stages", [[], [(1, Popular())], [(0, Popular()), (0, Popular())]])
    def test_stages_that_leave_a_gap(self, stages: list[tuple[int, Popular]]) -> None:
        with pytest.raises(ConfigurationError, match="start at 0"):
            ColdStart(stages)
        with pytest.raises(ConfigurationError, match="retrieve"):
            ColdStart([(0, 3)])


def test_repurchase_answers_more_rows_than_one_sort_key_has_room_for() -> None:
    n = 1 << 15
    bought = np.tile(np.arange(1, n + 1), 2)
    data = Dataset.from_frame({"user": bought, "item": bought, "timestamp": np.repeat([0.0, DAY], n)})
    history = Ragged(np.arange(n + 2), np.append(np.arange(1, n + 1), 1), {"timestamp": np.zeros(n + 1)})
    requests = Requests.build(np.zeros(n + 1, np.int64), now=DAY, ragged={"history": history})
    assert Repurchase().fit(data).retrieve(requests, 1).item.tolist() == history.values.tolist()


class TestTrending:
    def test_sure_growth_beats_growth_from_nothing(self) -> None:
        day = [*([1] * 40), *([8] * 80), *([8] * 3), *([1] * 50), *([8] * 40)]
        item = [*([1] * 40), *([1] * 80), *([2] * 3), *([3] * 50), *([3] * 40)]
        data = Dataset.from_frame({"user": np.arange(1, 214), "item": item, "timestamp": np.array(day) * DAY})
        source = Trending(window="6D").fit(data)
        found = source.retrieve(ask([], [], exclude=[[], [1]]), 5)
        assert lists(found) == [[1, 2], [2]]
        np.testing.assert_allclose(found.score[0], 40 / np.sqrt(121), rtol=1e-6)

    def test_options(self) -> None:
        with pytest.raises(ConfigurationError, match="smoothing"):
            Trending(smoothing=-1)
        with pytest.raises(ConfigurationError, match="window"):
            Trending(window="soon")


class TestEditorial:
    def test_in_order_and_while_it_is_valid(self) -> None:
        source = Editorial([4, 1, 6], start=10.0, end=20.0).fit(DATA)
        requests = Requests.build(np.zeros(4, np.int64), now=np.array([9.0, 10, 19.9, 20]))
        assert lists(source.retrieve(requests, 2)) == [[], [4, 1], [4, 1], []]
        assert lists(Editorial([4, 1, 6]).fit(DATA).retrieve(ask([], exclude=[[4]]), 2)) == [[1, 6]]

    def test_lists_that_cannot_be(self) -> None:
        with pytest.raises(DataError, match="2 of 3 ids that the catalogue lacks, such as 77, 78"):
            Editorial([1, 77, 78]).fit(DATA)
        for options in (
            {"items": []},
            {"items": [1, 1]},
            {"items": "abc"},
            {"items": [1], "start": 2.0, "end": 1.0},
        ):
            with pytest.raises(ConfigurationError):
                Editorial(**options)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="identifier"):
            Editorial([1], name="a b")


class TestExplore:
    def test_the_logged_propensity_is_the_frequency(self) -> None:
        source = Explore().fit(DATA)
        drawn = np.zeros(7)
        n = 3000
        for seed in range(n):
            found = source.retrieve(ask([], seed=seed, exclude=[[2, 2, 99]]), 2)
            drawn[found.item] += 1
            assert found.score.tolist() == pytest.approx([0.4, 0.4])
        assert drawn[[0, 2]].tolist() == [0, 0]
        # Five standard deviations.
        assert abs(drawn[[1, 3, 4, 5, 6]] / n - 0.4).max() < 5 * np.sqrt(0.24 / n)

    def test_seeds_decide_and_little_known_items_can_be_asked_for(self) -> None:
        source = Explore(max_events=0).fit(DATA)
        found = source.retrieve(ask([], []), 9)
        assert sorted(found.item.tolist()) == [5, 5, 6, 6]
        assert found.score.tolist() == [1.0] * 4
        first = Explore().fit(DATA).retrieve(ask([], seed=5), 3)
        assert lists(first) == lists(Explore().fit(DATA).retrieve(ask([], seed=5), 3))
        assert len({str(lists(Explore().fit(DATA).retrieve(ask([], seed=s), 3))) for s in range(9)}) > 1
        with pytest.raises(ConfigurationError, match="max_events"):
            Explore(max_events=-1)


class TestRepurchase:
    log = Dataset.from_frame(
        {
            "user": [1, 1, 1, 2, 2, 1, 2],
            "item": [1, 1, 1, 1, 1, 2, 3],
            "timestamp": np.array([0, 10, 20, 0, 30, 0, 0]) * DAY,
        }
    )

    def at(self, today: float, **lists_of: list[float]) -> Requests:
        item, when = np.array(lists_of["item"], np.int64), np.array(lists_of["day"]) * DAY
        history = Ragged(np.array([0, len(item)]), item, {"timestamp": when})
        return Requests.build(np.array([0]), now=today * DAY, ragged={"history": history})

    def test_the_cadence_is_the_users_own_else_the_items(self) -> None:
        source = Repurchase(strength=1.0).fit(self.log)
        overall = (10 + 10 + 30) / 3
        np.testing.assert_allclose(source.cadence_[1] / DAY, (50 + overall) / 4)
        np.testing.assert_allclose(source.cadence_[3] / DAY, overall)
        found = source.retrieve(self.at(14, item=[1, 1, 2], day=[0, 7, 10]), 5)
        # Item 1 every 7 days: due today. Item 2 was taken 4 days ago, every 17: too early.
        assert found.item.tolist() == [1]
        np.testing.assert_allclose(found.score, [0.75])

    def test_too_early_and_long_gone(self) -> None:
        source = Repurchase().fit(self.log)
        early, due, late = (
            source.retrieve(self.at(day, item=[1, 1], day=[0, 10]), 5) for day in (12, 20, 40)
        )
        assert len(early.item) == 0
        assert due.score[0] > late.score[0] > 0

    def test_without_times_or_repeats_there_is_nothing(self) -> None:
        assert len(Repurchase().fit(self.log).retrieve(ask([1, 2]), 5).item) == 0
        once = Dataset.from_frame({"user": [1], "item": [1], "timestamp": [0.0]})
        assert len(Repurchase().fit(once).retrieve(self.at(9, item=[1], day=[0]), 5).item) == 0
        with pytest.raises(ConfigurationError, match="earliest"):
            Repurchase(earliest=-1)
        with pytest.raises(ConfigurationError, match="strength"):
            Repurchase(strength=0)


def test_excluded_items_use_up_no_place_in_lists_without_a_model() -> None:
    assert lists(Popular(half_life=None).fit(DATA).retrieve(ask([], exclude=[[3, 1]]), 2)) == [[2, 4]]
    assert History().retrieve(ask([5, 5, 6], exclude=[[5]]), 1).item.tolist() == [6]
