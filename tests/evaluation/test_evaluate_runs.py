"""evaluate: subjects, truths, segments, and everything that may be missing on one side."""

from __future__ import annotations

import json

import numpy as np
import pytest

from recokit.data import Categorical, Dataset, Ragged, Vocabulary
from recokit.errors import ConfigurationError, ContractError, DataError, VocabularyMismatch
from recokit.evaluation import evaluate
from recokit.metrics import NDCG, CatalogCoverage, IntraListDiversity, Metric, UserMetric
from recokit.result import Recommendations
from recokit.trace import Status


def made(lists, items, status=None):
    """Recommendations of a mapping of user id to item ids."""
    vocabulary = items if isinstance(items, Vocabulary) else Vocabulary(items)
    codes = [vocabulary.encode(ids) for ids in lists.values()]
    ragged = Ragged.from_lists(codes)
    users = np.empty(len(lists), object)
    users[:] = list(lists)
    return Recommendations(
        users=users,
        offsets=ragged.offsets,
        item=ragged.values,
        score=np.ones(len(ragged.values), np.float32),
        columns={},
        sources=((),) * len(ragged.values),
        status=np.zeros(len(lists), np.int64) if status is None else np.array(status, np.int64),
        reasons=((),) * len(lists),
        item_ids=vocabulary,
    )


class Lookup:
    """A recommender that answers from a mapping and remembers what it was asked."""

    def __init__(self, lists, items):
        self.lists, self.items, self.asked = lists, Vocabulary(items), []

    def recommend(self, users, k=10, *, now=None, seed=0):
        self.asked.append({"users": list(users), "k": k, "now": now, "seed": seed})
        answer = {user: self.lists.get(user, [])[:k] for user in users}
        status = [Status.OK if answer[user] else Status.EMPTY for user in users]
        return made(answer, self.items, status)


ITEMS = ["fig", "kiwi", "lime", "pear", "plum"]
LISTS = {"ann": ["pear", "fig", "kiwi"], "bob": ["lime", "pear"], "cat": []}
TRUTH = {"ann": ["fig", "plum"], "bob": ["lime"], "cat": ["kiwi"], "dan": ["fig"]}


def log(rows, **columns):
    users, items, times = zip(*rows, strict=True)
    return {"user_id": list(users), "item_id": list(items), "timestamp": list(times), **columns}


@pytest.fixture
def data():
    """Ann has 60 events before the cut, bob 6, cat and dan none."""
    before = [("ann", ITEMS[i % 5], 100.0 + i) for i in range(60)]
    before += [("bob", ITEMS[i % 5], 200.0 + i) for i in range(6)]
    after = [("ann", "fig", 1000.0), ("ann", "plum", 1001.0), ("ann", "fig", 1002.0)]
    after += [("bob", "lime", 1003.0), ("cat", "kiwi", 1004.0), ("dan", "fig", 1005.0)]
    users = {"user_id": ["ann", "bob", "cat", "dan"], "region": ["north", "north", "south", None]}
    items = {"item_id": ITEMS, "category": ["core", "green", "green", "core", "stone"]}
    return Dataset.from_frame(log(before + after), users=users, items=items).split_at(900.0)


def test_a_mean_over_all_users_with_truth():
    found = evaluate(made(LISTS, ITEMS), TRUTH, ["Recall@2", "HitRate@1"])
    assert found["Recall@2"].mean == pytest.approx((0.5 + 1 + 0 + 0) / 4)
    assert found["HitRate@1"].mean == pytest.approx(1 / 4)
    assert found["Recall@2"].n == len(found) == 4
    assert dict(zip(found.users.ids, found.values("Recall@2"), strict=True)) == {
        "ann": 0.5,
        "bob": 1,
        "cat": 0,
        "dan": 0,
    }
    assert found.per_user.dtype == np.float32


