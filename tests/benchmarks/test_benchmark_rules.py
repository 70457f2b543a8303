"""The rules benchmark in small: the pipeline and the loop by hand choose the same list."""

import pytest

from benchmarks.rules import Floor, build_pipeline, make_items, run


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_both_ways_choose_the_same(seed):
    items = make_items(600, seed)
    pipeline = build_pipeline(items)
    requests = pipeline.requests([1], k=20, now=1.7e9)
    answer = pipeline.run(requests)
    assert answer.ids(0) == Floor(items)()
    filters = [event for event in answer.trace.events if event.role == "filter"]
    assert len(filters) == 8 and all(event.removed for event in filters)
    assert len(pipeline.names) == 14  # a history, a source, eight filters, four limits


def test_it_measures():
    ours, bare = run(300, repeat=2)
    assert ours > 0 and bare > 0
