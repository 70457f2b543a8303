"""Served: several pipelines behind one, each unit's requests answered by the arm that it is in."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import numpy as np

from recokit._utils.copies import with_fields
from recokit._utils.options import share, traced
from recokit.data.live import Live
from recokit.data.requests import Requests
from recokit.data.schema import Schema
from recokit.errors import ConfigurationError
from recokit.experiments.assignment import Experiment, check_exclusive
from recokit.experiments.exposures import SeesExposures, Shown
from recokit.experiments.hashing import KeyedHash
from recokit.experiments.joining import Codes, joined, marked
from recokit.experiments.routing import Route, call_of, people_of, routes
from recokit.experiments.shadow import Shadow
from recokit.experiments.stitching import Stitching
from recokit.experiments.switchback import Switchback
from recokit.protocols import Observer, Runnable
from recokit.result import Recommendations
from recokit.typing import AnyArray

_LOGGER = logging.getLogger("recokit")


class Served:
    """A pipeline that is several: each unit is answered by the arm of its experiment.

    Requests carry a context column ``group`` with the arm, by which ``monitoring.OutcomeMonitor`` counts; results have
    a column ``arm``. Units that are in no arm get the control's list.

    Parameters
    ----------
    experiments : Experiment, Switchback or sequence of these
        One, or several of one layer without common traffic.
    observers : sequence of Observer, optional
        :class:`Exposures` logs who was shown which arm; any other observer sees the traces of all arms.
    shadow : float, default 0.0
        Share of units for whose requests the other arms run too, in the background and never shown, to log whether
        their lists differ: :func:`analyze` can then leave out those for whom nothing changed.
    group : str, default "group"
        The context column.
    stitching : Stitching, optional
        Makes one unit of a person before and after the login.
    clock : callable, optional
        Gives the time of requests that have none, for all arms alike; ``time.time`` by default.

    Raises
    ------
    ConfigurationError
        If experiments overlap, or there is none.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> data = rk.testing.toy_dataset()
    >>> old = rk.Pipeline([candidates.Popular()]).fit(data)
    >>> new = rk.Pipeline([candidates.Popular(half_life="7D")]).fit(data)
    >>> served = Served(Experiment("half-life", {"control": old, "new": new}))
    >>> answer = served.recommend(["user-1", "user-4"], k=2, now=data.until)
    >>> answer.columns["arm"].tolist()
    ['new', 'new', 'control', 'control']
    """

    def __init__(
        self,
        experiments: Experiment | Switchback | Sequence[Experiment | Switchback],
        *,
        observers: Sequence[Observer | SeesExposures] = (),
        shadow: float = 0.0,
        group: str = "group",
        stitching: Stitching | None = None,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self.experiments = (
            (experiments,) if isinstance(experiments, Experiment | Switchback) else tuple(experiments)
        )
        if not self.experiments:
            raise ConfigurationError("found no experiment; expected at least one")
        check_exclusive(self.experiments)
        if shadow:
            share.check("shadow", shadow)
        self.observers, self.shadow, self.group = tuple(observers), shadow, group
        self.stitching, self.clock = stitching, clock or time.time
        self._logs = [one for one in self.observers if isinstance(one, SeesExposures)]
        self._watchers = [one for one in self.observers if not isinstance(one, SeesExposures)]
        self._shadow = Shadow()
        self._codes = Codes()

    def __repr__(self) -> str:
        return f"Served({', '.join(map(repr, self.experiments))})"

    @property
    def control(self) -> Runnable:
        """The control of the first experiment, which answers those who are in none."""
        return _arm(self.experiments[0], self.experiments[0].control)

    @property
    def arms(self) -> dict[str, Runnable]:
        """Every arm, by name; ``"experiment/arm"`` where there are several experiments."""
        several = len(self.experiments) > 1
        return {
            f"{test.name}/{name}" if several else name: _arm(test, name)
            for test in self.experiments
            for name in test.names
        }

    # -- answers -------------------------------------------------------------------------------------

    def recommend(
        self,
        users: Sequence[Any] | AnyArray | None = None,
        k: int | Sequence[int] = 10,
        *,
        context: Mapping[str, Any] | None = None,
        now: Any = None,
        seed: int = 0,
        **options: Any,
    ) -> Recommendations:
        """Recommend items; options as for ``Pipeline.recommend``.

        Rows of a batch may be of different arms: each arm answers its rows together, and answers come in the order of
        the requests. Traces are those of the arms, one after the other.
        """
        when = self.clock() if now is None else now
        people = people_of(users, options)
        call = {"users": people, "k": k, "context": context or {}, "now": when, **options}
        parts = []
        for route in routes(self.experiments, self.stitching, people, call["context"], when):
            of_route = call if route.rows is None else call_of(call, route.rows)
            of_route["context"] = {**of_route["context"], self.group: route.group}
            answer = route.test.arms[route.arm].recommend(seed=seed, **of_route)
            if self.shadow and route.group == route.arm:
                self._cast(route, answer, {**of_route, "seed": seed})
            parts.append((route, answer))
        return self._answer(parts, len(people), observe=True)

    def run(
        self,
        requests: Requests,
        *,
        capture: Any = "summary",
        budget_ms: float | None = None,
        observe: bool = True,
    ) -> Recommendations:
        """Run requests made of the control's codes, as one batch; with ``observe=False`` nothing is logged.

        Raises
        ------
        VocabularyMismatch
            If a code is none of the control's.
        """
        schema, parts = self.schema, []
        people = _ids(requests, schema)
        for route in routes(
            self.experiments, self.stitching, people, requests.columns, requests.now.tolist()
        ):
            arm = _arm(route.test, route.arm)
            taken = requests if route.rows is None else requests.take(route.rows)
            group = np.full(len(taken), route.group, object)
            taken = with_fields(taken, columns={**taken.columns, self.group: group})
            taken = self._codes.requests(taken, schema, arm.schema)
            parts.append((route, arm.run(taken, capture=capture, budget_ms=budget_ms, observe=observe)))
        return self._answer(parts, len(people), observe=observe)

    def requests(self, users: Any = None, k: int = 10, **options: Any) -> Requests:
        """Return the requests that :meth:`recommend` would run, in the control's codes."""
        return self.control.requests(users, k, **options)

    def candidates(self, requests: Requests) -> Any:
        """Return a batch as it stands before selection, of requests that are all in one arm.

        Raises
        ------
        ConfigurationError
            If they are of several arms.
        """
        people = _ids(requests, self.schema)
        found = routes(self.experiments, self.stitching, people, requests.columns, requests.now.tolist())
        if len(found) != 1:
            raise ConfigurationError(
                f"found requests of {len(found)} arms; expected one; hint: ask an arm, as served.arms['new']"
            )
        arm = _arm(found[0].test, found[0].arm)
        return arm.candidates(self._codes.requests(requests, self.schema, arm.schema))

    def _answer(
        self, parts: Sequence[tuple[Route, Recommendations]], n: int, *, observe: bool
    ) -> Recommendations:
        if observe:
            for route, answer in parts:
                self._told(route, answer)
        if len(parts) == 1:
            return marked(parts[0][1], parts[0][0].arm)
        ready = [(route.rows, marked(answer, route.arm)) for route, answer in parts]
        return joined(cast(Any, ready), n, self.fingerprint, self._codes)

    # -- those who look on ------------------------------------------------------------------------------

    def _told(self, route: Route, answer: Recommendations) -> None:
        if route.is_logged and self._logs:
            traces = answer.traces
            now = (
                traces[0].requests.now
                if len(traces) == 1
                else np.concatenate([t.requests.now for t in traces])
            )
            self._expose(route, answer.fingerprint, now)
        for watcher in self._watchers:
            for trace in answer.traces:
                _look(watcher, "observe", trace)

    def _expose(self, route: Route, version: str, now: Any, differs: bool | None = None) -> None:
        n = len(route.units)
        shown = Shown(
            experiment=route.test.name,
            layer=route.test.layer,
            unit=route.units,
            arm=[route.group] * n,
            version=[version] * n,
            now=now,
            forced=[route.forced] * n,
            differs=differs,
        )
        for log in self._logs:
            _look(log, "exposed", shown)

    def _cast(self, route: Route, answer: Recommendations, call: Mapping[str, Any]) -> None:
        """Ask the other arms too, later and unseen, for those rows whose units are in the shadow's share."""
        at = KeyedHash().shares(route.units, f"{route.test.name}:shadow")
        for row in np.flatnonzero(at < self.shadow).tolist():
            one = Route(
                test=route.test,
                arm=route.arm,
                group=route.group,
                rows=np.array([row]),
                units=[route.units[row]],
                forced=False,
            )
            self._shadow.start(_Compare(self, one, answer, call_of(call, np.array([row]))))

    def wait(self) -> None:
        """Wait until the shadow runs that were started are done."""
        self._shadow.wait()

    # -- as a Runnable --------------------------------------------------------------------------------

    @property
    def schema(self) -> Schema:
        """The control's vocabularies and tables."""
        return self.control.schema

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of the control's stages."""
        return self.control.names

    @property
    def fingerprint(self) -> str:
        """Hash of the experiments' names, arms and weights."""
        content = [
            (test.name, name, _arm(test, name).fingerprint, float(weight))
            for test in self.experiments
            for name, weight in zip(test.names, test.weights, strict=True)
        ]
        return hashlib.sha256(repr(content).encode()).hexdigest()[:16]

    @property
    def fitted_until(self) -> float:
        """Time up to which any arm has seen events."""
        return max(arm.fitted_until for arm in self.arms.values())

    def live_values(self) -> Mapping[int, Live[Any]]:
        """Return the live values of all arms, by ``id``."""
        return {key: live for arm in self.arms.values() for key, live in arm.live_values().items()}

    def __iter__(self) -> Iterator[Any]:
        return iter(self.control)

    def __getitem__(self, name: str) -> Any:
        """Return a stage of the control by its path."""
        return self.control[name]

    def replace(self, name: str, stage: Any) -> Served:
        """Return a copy with another stage in every arm that has one of this name."""
        return self._changed(lambda arm: arm.replace(name, stage) if name in arm.names else arm)

    def without(self, *names: str) -> Served:
        """Return a copy whose arms lack these stages, as far as they have them."""
        return self._changed(lambda arm: arm.without(*[name for name in names if name in arm.names]))

    def with_events(self, dataset: Any) -> Served:
        """Return a copy whose arms know other events."""
        return self._changed(lambda arm: arm.with_events(dataset))

    def with_context(self, context: Mapping[str, Any] | None) -> Served:
        """Return a copy whose arms know other context."""
        return self._changed(lambda arm: arm.with_context(context))

    def _changed(self, change: Callable[[Any], Any]) -> Served:
        tests = [
            with_fields(test, arms={name: change(arm) for name, arm in test.arms.items()})
            for test in self.experiments
        ]
        return Served(
            tests,
            observers=self.observers,
            shadow=self.shadow,
            group=self.group,
            stitching=self.stitching,
            clock=self.clock,
        )


