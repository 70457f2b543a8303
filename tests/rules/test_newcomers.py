"""Users who registered after fit: sessions, live events and stores know them by their external ids."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rules, stores
from recokit.data import Dataset, LiveEvents, UserHistory


@pytest.fixture(scope="module", params=[int, str])
def kind(request: Any) -> type:
    return request.param


@pytest.fixture(scope="module")
def shop(kind: type) -> Dataset:
    """Two tastes: some users take items 1 to 6, the others 11 to 16."""
    pairs = [
        (user, item + 10 * (user % 2)) for user in range(1, 41) for item in range(1, 7) if (user + item) % 4
    ]
    log = {
        "user_id": [kind(user) for user, _ in pairs],
        "item_id": [kind(item) for _, item in pairs],
        "timestamp": [float(place) for place, _ in enumerate(pairs)],
    }
    return Dataset.from_frame(log)


def clicks(kind: type, user: int, items: list[int]) -> dict[str, list[Any]]:
    events = ["click"] * len(items)
    times = [1e6 + place for place, _ in enumerate(items)]
    return {
        "user_id": [kind(user)] * len(items),
        "item_id": [*map(kind, items)],
        "timestamp": times,
        "event": events,
    }


SOURCES = candidates.Merge([candidates.ItemKNN(), candidates.Popular(half_life=None)])
ODD, EVEN = {11, 12, 13, 14, 15, 16}, {1, 2, 3, 4, 5, 6}


def first(answer: rk.Recommendations, row: int = 0) -> set[int]:
    """Return the items that ItemKNN found, by number."""
    found = zip(answer.ids(row), answer.sources[answer.offsets[row] :], strict=False)
    return {int(item) for item, sources in found if "item_knn" in sources}


class TestLiveEvents:
    def test_three_clicks_change_the_next_list(self, shop: Dataset, kind: type) -> None:
        events = LiveEvents()
        pipeline = rk.Pipeline([UserHistory(live_events=events), SOURCES, rules.NotSeen()]).fit(shop)
        before = pipeline.recommend([kind(900), kind(901)], k=5, now=2e6)
        events.append(clicks(kind, 900, [11, 12, 13]))
        events.append(clicks(kind, 901, [1, 2, 3]))
        after = pipeline.recommend([kind(900), kind(901), kind(902), None], k=5, now=2e6)
        assert first(before) == first(before, 1) == first(after, 2) == first(after, 3) == set()
        assert first(after) and first(after) <= ODD - {11, 12, 13}
        assert first(after, 1) and first(after, 1) <= EVEN - {1, 2, 3}
        assert before.ids(0) != after.ids(0)
        batch = [after.ids(0), after.ids(1)]
        assert batch == [pipeline.recommend([kind(user)], k=5, now=2e6).ids(0) for user in (900, 901)]

    def test_only_events_before_the_request(self, shop: Dataset, kind: type) -> None:
        events = LiveEvents()
        pipeline = rk.Pipeline([UserHistory(live_events=events), SOURCES]).fit(shop)
        events.append(clicks(kind, 900, [11, 12, 13]))
        requests = pipeline.candidates(pipeline.requests([kind(900)] * 2, now=[1e6 + 1, 2e6])).requests
        assert requests.lists("history").counts.tolist() == [1, 3]

    def test_purchases_are_owned(self, shop: Dataset, kind: type) -> None:
        events = LiveEvents()
        popular = candidates.Popular(half_life=None)
        pipeline = rk.Pipeline([UserHistory(live_events=events), popular, rules.NotOwned()]).fit(shop)
        events.append({**clicks(kind, 900, [1, 11]), "event": ["purchase"] * 2})
        assert not {1, 11} & {int(item) for item in pipeline.recommend([kind(900)], k=12, now=2e6).ids(0)}

    def test_everything_that_a_newcomer_saw_is_seen(self, shop: Dataset, kind: type) -> None:
        events = LiveEvents()
        stages = [
            UserHistory(max_events=1, live_events=events),
            candidates.Popular(half_life=None),
            rules.NotSeen(),
        ]
        pipeline = rk.Pipeline(stages).fit(shop)
        events.append(clicks(kind, 900, [1, 2, 3, 11]))
        shown = {int(item) for item in pipeline.recommend([kind(900)], k=12, now=2e6).ids(0)}
        assert shown == (ODD | EVEN) - {1, 2, 3, 11}

    def test_after_a_refit_they_are_known(self, shop: Dataset, kind: type) -> None:
        events = LiveEvents(horizon="30D")
        pipeline = rk.Pipeline([UserHistory(live_events=events), SOURCES]).fit(shop)
        events.append(clicks(kind, 900, [11, 12, 13]))
        same = pipeline.with_events(shop)
        for served in (pipeline, same, rk.Pipeline([UserHistory(live_events=events), SOURCES]).fit(shop)):
            assert first(served.recommend([kind(900)], k=5, now=2e6)) <= ODD

    def test_what_was_shown_too_often(self, shop: Dataset, kind: type) -> None:
        events = LiveEvents()
        cap = rules.FrequencyCap(2, "1D", live_events=events)
        pipeline = rk.Pipeline([candidates.Popular(half_life=None), cap]).fit(shop)
        events.append({**clicks(kind, 900, [1, 1, 2]), "event": ["impression"] * 3})
        shown = {int(item) for item in pipeline.recommend([kind(900)], k=12, now=1e6 + 50).ids(0)}
        assert 1 not in shown and 2 in shown
        assert 1 in {int(item) for item in pipeline.recommend([kind(901)], k=12, now=1e6 + 50).ids(0)}
        assert 1 in {int(item) for item in pipeline.recommend([kind(900)], k=12, now=1e6 + 3 * 86400).ids(0)}

    def test_who_is_not_to_be_profiled_is_nobody(self, shop: Dataset, kind: type) -> None:
        events = LiveEvents()
        pipeline = rk.Pipeline([UserHistory(live_events=events), SOURCES]).fit(shop)
        events.append(clicks(kind, 900, [11, 12, 13]))
        assert first(pipeline.non_profiling().recommend([kind(900)], k=5, now=2e6)) == set()


class TestStores:
    def test_a_session_changes_the_next_list(self, shop: Dataset, kind: type) -> None:
        store = stores.ResidentSessions()
        pipeline = rk.Pipeline([stores.RecentSession(store), SOURCES]).fit(shop)
        assert first(pipeline.recommend([kind(900)], k=5, now=1e6 + 60)) == set()
        for item in (11, 12, 13):
            store.append(kind(900), kind(item), event="click", at=1e6)
        answer = pipeline.recommend([kind(900), None, kind(1)], k=5, now=1e6 + 60)
        assert first(answer) and first(answer) <= ODD
        assert first(answer, 1) == set()

    def test_features_of_users_from_a_store(self, shop: Dataset, kind: type) -> None:
        store = stores.Resident(["clicks"], defaults={"clicks": -1.0})
        store.write([kind(900), kind(1)], [[7.0], [3.0]], at=1e6)
        stages = [candidates.Popular(half_life=None), features.FromStore(store, "user")]
        pipeline = rk.Pipeline(stages).fit(shop)
        batch = pipeline.candidates(pipeline.requests([kind(900), kind(1), kind(77), None], now=1e6 + 9))
        values = [np.unique(batch.features[batch.row == row, 0]).tolist() for row in range(4)]
        assert values == [[7.0], [3.0], [-1.0], [-1.0]]


def test_a_condition_on_the_user_table_reads_what_the_request_says_of_a_newcomer():
    data = rk.testing.toy_dataset()
    adults = rk.Pipeline(
        [candidates.Popular(half_life=None), rules.Where("user.age >= 18 and user.country == 'DE'")]
    )
    adults.fit(data)

    def shown(user, age, country):
        return len(
            adults.recommend([user], k=3, context={"age": age, "country": country}, now=data.until).ids(0)
        )

    assert (shown("new", 18, "DE"), shown("new", 17, "DE"), shown("new", 18, "FR")) == (3, 0, 0)
    assert (shown("new", None, "DE"), shown("new", "old", "DE"), shown(None, 18.0, "DE")) == (0, 0, 3)
    assert (shown("new", "18", "DE"), shown("new", "17", "DE"), shown("new", "", "DE")) == (3, 0, 0)
    age, country = data.users.column("age")[1:], data.schema.users.labels("country").ids
    stranger = next(
        row
        for row, code in enumerate(data.users.column("country")[1:].tolist())
        if code and country[code - 1] != "DE" and age[row] >= 18
    )
    assert shown(data.user_ids.ids[stranger], 18, "DE") == 0  # the table knows better