def test_a_recommender_and_its_recommendations_evaluate_alike(data):
    _, test = data
    lookup = Lookup(LISTS, ITEMS)
    live = evaluate(lookup, test)
    done = evaluate(made(LISTS, ITEMS), test)
    np.testing.assert_array_equal(live.per_user, done.per_user)
    assert lookup.asked == [{"users": ["ann", "bob", "cat", "dan"], "k": 50, "now": 1000.0, "seed": 0}]
    assert live.statuses == {"OK": 2, "DEGRADED": 0, "FALLBACK": 0, "EMPTY": 2, "FAILED": 0, "MISSING": 0}
    assert done.statuses["MISSING"] == 1


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 1000])
def test_chunks_change_nothing(data, chunk_size):
    train, test = data
    metrics = ["NDCG@10", "CatalogCoverage@2", "IntraListDiversity@3:category"]
    lookup = Lookup(LISTS, ITEMS)
    whole = evaluate(Lookup(LISTS, ITEMS), test, metrics, by="activity", history=train)
    parts = evaluate(
        lookup, test, metrics, by="activity", history=train, chunk_size=chunk_size, progress=True
    )
    assert len(lookup.asked) == -(-4 // chunk_size)
    assert parts.to_dict() == whole.to_dict()
    np.testing.assert_array_equal(parts.per_user, whole.per_user)


def test_only_a_chunk_of_lists_is_held_at_a_time(data):
    import weakref

    held = []

    class Watched(Lookup):
        def recommend(self, users, **options):
            assert sum(ref() is not None for ref in held) <= 1
            answer = super().recommend(users, **options)
            held.append(weakref.ref(answer))
            return answer

    evaluate(Watched(LISTS, ITEMS), data[1], chunk_size=1)
    assert len(held) == 4


def test_request_time_seed_and_length_are_passed_on(data):
    train, test = data
    lookup = Lookup(LISTS, ITEMS)
    evaluate(lookup, test, ["NDCG@3"], now="2001-01-01", seed=7, k=5)
    assert lookup.asked[0] | {"users": None} == {"users": None, "k": 5, "now": 978307200.0, "seed": 7}
    assert evaluate(lookup, test, history=train).now == 900.0  # the cut, not the first event after it
    assert evaluate(lookup, TRUTH).now is None  # a recommender without a given time uses its own


def test_ratings_are_gains_and_a_weight_of_zero_is_not_relevant():
    rows = [(1, 10, 5.0), (1, 20, 6.0), (1, 20, 7.0), (2, 10, 8.0)]
    test = Dataset.from_frame(log(rows, weight=[1.0, 1.0, 3.0, 0.0]))
    lookup = Lookup({1: [10, 20]}, [10, 20])
    found = evaluate(lookup, test, ["NDCG@2:linear", "NDCG@2"])
    assert found["NDCG@2"].mean == 1.0
    assert found["NDCG@2:linear"].mean == pytest.approx((1 + 3 / np.log2(3)) / (3 + 1 / np.log2(3)))
    assert found["NDCG@2"].n == 1
    assert found.n_without_truth == 1


def test_relevant_items_that_the_model_does_not_know_count_in_the_denominator():
    truth = {"ann": ["fig", "new", "newer", "newer"]}
    assert evaluate(made(LISTS, ITEMS), truth, ["Recall@3"])["Recall@3"].mean == pytest.approx(1 / 3)


def test_another_order_of_the_items_changes_nothing(data):
    _, test = data
    expected = evaluate(made(LISTS, ITEMS), test)
    for items in (ITEMS[::-1], [*ITEMS[2:], "other", *ITEMS[:2]]):
        np.testing.assert_array_equal(evaluate(made(LISTS, items), test).per_user, expected.per_user)


def test_users_on_one_side_only_are_counted():
    lists = {"zoe": ["fig"], None: ["fig"], **LISTS}
    found = evaluate(made(lists, ITEMS), {**TRUTH, "eve": []}, ["Recall@2"])
    assert found.n_outside == 2
    assert found.n_without_truth == 1
    assert found.statuses["MISSING"] == 1
    assert "2 lists of other users left out, 1 users without relevant items left out" in str(found)


def test_only_the_users_asked_for():
    found = evaluate(made(LISTS, ITEMS), TRUTH, ["Recall@2"], users=["bob", "ann", "who"])
    assert found.users.ids.tolist() == ["bob", "ann"]
    assert found["Recall@2"].mean == pytest.approx(0.75)
    assert found.n_without_truth == 1


def test_a_ragged_truth_of_the_recommenders_own_codes():
    recommendations = made(LISTS, ITEMS)
    truth = Ragged.from_lists([[1, 5], [3], []])
    expected = evaluate(recommendations, {"ann": ["fig", "plum"], "bob": ["lime"]}, ["NDCG@3"])
    for found in (
        evaluate(recommendations, truth, ["NDCG@3"]),
        evaluate(Lookup(LISTS, ITEMS), truth, ["NDCG@3"], users=["ann", "bob", "cat"]),
    ):
        np.testing.assert_array_equal(found.per_user, expected.per_user)
        assert found.n_without_truth == 1
    graded = Ragged(truth.offsets, truth.values, {"gain": np.array([1.0, 2.0, 1.0])})
    assert (
        evaluate(recommendations, graded, ["NDCG@3:linear"])["NDCG@3:linear"].mean < expected["NDCG@3"].mean
    )
    with pytest.raises(DataError, match="without users"):
        evaluate(Lookup(LISTS, ITEMS), truth)
    with pytest.raises(DataError, match="3 rows of truth for 1 users"):
        evaluate(Lookup(LISTS, ITEMS), truth, users=["ann"])


def test_activity_is_counted_before_the_cut_only(data):
    train, test = data
    found = evaluate(Lookup(LISTS, ITEMS), test, ["Recall@2"], by="activity", history=train)
    assert found.segments == ("all", "cold-start", "casual", "power")
    assert [found["Recall@2", segment].n for segment in found.segments] == [4, 2, 1, 1]
    assert found["Recall@2", "power"].mean == 0.5
    # The whole data as history changes nothing: events from the request time on are not counted.
    everything = train.with_interactions(
        Dataset.from_frame(
            log([("ann", "fig", 100.0)] * 60 + [("bob", "fig", 101.0)] * 6 + [("cat", "fig", 1004.0)] * 80)
        ).interactions
    )
    same = evaluate(Lookup(LISTS, ITEMS), test, ["Recall@2"], by="activity", history=everything, now=900.0)
    assert same.segment.tolist() == found.segment.tolist()


def test_the_history_of_a_pipeline_is_found_on_it(data):
    train, test = data
    lookup = Lookup(LISTS, ITEMS)
    lookup.dataset = train
    found = evaluate(lookup, test, ["Recall@2"], by="activity")
    assert found["Recall@2", "cold-start"].n == 2
    assert found.now == 900.0


def test_segments_by_column_array_categorical_and_mapping(data):
    _, test = data
    lookup = Lookup(LISTS, ITEMS)
    by_code = np.array([None, "north", "north", "south", None], object)
    codes = Categorical(np.array([0, 1, 1, 2, 0]), Vocabulary(["north", "south"]))
    for by in ("region", "user.region", by_code, codes, {"ann": "north", "bob": "north", "cat": "south"}):
        found = evaluate(lookup, test, ["Recall@2"], by=by)
        assert found.segments == ("all", "north", "south")
        assert [found["Recall@2", segment].mean for segment in found.segments] == [0.375, 0.75, 0.0]
        assert [found["Recall@2", segment].n for segment in found.segments] == [4, 2, 1]
    by_number = evaluate(lookup, TRUTH, ["Recall@2"], by={"ann": 1, "bob": 2})
    assert by_number.segments == ("all", "1", "2")


def test_segments_that_cannot_be_resolved(data):
    train, test = data
    lookup = Lookup(LISTS, ITEMS)
    with pytest.raises(ConfigurationError, match=r"by='activity' without a dataset.*history="):
        evaluate(lookup, test, by="activity")
    with pytest.raises(ConfigurationError, match="did you mean 'region'"):
        evaluate(lookup, test, by="regon", history=train)
    with pytest.raises(ConfigurationError, match="by='region' without a dataset"):
        evaluate(lookup, TRUTH, by="region")
    with pytest.raises(ConfigurationError, match="segment named 'all'"):
        evaluate(lookup, TRUTH, by={"ann": "all"})


def test_coverage_and_diversity_by_segment(data):
    train, test = data
    metrics = [CatalogCoverage(2), IntraListDiversity(3, by="category"), "NDCG@3"]
    found = evaluate(Lookup(LISTS, ITEMS), test, metrics, by="activity", history=train)
    assert found["CatalogCoverage@2"].mean == 3 / 5
    assert found["CatalogCoverage@2", "power"].mean == found["CatalogCoverage@2", "casual"].mean == 2 / 5
    assert found["CatalogCoverage@2", "cold-start"].mean == 0
    assert np.isnan(found["CatalogCoverage@2"].low)
    diversity = found["IntraListDiversity@3:category"]
    assert diversity.mean == pytest.approx((2 / 3 + 1) / 2)
    assert diversity.n == 2
    assert np.isnan(found["IntraListDiversity@3:category", "cold-start"].mean)
    assert str(found["IntraListDiversity@3:category", "cold-start"]) == "-"


def test_an_item_column_needs_the_same_items(data):
    _, test = data
    with pytest.raises(VocabularyMismatch, match="IntraListDiversity@3:category reads"):
        evaluate(made(LISTS, ITEMS[::-1]), test, ["IntraListDiversity@3:category"])
    with pytest.raises(ConfigurationError, match="without item columns"):
        evaluate(made(LISTS, ITEMS), TRUTH, ["IntraListDiversity@3:category"])


def test_a_metric_of_ones_own():
    class Length(UserMetric):
        """Items in the list."""

        bounds = (0.0, np.inf)

        def per_user(self, judged):
            return judged.lists.counts.astype(float)

    found = evaluate(made(LISTS, ITEMS), TRUTH, Length(10))
    assert found["Length@10"].mean == 5 / 4
    assert found["Length@10"].high > 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ["NDGC@10"]}, "did you mean 'NDCG'"),
        ({"metrics": []}, "expected at least one"),
        ({"metrics": ["NDCG@10", NDCG(10)]}, "each name once"),
        ({"metrics": [3]}, "found 3 among the metrics"),
        ({"k": 5}, "found k=5; expected at least 50, which Recall@50"),
        ({"confidence": 95}, "confidence=95"),
        ({"chunk_size": 0}, "chunk_size=0"),
    ],
)
def test_impossible_options(options, message):
    with pytest.raises(ConfigurationError, match=message):
        evaluate(made(LISTS, ITEMS), TRUTH, **options)


