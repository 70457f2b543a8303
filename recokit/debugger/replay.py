"""Replayer: requests run again, here and on the baseline, as evidence of each user."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from recokit.data import Dataset, Requests, Vocabulary
from recokit.debugger.captured import Captured, captured_rows, n_shared, ranked_batch, retrieved_batch
from recokit.debugger.evidence import Evidence
from recokit.debugger.recorded import Recorded
from recokit.debugger.scan import Scan
from recokit.debugger.tables import columns_lost
from recokit.debugger.user_log import UserLog
from recokit.errors import ConfigurationError
from recokit.protocols import Runnable
from recokit.trace import Trace
from recokit.typing import FloatArray, IntArray

#: Times that a request which looks slow runs again: at most, and where no run of the baseline was as slow.
AGAIN, SURE = 12, 5
#: How many times a request's budget the debugger waits for a run of its own, and by default for a whole diagnosis.
PATIENCE, LONGEST = 10.0, 20.0

#: Other users whose candidates tell which recall is ordinary, and how many there must be.
OTHERS, MIN_OTHERS = 32, 8

#: Stands for the scan where there was none.
NOT_SCANNED = Scan()


@dataclass(frozen=True, eq=False)
class Replayer:
    """Runs requests on a pipeline and its baseline, with the same live values, unseen by observers.

    Parameters
    ----------
    pipeline : Runnable
    baseline : Runnable, optional
    known_good : Dataset or mapping, optional
        See :class:`recokit.debugger.RecommendationDebugger`.
    budget : float
        Seconds that a request may take.
    longest : float, default inf
        Seconds after which the diagnosis of one request starts no further run.
    """

    pipeline: Runnable
    baseline: Runnable | None
    known_good: Dataset | Mapping[Any, Sequence[Any]] | None
    budget: float
    longest: float = np.inf

    def evidence(
        self,
        requests: Requests,
        users: Sequence[Any],
        *,
        trace: Trace | None = None,
        scan: Scan = NOT_SCANNED,
        scale: Mapping[str, float] | None = None,
        recorded: Sequence[Recorded] | None = None,
        log: UserLog | None = None,
    ) -> Iterator[Evidence]:
        """Run requests as one batch, or read their captured trace, and give the evidence of each row."""
        again, started = trace is None, time.perf_counter()
        trace = self._run(self.pipeline, requests) if trace is None else trace
        codes = self.codes
        known = () if self.baseline is None or codes is not None else self.baseline
        runs = [(self.pipeline, replace(requests, pinned=trace.requests.pinned), trace)]
        if self.baseline is not None:
            theirs = translated(requests, users, self.pipeline, self.baseline)
            # The same live values, whatever has changed by now.
            theirs = replace(theirs, pinned=trace.requests.pinned)
            runs.append((self.baseline, theirs, self._run(self.baseline, theirs)))
        alone = again and len(requests) == 1
        times = self._times(runs, started + self.longest) if alone else [{} for _ in runs]
        captured = Captured(trace, tuple(self.pipeline), tuple(known), times[0])
        usual = None
        if self.baseline is not None:
            usual = Captured(runs[1][2], tuple(self.baseline), seconds=times[1])
        scale = scale if scale is not None else {}
        good = self._good_items(users)
        for row in range(len(requests)):
            reference = None
            if usual is not None and self.baseline is not None:
                reference = Evidence(
                    usual, row, good[row], self.baseline.schema, self.budget, scale=scale, codes=codes
                )
            yield Evidence(
                captured,
                row,
                good[row],
                self.pipeline.schema,
                self.budget,
                scan=scan,
                scale=scale,
                baseline=reference,
                recorded=None if recorded is None else recorded[row],
                recall_of_others=self.recall_of_others,
                log=log,
                columns_lost=self._columns_lost,
            )

    @cached_property
    def _columns_lost(self) -> dict[str, float]:
        return {} if self.baseline is None else columns_lost(self.pipeline.schema, self.baseline.schema)

    @property
    def codes(self) -> IntArray | None:
        """The code here of each of the baseline's items, None where they are the same."""
        if self.baseline is None:
            return None
        mine, theirs = self.pipeline.schema.item_ids, self.baseline.schema.item_ids
        if mine.fingerprint == theirs.fingerprint:
            return None
        return np.concatenate([[0], mine.encode(theirs.decode(np.arange(1, len(theirs) + 1)))]).astype(
            np.int64
        )

    def _run(self, pipeline: Runnable, requests: Requests) -> Trace:
        return replay(pipeline, requests, self.budget)

    @cached_property
    def _sampled_recall(self) -> dict[float, FloatArray]:
        return {}

    def recall_of_others(self, now: float) -> FloatArray:
        """Return the shares of their known-good items that some users' candidates hold, (n,), for a time.

        Of a few users with known-good items, whoever is diagnosed; they run once, as one batch.
        """
        if now not in self._sampled_recall:
            users = self._with_known_good()
            found = np.zeros(0)
            if users:
                requests = self.pipeline.requests(users, now=now)
                batch = retrieved_batch(replay(self.pipeline, requests, self.budget))
                good = self._good_items(users)
                if batch is not None:
                    rows = [captured_rows(batch, row) for row in range(len(users))]
                    found = np.array(
                        [
                            n_shared(own, items) / len(own)
                            for own, items in zip(good, rows, strict=True)
                            if own is not None and len(own)
                        ]
                    )
            self._sampled_recall[now] = found
        return self._sampled_recall[now]

    def _with_known_good(self) -> list[Any]:
        """Return some of the users with known-good items, spread over all of them."""
        if self.known_good is None:
            return []
        if isinstance(self.known_good, Dataset):
            active = np.unique(self.known_good.interactions.user)
            users = self.known_good.user_ids.decode(_spread(active[active > 0], OTHERS)).tolist()
        else:
            named = [user for user, items in self.known_good.items() if len(items)]
            users = [named[place] for place in _spread(np.arange(len(named)), OTHERS)]
        return users if len(users) >= MIN_OTHERS else []

    def _times(
        self, runs: Sequence[tuple[Runnable, Requests, Trace]], deadline: float = np.inf
    ) -> list[dict[str, float]]:
        """Return the time of each stage, and of the whole under "", here and in the baseline.

        Where one looks slow, the two run some more times, in turns: a slow stage stays slow, and a busy machine slows
        both. Here the minimum counts, of the baseline the lower quartile, so that a lucky run of it accuses nobody.
        """
        taken = [[_seconds(trace)] for _, _, trace in runs]
        for turn in range(AGAIN):
            sure = turn >= SURE and self._looks_slow(*_over(taken, (min, max)))
            # Only a turn that would end in time is begun.
            ends = time.perf_counter() + sum(times[-1][""] for times in taken)
            if sure or ends >= deadline or not self._looks_slow(*_over(taken, USUALLY)):
                break
            # One stall of the first run is the usual reason: that one alone runs again first.
            again = list(zip(taken, runs, strict=True))[: None if turn else 1]
            for times, (pipeline, requests, _) in again:
                times.append(_seconds(self._run(pipeline, requests)))
        return _over(taken, USUALLY)

    def _looks_slow(self, taken: Mapping[str, float], usual: Mapping[str, float] | None = None) -> bool:
        """Whether there is reason to run again, which is sooner than the checks call a stage slow."""
        if usual is None:
            return taken[""] > self.budget
        before = {name: usual.get(name, 0.0) for name in taken}
        return any(
            t > 1.5 * before[name] and t > before[name] + 0.1 * self.budget for name, t in taken.items()
        )

    def _good_items(self, users: Sequence[Any]) -> list[IntArray | None]:
        if self.known_good is None:
            return [None] * len(users)
        item_ids = self.pipeline.schema.item_ids
        if isinstance(self.known_good, Dataset):
            return _events_of(self.known_good, users, item_ids)
        return [np.sort(item_ids.encode(_listed(self.known_good, user))) for user in users]


