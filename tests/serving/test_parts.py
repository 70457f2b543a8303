"""The parts of a service, each by itself: queue, pace, shedding, effort, lists. No clock but the test's."""

import sys
from typing import Any

import numpy as np
import pytest

from recokit.data import Candidates
from recokit.errors import ConfigurationError
from recokit.serving import ListCache, Quality, Shed, turns
from recokit.serving.admission import batch_seconds
from recokit.serving.ask import Ask
from recokit.serving.delivery import Nowhere
from recokit.serving.engine import Engine
from recokit.serving.fair_queue import FairQueue
from recokit.serving.pace import Pace


def ask(user: Any = None, *, caller: Any = "a", due: float = 1.0, **options: Any) -> Ask:
    lists = {
        name: options.pop(name) for name in ("items", "history", "session", "exclude") if name in options
    }
    given = {"k": 10, "context": {}, "now": None, "seed": 0, **options}
    return Ask(
        user, given["k"], lists, given["context"], given["now"], given["seed"], caller, 0.0, due, Nowhere()
    )


def queue_of(*asks: Ask) -> FairQueue:
    queue = FairQueue()
    for one in asks:
        queue.put(one)
    return queue


def users(batch: list[Ask]) -> list[Any]:
    return [one.user for one in batch]


# -- queue ---------------------------------------------------------------------------------------------


def test_rows_of_one_caller_keep_their_order() -> None:
    queue = queue_of(*(ask(n) for n in range(5)))
    assert users(queue.take(3, 0.0)) == [0, 1, 2] and len(queue) == 2
    assert users(queue.take(3, 0.0)) == [3, 4] and len(queue) == 0


def test_callers_take_turns_however_many_rows_one_has() -> None:
    queue = queue_of(
        *(ask(n, caller="many") for n in range(100)), ask("x", caller="few"), ask("y", caller="other")
    )
    assert users(queue.take(4, 0.0)) == [0, "x", "y", 1]
    assert users(queue.take(2, 0.0)) == [2, 3]


def test_whose_turn_it_is_outlasts_a_batch() -> None:
    queue = queue_of(*(ask(f"{caller}{n}", caller=caller) for caller in "abc" for n in range(2)))
    assert users(queue.take(2, 0.0)) == ["a0", "b0"]
    assert users(queue.take(2, 0.0)) == ["c0", "a1"]


def test_rows_that_nobody_waits_for_are_left_out() -> None:
    asks = [ask(n) for n in range(4)]
    queue = queue_of(*asks)
    for one in (asks[0], asks[2], asks[2]):
        queue.drop(one)
    assert len(queue) == 2
    assert users(queue.take(9, 0.0)) == [1, 3]
    queue.drop(asks[1])  # it is out already
    assert len(queue) == 0


@pytest.mark.parametrize(("left", "together"), [(2.0, True), (2.01, False), (0.5, True), (0.49, False)])
def test_rows_with_far_more_time_wait_for_a_batch_of_their_own(left: float, together: bool) -> None:
    queue = queue_of(ask("one", caller=1, due=11.0), ask("other", caller=2, due=10.0 + left))
    assert users(queue.take(9, now=10.0)) == (["one", "other"] if together else ["one"])
    assert users(queue.take(9, now=10.0)) == ([] if together else ["other"])


def test_who_was_held_back_goes_first() -> None:
    queue = queue_of(
        ask("long", caller=1, due=90.0), ask("short", caller=2, due=1.0), ask("long2", caller=1, due=90.0)
    )
    assert users(queue.take(1, 0.0)) == ["long"]
    assert users(queue.take(9, 0.0)) == ["short"]
    assert users(queue.take(9, 0.0)) == ["long2"]


# -- pace and shedding ---------------------------------------------------------------------------------


def learned(fixed: float = 0.002, each: float = 0.0005) -> Pace:
    pace = Pace()
    for rows in (1, 64, 1, 64):
        pace.ran(rows, fixed + each * rows)
    return pace


def test_pace_learns_a_fixed_part_and_one_for_each_row() -> None:
    assert np.isclose(learned().seconds(20), 0.012)
    assert np.isclose(learned().capacity(64), 64 / 0.034)