class _Compare:
    """The shadow run of one request: whether any other arm shows another list."""

    def __init__(
        self, served: Served, route: Route, answer: Recommendations, call: Mapping[str, Any]
    ) -> None:
        self.served, self.route, self.answer, self.call = served, route, answer, call

    def __call__(self) -> None:
        route, options = self.route, {**self.call}
        assert route.rows is not None
        row = int(route.rows[0])
        users, k = options.pop("users"), options.pop("k")
        budget, capture = options.pop("budget_ms", None), options.pop("capture", "summary")
        options.pop("progress", None)
        mine, differs = self.answer.ids(row), False
        for name in route.test.names:
            if name != route.arm:
                arm = _arm(route.test, name)
                other = arm.run(
                    arm.requests(users, k, **options), budget_ms=budget, capture=capture, observe=False
                )
                differs |= other.ids(0) != mine
        now = np.concatenate([trace.requests.now for trace in self.answer.traces])[route.rows]
        self.served._expose(route, self.answer.fingerprint, now, differs=differs)


def _arm(test: Experiment | Switchback, name: str) -> Runnable:
    return cast(Runnable, test.arms[name])


def _ids(requests: Requests, schema: Schema) -> AnyArray:
    """Return the external user of each request, None for nobody."""
    if requests.user_ids is not None:
        return requests.user_ids
    people = np.full(len(requests), None, object)
    known = np.flatnonzero(requests.user > 0)
    people[known] = schema.user_ids.decode(requests.user[known]).tolist()
    return people


def _look(observer: Any, method: str, seen: Any) -> None:
    """Tell an observer, which can never fail a request."""
    try:
        getattr(observer, method)(seen)
    except Exception as error:
        _LOGGER.warning("observer %s failed: %s", type(observer).__name__, traced(error))
