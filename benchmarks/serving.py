"""A service against one request after the other, and against faults: `python -m benchmarks.serving`.

The server runs on one core and the sender on another, over loopback HTTP with the same loop and parser for both ways.
Closed loops ask again once they are answered; the open loop counts from the time at which a request was to be sent. On
a machine that does other work seconds say little: processor seconds of the server for each answer are printed beside
them, and so are the machine's loads. `--part faults` needs no network: every place of a service fails in every way.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count

import numpy as np

from benchmarks._harness import Check, report
from benchmarks._serving_faults import PLACES, grid
from benchmarks._serving_sender import Sent, ask, closed_loop, open_loop
from benchmarks._serving_world import build_pipeline
from recokit.serving import ListCache, Precomputed, Service, Shed

__all__ = ["main"]

ROUNDS = 3


@dataclass(frozen=True)
class Server:
    """A server under way: its port and process."""

    port: int
    pid: int

    def processor_seconds(self) -> float:
        """Return the processor seconds that it has used."""
        with open(f"/proc/{self.pid}/stat", encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def serving(way: str, options: argparse.Namespace, *more: str) -> Iterator[Server]:
    """Start a server in a process of its own."""
    sizes = ["--users", str(options.users), "--items", str(options.items)]
    command = [sys.executable, "-m", "benchmarks._serving_server", way, *sizes, *more]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield Server(int(process.stdout.readline()), process.pid)
    finally:
        process.kill()
        process.wait()


def _patient(options: argparse.Namespace) -> list[str]:
    """Return options under which no machine is too slow: what is compared is the work, not the shedding."""
    return ["--budget-ms", "30000", "--queue-ms", "20000"]


def coalescing(options: argparse.Namespace) -> list[Check]:
    """Compare a service with one request after the other, at one connection and at many, taking turns."""
    with (
        serving("one-by-one", options, *_patient(options)) as alone,
        serving("service", options, *_patient(options)) as service,
    ):
        targets = [f"/?u=user-{n}" for n in range(1, min(options.users, 100) + 1)]
        same = [
            a["ids"] == b["ids"]
            for a, b in zip(ask(alone.port, targets), ask(service.port, targets), strict=True)
        ]
        cost: dict[tuple[int, str], list[float]] = {}
        sent: dict[tuple[int, str], list[Sent]] = {}
        for connections in (1, options.connections):
            for _ in range(ROUNDS):
                for name, server in (("alone", alone), ("service", service)):
                    before = server.processor_seconds()
                    found = closed_loop(
                        server.port, connections=connections, seconds=options.seconds, n_users=options.users
                    )
                    answers = len(found.seconds.get(200, ()))
                    cost.setdefault((connections, name), []).append(
                        (server.processor_seconds() - before) / answers
                    )
                    sent.setdefault((connections, name), []).append(found)
    many = options.connections

    def best(kind: tuple[int, str]) -> float:
        return max(found.rate for found in sent[kind])

    def p50(kind: tuple[int, str]) -> float:
        return min(found.percentile(50) for found in sent[kind])

    work = {kind: float(np.min(values)) for kind, values in cost.items()}
    return [
        Check.at_least("answers equal to single ones", float(np.mean(same)), 1.0),
        Check.at_least(
            f"times one by one, {many} connections", best((many, "service")) / best((many, "alone")), 3.0
        ),
        Check.at_least(
            f"times one by one by processor time, {many}", work[many, "alone"] / work[many, "service"], 3.0
        ),
        Check.at_least(f"requests/s, {many} connections", best((many, "service")), 900.0),
        Check.info("requests/s one by one", best((many, "alone"))),
        Check.info("processor ms an answer", 1e3 * work[many, "service"], "ms"),
        Check.info("processor ms an answer, one by one", 1e3 * work[many, "alone"], "ms"),
        Check.info(f"p50, {many} connections", 1e3 * p50((many, "service")), "ms"),
        Check.info(f"p50 one by one, {many} connections", 1e3 * p50((many, "alone")), "ms"),
        Check.at_most("p50 to one by one, 1 connection", p50((1, "service")) / p50((1, "alone")), 1.05),
        Check.at_most(
            "processor time to one by one, 1 connection", work[1, "service"] / work[1, "alone"], 1.1
        ),
    ]


def overload(options: argparse.Namespace) -> list[Check]:
    """Send at 60% and 200% of what the service serves, then at 60% again."""
    with serving("service", options) as server:
        capacity = closed_loop(
            server.port, connections=32, seconds=options.seconds, n_users=options.users
        ).rate
        light, heavy, again = (
            open_loop(server.port, rate=share * capacity, seconds=seconds, n_users=options.users)
            for share, seconds in (
                (0.6, options.seconds),
                (2.0, options.seconds),
                (0.6, options.seconds + 2.0),
            )
        )
    refused = heavy.seconds.get(503, [])
    return [
        Check.info("capacity, requests/s", capacity),
        Check.at_most("p99 at 60%", 1e3 * light.percentile(99), 100.0, "ms"),
        Check.at_most("accepted p99 at 200%", 1e3 * heavy.percentile(99), 100.0, "ms"),
        Check.at_most("refused p50 at 200%", 1e3 * heavy.percentile(50, 503), 5.0, "ms"),
        Check.info("refused p99 at 200%", 1e3 * heavy.percentile(99, 503), "ms"),
        Check.info("refused at 200%", len(refused) / max(len(refused) + len(heavy.seconds.get(200, [])), 1)),
        Check.at_least("goodput at 200% to capacity", heavy.rate / capacity, 0.8),
        Check.info("the model's alone", heavy.from_model / heavy.took / capacity),
        Check.info("sent late at 200%, p99", 1e3 * float(np.percentile(heavy.late, 99)), "ms"),
        Check.info("p99 after it, at once", 1e3 * again.percentile(99), "ms"),
        Check.at_most("p99 two seconds after it", 1e3 * again.percentile(99, since=2.0), 100.0, "ms"),
        Check.at_most("connections broken", float(light.broken + heavy.broken + again.broken), 0.0),
    ]


def lists(options: argparse.Namespace) -> list[Check]:
    """Ask for the same lists again in this process, and swap models meanwhile."""
    pipeline = build_pipeline(options.users, options.items)
    fallback = Precomputed.of(pipeline, k=100)
    service = Service(pipeline, fallback=fallback, budget_ms=30_000, lists=ListCache()).start()
    users = [f"user-{n}" for n in range(1, min(options.users, 50) + 1)]
    service.recommend_many(users, budget_ms=1e6)
    seconds, work = [], time.process_time()
    for n in range(options.hits):
        began = time.perf_counter()
        service.recommend_now(users[n % len(users)])
        seconds.append(time.perf_counter() - began)
    work = (time.process_time() - work) / options.hits
    service.stop()
    return [
        Check.at_most("list hit p99", 1e3 * float(np.percentile(seconds, 99)), 0.5, "ms"),
        Check.info("list hit p50", 1e3 * float(np.percentile(seconds, 50)), "ms"),
        Check.info("list hit, processor", 1e3 * work, "ms"),
    ]


def swaps(options: argparse.Namespace) -> list[Check]:
    """Ask in four threads, first quietly and then while models are swapped one after the other."""
    first = build_pipeline(options.users, options.items)
    models = [first, first.without(first.names[-1])]
    fallback = Precomputed.of(first, k=100)
    users = [f"user-{n}" for n in range(1, 51)]
    expected = {(one.fingerprint, user): one.recommend([user], 10).ids(0) for one in models for user in users}
    service = Service(first, fallback=fallback, budget_ms=30_000, shed=Shed(queue_ms=20_000)).start()
    seconds: list[list[float]] = [[], []]
    wrong, phase, asking = [0, 0], 0, True

    def ask(start: int) -> None:
        for n in count(start):
            if not asking:
                return
            user, began = users[n % len(users)], time.perf_counter()
            try:
                answer = service.recommend_now(user)
                wrong[1] += answer.ids() != expected[answer.fingerprint, user]
            except Exception:
                wrong[0] += 1
            seconds[phase].append(time.perf_counter() - began)

    with ThreadPoolExecutor(4) as pool:
        for start in range(4):
            pool.submit(ask, 11 * start)
        time.sleep(options.seconds)
        phase = 1
        for n in range(options.swaps):
            service.swap(models[(n + 1) % 2])
        asking = False
    service.stop()
    quiet, swapping = (1e3 * float(np.percentile(found, 99)) for found in seconds)
    return [
        Check.info("requests while models were swapped", float(len(seconds[1]))),
        Check.at_most("errors of them", float(wrong[0]), 0.0),
        Check.at_most("lists of another model than they say", float(wrong[1]), 0.0),
        Check.info("p99 before", quiet, "ms"),
        Check.at_most("p99 during swaps to before", swapping / quiet, 1.5),
    ]


def faults(options: argparse.Namespace) -> list[Check]:
    """Let every place fail in every way; see :mod:`benchmarks._serving_faults`."""
    found = grid(options.fault_requests, budget_ms=options.fault_budget_ms)
    healthy = found.pop(("none", "healthy"))
    answers = list(found.values())
    late = max(cell.p999 for cell in answers)
    for (place, fault), cell in found.items():
        print(f"{place:10} {fault:13} {cell}")
    print(f"{'healthy':24} {healthy}")
    return [
        Check.info("requests over the grid", float(sum(cell.requests for cell in answers))),
        Check.at_most("non-answers", float(sum(cell.silent for cell in answers)), 0.0),
        Check.at_most("hard rules broken", float(sum(cell.broken for cell in answers)), 0.0),
        Check.info(
            "of them turned away with a time", float(sum(cell.sources.get("shed", 0) for cell in answers))
        ),
        Check.info("worst p99.9", 1e3 * late, "ms"),
        Check.info("healthy p99.9", 1e3 * healthy.p999, "ms"),
        Check.at_most(
            "worst p99.9 beyond the budget and the healthy control",
            1e3 * late - max(options.fault_budget_ms, 1e3 * healthy.p999),
            5.0,
            "ms",
        ),
    ]


PARTS = {"coalescing": coalescing, "overload": overload, "lists": lists, "swaps": swaps, "faults": faults}


def main() -> bool:
    """Run the parts that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", nargs="*", choices=list(PARTS), default=list(PARTS))
    parser.add_argument("--users", type=int, default=1_000)
    parser.add_argument("--items", type=int, default=500)
    parser.add_argument("--connections", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--swaps", type=int, default=100)
    parser.add_argument("--hits", type=int, default=2_000)
    parser.add_argument("--fault-requests", type=int, default=20_000 // (6 * len(PLACES)) + 1)
    parser.add_argument("--fault-budget-ms", type=float, default=100.0)
    options = parser.parse_args()
    loads = [os.getloadavg()]
    if hasattr(os, "sched_setaffinity") and "faults" not in options.part:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[0]})
    checks = [check for part in options.part for check in PARTS[part](options)]
    loads.append(os.getloadavg())
    print(f"loads before and after: {json.dumps(loads)}")
    return report("serving", checks, {"loads": loads})


if __name__ == "__main__":
    sys.exit(not main())
