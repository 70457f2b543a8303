"""What flows: Requests, Ragged, Retrieved, Candidates, RankingData, Live."""

import threading

import numpy as np
import pytest
from hypothesis import given, strategies as st

from recokit.data import Candidates, Live, Ragged, RankingData, Requests, Retrieved
from recokit.errors import ConfigurationError, ContractError, DataError

LISTS = st.lists(st.lists(st.integers(1, 9), max_size=5, unique=True), min_size=1, max_size=5)


def batch(lists, offset=0.0, names=("a",), sources=("s",)):
    """Return candidates whose every value tells where it came from."""
    n = sum(map(len, lists))
    row = np.repeat(np.arange(len(lists)), [len(part) for part in lists])
    item = np.array([code for part in lists for code in part], np.int64)
    built = Candidates.from_lists(
        lists,
        scores=[[offset + code for code in part] for part in lists],
        features=np.stack([offset + 100 * i + item for i in range(len(names))], axis=1) if names else None,
        feature_names=names,
        columns={"twin": offset + row * 10 + item},
    )
    bits = np.full(n, 2 ** len(sources) - 1, np.uint64)
    return Candidates(
        built.requests,
        built.offsets,
        built.row,
        built.item,
        built.score,
        bits,
        sources,
        built.columns,
        built.features,
        built.feature_names,
    )


def rows(candidates, values):
    return [
        values[a:b].tolist() for a, b in zip(candidates.offsets[:-1], candidates.offsets[1:], strict=True)
    ]


def twins_agree(candidates, offset=0.0):
    np.testing.assert_array_equal(candidates.score, np.float32(offset + candidates.item))
    np.testing.assert_array_equal(candidates.features[:, 0], np.float32(offset + candidates.item))
    candidates.validate()


@given(LISTS, st.data())
def test_compress_keeps_what_the_mask_says(lists, data):
    keep = [[data.draw(st.booleans()) for _ in part] for part in lists]
    before = batch(lists)
    after = before.compress(np.array([flag for part in keep for flag in part], np.bool_))
    expected = [
        [c for c, ok in zip(part, flags, strict=True) if ok] for part, flags in zip(lists, keep, strict=True)
    ]
    assert rows(after, after.item) == expected
    assert after.requests is before.requests
    twins_agree(after)
    np.testing.assert_array_equal(after.columns["twin"], after.row * 10 + after.item)


@given(LISTS, st.data())
def test_take_rows_picks_requests_with_their_candidates(lists, data):
    picks = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=6))
    before = batch(lists)
    after = before.take_rows(np.array(picks, np.int64))
    assert rows(after, after.item) == [lists[pick] for pick in picks]
    assert after.n_rows == len(picks)
    twins_agree(after)
    expected = [pick * 10 + code for pick in picks for code in lists[pick]]
    assert after.columns["twin"].tolist() == expected


@given(LISTS, st.data())
def test_append_puts_the_others_behind_each_rows_own(lists, data):
    more = [data.draw(st.lists(st.integers(10, 19), max_size=4, unique=True)) for _ in lists]
    joined = batch(lists).append(batch(more, offset=1000.0))
    assert rows(joined, joined.item) == [mine + theirs for mine, theirs in zip(lists, more, strict=True)]
    np.testing.assert_array_equal(
        joined.score, np.float32(np.where(joined.item > 9, 1000.0, 0) + joined.item)
    )
    np.testing.assert_array_equal(joined.features[:, 0], joined.score)
    joined.validate()


def test_append_fills_what_one_side_lacks():
    mine = batch([[1], []], names=("a", "b")).with_columns(
        {"label": np.array(["x"], object), "n": np.array([5])}
    )
    theirs = batch([[2], [3]], names=("b", "c"), sources=("t", "s")).with_columns(
        {"extra": np.array([1.0, 2.0])}
    )
    joined = mine.append(theirs)
    assert joined.feature_names == ("a", "b")
    np.testing.assert_array_equal(joined.features, np.float32([[1, 101], [np.nan, 2], [np.nan, 3]]))
    np.testing.assert_array_equal(joined.columns["extra"], [np.nan, 1, 2])
    assert joined.columns["label"].tolist() == ["x", None, None]
    assert joined.columns["n"].tolist() == [5, 0, 0]
    assert joined.source_names == ("s", "t")
    assert joined.sources.tolist() == [1, 3, 3]  # the other's bits in this batch's order


