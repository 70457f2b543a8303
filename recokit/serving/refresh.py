"""Refresh: what is done again and again beside serving, on schedules and when something asks for it."""

from __future__ import annotations

import copy
import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from recokit._utils.options import between, error_text, require, shown, traced
from recokit._utils.params import clone
from recokit.data import Dataset
from recokit.data.recode import recoded
from recokit.data.times import seconds
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.evaluation import Advice, RollingQuality
from recokit.pipeline import Pipeline
from recokit.protocols import LearnsOn, Role, Trainable, bound

_LOGGER = logging.getLogger("recokit")
#: Seconds between two looks at what a job waits for.
_LOOK = 1.0


@dataclass(frozen=True, eq=False)
class Job:
    """Something to do again and again.

    Parameters
    ----------
    name : str
        How it is called in logs and :meth:`Refresh.status`.
    run : callable
        Does it; takes nothing. It is never called twice at a time.
    every : duration, optional
        Time from the end of one run to the next; none without a schedule.
    jitter : float, default 0.1
        Each wait is longer or shorter by up to this share, so that many processes do not all work at once.
    when : callable, optional
        Asked once a second: a reason to run now, or a false value. Such as :func:`aging`.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Notes
    -----
    With neither ``every`` nor ``when`` a job is done when :meth:`Refresh.trigger` asks for it.
    """

    name: str
    run: Callable[[], Any]
    every: str | float | None = None
    jitter: float = 0.1
    when: Callable[[], Any] | None = None

    def __post_init__(self) -> None:
        require(between(0, 1, open_high=True), jitter=self.jitter)
        if not isinstance(self.name, str) or not self.name or not callable(self.run):
            raise ConfigurationError(f"found job {shown(self.name)}; expected a name and a function")
        if self.when is not None and not callable(self.when):
            raise ConfigurationError(f"found when={shown(self.when)} of job {self.name}; expected a function")
        try:
            if self.every is not None and not seconds(self.every) > 0:
                raise DataError("nothing")
        except DataError as error:
            raise ConfigurationError(
                f"found every={shown(self.every)} of job {self.name}; expected a duration such as '10min', or None"
            ) from error

    def wait(self, draw: random.Random) -> float:
        """Return the seconds until the next run, ``inf`` without a schedule."""
        if self.every is None:
            return float("inf")
        return seconds(self.every) * (1.0 + self.jitter * draw.uniform(-1.0, 1.0))


@dataclass(frozen=True)
class JobStatus:
    """How a job is doing.

    Parameters
    ----------
    name : str
    runs, errors : int
        Runs that ended well and runs that failed.
    running : bool
    reason : str
        Why it ran last: ``"schedule"``, what ``when`` gave, or what ``trigger`` said.
    error : str
        What the last run failed with; empty if it ended well.
    took : float
        Seconds of the last run.
    ended_at : float or None
        When the last run ended, seconds since 1970.
    """

    name: str
    runs: int = 0
    errors: int = 0
    running: bool = False
    reason: str = ""
    error: str = ""
    took: float = 0.0
    ended_at: float | None = None


