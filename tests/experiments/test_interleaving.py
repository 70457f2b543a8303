"""Interleaving: fair to equal arms, credits add up, rules hold on the mixed list."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, experiments as ex, rules
from recokit.data import Dataset
from recokit.errors import ConfigurationError, DataError
from recokit.experiments.interleaving import METHODS, allowed, ranks, team_draft, unbiased_chances

LISTS = [[1, 2, 3, 4], [3, 5, 1, 6]]


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("by", sorted(METHODS))
def test_a_mix_has_distinct_items_of_the_arms_and_a_credit_for_each(by: str) -> None:
    for seed in range(50):
        mix = METHODS[by](LISTS, 4, rng(seed))
        assert len(mix.items) == len(set(mix.items)) == 4 and set(mix.items) <= {1, 2, 3, 4, 5, 6}
        assert mix.credit.shape == (4, 2)
        total = mix.credit.sum(axis=1)
        assert total == pytest.approx(0.0 if by == "optimised" else 1.0, abs=1e-12)
        again = METHODS[by](LISTS, 4, rng(seed))
        assert again.items == mix.items and (again.credit == mix.credit).all()


@pytest.mark.parametrize("by", sorted(METHODS))
def test_short_and_empty_lists_end_the_mix(by: str) -> None:
    assert sorted(METHODS[by]([[1, 2], [2]], 5, rng()).items) == [1, 2]
    assert METHODS[by]([[], [7]], 3, rng()).items == [7]
    if by != "optimised":
        assert METHODS[by]([[], []], 3, rng()).credit.shape == (0, 2)


@pytest.mark.parametrize("by", ["team_draft", "optimised", "probabilistic"])
def test_whoever_clicks_at_random_prefers_nobody(by: str) -> None:
    # Clicks on the first place, and on any place: the differences of credits average out.
    n = 500 if by == "optimised" else 4_000
    mixes = [METHODS[by](LISTS, 4, rng(seed)).credit for seed in range(n)]
    difference = np.array([credit[:, 0] - credit[:, 1] for credit in mixes])
    for looked in (1, 4):
        clicked = difference[:, :looked].sum(axis=1)
        error = clicked.std() / np.sqrt(len(clicked))
        assert abs(clicked.mean()) <= 4 * error + 1e-9


def test_a_team_draft_goes_in_rounds_and_credits_who_picked() -> None:
    for seed in range(30):
        mix = team_draft([[1, 2, 3], [4, 5, 6]], 6, rng(seed))
        teams = mix.credit.argmax(axis=1)
        assert all({a, b} == {0, 1} for a, b in teams.reshape(3, 2).tolist())
        assert all((item <= 3) == (team == 0) for item, team in zip(mix.items, teams, strict=True))
    firsts = [team_draft([[1], [4]], 1, rng(seed)).items[0] for seed in range(400)]
    assert 150 < firsts.count(1) < 250


def test_optimised_interleaving_of_the_papers_example_has_three_lists_alike() -> None:
    lists = [[1, 2], [2, 3]]
    choices = allowed(lists, 2, rng())
    assert sorted(choices) == [(1, 2), (2, 1), (2, 3)]
    assert unbiased_chances(lists, choices) == pytest.approx(1 / 3)


def test_optimised_chances_favour_no_arm_down_to_any_place() -> None:
    for seed in range(20):
        made = [rng(seed + 100 * arm).permutation(8)[:5].tolist() for arm in range(2)]
        choices = allowed(made, 4, rng(seed))
        chances = unbiased_chances(made, choices)
        assert chances.sum() == pytest.approx(1.0)
        gained = np.array([np.cumsum(ranks(made, one), axis=0) for one in choices])
        mean = np.tensordot(chances, gained, axes=1)
        assert np.ptp(mean, axis=1).max() < 1e-6


def test_equal_arms_are_alike_to_every_method() -> None:
    for by, method in METHODS.items():
        credit = np.array([method([[1, 2, 3]] * 2, 3, rng(seed)).credit.sum(axis=0) for seed in range(300)])
        assert abs(credit[:, 0].mean() - credit[:, 1].mean()) < 0.3, by


def test_balanced_is_for_two() -> None:
    with pytest.raises(ConfigurationError, match="two"):
        METHODS["balanced"]([[1], [2], [3]], 2, rng())
    with pytest.raises(ConfigurationError, match="two"):
        ex.Interleaved({"a": object(), "b": object(), "c": object()}, by="balanced")  # type: ignore[dict-item]


# -- whole pipelines ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def market() -> Any:
    return rk.datasets.make_marketplace(120, 60, seed=3, n_sellers=12)


@pytest.fixture(scope="module")
def data(market: Any) -> Dataset:
    return market.dataset


@pytest.fixture(scope="module")
def arms(data: Dataset) -> dict[str, rk.Pipeline]:
    a = rk.Pipeline(
        [candidates.Popular(), rules.Where("item.sponsored != 1"), rules.MaxPerGroup("seller", 2)],
        fallback=candidates.Popular(),
    )
    b = rk.Pipeline([candidates.ItemKNN(), rules.Where("item.age_restricted != 1")])
    return {"a": a.fit(data), "b": b.fit(data)}


def mixed_lists(arms: dict[str, Any], data: Dataset, by: str, n: int) -> Any:
    users = list(itertools.islice(itertools.cycle(data.user_ids.ids.tolist()), n))
    mixed = ex.Interleaved(arms, by=by)
    parts = [mixed.recommend(users[i : i + 250], k=6, now=data.until, seed=i) for i in range(0, n, 250)]
    return rk.Recommendations.concat(parts)


def check_rules(answer: Any, data: Dataset) -> None:
    """Check that no item breaks a hard rule of either arm, and that the control's cap holds."""
    assert len(answer.item) > 3 * len(answer)
    assert not (data.items.column("sponsored")[answer.item] == 1).any()
    assert not (data.items.column("age_restricted")[answer.item] == 1).any()
    seller = data.items.column("seller")
    for row in range(len(answer)):
        codes = answer.codes(row)
        assert len(set(codes.tolist())) == len(codes) <= 6
        assert np.bincount(seller[codes].astype(int)).max(initial=0) <= 2


