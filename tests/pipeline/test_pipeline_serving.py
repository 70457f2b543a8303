"""Serving: what may be asked, saved, changed and replayed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, rankers, rules
from recokit.data import Candidates, Dataset, Live, Requests
from recokit.errors import ConfigurationError, DataError
from recokit.pipeline import Step
from recokit.testing import FixedSource
from recokit.trace import Status


@pytest.fixture(scope="module")
def knn(toy: Dataset) -> rk.Pipeline:
    merge = candidates.Merge([candidates.ItemKNN(), candidates.Popular(window="3650D")])
    return rk.Pipeline([merge, rules.NotSeen()], clock=lambda: toy.until).fit(toy)


def same(a: rk.Recommendations, b: rk.Recommendations) -> bool:
    return (
        np.array_equal(a.offsets, b.offsets)
        and np.array_equal(a.item, b.item)
        and np.array_equal(a.score, b.score, equal_nan=True)
        and np.array_equal(a.status, b.status)
    )


# -- who and what (R44) -----------------------------------------------------------------------------------------------


def test_an_anonymous_user_with_a_history_gets_what_that_history_calls_for(knn: rk.Pipeline) -> None:
    answer = knn.recommend(history=[[101, 102], [103]], k=5)
    assert answer.users.tolist() == [None, None] and answer.ids(0) != answer.ids(1)
    assert not {101, 102} & set(answer.ids(0)) and 103 not in answer.ids(1)
    assert any("item_knn" in record["sources"] for record in answer.to_records()[0])


def test_a_session_alone_answers_as_the_same_history(knn: rk.Pipeline) -> None:
    assert same(knn.recommend(session=[[101, 102]]), knn.recommend(history=[[101, 102]]))


def test_a_session_is_appended_to_the_history(knn: rk.Pipeline, toy: Dataset) -> None:
    user = toy.user_ids.ids[2]
    plain = knn.recommend([user], capture="full").trace.requests.lists("history").row(0)
    trace = knn.recommend([user, None, user], session=[[101, 105], [102], None]).trace
    history = trace.requests.lists("history")
    assert history.row(0).tolist() == [*plain.tolist(), *toy.item_ids.encode([101, 105]).tolist()]
    assert history.row(1).tolist() == toy.item_ids.encode([102]).tolist()
    assert history.row(2).tolist() == plain.tolist()
    assert history.columns["timestamp"][len(plain)] == toy.until


def test_a_history_that_ends_with_the_session_has_it_already(knn: rk.Pipeline) -> None:
    once = knn.recommend(history=[[103, 101]], session=[[101]]).trace.requests.lists("history")
    assert len(once.row(0)) == 2
    other = knn.recommend(history=[[101]], session=[[101, 101]]).trace.requests.lists("history")
    assert len(other.row(0)) == 3


def test_known_anonymous_and_given_rows_mix_in_one_batch(knn: rk.Pipeline, toy: Dataset) -> None:
    user = toy.user_ids.ids[0]
    batch = knn.recommend([user, None, user, "stranger"], history=[None, [104], [104], None], k=[3, 4, 5, 6])
    singles = [
        knn.recommend([user], k=3),
        knn.recommend([None], history=[[104]], k=4),
        knn.recommend([user], history=[[104]], k=5),
        knn.recommend(["stranger"], k=6),
    ]
    for row, single in enumerate(singles):
        assert batch.ids(row) == single.ids(0) and len(batch.ids(row)) == 3 + row


def test_items_ranks_only_these_known_ones_first_then_as_given(toy: Dataset) -> None:
    pipeline = rk.Pipeline([candidates.Merge([FixedSource([5, 3, 8])])], fallback=FixedSource([9])).fit(toy)
    ids = toy.item_ids.decode([8, 20, 3, 21]).tolist()
    answer = pipeline.recommend([None, None], items=[ids, None], k=10, now=toy.until)
    assert answer.codes(0).tolist() == [3, 8, 20, 21], "sources rank what they know, the rest follow as given"
    assert answer.codes(1).tolist() == [5, 3, 8, 9]
    assert answer.sources[0] == ("fixed_source",) and answer.sources[2] == ("items",)
    assert answer.trace.of("merge")[0].detail["by_source"]["items"] == 4


def test_items_pass_the_hard_rules_and_are_not_filled_up(toy: Dataset) -> None:
    pipeline = rk.Pipeline([FixedSource([5]), rules.Blocked([102])], fallback=FixedSource([9])).fit(toy)
    answer = pipeline.recommend([None, None], items=[[101, 102], []], now=toy.until)
    assert answer.ids(0) == [101] and answer.ids(1) == []
    assert answer.status.tolist() == [Status.OK, Status.EMPTY]


def test_a_row_with_items_does_not_change_how_many_candidates_another_has(toy: Dataset) -> None:
    merge = candidates.Merge(
        [FixedSource(range(1, 31)), Step(FixedSource(range(30, 0, -1)), name="b")], limit=6
    )
    pipeline = rk.Pipeline([merge, rankers.Weighted({"fixed_source_rank": 1.0})]).fit(toy)
    alone = pipeline.recommend([None], k=10, now=toy.until)
    mixed = pipeline.recommend([None, None], items=[None, [101, 102]], k=10, now=toy.until)
    assert mixed.ids(0) == alone.ids(0) and len(mixed.ids(0)) == 6


def test_excluded_items_are_never_shown_not_even_by_the_fallback(toy: Dataset) -> None:
    pipeline = rk.Pipeline([FixedSource([1, 2])], fallback=FixedSource([1, 2, 3])).fit(toy)
    answer = pipeline.recommend([None, None], exclude=[[101], None], capture="full", now=toy.until)
    assert answer.codes(0).tolist() == [2, 3] and answer.codes(1).tolist() == [1, 2, 3]
    assert str(answer.trace.locate(0, 1)).endswith("removed by exclude")


def test_similar_items(knn: rk.Pipeline, toy: Dataset) -> None:
    answer = knn.similar_items([101, 999, 102], k=3)
    assert len(answer.ids(0)) == 3 and 101 not in answer.ids(0) and answer.ids(1) == []
    assert answer.status.tolist() == [Status.OK, Status.EMPTY, Status.OK]
    assert answer.reasons == ((), ("unknown item",), ())
    assert answer.to_records()[0][0]["sources"] == ["item_knn"]
    with pytest.raises(DataError, match="found k=0"):
        knn.similar_items([101], k=0)
    with pytest.raises(DataError, match="found str ids"):
        knn.similar_items(["101"])
    with pytest.raises(
        ConfigurationError, match=r"found no source with similar\(\) among fixed_source; hint"
    ):
        rk.Pipeline([FixedSource([1])]).fit(toy).similar_items([101])


def test_the_clock_gives_the_time_where_the_call_does_not(toy: Dataset) -> None:
    pipeline = rk.Pipeline([FixedSource([1])], clock=lambda: 123.0).fit(toy)
    assert pipeline.recommend([None]).trace.requests.now.tolist() == [123.0]
    assert pipeline.recommend([None], now="1970-01-02").trace.requests.now.tolist() == [86_400.0]


# -- saving -----------------------------------------------------------------------------------------------------------


def ann(data: Dataset, kind: str) -> candidates.AnnIndex:
    vectors = np.random.default_rng(0).normal(size=(data.n_items + 1, 8)).astype(np.float32)
    return candidates.AnnIndex(vectors, kind=kind)  # type: ignore[arg-type]


def test_a_loaded_pipeline_answers_as_the_saved_one(
    full_lr: rk.Pipeline, market: Any, tmp_path: Path
) -> None:
    full_lr.save(tmp_path / "model")
    names = sorted(path.name for path in (tmp_path / "model").iterdir())
    assert names == ["arrays.safetensors", "manifest.json", "state.json"]
    loaded = rk.Pipeline.load(tmp_path / "model")
    users = [*market.dataset.user_ids.ids[:30], None, "stranger"]
    now = market.dataset.until
    assert same(full_lr.recommend(users, now=now), loaded.recommend(users, now=now))
    assert loaded.fingerprint == full_lr.fingerprint and loaded.fitted_until == full_lr.fitted_until
    assert loaded.names == full_lr.names and loaded.training_report_ is None


@pytest.mark.parametrize("kind", ["exact", "hnsw"])
def test_a_faiss_index_is_saved_with_it(toy: Dataset, tmp_path: Path, kind: str) -> None:
    sources = candidates.Merge([ann(toy, kind), candidates.Popular(window="3650D")])
    pipeline = rk.Pipeline([sources, rankers.Weighted({"ann_index_score": 1.0})], validate=True).fit(toy)
    pipeline.save(tmp_path / "m")
    loaded = rk.Pipeline.load(tmp_path / "m", clock=lambda: toy.until)
    users = toy.user_ids.ids[:10]
    assert same(pipeline.recommend(users, now=toy.until), loaded.recommend(users))
    assert loaded.validate


@pytest.mark.parametrize("name", ["state.json", "arrays.safetensors", "manifest.json"])
def test_a_file_that_was_tampered_with_is_a_data_error(knn: rk.Pipeline, tmp_path: Path, name: str) -> None:
    knn.save(tmp_path / "m")
    file = tmp_path / "m" / name
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    with pytest.raises(DataError):
        rk.Pipeline.load(tmp_path / "m")
    file.unlink()
    with pytest.raises(DataError, match="found no"):
        rk.Pipeline.load(tmp_path / "m")


class EvenOnly:
    """A stage of one's own."""

    def __init__(self, remainder: int = 0) -> None:
        self.remainder = remainder

    def keep(self, candidates: Candidates) -> Any:
        return candidates.item % 2 == self.remainder


