"""Whatever the server does, a read answers in time with defaults and says so; a write raises."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from recokit import stores
from recokit.errors import ConfigurationError, FeatureUnavailable
from recokit.stores._rows import Packing
from tests.stores.conftest import Server, fake_server, polite_then, silent, trickle

T = 1_700_000_000.0
#: Time limit of the reads, and how much longer one may take on a machine that pauses.
LIMIT, SLACK = 0.1, 0.4


def redis_store(url, **options):
    return stores.Redis(url, ["x"], prefix="p", defaults=9.0, **{"timeout": LIMIT, **options})


def timed_read(store, ids=("a", "b"), now=T, **options):
    started = time.monotonic()
    rows = store.read(list(ids), now=now, **options)
    return rows, time.monotonic() - started


def assert_degraded(rows, seconds, what):
    assert rows.values.ravel().tolist() == [9.0] * len(rows)
    assert rows.failed == len(rows) and rows.missing == rows.expired == 0
    assert what in rows.error
    assert seconds < LIMIT + SLACK


def test_refused():
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    store = redis_store(f"redis://127.0.0.1:{port}")
    assert_degraded(*timed_read(store), "refused")
    assert store.counts == {"reads": 1, "rows": 2, "missing": 0, "expired": 0, "failed": 2}
    with pytest.raises(FeatureUnavailable, match="refused"):
        store.write(["a"], [[1]], at=T)


def test_silent_from_the_start():
    with fake_server(silent) as (url, _):
        store = redis_store(url, write_timeout=LIMIT)
        assert_degraded(*timed_read(store), "no connection in time")
        with pytest.raises(FeatureUnavailable, match="in time"):
            store.write(["a"], [[1]], at=T)


def test_silent_once_connected():
    with fake_server(polite_then(lambda connection, question: time.sleep(1))) as (url, _):
        assert_degraded(*timed_read(redis_store(url)), "Timeout")


def test_trickling_bytes():
    with fake_server(polite_then(trickle)) as (url, _):
        store = redis_store(url)
        rows, seconds = timed_read(store)
        assert_degraded(rows, seconds, "Timeout")
        assert seconds > LIMIT / 2  # it did get bytes all the time, and was cut off by the limit of the whole


def test_trickling_the_handshake():
    def dribble(connection):
        while True:
            connection.sendall(b"+")
            time.sleep(0.002)

    with fake_server(dribble) as (url, connections):
        store = redis_store(url, connect_timeout=0.3)
        assert_degraded(*timed_read(store), "no connection in time")
        deadline = time.monotonic() + 5
        while "recokit-connect" in {thread.name for thread in threading.enumerate()}:
            assert time.monotonic() < deadline, "the thread that connects never gives up"
            time.sleep(0.01)
        assert len(connections) == 1


@pytest.mark.parametrize(
    "reply",
    [
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b":1\r\n",
        b"*1\r\n$-1\r\n",
        b"-ERR broken\r\n",
        b"*2\r\n:1\r\n*0\r\n",
        b"+OK\r\n",
    ],
    ids=["http", "number", "too_few", "error", "no_bytes", "status"],
)
def test_answers_that_make_no_sense(reply):
    with fake_server(polite_then(lambda connection, question: connection.sendall(reply))) as (url, _):
        rows, seconds = timed_read(redis_store(url, timeout=5.0))
        assert rows.failed == 2 and rows.error and rows.values.ravel().tolist() == [9.0, 9.0]
        assert seconds < 5.0


def test_hanging_up_in_the_middle():
    def half(connection, question):
        connection.sendall(b"*2\r\n$28\r\nabc")
        connection.shutdown(socket.SHUT_RDWR)

    with fake_server(polite_then(half)) as (url, _):
        assert_degraded(*timed_read(redis_store(url)), "Connection")


def test_a_late_answer_is_not_read_by_the_next_call():
    packing = Packing(["x"])
    turns = iter([(0.3, 1.0), (0.0, 2.0)])

    def answer(connection, question):
        wait, value = next(turns)
        time.sleep(wait)
        row = packing.pack(np.float32([[value]]), np.array([T]))[0]
        connection.sendall(b"*1\r\n$%d\r\n%s\r\n" % (len(row), row))

    with fake_server(polite_then(answer)) as (url, _):
        store = redis_store(url, timeout=2.0)
        assert store.read(["a"], now=T, timeout=LIMIT).failed == 1
        time.sleep(0.4)
        assert store.read(["a"], now=T).values.tolist() == [[2.0]]


def test_the_callers_time_is_kept_too():
    with fake_server(polite_then(trickle)) as (url, _):
        store = redis_store(url, timeout=30.0)
        assert_degraded(*timed_read(store, timeout=LIMIT), "Timeout")
        assert timed_read(store, timeout=0.0)[1] < SLACK
        assert timed_read(store, timeout=-1.0)[0].failed == 2


def test_a_slow_connection_serves_the_next_read(server):
    store = redis_store(server.url, timeout=5.0)
    store.write(["a", "b"], [[1], [2]], at=T)
    store.close()
    make, made = store._link._new, threading.Event()

    def slow():
        time.sleep(0.2)
        connection = make()
        made.set()
        return connection

    store._link.__dict__["_new"] = slow
    assert_degraded(*timed_read(store, timeout=0.05), "no connection in time")
    made.wait(5)
    time.sleep(0.1)
    store._link.__dict__["_new"] = lambda: pytest.fail("there is a connection already")
    assert store.read(["a", "b"], now=T).values.ravel().tolist() == [1, 2]


def test_after_three_failures_nobody_asks_for_a_second():
    with fake_server(lambda connection: None) as (url, connections):  # hangs up at once
        store = redis_store(url)
        for _ in range(3):
            assert "not asked" not in store.read(["a"], now=T).error
        asked = len(connections)
        for _ in range(20):
            rows = store.read(["a", "b"], now=T + 0.5)
            assert rows.failed == 2 and "not asked" in rows.error
        assert len(connections) == asked
        assert "not asked" not in store.read(["a"], now=T + 1.1).error
        assert "not asked" in store.read(["a"], now=T + 1.2).error
        assert "not asked" not in store.read(["a"], now=T - 5.0).error  # another batch, of another time


def test_a_restart_in_the_middle(own_server):
    store = redis_store(own_server.url, timeout=5.0)
    store.write(["a"], [[1]], at=T)
    assert store.read(["a"], now=T).values.tolist() == [[1]]
    own_server.stop()
    rows = store.read(["a"], now=T)
    assert rows.failed == 1 and rows.values.tolist() == [[9]]
    own_server.start()
    rows = store.read(["a"], now=T)
    assert (rows.failed, rows.missing) == (0, 1)  # it came back empty
    store.write(["a"], [[2]], at=T)
    assert store.read(["a"], now=T).values.tolist() == [[2]]


def test_a_restart_between_two_reads_is_not_noticed(own_server):
    store = redis_store(own_server.url, timeout=5.0)
    store.write(["a"], [[1]], at=T)
    own_server.stop()
    own_server.start()
    assert store.read(["a"], now=T).failed == 0


def test_values_that_are_no_rows(server):
    store = redis_store(server.url, timeout=5.0)
    store.write(["good", "cut", "long"], [[1], [2], [3]], at=T)
    stores.Redis(server.url, ["y"], prefix="p").write(["foreign"], [[4]], at=T)
    server.ask("SETRANGE", "p:long", 40, "x")
    cut = Packing(["x"]).pack(np.float32([[2]]), np.array([T]))[0][:-1]
    server.ask("SET", "p:cut", cut)
    server.ask("SET", "p:empty", "")
    server.ask("SET", "p:text", "x" * 28)
    server.ask("LPUSH", "p:list", "a")
    ids = ["good", "cut", "long", "foreign", "empty", "text", "list", "gone"]
    rows = store.read(ids, now=T)
    assert rows.values.ravel().tolist() == [1] + [9] * 7
    assert rows.unread.tolist() == [False, True, True, True, True, True, False, False]
    assert (rows.failed, rows.missing) == (5, 2)  # MGET does not tell a list from nothing
    assert "5 values that are no rows" in rows.error
    assert store.read(["good"], now=T).failed == 0  # which is not the server's fault: it is asked again


def test_a_full_server_refuses_the_write(own_server):
    store = redis_store(own_server.url, timeout=5.0)
    own_server.ask("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(FeatureUnavailable, match="memory"):
        store.write(["a"], [[1]], at=T)
    assert store.read(["a"], now=T).missing == 1


def test_a_password_comes_from_the_environment(monkeypatch):
    server = Server("--requirepass", "top secret")
    try:
        with pytest.raises(ConfigurationError, match="variable"):
            redis_store("unix://:$RK_PASSWORD@/nowhere")
        monkeypatch.setenv("RK_PASSWORD", "top%20secret")
        store = redis_store(f"unix://:$RK_PASSWORD@{server.socket}", timeout=5.0)
        store.write(["a"], [[1]], at=T)
        assert store.read(["a"], now=T).values.tolist() == [[1]]
        wrong = redis_store(f"unix://:other@{server.socket}", timeout=5.0)
        rows = wrong.read(["a"], now=T)
        assert rows.failed == 1 and "invalid" in rows.error
        assert ":other@" not in repr(wrong) and "$RK_PASSWORD" in repr(store)
    finally:
        server.stop()


def test_one_read_is_one_round_trip(server):
    store = redis_store(server.url, timeout=5.0)
    store.write(np.arange(100), np.arange(100.0)[:, None], at=T)
    server.ask("CONFIG", "RESETSTAT")
    store.read(np.arange(200), now=T)
    assert server.calls("mget") == 1
    assert sum(server.calls(name) for name in ("get", "ping", "exists", "hmget")) == 0


def test_the_server_forgets_too(server):
    store = redis_store(server.url, ttl="1h")
    store.write(["a"], [[1]], at=T)
    left = int(server.ask("PTTL", "p:a")[1:-2])
    assert 3_500_000 < left <= 3_600_000
    redis_store(server.url).write(["b"], [[1]], at=T)
    assert server.ask("PTTL", "p:b") == b":-1\r\n"


@pytest.mark.parametrize(
    ("url", "options", "found"),
    [
        ("http://localhost", {}, "redis://"),
        ("localhost:6379", {}, "redis://"),
        ("redis://localhost", {"timeout": 0}, "timeout=0"),
        ("redis://localhost", {"connect_timeout": np.inf}, "connect_timeout=inf"),
        ("redis://localhost", {"write_timeout": None}, "write_timeout=None"),
    ],
)
def test_options_that_cannot_work_raise(url, options, found):
    with pytest.raises(ConfigurationError, match=found):
        redis_store(url, **options)


def test_a_prefix_is_needed():
    with pytest.raises(ConfigurationError, match="prefix=''"):
        stores.Redis("redis://localhost", ["x"], prefix="")


def test_nothing_hangs_at_exit():
    script = (
        "import sys, time; from recokit import stores\n"
        "store = stores.Redis(sys.argv[1], ['x'], prefix='p', timeout=0.02, connect_timeout=60.0)\n"
        "rows = store.read(['a'], now=0.0); assert rows.failed == 1, rows\n"
        "print(time.monotonic(), flush=True)\n"
    )
    with fake_server(silent) as (url, _):
        done = subprocess.run([sys.executable, "-c", script, url], capture_output=True, text=True, timeout=50)
    ended = time.monotonic()
    assert done.returncode == 0, done.stderr
    assert done.stderr == "" and ended - float(done.stdout) < 10


@pytest.mark.skipif(sys.platform == "win32", reason="needs fork")
def test_a_forked_child_opens_its_own_connections(server, tmp_path):
    script = (
        "import os, sys; from recokit import stores\n"
        "opened = [stores.Redis(sys.argv[1], ['x'], prefix='p', timeout=5.0), stores.SQLite(sys.argv[2], ['x'])]\n"
        "for s in opened:\n"
        "    s.write(['a'], [[1]], at=0.0); assert s.read(['a'], now=0.0).failed == 0\n"
        "child = os.fork()\n"
        "for turn in range(50):\n"
        "    for s in opened:\n"
        "        assert s.read(['a'] * (turn + 1), now=0.0).values.ravel().tolist() == [1] * (turn + 1)\n"
        "if child: sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script, server.url, str(tmp_path / "a.db")],
        capture_output=True, text=True, timeout=50,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


PAIRS = [
    ("it", "1:2", "it:1", "2"),
    ("a%3A", "x", "a:", "x"),
    ("a", ":b", "a:", "b"),
    ("%", "3A:", "%3A", ""),
]


@pytest.mark.parametrize(("prefix", "key", "other", "another"), PAIRS)
def test_no_two_prefixes_have_a_key_in_common(prefix, key, other, another):
    for make in (
        lambda p: stores.Redis("redis://localhost", ["x"], prefix=p)._keys,
        lambda p: sessions_keys(p),
    ):
        assert make(prefix)([key]) != make(other)([another])


def sessions_keys(prefix):
    store = stores.RedisSessions("redis://localhost", prefix=prefix)
    return lambda keys: [store._key(key) for key in keys]


def test_keys_of_a_plain_prefix_are_prefix_and_id():
    assert stores.Redis("redis://localhost", ["x"], prefix="item")._keys(["7:8"]) == [b"item:7:8"]
    assert sessions_keys("session")(["ann"]) == [b"session:ann"]