def test_append_keeps_each_source_under_its_name():
    mine, theirs = batch([[1]], sources=("s",)), batch([[2]], sources=("fallback",))
    joined = mine.append(theirs)
    assert joined.source_names == ("s", "fallback")
    assert joined.sources.tolist() == [1, 2]


def test_take_re_orders_within_rows():
    after = batch([[1, 2, 3], [4]]).take(np.array([0, 2, 3]), np.array([2, 0, 3]))
    assert rows(after, after.item) == [[3, 1], [4]]
    twins_agree(after)


def test_changes_share_and_do_not_mutate():
    before = batch([[1, 2]])
    scored = before.with_score(np.zeros(2, np.float32))
    assert before.score.tolist() == [1, 2]
    assert scored.item is before.item
    more = before.with_features(np.zeros((2, 2), np.float32), ("x", "y"))
    assert more.feature_names == ("a", "x", "y")
    assert more.features.shape == (2, 3)
    assert before.features.shape == (2, 1)
    assert before.with_columns({"twin": np.zeros(2)}).columns["twin"].tolist() == [0, 0]
    assert before.columns["twin"].tolist() == [1, 2]


def test_features_of_a_batch_without_any():
    candidates = Candidates.from_lists([[1, 2]])
    assert candidates.features.shape == (2, 0)
    block = np.ones((2, 1), np.float32)
    assert candidates.with_features(block, ("a",)).features is block
    assert candidates.compress(np.array([True, False])).features.shape == (1, 0)
    assert np.isnan(candidates.score).all()


def test_columns_by_name_and_hints():
    candidates = batch([[1]])
    assert candidates.column("twin").tolist() == [1]
    assert candidates.feature("a").tolist() == [1]
    with pytest.raises(ConfigurationError, match="did you mean 'twin'"):
        candidates.column("twim")
    with pytest.raises(ConfigurationError, match="no feature 'b'"):
        candidates.feature("b")
    assert repr(candidates) == "Candidates(1 in 1 rows, 1 features)"


def test_request_values_by_candidate():
    requests = Requests.build(np.array([7, 8]), now=np.array([1.0, 2.0]))
    candidates = Candidates.from_lists([[1, 2], [3]], requests=requests)
    assert candidates.user.tolist() == [7, 7, 8]
    assert candidates.now.tolist() == [1, 1, 2]
    assert candidates.counts.tolist() == [2, 1]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"offsets": np.array([0, 1, 2])}, "ending at 2"),
        ({"offsets": np.array([0, 3])}, "for 1 rows"),
        ({"row": np.array([0, 1, 0])}, "disagree with the offsets"),
        ({"item": np.array([1, 1, 3])}, "item code 1 twice in row 0"),
        ({"item": np.array([0, 1, 3])}, "item code 0"),
        ({"score": np.zeros(2, np.float32)}, r"shape \(2,\) in 'score'"),
        ({"columns": {"x": np.zeros((3, 1))}}, r"shape \(3, 1\) in 'x'"),
        ({"features": np.zeros((3, 2), np.float32)}, r"features of shape \(3, 2\)"),
    ],
)
def test_validate_names_what_is_wrong(change, words):
    good = batch([[1, 2], [3]])
    parts = {name: getattr(good, name) for name in good.__dataclass_fields__}
    with pytest.raises(ContractError, match=words):
        Candidates(**(parts | change)).validate()


def test_from_lists_validates():
    with pytest.raises(ContractError, match="twice"):
        Candidates.from_lists([[4, 4]])


def test_an_empty_batch_goes_through_everything():
    empty = Candidates.from_lists([])
    assert len(empty.compress(np.zeros(0, np.bool_))) == 0
    assert len(empty.append(empty)) == 0
    assert empty.take_rows(np.zeros(0, np.int64)).n_rows == 0
    nothing_found = Candidates.from_lists([[], []])
    assert nothing_found.append(Candidates.from_lists([[1], []])).counts.tolist() == [1, 0]


# -- Retrieved -------------------------------------------------------------------------------------


def test_retrieved_from_padded_and_back():
    found = Retrieved.from_padded(np.array([[3, 0], [0, 0], [1, 2]]), np.array([[0.5, 9], [9, 9], [2, 1]]))
    assert found.offsets.tolist() == [0, 1, 1, 3]
    assert (found.item.dtype, found.score.dtype) == (np.int64, np.float32)
    part = found.take(np.array([2, 0]))
    assert part.item.tolist() == [1, 2, 3]
    assert part.score.tolist() == [2, 1, 0.5]
    assert Retrieved.empty(2).offsets.tolist() == [0, 0, 0]


