"""A user's own code speaks external ids: integers are never taken for codes."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, rankers, rules
from recokit.data import CandidatesById, Dataset, Live, RequestsById, Retrieved
from recokit.errors import DataError, NotFittedError
from recokit.trace import Status

FILMS = [318, 356, 296, 593, 260, 480, 2571, 1]


def films(kind: type = int) -> Dataset:
    """Eight films whose ids are not their codes; one user, 70."""
    log = {"user_id": [70] * 8, "item_id": [kind(film) for film in FILMS], "timestamp": [*range(8)]}
    items = {
        "item_id": [kind(film) for film in FILMS],
        "genre": ["drama", "comedy"] * 4,
        "year": [*range(1990, 1998)],
    }
    return Dataset.from_frame(log, items=items)


def listed(*stages: Any, user: Any = 70, kind: type = int, **options: Any) -> list[Any]:
    return rk.Pipeline([*stages]).fit(films(kind)).recommend([user], k=8, now=100.0, **options).ids(0)


POPULAR = candidates.Popular(half_life=None)


class TestSources:
    @pytest.mark.parametrize(
        "answer",
        [
            [[318, 356, 296]],
            ((318, 356, 296),),
            np.array([[318, 356, 296]]),
            np.array([[318, 356, 296, 0, -1]]),
            [np.array([318, 356, 296])],
            [[318, None, 356, 99, 296]],
            np.array([[318, 356, None, 296]], object),
        ],
        ids=["lists", "tuples", "array", "padded", "arrays", "unknown ones", "objects"],
    )
    def test_ids_are_ids(self, answer: Any) -> None:
        assert listed(candidates.FromFunction(lambda requests, limit: answer)) == [318, 356, 296]

    def test_text_ids_too(self) -> None:
        source = candidates.FromFunction(lambda requests, limit: np.array([["318", "356", ""]]))
        assert listed(source, kind=str) == ["318", "356"]

    def test_inside_a_merge_and_as_fallback(self) -> None:
        source = candidates.FromFunction(lambda requests, limit: [[318, 356]] * len(requests), name="own")
        assert listed(candidates.Merge([source])) == [318, 356]
        empty = candidates.FromFunction(lambda requests, limit: [[]] * len(requests))
        filled = rk.Pipeline([empty], fallback=source).fit(films()).recommend([None], k=8, now=100.0)
        assert filled.ids(0) == [318, 356]

    def test_codes_on_request(self) -> None:
        codes = films().item_ids.encode([318, 356]).tolist()
        assert listed(candidates.FromFunction(lambda requests, limit: [codes], codes=True)) == [318, 356]
        ready = Retrieved.from_padded(np.array([codes]), np.zeros((1, 2)))
        assert listed(candidates.FromFunction(lambda requests, limit: ready)) == [318, 356]

    def test_they_see_who_asks_also_newcomers(self) -> None:
        seen: list[Any] = []

        def spy(requests: RequestsById, limit: int) -> list[list[int]]:
            seen.append((requests.user_ids.tolist(), requests.user.tolist(), requests.lists("history")))
            return [[318]] * len(requests)

        source = candidates.FromFunction(spy, requires=("history",))
        pipeline = rk.Pipeline([source]).fit(films())
        seen.clear()  # fit has tried it
        pipeline.recommend([70, 71, None], now=2.5)
        assert seen == [([70, 71, None], [70, 71, None], [[318, 356, 296], [], []])]

    def test_none_that_the_catalogue_has_is_told(self) -> None:
        pipeline = rk.Pipeline([candidates.FromFunction(lambda requests, limit: [[7, 8]])]).fit(films())
        answer = pipeline.recommend([70], now=100.0)
        assert "no item id that the catalogue has" in str(answer.reasons)


class TestFilters:
    @pytest.mark.parametrize("name", ["item", "item_ids"])
    def test_a_function_sees_ids(self, name: str) -> None:
        rule = rules.FromFunction(lambda batch: np.isin(getattr(batch, name), [318, 356]))
        assert sorted(listed(POPULAR, rule)) == [318, 356]

    def test_and_users_columns_and_times(self) -> None:
        seen: list[Any] = []

        def rule(batch: CandidatesById) -> np.ndarray:
            seen.append(
                (set(batch.user_ids.tolist()), set(batch.user.tolist()), batch.requests.user_ids.tolist())
            )
            return (batch.item_column("genre") == "drama") & (batch.item_column("item.year") > 1993)

        assert sorted(listed(POPULAR, rules.FromFunction(rule), user=71)) == [260, 2571]
        assert seen[-1] == ({71}, {71}, [71])

    def test_codes_on_request(self) -> None:
        code = films().item_ids.encode([318])[0]
        assert listed(POPULAR, rules.FromFunction(lambda batch: batch.item == code, codes=True)) == [318]


class TestRankers:
    def test_a_function_sees_ids(self) -> None:
        ranker = rankers.FromFunction(lambda batch: np.isin(batch.item, [260, 1]).astype(float))
        assert set(listed(POPULAR, ranker)[:2]) == {260, 1}

    def test_codes_on_request(self) -> None:
        ranker = rankers.FromFunction(lambda batch: -batch.item, codes=True)
        assert listed(POPULAR, ranker) == films().item_ids.decode([1, 2, 3, 4, 5, 6, 7, 8]).tolist()


def series(values: dict[Any, Any]) -> Any:
    pandas = pytest.importorskip("pandas")
    return pandas.Series(values)


class TestStock:
    @pytest.mark.parametrize("form", [dict, series, lambda value: Live(value, name="stock")])
    @pytest.mark.parametrize("kind", [int, str])
    def test_by_id(self, form: Any, kind: type) -> None:
        stock = {
            kind(318): 5,
            kind(356): 1,
            kind(296): 0,
            kind(593): -1,
            kind(99): 7,
            kind(260): float("nan"),
        }
        assert sorted(listed(POPULAR, rules.InStock(form(stock)), kind=kind)) == [kind(318), kind(356)]

    def test_live_stock_by_id_changes(self) -> None:
        stock = Live({318: 1}, name="stock")
        pipeline = rk.Pipeline([POPULAR, rules.InStock(stock)]).fit(films())
        assert pipeline.recommend([70], now=9.0).ids(0) == [318]
        stock.set({356: 1})
        assert pipeline.recommend([70], now=9.0).ids(0) == [356]
        stock.set(series({296: 1}))
        assert pipeline.recommend([70], now=9.0).ids(0) == [296]

    def test_a_function_gets_ids_or_codes_on_request(self) -> None:
        assert sorted(listed(POPULAR, rules.InStock(lambda items: np.isin(items, [318, 356])))) == [318, 356]
        code = films().item_ids.encode([318])[0]
        assert listed(POPULAR, rules.InStock(lambda items: items == code, codes=True)) == [318]
        slow = rules.InStock(lambda items: np.isin(items, [318]), timeout=5.0)
        assert listed(POPULAR, slow) == [318]

    def test_ages_by_id(self) -> None:
        stock = rules.InStock({318: 1, 356: 1, 296: 1}, max_age="10s", updated_at={318: 95.0, 356: 80.0})
        assert listed(POPULAR, stock) == [318]

    def test_ids_of_the_wrong_kind_are_found_by_fit(self) -> None:
        for wrong in ({"318": 1}, Live({"318": 1}, name="stock"), {318: "many"}):
            with pytest.raises(DataError):
                listed(POPULAR, rules.InStock(wrong))
        with pytest.raises(NotFittedError):
            rules.InStock({318: 1}).keep(rk.data.Candidates.from_lists([[1]]))

    def test_saved_and_loaded(self, tmp_path: Any) -> None:
        pipeline = rk.Pipeline([POPULAR, rules.InStock({318: 1, 356: 0})]).fit(films())
        pipeline.save(tmp_path / "model")
        assert rk.Pipeline.load(tmp_path / "model").recommend([70], now=9.0).ids(0) == [318]


class TestLists:
    def test_blocked_allowed_pinned_and_editorial(self) -> None:
        assert 318 not in listed(POPULAR, rules.Blocked([318]))
        assert sorted(listed(POPULAR, rules.Allowed([318, 356]))) == [318, 356]
        assert listed(POPULAR, rules.Pinned({2571: 1}))[0] == 2571
        assert listed(candidates.Editorial([260, 1])) == [260, 1]


def test_whoever_asks_not_to_be_profiled_is_nobody_to_functions_too() -> None:
    seen: list[Any] = []

    def spy(requests: RequestsById, limit: int) -> list[list[int]]:
        seen.extend(requests.user_ids.tolist())
        return [[318]] * len(requests)

    pipeline = rk.Pipeline([candidates.FromFunction(spy)]).fit(films())
    seen.clear()
    pipeline.non_profiling().recommend([70], now=9.0)
    pipeline.non_profiling().run(pipeline.requests([70], now=9.0))
    assert seen == [None, None]


def test_requests_made_of_codes_know_their_users() -> None:
    pipeline = rk.Pipeline([POPULAR]).fit(films())
    answer = pipeline.run(rk.data.Requests.build(np.array([1, 0]), now=9.0))
    assert answer.trace.requests.user_ids.tolist() == [70, None]
    assert answer.status.tolist() == [Status.OK, Status.OK]
