"""AnnIndex: filters, changes between rebuilds, recall, health, typed errors, and what a run sees."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from recokit.candidates import AnnIndex
from recokit.candidates.ann._base import Visible, scan
from recokit.data import Dataset, Live, Ragged, Requests, Retrieved, from_state, to_state
from recokit.errors import ConfigurationError, ContractError, DataError, NotFittedError

N, D = 3000, 16
RNG = np.random.default_rng(0)
CENTERS = RNG.normal(size=(30, D))
VECTORS = np.vstack([np.zeros(D), CENTERS[RNG.integers(0, 30, N)] + 0.3 * RNG.normal(size=(N, D))]).astype(
    np.float32
)
QUERIES = (CENTERS[RNG.integers(0, 30, 40)] + 0.3 * RNG.normal(size=(40, D))).astype(np.float32)
DATA = Dataset.from_frame(None, items={"item_id": np.arange(1, N + 1)})
KINDS = ["exact", "ivf", "pq", "hnsw"]


def lists(found: Retrieved) -> list[list[int]]:
    return [found.item[a:b].tolist() for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True)]


def truth(vectors: np.ndarray, k: int, allowed: np.ndarray | None = None) -> list[list[int]]:
    score = QUERIES @ vectors.T
    score[:, 0] = -np.inf
    if allowed is not None:
        score[:, ~allowed] = -np.inf
    return np.argsort(-score, axis=1, kind="stable")[:, :k].tolist()


def recall(found: Retrieved, want: list[list[int]]) -> float:
    return float(np.mean([len(set(a) & set(b)) / len(b) for a, b in zip(lists(found), want, strict=True)]))


@pytest.fixture(scope="module", params=KINDS)
def index(request: pytest.FixtureRequest) -> AnnIndex:
    return AnnIndex(VECTORS, kind=request.param).fit(DATA)


def test_every_kind_finds_the_nearest(index: AnnIndex) -> None:
    found = index.search(QUERIES, 50)
    assert recall(found, truth(VECTORS, 50)) > (0.999 if index.kind == "exact" else 0.9)
    for a, b in zip(found.offsets[:-1], found.offsets[1:], strict=True):
        assert (np.diff(found.score[a:b]) <= 0).all()
    measured = index.measure_recall(QUERIES, k=50)
    assert measured.mean == pytest.approx(recall(found, truth(VECTORS, 50)), abs=0.01)


@pytest.mark.parametrize("share", [0.01, 0.2])
def test_a_filter_still_fills_the_list_with_the_right_items(index: AnnIndex, share: float) -> None:
    allowed = np.random.default_rng(1).random(N + 1) < share
    found = index.search(QUERIES, 20, allowed=allowed)
    assert np.diff(found.offsets).tolist() == [20] * len(QUERIES)
    assert allowed[found.item].all()
    assert recall(found, truth(VECTORS, 20, allowed)) > 0.9


def test_rows_have_filters_and_exclusions_of_their_own(index: AnnIndex) -> None:
    want = truth(VECTORS, 30)
    exclude = Ragged.from_lists([row[:10] for row in want])
    found = index.search(QUERIES, 20, exclude=exclude)
    assert np.diff(found.offsets).tolist() == [20] * len(QUERIES)
    for row, out in zip(lists(found), want, strict=True):
        assert not set(row) & set(out[:10])
    own = index.search(QUERIES, 5, allowed=Ragged.from_lists([row[3:6] for row in want]))
    assert [sorted(row) for row in lists(own)] == [sorted(row[3:6]) for row in want]


def test_changes_are_seen_at_once_and_a_rebuild_keeps_them(index: AnnIndex) -> None:
    changed = AnnIndex(VECTORS, kind=index.kind).fit(DATA)
    gone = np.unique([row[0] for row in truth(VECTORS, 1)])
    changed.delete(gone, at=10.0)
    assert not np.isin(changed.search(QUERIES, 50).item, gone).any()
    moved = np.array([5, 6], np.int64)
    vectors = VECTORS.copy()
    vectors[moved] = 10 * QUERIES[:2]
    changed.upsert(moved, vectors[moved], at=20.0)
    assert lists(changed.search(QUERIES[:2], 1)) == [[5], [6]]
    before = changed.health(now=100.0)
    assert before.since_change == 80.0
    assert before.missing == pytest.approx(len(set(gone) - {5, 6}) / N)
    assert before.n_changed == len(set(gone) | {5, 6})
    allowed = np.ones(N + 1, np.bool_)
    allowed[np.setdiff1d(gone, moved)] = False
    want = truth(vectors, 20, allowed)
    assert recall(changed.search(QUERIES, 20), want) > 0.9
    changed.rebuild(until=50.0)
    after = changed.health(now=100.0)
    assert (after.n_changed, after.age, after.missing) == (0, 50.0, before.missing)
    assert recall(changed.search(QUERIES, 20), want) > 0.9


def test_health_has_its_old_name_for_one_release() -> None:
    index = AnnIndex(VECTORS).fit(DATA)
    with pytest.warns(DeprecationWarning, match=r"AnnIndex\.health"):
        old = index.freshness(5.0)
    assert repr(old) == repr(index.health(5.0))


def test_a_save_and_load_keeps_every_bit(index: AnnIndex) -> None:
    changed = AnnIndex(VECTORS, kind=index.kind).fit(DATA)
    changed.delete(np.array([7]))
    loaded = from_state(*to_state(changed))
    np.testing.assert_array_equal(loaded.search(QUERIES, 20).item, changed.search(QUERIES, 20).item)
    np.testing.assert_array_equal(loaded.search(QUERIES, 20).score, changed.search(QUERIES, 20).score)


def test_the_same_vectors_give_the_same_index(index: AnnIndex) -> None:
    again = AnnIndex(VECTORS, kind=index.kind).fit(DATA)
    np.testing.assert_array_equal(again.search(QUERIES, 20).item, index.search(QUERIES, 20).item)


def test_tuning_reaches_the_recall_wanted() -> None:
    index = AnnIndex(VECTORS, kind="ivf", n_probe=1).fit(DATA)
    poor = index.measure_recall(QUERIES, k=50)
    found = index.tune(0.99, QUERIES, k=50)
    assert found.mean >= 0.99 > poor.mean
    assert index.measure_recall(QUERIES, k=50).n_probe == found.n_probe
    assert AnnIndex(VECTORS, kind="ivf", recall=0.99).fit(DATA).measure_recall(256).mean >= 0.98


def test_lists_that_hold_too_little_are_not_made_up_for_by_comparing_everything(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    index = AnnIndex(VECTORS, kind="ivf", n_lists=100, n_probe=1).fit(DATA)
    scanned: list[int] = []
    monkeypatch.setattr("recokit.candidates.ann._snapshot.scan", lambda v, q, k, seen: scanned.append(len(v)))
    position, _ = index.live_.pin()[1]._search_base(
        QUERIES, 100, 0, index.live_.pin()[1].in_base, None, exact=False
    )
    assert (position > 0).all() and not scanned  # a list holds 30 items


def test_auto_chooses_by_size_and_memory() -> None:
    assert AnnIndex(VECTORS).fit(DATA).choice_.kind == "exact"
    many = np.vstack([np.zeros((1, 64)), RNG.normal(size=(50_100, 64))]).astype(np.float32)
    data = Dataset.from_frame(None, items={"item_id": np.arange(1, 50_101)})
    assert AnnIndex(many).fit(data).choice_.kind == "ivf"
    small = AnnIndex(many, memory=5_000_000).fit(data)
    assert small.choice_.kind == "pq" and "5,000,000 allowed" in small.choice_.reason


def test_a_refresh_under_load_is_seen_whole_or_not_at_all() -> None:
    index = AnnIndex(VECTORS, kind="ivf").fit(DATA)
    sets = [np.arange(1, 400), np.arange(400, 900)]
    stop = threading.Event()
    torn: list[Any] = []

    def serve() -> None:
        while not stop.is_set():
            requests = Requests.build(np.zeros(1, np.int64), ragged={"history": Ragged.from_lists([[1500]])})
            pinned = index.live_.pin()
            run = Requests(**{**vars(requests), "pinned": {id(index.live_): pinned}})
            one, other = index.retrieve(run, 50).item, index.retrieve(run, 50).item
            if one.tolist() != other.tolist():
                torn.append((one, other))

    threads = [threading.Thread(target=serve) for _ in range(2)]
    for thread in threads:
        thread.start()
    for _ in range(5):
        for items in sets:
            index.delete(items)
            index.upsert(items, VECTORS[items])
        index.rebuild()
    stop.set()
    for thread in threads:
        thread.join()
    assert not torn
    assert index.health(0.0).missing == 0


def test_filters_of_the_stage() -> None:
    requests = Requests.build(np.zeros(2, np.int64), ragged={"history": Ragged.from_lists([[9], [200]])})
    mask = np.arange(N + 1) % 2 == 1
    live = Live(mask, name="odd")
    for allowed in (mask, live, lambda requests: mask):
        found = AnnIndex(VECTORS, allowed=allowed).fit(DATA).retrieve(requests, 10)
        assert (found.item % 2 == 1).all() and len(found.item) == 20
    index = AnnIndex(VECTORS, allowed=live).fit(DATA)
    live.set(~mask)
    assert (index.retrieve(requests, 10).item % 2 == 0).all()
    one = AnnIndex(VECTORS, allowed=lambda requests: Ragged.from_lists([[3, 4], [8]])).fit(DATA)
    assert [sorted(row) for row in lists(one.retrieve(requests, 10))] == [[3, 4], [8]]
    with pytest.raises(ContractError, match="expected 2"):
        AnnIndex(VECTORS, allowed=lambda requests: Ragged.from_lists([[3]])).fit(DATA).retrieve(requests, 5)


def test_errors_come_typed_and_with_rows() -> None:
    index = AnnIndex(VECTORS, metric="cosine", name="near").fit(DATA)
    with pytest.raises(DataError, match="float64"):
        index.search(QUERIES.astype(np.float64), 5)
    with pytest.raises(DataError, match=r"width|16"):
        index.search(QUERIES[:, :3].copy(), 5)
    bad = QUERIES.copy()
    bad[3, 2] = np.nan
    with pytest.raises(DataError) as caught:
        index.search(bad, 5)
    assert caught.value.rows == (3,)
    bad[3] = 0.0
    with pytest.raises(DataError) as caught:
        index.search(bad, 5)
    assert caught.value.rows == (3,)
    before = index.search(QUERIES, 5).item
    for items, vectors in (
        ([5, 5], VECTORS[5:7]),
        ([0], VECTORS[:1]),
        ([N + 1], VECTORS[:1]),
        ([5], np.zeros((1, D), np.float32)),
        ([5], VECTORS[5:6, :3]),
    ):
        with pytest.raises(DataError):
            index.upsert(np.array(items), vectors)
    with pytest.raises(DataError, match="at least 0"):
        index.search(QUERIES, -1)
    np.testing.assert_array_equal(index.search(QUERIES, 5).item, before)
    broken = VECTORS.copy()
    broken[[4, 9]] = np.nan
    with pytest.raises(DataError) as caught:
        AnnIndex(broken).fit(DATA)
    assert caught.value.rows == (4, 9)
    there = AnnIndex(broken, missing="skip").fit(DATA)
    assert not np.isin(there.search(QUERIES, N).item, [4, 9]).any()
    assert there.health(0.0).missing == pytest.approx(2 / N)
    with pytest.raises(NotFittedError):
        AnnIndex(VECTORS).search(QUERIES, 5)


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "flat"},
        {"metric": "l2"},
        {"missing": "drop"},
        {"name": "a b"},
        {"n_lists": 5, "kind": "exact"},
        {"n_probe": 0, "kind": "ivf"},
        {"recall": 1.5},
        {"recall": 0.9, "kind": "exact"},
        {"memory": 100, "kind": "ivf"},
        {"allowed": 3},
    ],
)
def test_options_out_of_range(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        AnnIndex(VECTORS, **options)


def test_errors_do_not_depend_on_assertions() -> None:
    code = (
        "import numpy as np\nfrom recokit.candidates import AnnIndex\nfrom recokit.data import Dataset\n"
        "from recokit.errors import DataError\n"
        "index = AnnIndex(np.eye(4, dtype=np.float32)).fit(Dataset.from_frame(None, items={'item_id': [1, 2, 3]}))\n"
        "try:\n    index.search(np.full((1, 4), np.nan, np.float32), 2)\n"
        "except DataError as error:\n    print('refused', error.rows)\n"
    )
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-O", "-c", code], capture_output=True, text=True, cwd=root, check=True
    )
    assert done.stdout.split() == ["refused", "(0,)"]


@pytest.mark.parametrize("n_visible", [0, 2, 5])
def test_a_scan_says_where_there_are_no_more(n_visible: int) -> None:
    vectors = np.eye(5, 3, dtype=np.float32) + np.arange(5, dtype=np.float32)[:, None] / 10
    mask = np.arange(5) >= 5 - n_visible
    queries = np.array([[1.0, 2.0, 3.0], [-1.0, 0.0, 1.0]], np.float32)
    position, score = scan(vectors, queries, 4, Visible.of(mask))
    assert position.shape == score.shape == (2, 4)
    exact = queries @ vectors.T
    for row in range(2):
        best = sorted(np.flatnonzero(mask), key=lambda i: (-exact[row, i], i))[:4]
        assert position[row].tolist() == [*best, *[-1] * (4 - len(best))]
        np.testing.assert_allclose(score[row, : len(best)], exact[row, best], rtol=1e-5)
        assert (score[row, len(best) :] == -np.inf).all()