class IsVip:
    """A condition that can be saved: it is data."""

    def __init__(self, column: str) -> None:
        self.column = column

    def __call__(self, requests: Requests) -> Any:
        return requests.column(self.column)


def test_own_classes_are_rebuilt_only_if_trusted(toy: Dataset, tmp_path: Path) -> None:
    step = Step(EvenOnly(1), name="odd", when=IsVip("vip"), on_error="raise", optional=True)
    pipeline = rk.Pipeline([FixedSource([1, 2, 3, 4, 5]), step]).fit(toy)
    pipeline.save(tmp_path / "m")
    with pytest.raises(ConfigurationError, match=r"EvenOnly|IsVip"):
        rk.Pipeline.load(tmp_path / "m")
    loaded = rk.Pipeline.load(tmp_path / "m", trusted=[EvenOnly, IsVip])
    options: dict[str, Any] = {"context": {"vip": [True, False]}, "now": toy.until}
    assert same(pipeline.recommend([None, None], **options), loaded.recommend([None, None], **options))
    node = next(node for node in loaded if node.name == "odd")
    assert (node.on_error, node.optional, loaded["odd"].remainder) == ("raise", True, 1)


def test_code_cannot_be_saved(toy: Dataset, tmp_path: Path) -> None:
    step = Step(EvenOnly(), when=lambda requests: requests.k > 3)
    with pytest.raises(ConfigurationError, match=r"found code.*hint"):
        rk.Pipeline([FixedSource([1]), step]).fit(toy).save(tmp_path / "m")


