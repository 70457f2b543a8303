"""The scans: a source's answers beside the baseline's, its vectors, and the weight of features in a ranker."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import recokit as rk
from recokit.data import Candidates, Ragged, Requests, Retrieved
from recokit.debugger.scan import (
    Probes,
    SourceScan,
    offered_in,
    probes_of,
    scan_rankers,
    scan_source,
    vectors_of,
)
from recokit.testing import make_candidates


class Lists:
    """A source that answers a history of one item with the list of that item."""

    requires: tuple[str, ...] = ("history",)
    fitted_until_ = 77.0

    def __init__(self, lists: Sequence[Sequence[int]]) -> None:
        self.lists, self.limits = lists, []  # type: ignore[var-annotated]

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        self.limits.append(limit)
        rows = [list(self.lists[item - 1])[:limit] for item in requests.lists("history").values]
        offsets = np.cumsum([0, *map(len, rows)])
        item = np.array([item for row in rows for item in row], np.int64)
        return Retrieved(offsets, item, np.zeros(len(item), np.float32))


def scan(here: Any, usual: Any, n: int = 4, **options: Any) -> SourceScan:
    return scan_source(here, usual, Probes(np.arange(1, n + 1), 100.0, **options))


def test_equal_sources_share_all_and_lose_nothing() -> None:
    lists = [range(10 * i, 10 * i + 30) for i in range(1, 5)]
    source = Lists(lists)
    found = scan(source, Lists(lists))
    assert (found.probes, found.answered, found.usual_answered) == (4, 1.0, 1.0)
    assert (found.shared, found.vanished, found.appeared, found.shared_of_rest) == (1.0, 0.0, 0.0, 1.0)
    assert found.lost == 0.0 and len(found.gone) == 0 and found.until == 77.0 and found.seconds > 0
    assert source.limits == [100]


def test_the_first_twenty_answers_are_compared_and_items_seen_twice_vanish() -> None:
    usual = [[*range(1, 20), 500, 700], [*range(1, 20), 500, 701], [*range(1, 19), 600, 20], [900]]
    here = [[*range(101, 120), 1], [*range(101, 120), 2], [*range(101, 119), 600, 20], []]
    found = scan(Lists(here), Lists(usual))
    # Of 61 answers that the baseline's has first, the three below are first here too.
    assert found.shared == pytest.approx(4 / 61)
    assert found.answered == 0.75 and found.usual_answered == 1.0
    # Often first there: 1 to 19, and 500; of them never here: 3 to 19 and 500. 600 was there only once.
    assert found.gone.tolist() == [*range(3, 20), 500] and found.vanished == 18 / 20
    assert found.appeared == 1.0
    # Of the answers 1 and 2 of the probes that have an answer: 1 for the first, 2 for the second.
    assert found.shared_of_rest == pytest.approx(2 / 6)


@pytest.mark.parametrize(
    ("vanished", "appeared", "lost"),
    [(0.0, 0.0, 0.0), (0.3, 0.0, 0.3), (0.3, 0.3, 0.0), (0.1, 0.3, 0.0), (0.6, 0.2, 0.5)],
)
def test_items_that_come_as_others_go_are_not_lost(vanished: float, appeared: float, lost: float) -> None:
    assert SourceScan(vanished=vanished, appeared=appeared).lost == pytest.approx(lost)


def test_a_source_that_needs_more_than_a_history_is_not_compared() -> None:
    class Fails(Lists):
        def retrieve(self, requests: Requests, limit: int) -> Retrieved:
            raise KeyError("context")

    alone = scan(Lists([[1]]), None, n=1)
    assert (alone.probes, alone.answered) == (1, 1.0) and np.isnan([alone.shared, alone.usual_answered]).all()
    assert scan(Fails([]), Lists([[1]]), n=1).probes == 0
    other = Lists([[1]])
    other.requires = ("cart",)
    assert scan(other, Lists([[1]]), n=1).probes == 0 and other.limits == []
    assert scan(SimpleNamespace(), None).until == np.inf


def test_a_baseline_of_other_codes_is_asked_and_read_in_its_own() -> None:
    codes = np.array([0, 9, 8, 7])  # here, by code there
    found = scan(
        Lists([[9, 8], [7]]), Lists([[], [3], [1, 2]]), n=2, codes=codes, usual_items=np.array([3, 2])
    )
    assert found.shared == 1.0


def test_vectors_are_described_without_the_unknown_item() -> None:
    rows = np.zeros((22, 2))
    rows[1:11] = [3.0, 4.0]
    rows[11:20] = [0.0, -2.0]
    rows[20] = [np.nan, 1.0]
    stage = SimpleNamespace(
        v_=rows, few_=rows[:20], flat_=rows.ravel(), codes_=np.ones((22, 2), np.int64), name="x"
    )
    (found,) = vectors_of(stage)
    assert found.name == "v_"
    assert (found.not_finite, found.empty) == (pytest.approx(1 / 21), pytest.approx(1 / 21))
    mean = (10 * np.array([0.6, 0.8]) + 9 * np.array([0.0, -1.0])) / 19
    assert found.alike == pytest.approx(np.linalg.norm(mean)) and found.norm == 5.0
    (nothing,) = vectors_of(SimpleNamespace(v_=np.zeros((21, 2))))
    assert (nothing.empty, nothing.alike, nothing.norm) == (1.0, 0.0, 0.0)


# -- rankers -------------------------------------------------------------------------------------------


class Linear:
    feature_names_ = ("a", "b")

    def __init__(self, *weight: float) -> None:
        self.weight = np.array(weight)

    def contributions(self, candidates: Candidates) -> np.ndarray:
        return self.weight * candidates.features[:, :2]


def ranked(batch: Candidates, *stages: tuple[str, Any], **parts: Any) -> Any:
    events = [
        SimpleNamespace(
            name=name,
            role=parts.get("role", "scorer"),
            before=batch,
            after=batch,
            error=parts.get("error", ""),
        )
        for name, _ in stages
    ]
    return SimpleNamespace(events=events, of=lambda name: [one for one in events if one.name == name])


def test_the_weight_of_features_is_their_share_in_the_best_five_of_each_row() -> None:
    batch = make_candidates(features=["a", "b"])
    mine, theirs = {"rank": Linear(1.0, -3.0)}, {"rank": Linear(2.0, 0.0)}
    trace = ranked(batch, *mine.items())
    found = scan_rankers(trace, mine, ranked(batch, *theirs.items()), theirs)["rank"]
    best = np.zeros(len(batch), np.bool_)
    for start, stop in zip(batch.offsets[:-1], batch.offsets[1:], strict=True):
        best[start + np.argsort(-batch.score[start:stop])[:5]] = True
    parts = np.nan_to_num(np.abs(batch.features[best] * [1.0, -3.0])).mean(axis=0)
    assert found.importance == pytest.approx({"a": parts[0] / parts.sum(), "b": parts[1] / parts.sum()})
    assert found.usual == {"a": 1.0, "b": 0.0}
    assert found.alike == pytest.approx(parts[0] / np.hypot(*parts))
    assert np.isnan(scan_rankers(trace, mine, None, {})["rank"].alike)
    assert scan_rankers(ranked(batch, *mine.items(), role="filter"), mine, None, {}) == {}
    assert scan_rankers(ranked(batch, *mine.items(), error="x"), mine, None, {})["rank"].importance == {}
    assert scan_rankers(trace, {"rank": object()}, None, {}) == {}


# -- probes --------------------------------------------------------------------------------------------


def test_probes_are_items_that_the_users_have_or_are_offered() -> None:
    history = Ragged(np.array([0, 3]), np.array([4, 0, 9]))
    requests = Requests.build(np.array([1]), ragged={"history": history})
    trace: Any = SimpleNamespace(requests=requests, events=[])
    random = np.random.default_rng(0)
    assert probes_of(trace, np.array([2, 4]), random, 9).tolist() == [2, 4, 9]
    some = probes_of(trace, np.array([2, 4]), random, 2)
    assert len(set(some.tolist())) == 2 and sorted(some) == some.tolist()
    assert offered_in(trace).tolist() == []
    batch = make_candidates()
    trace.events = [SimpleNamespace(role="source", after=None), SimpleNamespace(role="source", after=batch)]
    assert offered_in(trace) is batch.item


def test_a_scan_says_whether_there_was_one() -> None:
    scans = rk.debugger.Scan
    assert not scans() and scans({"one": SourceScan()}) and scans(rankers={"one": None})  # type: ignore[dict-item]
