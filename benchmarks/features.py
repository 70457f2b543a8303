"""Features as of a time: `python -m benchmarks.features [--events 10000000] [--rows 1000000]`.

Thirty features of a million (user, item, time) rows from ten million events, on one core, against the same in Polars:
cumulative columns by entity, looked up by as-of joins, one for each window. Then one request of a thousand candidates.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np

from benchmarks._harness import Check, measure, pin_to_core, report
from recokit.data import DAY, Candidates, Dataset, Interactions, LiveEvents, Requests, Table, Vocabulary
from recokit.data.events.index import EventIndex
from recokit.data.events.keyed import Keyspace
from recokit.features import Assemble, ItemActivity, Materialized, UserActivity, UserItem
from recokit.typing import Float32Array

__all__ = ["asked", "block", "made_log", "our_counts", "polars_counts", "polars_features"]

WINDOWS = ("1D", "7D", "30D")
HALF_LIFE = "14D"
BACK = (DAY, 7 * DAY, 30 * DAY)
SPAN = 90 * DAY


def made_log(n: int, seed: int = 0) -> Dataset:
    """Return n events of 90 days: users by a mild, items by a strong power law, half of them repeated."""
    rng = np.random.default_rng(seed)
    n_users, n_items = max(n // 50, 20), max(n // 200, 20)
    user = (n_users * rng.random(n) ** 1.5).astype(np.int64) + 1
    item = (n_items * rng.random(n) ** 3).astype(np.int64) + 1
    again = rng.random(n) < 0.5
    item[again] = (user[again] * 7919 + rng.integers(0, 8, again.sum()) ** 3) % n_items + 1
    moment = np.sort(rng.integers(0, int(SPAN), n)).astype(np.float64)
    log = Interactions(
        user,
        item,
        moment,
        np.zeros(n, np.int64),
        np.ones(n, np.float32),
        np.full(n, np.nan, np.float32),
        session=(user * 1000 + (moment // (3 * DAY)).astype(np.int64)),
    )
    ids = [Vocabulary(np.arange(1, size + 1)) for size in (n_users, n_items)]
    return Dataset(log, ids[0], ids[1], Table.empty(n_users), Table.empty(n_items))


def asked(data: Dataset, n: int, seed: int = 1) -> Candidates:
    """Return n rows in the last 30 days: half of them pairs that occur, half with an item of somebody else."""
    rng = np.random.default_rng(seed)
    log = data.interactions
    picked = rng.integers(0, len(log), n)
    item = log.item[picked]
    item[n // 2 :] = rng.permutation(item[n // 2 :])
    requests = Requests.build(log.user[picked], now=SPAN - 30 * DAY * rng.random(n))
    score, sources = np.full(n, np.nan, np.float32), np.zeros(n, np.uint64)
    return Candidates(requests, np.arange(n + 1), np.arange(n), item, score, sources)


def block(*, ready: bool = False, live_events: LiveEvents | None = None) -> Assemble:
    """Return thirty features; with the items' ten kept ready for the hour, if wanted."""
    options = {"windows": WINDOWS, "half_life": HALF_LIFE}
    items = ItemActivity(**options)
    first = Materialized(items, bucket="1h") if ready else items
    return Assemble(
        [first, UserActivity(**options), UserItem(**{**options, "windows": WINDOWS[1:]})],
        live_events=live_events,
    )


class _Polars:
    """The same questions to Polars; every as-of join answers one (entity, time back)."""

    def __init__(self, data: Dataset, rows: Candidates) -> None:
        import polars as pl

        self.pl = pl
        log = data.interactions
        columns = {"user": log.user, "item": log.item, "t": log.timestamp, "session": log.session}
        self.events = pl.DataFrame(columns)
        self.rows = pl.DataFrame({"user": rows.user, "item": rows.item, "now": rows.now}).with_row_index(
            "row"
        )

    def cumulative(self, by: list[str], *columns: Any) -> Any:
        """Return the log with running columns over an entity, in the order of time."""
        return self.events.with_columns(columns).select(
            *by, "t", *(column.meta.output_name() for column in columns)
        )

    def as_of(self, table: Any, by: list[str], back: float = 0.0) -> Any:
        """Return for each row the running columns right before its time less so many seconds."""
        pl = self.pl
        left = self.rows.select("row", *by, t=pl.col("now") - back).sort("t")
        joined = left.join_asof(
            table, on="t", by=by, strategy="backward", allow_exact_matches=False, check_sortedness=False
        )
        return joined.sort("row")