def test_a_saved_pipeline_holds_no_pickle(knn: rk.Pipeline, tmp_path: Path) -> None:
    knn.save(tmp_path / "m")
    assert json.loads((tmp_path / "m" / "manifest.json").read_text())["files"].keys() == {
        "state.json",
        "arrays.safetensors",
    }
    assert b"pickle" not in (tmp_path / "m" / "state.json").read_bytes()


def test_merge_options_and_fallback_survive(toy: Dataset, tmp_path: Path) -> None:
    merge = candidates.Merge(
        [FixedSource([1, 2, 3]), Step(FixedSource([4, 5, 6]), name="other", limit=2)],
        by="quota",
        quotas={"other": 0.5, "fixed_source": 0.5},
        limit=4,
        per_source=3,
    )
    pipeline = rk.Pipeline(
        [Step(merge, name="all")], fallback=Step(FixedSource([7]), name="last", limit=1)
    ).fit(toy)
    pipeline.save(tmp_path / "m")
    loaded = rk.Pipeline.load(tmp_path / "m")
    assert loaded.names == ("all.fixed_source", "all.other", "fallback.last")
    assert (
        loaded.recommend([None], now=0.0).codes(0).tolist()
        == pipeline.recommend([None], now=0.0).codes(0).tolist()
    )


