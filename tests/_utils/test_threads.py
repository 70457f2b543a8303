"""Threads: parts on all cores with BLAS limited."""

import threading

import pytest

from recokit._utils import threads
from recokit._utils.threads import limited_threads, map_parts


def blas():
    pytest.importorskip("numpy")  # whose BLAS there is then to limit
    threadpoolctl = pytest.importorskip("threadpoolctl")
    return [pool["num_threads"] for pool in threadpoolctl.threadpool_info()]


def test_limited_threads_holds_inside_the_block_only():
    before = blas()
    with limited_threads():
        assert set(blas()) == {1}
    with limited_threads(2):
        assert max(blas()) <= 2
    assert blas() == before


@pytest.mark.parametrize("n", [0, 1, 2, 5])
def test_parts_keep_their_order_and_use_threads_from_two_on(n, monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 2)
    here = threading.get_ident()

    def work(part):
        return part * 2, threading.get_ident() == here, set(blas())

    found = map_parts(work, list(range(n)))
    assert [value for value, _, _ in found] == [2 * part for part in range(n)]
    assert all(same == (n < 2) for _, same, _ in found)
    if n > 1:
        assert all(limits == {1} for _, _, limits in found)


def test_one_core_takes_no_threads(monkeypatch):
    monkeypatch.setattr(threads, "usable_cores", lambda: 1)
    here = threading.get_ident()
    assert map_parts(lambda part: (part, threading.get_ident()), [1, 2]) == [(1, here), (2, here)]


def test_an_error_of_a_part_is_raised():
    with pytest.raises(ZeroDivisionError):
        map_parts(lambda part: 1 / part, [1, 0])


def test_cores_are_those_the_process_may_use(monkeypatch):
    monkeypatch.setattr(
        threads.os, "sched_getaffinity", lambda pid: {0, 1, 2} if pid == 0 else set(), raising=False
    )
    assert threads.usable_cores() == 3
    monkeypatch.delattr(threads.os, "sched_getaffinity")
    monkeypatch.setattr(threads.os, "cpu_count", lambda: None)
    assert threads.usable_cores() == 1
    monkeypatch.setattr(threads.os, "cpu_count", lambda: 6)
    assert threads.usable_cores() == 6