def test_pace_follows_what_changed() -> None:
    pace = learned()
    for _ in range(300):
        pace.ran(1, 0.1)
        pace.ran(10, 0.2)
    assert np.isclose(pace.seconds(1), 0.1, rtol=0.02) and np.isclose(pace.seconds(10), 0.2, rtol=0.02)


def test_nothing_is_known_before_a_batch_ran() -> None:
    assert Pace().seconds(5) == 0.0 and Pace().capacity(5) == float("inf")


def test_batches_of_one_size_promise_nothing_for_larger_ones() -> None:
    pace = Pace()
    pace.ran(1, 0.01)
    pace.ran(1, 0.01)
    assert np.isclose(pace.seconds(1), 0.01) and np.isclose(pace.seconds(10), 0.1)


@pytest.mark.parametrize(
    ("seconds", "rows"),
    [(1.0, 64), (0.034, 64), (0.0335, 63), (0.012, 20), (0.001, 8)],
    ids=["all", "just all", "one less", "a third", "an eighth at least"],
)
def test_a_batch_has_the_rows_that_its_time_is_enough_for(seconds: float, rows: int) -> None:
    assert learned().rows(seconds + 1e-9, most=64) == rows


def test_a_batch_takes_what_waiting_leaves_of_the_time() -> None:
    assert np.isclose(batch_seconds(100.0, 40.0), 0.036)  # 0.8 of 85 ms less 40
    assert np.isclose(batch_seconds(100.0, 80.0), 0.025)  # however long rows may wait


@pytest.mark.parametrize(("waiting", "wait"), [(63, 0.014), (64, 0.014 + 0.034), (128, 0.014 + 0.068)])
def test_a_row_waits_for_the_batch_at_work_and_full_ones_before_it(waiting: int, wait: float) -> None:
    engine = Engine(lambda asks: None, learned(), most=64, within=1.0, clock=lambda: 10.02)
    engine._threads, engine._at_work = {0}, {0: ([ask("x")] * 64, 10.0)}
    for n in range(waiting):
        engine.put(ask(f"u{n}"))
    assert np.isclose(engine.wait(), wait)


def test_threads_take_short_turns_while_a_service_runs() -> None:
    before = sys.getswitchinterval()
    first, second = object(), object()
    turns.shorten(first)
    turns.shorten(second)
    turns.shorten(second)
    assert sys.getswitchinterval() < before
    turns.restore(second)
    assert sys.getswitchinterval() < before  # the other one still runs
    turns.restore(first)
    turns.restore(first)
    assert sys.getswitchinterval() == before


@pytest.mark.parametrize(("wait", "refused"), [(0.04, False), (0.0401, True)], ids=["in time", "too late"])
def test_a_row_that_would_wait_too_long_is_turned_away(wait: float, refused: bool) -> None:
    retry = Shed(queue_ms=40).retry_after(64, wait=wait)
    assert (retry is not None) == refused
    if retry is not None:
        assert retry == 1e-3  # at least a millisecond


@pytest.mark.parametrize(("scale", "refused"), [(2.0, False), (1.99, True), (0.5, True)])
def test_who_has_more_time_may_wait_longer(scale: float, refused: bool) -> None:
    assert (Shed(queue_ms=40).retry_after(1, wait=0.08, scale=scale) is not None) == refused


def test_it_says_when_there_is_room_again() -> None:
    assert Shed(queue_ms=40).retry_after(640, wait=0.35) == pytest.approx(0.31)


@pytest.mark.parametrize(("waiting", "expected"), [(9, None), (10, 0.01), (19, 0.1)])
def test_so_many_rows_may_wait_however_quick_batches_are(waiting: int, expected: float | None) -> None:
    assert Shed(max_waiting=10).retry_after(waiting, wait=0.0, capacity=100.0) == expected


def test_a_share_of_the_time_goes_into_lists_without_the_model() -> None:
    shed = Shed(spare=0.1)
    assert shed.spares(100.0)
    shed.spent(0.15)  # a tenth of a second was there
    assert not shed.spares(100.4)
    assert shed.spares(100.6)
    shed.spares(9_000.0)
    shed.spent(0.1)
    assert not shed.spares(9_000.0)  # what was saved up before is gone
    assert not Shed(spare=0.0).spares(1.0)


