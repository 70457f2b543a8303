"""Forks: a model that served before a fork serves in the child, whatever OpenMP did before."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from recokit._utils import forks

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")

SERVER = """
import multiprocessing, os, signal, sys, threading, warnings
import numpy as np
import recokit as rk
from recokit import candidates, features, rankers

warnings.simplefilter("ignore")

def data():
    r = np.random.default_rng(0)
    n = 3_000
    log = {"user": r.integers(0, 300, n), "item": r.integers(0, 2_000, n), "timestamp": 1.6e9 + r.random(n) * 1e7}
    return rk.Dataset.from_frame(log)

def pipeline(kind):
    if kind in ("ivf", "pq", "hnsw"):
        vectors = np.random.default_rng(0).normal(size=(data().n_items + 1, 16)).astype(np.float32)
        return rk.Pipeline([candidates.AnnIndex(vectors, kind=kind)])
    if kind == "sasrec":
        return rk.Pipeline([candidates.SASRec(16, n_epochs=1, validation=None)])
    if kind == "twotower":
        return rk.Pipeline([candidates.TwoTower(16, n_epochs=1, validation=None)])
    stages = [candidates.Popular(), features.ItemActivity(windows=("7D",)), rankers.NeuralNet(n_epochs=1)]
    return rk.Pipeline(stages)

def lists(model):
    answer = model.recommend(list(range(64)), k=5, now=2e9)
    return [answer.ids(row) for row in range(64)]

def serve(path, expected):
    signal.alarm(60)
    model = rk.Pipeline.load(path) if isinstance(path, str) else path
    assert lists(model) == expected
    seen = []
    threads = [threading.Thread(target=lambda: seen.append(lists(model))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [expected] * 2, (len(seen), [(a, b) for one in seen for a, b in zip(one, expected) if a != b][:5])

def child(work):
    pid = os.fork()
    if not pid:
        try:
            work()
            os._exit(0)
        except BaseException:
            import traceback
            traceback.print_exc()
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0

if __name__ == "__main__":
    kind, way, path = sys.argv[1:]
    options = {"label_window": "20D"} if kind == "neural net" else {}
    pipeline(kind).fit(data(), **options).save(path)
    model = rk.Pipeline.load(path)
    expected = lists(model)
    if way == "os.fork":
        child(lambda: serve(model, expected))
        child(lambda: child(lambda: serve(model, expected)))  # a worker forks too
        child(lambda: pipeline(kind).fit(data(), **options))  # and learns
        assert lists(model) == expected  # the parent goes on
    elif way == "thread":  # the first request came in another thread
        thread = threading.Thread(target=lambda: child(lambda: serve(model, expected)))
        thread.start()
        thread.join()
    else:
        given = path if way == "spawn" else model
        worker = multiprocessing.get_context(way).Process(target=serve, args=(given, expected))
        worker.start()
        worker.join(100)
        assert worker.exitcode == 0, worker.exitcode
    print("served")
"""

WAYS = [("ivf", "os.fork"), ("sasrec", "fork"), ("ivf", "spawn")]
SLOW = [(kind, "os.fork") for kind in ("sasrec", "twotower", "pq", "hnsw", "neural net")]
SLOW += [("ivf", "fork"), ("sasrec", "spawn"), ("sasrec", "thread"), ("ivf", "thread")]


@pytest.mark.parametrize(
    ("kind", "way"), [*WAYS, *(pytest.param(*way, marks=pytest.mark.slow) for way in SLOW)]
)
def test_a_child_serves(kind: str, way: str, tmp_path: Path) -> None:
    pytest.importorskip("faiss" if kind in ("ivf", "pq", "hnsw") else "torch")
    script = tmp_path / "server.py"
    script.write_text(SERVER)
    done = subprocess.run(
        [sys.executable, str(script), kind, way, str(tmp_path / "model")],
        capture_output=True, text=True, check=False, timeout=240,
        env={**os.environ, "OMP_NUM_THREADS": "4", "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
    )  # fmt: skip
    assert done.stdout.strip() == "served", done.stderr[-3000:]


def test_a_pool_that_cannot_be_let_go_leaves_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Old:
        def __init__(self, path: str) -> None:
            self.path = path

        def omp_set_num_threads(self, n: int) -> None:
            asked.append((self.path, n))

    monkeypatch.setattr("ctypes.CDLL", Old)
    monkeypatch.setattr(forks, "_openmp_libraries", lambda: iter(["/lib/libgomp.so.1"]))
    forks._let_go()
    forks._alone()
    assert asked == [("/lib/libgomp.so.1", 1)]
    monkeypatch.setattr(forks, "_HELD", [])


def test_a_process_is_prepared_once(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    monkeypatch.setattr(os, "register_at_fork", lambda **hooks: calls.append(hooks))
    monkeypatch.setattr(forks, "_prepared", False)
    forks.prepare_forks()
    forks.prepare_forks()
    assert len(calls) == 1
