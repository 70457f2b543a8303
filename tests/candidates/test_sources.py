"""Sources against independent computations, and what they refuse."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from recokit.candidates import AnnIndex, FirstOf, FromFunction, History, ItemKNN, Merge, Popular, UserHistory
from recokit.compose.fusion import check_retrieved, fuse
from recokit.data import DAY, Dataset, Ragged, Requests, Retrieved
from recokit.errors import ConfigurationError, ContractError, DataError, NotFittedError
from recokit.pipeline import Step
from recokit.testing import toy_dataset


def asks(*histories: list[int], now: float = 0.0, **columns: Any) -> Requests:
    """Return anonymous requests with these histories."""
    return Requests.build(
        np.zeros(len(histories), np.int64),
        now=now,
        ragged={"history": Ragged.from_lists(list(histories))},
        columns={name: np.array(values) for name, values in columns.items()},
    )


def lists(found: Retrieved) -> list[list[int]]:
    return [found.item[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


class TestPopular:
    data = Dataset.from_frame(
        {
            "user": [1, 1, 1, 2, 2, 3],
            "item": [1, 1, 1, 2, 2, 3],
            "timestamp": np.array([0, 0, 0, 8, 9, 10.0]) * DAY,
        },
        users={"user_id": [1, 2, 3], "region": ["north", "south", "south"]},
    )

    def test_counts_decay_towards_the_end_of_the_data(self) -> None:
        assert lists(Popular(half_life=None).fit(self.data).retrieve(asks([]), 3)) == [[1, 2, 3]]
        found = Popular(half_life="1D").fit(self.data).retrieve(asks([]), 3)
        assert lists(found) == [[3, 2, 1]]
        np.testing.assert_allclose(found.score, [1, 0.25 + 0.5, 3 * 2.0**-10], rtol=1e-6)

    def test_a_window_forgets(self) -> None:
        assert lists(Popular(half_life=None, window="3D").fit(self.data).retrieve(asks([]), 3))[0][:2] == [
            2,
            3,
        ]

    def test_by_segment_with_the_overall_list_behind(self) -> None:
        source = Popular(half_life=None, by="region").fit(self.data)
        found = source.retrieve(Requests.build(np.array([1, 2, 0])), 3)
        assert lists(found) == [[1, 2, 3], [2, 3, 1], [1, 2, 3]]

    def test_a_catalogue_without_events_is_served_in_order(self) -> None:
        data = Dataset.from_frame(None, items={"item_id": [7, 8, 9]})
        assert lists(Popular().fit(data).retrieve(asks([]), 2)) == [[1, 2]]

    @pytest.mark.parametrize("options", [{"half_life": "soon"}, {"window": -1}, {"events": "purchase"}])
    def test_options_out_of_range(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError):
            Popular(**options)

    def test_unknown_names(self) -> None:
        with pytest.raises(ConfigurationError, match="did you mean 'region'"):
            Popular(by="regin").fit(self.data)
        with pytest.raises(ConfigurationError, match="no event type 'click'"):
            Popular(events=["click"]).fit(self.data)
        with pytest.raises(NotFittedError, match="Popular"):
            Popular().retrieve(asks([]), 1)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(1, 8)), min_size=1, max_size=40), st.integers(1, 8))
def test_item_knn_equals_a_dense_cosine(events: list[tuple[int, int]], n_neighbors: int) -> None:
    users, items = map(np.array, zip(*events, strict=True))
    data = Dataset.from_frame({"user": users, "item": items, "timestamp": np.arange(len(events))})
    knn = ItemKNN(n_neighbors=n_neighbors).fit(data)
    matrix = np.zeros((7, data.n_items + 1))
    np.add.at(matrix, (users, data.item_ids.encode(items)), 1.0)
    size = np.linalg.norm(matrix, axis=0)
    cosine = matrix.T @ matrix / np.maximum(size[:, None] * size, 1e-12)
    np.fill_diagonal(cosine, 0)
    kept = np.zeros_like(cosine)
    for item in range(1, data.n_items + 1):
        order = np.lexsort((np.arange(len(cosine)), -cosine[item].astype(np.float32)))[:n_neighbors]
        kept[item, order] = cosine[item, order]
    history = data.item_ids.encode(items[:3])
    want = kept[history].sum(axis=0)
    found = knn.retrieve(asks(history.tolist()), data.n_items)
    assert set(found.item.tolist()) == set(np.flatnonzero(want > 0).tolist())
    np.testing.assert_allclose(found.score, want[found.item], rtol=1e-4)
    assert (np.diff(found.score) <= 1e-6).all()


class TestItemKNN:
    def test_a_new_user_gets_what_one_with_that_history_gets(self) -> None:
        data = toy_dataset()
        knn = ItemKNN().fit(data)
        history = UserHistory().fit(data)
        known = Requests.build(np.array([3]), now=data.until + 1)
        hydrated = known.hydrated({}, history.hydrate(known).ragged)
        new = Requests.build(np.array([0]), now=data.until + 1, ragged={"history": hydrated.lists("history")})
        assert lists(knn.retrieve(hydrated, 20)) == lists(knn.retrieve(new, 20))

    def test_similar_items_and_unknown_ones(self) -> None:
        data = Dataset.from_frame({"user": [1, 1, 2, 2, 3], "item": [1, 2, 1, 2, 3], "timestamp": range(5)})
        knn = ItemKNN().fit(data)
        assert lists(knn.similar(np.array([1, 0, 3]), 5)) == [[2], [], []]

    def test_shrinkage_and_jaccard(self) -> None:
        data = Dataset.from_frame({"user": [1, 1, 2], "item": [1, 2, 1], "timestamp": range(3)})
        assert ItemKNN(similarity="jaccard").fit(data).retrieve(asks([2]), 5).score.tolist() == [0.5]
        shrunk = ItemKNN(shrinkage=1.0).fit(data).retrieve(asks([2]), 5).score[0]
        assert shrunk == pytest.approx(1 / (np.sqrt(2) + 1))

    def test_only_recent_events_count_where_asked(self) -> None:
        data = Dataset.from_frame({"user": [1, 1, 1], "item": [1, 2, 3], "timestamp": range(3)})
        assert lists(ItemKNN(max_history=2).fit(data).retrieve(asks([2]), 5)) == [[3]]

    @pytest.mark.parametrize(
        "options", [{"n_neighbors": 0}, {"similarity": "euclid"}, {"shrinkage": -1}, {"max_history": 0}]
    )
    def test_options_out_of_range(self, options: dict[str, Any]) -> None:
        with pytest.raises(ConfigurationError, match=next(iter(options))):
            ItemKNN(**options)


def test_history_decays_as_of_the_requests_own_time() -> None:
    history = Ragged(
        np.array([0, 3]), np.array([5, 9, 5]), {"timestamp": np.array([0.0, 30 * DAY, 60 * DAY])}
    )
    found = History(half_life="30D").retrieve(
        Requests.build(np.array([1]), now=60 * DAY, ragged={"history": history}), 5
    )
    assert found.item.tolist() == [5, 9]
    np.testing.assert_allclose(found.score, [1.25, 0.5], rtol=1e-6)


class TestUserHistory:
    data = Dataset.from_frame(
        {
            "user": [1, 1, 1, 2],
            "item": [1, 2, 1, 3],
            "timestamp": [10.0, 20.0, 30.0, 5.0],
            "event": ["view", "purchase", "view", "purchase"],
        }
    )

    @settings(max_examples=50, deadline=None)
    @given(st.floats(0, 40), st.integers(1, 3))
    def test_only_events_strictly_before_and_the_newest(self, now: float, most: int) -> None:
        ragged = (
            UserHistory(max_events=most)
            .fit(self.data)
            .hydrate(Requests.build(np.array([1, 0]), now=now))
            .ragged
        )
        past = [item for item, time in ((1, 10.0), (2, 20.0), (1, 30.0)) if time < now]
        assert ragged["history"].row(0).tolist() == past[-most:]
        assert ragged["owned"].row(0).tolist() == ([2] if now > 20 else [])
        assert ragged["history"].row(1).tolist() == []

    def test_options(self) -> None:
        with pytest.raises(ConfigurationError, match="max_events=0"):
            UserHistory(max_events=0)
        with pytest.raises(ConfigurationError, match="events='view'"):
            UserHistory(events="view")
        with pytest.raises(ConfigurationError, match="did you mean 'view'"):
            UserHistory(events=["veiw"]).fit(self.data)
        with pytest.raises(NotFittedError):
            UserHistory().hydrate(asks([]))


class TestAnnIndex:
    rng = np.random.default_rng(1)
    vectors = rng.normal(size=(201, 8)).astype(np.float32)
    data = Dataset.from_frame(
        {"user": [1, 2], "item": [1, 2], "timestamp": [1, 2]}, items={"item_id": np.arange(1, 201)}
    )

    @pytest.mark.parametrize("metric", ["ip", "cosine"])
    @pytest.mark.parametrize(
        "options", [{}, {"kind": "ivf", "n_lists": 4, "n_probe": 4}, {"kind": "hnsw", "n_probe": 200}]
    )
    def test_it_finds_the_nearest(self, metric: Any, options: dict[str, Any]) -> None:
        users = np.vstack([np.zeros(8), self.rng.normal(size=(2, 8))]).astype(np.float32)
        index = AnnIndex(self.vectors, query=users, metric=metric, **options).fit(self.data)
        found = index.retrieve(Requests.build(np.array([1, 2])), 10)
        items = (
            self.vectors / np.linalg.norm(self.vectors, axis=1, keepdims=True)
            if metric == "cosine"
            else self.vectors
        )
        for row, user in enumerate((1, 2)):
            score = items[1:] @ users[user]
            assert lists(found)[row] == (np.argsort(-score)[:10] + 1).tolist()

    def test_without_a_vector_of_their_own_users_are_the_mean_of_their_history(self) -> None:
        users = np.zeros((3, 8), np.float32)
        index = AnnIndex(self.vectors, query=users).fit(self.data)
        found = index.retrieve(asks([4, 9, 0], []), 5)
        want = np.argsort(-(self.vectors[1:] @ self.vectors[[4, 9]].mean(axis=0)))[:5] + 1
        assert lists(found) == [want.tolist(), []]

    def test_similar_leaves_the_item_itself_out(self) -> None:
        index = AnnIndex(self.vectors, metric="cosine").fit(self.data)
        found = lists(index.similar(np.array([7, 0]), 3))
        assert len(found[0]) == 3 and 7 not in found[0] and found[1] == []

    def test_a_function_makes_the_queries(self) -> None:
        index = AnnIndex(self.vectors, query=lambda requests: self.vectors[[5]]).fit(self.data)
        assert index.requires == ()
        assert lists(index.retrieve(asks([]), 1)) == [
            [int(np.argmax(self.vectors[1:] @ self.vectors[5])) + 1]
        ]

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (np.zeros((1, 3), np.float32), ContractError),
            (np.zeros((1, 8)), ContractError),
            (np.full((1, 8), np.nan, np.float32), DataError),
            (np.zeros((1, 8), np.float32), DataError),
        ],
    )
    def test_wrong_queries_never_reach_faiss(self, answer: np.ndarray, error: type[Exception]) -> None:
        index = AnnIndex(self.vectors, query=lambda requests: answer, metric="cosine").fit(self.data)
        with pytest.raises(error, match="quer"):
            index.retrieve(asks([]), 1)

    @pytest.mark.parametrize(
        ("vectors", "options", "message"),
        [
            (np.zeros((5, 2)), {}, "float64"),
            (np.zeros(5, np.float32), {}, r"\(5,\)"),
            (np.zeros((5, 2), np.float32), {"query": np.zeros((3, 4), np.float32)}, "width 4; expected 2"),
            (np.zeros((5, 2), np.float32), {"kind": "lsh"}, "kind='lsh'"),
            (np.zeros((5, 2), np.float32), {"metric": "l2"}, "metric='l2'"),
            (np.zeros((5, 2), np.float32), {"n_lists": 3}, "n_lists=3 with kind='auto'"),
            (np.zeros((5, 2), np.float32), {"kind": "ivf", "n_probe": 0}, "n_probe=0"),
        ],
    )
    def test_options_out_of_range(self, vectors: np.ndarray, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            AnnIndex(vectors, **options)

    def test_vectors_that_do_not_fit_the_catalogue_or_are_broken(self) -> None:
        with pytest.raises(ConfigurationError, match="another vocabulary"):
            AnnIndex(self.vectors[:50]).fit(self.data)
        with pytest.raises(ConfigurationError, match="users"):
            AnnIndex(self.vectors, query=self.vectors).fit(self.data)
        broken = self.vectors.copy()
        broken[[3, 8]] = np.nan
        with pytest.raises(DataError) as caught:
            AnnIndex(broken).fit(self.data)
        assert caught.value.rows == (3, 8)
        broken[[3, 8]] = 0
        with pytest.raises(DataError) as caught:
            AnnIndex(broken, metric="cosine").fit(self.data)
        assert caught.value.rows == (3, 8)
        with pytest.raises(NotFittedError):
            AnnIndex(self.vectors).retrieve(asks([]), 1)


class TestFromFunction:
    def test_three_forms_of_answer(self) -> None:
        retrieved = Retrieved.from_padded(np.array([[2, 1]]), np.array([[0.5, 0.25]]))
        for answer in (np.array([[2, 1, 0]]), [[2, 1]], retrieved):
            assert lists(
                FromFunction(lambda requests, limit, answer=answer: answer).retrieve(asks([]), 5)
            ) == [[2, 1]]

    @pytest.mark.parametrize(
        "answer", [None, np.array([1]), np.array([[1.5]]), np.array([[-1]]), [[1], [2]], [["a"]], "ab"]
    )
    def test_anything_else_is_a_contract_error(self, answer: Any) -> None:
        with pytest.raises(ContractError, match="expected"):
            FromFunction(lambda requests, limit: answer).retrieve(asks([]), 5)

    def test_options(self) -> None:
        with pytest.raises(ConfigurationError, match="found 5"):
            FromFunction(5)  # type: ignore[arg-type]
        with pytest.raises(ConfigurationError, match="name='new arrivals'"):
            FromFunction(lambda requests, limit: [], name="new arrivals")


def source(name: str, *answer: list[int]) -> FromFunction:
    return FromFunction(lambda requests, limit: [list(row) for row in answer], name=name)


def broken(name: str = "broken") -> FromFunction:
    def fail(requests: Requests, limit: int) -> Any:
        raise OSError("down")

    return FromFunction(fail, name=name)


@st.composite
def answers(draw: st.DrawFn) -> tuple[list[list[list[int]]], int]:
    rows = draw(st.integers(1, 3))
    row = st.lists(st.integers(1, 12), max_size=6, unique=True)
    found = draw(st.lists(st.lists(row, min_size=rows, max_size=rows), min_size=1, max_size=4))
    return found, draw(st.integers(1, 15))


@settings(max_examples=150, deadline=None)
@given(answers(), st.sampled_from(["interleave", "rrf"]))
def test_fusion_equals_a_naive_one(case: tuple[list[list[list[int]]], int], by: Any) -> None:
    found, limit = case
    n_rows = len(found[0])
    parts = []
    for part in found:
        ragged = Ragged.from_lists(part)
        parts.append(
            Retrieved(ragged.offsets, ragged.values, np.arange(len(ragged.values), dtype=np.float32))
        )
    names = [f"s{i}" for i in range(len(found))]
    batch = fuse(names, parts, asks(*[[]] * n_rows), by=by, limit=limit)
    batch.validate()
    for row in range(n_rows):
        ranks: dict[int, list[tuple[int, int]]] = {}
        for s, part in enumerate(found):
            for rank, item in enumerate(part[row], 1):
                ranks.setdefault(item, []).append((rank, s))
        if by == "interleave":
            want = sorted(ranks, key=lambda item: min(ranks[item]))[:limit]
        else:
            total = {item: sum(1 / (60 + rank) for rank, _ in where) for item, where in ranks.items()}
            want = sorted(ranks, key=lambda item: (-round(total[item], 12), min(ranks[item])))[:limit]
        start, end = batch.offsets[row], batch.offsets[row + 1]
        got = batch.item[start:end].tolist()
        if by == "interleave":
            assert got == want
        else:
            assert [round(total[item], 7) for item in got] == [round(total[item], 7) for item in want]
        for place, item in zip(range(start, end), got, strict=True):
            assert int(batch.sources[place]) == sum(1 << s for _, s in ranks[item])
            for rank, s in ranks[item]:
                assert batch.column(f"s{s}_rank")[place] == rank


class TestMerge:
    def test_quotas_first_then_the_rest(self) -> None:
        parts = [source("a", [1, 2, 3, 4]), source("b", [5, 6, 7, 8])]
        merge = Merge(parts, by="quota", quotas={"a": 0.75, "b": 0.25}, limit=4)
        assert sorted(lists(merge.retrieve(asks([]), 4))[0]) == [1, 2, 3, 5]

    def test_a_dead_source_is_left_out_and_noted_all_dead_raise(self) -> None:
        found = Merge([broken(), source("a", [1])]).retrieve(asks([]), 5)
        assert lists(found) == [[1]]
        assert [str(error) for error in found.errors] == ["down"]
        with pytest.raises(OSError, match="down"):
            Merge([broken()]).retrieve(asks([]), 5)

    def test_nested_ones_are_flattened_and_names_must_differ(self) -> None:
        inner = Merge([source("b", [2]), source("c", [3])])
        assert lists(Merge([source("a", [1]), inner]).retrieve(asks([]), 5)) == [[1, 2, 3]]
        with pytest.raises(ConfigurationError, match=r"two sources named 'a'; .*Step"):
            Merge([source("a", [1]), source("a", [2])])
        assert Merge([source("a", [1]), Step(source("a", [2]), name="again")]).requires == ()

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"by": "score"}, "by='score'"),
            ({"limit": 0}, "limit=0"),
            ({"quotas": {"a": 0.5}}, "quotas with by='interleave'"),
            ({"by": "quota", "quotas": {"z": 0.5}}, "quota for 'z'"),
            ({"by": "quota", "quotas": {"a": 2.0}}, "quota 2.0"),
        ],
    )
    def test_options_out_of_range(self, options: dict[str, Any], message: str) -> None:
        with pytest.raises(ConfigurationError, match=message):
            Merge([source("a", [1])], **options)

    @pytest.mark.parametrize("sources", [[], "popular", [5], [UserHistory()]])
    def test_it_takes_sources_only(self, sources: Any) -> None:
        with pytest.raises(ConfigurationError):
            Merge(sources)


class TestFirstOf:
    def test_only_rows_still_short_go_on(self) -> None:
        asked: list[int] = []

        def count(requests: Requests, limit: int) -> list[list[int]]:
            asked.append(len(requests))
            return [[1, 9]] * len(requests)

        first = FirstOf([source("a", [1, 2, 3], [1]), FromFunction(count, name="b")], min_items=2)
        assert lists(first.retrieve(asks([], []), 5)) == [[1, 2, 3], [1, 9]]
        assert asked == [1]

    def test_a_failure_moves_on_to_the_next(self) -> None:
        found = FirstOf([broken(), source("a", [4])], min_items=1).retrieve(asks([]), 5)
        assert lists(found) == [[4]] and len(found.errors) == 1
        with pytest.raises(OSError, match="down"):
            FirstOf([broken("x"), broken("y")]).retrieve(asks([]), 5)

    def test_options(self) -> None:
        with pytest.raises(ConfigurationError, match="min_items=0"):
            FirstOf([source("a", [1])], min_items=0)
        with pytest.raises(ConfigurationError, match="Step inside FirstOf"):
            FirstOf([Step(source("a", [1]))])

    def test_it_learns_and_requires_what_its_parts_do(self) -> None:
        data = toy_dataset()
        first = FirstOf([ItemKNN(), Popular()]).fit(data).bind(data.schema)
        assert first.requires == ("history",)
        assert first.fitted_until_ == data.until
        assert not first.as_of and not first.io_bound and not first.live
        assert len(lists(first.retrieve(asks([]), 5))[0]) == 5


def retrieved(**changes: Any) -> Retrieved:
    parts = {
        "offsets": np.array([0, 2]),
        "item": np.array([1, 2]),
        "score": np.zeros(2, np.float32),
    } | changes
    return Retrieved(**parts)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (None, "found NoneType from s.retrieve"),
        (retrieved(item=np.array([1.0, 2.0])), "item as float64"),
        (retrieved(offsets=np.array([0, 1, 2])), "3 offsets"),
        (retrieved(score=np.zeros(1, np.float32)), "2 items and 1 scores"),
        (retrieved(offsets=np.array([0, 1])), "do not ascend"),
        (retrieved(item=np.array([0, 1])), "item code 0"),
        (retrieved(item=np.array([1, 99])), "item code 99.*another vocabulary"),
        (retrieved(item=np.array([1, 1])), "item code 1 twice in row 0"),
        (
            Retrieved(np.array([0, 6]), np.arange(1, 7), np.zeros(6, np.float32)),
            "6 items in row 0.*at most 5",
        ),
    ],
)
def test_an_answer_that_breaks_the_contract_is_named(answer: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        check_retrieved(answer, 1, 10, "s", limit=5)
    check_retrieved(retrieved(), 1, 10, "s", limit=5)
