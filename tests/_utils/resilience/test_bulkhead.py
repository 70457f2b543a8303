"""Bulkhead: calls that may hang."""

import os
import pickle
import threading

import pytest

from recokit._utils.resilience.bulkhead import Bulkhead
from recokit.errors import SourceTimeout, StageError


def test_a_call_gives_its_result_or_raises_its_error():
    bulkhead = Bulkhead()
    assert bulkhead.start("a", lambda: 3)(float("inf")) == 3

    def broken():
        raise LookupError("gone")

    wait = bulkhead.start("a", broken)
    with pytest.raises(LookupError, match="gone"):
        wait(60)


def test_a_hung_call_times_out_and_holds_its_place_until_it_ends():
    release, bulkhead = threading.Event(), Bulkhead(2)
    waits = [bulkhead.start("slow", lambda: release.wait(60)) for _ in range(2)]
    with pytest.raises(SourceTimeout, match="found no answer from slow after 5 ms") as late:
        waits[0](0.005)
    assert (late.value.name, late.value.role) == ("slow", "source")
    with pytest.raises(SourceTimeout, match="after -1000 ms"):
        waits[1](-1.0)  # no time was left: nothing is waited for
    with pytest.raises(SourceTimeout, match="found 2 calls of slow still hanging; refused"):
        bulkhead.start("slow", lambda: None)
    release.set()
    assert [wait(60) for wait in waits] == [True, True]
    assert [bulkhead.start("slow", lambda n=n: n)(60) for n in range(5)] == list(range(5))


def test_calls_that_nobody_gave_up_hold_no_place():
    release, bulkhead = threading.Event(), Bulkhead(1)
    waits = [bulkhead.start("busy", lambda: release.wait(60)) for _ in range(20)]
    assert bulkhead.hanging == 0
    release.set()
    assert all(wait(60) for wait in waits)


def test_a_call_that_nobody_waits_for_hangs_once_its_time_is_over():
    release, bulkhead = threading.Event(), Bulkhead(1, patience=0.05)
    wait = bulkhead.start("slow", lambda: release.wait(60))
    with pytest.raises(SourceTimeout, match="after 50 ms"):
        wait(float("inf"))
    forgotten = Bulkhead(1, patience=0.0)
    forgotten.start("slow", lambda: release.wait(60))
    with pytest.raises(SourceTimeout, match="refused"):
        forgotten.start("slow", lambda: None)
    release.set()


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit()])
def test_what_is_no_exception_reaches_the_caller_as_one(error):
    def leave():
        raise error

    bulkhead = Bulkhead(1)
    with pytest.raises(StageError, match=f"found {type(error).__name__} raised by source") as raised:
        bulkhead.start("source", leave)(60)
    assert raised.value.cause is error
    assert bulkhead.start("source", lambda: 1)(60) == 1


def test_a_thread_that_does_not_start_leaves_no_call_behind(monkeypatch):
    bulkhead = Bulkhead(1, patience=0.0)

    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        for _ in range(3):
            with pytest.raises(RuntimeError, match="new thread"):
                bulkhead.start("source", lambda: 1)
    assert bulkhead.hanging == 0


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_has_all_its_places():
    release, bulkhead = threading.Event(), Bulkhead(1)
    wait = bulkhead.start("slow", lambda: release.wait(60))
    with pytest.raises(SourceTimeout):
        wait(0.0)
    child = os.fork()
    if not child:
        os._exit(0 if bulkhead.hanging == 0 else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert bulkhead.hanging == 1
    release.set()


def test_calls_run_in_daemon_threads_with_a_name():
    thread = Bulkhead().start("ann", threading.current_thread)(60)
    assert thread.daemon and thread.name == "recokit-ann"


def test_a_copy_in_another_process_has_all_its_places():
    release, bulkhead = threading.Event(), Bulkhead(1)
    wait = bulkhead.start("slow", lambda: release.wait(60))
    copied = pickle.loads(pickle.dumps(bulkhead))
    assert copied.places == 1 and copied.start("slow", lambda: 1)(60) == 1
    release.set()
    assert wait(60)
    assert Bulkhead().places == 32
