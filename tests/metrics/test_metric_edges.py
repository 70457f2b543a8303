"""Edge cases: the same value, or the same error, through lists, arrays, frames, streams and evaluate."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given, strategies as st

from recokit import evaluate, metrics
from recokit.data import Dataset, Ragged, Vocabulary
from recokit.errors import ConfigurationError, DataError
from recokit.metrics import (
    APLT,
    AUC,
    NDCG,
    CatalogCoverage,
    Entropy,
    Gini,
    MatchedLists,
    Personalization,
    Stream,
    UserMetric,
    auc,
    gauc,
    mae,
    parse,
    preset,
    report,
    rmse,
)
from recokit.result import Recommendations

RELEVANCE = [
    "NDCG@3",
    "NDCG@3:linear",
    "NDCG@3:exponential",
    "Recall@3",
    "Precision@3",
    "RPrecision@3",
    "MAP@3",
]
RELEVANCE += ["MRR@3", "HitRate@3", "RBP@3", "ERR@3:max_gain=4.0"]

#: Lists, and (item, gain) of each user.
CASES = {
    "plain": ([["a", "b", "c"], ["c", "a"]], [[("b", 1.0), ("x", 2.0)], [("a", 1.0)]]),
    "empty list": ([[], ["a"]], [[("b", 1.0)], [("a", 1.0)]]),
    "only empty lists": ([[], []], [[("b", 1.0)], [("a", 1.0)]]),
    "k beyond the list": ([["a"], ["b", "a"]], [[("a", 1.0), ("b", 3.0)], [("a", 1.0)]]),
    "unknown items": ([["new", "a"], ["b"]], [[("a", 1.0), ("elsewhere", 1.0)], [("b", 1.0)]]),
    "nothing known": ([["new"]], [[("elsewhere", 1.0)]]),
    "repeated items": ([["a", "a", "b"], ["b", "b"]], [[("b", 2.0)], [("b", 1.0)]]),
    "repeated truth": ([["a", "b", "c"], ["b"]], [[("b", 1.0), ("b", 1.0), ("x", 1.0)], [("b", 1.0)]]),
    "gain of zero": ([["a", "b"], ["b"]], [[("a", 0.0), ("b", 1.0)], [("b", 1.0)]]),
    "users in one side only": ([["a"], [], ["b"]], [[("a", 1.0)], [("b", 1.0)], []]),
    "one user": ([["a", "b"]], [[("b", 1.0)]]),
}


def made(lists):
    items = Vocabulary(sorted({item for row in lists for item in row}) or ["none"])
    codes = items.encode([item for row in lists for item in row])
    return Recommendations(
        users=np.array([f"user{i}" for i in range(len(lists))], object),
        offsets=np.cumsum([0, *map(len, lists)]),
        item=codes,
        score=np.ones(len(codes), np.float32),
        columns={},
        sources=((),) * len(codes),
        status=np.zeros(len(lists), np.int64),
        reasons=((),) * len(lists),
        item_ids=items,
    )


def frames(lists, truths):
    shown = [(f"user{u}", item, r) for u, row in enumerate(lists) for r, item in enumerate(row, 1)]
    relevant = [(f"user{u}", item, gain) for u, row in enumerate(truths) for item, gain in row]
    names = (("user_id", "item_id", "rank"), ("user_id", "item_id", "weight"))
    return tuple(
        {name: [row[i] for row in rows] for i, name in enumerate(columns)}
        for rows, columns in zip((shown, relevant), names, strict=True)
    )


def arrays(lists, truths):
    """The same by item code: offsets and codes of the lists, offsets, codes and gains of the truth."""
    ids = sorted({item for row in lists for item in row} | {item for row in truths for item, _ in row})
    code = {item: number for number, item in enumerate(ids, 1)}
    return (
        np.cumsum([0, *map(len, lists)]),
        np.array([code[item] for row in lists for item in row], np.int64),
        np.cumsum([0, *map(len, truths)]),
        np.array([code[item] for row in truths for item, _ in row], np.int64),
        np.array([gain for row in truths for _, gain in row]),
    )


def collections(truths):
    """The truths as mappings of id to gain, or as plain ids where one stands twice."""
    ids = [[item for item, _ in row] for row in truths]
    return [dict(row) for row in truths] if all(len(set(row)) == len(row) for row in ids) else ids


def answers(metric, lists, truths):
    """Return what each entry point says, by its name."""
    given, (shown, relevant) = collections(truths), frames(lists, truths)
    stream = Stream([metric])
    for user in range(len(lists)):
        stream.add(MatchedLists.from_lists(lists[user : user + 1], given[user : user + 1]))
    shuffled = pd.DataFrame(shown).sample(frac=1.0, random_state=0)
    recommended = made(lists)
    events = Dataset.from_frame({**relevant, "timestamp": np.arange(len(relevant["weight"]), dtype=float)})
    of_users = {f"user{u}": row for u, row in enumerate(given)}
    gains = np.array([gain for row in truths for _, gain in row])
    codes = Ragged(
        np.cumsum([0, *map(len, truths)]),
        recommended.item_ids.encode([item for row in truths for item, _ in row]),
        {"gain": gains},
    )
    read = {
        "arrays": MatchedLists.from_arrays(*arrays(lists, truths)),
        "columns": MatchedLists.from_frames(shown, relevant),
        "pandas and polars": MatchedLists.from_frames(shuffled, pl.DataFrame(relevant)),
        "arrow": MatchedLists.from_frames(pa.table(shown), pa.table(relevant)),
    }
    return {
        "lists": metric(lists, given),
        **{name: metric.value(matched) for name, matched in read.items()},
        "report": report(read["arrays"], [metric])[metric.name].value,
        "stream": stream.report()[metric.name].value,
        "evaluate, mapping": evaluate(recommended, of_users, [metric])[metric.name].mean,
        "evaluate, dataset": evaluate(recommended, events, [metric])[metric.name].mean,
        "evaluate, codes": evaluate(recommended, codes, [metric])[metric.name].mean,
        "evaluate, chunks": evaluate(recommended, of_users, [metric], chunk_size=1)[metric.name].mean,
        "evaluate, several": evaluate({"one": recommended}, of_users, [metric])["one"][metric.name].mean,
    }


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("name", RELEVANCE)
def test_every_entry_point_gives_the_same(name, case):
    found = answers(parse(name), *CASES[case])
    expected = found["lists"]
    assert 0 <= expected <= 1
    assert found == {entry: pytest.approx(expected, abs=1e-7) for entry in found}


#: Entry points that take a repeated item without gains only.
UNGRADED = ("lists", "stream", "evaluate, mapping", "evaluate, chunks", "evaluate, several")


def test_of_a_repeated_truth_the_largest_gain_counts_everywhere():
    metric, lists = parse("NDCG@3:linear"), [["a", "b"]]
    expected = metric(lists, [{"a": 1.0, "b": 3.0}])
    found = answers(metric, lists, [[("a", 1.0), ("b", 1.0), ("b", 3.0), ("b", 2.0)]])
    graded = {name: value for name, value in found.items() if name not in UNGRADED}
    assert graded == {name: pytest.approx(expected, abs=1e-7) for name in graded} and len(graded) == 7
    assert {found[name] for name in UNGRADED} == {metric(lists, [["a", "b"]])}


def test_users_of_one_side_only():
    shown = {"user_id": [1, 1, 3], "item_id": [7, 8, 7], "rank": [1, 2, 1]}
    matched = MatchedLists.from_frames(shown, {"user_id": [1, 2], "item_id": [8, 7]})
    assert matched.users.tolist() == [1, 2, 3]
    values = parse("MRR@5").per_user(matched)
    assert values[:2].tolist() == [0.5, 0.0]
    assert math.isnan(values[2])
    figure = report(matched, ["MRR@5"])["MRR@5"]
    assert (figure.n, figure.n_undefined, figure.value) == (2, 1, 0.25)


def test_one_side_without_a_row():
    nothing, some = {"user": [], "item": []}, {"user": [7, 9], "item": [3, 3]}
    matched = MatchedLists.from_frames(nothing, some)
    assert (matched.users.tolist(), parse("Recall@2").value(matched)) == ([7, 9], 0.0)
    matched = MatchedLists.from_frames(some, nothing)
    assert matched.users.tolist() == [7, 9] and math.isnan(parse("Recall@2").value(matched))
    assert math.isnan(parse("Recall@2").value(MatchedLists.from_frames(nothing, nothing)))


@pytest.mark.parametrize(
    "ids", [[0, 1, 2], [-5, 0, 4], [1, 2, 3], [10**6, 10**6 + 1, 10**6 + 2], [-(2**62), 0, 2**62]]
)
def test_integer_ids_of_any_size_are_told_apart(ids):
    lists = {"user": [ids[2], ids[0], ids[0]], "item": [ids[0], ids[1], ids[2]], "rank": [1, 2, 1]}
    matched = MatchedLists.from_frames(
        lists, {"user": [ids[2], ids[0], ids[1]], "item": [ids[0], ids[1], ids[2]]}
    )
    assert matched.users.tolist() == ids
    assert parse("MRR@5").per_user(matched).tolist() == [0.5, 0.0, 1.0]


def test_nobody_has_no_value_and_is_nothing_to_evaluate():
    nothing = {"user_id": np.zeros(0, np.int64), "item_id": np.zeros(0, np.int64)}
    names, zero, none = (
        ["NDCG@3", "Entropy@3", "UserCoverage@3"],
        np.zeros(1, np.int64),
        np.zeros(0, np.int64),
    )
    read = [
        MatchedLists.from_lists([], []),
        MatchedLists.from_frames(nothing, nothing),
        MatchedLists.from_arrays(zero, none, zero, none),
    ]
    for matched in read:
        figures = report(matched, names)
        assert all(math.isnan(figure.value) and figure.n == 0 for figure in figures.values())
    assert all(math.isnan(figure.value) for figure in Stream(names).report().values())
    for truth in ({}, {"user0": []}, Ragged.empty(1)):
        with pytest.raises(DataError, match="found no user with a relevant item"):
            evaluate(made([["a"]]), truth, names)


def test_scores_order_a_list_nan_last_and_ranks_may_not_be_nan():
    shown = {"user_id": [1, 1, 1], "item_id": [7, 8, 9], "score": [np.nan, 0.2, 0.9]}
    truth = {"user_id": [1], "item_id": [7]}
    assert MatchedLists.from_frames(shown, truth).hits.rank.tolist() == [3]
    nothing_scored = {**shown, "score": [np.nan] * 3}  # the order of the rows
    assert MatchedLists.from_frames(nothing_scored, {"user_id": [1], "item_id": [8]}).hits.rank.tolist() == [
        2
    ]
    unscored = replace(made([["a", "b"]]), score=np.full(2, np.nan, np.float32))
    assert evaluate(unscored, {"user0": ["b"]}, ["MRR@2"])["MRR@2"].mean == 0.5
    ranked = {"user_id": [1], "item_id": [7], "rank": [np.nan]}
    with pytest.raises(DataError, match="found rank nan"):
        MatchedLists.from_frames(ranked, truth)


KEYS = {
    "rank": st.integers(-1, 4).map(float),
    "whole score": st.integers(-1, 4).map(float),
    "score": st.sampled_from([-1.5, 0.0, 0.5, 2.0, 1e9, -np.inf, np.inf, np.nan]),
}


@pytest.mark.parametrize("kind", KEYS)
@given(data=st.data())
def test_rows_in_any_order_are_sorted_by_user_and_key(kind, data):
    """As Python sorts: equal keys in the order of the rows, NaN last."""
    rows = data.draw(st.lists(st.tuples(st.integers(-2, 3), KEYS[kind]), min_size=1, max_size=30))
    users, keys = zip(*rows, strict=True)
    column = "rank" if kind == "rank" else "score"
    shown = {"user": list(users), "item": list(range(len(rows))), column: np.array(keys)}
    matched = MatchedLists.from_frames(shown, {"user": [0], "item": [0]})
    best_first = [key if column == "rank" else math.inf if math.isnan(key) else -key for key in keys]
    expected = sorted(range(len(rows)), key=lambda i: (users[i], math.isnan(keys[i]), best_first[i]))
    assert (matched.lists.values - 1).tolist() == expected


def test_ties_by_position_or_by_the_larger_id():
    shown = {"user_id": [1, 1, 1], "item_id": [10, 9, 8], "score": [0.5, 0.5, 0.5]}
    truth = {"user_id": [1], "item_id": [9]}
    assert MatchedLists.from_frames(shown, truth).hits.rank.tolist() == [2]
    assert MatchedLists.from_frames(shown, truth, ties="id").hits.rank.tolist() == [
        1
    ]  # as text, "9" is above "10"
    with pytest.raises(ConfigurationError, match="found ties='random'"):
        MatchedLists.from_frames(shown, truth, ties="random")


def test_bad_gains_and_ids_are_the_same_error_everywhere():
    for gain in (-1.0, np.inf):
        with pytest.raises(DataError, match="found gain"):
            MatchedLists.from_lists([["a"]], [{"a": gain}])
        with pytest.raises(DataError, match="found gain"):
            MatchedLists.from_frames({"user": [1], "item": [1]}, {"user": [1], "item": [1], "rating": [gain]})
        with pytest.raises(DataError, match="found gain"):
            evaluate(made([["a"]]), {"user0": {"a": gain}}, ["NDCG@3"])
        with pytest.raises(DataError, match="found gain"):
            MatchedLists.from_arrays([0, 1], [1], [0, 1], [1], truth_gains=[gain])
        codes = Ragged(np.array([0, 1]), np.array([1]), {"gain": np.array([gain])})
        with pytest.raises(DataError, match="found gain"):
            evaluate(made([["a"]]), codes, ["NDCG@3"])
        with pytest.raises(DataError, match="found rating"):
            Dataset.from_frame({"user": [1], "item": [1], "timestamp": [1.0], "rating": [gain]})
    with pytest.raises(DataError, match="all integers or all text"):
        MatchedLists.from_frames({"user": [1], "item": [1]}, {"user": ["1"], "item": [1]})
    with pytest.raises(DataError, match="found list offsets that descend"):
        MatchedLists.from_arrays([0, 2, 1], [1])
    with pytest.raises(DataError, match="found gain 2 for ERR@3"):
        parse("ERR@3")([["a"]], [{"a": 2.0}])


def test_what_a_metric_needs_and_lacks_is_said():
    lists, truths = [["a"]], [["a"]]
    for name in ("Novelty@2", "ARP@2", "APLT@2", "PopularityLift@2", "Unexpectedness@2", "Serendipity@2"):
        with pytest.raises(ConfigurationError, match="found no popularity"):
            parse(name)(lists, truths)
    with pytest.raises(ConfigurationError, match="found no history"):
        parse("RepeatShare@2")(lists)
    with pytest.raises(ConfigurationError, match="found no previous lists"):
        parse("Staleness@2")(lists)
    with pytest.raises(ConfigurationError, match="found no size of the catalogue"):
        AUC(2)(lists, truths)
    with pytest.raises(DataError, match="2 rows of history"):
        parse("RepeatShare@2")(lists, history=[["a"], ["b"]])


def test_evaluate_reads_the_past():
    past = Dataset.from_frame(
        {
            "user_id": ["user0", "user1", "user1", "x"],
            "item_id": ["a", "a", "b", "a"],
            "timestamp": [1, 2, 3, 4],
        }
    )
    found = evaluate(
        made([["a", "c"], ["b"]]), {"user0": ["c"], "user1": ["b"]}, ["RepeatShare@2", "ARP@2"], history=past
    )
    assert found.values("RepeatShare@2").tolist() == [0.5, 1.0]
    assert found.values("ARP@2").tolist() == [1.5, 1.0]


def test_catalogue_metrics_against_loops_and_in_chunks():
    rng = np.random.default_rng(4)
    lists = [rng.permutation(20)[: rng.integers(0, 6)] + 1 for _ in range(30)]
    offsets = np.cumsum([0, *map(len, lists)])
    matched = MatchedLists.from_arrays(offsets, np.concatenate(lists), n_items=25)
    counts = np.bincount(np.concatenate([row[:4] for row in lists]), minlength=26)[1:]
    pairs = [abs(a - b) for a in counts for b in counts]
    assert Gini(4).value(matched) == pytest.approx(np.mean(pairs) / (2 * counts.mean()))
    share = counts[counts > 0] / counts.sum()
    assert Entropy(4).value(matched) == pytest.approx(-(share * np.log2(share)).sum())
    full = [set(row[:4].tolist()) for row in lists if len(row)]
    common = [len(a & b) for i, a in enumerate(full) for b in full[:i]]
    assert Personalization(4).value(matched) == pytest.approx(1 - np.mean(common) / 4)
    names = ["Gini@4", "Entropy@4", "Personalization@4", "CatalogCoverage@4"]
    stream = Stream(names)
    for start in range(0, 30, 7):
        stream.add(matched.rows(np.arange(start, min(start + 7, 30))))
    whole, parts = report(matched, names), stream.report()
    assert all(parts[name].value == pytest.approx(whole[name].value) for name in names)
    assert CatalogCoverage(4).value(matched) == np.count_nonzero(counts) / 25


def test_auc_against_pairs():
    rng = np.random.default_rng(5)
    score, label = rng.integers(0, 6, 60) / 5, rng.random(60) < 0.4
    wins = [(a > b) + (a == b) / 2 for a in score[label] for b in score[~label]]
    assert auc(score, label) == pytest.approx(np.mean(wins))
    order = rng.permutation(12)
    relevant = set(order[rng.random(12) < 0.4].tolist())
    full = AUC(12, n_items=12)([order], [relevant])
    assert full == pytest.approx(auc(-np.arange(12), [item in relevant for item in order.tolist()]))
    assert gauc([1] * 60, score, label) == pytest.approx(np.mean(wins))
    assert math.isnan(gauc([1, 1], [0.1, 0.2], [1, 1]))
    assert auc([np.nan, 0.1], [1, 0]) == 0.0
    for bad in ([0.1], [0.1, 0.2, 0.3]):
        with pytest.raises(DataError, match="the same"):
            auc(bad, [1, 0])
    with pytest.raises(DataError, match="label nan"):
        auc([0.1], [np.nan])


def test_rating_errors_leave_out_what_is_not_known():
    assert rmse([1.0, np.nan, 3.0], [2.0, 5.0, 5.0]) == pytest.approx(math.sqrt(2.5))
    assert mae([1.0, 3.0, 0.0], [2.0, 5.0, 4.0], user=["a", "a", "b"]) == pytest.approx((1.5 + 4.0) / 2)
    assert math.isnan(rmse([], []))
    with pytest.raises(DataError, match="expected one for each row"):
        rmse([1.0], [1.0], user=[1, 2])


def test_the_head_of_the_long_tail_against_a_loop():
    counts = {"a": 5, "b": 3, "c": 1, "d": 1}
    for head, inside in ((0.5, "a"), (0.51, "ab"), (0.8, "ab"), (0.85, "abc"), (0.95, "abcd")):
        tail = [item not in inside for item in "abcd"]
        assert APLT(4, head=head)([list("abcd")], popularity=counts) == np.mean(tail)


def test_presets_are_named_and_printed():
    with pytest.raises(ConfigurationError, match="did you mean 'rectools'"):
        preset("rectool")
    assert "NDCG: over=k" in str(preset("rectools"))
    (metric,) = preset("lenskit").metrics(["NDCG@10"])
    assert metric.name == "NDCG@10:discount=clipped"
    assert parse(metric.name).name == metric.name
    for name in ("recokit", "ranx", "trec_eval", "rectools", "lenskit", "recbole", "implicit"):
        for metric in preset(name).metrics(["NDCG@5", "Recall@5", "MAP@5", "Precision@5", "MRR@5"]):
            assert isinstance(metric, UserMetric)
            assert parse(metric.name).definition == metric.definition


def test_a_stream_needs_metrics_with_names_of_their_own():
    for names in ([], ["NDCG@3", "NDCG@3"]):
        with pytest.raises(ConfigurationError, match="each name once"):
            Stream(names)
    with pytest.raises(ConfigurationError, match="did you mean 'NDCG@3'"):
        report(MatchedLists.from_lists([["a"]], [["a"]]), ["NDCG@3"])["NDCG@2"]


@pytest.mark.parametrize(
    ("lists", "truths", "found"),
    [
        ({"u1": ["a", "b"]}, {"u1": ["b"]}, "lists of type dict"),
        ([["a"]], {"u1": ["b"]}, "truths of type dict"),
        ([["item-1", "item-2"]], ["item-1"], r"the text 'item-1' in truths.*hint: \['item-1'\]"),
        (["item-1"], [["item-1"]], "the text 'item-1' in lists"),
        ("item-1", [["item-1"]], "lists of type str"),
        (pd.DataFrame({"user_id": [1], "item_id": [2]}), [[2]], "lists of type DataFrame.*from_frames"),
    ],
)
def test_what_is_no_row_for_each_user_is_refused(lists, truths, found):
    with pytest.raises(DataError, match=found):
        NDCG(10)(lists, truths)


HUGE = [
    {"a": 5000.0, "b": 3.0},
    {"a": 1e308, "b": 1e307},
    {"a": 1e-300, "b": 2e-300},
    {"a": 5e-324},
    {"a": 1100.0, "b": 1099.0},
]


@pytest.mark.parametrize("gains", ["linear", "exponential"])
@pytest.mark.parametrize("truth", HUGE, ids=str)
def test_graded_ndcg_holds_for_huge_and_tiny_gains(gains, truth):
    from fractions import Fraction

    def value(gain):
        if gains == "linear" or max(truth.values()) < 1e-16:
            return Fraction(gain)
        return (
            Fraction(2) ** int(gain) - 1
            if max(truth.values()) < 1e4
            else Fraction(gain >= max(truth.values()))
        )

    shown = ["x", "b", "a"]
    gained = sum(
        float(value(truth[i]) / value(max(truth.values()))) / np.log2(rank + 2)
        for rank, i in enumerate(shown)
        if i in truth
    )
    best = sorted(truth.values(), reverse=True)
    ideal = sum(float(value(g) / value(best[0])) / np.log2(rank + 2) for rank, g in enumerate(best))
    found = metrics.NDCG(5, gains=gains)([shown], [truth])
    assert found == pytest.approx(gained / ideal, rel=1e-9)
    assert metrics.NDCG(5, gains=gains)(
        [sorted(truth, key=truth.get, reverse=True)], [truth]
    ) == pytest.approx(1.0)


def test_exponential_ndcg_is_that_of_its_definition():
    rng = np.random.default_rng(0)
    for _ in range(50):
        gains = dict(enumerate(rng.choice([0.1, 0.5, 1, 2, 3.7, 12, 40], 6).tolist()))
        shown = rng.permutation(9)[:5].tolist()
        gained = sum((2 ** gains[i] - 1) / np.log2(rank + 2) for rank, i in enumerate(shown) if i in gains)
        ideal = sum((2**g - 1) / np.log2(rank + 2) for rank, g in enumerate(sorted(gains.values())[::-1][:5]))
        assert metrics.NDCG(5, gains="exponential")([shown], [gains]) == pytest.approx(
            gained / ideal, rel=1e-12
        )


def test_err_holds_for_huge_and_tiny_scales():
    assert metrics.ERR(5, max_gain=5000)([["a", "b"]], [{"a": 5000.0, "b": 3.0}]) == pytest.approx(1.0)
    assert metrics.ERR(5, max_gain=5000)([["x", "a"]], [{"a": 4999.0}]) == pytest.approx(0.25)
    tiny = metrics.ERR(5, max_gain=1e-18)([["x", "a"]], [{"a": 1e-18}])
    assert tiny == pytest.approx(1e-18 * np.log(2) / 2)
    assert metrics.ERR(5, max_gain=1e300)([["a"]], [{"a": 1e300}]) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("alias", "name"),
    [("HR@10", "HitRate@10"), ("hr@10", "HitRate@10"), ("HitRatio@5", "HitRate@5"), ("Success@1", "HitRate@1"),
     ("P@3", "Precision@3"), ("R@50", "Recall@50"), ("Coverage@10", "CatalogCoverage@10"),
     ("Prec@4:over=list", "Precision@4:over=list"), ("ILD@10:category", "IntraListDiversity@10:category"),
     ("RR@10", "MRR@10"), ("AP@10", "MAP@10")],
)  # fmt: skip
def test_common_names_of_others_are_known(alias, name):
    assert repr(metrics.parse(alias)) == repr(metrics.parse(name))


@pytest.mark.parametrize("measure", [metrics.gauc, metrics.auc_per_user])
def test_users_come_first_and_another_order_is_an_error(measure):
    score, label, user = [0.9, 0.2, 0.7, 0.1], [1, 0, 1, 0], [7, 7, 8, 9]
    measure(user, score, label)
    for wrong in ((score, label, user), (label, score, user), (label, score, ["a", "a", "b", "c"])):
        with pytest.raises(DataError, match=r"the order is \(user, score, label\)"):
            measure(*wrong)
    with pytest.raises(DataError, match="the order is"):
        measure(np.array(score, np.float32), np.array(label, bool), np.array(user))


@pytest.mark.parametrize("labels", [[0.4, 0.2, 0.3, 0.5], [3, 2, 1, 4]])
def test_scores_in_the_place_of_labels_are_refused(labels):
    binary = [1, 0, 1, 0]
    for call in (
        lambda: metrics.auc(binary, labels),
        lambda: metrics.gauc(["a", "a", "b", "b"], binary, labels),
        lambda: metrics.auc_per_user(["a", "a", "b", "b"], binary, labels),
    ):
        with pytest.raises(DataError, match="expected scores, then labels"):
            call()
    assert metrics.auc(labels, binary) >= 0


def test_rows_that_are_all_positive_stay_undefined():
    assert np.isnan(metrics.auc([0.3, 0.2], [1, 1]))
    assert np.isnan(metrics.auc([1, 1], [1, 1]))