@pytest.mark.parametrize("by", sorted(METHODS))
def test_rules_of_both_arms_and_caps_of_the_control_hold(arms: Any, data: Dataset, by: str) -> None:
    answer = mixed_lists(arms, data, by, 60)
    check_rules(answer, data)
    assert {"team", "credit.a", "credit.b"} <= set(answer.columns)
    assert set(answer.columns["team"].tolist()) >= {"a", "b"}


@pytest.mark.slow
def test_five_thousand_lists_break_no_rule(arms: Any, data: Dataset) -> None:
    check_rules(mixed_lists(arms, data, "team_draft", 5_000), data)


def test_the_market_has_items_that_only_one_arm_refuses(data: Dataset) -> None:
    for name in ("sponsored", "age_restricted"):
        assert (data.items.column(name)[1:] == 1).any()


def test_the_same_seed_gives_the_same_mix_alone_and_in_a_batch(arms: Any, data: Dataset) -> None:
    mixed = ex.Interleaved(arms)
    users = data.user_ids.ids.tolist()[:10]
    together = mixed.recommend(users, k=5, now=data.until, seed=4)
    for row, user in enumerate(users):
        alone = mixed.recommend([user], k=5, now=data.until, seed=4)
        assert alone.ids(0) == together.ids(row)
    other = mixed.recommend(users, k=5, now=data.until, seed=5)
    assert any(other.ids(row) != together.ids(row) for row in range(10))


def test_arms_of_different_catalogues_are_mixed_by_ids(data: Dataset, arms: Any) -> None:
    frame = {
        "user": ["user-1"] * 3, "item": ["item-7", "item-9", "brand new"], "timestamp": [1.0, 2.0, 3.0],
    }  # fmt: skip
    other = rk.Pipeline([candidates.Popular()]).fit(rk.Dataset.from_frame(frame))
    answer = ex.Interleaved({"a": arms["a"], "other": other}).recommend(["user-1"], k=6, now=data.until)
    assert "brand new" not in answer.ids(0)
    teams = dict(zip(answer.ids(0), answer.columns["team"].tolist(), strict=True))
    assert set(answer.ids(0)) <= {"item-7", "item-9"} and "other" in teams.values()