def polars_counts(data: Dataset, rows: Candidates) -> Float32Array:
    """Return counts of items, users and pairs in three windows, (N, 9)."""
    ask = _Polars(data, rows)
    out = []
    for by in (["item"], ["user"], ["user", "item"]):
        table = ask.cumulative(by, ask.pl.int_range(1, ask.pl.len() + 1).over(by).alias("n"))
        now = ask.as_of(table, by)["n"].fill_null(0).to_numpy()
        out += [now - ask.as_of(table, by, back)["n"].fill_null(0).to_numpy() for back in BACK]
    return np.stack(out, axis=1).astype(np.float32)


def polars_features(data: Dataset, rows: Candidates) -> Float32Array:
    """Return the thirty features, (N, 30), in the order of :func:`block`."""
    ask = _Polars(data, rows)
    pl, half_life, month = ask.pl, 14 * DAY, 30 * DAY
    now = rows.now

    def view(by: list[str], *more: Any) -> Callable[..., Any]:
        grown = 2.0 ** (pl.col("t") / half_life)
        table = ask.cumulative(
            by,
            pl.int_range(1, pl.len() + 1).over(by).alias("n"),
            grown.cum_sum().over(by).alias("decayed"),
            pl.col("t").first().over(by).alias("first"),
            pl.col("t").alias("last"),
            *more,
        )
        found = {back: ask.as_of(table, by, back) for back in (0.0, *BACK)}

        def column(name: str, back: float = 0.0, fill: float | None = 0.0) -> Any:
            series = found[back][name]
            return (series if fill is None else series.fill_null(fill)).to_numpy()

        return column

    pair_gap = pl.col("t").diff().over(["user", "item"])
    next_gap = pl.col("t").diff(-1).over(["user", "item"]).abs()
    first_of_pair = pair_gap.is_null()
    first_of_session = pl.struct("user", "session").is_first_distinct()

    def part(column: Any) -> list[Any]:
        n = column("n")
        recency, age = now - column("last", fill=None), now - column("first", fill=None)
        decayed = column("decayed") * 2.0 ** (-now / half_life)
        counts = [n - column("n", back) for back in BACK]
        return [n, recency, age, decayed, counts]

    with np.errstate(all="ignore"):
        item = view(
            ["item"],
            first_of_pair.cum_sum().over("item").alias("users"),
            (pair_gap.is_null() | (pair_gap > month)).cum_sum().over("item").alias("began"),
            (next_gap.is_null() | (next_gap > month)).cum_sum().over("item").alias("ended"),
        )
        user = view(
            ["user"],
            first_of_pair.cum_sum().over("user").alias("items"),
            first_of_session.cum_sum().over("user").alias("sessions"),
        )
        pair = view(["user", "item"])
        n, recency, age, decayed, counts = part(item)
        users = item("users")
        out = [*counts, decayed, recency / DAY, age / DAY, np.log((counts[0] + 1) / (counts[2] + 1) * 30)]
        out += [item("began") - item("ended", month), users, (n - users) / n]
        n, recency, age, user_decayed, counts = part(user)
        items, sessions = user("items"), user("sessions")
        gap = np.where(n > 1, (age - recency) / DAY / (n - 1), np.nan)
        out += [*counts, user_decayed, recency / DAY, age / DAY, gap, items, (n - items) / n]
        out += [1.0 + (n >= 5) + (n >= 50), sessions, n / sessions]
        n, recency, age, decayed, counts = part(pair)
        gap = np.where(n > 1, (age - recency) / (n - 1), np.nan)
        due = np.where(gap > 0, recency / gap, np.nan)
        out += [n, *counts[1:], decayed, decayed / user_decayed, recency / DAY, gap / DAY, due]
    return np.stack([np.asarray(column, np.float32) for column in out], axis=1)


def our_counts(index: EventIndex, rows: Candidates) -> Float32Array:
    """Return counts of items, users and pairs in three windows, (N, 9)."""
    when = index.query_times(rows.now)
    views = [
        index["item"].as_of(when, rows.item),
        index["user"].as_of(when, rows.user),
        index["user*item"].as_of(when, rows.user, rows.item),
    ]
    counts = [view.count(back) for view in views for back in BACK]
    return np.stack(counts, axis=1).astype(np.float32)


def _timed(call: Callable[[], Any], repeat: int) -> tuple[Any, float]:
    result, best = None, np.inf
    for _ in range(repeat):
        start = time.perf_counter()
        result = call()
        best = min(best, time.perf_counter() - start)
    return result, best