# -- effort --------------------------------------------------------------------------------------------


def test_effort_falls_fast_and_comes_back_slowly() -> None:
    quality = Quality(target=0.7, lowest=0.5)
    quality.took(0.7)
    assert quality.effort == 1.0
    seen = []
    for _ in range(4):
        quality.took(0.71)
        seen.append(round(quality.effort, 3))
    assert seen == [0.8, 0.64, 0.512, 0.5]
    quality.took(0.1)
    assert quality.effort == 0.55
    for _ in range(20):
        quality.took(0.1)
    assert quality.effort == 1.0


# -- lists ---------------------------------------------------------------------------------------------

LISTED = Candidates.from_lists([[3, 1]])


def test_a_list_is_fresh_then_stale_then_gone() -> None:
    lists = ListCache(fresh="10s", stale="100s")
    lists.put("key", LISTED, now=1000.0)
    found = {age: lists.get("key", 1000.0 + age) for age in (0, 10, 10.01, 100, 100.01)}
    assert [None if one is None else one[1] for one in found.values()] == [True, True, False, False, None]
    assert len(lists) == 0


def test_the_list_unused_for_longest_goes() -> None:
    lists = ListCache(max_lists=2)
    for key in "ab":
        lists.put(key, LISTED, 0.0)
    lists.get("a", 0.0)
    lists.put("c", LISTED, 0.0)
    assert [key for key in "abc" if lists.get(key, 0.0)] == ["a", "c"]


@pytest.mark.parametrize(
    "other",
    [
        {"user": "bob"},
        {"k": 9},
        {"seed": 1},
        {"items": [1]},
        {"exclude": [1]},
        {"session": [1]},
        {"history": [1]},
        {"context": {"country": "DE"}},
    ],
    ids=lambda other: next(iter(other)),
)
def test_every_option_but_the_time_makes_another_list(other: dict[str, Any]) -> None:
    lists, same = ListCache(), ask("ann", now=5.0)
    assert lists.key("f", same) == lists.key("f", ask("ann", now=6.0, caller="b"))
    assert lists.key("f", same) != lists.key("f", ask(**{"user": "ann", **other}))
    assert lists.key("f", same) != lists.key("g", same)


def test_options_that_cannot_be_told_apart_are_not_kept() -> None:
    assert ListCache().key("f", ask("ann", context={"cart": [1]})) is None


def test_a_user_who_did_something_has_other_lists_than_before() -> None:
    lists = ListCache()
    before = lists.key("f", ask("ann"))
    lists.changed("ann")
    assert lists.key("f", ask("ann")) != before
    assert lists.key("f", ask("bob")) == lists.key("f", ask("bob"))


def test_a_version_from_outside_makes_another_list() -> None:
    seen = {"ann": 1}
    lists = ListCache(version=seen.get)
    before = lists.key("f", ask("ann"))
    assert lists.key("f", ask("ann")) == before
    seen["ann"] = 2
    assert lists.key("f", ask("ann")) != before


def test_what_is_known_of_changes_does_not_grow_with_users() -> None:
    lists = ListCache(max_lists=2)
    old = lists.key("f", ask("ann"))
    assert old is not None
    lists.put(old, LISTED, 0.0)
    for user in ("ann", "bob", "carl"):
        lists.changed(user)
    # Ann's count is forgotten; her old list must not come back with it.
    key = lists.key("f", ask("ann"))
    assert key == old and lists.get(old, 0.0) is None


@pytest.mark.parametrize(
    "options",
    [{"fresh": "1h", "stale": "1min"}, {"max_lists": 0}],
    ids=["stale before fresh", "none"],
)
def test_options_of_lists_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        ListCache(**options)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (Shed, {"queue_ms": -1}),
        (Shed, {"max_waiting": 0}),
        (Shed, {"spare": 1.1}),
        (Quality, {"target": 1.5}),
        (Quality, {"lowest": 0.0}),
    ],
    ids=["queue_ms", "max_waiting", "spare", "target", "lowest"],
)
def test_options_are_checked(kind: Any, options: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError, match=next(iter(options))):
        kind(**options)
