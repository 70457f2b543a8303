"""Every metric, with all its options, against a loop over users written from its definition."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest

from recokit.errors import ConfigurationError, DataError
from recokit.metrics import (
    APLT,
    ARP,
    AUC,
    ERR,
    MAP,
    NDCG,
    RBP,
    CatalogCoverage,
    Entropy,
    Gini,
    HitRate,
    MatchedLists,
    Miscalibration,
    Novelty,
    Personalization,
    PopularityLift,
    Precision,
    Recall,
    RepeatShare,
    RPrecision,
    Serendipity,
    Staleness,
    Stream,
    Unexpectedness,
    UserCoverage,
    auc_per_user,
    error_per_user,
    gauc,
    mae,
    parse,
    preset,
    reliability,
    report,
    rmse,
)

N_ITEMS, K = 15, 4
LABELS = np.array(["", *"aabbbccdddddeee"])


def world(seed):
    """Lists, truths, histories with repeats and lists shown before of 25 users, items 1 to 15."""
    rng = np.random.default_rng(seed)

    def items(most, *, repeats=False):
        return rng.choice(np.arange(1, N_ITEMS + 1), rng.integers(0, most), replace=repeats).tolist()

    n = 25
    return {
        "lists": [items(9) for _ in range(n)],
        "truths": [{item: float(rng.integers(1, 4)) for item in items(9)} for _ in range(n)],
        "history": [items(7, repeats=True) for _ in range(n)],
        "previous": [items(9) for _ in range(n)],
        "popularity": {item: int(rng.integers(1, 9)) for item in range(1, N_ITEMS)},  # one item has no events
    }


@pytest.fixture(scope="module", params=range(3))
def given(request):
    return world(request.param)


def matched_of(given):
    return MatchedLists.from_lists(given["lists"], given["truths"], n_items=N_ITEMS, history=given["history"],
                                   previous=given["previous"], popularity=given["popularity"])  # fmt: skip


def check(metric, given, loop):
    """Hold a metric against a function of list, truth, history, previous list and popularity."""
    rows = zip(given["lists"], given["truths"], given["history"], given["previous"], strict=True)
    expected = [loop(*row, given["popularity"]) for row in rows]
    matched = matched_of(given)
    np.testing.assert_allclose(metric.per_user(matched), np.array(expected, float), rtol=1e-9, atol=1e-12)
    assert metric.value(matched) == pytest.approx(np.nanmean(expected))


def of_relevant(function):
    """A function of the ranks of hits in the first k places, list and truth; undefined without a relevant item."""

    def loop(shown, truth, *_):
        ranks = [rank for rank, item in enumerate(shown[:K], 1) if item in truth]
        return function(ranks, shown, truth) if truth else math.nan

    return loop


def ratio(above, below):
    return above / below if below else math.nan


OVER = {
    "relevant": lambda shown, truth: len(truth),
    "reachable": lambda shown, truth: min(K, len(truth)),
    "k": lambda shown, truth: K,
    "list": lambda shown, truth: min(K, len(shown)),
}


@pytest.mark.parametrize("discount", ["shifted", "clipped"])
@pytest.mark.parametrize(
    ("gains", "over"),
    [("binary", "reachable"), ("binary", "k"), ("linear", "reachable"), ("exponential", "reachable")],
)
def test_ndcg(given, gains, discount, over):
    gain = {"binary": lambda g: 1.0, "linear": lambda g: g, "exponential": lambda g: 2**g - 1}[gains]
    divisor = {"shifted": lambda rank: math.log2(rank + 1), "clipped": lambda rank: math.log2(max(rank, 2))}[
        discount
    ]

    def value(ranks, shown, truth):
        found = sum(gain(truth[shown[rank - 1]]) / divisor(rank) for rank in ranks)
        ideal = (
            sorted((gain(g) for g in truth.values()), reverse=True)[:K] if over == "reachable" else [1.0] * K
        )
        return found / sum(g / divisor(rank) for rank, g in enumerate(ideal, 1))

    check(NDCG(K, gains=gains, discount=discount, over=over), given, of_relevant(value))


@pytest.mark.parametrize("over", ["relevant", "reachable"])
def test_recall(given, over):
    check(Recall(K, over=over), given, of_relevant(lambda ranks, s, t: len(ranks) / OVER[over](s, t)))


@pytest.mark.parametrize("over", ["k", "list", "reachable"])
def test_precision(given, over):
    check(
        Precision(K, over=over), given, of_relevant(lambda ranks, s, t: ratio(len(ranks), OVER[over](s, t)))
    )


@pytest.mark.parametrize("over", list(OVER))
def test_map(given, over):
    def value(ranks, shown, truth):
        best = OVER[over](shown, truth)
        best = min(best, len(truth)) if over == "list" else best
        return ratio(sum(nth / rank for nth, rank in enumerate(ranks, 1)), best)

    check(MAP(K, over=over), given, of_relevant(value))


def test_r_precision(given):
    def value(ranks, shown, truth):
        places = min(K, len(truth))
        return sum(rank <= places for rank in ranks) / places

    check(RPrecision(K), given, of_relevant(value))


@pytest.mark.parametrize("gains", ["binary", "linear"])
def test_rbp(given, gains):
    def value(ranks, shown, truth):
        gain = [truth[shown[rank - 1]] if gains == "linear" else 1.0 for rank in ranks]
        return sum(g * 0.3 * 0.7 ** (rank - 1) for g, rank in zip(gain, ranks, strict=True))

    check(RBP(K, p=0.7, gains=gains), given, of_relevant(value))


def test_err(given):
    def value(ranks, shown, truth):
        total, alone = 0.0, 1.0
        for rank in ranks:
            stop = (2 ** truth[shown[rank - 1]] - 1) / 2**3
            total, alone = total + alone * stop / rank, alone * (1 - stop)
        return total

    check(ERR(K, max_gain=3.0), given, of_relevant(value))


@pytest.mark.parametrize("n_items", [None, 40])
def test_auc_of_a_list(given, n_items):
    size = n_items or N_ITEMS

    def value(ranks, shown, truth):
        # All other items of the catalogue are tied below the list, as many as there are.
        listed = [(K - place, item in truth) for place, item in enumerate(shown[:K])]
        n_below = len(truth) - len(ranks)
        below = [(-1, True)] * n_below + [(-1, False)] * (size - len(listed) - n_below)
        scored = listed + below
        pairs = [(a > b) + 0.5 * (a == b) for a, x in scored if x for b, y in scored if not y]
        return np.mean(pairs)

    check(AUC(K, n_items=n_items), given, of_relevant(value))


def test_auc_without_another_item_is_undefined():
    assert math.isnan(AUC(2, n_items=2)([["a", "b"]], [["a", "b"]]))
    assert AUC(2, n_items=3)([["a", "b"]], [["a", "b"]]) == 1.0


# -- of each list ------------------------------------------------------------------------------------


def of_list(function):
    def loop(shown, truth, history, previous, popularity):
        return (
            np.mean([function(item, history, previous, popularity) for item in shown[:K]])
            if shown
            else math.nan
        )

    return loop


def test_novelty_and_popularity(given):
    total = sum(given["popularity"].values())
    bits = of_list(lambda item, h, p, counts: -math.log2(max(counts.get(item, 0), 1) / total))
    check(Novelty(K), given, bits)
    check(ARP(K), given, of_list(lambda item, h, p, counts: counts.get(item, 0)))


@pytest.mark.parametrize("head", [0.3, 0.8])
def test_the_long_tail(given, head):
    counts = given["popularity"]
    inside, held = set(), 0
    # Codes ascend with the ids here, so of equals the smaller id is in the head first.
    for item in sorted(counts, key=lambda one: (-counts[one], one)):
        if held >= head * sum(counts.values()) - 1e-9:
            break
        inside.add(item)
        held += counts[item]
    check(APLT(K, head=head), given, of_list(lambda item, *_: item not in inside))


def test_popularity_lift(given):
    def loop(shown, truth, history, previous, counts):
        theirs = np.mean([counts.get(item, 0) for item in history]) if history else 0
        mine = np.mean([counts.get(item, 0) for item in shown[:K]]) if shown else math.nan
        return (mine - theirs) / theirs if theirs > 0 else math.nan

    check(PopularityLift(K), given, loop)


@pytest.mark.parametrize("n_popular", [1, 3, 100])
def test_unexpectedness_and_serendipity(given, n_popular):
    counts = given["popularity"]
    popular = sorted(counts, key=lambda item: (-counts[item], item))[:n_popular]
    check(
        Unexpectedness(K, n_popular=n_popular),
        given,
        of_list(lambda item, history, *_: item not in popular and item not in history),
    )

    def loop(shown, truth, history, *_):
        hits = [item for item in shown[:K] if item in truth and item not in popular and item not in history]
        return len(hits) / K if truth else math.nan

    check(Serendipity(K, n_popular=n_popular), given, loop)


def test_repeats_and_staleness(given):
    check(RepeatShare(K), given, of_list(lambda item, history, *_: item in history))
    check(Staleness(K), given, of_list(lambda item, history, previous, _: item in previous[:K]))


@pytest.mark.parametrize("at_least", [1, 3, 4])
def test_user_coverage(given, at_least):
    check(UserCoverage(K, at_least=at_least), given, lambda shown, *_: float(len(shown[:K]) >= at_least))


def test_unknown_items_are_no_cover():
    matched = MatchedLists.from_arrays([0, 2, 4], [0, 0, 0, 3], n_items=5)
    assert UserCoverage(2).per_user(matched).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("alpha", [0.01, 0.3])
def test_miscalibration(alpha):
    given = world(7)

    def loop(shown, history):
        if not shown or not history:
            return math.nan
        p = {c: n / len(history) for c, n in Counter(LABELS[history]).items()}
        q = Counter(LABELS[shown[:K]])
        return sum(
            share * math.log(share / ((1 - alpha) * q[c] / len(shown[:K]) + alpha * share))
            for c, share in p.items()
        )

    expected = [loop(*row) for row in zip(given["lists"], given["history"], strict=True)]
    metric = Miscalibration(K, by=LABELS, alpha=alpha)
    assert metric(given["lists"], history=given["history"]) == pytest.approx(np.nanmean(expected))
    for shown, past, value in zip(given["lists"], given["history"], expected, strict=True):
        assert metric([shown], history=[past]) == pytest.approx(value, nan_ok=True)
    assert Miscalibration(K, by=LABELS).alpha == 0.01


# -- all lists together --------------------------------------------------------------------------------


def test_metrics_of_the_catalogue(given):
    matched = matched_of(given)
    counts = Counter(item for shown in given["lists"] for item in shown[:K])
    exposure = sorted(counts.get(item, 0) for item in range(1, N_ITEMS + 1))
    total = sum(exposure)
    gini = sum((2 * i - N_ITEMS - 1) * x for i, x in enumerate(exposure, 1)) / (N_ITEMS * total)
    assert Gini(K).value(matched) == pytest.approx(gini)
    assert Gini(K, n_items=40).value(matched) > gini
    assert CatalogCoverage(K).value(matched) == len(counts) / N_ITEMS
    assert CatalogCoverage(K, n_items=30).value(matched) == len(counts) / 30
    assert Entropy(K).value(matched) == pytest.approx(
        -sum(x / total * math.log2(x / total) for x in exposure if x)
    )
    lists = [set(shown[:K]) for shown in given["lists"] if shown]
    pairs = [1 - len(a & b) / K for i, a in enumerate(lists) for b in lists[:i]]
    assert Personalization(K).value(matched) == pytest.approx(np.mean(pairs))


def test_an_item_that_stands_twice_is_common_once():
    assert Personalization(2)([["a", "a"], ["a", "b"]]) == 0.5
    assert math.isnan(Personalization(2)([["a", "b"], []]))
    assert math.isnan(Gini(2, n_items=3)([[], []]))
    assert math.isnan(Entropy(2)([[]]))


# -- several at once ------------------------------------------------------------------------------------


def test_a_report_has_mean_spread_and_users(given):
    metrics = ["NDCG@4", "Precision@4:list", "CatalogCoverage@4"]
    metrics[1] = Precision(4, over="list")
    whole = report(matched_of(given), metrics)
    stream = Stream(metrics)
    matched = matched_of(given)
    for start in range(0, 25, 6):
        stream.add(matched.rows(np.arange(start, min(start + 6, 25))))
    values = Precision(4, over="list").per_user(matched)
    defined = values[~np.isnan(values)]
    for figures in (whole, stream.report()):
        one = figures["Precision@4:over=list"]
        assert (one.value, one.std) == (pytest.approx(defined.mean()), pytest.approx(defined.std(ddof=1)))
        assert (one.n, one.n_undefined) == (len(defined), 25 - len(defined))
        assert one.definition == "hits / the length of the list, at most k"
        of_all = figures["CatalogCoverage@4"]
        assert (of_all.n, of_all.n_undefined) == (25, 0) and math.isnan(of_all.std)
        assert float(of_all) == of_all.value == CatalogCoverage(4).value(matched)
        assert list(figures) == ["NDCG@4", "Precision@4:over=list", "CatalogCoverage@4"] and len(figures) == 3


def test_one_user_has_no_spread():
    one = report(MatchedLists.from_lists([["a"], []], [["a"], []]), ["Recall@1"])["Recall@1"]
    assert (one.value, one.n, one.n_undefined) == (1.0, 1, 1) and math.isnan(one.std)
    two = report(MatchedLists.from_lists([["a"], []], [["a"], ["b"]]), ["Recall@1"])["Recall@1"]
    assert two.std == pytest.approx(math.sqrt(0.5))


def test_presets_take_their_mean_over_their_users():
    lists, truths = [["a", "b"], [], ["c"], ["x"]], [["a", "c"], ["b"], [], ["y"]]
    matched = MatchedLists.from_lists(lists, truths)
    assert preset("recokit").value(matched, "Recall@2") == pytest.approx(
        (0.5 + 0 + 0) / 3
    )  # all with a truth
    assert preset("trec_eval").value(matched, "Recall@2") == pytest.approx((0.5 + 0) / 2)  # with both
    assert preset("lenskit").value(matched, "Recall@2") == pytest.approx((0.5 + 0 + 0) / 3)  # with a list
    assert (
        preset("lenskit").value(MatchedLists.from_lists(lists, truths, n_items=4), "CatalogCoverage@2") == 1.0
    )
    assert [preset(name).ties for name in ("recokit", "trec_eval", "ranx")] == ["position", "id", "position"]


def test_what_presets_say():
    assert str(preset("rectools")).splitlines() == [
        "rectools 0.19.0",
        "  NDCG: over=k",
        "  MAP: over=relevant",
        "  ties: position; mean over users: truth",
    ]
    assert str(preset("recokit")).splitlines() == [
        "recokit", "  ties: position; mean over users: truth", "  the defaults",
    ]  # fmt: skip
    options = {
        "ranx": "NDCG@5:linear MAP@5:over=relevant RBP@5:linear Recall@5",
        "trec_eval": "NDCG@5:linear MAP@5:over=relevant RBP@5 Recall@5",
        "rectools": "NDCG@5:over=k MAP@5:over=relevant RBP@5 Recall@5",
        "lenskit": "NDCG@5:discount=clipped MAP@5:over=list RBP@5 Recall@5:over=reachable",
        "recbole": "NDCG@5 MAP@5 RBP@5 Recall@5",
        "implicit": "NDCG@5 MAP@5 RBP@5 Recall@5",
    }
    for name, expected in options.items():
        found = preset(name).metrics(["NDCG@5", "MAP@5", "RBP@5", "Recall@5"])
        assert " ".join(metric.name for metric in found) == expected
    (precision,) = preset("implicit").metrics(["Precision@5"])
    assert precision.over == "reachable"


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        (" NDCG @ 10 : linear ", NDCG(10, gains="linear")),
        ("NDCG@10:linear,discount=clipped", NDCG(10, gains="linear", discount="clipped")),
        ("NDCG@10:lenskit,over=k", NDCG(10, discount="clipped", over="k")),
        ("RBP@7:p=0.5", RBP(7, p=0.5)),
        ("ERR@7:max_gain=4", ERR(7, max_gain=4)),
        ("UserCoverage@5:2", UserCoverage(5, at_least=2)),
        ("HitRate@1", HitRate(1)),
    ],
)
def test_options_in_names(name, expected):
    assert repr(parse(name)) == repr(expected)


def test_defaults_of_options():
    assert (RBP(2).p, RBP(2).gains, ERR(2).max_gain) == (0.85, "binary", 1.0)
    assert (APLT(2).head, Unexpectedness(2).n_popular, Serendipity(2).n_popular) == (0.8, 100, 100)
    assert (NDCG(2).gains, NDCG(2).discount, NDCG(2).over, Recall(2).over, Precision(2).over, MAP(2).over) == (
        "binary", "shifted", "reachable", "relevant", "k", "reachable",
    )  # fmt: skip
    assert UserCoverage(2).at_least == 1


@pytest.mark.parametrize(
    "make",
    [
        lambda: RBP(2, p=1.0),
        lambda: RBP(2, gains="exponential"),
        lambda: ERR(2, max_gain=0.0),
        lambda: APLT(2, head=0.0),
        lambda: Unexpectedness(2, n_popular=0),
        lambda: UserCoverage(2, at_least=3),
        lambda: UserCoverage(2, at_least=0),
        lambda: NDCG(2, gains="linear", over="k"),
        lambda: Miscalibration(2, by=LABELS, alpha=1.0),
        lambda: Miscalibration(2, by=np.ones((3, 2))),
        lambda: Gini(2, n_items=0),
        lambda: gauc([1], [1.0], [1], weight="users"),
        lambda: reliability([0.5], [1], bins=0),
    ],
)
def test_impossible_options(make):
    with pytest.raises(ConfigurationError, match="found "):
        make()


# -- scored rows -----------------------------------------------------------------------------------------


def test_grouped_auc_and_its_weights():
    rng = np.random.default_rng(2)
    user = rng.integers(0, 8, 90)
    score, label = rng.integers(0, 5, 90).astype(float), rng.random(90) < 0.5
    label[user == 3] = True  # no value of its own

    def pairs(rows):
        wins = [(a > b) + 0.5 * (a == b) for a in score[rows & label] for b in score[rows & ~label]]
        return np.mean(wins) if wins else math.nan

    each = np.array([pairs(user == one) for one in range(8)])
    users, values = auc_per_user(user, score, label)
    assert users.tolist() == list(range(8))
    np.testing.assert_allclose(values, each)
    defined = ~np.isnan(each)
    weights = {
        "positives": [sum(label[user == one]) for one in range(8)],
        "rows": [sum(user == one) for one in range(8)],
        "equal": [1] * 8,
    }
    for name, weight in weights.items():
        expected = np.average(each[defined], weights=np.array(weight)[defined])
        assert gauc(user, score, label, weight=name) == pytest.approx(expected)
    assert gauc(user, score, label) == gauc(user, score, label, weight="positives")


def test_rating_errors_by_user():
    rng = np.random.default_rng(3)
    user = rng.integers(0, 5, 40)
    guess, rating = rng.random(40), rng.random(40)
    guess[4] = rating[9] = np.nan
    known = ~np.isnan(guess - rating)
    squares, sizes = [], []
    for one in range(5):
        rows = known & (user == one)
        squares.append(math.sqrt(np.mean((guess[rows] - rating[rows]) ** 2)))
        sizes.append(np.mean(abs(guess[rows] - rating[rows])))
    np.testing.assert_allclose(error_per_user(user, guess, rating)[1], squares)
    np.testing.assert_allclose(error_per_user(user, guess, rating, kind="mae")[1], sizes)
    assert rmse(guess, rating, user=user) == pytest.approx(np.mean(squares))
    assert mae(guess, rating, user=user) == pytest.approx(np.mean(sizes))
    assert rmse(guess, rating) == pytest.approx(math.sqrt(np.mean((guess - rating)[known] ** 2)))
    with pytest.raises(DataError, match=r"predictions of shape \(2,\), ratings of \(1,\)"):
        rmse([1.0, 2.0], [1.0])


def test_items_without_events_are_not_popular():
    counts = {"a": 3, "b": 0}
    assert Unexpectedness(2, n_popular=5)([["a", "b"]], popularity=counts, history=[[]]) == 0.5


def test_exposure_counts_the_lists_that_have_an_item():
    matched = MatchedLists.from_lists([["a"], [], ["b", "a"]], n_items=3)
    for metric in (Gini(2), Personalization(2)):
        assert metric.exposure(matched).n_lists == 2
    assert Gini(1).exposure(matched).counts[1:].tolist() == [1.0, 1.0]


def test_rows_of_one_weight_are_shared_out_evenly():
    assert reliability([0.1, 0.2, 0.3, 0.4], [0, 0, 1, 1], bins=2).count.tolist() == [2, 2]
    assert reliability([0.1, 0.2, 0.3], [0, 0, 1], bins=3).count.tolist() == [1, 1, 1]