def test_an_abstract_metric_is_no_metric():
    with pytest.raises(ConfigurationError, match="among the metrics"):
        evaluate(made(LISTS, ITEMS), TRUTH, [NDCG])
    with pytest.raises(TypeError):
        Metric(10)


def test_nobody_to_evaluate(data):
    _, test = data
    empty = test.with_interactions(test.interactions.between(0.0, 1.0))
    for truth in ({}, {"ann": []}, empty):
        with pytest.raises(DataError, match="found no user with a relevant item"):
            evaluate(Lookup(LISTS, ITEMS), truth)
    with pytest.raises(DataError, match="found no user with a relevant item among 1"):
        evaluate(Lookup(LISTS, ITEMS), TRUTH, users=["who"])


def test_what_cannot_be_evaluated():
    with pytest.raises(DataError, match="expected a pipeline, Recommendations, or a mapping"):
        evaluate(3, TRUTH)
    with pytest.raises(DataError, match="expected a pipeline"):
        evaluate(Lookup, TRUTH)
    with pytest.raises(ConfigurationError, match="empty mapping"):
        evaluate({}, TRUTH)
    with pytest.raises(DataError, match="found list for the truth"):
        evaluate(made(LISTS, ITEMS), [["fig"]])


def test_ids_of_the_wrong_kind_are_an_error_not_a_score_of_zero():
    with pytest.raises(DataError, match="expected int ids"):
        evaluate(made(LISTS, ITEMS), {1: ["fig"]})
    with pytest.raises(DataError, match="expected str ids"):
        evaluate(made(LISTS, ITEMS), {"ann": [1]})


