"""Merge, FirstOf, and the contract of what sources return."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, strategies as st

from recokit._utils.params import clone
from recokit.candidates import FirstOf, FromFunction, History, ItemKNN, Merge, Popular
from recokit.compose.fusion import check_retrieved, fuse
from recokit.compose.merge import leaves
from recokit.compose.step import Step, leaf_name
from recokit.data import Dataset, Ragged, Requests, Retrieved, from_state, to_state
from recokit.errors import ConfigurationError, ContractError, NotFittedError


class Fixed:
    """The same lists whatever is asked, and what it was asked."""

    def __init__(self, rows, name=None, error=None):
        self.rows, self.error = rows, error
        if name:
            self.name = name
        self.asked = []

    def retrieve(self, requests, limit):
        self.asked.append((requests.user.tolist(), limit))
        if self.error:
            raise self.error
        return lists([self.rows[user][:limit] for user in requests.user])


def lists(rows):
    ragged = Ragged.from_lists(rows)
    score = np.arange(len(ragged.values), 0, -1).astype(np.float32)
    return Retrieved(ragged.offsets, ragged.values, score)


def ask(*users):
    return Requests.build(np.array(users, np.int64))


# -- fuse ----------------------------------------------------------------------------------------------------


def test_fuse_keeps_each_source_s_rank_and_score():
    batch = fuse(["a", "b"], [lists([[5, 7], []]), lists([[7], [9]])], ask(0, 0), limit=10)
    batch.validate()
    assert batch.item.tolist() == [5, 7, 9] and batch.offsets.tolist() == [0, 2, 3]
    assert batch.source_names == ("a", "b") and batch.sources.tolist() == [1, 3, 2]
    np.testing.assert_array_equal(batch.column("a_rank"), np.array([1, 2, np.nan], np.float32))
    np.testing.assert_array_equal(batch.column("b_rank"), np.array([np.nan, 1, 1], np.float32))
    np.testing.assert_array_equal(batch.column("a_score"), np.array([2, 1, np.nan], np.float32))
    np.testing.assert_array_equal(batch.column("b_score"), np.array([np.nan, 2, 1], np.float32))
    assert np.isnan(batch.score).all()
    assert all(column.dtype == np.float32 for column in batch.columns.values())


def test_fuse_of_dead_sources_and_of_no_requests_is_empty_but_valid():
    for n in (0, 2):
        batch = fuse(["a", "b"], [Retrieved.empty(n)] * 2, ask(*[0] * n))
        batch.validate()
        assert len(batch) == 0 and set(batch.columns) == {"a_rank", "a_score", "b_rank", "b_score"}


def test_fuse_takes_64_sources_and_refuses_65():
    names = [f"s{i}" for i in range(64)]
    batch = fuse(names, [lists([[i + 1]]) for i in range(64)], ask(0))
    assert batch.sources.tolist() == [1 << i for i in range(64)]
    with pytest.raises(ConfigurationError, match="found 65 sources"):
        fuse([*names, "more"], [lists([[1]])] * 65, ask(0))


def test_quotas_are_shares_of_the_limit():
    batch = fuse(
        ["a", "b", "c"],
        [lists([[1, 2, 3, 4, 5]]), lists([[11, 12, 13, 14, 15]]), lists([[21, 22]])],
        ask(0),
        by="quota",
        limit=6,
        quotas={"a": 0.5, "b": 1 / 6},
    )
    # three of a, one of b, then the rest in turn: ranks 1 and 2 of c beside b's second
    assert batch.item.tolist() == [1, 11, 2, 3, 21, 12]


# -- check_retrieved -----------------------------------------------------------------------------------------

GOOD = Retrieved(np.array([0, 2, 3]), np.array([4, 5, 4]), np.array([1, 2, 3], np.float32))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ([4, 5], "found list from s.retrieve; expected Retrieved"),
        (replace(GOOD, item=GOOD.item.astype(np.int32)), r"found item as int32 \(3,\)"),
        (replace(GOOD, item=[4, 5, 4]), "found item as list"),
        (replace(GOOD, score=GOOD.score.astype(np.float64)), "found score as float64"),
        (replace(GOOD, offsets=GOOD.offsets[:2]), "found 2 offsets from s.retrieve; expected 3"),
        (replace(GOOD, score=GOOD.score[:2]), "found 3 items and 2 scores"),
        (replace(GOOD, offsets=np.array([0, 2, 2])), "do not ascend"),
        (replace(GOOD, offsets=np.array([1, 2, 3])), "do not ascend"),
        (replace(GOOD, offsets=np.array([0, 4, 3])), "do not ascend"),
        (replace(GOOD, item=np.array([4, 0, 4])), "found item code 0"),
        (replace(GOOD, item=np.array([4, 8, 4])), "codes from 1 to 7; hint: codes of another vocabulary"),
        (replace(GOOD, item=np.array([4, 4, 4])), "found item code 4 twice in row 0"),
        (
            Retrieved(np.array([0, 2, 4]), np.array([4, 5, 6, 6]), np.zeros(4, np.float32)),
            "code 6 twice in row 1",
        ),
    ],
)
def test_a_broken_contract_is_named(bad, message):
    with pytest.raises(ContractError, match=message):
        check_retrieved(bad, 2, 7, "s", limit=2)


@pytest.mark.parametrize("offsets", [[0, 2, 4], [0, 1, 4]])
@pytest.mark.parametrize("shift", [0, 10**6])
def test_a_repeat_is_found_in_full_and_other_lists_of_small_and_large_codes(offsets, shift):
    def found(items: list[int]) -> Retrieved:
        return Retrieved(np.array(offsets), np.array(items) + shift, np.zeros(4, np.float32))

    check_retrieved(found([4, 5, 6, 4]), 2, None, "s", limit=3)
    with pytest.raises(ContractError, match="twice in row 1"):
        check_retrieved(found([4, 5, 6, 6]), 2, None, "s", limit=3)


def test_a_long_row_is_an_error_not_cut():
    with pytest.raises(ContractError, match=r"found 2 items in row 0 from s\.retrieve; expected at most 1"):
        check_retrieved(GOOD, 2, 7, "s", limit=1)


def test_good_answers_pass():
    check_retrieved(GOOD, 2, 5, "s", limit=2)
    check_retrieved(replace(GOOD, item=np.array([4, 99, 4])), 2, None, "s", limit=2)
    check_retrieved(Retrieved.empty(0), 0, 5, "s", limit=2)
    check_retrieved(Retrieved.empty(3), 3, 5, "s", limit=2)


@given(st.lists(st.lists(st.integers(1, 6), max_size=5), min_size=1, max_size=5))
def test_repeats_are_found_in_rows_of_any_length(rows):
    answer = lists(rows)
    if all(len(set(row)) == len(row) for row in rows):
        check_retrieved(answer, len(rows), 6, "s", limit=5)
    else:
        row = next(b for b, row in enumerate(rows) if len(set(row)) < len(row))
        with pytest.raises(ContractError, match=f"twice in row {row} "):
            check_retrieved(answer, len(rows), 6, "s", limit=5)


# -- Merge ---------------------------------------------------------------------------------------------------


def test_names_come_from_the_step_the_source_or_the_class():
    assert leaf_name(ItemKNN()) == "item_knn"
    assert leaf_name(Step(ItemKNN())) == "item_knn"
    assert leaf_name(Step(ItemKNN(), name="neighbors")) == "neighbors"
    assert leaf_name(Step(Fixed([[]], name="own"))) == "own"


def test_nested_merges_flatten_in_place():
    named = Step(Popular(half_life=None), name="classic")
    merge = Merge([History(), Merge([Popular(), named], by="rrf"), ItemKNN()])
    found = leaves(merge)
    assert [name for name, _ in found] == ["history", "popular", "classic", "item_knn"]
    assert found[2][1] is named


def test_equal_names_ask_for_a_name():
    with pytest.raises(ConfigurationError, match=r"two sources named 'popular'.*Step\(source, name="):
        Merge([Popular(), Merge([Popular(by="region")])])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Merge([]), "at least one source"),
        (lambda: Merge(Popular()), "at least one source"),
        (lambda: Merge([object()]), "found no verb on object"),
        (lambda: Merge([Popular], limit=5), "found the class Popular"),
        (lambda: Merge([Popular()], by="score"), "found by='score'"),
        (lambda: Merge([Popular()], limit=0), "found limit=0"),
        (lambda: Merge([Popular()], per_source=0), "found per_source=0"),
        (lambda: Merge([Popular()], quotas={"popular": 1}), "expected by='quota'"),
        (lambda: Merge([Popular()], by="quota", quotas={"populer": 1}), "did you mean 'popular'"),
        (lambda: Merge([Popular()], by="quota", quotas={"popular": 1.5}), "a share from 0 to 1"),
        (
            lambda: Merge([Popular(), History()], by="quota", quotas={"popular": 0.7, "history": 0.7}),
            "at most 1",
        ),
        (lambda: Merge([Step(Merge([Popular()]))]), "a Merge in a Step"),
        (lambda: Merge([Step(Fixed([[]]), name=f"s{i}") for i in range(65)]), "found 65 sources"),
        (lambda: FirstOf([]), "at least one source"),
        (lambda: FirstOf([Popular()], min_items=0), "min_items=0"),
        (lambda: FirstOf([Step(Popular())]), "a Step inside FirstOf"),
    ],
)
def test_what_cannot_work_is_refused_when_it_is_built(build, message):
    with pytest.raises(ConfigurationError, match=message):
        build()


def test_something_with_another_verb_is_refused():
    class Keeps:
        def keep(self, candidates): ...

    with pytest.raises(ConfigurationError, match="found the filter Keeps in Merge"):
        Merge([Keeps()])


def test_merge_alone_fuses():
    one, two = Fixed([[1, 2, 3], [4]], name="one"), Fixed([[3, 9], [5]], name="two")
    merge = Merge([one, two], per_source=3)
    found = merge.retrieve(ask(0, 1), 3)
    check_retrieved(found, 2, 9, "merge", limit=3)
    assert found.item.tolist() == [1, 3, 2, 4, 5] and np.isnan(found.score).all()
    assert one.asked == [([0, 1], 3)]
    Merge([Step(one, name="other", limit=1)]).retrieve(ask(0), 7)
    assert one.asked[-1] == ([0], 1)


def test_merge_alone_goes_on_without_a_source_that_fails():
    broken = Fixed([], name="broken", error=OSError("away"))
    found = Merge([broken, Fixed([[8]])]).retrieve(ask(0), 5)
    assert found.item.tolist() == [8] and [str(error) for error in found.errors] == ["away"]
    with pytest.raises(OSError, match="away"):
        Merge([broken]).retrieve(ask(0), 5)
    with pytest.raises(ContractError, match=r"fixed\.retrieve"):
        Merge([Fixed([[1, 1]])]).retrieve(ask(0), 5)
    with pytest.raises(ConfigurationError, match="a condition on popular"):
        Merge([Step(Popular(), when="adult")]).retrieve(ask(0), 5)


# -- FirstOf -------------------------------------------------------------------------------------------------


def test_the_next_source_is_asked_only_for_the_rows_still_short():
    first = Fixed([[1, 2], [3], []], name="first")
    second = Fixed([[], [3, 1, 4], [7, 8]], name="second")
    third = Fixed([[], [], []], name="third")
    found = FirstOf([first, second, third], min_items=2).retrieve(ask(0, 1, 2), 3)
    assert [found.item[found.offsets[b] : found.offsets[b + 1]].tolist() for b in range(3)] == [
        [1, 2],
        [3, 1, 4],
        [7, 8],
    ]
    assert second.asked == [([1, 2], 3)] and third.asked == []
    assert found.errors == ()


def test_a_short_limit_is_enough():
    second = Fixed([[5]], name="second")
    FirstOf([Fixed([[1]]), second], min_items=10).retrieve(ask(0), 1)
    assert second.asked == []


rows_of = st.lists(st.lists(st.integers(1, 6), unique=True, max_size=5), min_size=3, max_size=3)


@given(st.lists(rows_of, min_size=1, max_size=3), st.integers(1, 4), st.integers(1, 6))
def test_first_of_equals_the_naive_loop(found, least, limit):
    sources = [Fixed(rows) for rows in found]
    batch = FirstOf(sources, min_items=least).retrieve(ask(0, 1, 2, 1), limit)
    check_retrieved(batch, 4, 6, "first_of", limit=limit)
    for b, user in enumerate((0, 1, 2, 1)):
        expected = []
        for rows in found:
            if len(expected) < min(least, limit):
                expected = list(dict.fromkeys([*expected, *rows[user][:limit]]))[:limit]
        assert batch.item[batch.offsets[b] : batch.offsets[b + 1]].tolist() == expected


def test_a_failing_child_moves_on_and_is_recorded():
    away = Fixed([], error=OSError("away"))
    found = FirstOf([away, Fixed([[4]])]).retrieve(ask(0), 5)
    assert found.item.tolist() == [4] and found.errors == (away.error,)
    nested = FirstOf([FirstOf([away, Fixed([[4]])]), away], min_items=9).retrieve(ask(0), 5)
    assert nested.item.tolist() == [4] and nested.errors == (away.error, away.error)
    with pytest.raises(OSError, match="gone"):
        FirstOf([away, Fixed([], error=OSError("gone"))]).retrieve(ask(0), 5)
    for error in (ContractError("mine"), ConfigurationError("mine")):
        with pytest.raises(type(error), match="mine"):
            FirstOf([Fixed([], error=error), Fixed([[4]])]).retrieve(ask(0), 5)


def test_first_of_no_requests():
    assert len(FirstOf([Fixed([]), Fixed([])]).retrieve(ask(), 5).item) == 0


# -- what both share -----------------------------------------------------------------------------------------


def data():
    log = {"user_id": [1, 1, 2], "item_id": [10, 20, 10], "timestamp": [1.0, 2.0, 3.0]}
    return Dataset.from_frame(log)


@pytest.mark.parametrize("kind", [Merge, FirstOf])
def test_composed_sources_learn_require_and_save_as_their_parts_do(kind):
    function = FromFunction(
        lambda requests, limit: [[]] * len(requests), io_bound=True, requires=("session",)
    )
    composed = kind([History(), Popular(), function])
    assert composed.requires == ("history", "session") and composed.io_bound
    assert not composed.live and not composed.as_of
    assert composed.fitted_until_ == -np.inf
    fitted = clone(composed).fit(data())
    assert fitted.fitted_until_ == 3.0
    with pytest.raises(NotFittedError):
        composed.sources[1].retrieve(ask(0), 5)
    assert kind([History()]).as_of

    savable = kind([History(), Popular()]).fit(data())
    loaded = from_state(*to_state(savable))
    assert loaded.retrieve(ask(0), 5).item.tolist() == savable.retrieve(ask(0), 5).item.tolist() == [1, 2]


def test_bind_returns_a_bound_copy():
    class NeedsSchema(Fixed):
        def bind(self, schema):
            return Fixed([[schema]], name="bound")

    merge = Merge([Step(NeedsSchema([[1]]), name="stepped"), NeedsSchema([[2]]), Popular()])
    bound = merge.bind(77)
    assert [name for name, _ in leaves(bound)] == ["stepped", "bound", "popular"]
    assert bound.sources[0].stage.rows == [[77]] and merge.sources[0].stage.rows == [[1]]
