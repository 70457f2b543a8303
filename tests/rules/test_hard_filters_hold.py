"""Hard filters hold whatever a user did, and on every way out of a pipeline."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.data import Dataset, Live, LiveEvents, Ragged, Retrieved, UserHistory
from recokit.errors import DataError
from recokit.testing import toy_dataset
from recokit.trace import Status

TOYS = toy_dataset()

N_ITEMS = 1_500


@pytest.fixture(scope="module")
def heavy() -> Dataset:
    """Ann did something with 1,200 items, the first 200 of which a history of 1,000 events leaves out."""
    seen = np.arange(1, 1_201)
    log = {
        "user_id": ["ann"] * len(seen) + ["bob"] * N_ITEMS,
        "item_id": [*seen, *range(1, N_ITEMS + 1)],
        "timestamp": [*(1e9 + seen), *(2e9 - np.arange(N_ITEMS))],
        "event": ["view" if i % 2 else "purchase" for i in seen] + ["view"] * N_ITEMS,
    }
    return Dataset.from_frame(log, now=3e9)


class TestNothingSeenComesAgain:
    @pytest.mark.parametrize(
        "stages",
        [
            [candidates.Popular(half_life=None), rules.NotSeen()],
            [UserHistory(max_events=3), candidates.Popular(half_life=None), rules.NotSeen()],
            [UserHistory(events=("view",)), candidates.Popular(half_life=None), rules.NotSeen()],
            [candidates.Unseen(candidates.Popular(half_life=None))],
            [UserHistory(max_events=3), candidates.Unseen(candidates.Popular(half_life=None))],
        ],
        ids=["cap", "own cap", "own events", "unseen", "unseen, own cap"],
    )
    def test_however_long_ago(self, heavy: Dataset, stages: list[object]) -> None:
        source = (
            rk.Step(stages[-2], limit=N_ITEMS) if len(stages) > 1 and "NotSeen" in repr(stages[-1]) else None
        )
        if source is not None:
            stages = [*stages[:-2], source, stages[-1]]
        answer = rk.Pipeline(stages).fit(heavy).recommend(["ann"], k=N_ITEMS, now=3e9)
        assert len(answer.ids(0)) > 0
        assert min(answer.ids(0)) > 1_200

    def test_with_events_that_came_since(self, heavy: Dataset) -> None:
        events = LiveEvents()
        pipeline = rk.Pipeline(
            [
                UserHistory(max_events=3, live_events=events),
                rk.Step(candidates.Popular(half_life=None), limit=N_ITEMS),
                rules.NotSeen(),
            ]
        ).fit(heavy)
        events.append(
            {"user_id": ["ann"] * 5, "item_id": [*range(1_201, 1_206)], "timestamp": [2.5e9] * 5}, now=3e9
        )
        shown = pipeline.recommend(["ann"], k=N_ITEMS, now=3e9).ids(0)
        assert sorted(shown) == list(range(1_206, N_ITEMS + 1))

    def test_a_history_that_the_caller_gives_is_all_there_is(self, heavy: Dataset) -> None:
        pipeline = rk.Pipeline(
            [
                UserHistory(max_events=3),
                rk.Step(candidates.Popular(half_life=None), limit=N_ITEMS),
                rules.NotSeen(),
            ]
        ).fit(heavy)
        answer = pipeline.recommend(["ann", "ann"], k=N_ITEMS, now=3e9, history=[[7], None])
        assert len(answer.ids(0)) == N_ITEMS - 1
        assert min(answer.ids(1)) > 1_200

    def test_the_history_itself_stays_short(self, heavy: Dataset) -> None:
        pipeline = rk.Pipeline([candidates.Popular(half_life=None), rules.NotSeen()]).fit(heavy)
        requests = pipeline.candidates(pipeline.requests(["ann", "nobody"], now=3e9)).requests
        assert requests.lists("history").counts.tolist() == [1_000, 0]
        assert requests.lists("earlier").counts.tolist() == [1_200, 0]


LAUNCH = 1.5e9


@pytest.fixture(scope="module")
def shop() -> Dataset:
    """Ten items that everybody takes together; item 3 is launched later, 4 is for adults, 5 of a seller of its own."""
    pairs = [(user, item) for user in range(1, 31) for item in range(1, 11) if (user + item) % 3]
    log = {
        "user_id": [user for user, _ in pairs],
        "item_id": [item for _, item in pairs],
        "timestamp": [1e9 + 10 * user + item for user, item in pairs],
    }
    items = {
        "item_id": [*range(1, 11)],
        "launch": [LAUNCH if item == 3 else 0.0 for item in range(1, 11)],
        "adult": [item == 4 for item in range(1, 11)],
        "seller": ["one" if item == 5 else "two" for item in range(1, 11)],
    }
    return Dataset.from_frame(log, items=items, now=3e9)


RULES = [
    rules.Blocked([2]),
    rk.Step(rules.Where("request.now >= item.launch"), name="launched"),
    rules.Where("not item.adult or request.age >= 18"),
]


def lists_of(pipeline: rk.Pipeline, way: str, **options: object) -> list[int]:
    if way == "similar_items":
        return pipeline.similar_items([1], k=10, **options).ids(0)
    if way == "items":
        return pipeline.recommend([None], k=10, items=[[*range(1, 11)]], **options).ids(0)
    if way == "complete":
        requests = pipeline.requests([None], k=10, **options)
        return pipeline.complete(requests, Ragged.from_lists([[*range(1, 11)]])).ids(0)
    if way == "non_profiling":
        return pipeline.non_profiling().recommend([None], k=10, **options).ids(0)
    return pipeline.recommend([None], k=10, **options).ids(0)


WAYS = [
    "recommend",
    "similar_items",
    "items",
    "complete",
    "non_profiling",
    "fallback",
    "as_source",
    "fallback as source",
]


@pytest.fixture(scope="module")
def pipelines(shop: Dataset) -> dict[str, rk.Pipeline]:
    knn, popular = candidates.ItemKNN(), candidates.Popular(half_life=None)
    direct = rk.Pipeline([candidates.Merge([knn, popular]), *RULES]).fit(shop)
    empty = candidates.FromFunction(lambda requests, limit: [[]] * len(requests))
    found = dict.fromkeys(WAYS[:5], direct)
    found["fallback"] = rk.Pipeline([empty, *RULES], fallback=popular).fit(shop)
    found["as_source"] = rk.Pipeline([direct.as_source()]).fit(shop)
    found["fallback as source"] = rk.Pipeline([empty], fallback=direct.as_source()).fit(shop)
    return found


class TestEveryWayOut:
    @pytest.mark.parametrize("way", WAYS)
    def test_filters_hold(self, pipelines: dict[str, rk.Pipeline], way: str) -> None:
        shown = lists_of(pipelines[way], way, now=LAUNCH - 1, context={"age": 17})
        assert len(shown) >= 6
        assert not {2, 3, 4} & {*shown}

    @pytest.mark.parametrize("way", WAYS)
    def test_time_and_context_are_those_of_the_call(
        self, pipelines: dict[str, rk.Pipeline], way: str
    ) -> None:
        shown = lists_of(pipelines[way], way, now=LAUNCH, context={"age": 18})
        assert {3, 4} <= {*shown} and 2 not in shown

    @pytest.mark.parametrize("way", WAYS)
    def test_what_is_excluded_is_not_shown(self, pipelines: dict[str, rk.Pipeline], way: str) -> None:
        shown = lists_of(pipelines[way], way, now=LAUNCH, context={"age": 18}, exclude=[[3, 6]])
        assert len(shown) >= 6
        assert not {2, 3, 6} & {*shown}


class TestSimilarItems:
    def test_stock_of_this_moment_holds(self, shop: Dataset) -> None:
        stock = Live(np.array([0.0, *[1.0] * 10]), name="stock")
        pipeline = rk.Pipeline([candidates.ItemKNN(), rules.InStock(stock)]).fit(shop)
        assert 6 in pipeline.similar_items([1]).ids(0)
        stock.set(np.where(np.arange(11) == 6, 0.0, 1.0))
        assert 6 not in pipeline.similar_items([1]).ids(0)

    def test_the_list_is_as_long_as_the_rules_allow(self, heavy: Dataset) -> None:
        """However many of the most similar items are blocked, those after them come."""
        blocked = rules.Blocked([*range(2, 1_100)])
        content = candidates.FromFunction(lambda requests, limit: [[]] * len(requests))
        pipeline = rk.Pipeline([candidates.Merge([content, Neighbours()]), blocked]).fit(heavy)
        assert pipeline.similar_items([1], k=5).ids(0) == [1_100, 1_101, 1_102, 1_103, 1_104]

    def test_hard_limits_and_labels_hold_and_soft_ones_play_no_part(self, shop: Dataset) -> None:
        hard = rk.Pipeline([candidates.ItemKNN(), rules.MaxPerGroup("seller", 1, hard=True)]).fit(shop)
        assert len(hard.similar_items([1]).ids(0)) == 2
        soft = rk.Pipeline([candidates.ItemKNN(), rules.MaxPerGroup("seller", 1), rules.Pinned({9: 1})]).fit(
            shop
        )
        plain = rk.Pipeline([candidates.ItemKNN()]).fit(shop).similar_items([1])
        assert soft.similar_items([1]).ids(0) == plain.ids(0)
        labelled = rk.Pipeline([candidates.ItemKNN(), rules.Disclose("adult")]).fit(shop).similar_items([1])
        assert labelled.columns["labels"][labelled.item == 4].tolist() == ["adult"]

    def test_rules_on_persons_hold_for_whoever_looks(self, shop: Dataset) -> None:
        pipeline = rk.Pipeline([candidates.ItemKNN(), rules.NotSeen()]).fit(shop)
        known = pipeline.similar_items([1, 1], users=[3, None], now=2e9)
        seen = {item for item in range(1, 11) if (3 + item) % 3}
        assert not seen & {*known.ids(0)} and len(known.ids(1)) == 9
        with pytest.raises(DataError, match="found 1 users; expected 2"):
            pipeline.similar_items([1, 2], users=[3])

    def test_empty_lists_say_why(self, shop: Dataset) -> None:
        pipeline = rk.Pipeline([candidates.ItemKNN(), rules.Blocked([*range(1, 11)])]).fit(shop)
        answer = pipeline.similar_items([1, 99])
        assert answer.reasons == (("no item passed every hard rule",), ("unknown item",))

    def test_with_a_ranker_and_its_reasons(self) -> None:
        data = rk.testing.toy_dataset()
        pipeline = rk.Pipeline(
            [candidates.ItemKNN(), features.Standard(), rankers.LogisticRegression(), rules.Reasons()]
        ).fit(data, label_window="7D")
        answer = pipeline.similar_items(data.item_ids.ids[:1], k=3, now=data.until)
        assert len(answer.ids(0)) == 3
        assert answer.status.tolist() == [Status.OK]
        assert [reason.partition("=")[0] for reason in answer.columns["reasons"]] == ["source.item_knn"] * 3


class Neighbours:
    """Source whose items are like those with the next ids."""

    def retrieve(self, requests, limit):
        return Retrieved.empty(len(requests))

    def similar(self, items, k):
        item = np.stack([np.arange(code + 1, min(code + 1 + k, N_ITEMS + 1)) for code in items.tolist()])
        return Retrieved.from_padded(item, -item.astype(float))


@pytest.mark.parametrize("nested", [False, True], ids=["alone", "first of"])
def test_unseen_holds_for_the_callers_own_items_where_every_source_is_one(nested):
    source = candidates.Unseen(candidates.Popular(half_life=None))
    everywhere = candidates.FirstOf([source, candidates.Unseen(candidates.ItemKNN())]) if nested else source
    user = TOYS.user_ids.ids[TOYS.interactions.user[-1] - 1]
    mine = {
        *TOYS.item_ids.decode(
            TOYS.interactions.item[TOYS.interactions.user == TOYS.interactions.user[-1]]
        ).tolist()
    }
    everything = TOYS.item_ids.ids.tolist()
    ask = {
        "users": [user, None],
        "k": len(everything),
        "items": [everything, everything],
        "now": TOYS.until + 1,
    }
    strict = rk.Pipeline([everywhere]).fit(TOYS).recommend(**ask)
    assert set(strict.ids(0)) == {*everything} - mine and set(strict.ids(1)) == {*everything}
    mixed = rk.Pipeline([candidates.Merge([source, candidates.ItemKNN()])]).fit(TOYS).recommend(**ask)
    assert set(mixed.ids(0)) == {*everything}  # one source gives what was seen: so may the caller
