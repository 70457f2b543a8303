"""suggest: sound pipelines for any data, and a choice that its figures support."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import rules
from recokit.data import DAY, Dataset
from recokit.errors import ConfigurationError, DataError
from recokit.suggestion import Look, Suggestion, choose, suggest
from recokit.suggestion.code import code_of
from recokit.suggestion.parts import proposals


def frame(users: np.ndarray, items: np.ndarray, days: np.ndarray, **columns: Any) -> Dataset:
    return Dataset.from_frame(
        {"user_id": users, "item_id": items, "timestamp": 1.7e9 + days * DAY, **columns}
    )


@pytest.fixture(scope="module")
def tastes() -> Dataset:
    """Users who take from their own twenty items, nothing twice in a week."""
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(1, 121), 12)
    item = np.concatenate([(u % 6) * 20 + rng.permutation(20)[:12] + 1 for u in range(1, 121)])
    return frame(user, item, rng.uniform(0, 60, len(user)))


@pytest.fixture(scope="module")
def found(tastes: Dataset) -> Suggestion:
    return suggest(tastes, minutes=0.3, goal="NDCG@5")


def lists(pipeline: rk.Pipeline, users: list[Any], k: int = 5) -> list[list[Any]]:
    answer = pipeline.recommend(users, k=k, now=2e9)
    return [answer.ids(row) for row in range(len(users))]


def test_it_finds_that_tastes_matter(found: Suggestion) -> None:
    by_name = {one.name: one for one in found.tried}
    assert by_name[found.chosen].mean > 1.3 * by_name["popular"].mean
    assert by_name[found.chosen].verdict == "taken"
    assert sum(one.verdict == "taken" for one in found.tried) == 1


def test_what_is_shown_is_new_to_its_user(found: Suggestion, tastes: Dataset) -> None:
    log = tastes.interactions
    had = set(tastes.item_ids.decode(log.item[log.user == tastes.user_ids.encode([7])[0]]).tolist())
    assert not had & set(lists(found.pipeline, [7])[0])


def test_the_code_builds_the_same(found: Suggestion, tastes: Dataset) -> None:
    scope: dict[str, Any] = {"data": tastes}
    exec(found.code, scope)
    assert lists(scope["pipeline"], [3, 50, 999_999]) == lists(found.pipeline, [3, 50, 999_999])


def test_the_same_call_gives_the_same(found: Suggestion, tastes: Dataset) -> None:
    again = suggest(tastes, minutes=0.3, goal="NDCG@5")
    assert again.code == found.code
    assert [(one.name, one.mean) for one in again.tried] == [(one.name, one.mean) for one in found.tried]


def test_the_report_says_what_was_tried_and_how_it_was_judged(found: Suggestion) -> None:
    said = str(found)
    for word in ("verdict", "NDCG@5", "chosen on ", "what users had is left out", "rk.Pipeline("):
        assert word in said
    assert "<table" in found._repr_html_()
    assert "rk.Pipeline" in found.to_markdown()


def test_it_draws_the_intervals(found: Suggestion) -> None:
    pytest.importorskip("matplotlib")
    drawn = found.plot()
    assert [label.get_text() for label in drawn.get_yticklabels()]


def test_trials_learn_before_what_they_are_told(tastes: Dataset) -> None:
    look = Look.at(tastes)
    validation = choose.Validation.of(tastes, look, "NDCG@5", 0)
    assert validation is not None and validation.in_time
    assert validation.train.interactions.timestamp.max() < validation.test.interactions.timestamp.min()
    assert look.horizon == "7D"


def test_little_time_tries_less_and_says_so(tastes: Dataset) -> None:
    quick = suggest(tastes, minutes=0.02, goal="NDCG@5")
    assert {one.name for one in quick.tried} < {one.name for one in suggest(tastes, minutes=0.2).tried}
    assert any("not tried" in note for note in quick.notes)
    assert lists(quick.pipeline, [3])[0]


def test_rules_hold_and_stand_in_the_code(tastes: Dataset) -> None:
    own = suggest(tastes, minutes=0.02, rules=[rules.NotOwned(), rules.NotSeen()])
    assert own.code.count("rules.NotSeen()") == 1 and "rules.NotOwned()" in own.code
    assert "rules.NotSeen()" in suggest(tastes, minutes=0.02).code
    assert "NotSeen" not in suggest(tastes, minutes=0.02, rules=[rules.NotOwned()]).code


def test_repeats_are_left_in_where_users_repeat() -> None:
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(1, 61), 40)
    item = user * 3 + rng.integers(0, 3, len(user))
    repeating = suggest(frame(user, item, rng.uniform(0, 60, len(user))), minutes=0.1)
    assert repeating.look.repeating and "NotSeen" not in repeating.code
    assert "history" in {one.name for one in repeating.tried}


def two_hundred() -> Dataset:
    rng = np.random.default_rng(0)
    return frame(rng.integers(1, 40, 200), rng.integers(1, 30, 200), rng.uniform(0, 20, 200))


def no_events() -> Dataset:
    items = {"item_id": [1, 2, 3], "category": ["a", "a", "b"]}
    return Dataset.from_frame({"user_id": [], "item_id": [], "timestamp": []}, items=items)


def one_user() -> Dataset:
    return frame(np.ones(50, np.int64), np.arange(50) % 20 + 1, np.arange(50.0))


def ratings() -> Dataset:
    rng = np.random.default_rng(0)
    weight = rng.integers(1, 6, 600).astype(float)
    log = {"user_id": rng.integers(1, 60, 600), "item_id": rng.integers(1, 50, 600), "rating": weight}
    return Dataset.from_frame({**log, "timestamp": 1.7e9 + rng.uniform(0, 90, 600) * DAY}, min_rating=0)


def anonymous() -> Dataset:
    rng = np.random.default_rng(0)
    session = np.repeat(np.arange(60), 4)
    users = np.full(240, None, object)
    items = (session % 5) * 5 + rng.integers(1, 6, 240)
    log = {"user_id": users, "item_id": items, "timestamp": 1.7e9 + np.arange(240.0) * 600}
    return Dataset.from_frame({**log, "session_id": session}, missing="anonymous")


def no_times() -> Dataset:
    rng = np.random.default_rng(0)
    user = np.repeat(np.arange(1, 61), 8)
    item = (user % 4) * 15 + rng.integers(1, 16, len(user))
    return frame(user, item, np.zeros(len(user)))


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (two_hundred, "200 signals"),
        (no_events, "no events"),
        (one_user, "too few users"),
        (ratings, "ratings"),
        (anonymous, "no users to judge by"),
        (no_times, "events have no times"),
    ],
    ids=lambda one: getattr(one, "__name__", ""),
)
def test_sound_and_in_plain_words_on_whatever_there_is(make: Any, said: str) -> None:
    data = make()
    suggestion = suggest(data, minutes=0.05)
    assert said in str(suggestion)
    answer = suggestion.pipeline.recommend([1, 999_999], k=3, now=2e9) if data.n_users else None
    history = suggestion.pipeline.recommend([None], k=3, now=2e9)
    assert len(history.ids(0)) == 3
    assert answer is None or len(answer.ids(1)) == 3
    scope: dict[str, Any] = {"data": data}
    exec(suggestion.code, scope)


def test_sessions_of_nobody_are_served() -> None:
    pipeline = suggest(anonymous(), minutes=0.05).pipeline
    found = pipeline.recommend([None], k=3, session=[[6, 7]], now=2e9).ids(0)
    assert {*found} <= {6, 7, 8, 9, 10}


@pytest.mark.parametrize(
    ("options", "error"),
    [({"minutes": 0}, ConfigurationError), ({"goal": "Bliss@3"}, ConfigurationError)],
)
def test_what_cannot_work_is_refused(tastes: Dataset, options: Any, error: type) -> None:
    with pytest.raises(error):
        suggest(tastes, **options)


def test_a_dataset_without_items_is_refused() -> None:
    with pytest.raises(DataError, match="without items"):
        suggest(Dataset.from_frame({"user_id": [], "item_id": [], "timestamp": []}))


def test_a_segment_that_would_lose_holds_the_ranker_back() -> None:
    search = object.__new__(choose._Search)
    segment = np.repeat([1, 2, 3], [200, 200, 199])
    search.validation = type("V", (), {"segment": segment})()
    alone, better = np.full(599, 0.3), np.full(599, 0.4)
    assert search._no_segment_loses(better, alone)
    better[segment == 2] = 0.29
    assert not search._no_segment_loses(better, alone)
    better[segment == 2], better[segment == 3] = 0.4, 0.0
    assert search._no_segment_loses(better, alone)  # 199 users are no segment


def test_proposals_follow_the_data(tastes: Dataset) -> None:
    names = [one.name for one in proposals(Look.at(tastes))]
    assert "history" not in names and "ials" in names
    assert [one.cost for one in proposals(Look.at(tastes))] == sorted(
        one.cost for one in proposals(Look.at(tastes))
    )
    empty = proposals(Look.at(no_events()))
    assert empty[0].name == "popular"


def test_code_of_stages_in_stages() -> None:
    step = rk.Step(rk.candidates.Popular(half_life="2D"), name="lately")
    merge = rk.candidates.Merge([step, rk.candidates.ItemKNN()], limit=50)
    made = eval(code_of(merge), {"rk": rk, "candidates": rk.candidates})
    assert repr(made) == repr(merge)


def test_a_blend_that_costs_a_segment_is_left_out_with_a_word() -> None:
    search = object.__new__(choose._Search)
    segment = np.repeat([1, 2], [200, 300])
    search.validation, search.notes = type("V", (), {"segment": segment})(), []

    def judged(name: str, values: np.ndarray) -> Any:
        return type("J", (), {"tried": type("T", (), {"name": name})(), "values": values})()

    source = judged("popular", np.full(500, 0.3))
    assert search._loses_nobody(judged("blend", np.full(500, 0.4)), source) and not search.notes
    assert not search._loses_nobody(judged("blend", np.where(segment == 1, 0.29, 0.5)), source)
    assert search.notes == ["blend was left out: a segment of 200 users has more of popular"]


def test_the_groups_of_the_report_hold_everybody_judged(found: Suggestion) -> None:
    chosen = next(one for one in found.tried if one.name == found.chosen)
    n = sum(one.users for one in found.groups)
    assert n > 30 and f"chosen on {n:,} users" in found.split
    assert np.isclose(sum(one.users * one.mean for one in found.groups) / n, chosen.mean)
