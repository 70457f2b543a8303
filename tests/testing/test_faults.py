"""Each fault does what it says to a fitted stage, and nothing in the copy tells it apart from the original."""

from __future__ import annotations

import time

import numpy as np
import pytest

from recokit import candidates, features, rankers, rules
from recokit.data import Requests, Retrieved
from recokit.errors import ConfigurationError
from recokit.testing import FixedSource, faults, make_candidates, make_requests, toy_dataset

DATA = toy_dataset()
BATCH = make_candidates(features=["a", "b"])


class Block:
    names = ("a", "b")

    def featurize(self, candidates):
        return np.stack([candidates.item, candidates.item + 100.0], axis=1).astype(np.float32)


class Scorer:
    def score(self, candidates):
        return candidates.score


class Everything:
    def keep(self, candidates):
        return np.ones(len(candidates), np.bool_)


class Vectors:
    def __init__(self, vectors):
        self.name, self.flat, self.codes, self.vectors_ = "x", np.ones(3), np.ones((2, 2), np.int64), vectors

    def retrieve(self, requests, limit):
        return Retrieved.empty(len(requests))


def history_of(item):
    from recokit.data import Ragged

    return Requests.build(
        np.array([0]), now=2e9, ragged={"history": Ragged(np.array([0, 1]), np.array([item]))}
    )


def test_a_copy_has_the_name_the_options_and_the_verb():
    source = candidates.Popular().fit(DATA)
    for broken in (faults.dead(source), faults.flooding(source, 30, 0), faults.delayed(source, 0.0)):
        assert repr(broken) == repr(source) and type(broken).__name__ == "Popular"
        assert (
            type(broken).__module__ == type(source).__module__
            and type(broken).__doc__ == type(source).__doc__
        )
        assert isinstance(broken, candidates.Popular) and broken is not source


def test_a_truncated_list_lacks_the_items_and_keeps_the_order_of_the_rest():
    source = candidates.Popular().fit(DATA)
    whole = source.retrieve(make_requests(1), 30)
    lost = whole.item[[0, 2]]
    cut = faults.truncated(source, lost).retrieve(make_requests(1), 30)
    assert cut.item.tolist() == [item for item in whole.item.tolist() if item not in lost]
    assert cut.score.tolist() == whole.score[np.isin(whole.item, cut.item)].tolist()


def test_a_truncated_table_lacks_the_items_as_questions_too():
    source = candidates.ItemKNN(n_neighbors=10).fit(DATA)
    item = int(np.argmax(np.diff(source.offsets_)))
    whole = source.retrieve(history_of(item), 30).item
    cut = faults.truncated(source, whole[:2])
    assert cut.retrieve(history_of(item), 30).item.tolist() == whole[2:].tolist()
    assert faults.truncated(source, np.array([item])).retrieve(history_of(item), 30).item.tolist() == []
    assert len(cut.offsets_) == len(source.offsets_) and len(cut.similarity_) == len(cut.neighbor_)


def test_truncated_vectors_are_zero_and_shuffled_ones_belong_to_others():
    rows = np.random.default_rng(0).normal(size=(9, 3))
    stage = Vectors(rows)
    cut = faults.truncated(stage, np.array([2, 5]))
    assert (cut.vectors_[[2, 5]] == 0).all() and np.array_equal(
        np.delete(cut.vectors_, [2, 5], 0), np.delete(rows, [2, 5], 0)
    )
    mixed = faults.shuffled(stage, 1).vectors_
    assert np.array_equal(mixed[0], rows[0]) and sorted(mixed.ravel()) == sorted(rows.ravel())
    assert (mixed[1:] != rows[1:]).any() and np.array_equal(stage.vectors_, rows)
    with pytest.raises(ConfigurationError, match="found no vectors"):
        faults.truncated(FixedSource([1]), np.array([1]))


def test_shuffled_codes_are_a_permutation():
    source = candidates.Popular().fit(DATA)
    mine = source.retrieve(make_requests(1), 29).item
    other = faults.shuffled(source, 3).retrieve(make_requests(1), 29).item
    assert len(set(other.tolist())) == len(mine) and other.tolist() != mine.tolist() and other.min() >= 1
    table = candidates.ItemKNN(n_neighbors=10).fit(DATA)
    assert sorted(np.bincount(faults.shuffled(table, 3).neighbor_)) == sorted(np.bincount(table.neighbor_))


