"""recommend(query=...): words find items, conditions hold for every source, and nothing is read by halves."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, diversity, rules
from recokit.data.search import ItemConditions, SearchQuery
from recokit.text import ParseQuery

N = 60


@pytest.fixture(scope="module")
def data():
    colors, kinds = ["red", "blue", "green"], ["running shoes", "hat", "lamp", "mug"]
    items = {
        "item_id": list(range(1, N + 1)),
        "title": [f"{colors[i % 3]} {kinds[i % 4]} number {i}" for i in range(N)],
        "color": [colors[i % 3] for i in range(N)],
        "seller": ["acme" if i % 5 else "zest" for i in range(N)],
        "price": [float(i) for i in range(N)],
    }
    log = {
        "user_id": [i % 7 for i in range(N)],
        "item_id": list(range(1, N + 1)),
        "timestamp": list(range(N)),
    }
    return rk.Dataset.from_frame(log, items=items)


@pytest.fixture(scope="module")
def pipeline(data):
    stages = [
        ParseQuery(),
        candidates.Merge([candidates.Text(), candidates.Popular(half_life=None)]),
        rules.Asked(),
        rules.MaxPerGroup("seller", 3, hard=True),
    ]
    return rk.Pipeline(stages, fallback=candidates.Popular(half_life=None), validate=True).fit(data)


def prices(data, codes):
    return data.items.column("price")[codes]


def test_a_query_is_filters_and_search_and_limits_hold(pipeline, data):
    result = pipeline.recommend(query="red shoes below 40, not from zest", k=10, now=100)
    codes = result.codes(0)
    colors = data.items.labels("color").decode(data.items.column("color")[codes])
    sellers = data.items.labels("seller").decode(data.items.column("seller")[codes])
    assert set(colors) == {"red"}
    assert set(sellers) == {"acme"}
    assert (prices(data, codes) < 40).all()
    assert len(codes) == 3  # the seller's cap


def test_rows_with_and_without_queries_share_a_batch(pipeline):
    batch = pipeline.recommend([1, 2, 3], k=5, query=["blue hat", None, "green"], now=100)
    alone = [
        pipeline.recommend([1], k=5, query="blue hat", now=100),
        pipeline.recommend([2], k=5, now=100),
        pipeline.recommend([3], k=5, query="green", now=100),
    ]
    assert [batch.ids(row) for row in range(3)] == [one.ids(0) for one in alone]
    assert alone[1].reasons == ((),) or "query" not in alone[1].reasons[0]


def test_a_query_read_before_the_call_is_as_one_read_in_it(pipeline, data):
    text = "red shoes below 40"
    given = pipeline.recommend([1], k=5, query=ParseQuery(data.items)(text), now=100)
    assert given.ids(0) == pipeline.recommend([1], k=5, query=text, now=100).ids(0)
    other = SearchQuery(text, words="blue", where="item.color == 'blue'")
    both = pipeline.recommend([1, 1], k=3, query=[other, text], now=100)
    assert both.ids(1) == pipeline.recommend([1], k=3, query=text, now=100).ids(0)
    assert both.ids(0) == pipeline.recommend([1], k=3, query=other, now=100).ids(0)


def test_conditions_hold_inside_the_search_so_that_lists_stay_full(data):
    search = rk.Pipeline([ParseQuery(), candidates.Text(), rules.Asked()]).fit(data)
    plenty = search.recommend(query="shoes", k=15, now=100)
    assert len(plenty.ids(0)) == 15
    few = rk.Pipeline([ParseQuery(), rk.Step(candidates.Text(), limit=3), rules.Asked()]).fit(data)
    found = few.recommend(query="shoes over 40", k=3, now=100).codes(0)
    assert len(found) == 3
    assert (prices(data, found) > 40).all()


def test_a_query_of_conditions_alone_finds_what_meets_them(data):
    search = rk.Pipeline([ParseQuery(), candidates.Text(), rules.Asked()]).fit(data)
    assert search.recommend(query="at least 58", k=10, now=100).ids(0) == [59, 60]


def test_a_condition_that_cannot_be_read_fails_its_own_row_alone(pipeline):
    bad = SearchQuery("x", words="red", where="item.nope == 1")
    result = pipeline.recommend([1, 2], k=3, query=[bad, "red"], now=100)
    assert result.ids(0) == []
    assert len(result.ids(1)) == 3


@pytest.mark.parametrize("where", ["user.age > 1", "request.k > 1", "1 > 0", "item.price >", "x" * 2_000])
def test_a_request_may_not_ask_for_anything_but_items(data, where):
    with pytest.raises(rk.errors.DataError, match="condition"):
        ItemConditions(data.schema).mask(where)


def test_a_query_that_nobody_reads_is_refused(data):
    plain = rk.Pipeline([candidates.Popular()]).fit(data)
    with pytest.raises(rk.errors.ConfigurationError, match=r"candidates\.Text"):
        plain.recommend([1], query="red")
    lax = rk.Pipeline([ParseQuery(), candidates.Text()]).fit(data)
    with pytest.raises(rk.errors.ConfigurationError, match=r"rules\.Asked"):
        lax.recommend([1], query="red")


@pytest.mark.parametrize(("query", "match"), [(3, "text"), (["a", "b"], "2 queries"), ([3], "query 3")])
def test_queries_of_the_wrong_kind_are_refused(pipeline, query, match):
    with pytest.raises(rk.errors.DataError, match=match):
        pipeline.recommend([1], query=query)


def test_a_query_given_twice_is_refused(pipeline):
    with pytest.raises(rk.errors.DataError, match="beside query="):
        pipeline.recommend([1], query="red", context={"query": "blue"})


def test_bm25_is_that_of_a_loop(data):
    texts = ["", "red shoe shoe", "blue shoe", "red lamp in a red room"]
    vocabulary, weights = candidates.text.bm25(texts, k1=1.2, b=0.75)
    split = [text.split() for text in texts]
    filled = [words for words in split if words]
    mean = np.mean([len(words) for words in filled])
    for word in ("red", "shoe", "lamp"):
        having = sum(word in words for words in filled)
        idf = np.log(1 + (3 - having + 0.5) / (having + 0.5))
        for row, words in enumerate(split):
            tf = words.count(word)
            expected = idf * tf * 2.2 / (tf + 1.2 * (0.25 + 0.75 * len(words) / mean)) if tf else 0.0
            assert weights[vocabulary.encode([word])[0], row] == pytest.approx(expected, rel=1e-5)


def test_words_and_vectors_are_fused(data):
    def encode(texts):
        return np.array([[1.0, "lamp" in text, "mug" in text] for text in texts])

    source = candidates.Text(encoder=encode, min_similarity=0.9).fit(data)
    requests = rk.Requests.build(np.array([0]), columns={"query": np.array(["lamp"], object)})
    by_both = source.retrieve(requests, 5)
    words_only = candidates.Text().fit(data).retrieve(requests, 5)
    assert by_both.item.tolist() == words_only.item.tolist()
    assert by_both.score[0] == pytest.approx(2 / 61)
    assert (np.diff(by_both.score) <= 0).all()
    assert (
        source.retrieve(requests.with_columns({}).take(np.array([0])), 5).item.tolist()
        == by_both.item.tolist()
    )


def test_a_saved_pipeline_searches_as_before(pipeline, tmp_path):
    pipeline.save(tmp_path / "model")
    loaded = rk.Pipeline.load(tmp_path / "model")
    query = "red shoes below 40"
    assert loaded.recommend([1], query=query, now=100).ids(0) == pipeline.recommend(
        [1], query=query, now=100
    ).ids(0)


def test_diversity_and_search_go_together(data):
    stages = [ParseQuery(), candidates.Text(), rules.Asked(), diversity.MMR(0.5)]
    result = rk.Pipeline(stages).fit(data).recommend(query="shoes below 50", k=5, now=100)
    assert (prices(data, result.codes(0)) < 50).all()