class Refresh:
    """Do jobs in the background: new sources, indexes, popularity, item features, stock, whole models.

    Each job has a thread of its own, so a training that takes an hour holds up no stock. A job that fails is logged,
    counted and done again at its next time. What a job makes it puts in place itself: ``live.set(...)``,
    ``candidates.Refreshed(...).refresh(dataset)``, ``artifacts.publish(pipeline)``.

    Parameters
    ----------
    jobs : sequence of Job
        With distinct names.
    seed : int, optional
        Of the jitter; by default drawn, so that each process has its own.

    Raises
    ------
    ConfigurationError
        For no job, or two of the same name.

    Examples
    --------
    >>> refresh = Refresh([Job("stock", lambda: print("read"), every="1min")])
    >>> with refresh:
    ...     refresh.trigger("stock", "a delivery")
    ...     done = refresh.wait("stock", timeout=10.0)
    read
    >>> refresh.status()[0].reason
    'a delivery'
    """

    def __init__(self, jobs: Sequence[Job], *, seed: int | None = None) -> None:
        names = [job.name for job in jobs]
        if not names or len(set(names)) < len(names):
            raise ConfigurationError(
                f"found jobs {', '.join(names) or 'none'}; expected distinct names, at least one"
            )
        self.jobs, self.seed = tuple(jobs), seed
        self._threads: list[threading.Thread] = []
        self._changed = threading.Condition()
        self._stopped = True
        self._asked: dict[str, str] = {}
        self._status = {name: JobStatus(name) for name in names}

    def start(self) -> Refresh:
        """Start the schedules; the first run of each comes after its first wait.

        Raises
        ------
        ConfigurationError
            If it runs already.
        """
        with self._changed:
            if not self._stopped:
                raise ConfigurationError("found a refresh that runs; expected stop() before start()")
            self._stopped = False
        draws = [random.Random(None if self.seed is None else f"{self.seed} {job.name}") for job in self.jobs]
        # Daemons: a job that hangs must not keep the process from ending.
        self._threads = [
            threading.Thread(target=self._go_on, args=pair, name=f"recokit-{pair[0].name}", daemon=True)
            for pair in zip(self.jobs, draws, strict=True)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def stop(self, timeout: float = 5.0) -> None:
        """Start no further run, and wait at most so many seconds for those under way."""
        with self._changed:
            self._stopped = True
            self._changed.notify_all()
        end = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))
        self._threads = []

    def __enter__(self) -> Refresh:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def trigger(self, name: str, reason: str = "asked") -> None:
        """Have a job done now; if it is under way, once more after that. Asking twice before it begins is asking once.

        Raises
        ------
        ConfigurationError
            For an unknown name.
        """
        if name not in self._status:
            raise ConfigurationError(f"found no job {name!r}; {did_you_mean(name, self._status)}")
        with self._changed:
            self._asked[name] = reason
            self._changed.notify_all()

    def triggers(self, jobs: Mapping[str, str]) -> Callable[[Sequence[Mapping[str, Any]]], None]:
        """Return a function for ``Feed(on_events=...)`` that triggers a job for events of a type.

        Parameters
        ----------
        jobs : mapping of str to str
            Event type to name of a job, such as ``{"catalogue_changed": "index"}``.

        Raises
        ------
        ConfigurationError
            For an unknown job.
        """
        for name in jobs.values():
            if name not in self._status:
                raise ConfigurationError(f"found no job {name!r}; {did_you_mean(name, self._status)}")

        def on_events(events: Sequence[Mapping[str, Any]]) -> None:
            for kind in dict.fromkeys(event["event"] for event in events):
                if kind in jobs:
                    self.trigger(jobs[kind], f"event {kind}")

        return on_events

    def wait(self, name: str, timeout: float | None = None) -> bool:
        """Wait until a job is neither asked for nor under way; return whether it is so."""
        with self._changed:
            return self._changed.wait_for(
                lambda: name not in self._asked and not self._status[name].running, timeout
            )

    def status(self) -> tuple[JobStatus, ...]:
        """Return how the jobs are doing, in their order."""
        return tuple(self._status[job.name] for job in self.jobs)

    def __repr__(self) -> str:
        return f"Refresh({len(self.jobs)} jobs: {', '.join(job.name for job in self.jobs)})"

    def _go_on(self, job: Job, draw: random.Random) -> None:
        due = time.monotonic() + job.wait(draw)
        while True:
            reason = self._reason(job, due)
            if reason is None:
                return
            if reason:
                self._do(job, reason)
                due = time.monotonic() + job.wait(draw)

    def _reason(self, job: Job, due: float) -> str | None:
        """Wait for a reason to run and return it; empty where there is none yet, None to end."""
        with self._changed:
            left = min(due - time.monotonic(), threading.TIMEOUT_MAX if job.when is None else _LOOK)
            self._changed.wait_for(lambda: self._stopped or job.name in self._asked, max(left, 0.0))
            if self._stopped:
                return None
            if job.name in self._asked:
                self._status[job.name] = replace(self._status[job.name], running=True)
                return self._asked.pop(job.name)
        if time.monotonic() >= due:
            return "schedule"
        try:
            found = job.when() if job.when is not None else ""
        except Exception as error:
            self._note(job, runs=0, error=f"when: {error_text(error)}")
            return ""
        return str(found) if found else ""

    def _do(self, job: Job, reason: str) -> None:
        with self._changed:
            self._status[job.name] = replace(self._status[job.name], running=True, reason=reason)
        start, error = time.monotonic(), ""
        try:
            job.run()
        except Exception as failure:  # a job that fails is done again at its next time
            error = error_text(failure)
            _LOGGER.warning("job %s failed: %s", job.name, traced(failure))
        self._note(job, runs=int(not error), error=error, took=time.monotonic() - start)

    def _note(self, job: Job, *, runs: int, error: str, took: float = 0.0) -> None:
        with self._changed:
            old = self._status[job.name]
            self._status[job.name] = replace(
                old,
                runs=old.runs + runs,
                errors=old.errors + int(bool(error)),
                running=False,
                error=error,
                took=took,
                ended_at=time.time(),
            )
            self._changed.notify_all()


def aging(quality: RollingQuality) -> Callable[[], str]:
    """Return a ``when`` of a job that retrains: each new advice of ``TRAIN_MORE_OFTEN`` is one reason.

    Parameters
    ----------
    quality : RollingQuality
        To which somebody adds the evaluation of each test window.

    Examples
    --------
    >>> when = aging(RollingQuality())
    >>> when()
    ''
    """
    seen = len(quality.history)

    def when() -> str:
        nonlocal seen
        new, seen = quality.history[seen:], len(quality.history)
        return next((str(one) for one in new[::-1] if one.advice is Advice.TRAIN_MORE_OFTEN), "")

    return when


def learned_on(pipeline: Pipeline, dataset: Dataset, *names: str) -> Pipeline:
    """Return a pipeline whose sources learned from newer data, everything else shared.

    A source that has ``partial_fit`` goes on from what it knows, in a fraction of the time; others are fitted anew.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted; it is not changed.
    dataset : Dataset
        All data, the old and the new. Items and users that the pipeline does not know stay unknown: they take a fit of
        the whole pipeline.
    *names : str
        Paths of sources.

    Raises
    ------
    ConfigurationError
        For an unknown path, or a stage that is no source that learns.

    Examples
    --------
    >>> import recokit as rk
    >>> data = rk.testing.toy_dataset()
    >>> pipeline = rk.Pipeline([rk.candidates.Merge([rk.candidates.IALS(n_factors=4), rk.candidates.Popular()])])
    >>> newer = learned_on(pipeline.fit(data), data, "merge.ials", "merge.popular")
    >>> newer.fingerprint != pipeline.fingerprint
    True
    """
    known = recoded(dataset, pipeline.schema)
    roles = {node.name: node.role for node in pipeline}
    for name in names:
        stage = pipeline[name]
        if roles[name] is not Role.SOURCE or not isinstance(stage, Trainable):
            raise ConfigurationError(
                f"found {name}, which is no source that learns; expected one such as Popular"
            )
        learned = (
            copy.copy(stage).partial_fit(known) if isinstance(stage, LearnsOn) else clone(stage).fit(known)
        )
        pipeline = pipeline.replace(name, bound(learned, pipeline.schema))
    return pipeline
