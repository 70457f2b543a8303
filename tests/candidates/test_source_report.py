"""The candidates report against a naive count, user by user."""

from __future__ import annotations

import json
from itertools import combinations

import numpy as np
import pytest

from recokit._utils.params import Configured
from recokit.candidates import FromFunction, History, ItemKNN, Merge, Popular
from recokit.candidates.source_report import report
from recokit.data import Dataset, Requests, Retrieved
from recokit.errors import ConfigurationError, ContractError, DataError, VocabularyMismatch
from recokit.pipeline import Step

K = (2, 5)


class Fixed(Configured):
    """Answers a list by user code."""

    def __init__(self, lists):
        self.lists = lists

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        width = max((len(row) for row in self.lists.values()), default=1)
        item = np.zeros((len(requests), max(width, 1)), np.int64)
        for row, user in enumerate(requests.user.tolist()):
            mine = self.lists.get(user, [])
            item[row, : len(mine)] = mine
        return Retrieved.from_padded(item[:, :limit], np.ones(item[:, :limit].shape, np.float32))


def make_data(n_users=20, n_items=15, seed=0):
    rng = np.random.default_rng(seed)
    n = 200
    log = {
        "user": np.concatenate([np.arange(1, n_users + 1), rng.integers(1, n_users + 1, n)]),
        "item": np.concatenate([np.arange(n_users) % n_items + 1, rng.integers(1, n_items + 1, n)]),
        "timestamp": np.arange(n + n_users, dtype=np.float64),
        "weight": rng.choice([0.0, 1.0], n + n_users, p=[0.1, 0.9]),
    }
    users = {
        "user_id": np.arange(1, n_users + 1),
        "region": np.array(["north", "south"])[np.arange(n_users) % 2],
    }
    items = {"item_id": np.arange(1, n_items + 1)}
    return Dataset.from_frame(log, users=users, items=items).split_at(180.0)


def random_lists(seed, n_users=20, n_items=15):
    rng = np.random.default_rng(seed)
    return {
        user: (rng.permutation(n_items)[: rng.integers(0, 6)] + 1).tolist() for user in range(1, n_users + 1)
    }


def truth_of(test):
    log = test.interactions
    truth: dict[int, set[int]] = {}
    for user, item, weight in zip(log.user.tolist(), log.item.tolist(), log.weight.tolist(), strict=True):
        if weight > 0:
            truth.setdefault(user, set()).add(item)
    return truth


@pytest.mark.parametrize("chunk_size", [1, 3, 512])
def test_against_naive(chunk_size):
    train, test = make_data()
    lists = {name: random_lists(seed) for seed, name in enumerate("abc")}
    found = report(
        {name: Fixed(part) for name, part in lists.items()},
        train,
        test,
        k=K,
        by="region",
        chunk_size=chunk_size,
    )
    truth = truth_of(test)
    region = dict(enumerate(["", *(["north", "south"] * 10)]))
    assert found.sources == ("a", "b", "c") and found.segments == ("all", "north", "south")
    for segment in found.segments:
        users = [user for user in truth if segment in ("all", region[user])]
        for name in "abc":
            figures = found[name, segment]
            assert figures.n_users == len(users)
            assert figures.candidates == pytest.approx(np.mean([len(lists[name][u]) for u in users]))
            assert figures.answered == pytest.approx(np.mean([len(lists[name][u]) > 0 for u in users]))
            for k in K:
                tops = {u: {other: set(lists[other][u][:k]) for other in "abc"} for u in users}
                recall = np.mean([len(tops[u][name] & truth[u]) / len(truth[u]) for u in users])
                only = np.mean(
                    [
                        len((tops[u][name] & truth[u]).difference(*(tops[u][o] for o in "abc" if o != name)))
                        / len(truth[u])
                        for u in users
                    ]
                )
                union = np.mean(
                    [len(set().union(*tops[u].values()) & truth[u]) / len(truth[u]) for u in users]
                )
                assert figures.recall[k] == pytest.approx(recall)
                assert figures.only[k] == pytest.approx(only)
                assert found["together", segment].recall[k] == pytest.approx(union)
    for (a, first), (b, second) in combinations(enumerate(lists.values()), 2):
        shares = [
            len({*first[u]} & {*second[u]}) / len({*first[u]} | {*second[u]})
            for u in truth
            if first[u] or second[u]
        ]
        assert found.overlap[a, b] == found.overlap[b, a] == pytest.approx(np.mean(shares))
    assert np.diag(found.overlap).tolist() == [1, 1, 1]
    takers = [set() for _ in range(16)]
    for user, items in truth_of(train).items():
        for item in items:
            takers[item].add(user)
    counts = np.array([len(users) for users in takers])
    head = set((np.argsort(-counts[1:], kind="stable")[:3] + 1).tolist())
    n_train_users = len(set().union(*takers))
    for name in "abc":
        shown = [item for user in truth for item in lists[name][user]]
        assert found.coverage[name] == pytest.approx(len(set(shown)) / 15)
        assert found.popularity[name] == pytest.approx(
            np.mean([counts[item] / n_train_users for item in shown])
        )
        assert found.head_share[name] == pytest.approx(np.mean([item in head for item in shown]))


