"""Service: requests in, lists out, within their time, whatever fails behind it."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

from recokit._utils.options import above, check_options, error_text, optional, rules, whole
from recokit._utils.resilience.bulkhead import Bulkhead
from recokit.errors import ConfigurationError, DataError, NotReady
from recokit.pipeline import Pipeline
from recokit.protocols import Observer
from recokit.serving import turns
from recokit.serving.admission import Admission, batch_seconds
from recokit.serving.ask import Answer, Ask, checked_lists
from recokit.serving.attempt import attempt
from recokit.serving.counts import ServiceMonitor
from recokit.serving.delivery import FuturePlace, Nowhere, Place, Result, deliver, raised
from recokit.serving.drill import DrillReport, drill
from recokit.serving.engine import MAX_HANGING, Engine, Keeper
from recokit.serving.lists import CachedList, ListCache
from recokit.serving.pace import Pace
from recokit.serving.precomputed import Precomputed
from recokit.serving.quality import Quality
from recokit.serving.served import Served, one_row
from recokit.serving.shed import Shed
from recokit.serving.warming import Versions, prepared, watch
from recokit.trace import Status

_LOGGER = logging.getLogger("recokit.serving")
#: Seconds that a thread waits for its answer beyond its time: the service answers, even if late.
_PATIENCE = 1.0
#: Batches at a time where stages wait.
_THREADS = 4
_OPTIONS = rules(budget_ms=above(0), coalesce=whole(1, 512), threads=optional(whole(1)))


class Service:
    """A fitted pipeline as a service.

    Requests that wait are run together, each with its own options and its own time, which includes the time it waits.
    Where the model does not answer in time, the request is answered from a list made earlier, else from the one made
    ahead; hard filters, limits and labels hold for these as of the request. Where too many wait, effort is lowered, and
    then requests are turned away with :class:`~recokit.errors.Overloaded`, which says when to ask again.

    Parameters
    ----------
    models : Pipeline or Artifacts
        What serves. Of versions, the current one; a new one is loaded and warmed aside and then swapped in.
    fallback : Precomputed
        The list made ahead. It is made again for each model that comes.
    budget_ms : float, default 100.0
        Milliseconds of a request, from its arrival, where it does not say.
    coalesce : int, default 64
        Rows that run together at most, up to 512.
    shed : Shed, optional
        Which requests are turned away; ``Shed()`` by default.
    quality : Quality, optional
        How effort is lowered before; ``Quality()`` by default.
    lists : ListCache, optional
        Lists made earlier; by default none are kept.
    threads : int, optional
        Batches that run at a time. By default 1, since the interpreter computes no more with several, and 4 where a
        stage waits for input and output.
    observers : sequence of Observer
        See the traces of all runs, beside the pipeline's own.
    poll : float, default 1.0
        Seconds between looks for a new version.
    clock : callable
        Tells seconds; ``time.monotonic`` by default.

    Attributes
    ----------
    monitor : ServiceMonitor
        Counts what the service did, for ``monitoring.PrometheusCollector``.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Examples
    --------
    >>> import recokit as rk
    >>> data = rk.testing.toy_dataset()
    >>> pipeline = rk.Pipeline([rk.candidates.Popular()]).fit(data)
    >>> service = Service(pipeline, fallback=Precomputed.of(pipeline, now=data.until)).start()
    >>> answer = service.recommend_now("user-7", k=3, now=data.until)
    >>> answer.ids() == pipeline.recommend(["user-7"], k=3, now=data.until).ids(0)
    True
    >>> service.stop()
    """

    def __init__(
        self,
        models: Pipeline | Versions,
        *,
        fallback: Precomputed | None = None,
        budget_ms: float = 100.0,
        coalesce: int = 64,
        shed: Shed | None = None,
        quality: Quality | None = None,
        lists: ListCache | None = None,
        threads: int | None = None,
        observers: Sequence[Observer] = (),
        poll: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.models, self.fallback, self.budget_ms, self.coalesce = models, fallback, budget_ms, coalesce
        self.threads = threads
        check_options(self, _OPTIONS)
        self.shed, self.quality, self.lists = shed or Shed(), quality or Quality(), lists
        self.observers, self.poll, self.clock = tuple(observers), poll, clock
        self.monitor = ServiceMonitor(self)
        self._served: Served | None = None
        self._state = "new"
        self._starting = threading.Lock()
        self._new_threads()

    def _new_threads(self) -> None:
        """Set up what belongs to one process."""
        self._pid = os.getpid()
        self._lock = threading.Lock()
        self.pace = Pace()
        self._aside, self._flying = Bulkhead(patience=60.0), dict[Hashable, Ask]()
        within = batch_seconds(self.budget_ms, self.shed.queue_ms)
        self._engine = Engine(self._run, self.pace, most=self.coalesce, within=within, clock=self.clock)
        self._admission = Admission(self._engine, self.shed, self.budget_ms / 1e3)
        self._keeper = Keeper(self._late, self.clock)

    # -- life --------------------------------------------------------------------------------------

    def start(self) -> Service:
        """Load, warm and drill, and then be ready.

        Raises
        ------
        ConfigurationError
            Without a list made ahead, or with one of which the rules let nothing pass.
        """
        if self.fallback is None:
            raise ConfigurationError(
                "found no fallback; expected the list that is shown where the model cannot answer; hint: "
                "Service(..., fallback=Precomputed.of(pipeline))"
            )
        with self._starting:
            if self._state == "ready" and self._pid == os.getpid():
                return self
            if self._pid != os.getpid():
                self._new_threads()
            if self._served is None:
                self._served = self._prepared(*self._loaded())
            self._engine.start(self.threads or (_THREADS if self._served.waits else 1))
            self._keeper.start()
            self._state = "ready"
            turns.shorten(self)
            if not isinstance(self.models, Pipeline):
                watch(
                    self.refresh, lambda: self._state == "ready", self.poll,
                    lambda: self.monitor.add("recokit_service_swap_failures"),
                )  # fmt: skip
        return self

    def _loaded(self) -> tuple[Pipeline, str]:
        if isinstance(self.models, Pipeline):
            return self.models, ""
        current = self.models.current
        if current is None:
            raise ConfigurationError(
                f"found no version in {self.models!r}; expected one; hint: publish(pipeline)"
            )
        return self.models.load(current.name), str(current.name)

    def _prepared(self, pipeline: Pipeline, version: str) -> Served:
        assert self.fallback is not None
        # Beside traffic batches take longer than they will: their time is learned before the first request only.
        pace = self.pace if self._served is None else Pace()
        options: dict[str, Any] = {"observers": self.observers, "rows": self.coalesce, "pace": pace}
        return prepared(pipeline, version, self.fallback, **options)

    def swap(self, pipeline: Pipeline, version: str = "") -> None:
        """Let another fitted pipeline serve from now on; requests under way end with the model they began with.

        It is warmed first. If that fails, the old one stays and the error is raised.
        """
        self._served = self._prepared(pipeline, version)
        if self.lists is not None:
            self.lists.clear()
        self.monitor.add("recokit_service_swaps")

    def refresh(self) -> bool:
        """Look for a new version and swap it in; tell whether there was one."""
        if isinstance(self.models, Pipeline):
            return False
        current = self.models.current
        if current is None or (self._served is not None and current.name == self._served.version):
            return False
        self.swap(self.models.load(current.name), str(current.name))
        return True

    def drain(self, timeout: float = 10.0) -> bool:
        """Take no more requests, answer those that wait, and stop; tell whether all were answered in time."""
        self._state = "draining"
        until = time.monotonic() + timeout
        while self._engine.busy and time.monotonic() < until:
            time.sleep(0.002)
        done = not self._engine.busy
        self.stop()
        return done

    def stop(self) -> None:
        """Stop at once."""
        self._state = "stopped"
        turns.restore(self)
        self._engine.stop()
        self._keeper.stop()

    # -- requests ----------------------------------------------------------------------------------

    async def recommend(self, user: Any = None, k: int = 10, **options: Any) -> Answer:
        """Return the list of one user, in an event loop; options and errors as for :meth:`recommend_now`."""
        ask = self._ask(user, k, options, place=FuturePlace())
        result = self._submit(ask)
        if result is None:
            try:
                result = await ask.place.future
            except asyncio.CancelledError:
                self._forget([ask])
                raise
        return raised(result)

    def recommend_now(self, user: Any = None, k: int = 10, **options: Any) -> Answer:
        """Return the list of one user, waiting for it in this thread.

        Parameters
        ----------
        user : id, optional
            External id; None for an anonymous user.
        k : int, default 10
            List length.
        history, session, items, exclude : sequence of item ids, optional
            As for ``Pipeline.recommend``, one list.
        context : mapping of str to value, optional
            Context columns.
        now, seed
            As for ``Pipeline.recommend``.
        budget_ms : float, optional
            Milliseconds from now; those of the service by default.
        caller : hashable, optional
            Who asks, such as a client's name: callers take turns.

        Raises
        ------
        Overloaded
            If too many wait, and there is no list made earlier.
        NotReady
            Before ``start``, and while it drains.
        DataError
            For an option that is none, or ids of the wrong kind.
        """
        return self.recommend_many([user], k, **options)[0]

    def recommend_many(self, users: Sequence[Any], k: int = 10, **options: Any) -> list[Answer]:
        """Return the lists of several users, each a row of its own that takes its turn; the options hold for all.

        Raises
        ------
        Overloaded, NotReady, DataError
            As for :meth:`recommend_now`, if any row is not answered.
        """
        asks = [self._ask(user, k, options, place=Place()) for user in users]
        results: list[Result | None] = []
        try:
            results += [self._submit(ask) for ask in asks]
            for row, ask in enumerate(asks):
                if results[row] is None:
                    results[row] = ask.place.get(ask.due + _PATIENCE - self.clock())
                if results[row] is None:
                    results[row] = self._model().nothing(ask, "no answer in time")
        except BaseException:
            self._forget(asks)
            raise
        return [raised(result) for result in results]

    def refusal(self) -> float | None:
        """Return after how many seconds to ask again where a request that came now would be turned away, else None.

        For whoever sees requests before they are read, such as :class:`Door`. It counts who is turned away.
        """
        if self._state != "ready":
            return None
        retry = self._admission.refusal()
        if retry is not None:
            self.monitor.add("recokit_service_shed")
        return retry

    def changed(self, user: Any) -> None:
        """Say that there is something new about a user: no list made before is shown to them."""
        if self.lists is not None:
            self.lists.changed(user)

    def _ask(self, user: Any, k: int, options: Mapping[str, Any], *, place: Any) -> Ask:
        given = dict(options)
        context, now, seed = given.pop("context", None), given.pop("now", None), given.pop("seed", 0)
        budget, caller = given.pop("budget_ms", None), given.pop("caller", None)
        lists = checked_lists(
            {name: given.pop(name, None) for name in ("history", "session", "items", "exclude")}
        )
        if given:
            raise DataError(f"found the option {next(iter(given))!r}; expected one of recommend_now")
        milliseconds = self.budget_ms if budget is None else budget
        if not 0 < milliseconds < float("inf"):
            raise DataError(f"found budget_ms={budget}; expected a positive number of milliseconds")
        arrived = self.clock()
        due = arrived + milliseconds / 1e3
        return Ask(
            user=user,
            k=k,
            lists=lists,
            context=dict(context or {}),
            now=now,
            seed=seed,
            caller=caller,
            arrived=arrived,
            due=due,
            place=place,
        )

    def _model(self) -> Served:
        if self._served is None or self._state != "ready":
            raise NotReady(f"found a service that is {self._state}; expected start() first", retry_after=1.0)
        if self._pid != os.getpid():
            self.start()  # a forked worker has no threads of its parent
        return self._served

    def _submit(self, ask: Ask) -> Result | None:
        """Return the answer where there is one at once; else it will be delivered."""
        served = self._model()
        if self.lists is not None:
            ask.key = self.lists.key(served.pipeline.fingerprint, ask)
        found = None if self.lists is None or ask.key is None else self.lists.get(ask.key, ask.arrived)
        if found is not None:
            return self._from_list(served, ask, *found)
        if ask.key is not None:
            self.monitor.add("recokit_service_list_misses")
            with self._lock:
                flying = self._flying.get(ask.key)
                if flying is not None and not flying.done:
                    flying.followers.append(ask)
                    self._keep_time(ask)
                    return None
        retry = self._admission.retry_after(ask.due - ask.arrived)
        if retry is not None:
            return self._turned_away(ask, retry)
        self._wait(ask)
        return None

    def _turned_away(self, ask: Ask, retry: float) -> Result | None:
        """Answer a row that may not wait: without the model, before the next batch, while there is time for that."""
        self.monitor.add("recokit_service_shed")
        if not self._admission.spares():
            return self._admission.overloaded(retry)
        self._keep_time(ask)
        self._admission.aside.append(ask)
        return None

    def _wait(self, ask: Ask) -> None:
        if ask.key is not None:
            with self._lock:
                self._flying[ask.key] = ask
        self._keep_time(ask)
        self._engine.put(ask)

    def _keep_time(self, ask: Ask) -> None:
        self._keeper.at(ask.until, ask)

    def _from_list(self, served: Served, ask: Ask, found: CachedList, fresh: bool) -> Result | None:
        """Return a list made earlier, as the rules of now let it pass; a stale one is made again aside."""
        if not fresh:
            self._make_again(ask)
        source = "cached" if fresh else "stale"
        if not served.rules_wait:
            try:
                return self._counted(served.recheck(ask, found.listed, source))
            except DataError as error:
                return error
            except Exception as error:
                self._degrade([ask], f"the list made earlier: {error_text(error)}")
                return None
        self._keeper.at(ask.due, ask, last=True)

        def check() -> None:
            left = max(ask.until - self.clock(), 1e-3)
            self._settle([(ask, served.recheck(ask, found.listed, source, seconds=left))])

        self._started_aside(check, [ask])
        return None

    def _make_again(self, ask: Ask) -> None:
        assert ask.key is not None
        with self._lock:
            if ask.key in self._flying:
                return
        again = self._ask(
            ask.user, ask.k, {**ask.lists, "context": ask.context, "seed": ask.seed}, place=Nowhere()
        )
        again.key, again.refresh = ask.key, True
        self._wait(again)

    def _started_aside(self, work: Callable[[], None], asks: Sequence[Ask]) -> None:
        """Start work that may hang; rows that it fails on get the answer that is left."""
        try:
            self._aside.start("fallback", lambda: self._guarded(work, asks))
        except Exception as error:
            self._give_up(asks, error_text(error))

    def _guarded(self, work: Callable[[], None], asks: Sequence[Ask]) -> None:
        try:
            work()
        except Exception as error:
            _LOGGER.warning("no list could be shown: %s", error_text(error))
            self._give_up(asks, error_text(error))

    # -- answers -----------------------------------------------------------------------------------

    def _run(self, asks: list[Ask]) -> None:
        """Run a batch, between those that were turned away: in the engine's thread."""
        self._admission.answer_aside(self._answer_aside)
        self._run_batch(asks)
        self._admission.answer_aside(self._answer_aside)

    def _run_batch(self, asks: list[Ask]) -> None:
        served = self._served
        assert served is not None
        began = self.clock()
        # Those whose time is over are answered without the model.
        rows = [ask for ask in asks if not ask.nobody_waits and ask.last_until > began]
        if len(rows) < len(asks):
            self._landed([ask for ask in asks if ask.nobody_waits or ask.last_until <= began])
        if not rows:
            return
        effort = self.quality.effort
        try:
            answers: Sequence[Result] = attempt(served, rows, effort, self.clock)
        except Exception as error:  # nothing may end this thread
            _LOGGER.exception("a batch failed: %s", error_text(error))
            answers = [error] * len(rows)
        ended = self.clock()
        self.pace.ran(len(rows), min(ended - began, max(ask.due - ask.arrived for ask in rows)))
        self.quality.took(max((ended - ask.arrived) / (ask.due - ask.arrived) for ask in rows))
        self.monitor.ran(len(rows), ended - began, [began - ask.arrived for ask in rows])
        self._finish(served, rows, answers, ended)

    def _finish(self, served: Served, asks: Sequence[Ask], answers: Sequence[Result], now: float) -> None:
        """Deliver what a batch gave; rows without an answer get one without the model."""
        settled: list[tuple[Ask, Result]] = []
        without: list[Ask] = []
        self._landed(asks)
        for ask, answer in zip(asks, answers, strict=True):
            self._keep_list(served, ask, answer, now)
            if isinstance(answer, DataError) or (isinstance(answer, Answer) and not ask.is_bare(answer)):
                settled += [(one, answer) for one in (ask, *ask.followers)]
            else:
                without += [ask, *ask.followers]
        self._settle(settled)
        if without:
            self._degrade(without, "the model failed")

    def _landed(self, asks: Sequence[Ask]) -> None:
        """Let nobody follow these rows any more: the next request of their key runs again."""
        with self._lock:
            for ask in asks:
                if ask.key is not None and self._flying.get(ask.key) is ask:
                    del self._flying[ask.key]

    def _keep_list(self, served: Served, ask: Ask, answer: Result, now: float) -> None:
        """Keep a list that is worth it."""
        if ask.key is None or self.lists is None:
            return
        if isinstance(answer, Answer) and answer.status in (Status.OK, Status.FALLBACK):
            current = self.lists.key(served.pipeline.fingerprint, ask)
            if current == ask.key:  # what happened during the run is not in it
                self.lists.put(ask.key, one_row(answer), now)

    def _late(self, due: list[tuple[Ask, bool]]) -> None:
        """Answer rows whose time has come: in the keeper's thread, at once."""
        if self._engine.pass_on():
            self.monitor.add("recokit_service_hung_batches")
        last = [ask for ask, final in due if final]
        self._give_up(last, "no answer in time")
        first = [ask for ask, final in due if not final]
        if first:
            alone = [ask for ask in first if all(one.done for one in ask.followers)]
            self._engine.drop(alone)
            self._landed(alone)
            self._degrade(first, "the model did not answer in time")

    def _degrade(self, asks: Sequence[Ask], why: str) -> None:
        """Answer rows without the model, aside."""
        waiting = [ask for ask in asks if not ask.done and not ask.refresh]
        served = self._served
        if not waiting or served is None:
            return
        for ask in waiting:
            self._keeper.at(ask.due, ask, last=True)
        self._started_aside(lambda: self._without_model(served, waiting, why), waiting)

    def _answer_aside(self, asks: Sequence[Ask]) -> None:
        """Answer rows that were turned away, all at once: alone each costs ten times as much."""
        served, left = self._served, [ask for ask in asks if not ask.done]
        if served is None or served.rules_wait or not left:
            self._degrade(left, "too many wait")
        else:
            self._guarded(lambda: self._without_model(served, left, "too many wait"), left)

    def _without_model(self, served: Served, asks: Sequence[Ask], why: str) -> None:
        now = self.clock()
        seconds = max(min(ask.due for ask in asks) - now, 1e-3)
        try:
            answers: list[Result] = list(served.precomputed(asks, why, seconds=seconds))
        except Exception:
            if len(asks) == 1:
                raise
            for ask in asks:
                self._started_aside(lambda ask=ask: self._without_model(served, [ask], why), [ask])  # type: ignore[misc]
            return
        self._settle(list(zip(asks, answers, strict=True)))

    def _give_up(self, asks: Sequence[Ask], why: str) -> None:
        served = self._served
        if served is not None:
            self._settle([(ask, served.nothing(ask, why)) for ask in asks])

    def _settle(self, results: Sequence[tuple[Ask, Result]]) -> None:
        """Deliver each answer, unless its row has one already."""
        with self._lock:
            first = [(ask, result) for ask, result in results if not ask.done]
            for ask, _ in first:
                ask.done = True
        for ask, result in first:
            if isinstance(result, Answer) and not ask.refresh:
                self._counted(result)
        deliver(first)

    def _counted(self, answer: Answer) -> Answer:
        self.monitor.add("recokit_service_answers", answer.source)
        return answer

    def _forget(self, asks: Sequence[Ask]) -> None:
        """Let go of rows whose callers have gone."""
        with self._lock:
            for ask in asks:
                ask.done = True
        gone = [ask for ask in asks if ask.nobody_waits]
        self._engine.drop(gone)
        self._landed(gone)

    # -- looking -----------------------------------------------------------------------------------

    @property
    def ready(self) -> bool:
        """Whether requests are answered by the model: for a readiness probe."""
        return self._state == "ready" and self._engine.hanging < MAX_HANGING

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the model that serves, empty before ``start``."""
        return "" if self._served is None else self._served.pipeline.fingerprint

    def health(self) -> dict[str, Any]:
        """Return how the service fares, for a probe or a page."""
        served = self._served
        return {
            "state": self._state,
            "ready": self.ready,
            "fingerprint": self.fingerprint,
            "version": "" if served is None else served.version,
            "waiting": self._engine.waiting,
            "hanging": self._engine.hanging + self._aside.hanging,
            "effort": self.quality.effort,
            "capacity": self.pace.capacity(self.coalesce),
            "lists": 0 if self.lists is None else len(self.lists),
            "dependencies": {} if served is None else served.pipeline.dependency_states(),
        }

    def drill(self, stage: str | None = None) -> DrillReport:
        """Try what the service does without one stage, or without the model; traffic goes on as it does.

        Parameters
        ----------
        stage : str, optional
            Path of a stage, which fails for the drill; by default each of them in turn, and the model as a whole.
        """
        return drill(self._model(), stage, budget_ms=self.budget_ms)
