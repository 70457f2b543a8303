import numpy as np
import pytest

from recokit.data import Candidates, Requests
from recokit.errors import ConfigurationError
from recokit.trace import Location, StageEvent, Status, Trace

SOURCES = ("popular", "knn")


def batch(lists, scores=None):
    """Return captured candidates: popular finds even items, knn multiples of three, at rank item."""
    part = Candidates.from_lists(lists, scores=scores)
    by_popular, by_knn = part.item % 2 == 0, part.item % 3 == 0
    columns = {"popular_rank": np.where(by_popular, part.item, np.nan).astype(np.float32)}
    columns["knn_rank"] = np.where(by_knn, part.item, np.nan).astype(np.float32)
    bits = by_popular.astype(np.uint64) + 2 * by_knn.astype(np.uint64)
    return Candidates(part.requests, part.offsets, part.row, part.item, part.score, bits, SOURCES, columns)


def event(name, role, before=None, after=None, **more):
    n_in, n_out = len(before) if before else 0, len(after) if after else 0
    return StageEvent(name, role, 0.0, 0.001, n_in, n_out, 1, before=before, after=after, **more)


def trace(events, selected, **more):
    n = selected.n_rows
    parts = {
        "requests": Requests.build(np.arange(1, n + 1)),
        "events": tuple(events),
        "status": np.zeros(n, np.int64),
        "reasons": ((),) * n,
        "seconds": 0.0123,
        "budget": np.inf,
        "overruns": {},
        "versions": {},
        "fingerprint": "f",
        "selected": selected,
    }
    return Trace(**(parts | more))


@pytest.fixture
def run():
    """Two rows; row 0 goes the whole way: two fused filters, a score, a selection."""
    found = batch([[2, 3, 4, 6, 8, 9], [2]])
    stock = np.array([0, 1, 1, 1, 1, 0, 1], np.bool_)
    seen = np.array([0, 0, 1, 1, 1, 1, 1], np.bool_)
    filtered = found.compress(stock & seen)
    kept_by = {"in_stock": stock, "not_owned": seen}
    scored = filtered.with_score(np.float32([0.1, 0.9, np.nan, 0.5]))
    selected = scored.take(np.array([0, 1, 2]), np.array([1, 3]))
    return trace(
        [
            event("merge", "source", None, found),
            event("in_stock", "filter", found, filtered, kept=stock, detail={"kept_by": kept_by}),
            event("not_owned", "filter", found, filtered, kept=seen, detail={"kept_by": kept_by}),
            event("weighted", "scorer", filtered, scored),
            event("mmr", "selection", scored, selected),
        ],
        selected,
    )


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        (5, Location("not retrieved", "", {})),
        (2, Location("removed", "in_stock and not_owned", {"popular": 2})),
        (3, Location("removed", "not_owned", {"knn": 3})),
        (9, Location("removed", "in_stock", {"knn": 9})),
        (4, Location("not selected", "mmr", {"popular": 4}, rank=2)),
        (8, Location("not selected", "mmr", {"popular": 8}, rank=3)),
        (6, Location("shown", "mmr", {"popular": 6, "knn": 6}, rank=1, position=1)),
    ],
)
def test_locate(run, item, expected):
    assert run.locate(0, item) == expected


def test_locate_looks_at_its_own_row(run):
    assert run.locate(1, 2).fate == "shown"
    assert run.locate(1, 6).fate == "not retrieved"


def test_locate_reads_as_a_sentence(run):
    assert str(run.locate(0, 5)) == "never retrieved"
    assert str(run.locate(0, 2)) == "retrieved by popular at rank 2, removed by in_stock and not_owned"
    assert str(run.locate(0, 4)) == "retrieved by popular at rank 4, ranked 2 by score, not selected by mmr"
    expected = "retrieved by popular at rank 6, knn at rank 6, ranked 1 by score, shown at position 1"
    assert str(run.locate(0, 6)) == expected


def test_ties_rank_in_the_order_of_the_list():
    pool = batch([[2, 4, 6]], scores=[[0.5, 0.5, 0.7]])
    run = trace([event("merge", "source", None, pool), event("selection", "selection", pool, pool)], pool)
    assert [run.locate(0, item).rank for item in (2, 4, 6)] == [2, 3, 1]


def test_an_item_left_out_and_taken_up_by_back_fill_was_shown():
    pool = batch([[2, 4]], scores=[[2.0, 1.0]])
    first, second = batch([[2]]), batch([[4]])
    nothing = batch([[]])
    run = trace(
        [
            event("merge", "source", None, pool),
            event("selection", "selection", pool, first),
            event("disclosed", "filter", first, nothing),
            event("selection", "selection", batch([[4]], scores=[[1.0]]), second),
        ],
        second,
    )
    assert run.locate(0, 4) == Location("shown", "selection", {"popular": 4}, rank=2, position=1)
    assert run.locate(0, 2) == Location("removed", "disclosed", {"popular": 2}, rank=1)
    assert [e.n_out for e in run.of("selection")] == [1, 1]