# -- changing ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def odd(toy: Dataset) -> rk.Pipeline:
    merge = candidates.Merge([FixedSource(range(1, 9)), candidates.Popular(window="3650D")], limit=20)
    stages = [merge, EvenOnly(), rankers.Weighted({"fixed_source_rank": 1.0}), diversity.TopK()]
    return rk.Pipeline(stages, fallback=FixedSource([40]), clock=lambda: toy.until).fit(toy)


def test_replace_swaps_one_stage_and_shares_the_others(odd: rk.Pipeline) -> None:
    other = odd.replace("even_only", EvenOnly(1))
    assert all(code % 2 == 1 for code in other.recommend([None], k=4).codes(0))
    assert all(code % 2 == 0 for code in odd.recommend([None], k=4).codes(0))
    assert other["merge.popular"] is odd["merge.popular"] and other.names == odd.names
    assert other.fitted_until == odd.fitted_until
    swapped = odd.replace("merge.fixed_source", FixedSource([10, 12])).replace(
        "fallback.fixed_source", FixedSource([2])
    )
    assert swapped.recommend([None], k=2).codes(0).tolist() == [12, 10]
    with pytest.raises(ConfigurationError, match="found no stage 'even_onyl'; did you mean 'even_only'"):
        odd.replace("even_onyl", EvenOnly())
    with pytest.raises(ConfigurationError, match="found a scorer for even_only; expected a filter"):
        odd.replace("even_only", rankers.Weighted({"fixed_source_rank": 1.0}))


def test_without_leaves_stages_out(odd: rk.Pipeline) -> None:
    bare = odd.without("even_only", "weighted", "merge.popular", "fallback.fixed_source")
    assert bare.names == ("merge.fixed_source", "top_k")
    assert bare.recommend([None], k=3).codes(0).tolist() == [1, 2, 3]
    with pytest.raises(ConfigurationError, match="found no source left"):
        odd.without("merge.popular", "merge.fixed_source")
    with pytest.raises(ConfigurationError, match="fixed_source_rank"):
        odd.without("merge.fixed_source")


def test_prefix_stops_before_a_stage_and_keeps_the_fallback(odd: rk.Pipeline) -> None:
    assert odd.prefix("weighted").names == (
        "merge.fixed_source",
        "merge.popular",
        "even_only",
        "fallback.fixed_source",
    )


def test_a_bare_source_stays_bare(toy: Dataset) -> None:
    pipeline = rk.Pipeline([FixedSource([1, 2]), EvenOnly()]).fit(toy)
    assert pipeline.without("even_only").names == ("fixed_source",)


def test_candidates_gives_the_batch_before_selection(odd: rk.Pipeline) -> None:
    batch = odd.candidates(odd.requests([None, "user-1"], k=2))
    assert batch.n_rows == 2 and (batch.item % 2 == 0).all() and np.isfinite(batch.score).any()


def test_a_pipeline_is_a_source_of_another(odd: rk.Pipeline, toy: Dataset) -> None:
    merge = candidates.Merge([Step(odd.as_source(), name="inner", limit=3), FixedSource([1])])
    outer = rk.Pipeline([merge]).fit(toy)
    answer = outer.recommend([None], now=toy.until)
    assert answer.codes(0).tolist() == [
        *odd.recommend([None], k=3).codes(0)[:1],
        1,
        *odd.recommend([None], k=3).codes(0)[1:],
    ]
    assert outer["merge.inner"].fitted_until_ == odd.fitted_until and "PipelineSource" in repr(
        outer["merge.inner"]
    )


def test_an_inner_pipeline_takes_a_session_once(knn: rk.Pipeline, toy: Dataset) -> None:
    outer = rk.Pipeline([knn.as_source(), rules.NotSeen()]).fit(toy)
    options: dict[str, Any] = {"session": [[101, 102], [103]], "now": toy.until, "k": 5}
    users = ["user-1", None]
    assert outer.recommend(users, **options).ids(1) == knn.recommend(users, **options).ids(1)


