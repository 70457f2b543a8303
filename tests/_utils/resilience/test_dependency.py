"""Dependency: bulkhead, breaker and second calls together; Hedge: when and how many."""

import pickle
import threading
import time

import pytest

from recokit._utils.resilience.breaker import Breaker
from recokit._utils.resilience.bulkhead import Bulkhead
from recokit._utils.resilience.dependency import Dependency
from recokit._utils.resilience.hedge import Hedge
from recokit.errors import SourceTimeout


def fails() -> None:
    raise LookupError("gone")


def test_calls_that_fail_open_the_breaker_and_then_nothing_is_asked() -> None:
    asked: list[int] = []
    dependency = Dependency(breaker=Breaker(window=3, least=3, pause=60.0))
    for _ in range(3):
        with pytest.raises(LookupError):
            dependency.start("stock", fails)(5.0)
    with pytest.raises(SourceTimeout, match="found stock failing or slow, not asked for 60 s") as refused:
        dependency.start("stock", lambda: asked.append(1), "filter")
    assert refused.value.role == "filter" and not asked


def test_calls_that_hang_open_it_too() -> None:
    release = threading.Event()
    dependency = Dependency(Bulkhead(8), Breaker(window=2, least=2))
    for _ in range(2):
        with pytest.raises(SourceTimeout, match="no answer"):
            dependency.start("stock", lambda: release.wait(30))(0.01)
    assert dependency.breaker.state == "open"
    release.set()


def test_calls_that_are_refused_a_place_say_nothing_of_who_would_be_asked() -> None:
    release, now = threading.Event(), [0.0]
    dependency = Dependency(Bulkhead(4), Breaker(window=8, least=4, clock=lambda: now[0]))
    for _ in range(4):
        with pytest.raises(SourceTimeout, match="no answer"):
            dependency.start("stock", lambda: release.wait(30))(0.001)
    assert dependency.breaker.state == "open"
    now[0] = 1.5
    for _ in range(3):  # the trial finds no place: it is neither lost nor failed
        with pytest.raises(SourceTimeout, match="still hanging"):
            dependency.start("stock", lambda: 1)
    release.set()
    while dependency.bulkhead.hanging:
        time.sleep(0.001)
    assert dependency.start("stock", lambda: 1)(30.0) == 1
    assert dependency.breaker.state == "closed"


def test_what_hangs_now_and_then_is_asked_on() -> None:
    release = threading.Event()
    dependency = Dependency()
    answers = 0
    for n in range(200):
        if n % 10 == 3:
            with pytest.raises(SourceTimeout, match="no answer"):
                dependency.start("stock", lambda: release.wait(60))(0.005)
        else:
            answers += dependency.start("stock", lambda: 1)(30.0)
    assert (answers, dependency.bulkhead.hanging) == (180, 20)
    release.set()


def learned(share: float = 0.05, seconds: float = 0.01) -> Hedge:
    hedge = Hedge(share)
    for _ in range(100):
        hedge.took(seconds)
    return hedge


def test_a_slow_call_is_made_again_and_the_first_answer_counts() -> None:
    release, calls = threading.Event(), []
    dependency = Dependency(hedge=learned())

    def ask() -> int:
        calls.append(len(calls))
        if len(calls) == 1:
            release.wait(30)
        return len(calls)

    assert dependency.start("store", ask)(20.0) == 2
    assert len(calls) == 2
    release.set()


def test_quick_calls_are_made_once() -> None:
    calls: list[int] = []
    dependency = Dependency(hedge=learned(seconds=20.0))
    for _ in range(10):
        dependency.start("store", lambda: calls.append(1))(20.0)
    assert len(calls) == 10


def test_both_calls_are_given_up_together() -> None:
    release = threading.Event()
    dependency = Dependency(hedge=learned())
    started = time.monotonic()
    with pytest.raises(SourceTimeout, match="no answer from store after 60 ms"):
        dependency.start("store", lambda: release.wait(30))(0.06)
    assert time.monotonic() - started >= 0.05
    assert dependency.bulkhead.hanging == 2
    release.set()


def test_at_most_five_calls_in_a_hundred_are_made_again() -> None:
    hedge = learned()
    assert sum(hedge.allows() for _ in range(50)) == 5  # what a hundred calls saved up, and no more
    for _ in range(19):
        hedge.took(0.01)
    assert not hedge.allows()
    hedge.took(0.01)
    assert hedge.allows() and not hedge.allows()


def test_a_call_is_slow_after_the_95th_percentile() -> None:
    hedge = Hedge()
    for place in range(100):
        hedge.took(place / 100)
    assert hedge.after() == 0.95


def test_too_few_calls_say_nothing() -> None:
    hedge = Hedge(least=3)
    hedge.took(1.0)
    hedge.took(1.0)
    assert hedge.after() == float("inf")
    hedge.took(1.0)
    assert hedge.after() == 1.0


def test_a_copy_in_another_process_has_its_options() -> None:
    copied = pickle.loads(pickle.dumps(Hedge(0.5, quantile=0.5, least=1)))
    copied.took(2.0)
    assert (copied.share, copied.after()) == (0.5, 2.0)
