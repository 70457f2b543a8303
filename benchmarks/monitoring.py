"""What monitors cost: microseconds a request, memory over a million requests, and the errors of quantiles.

Run with ``python -m benchmarks.monitoring``; ``--requests`` makes it smaller.
"""

from __future__ import annotations

import argparse
import gc
import pickle
import resource
import time
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._harness import Check, pin_to_core, report
from benchmarks._traffic import DAY, START, Traffic, make_monitors
from recokit import monitoring

__all__ = ["main", "run"]

#: Requests that are made at a time, and how often a monitor sees them to find its pace.
BATCH, ROUNDS = 2_000, 15


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=1_000_000)
    options = parser.parse_args()
    pin_to_core()
    report("monitoring", run(options.requests), vars(options))


def run(n_requests: int) -> list[Check]:
    """Measure all three."""
    traffic = Traffic()
    return [*costs(traffic), *memory(traffic, n_requests), *errors()]


def costs(traffic: Traffic) -> list[Check]:
    """Time each monitor over the same requests, 100 a second: processor time, of the fastest round."""
    traces = [trace for trace, _ in islice(traffic.hour(START, seconds=100.0, rate=100.0), BATCH)]
    return [
        Check.info("events of a request", float(np.mean([len(trace.events) for trace in traces]))),
        *(
            Check.at_most(type(monitor).__name__, 1e6 * _pace(monitor, traces), 20.0, "us")
            for monitor in make_monitors(traffic.data)
        ),
    ]


def _pace(monitor: Any, traces: list[Any]) -> float:
    best = np.inf
    gc.disable()
    for _ in range(ROUNDS):
        start = time.process_time()
        for trace in traces:
            monitor.observe(trace)
        best = min(best, (time.process_time() - start) / len(traces))
    gc.enable()
    return float(best)


def memory(traffic: Traffic, n_requests: int) -> list[Check]:
    """Compare what the monitors hold after 70% of the requests, spread over 60 days, and after all of them.

    The same traces come again at other times, by other visitors, so that what grows is the monitors' own.
    """
    traces = [trace for trace, _ in islice(traffic.hour(START, seconds=100.0, rate=100.0), BATCH)]
    monitors = make_monitors(traffic.data)
    outcomes: Any = monitors[-1]
    step = 60 * DAY / n_requests
    held, resident = [], []
    for i in range(n_requests):
        trace, now = traces[i % len(traces)], START + i * step
        trace.requests.now[0] = now
        trace.users[0] = f"visitor-{i * 7919 % 300_007}"
        for monitor in monitors:
            monitor.observe(trace)
        if i % 10 == 0:
            outcomes.record(trace.users[0], traffic.ids[trace.selected.item[0] - 1], timestamp=now)
        if i + 1 in (n_requests * 7 // 10, n_requests):
            held.append(sum(len(pickle.dumps(monitor)) for monitor in monitors) / 1e6)
            gc.collect()
            resident.append(_resident())
    return [
        Check.info("what all monitors hold, pickled", held[1], "MB"),
        Check.at_most("its growth over the last 30% of the requests", held[1] / held[0] - 1, 0.05),
        Check.at_most("growth of the process meanwhile", resident[1] - resident[0], 10.0, "MB"),
    ]


def _resident() -> float:
    """Return the memory of this process in MB; 0 where the system does not tell."""
    status = Path("/proc/self/statm")
    pages = int(status.read_text().split()[1]) if status.exists() else 0
    return pages * resource.getpagesize() / 1e6


def errors() -> list[Check]:
    """Compare quantiles with those of all values, in one sketch and merged from eight."""
    rng, n = np.random.default_rng(0), 200_000
    drawn = {
        "lognormal": np.exp(rng.normal(-5, 1, n)),
        "pareto": 0.002 * (1 + rng.pareto(1.5, n)),
        "two modes": np.where(rng.random(n) < 0.7, rng.normal(0.01, 0.001, n), rng.normal(0.5, 0.05, n)),
    }
    shares = [0.01, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999]
    checks = []
    for name, values in drawn.items():
        exact = np.quantile(values, shares)
        for parts in (1, 8):
            sketch = monitoring.QuantileSketch()
            for part in np.array_split(values, parts):
                one = sketch.empty()
                one.add_many(part)
                sketch.merge(one)
            worst = float(np.abs(np.array(sketch.quantiles(shares)) / exact - 1).max())
            text = "one sketch" if parts == 1 else f"{parts} merged"
            checks.append(Check.at_most(f"quantiles, {name}, {text}: largest error", worst, 0.01))
    return checks


if __name__ == "__main__":
    main()