def _seconds(trace: Trace) -> dict[str, float]:
    """Return the time of each stage, and of the whole under ""."""
    taken: dict[str, float] = {"": trace.seconds}
    for event in trace.events:
        taken[event.name] = taken.get(event.name, 0.0) + event.seconds
    return taken


def _over(
    taken: Sequence[Sequence[Mapping[str, float]]], reduced: Sequence[Callable[[list[float]], float]]
) -> list[dict[str, float]]:
    """Reduce several runs of each pipeline to one, stage by stage of the first."""
    return [
        {name: of([run.get(name, t) for run in runs]) for name, t in runs[0].items()}
        for runs, of in zip(taken, reduced, strict=False)
    ]


def _lower_quartile(values: list[float]) -> float:
    return sorted(values)[len(values) // 4]


#: How several runs reduce to one, here and of the baseline.
USUALLY: tuple[Callable[[list[float]], float], ...] = (min, _lower_quartile)


def replay(pipeline: Runnable, requests: Requests, budget: float) -> Trace:
    """Run requests with everything captured, side effects off, in the debugger's own time."""
    return pipeline.run(
        requests, capture="full", budget_ms=1e3 * PATIENCE * budget * len(requests), observe=False
    ).trace


def single_request(requests: Requests, row: int) -> Requests:
    """Return one row of an earlier run's requests, to run again, with the live values that it read.

    It holds on to nothing else of that run.
    """
    one = requests.take(np.array([row]))
    return Requests(
        user=one.user,
        k=one.k,
        now=one.now,
        seed=one.seed,
        columns=one.columns,
        ragged=one.ragged,
        from_caller=one.from_caller,
        pinned=requests.pinned,
    )


def translated(requests: Requests, users: Sequence[Any], mine: Runnable, other: Runnable) -> Requests:
    """Return the same requests in the codes of another pipeline."""
    a, b = mine.schema, other.schema
    same_items = a.item_ids.fingerprint == b.item_ids.fingerprint
    if same_items and a.user_ids.fingerprint == b.user_ids.fingerprint:
        return requests
    known = [index for index, user in enumerate(users) if user is not None]
    user = np.zeros(len(users), np.int64)
    if known:
        user[known] = b.user_ids.encode([users[index] for index in known])
    ragged = requests.ragged
    if not same_items:
        ragged = {
            name: replace(lists, values=b.item_ids.encode(a.item_ids.decode(lists.values)))
            for name, lists in ragged.items()
        }
    return replace(requests, user=user, ragged=ragged, user_ids=None)


def feature_scale(trace: Trace) -> dict[str, float]:
    """Return the standard deviation of each feature over the ranked candidates of a run."""
    batch = ranked_batch(trace)
    if batch is None or len(batch) < 2:
        return {}
    known = np.isfinite(batch.features)
    n = np.maximum(known.sum(axis=0), 1)
    values = np.where(known, batch.features, 0.0).astype(np.float64)
    mean = values.sum(axis=0) / n
    spread = np.sqrt(np.maximum((np.where(known, values - mean, 0.0) ** 2).sum(axis=0) / n, 0.0))
    return dict(zip(batch.feature_names, spread.tolist(), strict=True))


def _events_of(log: Dataset, users: Sequence[Any], item_ids: Vocabulary) -> list[IntArray | None]:
    named = [user for user in users if user is not None]
    codes = iter(log.user_ids.encode(named).tolist() if named else [])
    items_of: list[IntArray | None] = []
    events = log.interactions
    for user in users:
        code = next(codes) if user is not None else 0
        items = np.unique(events.item[events.user == code]) if code else np.zeros(0, np.int64)
        items_of.append(np.sort(item_ids.encode(log.item_ids.decode(items))) if len(items) else items)
    return items_of


def _listed(known_good: Mapping[Any, Sequence[Any]], user: Any) -> list[Any]:
    ids = known_good.get(user, ())
    if isinstance(ids, str | bytes):
        raise ConfigurationError(
            f"found known_good={ids!r} of user {user!r}; expected a list of item ids; hint: [{ids!r}]"
        )
    return list(dict.fromkeys(ids))


def _spread(values: IntArray, n: int) -> IntArray:
    """Return at most so many of some values, spread over all of them."""
    if len(values) <= n:
        return values
    spread: IntArray = values[np.unique(np.linspace(0, len(values) - 1, n).round().astype(np.int64))]
    return spread
