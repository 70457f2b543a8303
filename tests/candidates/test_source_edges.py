"""Sources at the edges of their options, against numbers worked out by hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recokit.candidates import (
    Content,
    CoOccurrence,
    Editorial,
    Explore,
    History,
    ItemKNN,
    Popular,
    Repurchase,
    Transitions,
    Trending,
)
from recokit.candidates.dimension import customary_dimension
from recokit.data import DAY, Dataset, Ragged, Requests, Retrieved


def asks(
    *histories: list[int], now: float = 0.0, exclude: list[int] | None = None, **columns: Any
) -> Requests:
    history = Ragged.from_lists(list(histories))
    history = Ragged(history.offsets, history.values, {name: np.array(of) for name, of in columns.items()})
    ragged = {"history": history}
    if exclude is not None:
        ragged["exclude"] = Ragged.from_lists([exclude] * len(histories))
    return Requests.build(np.zeros(len(histories), np.int64), now=now, seed=1, ragged=ragged)


def scores(found: Retrieved) -> dict[int, float]:
    return dict(zip(found.item.tolist(), found.score.astype(float).round(4).tolist(), strict=True))


def events(*log: tuple[int, int, float]) -> Dataset:
    user, item, when = zip(*log, strict=True)
    return Dataset.from_frame({"user": user, "item": item, "timestamp": np.array(when, float)})


#: Three users of two items each: what goes with 1, 2 and 3 is 4, 5 and 6.
PAIRS = events((1, 1, 0), (1, 4, 1), (2, 2, 0), (2, 5, 1), (3, 3, 0), (3, 6, 1))


def test_as_many_events_of_a_user_count_as_max_history_says() -> None:
    knn = ItemKNN(max_history=2).fit(PAIRS)
    assert set(scores(knn.retrieve(asks([1, 2, 3]), 9))) == {5, 6}


def test_a_missing_weight_is_one_and_a_later_event_does_not_grow() -> None:
    knn = ItemKNN(half_life="1D").fit(PAIRS)
    plain = scores(knn.retrieve(asks([1]), 9))
    assert scores(knn.retrieve(asks([1], weight=[np.nan]), 9)) == plain
    assert scores(knn.retrieve(asks([1], weight=[3.0]), 9))[4] == pytest.approx(3 * plain[4], rel=1e-3)
    assert scores(History(half_life="1D").retrieve(asks([1], now=0.0, timestamp=[5 * DAY]), 9)) == {1: 1.0}
    both = asks([1, 2], now=9 * DAY, timestamp=[0.0, 2 * DAY])
    assert scores(History(half_life="1D").retrieve(both, 9)) == {1: 0.25, 2: 1.0}


def test_a_window_holds_the_event_at_its_start() -> None:
    data = events((1, 1, 0), (1, 2, 1 * DAY), (1, 3, 2 * DAY))
    found = scores(Popular(half_life=None, window="1D").fit(data).retrieve(asks([]), 9))
    assert found == {2: 1.0, 3: 1.0, 1: 0.0}


def test_trending_windows_meet_without_overlap() -> None:
    log = [(1, 1, 3 * DAY), (1, 2, 2 * DAY), (1, 3, 1 * DAY), (2, 3, 3 * DAY)]
    log += [(1, 4, 3 * DAY), (2, 4, 3 * DAY), (3, 4, 2 * DAY)]
    requests = asks([])
    found = scores(Trending(window="1D").fit(events(*log)).retrieve(requests, 9))
    assert found == {1: 0.7071, 3: 0.7071, 4: 0.5}  # 2 had its event a window ago, 3 also one before both
    assert scores(Trending(window="1D", smoothing=3.0).fit(events(*log)).retrieve(requests, 9))[1] == 0.5


def test_repurchase_from_the_earliest_moment_on() -> None:
    source = Repurchase(earliest=0.5).fit(events((9, 1, 0), (9, 1, DAY)))
    bought = {"timestamp": [0.0, 10 * DAY]}
    assert scores(source.retrieve(asks([1, 1], now=15 * DAY, **bought), 9)) == {1: 0.375}
    assert scores(source.retrieve(asks([1, 1], now=14.9 * DAY, **bought), 9)) == {}
    assert scores(source.retrieve(asks([1, 1], now=30 * DAY, **bought), 9)) == {1: 0.375}


@pytest.mark.parametrize(("strength", "days"), [(1.0, 8 / 3), (2.0, 3.0)])
def test_the_cadence_of_an_item_is_drawn_towards_that_of_all(strength: float, days: float) -> None:
    data = events((1, 1, 0), (1, 1, 2 * DAY), (1, 1, 4 * DAY), (1, 2, 0), (1, 2, 8 * DAY))
    cadence = Repurchase(strength=strength).fit(data).cadence_
    assert cadence[:2].tolist() == pytest.approx([4 * DAY, days * DAY])


def test_purchases_at_one_moment_are_one() -> None:
    assert Repurchase().fit(events((1, 1, 0), (1, 1, 0), (1, 1, 6 * DAY))).cadence_[0] == 6 * DAY


@pytest.mark.parametrize(("now", "served"), [(9.5, False), (10.0, True), (19.5, True), (20.0, False)])
def test_an_editorial_list_is_valid_from_its_start_until_before_its_end(now: float, served: bool) -> None:
    picks = Editorial([1, 4], start=10.0, end=20.0).fit(PAIRS)
    codes = PAIRS.item_ids.encode([1, 4]).tolist()
    found = scores(picks.retrieve(asks([], now=now), 9))
    assert found == (dict(zip(codes, [1.0, 0.5], strict=True)) if served else {})


def test_explore_draws_among_those_with_at_most_so_many_events() -> None:
    data = events((1, 1, 0), (2, 1, 0), (1, 2, 0), (1, 3, 0), (2, 3, 1), (3, 3, 1), (3, 4, 2))
    source = Explore(max_events=1).fit(data)
    assert source.eligible_.tolist() == [False, False, True, False, True]
    assert scores(source.retrieve(asks([]), 9)) == {2: 1.0, 4: 1.0}
    assert list(scores(source.retrieve(asks([]), 1)).values()) == [0.5]
    assert scores(source.retrieve(asks([], exclude=[2, 1]), 1)) == {4: 1.0}


def test_a_pause_as_long_as_the_gap_is_within_a_session() -> None:
    data = events((1, 1, 0), (1, 2, 1800), (1, 3, 3601), (2, 1, 0), (2, 2, 60), (3, 1, 0))
    together = CoOccurrence(normalization="none").fit(data)
    assert scores(together.similar(np.array([1]), 9)) == {2: 2.0}
    assert scores(CoOccurrence(normalization="none", min_count=2).fit(data).similar(np.array([1]), 9)) == {
        2: 2.0
    }
    assert scores(CoOccurrence(min_count=2.5).fit(data).similar(np.array([1]), 9)) == {}
    assert scores(CoOccurrence(normalization="cosine").fit(data).similar(np.array([1]), 9)) == {
        2: round(2 / np.sqrt(3 * 2), 4)
    }
    assert scores(CoOccurrence(normalization="lift").fit(data).similar(np.array([1]), 9)) == {2: 0.3333}


def test_transitions_within_the_gap_weigh_by_place() -> None:
    data = events((1, 1, 0), (1, 3, 60), (2, 2, 0), (2, 4, 10), (3, 3, 0), (3, 5, 61))
    chain = Transitions(gap="60s").fit(data)
    assert scores(chain.retrieve(asks([1, 2]), 9)) == {4: 1.0, 3: 0.5}
    assert scores(chain.retrieve(asks([3]), 9)) == {}


def test_the_weights_of_labels_are_those_of_their_scores() -> None:
    items = {"item_id": [1, 2, 3, 4], "a": ["x", "x", "y", "y"], "b": ["p", "q", "p", "q"]}
    content = Content(weights={"a": 4.0}).fit(Dataset.from_frame(None, items=items))
    found = scores(content.retrieve(asks([1], exclude=[1]), 9))
    assert list(found) == [2, 3]
    assert found[2] == pytest.approx(4 * found[3], rel=1e-3)


def test_customary_dimensions_change_at_the_sizes_said() -> None:
    sizes = (99_999, 100_000, 10_000_000, 10_000_001)
    assert [customary_dimension(n) for n in sizes] == [64, 128, 128, 256]


def test_text_weighs_as_much_as_all_labels_together() -> None:
    words = np.array(["alpha", "alpha", "beta"], object)
    items = {"item_id": [1, 2, 3], "a": ["x", "y", "z"], "b": ["p", "q", "r"], "plot": words}
    data = Dataset.from_frame(None, items=items)
    content = Content(attributes=["a", "b"], text=["plot"]).fit(data)
    assert scores(content.retrieve(asks([1], exclude=[1]), 9)) == {2: 2.0}