# -- live values ------------------------------------------------------------------------------------------------------


class Slips(EvenOnly):
    """A filter that changes the stock while the run is under way."""

    def __init__(self, stock: Live[Any]) -> None:
        self.stock = stock

    def keep(self, candidates: Candidates) -> Any:
        self.stock.set(np.zeros(41))
        return candidates.item > 0


def test_a_live_value_is_pinned_once_and_its_version_recorded(toy: Dataset) -> None:
    stock = Live(np.ones(41), name="stock")
    stages = [FixedSource([1, 2]), Slips(stock), rules.InStock(stock)]
    pipeline = rk.Pipeline(stages).fit(toy)
    first = pipeline.recommend([None], now=toy.until)
    assert first.codes(0).tolist() == [1, 2] and first.trace.versions == {"stock": 1}
    second = pipeline.recommend([None], now=toy.until)
    assert second.status.tolist() == [Status.EMPTY] and second.trace.versions == {"stock": 2}
    replayed = pipeline.run(first.trace.requests)
    assert same(replayed, first) and replayed.trace.versions == {"stock": 1}


def test_a_replay_with_a_session_is_the_same_run(full_lr: rk.Pipeline, market: Any) -> None:
    users = [*market.dataset.user_ids.ids[:3], None]
    items = market.dataset.item_ids.ids
    answer = full_lr.recommend(
        users,
        session=[[items[3]], None, [items[5], items[5]], [items[9]]],
        history=[[items[1]], None, None, None],
        exclude=[None, [items[0]], None, None],
        now=market.dataset.until,
        seed=5,
    )
    assert same(full_lr.run(answer.trace.requests), answer)


def test_a_composed_source_and_an_inner_pipeline_are_pinned_too(toy: Dataset) -> None:
    class Shown(FixedSource):
        def __init__(self, live: Live[Any]) -> None:
            self.live = live

        def retrieve(self, requests: Requests, limit: int) -> Any:
            return FixedSource(requests.read(self.live)).retrieve(requests, limit)

    deep, inner = Live([1], name="deep"), Live([2], name="inner")
    inside = rk.Pipeline([Shown(inner)]).fit(toy)
    sources = candidates.Merge([candidates.FirstOf([Shown(deep)]), inside.as_source()])
    pipeline = rk.Pipeline([sources]).fit(toy)
    answer = pipeline.recommend([None], now=toy.until)
    assert answer.trace.versions == {"deep": 1, "inner": 1} and answer.codes(0).tolist() == [1, 2]
    deep.set([3])
    inner.set([4])
    assert pipeline.recommend([None], now=toy.until).codes(0).tolist() == [3, 4]
    assert same(pipeline.run(answer.trace.requests), answer)


def test_live_values_need_names_of_their_own(toy: Dataset) -> None:
    filters = [rules.InStock(Live(np.ones(41))), Step(rules.InStock(Live(np.ones(41))), name="other")]
    with pytest.raises(ConfigurationError, match=r"two live values named 'live'.*hint"):
        rk.Pipeline([FixedSource([1]), *filters]).fit(toy)
    shared = Live(np.ones(41))
    rk.Pipeline([FixedSource([1]), rules.InStock(shared), Step(rules.InStock(shared), name="b")]).fit(toy)


# -- conditions, names, showing ---------------------------------------------------------------------------------------


def only_first(requests: Requests) -> Any:
    return np.arange(len(requests)) < 1