def test_activity_by_default_and_no_segments():
    train, test = make_data()
    source = {"popular": Popular().fit(train)}
    assert report(source, train, test).segments == ("all", "cold-start", "casual", "power")
    assert report(source, train, test, by=None).segments == ("all",)
    partial = report(source, train, test, by={1: "vip"}, k=[5])
    assert partial["popular", "vip"].n_users <= 1
    assert partial["popular"].n_users == len(truth_of(test))


def test_empty_segment_and_silent_source():
    train, test = make_data()
    found = report({"none": Fixed({}), "some": Fixed({1: [1]})}, train, test, k=[5])
    assert found["none"].recall[5] == 0 and found["none"].answered == 0 and found.coverage["none"] == 0
    assert np.isnan(found["none", "power"].recall[5]) and found["none", "power"].n_users == 0
    assert np.isnan(found.overlap[0, 0]) and found.popularity["none"] == 0
    assert found.to_records()[0]["recall@5"] == 0
    json.dumps(found.to_dict(), allow_nan=False)


class TestMerge:
    def merge(self, train, **options):
        return Merge([Popular(), Step(ItemKNN(), name="knn", limit=3), History()], **options).fit(train)

    def test_fused_is_what_the_merge_answers(self):
        train, test = make_data()
        for options in ({}, {"by": "rrf"}, {"by": "quota", "quotas": {"popular": 0.4, "knn": 0.6}}):
            merge = self.merge(train, **options)
            found = report(merge, train, test, k=[4], by=None)
            assert found.sources == ("popular", "knn", "history")
            alone = report({"merge": merge}, train, test, k=[4], by=None)
            assert found["fused"].recall == alone["merge"].recall
            assert found.coverage["fused"] == alone.coverage["merge"]
            assert found["knn"].candidates <= 3
            assert np.isnan(found["fused"].only[4])

    def test_per_source_is_what_sources_are_asked_for(self):
        train, test = make_data()
        found = report(self.merge(train, per_source=2), train, test, k=[4], by=None)
        assert found["popular"].candidates == 2

    def test_history_is_as_of_now(self):
        train, test = make_data()
        seen = []

        def spy(requests, limit):
            history = requests.lists("history")
            seen.append((requests.now.max(), history.columns["timestamp"].max(initial=0)))
            return [[1]] * len(requests)

        assert report({"spy": FromFunction(spy, codes=True)}, train, test, k=[1]).now == 180
        report({"spy": FromFunction(spy, codes=True)}, train, test, k=[1], now=90.0)
        assert [now for now, _ in seen] == [180, 90]
        assert seen[0][1] == 179 and seen[1][1] == 89

    def test_without_a_cut_all_of_train_is_history(self):
        train, test = make_data()
        train = train.with_interactions(train.interactions)
        last = []

        def spy(requests, limit):
            last.append(requests.lists("history").columns["timestamp"].max())
            return [[1]] * len(requests)

        report({"spy": FromFunction(spy, codes=True)}, train, test, k=[1])
        assert last == [train.interactions.timestamp[-1]]

    def test_named_columns_are_bound(self):
        train, test = make_data()
        by_region = Popular(by="region").fit(train)
        assert report({"regional": by_region}, train, test, k=[3], by=None)["regional"].candidates == 3