# -- Ragged ----------------------------------------------------------------------------------------


def test_the_last_of_each_list_keep_their_order_and_columns():
    lists = Ragged(np.array([0, 3, 3, 4]), np.array([5, 6, 7, 8]), {"weight": np.array([1.0, 2.0, 3.0, 4.0])})
    last = lists.last(2)
    assert last.offsets.tolist() == [0, 2, 2, 3] and last.values.tolist() == [6, 7, 8]
    assert last.columns["weight"].tolist() == [2.0, 3.0, 4.0]
    assert lists.last(0).values.tolist() == [] and lists.last(9).values.tolist() == [5, 6, 7, 8]


@given(LISTS, st.data())
def test_ragged_take_and_merge_against_lists(lists, data):
    mine = Ragged.from_lists(lists)
    theirs = [[code + 100 for code in part[::-1]] for part in lists]
    mask = np.array([data.draw(st.booleans()) for _ in lists])
    merged = mine.merge(Ragged.from_lists(theirs), mask)
    expected = [b if flag else a for a, b, flag in zip(lists, theirs, mask, strict=True)]
    assert [merged.row(b).tolist() for b in range(len(merged))] == expected
    picks = data.draw(st.lists(st.integers(0, len(lists) - 1), max_size=5))
    taken = mine.take(np.array(picks, np.int64))
    assert [taken.row(b).tolist() for b in range(len(taken))] == [lists[pick] for pick in picks]
    assert mine.counts.tolist() == [len(part) for part in lists]
    assert mine.rows.tolist() == [b for b, part in enumerate(lists) for _ in part]


def test_ragged_columns_follow_their_values():
    mine = Ragged(np.array([0, 2, 2]), np.array([1, 2]), {"time": np.array([0.1, 0.2])})
    theirs = Ragged(np.array([0, 1, 2]), np.array([3, 4]), {"event": np.array([7, 8])})
    merged = mine.merge(theirs, np.array([False, True]))
    np.testing.assert_array_equal(merged.columns["time"], [0.1, 0.2, np.nan])
    assert merged.columns["event"].tolist() == [0, 0, 8]
    assert mine.take(np.array([1, 0])).columns["time"].tolist() == [0.1, 0.2]


@pytest.mark.parametrize("offsets", [[], [1, 2], [0, 1]])
def test_ragged_offsets_are_checked(offsets):
    with pytest.raises(DataError, match="ragged offsets"):
        Ragged(np.array(offsets, np.int64), np.array([1, 2]))


def test_ragged_of_nothing():
    assert len(Ragged.empty(3)) == 3
    assert len(Ragged.from_lists([])) == 0


# -- Requests --------------------------------------------------------------------------------------


def test_requests_take_keeps_rows_together():
    requests = Requests.build(
        np.array([5, 6, 7]),
        k=np.array([1, 2, 3]),
        now=np.array([1.0, 2.0, 3.0]),
        seed=4,
        columns={"country": np.array(["a", "b", "c"])},
        ragged={"history": Ragged.from_lists([[1], [2], [3]])},
    )
    part = requests.take(np.array([2, 0]))
    assert part.user.tolist() == [7, 5]
    assert part.k.tolist() == [3, 1]
    assert part.now.tolist() == [3, 1]
    assert part.column("country").tolist() == ["c", "a"]
    assert part.lists("history").values.tolist() == [3, 1]
    assert part.seed.tolist() == requests.seed[[2, 0]].tolist()
    assert part.from_caller["history"].tolist() == [True, True]
    assert repr(requests) == "Requests(3, with country, history)"


def test_one_row_alone_has_the_seed_it_has_in_a_batch():
    together = Requests.build(np.array([5, 6]), seed=9)
    assert Requests.build(np.array([6]), seed=9).seed[0] == together.seed[1]
    assert Requests.build(np.array([6]), seed=10).seed[0] != together.seed[1]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"k": 0}, "k=0; expected at least 1"),
        ({"k": -3}, "k=-3"),
        ({"k": 2.5}, "k=2.5; expected a whole number"),
        ({"k": np.nan}, "k=nan"),
        ({"k": "10"}, "k='10'; expected a number"),
        ({"k": np.array([1, 2, 3])}, "one for each of 2 users"),
        ({"k": True}, "k=True"),
        ({"now": np.inf}, "now=inf"),
        ({"now": np.array([1.0, np.nan])}, r"now=nan.*rows 1"),
        ({"columns": {"age": np.zeros(3)}}, "3 rows in 'age'"),
        ({"ragged": {"history": Ragged.empty(1)}}, "1 rows in 'history'"),
    ],
)
def test_bad_requests_name_the_value(options, words):
    with pytest.raises(DataError, match=words):
        Requests.build(np.array([1, 2]), **options)