@pytest.mark.parametrize("when", ["vip", IsVip("vip")])
def test_rows_outside_a_condition_pass_untouched(toy: Dataset, when: Any) -> None:
    class Note:
        provides = ("note",)

        def annotate(self, candidates: Candidates) -> dict[str, Any]:
            return {"note": np.full(len(candidates), "vip", object)}

    class Price:
        names = ("price_copy",)

        def featurize(self, candidates: Candidates) -> Any:
            return candidates.item[:, None].astype(np.float32)

    stages = [
        candidates.Merge(
            [Step(FixedSource([2, 4, 6]), when=when), Step(FixedSource([2, 4, 5, 7]), name="all")]
        ),
        Step(EvenOnly(), when=when),
        Step(Price(), when=when),
        Step(rankers.Weighted({"price_copy": 1.0}), when=when),
        Step(rules.MaxPerGroup("category", 1, hard=True), when=when),
        Step(diversity.TopK(), when=when),
        Step(Note(), when=when),
    ]
    pipeline = rk.Pipeline(stages).fit(toy)
    answer = pipeline.recommend(
        [None] * 3, context={"vip": [True, False, True]}, k=4, now=toy.until, capture="full"
    )
    category = toy.schema.item_column("category")
    vip = answer.codes(0).tolist()
    assert answer.codes(1).tolist() == [2, 4, 5, 7] and answer.codes(2).tolist() == vip
    assert set(vip) <= {2, 4, 6} and len(set(category[vip].tolist())) == len(vip)
    assert answer.columns["note"][answer.offsets[1] : answer.offsets[2]].tolist() == [None] * 4
    assert answer.columns["note"][0] == "vip" and answer.status.tolist() == [Status.OK] * 3
    assert (
        answer.trace.of("merge.fixed_source")[0].n_rows == 2 and answer.trace.of("even_only")[0].n_rows == 2
    )
    nobody = pipeline.recommend([None], context={"vip": [False]}, k=4, now=toy.until)
    assert nobody.codes(0).tolist() == [2, 4, 5, 7]


def test_a_condition_may_read_what_a_hydrator_adds(toy: Dataset) -> None:
    from recokit.data.requests import Hydrated

    class Segment:
        provides = ("vip",)

        def hydrate(self, requests: Requests) -> Hydrated:
            return Hydrated(columns={"vip": requests.user > 2})

    pipeline = rk.Pipeline([Segment(), FixedSource([1, 2]), Step(EvenOnly(), when="vip")]).fit(toy)
    answer = pipeline.recommend(toy.user_ids.decode([2, 3]), now=toy.until)
    assert [answer.codes(row).tolist() for row in range(2)] == [[1, 2], [2]]
    gated = rk.Pipeline(
        [Step(Segment(), when=only_first), FixedSource([1, 2]), Step(EvenOnly(), when="vip")]
    ).fit(toy)
    answer = gated.recommend(toy.user_ids.decode([3, 4]), now=toy.until)
    assert [answer.codes(row).tolist() for row in range(2)] == [[2], [1, 2]]


def test_names_are_paths_and_nested_merges_flatten(toy: Dataset) -> None:
    inner = candidates.Merge([candidates.History(), candidates.ItemKNN()])
    outer = candidates.Merge([inner, Step(candidates.Popular(), name="charts")])
    pipeline = rk.Pipeline(
        [outer, rules.NotOwned(), Step(rules.NotOwned(), name="again")], fallback=candidates.Popular()
    )
    assert pipeline.names == (
        "user_history",
        "merge.history",
        "merge.item_knn",
        "merge.charts",
        "not_owned",
        "again",
        "fallback.popular",
    )
    with pytest.raises(ConfigurationError, match=r"two sources named 'popular'.*hint: Step"):
        candidates.Merge([candidates.Popular(), candidates.Merge([candidates.Popular(half_life="1D")])])


def test_it_shows_itself(odd: rk.Pipeline, toy: Dataset) -> None:
    html = odd._repr_html_()
    for name in odd.names:
        assert name in html
    assert "not fitted" in rk.Pipeline([Step(FixedSource([1]), when="vip")])._repr_html_()
    text = repr(odd)
    assert "EvenOnly" in text and "fallback=FixedSource([40])" in text
    assert "fallback" not in repr(rk.Pipeline([FixedSource([1])]))
    assert odd["even_only"].remainder == 0 and Step(EvenOnly(), name="x").path == "x"


def test_a_progress_bar_over_chunks(toy: Dataset, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline = rk.Pipeline([FixedSource([1])]).fit(toy)
    pipeline.recommend([None] * 600, now=toy.until, progress=True)
    assert "recommend" in capsys.readouterr().err