def test_an_item_removed_and_brought_back_by_the_fallback_was_shown():
    found, filtered, refilled = batch([[2, 3]]), batch([[3]]), batch([[3, 2]])
    run = trace(
        [
            event("merge", "source", None, found),
            event("in_stock", "filter", found, filtered),
            event("fallback.popular", "source", filtered, refilled),
            event("selection", "selection", refilled, refilled),
        ],
        refilled,
    )
    assert run.locate(0, 2).fate == "shown"
    assert run.locate(0, 2).position == 2


def test_an_item_present_to_the_end_but_not_in_the_list_was_not_selected():
    found = batch([[2, 4]])
    run = trace([event("merge", "source", None, found)], batch([[2]]))
    assert run.locate(0, 4) == Location("not selected", "merge", {"popular": 4})


def test_a_failed_filter_is_named_with_its_error():
    found, nothing = batch([[2], [4]]), batch([[], [4]])
    kept = np.array([False, True])
    detail = {"kept_by": {"policy": kept, "in_stock": np.array([True, True])}}
    run = trace(
        [
            event("merge", "source", None, found),
            event(
                "policy",
                "filter",
                found,
                nothing,
                error="KeyError: 'age'",
                failed_rows=np.array([0]),
                detail=detail,
            ),
            event("in_stock", "filter", found, nothing, detail=detail),
        ],
        nothing,
    )
    assert run.locate(0, 2).error == "KeyError: 'age'"
    assert str(run.locate(0, 2)).endswith("removed by policy, which failed: KeyError: 'age'")
    assert run.locate(1, 4).fate == "shown"


def test_sources_without_a_rank_are_named():
    found = Candidates.from_lists([[7]])
    found = Candidates(
        found.requests, found.offsets, found.row, found.item, found.score, np.ones(1, np.uint64), ("ann",)
    )
    run = trace([event("merge", "source", None, found)], found)
    assert run.locate(0, 7).sources == {"ann": 0}
    assert "retrieved by ann, " in str(run.locate(0, 7))
    bare = trace(
        [event("pins", "selection", None, Candidates.from_lists([[7]]))], Candidates.from_lists([[7]])
    )
    assert str(bare.locate(0, 7)) == "added without a source, shown at position 1"


def test_locate_needs_a_captured_run(run):
    bare = trace([StageEvent("merge", "source", 0, 0, 0, 3, 1)], run.selected)
    with pytest.raises(ConfigurationError, match="capture='full'"):
        bare.locate(0, 2)
    with pytest.raises(IndexError, match="found row 2; expected 0 to 1"):
        run.locate(2, 2)


def test_funnel_and_table(run):
    funnel = run.funnel()
    assert [record["name"] for record in funnel] == ["merge", "in_stock", "not_owned", "weighted", "mmr"]
    assert funnel[4]["removed"] == 2
    assert funnel[0] == {
        "name": "merge",
        "role": "source",
        "n_in": 0,
        "n_out": 7,
        "removed": 0,
        "ms": 1.0,
        "error": "",
        "skipped": "",
    }
    lines = str(run).splitlines()
    assert lines[0] == "2 requests in 12.3 ms: 2 OK"
    assert lines[1].split() == ["stage", "role", "in", "out", "removed", "ms", "trouble"]
    assert lines[-1].split() == ["mmr", "selection", "4", "2", "2", "1.0"]
    assert repr(run) == "Trace(2 requests, 5 events, 12.3 ms)"


def test_trouble_is_told():
    selected = batch([[2]] * 8)
    run = trace(
        [
            event("merge", "source", None, selected, error="<boom>"),
            event("boost", "scorer", skipped="no time left"),
        ],
        selected,
        status=np.full(8, Status.DEGRADED),
        reasons=(("merge: <boom>", "late"),) * 8,
        overruns={"ranking": 0.02},
        budget=0.1,
    )
    text = str(run)
    assert "8 requests in 12.3 ms of 100 ms: 8 DEGRADED" in text
    assert "skipped: no time left" in text
    assert "overrun: ranking took 20.0 ms" in text
    assert "row 0 DEGRADED: merge: <boom>; late" in text
    assert "and 3 more rows" in text
    html = run._repr_html_()
    assert "&lt;boom&gt;" in html
    assert "<boom>" not in html


def test_an_event_that_added_items_removed_none():
    assert StageEvent("s", "source", 0, 0, 0, 5, 1).removed == 0
