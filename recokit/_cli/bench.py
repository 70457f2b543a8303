"""``recokit bench``: how long a model takes."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any

from recokit._cli.options import Parser, add_model, add_now, positive
from recokit._utils.report import Content, Report, Table

_WARM = 5


def parser(prog: str, summary: str) -> Parser:
    """Return the options of the command."""
    made = Parser(prog, summary)
    add_model(made)
    made.add_argument(
        "--requests", type=positive, default=200, metavar="N", help="single ones, 200 by default"
    )
    made.add_argument("--batch", type=positive, default=256, metavar="N", help="users of the batch, 256")
    made.add_argument("-k", type=positive, default=10, help="length of a list, 10 by default")
    made.add_argument("--max-p99-ms", type=float, metavar="MS", help="1 where single requests take longer")
    add_now(made)
    return made


@dataclass(frozen=True, eq=False, repr=False)
class Timing(Report):
    """Milliseconds of single requests, of a batch, and of each stage."""

    p50: float
    p95: float
    p99: float
    n_requests: int
    users_per_second: float
    n_batch: int
    stages: dict[str, float]

    def to_dict(self) -> dict[str, Any]:
        """Return plain values; times in milliseconds."""
        return {
            "p50_ms": self.p50,
            "p95_ms": self.p95,
            "p99_ms": self.p99,
            "n_requests": self.n_requests,
            "users_per_second": self.users_per_second,
            "n_batch": self.n_batch,
            "stages_ms": self.stages,
        }

    def _content(self) -> Content:
        one = f"{self.n_requests} single requests: p50 {self.p50:.2f} ms, p95 {self.p95:.2f}, p99 {self.p99:.2f}"
        many = f"a batch of {self.n_batch}: {self.users_per_second:,.0f} users a second"
        rows = [(name, f"{value:.3f}") for name, value in self.stages.items()]
        return Content("Timing", [Table(("stage", "ms of a request"), rows)], f"{one}\n{many}")


def run(options: Any) -> int:
    """Print the times; 1 where they are above the limit."""
    from recokit._cli.inputs import model, request_time
    from recokit._cli.output import note, show

    pipeline = model(options.model, options.trust)
    found = measure(pipeline, options, request_time(options.now, pipeline))
    late = options.max_p99_ms is not None and found.p99 > options.max_p99_ms
    show(options, found, max_p99_ms=options.max_p99_ms)
    if late:
        note(f"found p99 {found.p99:.2f} ms; expected at most {options.max_p99_ms:g}")
    return int(late)


def measure(pipeline: Any, options: Any, now: Any) -> Timing:
    """Time single requests, one after the other, and then a batch."""
    import numpy as np

    from recokit._cli.inputs import some_users

    users = some_users(pipeline, max(options.requests, options.batch)) or [None]
    for user in users[:_WARM]:
        pipeline.recommend([user], options.k, now=now)
    taken, stages = [], dict.fromkeys(pipeline.names, 0.0)
    for place in range(options.requests):
        started = time.perf_counter()
        found = pipeline.recommend([users[place % len(users)]], options.k, now=now)
        taken.append(1e3 * (time.perf_counter() - started))
        for event in found.trace.events:
            stages[event.name] = stages.get(event.name, 0.0) + 1e3 * event.seconds / options.requests
    batch = [users[place % len(users)] for place in range(options.batch)]
    started = time.perf_counter()
    pipeline.recommend(batch, options.k, now=now)
    rate = len(batch) / (time.perf_counter() - started)
    p50, p95, p99 = np.percentile(taken, [50, 95, 99]).tolist()
    return Timing(
        p50=p50,
        p95=p95,
        p99=p99,
        n_requests=options.requests,
        users_per_second=rate,
        n_batch=len(batch),
        stages=stages,
    )