def _same(ours: Float32Array, theirs: Float32Array) -> float:
    """Return the share of equal values, missing ones too."""
    return float(np.isclose(ours, theirs, rtol=1e-4, atol=1e-6, equal_nan=True).mean())


def _one_request(fitted: Assemble, data: Dataset) -> tuple[float, float]:
    """Return p50 and p99 of one request of 1,000 items a minute after the last event, in milliseconds."""
    rng = np.random.default_rng(2)
    log = data.interactions
    batches = []
    for place in rng.integers(0, len(log), 300):
        items = rng.permutation(np.unique(log.item[rng.integers(0, len(log), 1300)])[:1000])
        requests = Requests.build(log.user[[place]], now=SPAN + 60.0)
        batches.append(Candidates.from_lists([items], requests=requests))
    place = iter(range(10**9))
    seconds = measure(lambda: fitted.featurize(batches[next(place) % 300]), warmup=300, repeat=900)
    p50, p99 = np.percentile(seconds, [50, 99]) * 1e3
    return float(p50), float(p99)


def requests_checked(data: Dataset) -> list[Check]:
    """Ask one request at a time: items ready for the hour, all as of now, and with a live tail of 1,000 events."""
    kept = block(ready=True).fit(data)
    kept.blocks_[0].refresh(SPAN + 60.0)
    p50, p99 = _one_request(kept, data)
    name = "one request, 1,000 x 30"
    checks = [
        Check.at_most(f"{name}, items ready for the hour: p50", p50, 0.6, "ms"),
        Check.at_most(f"{name}, items ready for the hour: p99", p99, 5.0, "ms"),
    ]
    del kept
    live = LiveEvents()
    following = block(live_events=live).fit(data)
    for label in ("all as of now", "all as of now, with a live tail"):
        p50, p99 = _one_request(following, data)
        checks += [
            Check.info(f"{name}, {label}: p50", p50, "ms"),
            Check.at_most(f"{name}, {label}: p99", p99, 5.0, "ms"),
        ]
        late = data.interactions.take(slice(0, 1000))
        columns = {"user_id": late.user, "item_id": late.item, "timestamp": late.timestamp / SPAN + SPAN}
        live.append(columns, now=np.inf)
    return checks


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeat", type=int, default=2)
    options = parser.parse_args()
    os.environ["POLARS_MAX_THREADS"] = "1"
    pin_to_core()
    data = made_log(options.events)
    rows = asked(data, options.rows)
    start = time.perf_counter()
    fitted = block().fit(data)
    build = time.perf_counter() - start
    ours, seconds = _timed(partial(fitted.featurize, rows), options.repeat)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    spaces = [Keyspace(("item",)), Keyspace(("user",)), Keyspace(("user", "item"))]
    counted, count_build = _timed(lambda: EventIndex.build(data, spaces), 1)
    counts, count_seconds = _timed(partial(our_counts, counted, rows), options.repeat)
    del counted
    their_counts, their_count_seconds = _timed(lambda: polars_counts(data, rows), options.repeat)
    theirs, their_seconds = _timed(lambda: polars_features(data, rows), options.repeat)
    keyed = fitted.index_.keyed
    bytes_each = max(
        (part.nbytes - sum(s.nbytes for s in part.sums.values())) / options.events for part in keyed.values()
    )
    checks = [
        Check.info("index", build, "s"),
        Check.info("30 features", seconds, "s"),
        Check.info("30 features in Polars, its tables included", their_seconds, "s"),
        Check.at_least(
            "whole block: Polars' time over ours, with our index", their_seconds / (seconds + build), 3.0
        ),
        Check.info("whole block: Polars' time over ours, index built", their_seconds / seconds),
        Check.info("9 windowed counts", count_seconds, "s"),
        Check.info("index for them", count_build, "s"),
        Check.info("9 windowed counts in Polars, its tables included", their_count_seconds, "s"),
        Check.at_least(
            "windowed counts: Polars' time over ours, index built", their_count_seconds / count_seconds, 8.0
        ),
        Check.info("windowed counts: with our index", their_count_seconds / (count_seconds + count_build)),
        Check.at_least("equal values, share", min(_same(ours, theirs), _same(counts, their_counts)), 0.9999),
        Check.at_most("most bytes an event in a keyspace, sums apart", bytes_each, 40.0, "B"),
        Check.info("peak memory before Polars", peak, "GB"),
    ]
    del fitted
    checks += requests_checked(data)
    report("features", checks)


if __name__ == "__main__":
    main()
