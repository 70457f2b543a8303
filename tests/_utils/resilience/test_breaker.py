"""Breaker: when it opens, how many try, and what closes it."""

import pickle
import threading

import pytest

from recokit._utils.resilience.breaker import Breaker


def outcomes(breaker: Breaker, kinds: str, now: float = 0.0) -> None:
    """Let calls through: w worked, f failed, s took two seconds."""
    for kind in kinds:
        permit = breaker.enter(now)
        assert permit is not None
        if kind == "f":
            permit.failed(now)
        else:
            permit.worked(now + (2.0 if kind == "s" else 0.0))


@pytest.mark.parametrize(
    ("kinds", "state"),
    [
        ("f" * 9, "closed"),  # fewer than are needed to judge
        ("f" * 10, "open"),
        ("w" * 6 + "f" * 5, "closed"),
        ("w" * 5 + "f" * 5, "open"),
        ("w" * 20 + "f" * 9, "closed"),  # of the last twenty
        ("w" * 20 + "f" * 10, "open"),
    ],
    ids=["nine", "ten", "five of eleven", "half", "nine of twenty", "ten of twenty"],
)
def test_it_opens_at_half_of_the_last_twenty_from_ten_calls_on(kinds: str, state: str) -> None:
    breaker = Breaker()
    outcomes(breaker, kinds)
    assert breaker.state == state


@pytest.mark.parametrize(
    ("kinds", "state"),
    [("sssw", "closed"), ("sssss", "open"), ("fssss", "open"), ("wssss", "open"), ("wwsss", "closed")],
    ids=["few", "all", "one failed", "four of five", "three of five"],
)
def test_slow_calls_open_it_too(kinds: str, state: str) -> None:
    breaker = Breaker(window=5, least=5, slow=0.8, slow_after=2.0)
    outcomes(breaker, kinds)
    assert breaker.state == state


def test_a_call_is_slow_from_the_limit_on() -> None:
    for limit, state in ((2.0, "open"), (2.01, "closed")):
        breaker = Breaker(window=1, least=1, slow_after=limit)
        outcomes(breaker, "s")
        assert breaker.state == state


def opened(trials: int = 1) -> Breaker:
    breaker = Breaker(window=2, least=2, pause=1.0, trials=trials)
    outcomes(breaker, "ff", now=10.0)
    return breaker


def test_nothing_is_asked_until_the_pause_is_over() -> None:
    breaker = opened()
    assert breaker.enter(10.0) is None and breaker.enter(10.999) is None
    assert breaker.enter(11.0) is not None


def test_exactly_so_many_calls_try_it() -> None:
    breaker = opened(trials=3)
    permits = [breaker.enter(11.0) for _ in range(5)]
    assert [permit is not None for permit in permits] == [True, True, True, False, False]
    assert breaker.state == "half-open"
    for permit in permits[:2]:
        permit.worked(11.1)  # type: ignore[union-attr]
    assert breaker.enter(11.2) is None  # the third is under way
    permits[2].worked(11.3)  # type: ignore[union-attr]
    assert breaker.state == "closed" and breaker.enter(11.3) is not None


def test_threads_get_no_more_trials_than_there_are() -> None:
    breaker, barrier = opened(trials=2), threading.Barrier(8)
    given: list[bool] = []

    def ask() -> None:
        barrier.wait()
        given.append(breaker.enter(11.0) is not None)

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(given) == 2


def test_a_trial_that_fails_opens_it_for_another_pause() -> None:
    breaker = opened()
    breaker.enter(11.0).failed(11.4)  # type: ignore[union-attr]
    assert breaker.enter(12.3) is None and breaker.enter(12.4) is not None


def test_a_trial_that_never_ends_counts_as_failed() -> None:
    breaker = opened()
    assert breaker.enter(11.5) is not None
    assert breaker.enter(12.4) is None
    assert breaker.enter(12.5) is None  # it is given up here
    assert breaker.enter(13.5) is not None


def test_it_forgets_when_it_closes() -> None:
    breaker = opened()
    breaker.enter(11.0).worked(11.0)  # type: ignore[union-attr]
    outcomes(breaker, "f", now=12.0)
    assert breaker.state == "closed"


def test_calls_from_before_say_nothing_about_a_trial() -> None:
    breaker = Breaker(window=2, least=2)
    late = breaker.enter(10.0)
    outcomes(breaker, "ff", now=10.0)
    trial = breaker.enter(11.0)
    late.failed(11.0)  # type: ignore[union-attr]
    assert breaker.state == "half-open"
    trial.worked(11.1)  # type: ignore[union-attr]
    assert breaker.state == "closed"


def test_a_clock_that_jumped_back_closes_it() -> None:
    breaker = opened()
    assert breaker.enter(5.0) is not None
    assert breaker.state == "closed"


def test_no_lock_is_held_during_a_call() -> None:
    breaker = Breaker()
    first = breaker.enter()
    done = threading.Thread(target=lambda: breaker.enter().worked())  # type: ignore[union-attr]
    done.start()
    done.join(5)
    assert not done.is_alive()
    first.worked()  # type: ignore[union-attr]


def test_its_clock_tells_the_time_where_nobody_does() -> None:
    now = [10.0]
    breaker = Breaker(window=1, least=1, pause=2.0, clock=lambda: now[0])
    breaker.enter().failed()  # type: ignore[union-attr]
    now[0] = 11.9
    assert breaker.enter() is None
    now[0] = 12.0
    assert breaker.enter() is not None


def test_a_copy_in_another_process_has_counted_nothing() -> None:
    breaker = pickle.loads(pickle.dumps(Breaker(window=3, least=1)))
    outcomes(breaker, "f")
    assert breaker.state == "open"
    assert pickle.loads(pickle.dumps(breaker)).state == "closed"
