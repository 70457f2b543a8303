"""Models that come and go under load, and services in forked workers."""

import gc
import os
import threading
import time
import warnings
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.serving import ListCache, Precomputed, Service

Serve = Callable[..., Service]


def model(data: rk.Dataset, days: int) -> rk.Pipeline:
    stages = [candidates.Popular(half_life=f"{days}D"), rules.NotOwned()]
    return rk.Pipeline(stages, clock=lambda: data.until).fit(data)


def test_swaps_under_load_lose_and_mix_nothing(data: rk.Dataset, serve: Serve) -> None:
    models = [model(data, days) for days in range(5, 15)]
    expected = {one.fingerprint: one.recommend(["user-3"], 5).ids(0) for one in models}
    service = serve(models[0], lists=ListCache())
    stop = threading.Event()

    def ask(seed: int) -> set[str]:
        seen = set()
        while not stop.is_set():
            answer = service.recommend_now("user-3", 5, seed=seed)
            assert answer.ids() == expected[answer.fingerprint]
            seen.add(answer.fingerprint)
        return seen

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, seed) for seed in range(4)]
        for one in models[1:]:
            time.sleep(0.05)
            service.swap(one)
        time.sleep(0.05)
        stop.set()
        seen = set().union(*(future.result() for future in asking))
    assert len(seen) > 5
    assert service.recommend_now("user-3", 5).fingerprint == models[-1].fingerprint


def test_an_old_model_is_let_go(data: rk.Dataset, serve: Serve) -> None:
    old = model(data, 5)
    service = serve(old, lists=ListCache())
    gone = weakref.ref(old._model)
    service.recommend_many(["user-1", "user-2"])
    service.swap(model(data, 6))
    service.models = None  # type: ignore[assignment]  # the service was given the pipeline itself
    service.recommend_many(["user-1", "user-2"])
    del old
    until = time.monotonic() + 20
    while gone() is not None and time.monotonic() < until:
        gc.collect()
        time.sleep(0.01)
    assert gone() is None


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_service_that_was_started_before_a_fork_answers_in_the_child(data: rk.Dataset) -> None:
    pipeline = model(data, 5)
    ahead = Precomputed(data.item_ids.ids.tolist())
    service = Service(pipeline, fallback=ahead, budget_ms=30_000, lists=ListCache()).start()
    expected = service.recommend_now("user-3", 5).ids()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        answers = [service.recommend_now(user, 5) for user in ("user-3", "user-4")]
        right = answers[0].ids() == expected and answers[1].source == "model"
        os._exit(0 if right else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert service.recommend_now("user-5", 5).source == "model"
    service.stop()


def test_what_it_keeps_does_not_grow_with_requests(data: rk.Dataset, serve: Serve) -> None:
    service = serve(model(data, 5), lists=ListCache(max_lists=20), budget_ms=5_000.0)
    for seed in range(300):
        service.recommend_now(f"user-{seed % 30}", 3, seed=seed, budget_ms=40_000.0)
    assert len(service.lists) == 20 and not service._flying  # type: ignore[arg-type]
    assert service.health()["waiting"] == 0


def test_times_of_answered_rows_are_let_go(
    data: rk.Dataset, serve: Serve, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recokit.serving.engine._ROOM", 10)
    service = serve(model(data, 5))
    for n in range(50):
        service.recommend_now(f"user-{n}", 3, budget_ms=1e7)
    assert len(service._keeper._times) <= 21