def test_vectors_with_nan_and_collapsed_ones():
    rows = np.random.default_rng(0).normal(size=(400, 3))
    spoiled = faults.nan_vectors(Vectors(rows), 0.3, 1).vectors_
    assert (
        np.isnan(spoiled).any(axis=1).mean() == pytest.approx(0.3, abs=0.1)
        and np.isnan(spoiled).sum(axis=1).max() == 1
    )
    way = faults.collapsed(Vectors(rows), 1).vectors_
    assert np.linalg.norm(way, axis=1) == pytest.approx(np.linalg.norm(rows, axis=1), rel=0.1)
    unit = way / np.linalg.norm(way, axis=1, keepdims=True)
    assert 0.999 < np.linalg.norm(unit.mean(axis=0)) < 1.0
    assert np.linalg.norm((unit[:, None] - unit[None]).reshape(-1, 3), axis=1).max() < 0.2


def test_a_dead_source_finds_nothing_and_a_flooding_one_all_it_may():
    source = FixedSource([3, 1, 2])
    assert faults.dead(source).retrieve(make_requests(4), 9).offsets.tolist() == [0] * 5
    flood = faults.flooding(source, 30, 0).retrieve(make_requests(2), 20)
    assert flood.offsets.tolist() == [0, 20, 40]
    for row in (flood.item[:20], flood.item[20:]):
        assert (
            row[:3].tolist() == [3, 1, 2]
            and len(set(row.tolist())) == 20
            and row.min() >= 1
            and row.max() <= 30
        )
    assert sorted(faults.flooding(source, 30, 0).retrieve(make_requests(1), 40).item.tolist()) == list(
        range(1, 31)
    )


def test_features_are_dropped_scaled_shifted_and_swapped_by_name():
    whole = Block().featurize(BATCH)
    assert np.isnan(faults.dropped(Block(), ["b"]).featurize(BATCH)[:, 1]).all()
    assert np.array_equal(faults.dropped(Block(), ["b"]).featurize(BATCH)[:, 0], whole[:, 0])
    assert np.array_equal(faults.scaled(Block(), ["b"], 3.0).featurize(BATCH), whole * np.float32([1, 3]))
    assert np.array_equal(
        faults.drifted(Block(), ["b", "a"], [5, 7]).featurize(BATCH), whole + np.float32([7, 5])
    )
    assert np.array_equal(faults.swapped(Block(), "a", "b").featurize(BATCH), whole[:, ::-1])


def test_a_default_stands_for_a_share_of_the_items_in_all_rows():
    broken = faults.defaulted(Block(), ["b"], -1.0, share=0.4, seed=2).featurize(BATCH)
    hit = broken[:, 1] == -1.0
    by_item = {item: set(hit[BATCH.item == item].tolist()) for item in set(BATCH.item.tolist())}
    assert all(len(kinds) == 1 for kinds in by_item.values())
    assert 0.2 < np.mean([kinds == {True} for kinds in by_item.values()]) < 0.6
    assert np.array_equal(broken[~hit], Block().featurize(BATCH)[~hit])


def test_flat_scores_have_few_values():
    score = BATCH.score
    assert set(faults.flat(Scorer()).score(BATCH).tolist()) == {float(np.float32(np.median(score)))}
    levels = faults.flat(Scorer(), 4).score(BATCH)
    assert len(set(levels.tolist())) == 4
    assert (levels[score > np.median(score)] == levels.max()).all()
    assert levels.max() == pytest.approx(np.median(score)) and levels.min() == score.min()
    empty = BATCH.compress(np.zeros(len(BATCH), np.bool_))
    assert len(faults.flat(Scorer()).score(empty)) == len(faults.flat(Scorer(), 4).score(empty)) == 0


def test_an_inverted_scorer_orders_the_other_way_round():
    assert np.array_equal(faults.inverted(Scorer()).score(BATCH), -BATCH.score)
    from recokit.data import RankingData

    batch = make_candidates(60, features=["a", "b"])
    label = (np.nan_to_num(batch.features[:, 0]) > 0).astype(np.float32)
    data = RankingData(
        batch.features, batch.feature_names, label, np.ones(len(label), np.float32), batch.offsets,
        batch.user, batch.item, batch.now,
    )  # fmt: skip
    for ranker in (rankers.LogisticRegression(), rankers.GradientBoosting(n_estimators=5)):
        fitted = ranker.fit(data)
        mine, other = fitted.score(batch), faults.inverted(fitted).score(batch)
        assert np.corrcoef(mine, other)[0, 1] < -0.9 and np.array_equal(fitted.score(batch), mine)
        mixed = faults.columns_mixed_up(fitted, 0)
        assert sorted(mixed.feature_names_) == sorted(fitted.feature_names_)
    with pytest.raises(ConfigurationError, match="expected a fitted ranker"):
        faults.columns_mixed_up(Scorer(), 0)