def test_what_is_shown_is_logged_and_clicks_are_credited(arms: Any, data: Dataset, tmp_path: Path) -> None:
    mixed = ex.Interleaved(arms, log=tmp_path / "lists.jsonl")
    users = data.user_ids.ids.tolist()[:30]
    answer = mixed.recommend(users, k=6, now=data.until)
    teams = answer.columns["team"]
    clicked = [
        (user, answer.ids(row)[at])
        for row, user in enumerate(users)
        for at in range(len(answer.ids(row)))
        if teams[answer.offsets[row] + at] == "b"
    ]
    clicks = {
        "user_id": [user for user, _ in clicked], "item_id": [item for _, item in clicked],
        "timestamp": [data.until + 60.0] * len(clicked),
    }  # fmt: skip
    found = ex.preference(tmp_path / "lists.jsonl", clicks)
    # Those who clicked nothing prefer nobody.
    assert found.pairs[0].value == pytest.approx(len({user for user, _ in clicked}) / 30)
    assert found.pairs[0].arm == "b" and found.joined == len(clicked)
    assert "users prefer b" in str(found) and found.lists == 30


def test_clicks_count_for_the_latest_list_in_time_and_once() -> None:
    shown = {
        "unit": ["u", "u"], "list": ["1", "2"], "item_id": [5, 5], "timestamp": [0.0, 100.0],
        "credit.a": [1.0, 0.0], "credit.b": [0.0, 1.0],
    }  # fmt: skip

    def pair(*times: float, **options: Any) -> Any:
        clicks = {"user_id": ["u"] * len(times), "item_id": [5] * len(times), "timestamp": list(times)}
        return ex.preference(shown, clicks, **options)

    assert pair(50.0).pairs[0].value == -1.0 and pair(100.0).pairs[0].value == 1.0
    assert (
        pair(-1.0).joined == 0 and pair(100.0 + 86_400.0).joined == 1 and pair(100.1 + 86_400.0).joined == 0
    )
    assert pair(110.0, 120.0).pairs[0].value == 1.0 and pair(110.0, 120.0).joined == 2


def test_a_log_that_is_none_is_refused() -> None:
    with pytest.raises(DataError, match="credit"):
        ex.preference({"unit": ["u"]}, {"user_id": ["u"], "item_id": [1], "timestamp": [0.0]})


def coverage(runs: int, seed: int) -> float:
    """Return how often the interval of equal arms holds 0: lists differ by chance, clicks do not care for teams."""
    generator, held = np.random.default_rng(seed), 0
    lists = [[1, 2, 3, 4, 5], [2, 1, 6, 3, 7]]
    mixes = [team_draft(lists, 5, generator) for _ in range(64)]
    credit = np.array([mix.credit[:, 0] - mix.credit[:, 1] for mix in mixes])
    for _ in range(runs):
        drawn = generator.integers(0, len(mixes), 300)
        clicks = generator.random((300, 5)) < 0.3
        gained = (credit[drawn] * clicks).sum(axis=1)
        found = rk._stats.intervals.Mean.of(gained - credit.sum(axis=1).mean() * 0.3)
        low, high = found.interval(0.95)
        held += low <= 0 <= high
    return held / runs


def test_the_interval_of_equal_arms_holds_nothing() -> None:
    assert abs(coverage(300, 1) - 0.95) < 0.04


@pytest.mark.slow
def test_the_interval_of_equal_arms_holds_nothing_in_95_of_100() -> None:
    assert abs(coverage(2_000, 2) - 0.95) <= 0.015


def test_an_optimised_mix_credits_by_the_places_that_its_chances_are_for(arms: Any, data: Dataset) -> None:
    answer = ex.Interleaved(arms, by="optimised").recommend(
        data.user_ids.ids.tolist()[:40], k=4, now=data.until
    )
    for name in arms:
        # A rank is at most one beyond the k places: of two arms, half of that apart from the mean.
        assert np.abs(answer.columns[f"credit.{name}"]).max() <= 4 / 2