def test_items_only_train():
    _, test = make_data()
    empty = test.with_interactions(test.interactions.take(slice(0, 0)))
    found = report({"popular": Popular().fit(empty)}, empty, test, k=[15], by=None)
    assert found["popular"].recall[15] == 1 and found.popularity["popular"] == 0


def test_sample_of_users():
    train, test = make_data()
    source = {"popular": Popular().fit(train)}
    some = report(source, train, test, k=[3], max_users=5, by=None)
    assert some["popular"].n_users == 5
    again = report(source, train, test, k=[3], max_users=5, by=None, chunk_size=2)
    assert again["popular"].recall == pytest.approx(some["popular"].recall, abs=1e-12)
    assert again.coverage == some.coverage and again["popular"].n_users == 5
    assert report(source, train, test, k=[3], max_users=999, by=None)["popular"].n_users == len(
        truth_of(test)
    )


def test_tables(capsys):
    train, test = make_data()
    found = report(
        {"a<b": Popular().fit(train), "knn": ItemKNN().fit(train)}, train, test, k=K, progress=True
    )
    text = repr(found)
    assert text.splitlines()[1].split()[:5] == ["source", "segment", "users", "recall@2", "recall@5"]
    assert f"{found['knn'].recall[5]:.4f}" in text and "overlap" in text
    html = found._repr_html_()
    assert "a&lt;b" in html and "a<b" not in html
    assert "candidates" in capsys.readouterr().err
    frame = found.to_frame()
    assert len(frame) == 3 * 4
    row = frame[(frame.source == "knn") & (frame.segment == "all")].iloc[0]
    assert row["recall@5"] == found["knn"].recall[5] and row["coverage"] == found.coverage["knn"]
    assert found.to_frame("polars").shape == frame.shape
    single = report({"a": Popular().fit(train)}, train, test, k=[2], by=None)
    assert "overlap  " not in repr(single) and '<th scope="col">overlap' not in single._repr_html_()


class TestErrors:
    def test_options(self):
        train, test = make_data()
        source = {"popular": Popular().fit(train)}
        for options in ({"k": []}, {"k": [0]}, {"chunk_size": 0}, {"max_users": 0}):
            with pytest.raises(ConfigurationError, match="at least 1"):
                report(source, train, test, **options)
        with pytest.raises(ConfigurationError, match="did you mean 'popular'"):
            report(source, train, test)["populer"]
        with pytest.raises(ConfigurationError, match="no segment"):
            report(source, train, test)["popular", "nobody"]
        with pytest.raises(ConfigurationError, match="backend"):
            report(source, train, test).to_frame("excel")

    def test_sources(self):
        train, test = make_data()
        for given in ({}, [Popular()], {"together": Popular()}):
            with pytest.raises(ConfigurationError):
                report(given, train, test)
        with pytest.raises(ConfigurationError, match="condition"):
            report(Merge([Step(Popular(), when="vip")]), train, test)
        with pytest.raises(ContractError):
            report({"wrong": Fixed({user: [99] for user in range(21)})}, train, test)

    def test_a_source_that_has_seen_the_test_part(self):
        train, test = make_data()
        everything = train.with_interactions(test.interactions)
        with pytest.raises(ConfigurationError, match="fitted on events until"):
            report({"popular": Popular().fit(everything)}, train, test)
        report({"history": History().fit(everything)}, train, test)  # as of each request's own time

    def test_data(self):
        train, test = make_data()
        other = Dataset.from_frame({"user": [1], "item": [1], "timestamp": [1.0]})
        with pytest.raises(VocabularyMismatch):
            report({"popular": Popular().fit(train)}, train, other)
        nothing = test.with_interactions(test.interactions.take(slice(0, 0)))
        with pytest.raises(DataError, match="no user with a relevant item"):
            report({"popular": Popular().fit(train)}, train, nothing)