def test_scores_of_a_share_of_the_items_are_nan():
    bad = np.isnan(faults.nan_scores(Scorer(), 0.4, 1).score(BATCH))
    items = set(BATCH.item[bad].tolist())
    assert 0.2 < len(items) / len(set(BATCH.item.tolist())) < 0.6
    assert np.array_equal(bad, np.isin(BATCH.item, list(items)))


def test_a_rule_removes_more():
    kept = faults.removing(Everything(), np.array([3, 900])).keep(BATCH)
    assert np.array_equal(kept, BATCH.item != 3)
    assert (
        not faults.removing(rules.FromFunction(lambda batch: batch.item > 9), np.array([12]))
        .keep(BATCH)[BATCH.item < 10]
        .any()
    )


def test_a_stale_stage_knows_the_older_data():
    old = DATA.before(float(np.median(DATA.interactions.timestamp)))
    stale = faults.stale(candidates.Popular().fit(DATA), old)
    assert stale.fitted_until_ == candidates.Popular().fit(old).fitted_until_ < DATA.until
    block = faults.stale(features.ItemActivity().fit(DATA), old)
    assert max(block.freshness().values()) <= old.until


def test_an_option_named_refit_is_no_method():
    class Network:
        def __init__(self, *, refit=True):
            self.refit = refit

        def fit(self, dataset):
            self.until_ = dataset.until
            return self

        def retrieve(self, requests, limit):
            return Retrieved.empty(len(requests))

    assert faults.stale(Network().fit(DATA), DATA.before(DATA.until - 1.0)).until_ == DATA.until - 1.0


def test_an_option_is_changed_and_must_be_one():
    rule = rules.MaxShare("category", 0.5)
    assert (faults.with_option(rule, share=0.1).share, rule.share) == (0.1, 0.5)
    with pytest.raises(ConfigurationError, match="found no option 'portion'"):
        faults.with_option(rule, portion=0.1)


def test_a_delayed_stage_answers_later():
    started = time.perf_counter()
    assert len(faults.delayed(Scorer(), 0.02).score(BATCH)) == len(BATCH)
    assert time.perf_counter() - started >= 0.02


def test_a_stage_raises_on_a_share_of_its_requests():
    def fails(share, seed, batch):
        try:
            faults.raising(Scorer(), share, seed).score(batch)
        except ConnectionError:
            return True
        return False

    singles = [make_candidates(requests=make_requests(1, seed=seed)) for seed in range(60)]
    singles = [batch for batch in singles if len(batch)]
    share = np.mean([fails(0.3, 1, batch) for batch in singles])
    assert 0.1 < share < 0.5 and share == np.mean([fails(0.3, 1, batch) for batch in singles])
    assert all(fails(1.0, 1, batch) for batch in singles) and not any(
        fails(0.0, 1, batch) for batch in singles
    )
    empty = BATCH.take_rows(np.zeros(0, np.int64))
    assert not fails(1.0, 1, empty)
    with pytest.raises(KeyError, match="own"):
        faults.raising(FixedSource([1]), 1.0, 0, KeyError("own")).retrieve(make_requests(1), 1)


def test_some_requests_only_get_the_faulty_answer():
    def odd(requests):
        return requests.user % 2 == 1

    requests = make_requests(8)
    hit = odd(requests)
    source = faults.only_for(FixedSource([3, 1]), FixedSource([7]), odd).retrieve(requests, 2)
    for row, is_hit in enumerate(hit):
        items = source.item[source.offsets[row] : source.offsets[row + 1]].tolist()
        assert items == ([7] if is_hit else [3, 1])
    hit = odd(BATCH.requests)[BATCH.row]
    score = faults.only_for(Scorer(), faults.flat(Scorer()), odd).score(BATCH)
    assert np.array_equal(score, np.where(hit, np.float32(np.median(BATCH.score)), BATCH.score))
    block = faults.only_for(Block(), faults.scaled(Block(), ["a", "b"], 2.0), odd).featurize(BATCH)
    assert np.array_equal(block, Block().featurize(BATCH) * np.where(hit, 2, 1)[:, None])
