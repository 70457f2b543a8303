"""Onboarding: what it asks, what it makes of answers, and whether a newcomer's list is better for it."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit import candidates
from recokit.candidates import Onboarding
from recokit.data import Dataset
from recokit.errors import ConfigurationError, DataError


def dataset(baskets, categories=None, **options):
    """Return a dataset of who took what."""
    pairs = [(user, item) for user, items in enumerate(baskets) for item in items]
    log = {"user_id": [user for user, _ in pairs], "item_id": [item for _, item in pairs]}
    items = (
        None if categories is None else {"item_id": list(categories), "category": list(categories.values())}
    )
    return Dataset.from_frame({**log, "timestamp": np.arange(len(pairs)) + 1.0, **options}, items=items)


#: Two tastes, letters and numbers: a and b go together, 1 and 2 do; x is everybody's.
TASTES = dataset(
    [["a", "b", "c", "x"]] * 5 + [["1", "2", "3", "x"]] * 4 + [["a", "b"]] * 2,
    {"a": "letter", "b": "letter", "c": "letter", "1": "number", "2": "number", "3": "number", "x": "both"},
)


def test_it_asks_what_many_took_for_different_people():
    assert Onboarding(TASTES).ask(n=2) == ["x", "a"]
    first = Onboarding(TASTES).ask(n=4)
    assert {"a", "b", "c"} & set(first) and {"1", "2", "3"} & set(first)


def test_answers_change_what_is_asked_next():
    onboarding = Onboarding(TASTES)
    assert set(onboarding.ask(["a"], ["a", "1"], n=2)) == {"x", "b"}
    assert set(onboarding.ask(["1"], ["a", "1"], n=3)) == {"x", "2", "3"}
    assert onboarding.ask(["1"], n=3) == onboarding.ask(["1"], ["1"], n=3)  # what he chose he was shown


def test_what_was_shown_and_left_counts_against():
    even = Onboarding(dataset([["a", "b", "c"]] * 5 + [["1", "2", "3"]] * 5))
    assert even.ask(n=1) == ["1"]
    assert even.ask([], ["1", "2"], n=1) == ["a"]


def test_nothing_is_asked_twice_and_it_ends():
    onboarding, shown = Onboarding(TASTES), []
    while more := onboarding.ask(shown=shown, n=2):
        assert not set(more) & set(shown) and len(set(more)) == len(more)
        shown += more
    assert sorted(shown) == sorted("abc123x")


def test_it_keeps_no_state_and_draws_by_the_seed():
    data = rk.testing.toy_dataset(200, 60, n_events=3_000)
    one, two = Onboarding(data, max_users=50), Onboarding(data, max_users=50)
    one.ask(chosen=[105])
    assert one.ask(n=8) == two.ask(n=8)
    assert "50 users" in repr(one)
    assert "199 users" in repr(Onboarding(data))
    others = [Onboarding(data, max_users=20, seed=seed).ask(n=10) for seed in range(6)]
    assert len({tuple(one) for one in others}) > 1


def test_only_allowed_items_are_asked():
    assert set(Onboarding(TASTES, items=["a", "1", "2", "unknown"]).ask(n=9)) == {"a", "1", "2"}
    with pytest.raises(DataError, match="found no signal of a known user on what may be asked"):
        Onboarding(TASTES, items=["unknown"])
    assert set(Onboarding(TASTES, pool=2).ask(n=9)) == {"x", "a"}


def test_events_without_weight_are_no_signal():
    data = dataset([["a", "b"], ["a", "b"]], weight=[1.0, 0.0, 1.0, 0.0])
    assert Onboarding(data).ask(n=9) == ["a"]


def test_a_user_who_repeats_counts_once():
    data = dataset([["a"], ["b", "b", "b", "b"], ["a"]])
    assert Onboarding(data).ask(n=1) == ["a"]


def test_categories_are_asked_and_stand_for_their_items():
    onboarding = Onboarding(TASTES, by="category")
    assert set(onboarding.ask(n=9)) == {"letter", "number", "both"}
    assert onboarding.ask(["letter"], ["letter"], n=1) == ["both"]
    assert onboarding.history(["letter"], per_label=2) == ["a", "b"]
    assert onboarding.history(["number", "both"]) == ["1", "2", "3", "x"]
    assert onboarding.history([]) == []
    assert Onboarding(TASTES, by="item.category").ask(n=1) == onboarding.ask(n=1)
    with pytest.raises(DataError, match="found category 'leter'; did you mean 'letter'"):
        onboarding.ask(["leter"])
    with pytest.raises(ConfigurationError, match="found no column 'colour'"):
        Onboarding(TASTES, by="colour")


def test_choices_become_a_history_that_a_pipeline_takes():
    onboarding = Onboarding(TASTES)
    history = onboarding.history(["a", "nowhere"])
    assert history == ["a"]
    pipeline = rk.Pipeline([candidates.ItemKNN(n_neighbors=3)]).fit(TASTES)
    assert set(pipeline.recommend([None], k=2, history=[history], now=1e3).ids(0)) <= {"b", "c", "x"}


def test_ids_of_the_wrong_kind_are_said():
    with pytest.raises(DataError, match="expected str ids"):
        Onboarding(TASTES).ask([7])
    assert Onboarding(TASTES).ask(["nowhere"], n=1) == Onboarding(TASTES).ask(n=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Onboarding(TASTES, pool=0),
        lambda: Onboarding(TASTES, max_users=0),
        lambda: Onboarding(TASTES, seed=-1),
        lambda: Onboarding(TASTES).ask(n=0),
        lambda: Onboarding(TASTES, by="category").history(["letter"], per_label=0),
    ],
    ids=range(5),
)
def test_impossible_options_are_refused(make):
    with pytest.raises(ConfigurationError):
        make()


def judged(data, seed, *, n=6, rounds=5, share=0.25):
    """Return NDCG@10 of newcomers' lists after 3 and 5 screens, by how the screens were chosen.

    A newcomer chooses on each screen what is in one half of what he took; the list is held against the other half. The
    figure is computed here, from its definition.
    """
    log, rng = data.interactions.personal, np.random.default_rng(seed)
    took = np.zeros((data.n_users + 1, data.n_items + 1), np.bool_)
    took[log.user, log.item] = True
    able = np.flatnonzero(took.sum(axis=1) >= 10)
    new = rng.permutation(able)[: int(share * len(able))]
    known = data.with_interactions(
        data.interactions.take(np.flatnonzero(~np.isin(data.interactions.user, new)))
    )
    taste, later = (
        np.zeros((len(new), took.shape[1]), np.bool_),
        np.zeros((len(new), took.shape[1]), np.bool_),
    )
    for row, user in enumerate(new):
        items = rng.permutation(np.flatnonzero(took[user]))
        taste[row, items[: len(items) // 2]], later[row, items[len(items) // 2 :]] = True, True
    count = np.bincount(known.interactions.personal.item, minlength=took.shape[1])
    popular = np.argsort(-count, kind="stable")
    popular = popular[count[popular] > 0]
    onboarding = Onboarding(known)
    knn = candidates.FirstOf([candidates.ItemKNN(), candidates.Popular(half_life=None)], min_items=10)
    pipeline = rk.Pipeline([knn, rk.rules.NotSeen()]).fit(known)

    def adaptive(chosen, shown):
        ids = [data.item_ids.decode(np.flatnonzero(one)).tolist() for one in (chosen, shown)]
        return data.item_ids.encode(onboarding.ask(*ids, n=n))

    choosers = {
        "adaptive": adaptive,
        "popular": lambda chosen, shown: popular[~shown[popular]][:n],
        "random": lambda chosen, shown: rng.choice(popular[~shown[popular]], n, replace=False),
    }
    discount = 1.0 / np.log2(np.arange(2, 12))
    found = {}
    for name, choose in choosers.items():
        shown = np.zeros_like(taste)
        for turn in range(1, rounds + 1):
            for row in range(len(new)):
                shown[row, choose(shown[row] & taste[row], shown[row])] = True
            if turn not in (3, 5):
                continue
            chosen = [data.item_ids.decode(np.flatnonzero(one)).tolist() for one in shown & taste]
            lists = pipeline.recommend([None] * len(new), k=10, history=chosen, now=data.until)
            gains = []
            for row in range(len(new)):
                hits = later[row, lists.codes(row)]
                ideal = discount[: min(10, int(later[row].sum()))].sum()
                gains.append(float(discount[: len(hits)][hits].sum() / ideal))
            found[name, turn] = float(np.mean(gains))
    return found


def check_better(data, seeds):
    figures = [judged(data, seed) for seed in seeds]
    mean = {key: np.mean([one[key] for one in figures]) for key in figures[0]}
    for turn in (3, 5):
        assert mean["adaptive", turn] > mean["popular", turn] > mean["random", turn], mean
    return mean


def test_newcomers_of_a_marketplace_get_better_lists_for_it():
    check_better(rk.datasets.make_marketplace(1_000, 500, seed=1).dataset, seeds=[1])


@pytest.mark.slow
def test_newcomers_of_two_data_sets_get_better_lists_for_it(data_dir):
    liked = rk.datasets.load_movielens(data_dir / "ml-100k")
    liked = liked.with_interactions(liked.interactions.take(np.flatnonzero(liked.interactions.weight >= 4)))
    print(check_better(liked, seeds=[1, 2, 3]))
    print(check_better(rk.datasets.make_marketplace(1_500, 800, seed=1).dataset, seeds=[1, 2, 3]))