@pytest.mark.parametrize("user", [[[1]], [-1]])
def test_bad_user_codes(user):
    with pytest.raises(DataError, match="user codes"):
        Requests.build(np.array(user))


def test_hydration_never_overrides_the_caller():
    requests = Requests.build(
        np.array([1, 2]),
        columns={"country": np.array(["x", "y"])},
        ragged={"history": Ragged.from_lists([[9], []])},
    )
    full = requests.hydrated(
        {"country": np.array(["p", "q"]), "age": np.array([1.0, 2.0])},
        {"history": Ragged.from_lists([[1], [2]]), "owned": Ragged.from_lists([[3], []])},
    )
    assert full.column("country").tolist() == ["x", "y"]
    assert full.column("age").tolist() == [1, 2]
    assert full.lists("history").values.tolist() == [9]  # an empty list that was given counts as given
    assert full.lists("owned").values.tolist() == [3]
    assert requests.lists("owned").values.tolist() == []


def test_hydration_fills_rows_that_the_caller_left_out():
    requests = Requests.build(np.array([1, 2]), ragged={"history": Ragged.from_lists([[9], []])})
    requests.from_caller["history"][1] = False
    assert requests.hydrated({}, {"history": Ragged.from_lists([[1], [2]])}).lists(
        "history"
    ).values.tolist() == [9, 2]


def test_unknown_context_column():
    with pytest.raises(ConfigurationError, match="did you mean 'country'"):
        Requests.build(np.array([1]), columns={"country": np.array(["x"])}).column("contry")


def test_no_requests_at_all():
    empty = Requests.build(np.zeros(0, np.int64))
    assert len(empty) == len(empty.take(np.zeros(0, np.int64))) == 0
    assert empty.remaining() == np.inf
    assert repr(empty) == "Requests(0)"


# -- Live ------------------------------------------------------------------------------------------


def test_a_run_reads_the_version_it_pinned():
    stock = Live("old", name="stock")
    requests = Requests.build(np.array([1]))
    pinned = Requests(requests.user, requests.k, requests.now, requests.seed, pinned={id(stock): stock.pin()})
    stock.set("new")
    assert pinned.read(stock) == "old"
    assert requests.read(stock) == "new"
    assert requests.read("plain") == "plain"
    assert (pinned.pinned[id(stock)][0], stock.pin()[0]) == (1, 2)
    assert repr(stock) == "Live('stock', version=2)"


def test_versions_count_every_set_from_any_thread():
    live = Live(0)
    threads = [threading.Thread(target=lambda: [live.set(1) for _ in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert live.pin()[0] == 801


# -- RankingData -----------------------------------------------------------------------------------


def ranking(**changes):
    parts = {
        "features": np.zeros((2, 1), np.float32),
        "feature_names": ("a",),
        "label": np.array([0, 1], np.float32),
        "weight": np.ones(2, np.float32),
        "offsets": np.array([0, 2]),
        "user": np.array([1, 1]),
        "item": np.array([1, 2]),
        "now": np.zeros(2),
    }
    return RankingData(**(parts | changes))


def test_ranking_data_has_a_length():
    assert len(ranking()) == 2


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"label": np.array([0, np.nan], np.float32)}, r"label=nan; .*\(rows 1\)"),
        ({"weight": np.array([-1, 1], np.float32)}, r"weight=-1.0; .*\(rows 0\)"),
        ({"weight": np.array([1, np.inf], np.float32)}, "weight=inf"),
        ({"item": np.array([1])}, "item for 1 rows; expected 2"),
        ({"offsets": np.array([0, 3])}, "offsets for 3 rows"),
        ({"feature_names": ("a", "b")}, r"features of shape \(2, 1\)"),
    ],
)
def test_ranking_data_is_checked(change, words):
    with pytest.raises(DataError, match=words):
        ranking(**change)