def test_two_lists_for_one_user_are_an_error():
    twice = made(LISTS, ITEMS)
    twice.users[2] = "ann"
    with pytest.raises(DataError, match="more than one list for user 'ann'") as error:
        evaluate(twice, TRUTH)
    assert error.value.rows == (2,)


def test_a_recommender_that_breaks_its_contract():
    class Short(Lookup):
        def recommend(self, users, **options):
            return super().recommend(users[:1], **options)

    with pytest.raises(ContractError, match=r"found 1 lists from Short.recommend; .* 4 lists"):
        evaluate(Short(LISTS, ITEMS), TRUTH)

    class Rude(Lookup):
        def recommend(self, users, **options):
            return [["fig"] for _ in users]

    with pytest.raises(ContractError, match=r"found list from Rude.recommend"):
        evaluate(Rude(LISTS, ITEMS), TRUTH)


def test_figures_are_ready_for_json(data):
    train, test = data
    found = evaluate({"a": Lookup(LISTS, ITEMS)}, test, by="activity", history=train)
    assert json.loads(json.dumps(found.to_dict(), allow_nan=False))["a"]["n_users"] == 4
    single = [record for record in found.to_records() if record["segment"] == "power"]
    assert [record["metric"] for record in single] == ["NDCG@10", "Recall@50", "MAP@10"]
    assert single[0]["low"] is None
    assert single[0]["n"] == 1
