"""Pipeline: stages assembled into a funnel that trains, serves and explains itself."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np

from recokit._progress import progress_bar
from recokit.data import Candidates, Dataset, Live, Requests, Retrieved, Schema
from recokit.errors import ConfigurationError, DataError, NotFittedError, did_you_mean
from recokit.pipeline.asking import Lists, build_requests, user_array
from recokit.pipeline.budget import Bulkhead, Deadline, overruns
from recokit.pipeline.diagram import diagram
from recokit.pipeline.fitting import fit_plan
from recokit.pipeline.plan import Node, Plan, bind_plan, compile_plan, live_values
from recokit.pipeline.runner import Run, Settings
from recokit.pipeline.selection import Selector
from recokit.pipeline.step import Step
from recokit.protocols import Observer, Role
from recokit.result import Recommendations
from recokit.trace import Trace
from recokit.training import Negatives, TrainingReport
from recokit.typing import AnyArray

__all__ = ["Pipeline"]

#: Requests run at a time in a batch; bounds memory, changes no answer.
CHUNK_ROWS = 512
Capture = Literal["summary", "full"]


class Pipeline:
    """A funnel of stages: hydrators, sources, filters, features, scorers, limits, objective, annotators.

    Parameters
    ----------
    stages : sequence
        Stages, or :class:`Step` around them, in order. Filters may stand anywhere after the sources.
    fallback : source, optional
        Asked for rows that are short of items; what it finds passes the same hard rules and limits.
    observers : sequence of Observer
        See the trace of every run; they cannot change or fail it.
    clock : callable
        Gives the request time, seconds since 1970, where a call gives none.
    validate : bool, default False
        Check every invariant of the batch after every stage, and refuse scores that are not finite: for tests.

    Raises
    ------
    ConfigurationError
        For a stage without exactly one verb, stages out of order, no source or several bare ones, or equal names.

    Examples
    --------
    >>> from recokit import testing
    >>> from recokit.candidates import Popular
    >>> pipeline = Pipeline([Popular()]).fit(testing.toy_dataset())
    >>> len(pipeline.recommend([None], k=3, now=2e9).ids(0))
    3
    """

    def __init__(
        self,
        stages: Sequence[Any],
        *,
        fallback: Any = None,
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] = time.time,
        validate: bool = False,
    ) -> None:
        self.stages, self.fallback, self.observers = list(stages), fallback, tuple(observers)
        self.clock, self.validate = clock, validate
        self._plan = compile_plan(self.stages, fallback)
        self._fitted: Plan | None = None
        self._schema: Schema | None = None
        self.training_report_: TrainingReport | None = None

    # -- training --------------------------------------------------------------------------------------------------------

    def fit(
        self,
        dataset: Dataset,
        *,
        label_window: str | float | None = None,
        windows: int | None = None,
        gap: str | float = 0,
        requests_at: Literal["cut", "session"] = "cut",
        negatives: Negatives | None = Negatives(),  # noqa: B008  (frozen)
        validation: bool = True,
        max_requests: int | None = None,
        seed: int = 0,
        progress: bool = False,
    ) -> Pipeline:
        """Fit clones of all stages, rankers by two-stage temporal training, and swap them in at the end.

        Parameters
        ----------
        dataset : Dataset
            Everything that may be learned from.
        label_window : str or float, optional
            Length of the windows whose events are the labels, such as ``"7D"``; needed where a ranker learns.
        windows, gap, requests_at, negatives, validation, max_requests, seed
            See :func:`recokit.training.build_training_set`.
        progress : bool, default False
            Whether to show progress bars.

        Returns
        -------
        Pipeline
            Itself, fitted; ``training_report_`` tells what the last ranker learned from.

        Raises
        ------
        ConfigurationError
            If a ranker learns and there is no ``label_window``, or a stage requires what nothing provides.
        DataError
            If the data is too short for the windows, or has no positives.
        """
        options = {
            "label_window": label_window,
            "windows": windows,
            "gap": gap,
            "requests_at": requests_at,
            "negatives": negatives,
            "validation": validation,
            "max_requests": max_requests,
            "seed": seed,
            "progress": progress,
        }
        fitted, report = fit_plan(self._plan, dataset, options)
        self._adopt(fitted, dataset.schema, dataset.until)
        self.training_report_ = report
        return self

    def _adopt(self, fitted: Plan, schema: Schema, until: float) -> None:
        """Make a bound plan the one that serves, in one assignment."""
        bulkheads = {node.name: Bulkhead() for node in fitted.sources if node.io_bound}
        settings = Settings(fitted, len(schema.item_ids), self.validate, bulkheads)
        content = repr([(node.name, node.stage) for node in fitted]), schema.item_ids.fingerprint, until
        self._live = live_values(fitted)
        self._until = until
        self._fingerprint = hashlib.sha256(repr(content).encode()).hexdigest()[:16]
        self._schema, self._settings, self._fitted = schema, settings, fitted

    # -- serving ---------------------------------------------------------------------------------------------------------

    def recommend(
        self,
        users: Sequence[Any] | AnyArray | None = None,
        k: int | Sequence[int] = 10,
        *,
        history: Lists | None = None,
        session: Lists | None = None,
        context: Mapping[str, Any] | None = None,
        items: Lists | None = None,
        exclude: Lists | None = None,
        now: Any = None,
        seed: int = 0,
        budget_ms: float | None = None,
        capture: Capture = "summary",
        progress: bool = False,
    ) -> Recommendations:
        """Recommend items.

        Parameters
        ----------
        users : sequence of ids, optional
            External ids; None for an anonymous user. An unknown id is a cold user, not an error.
        k : int or sequence of int, default 10
            List length.
        history, session : sequence of lists of item ids, optional
            One list for each user, or None for those whose own history holds. A session is appended to the history.
        context : mapping, optional
            Context columns: one value for all, or one for each user.
        items : sequence of lists of item ids, optional
            Rank only these, in the rows that give any. Unknown items are left out.
        exclude : sequence of lists of item ids, optional
            Never show these.
        now : float, str or sequence, optional
            Request time; the pipeline's clock by default.
        seed : int, default 0
            Seed of stochastic stages; the same seed and user give the same answer.
        budget_ms : float, optional
            Time budget. A batch is run in chunks, each with this budget.
        capture : {"summary", "full"}, default "summary"
            ``"full"`` keeps the batches before and after every stage in the trace.
        progress : bool, default False
            Whether to show a progress bar over chunks.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        DataError
            For k below 1, ids of the wrong kind, lists of the wrong length, a budget that is not positive.
        """
        schema = self.schema
        asked = user_array(users, {"history": history, "session": session, "items": items})
        requests = build_requests(
            asked,
            schema.user_ids,
            schema.item_ids,
            self.clock,
            k=k,
            history=history,
            session=session,
            context=context,
            items=items,
            exclude=exclude,
            now=now,
            seed=seed,
        )
        requests = replace(requests, pinned=self._pin())
        if len(requests) <= CHUNK_ROWS:
            return self._answer(requests, asked, budget_ms, capture)
        starts: Any = range(0, len(requests), CHUNK_ROWS)
        chunks = [
            np.arange(start, min(start + CHUNK_ROWS, len(requests)))
            for start in progress_bar(starts, show=progress, label="recommend")
        ]
        return Recommendations.concat(
            [self._answer(requests.take(rows), asked[rows], budget_ms, capture) for rows in chunks]
        )

    def run(
        self,
        requests: Requests,
        *,
        capture: Capture = "summary",
        budget_ms: float | None = None,
        observe: bool = True,
    ) -> Recommendations:
        """Run requests made of codes, as one batch: for tools that hold codes already.

        Live values that the requests carry (``requests.pinned`` of an earlier trace) are used again, so a run can be
        repeated on what it saw; ``observe=False`` leaves the observers out of it.
        """
        users = self.schema.user_ids.decode(requests.user)
        pinned = requests if requests.pinned else replace(requests, pinned=self._pin())
        return self._answer(pinned, users, budget_ms, capture, observe=observe)

    def requests(self, users: Sequence[Any] | None = None, k: int = 10, **options: Any) -> Requests:
        """Return the requests that ``recommend`` would run, for tools that run them again; options as there."""
        options = {
            "history": None,
            "session": None,
            "context": None,
            "items": None,
            "exclude": None,
            "now": None,
            "seed": 0,
        } | options
        asked = user_array(users, {name: options[name] for name in ("history", "session", "items")})
        return build_requests(asked, self.schema.user_ids, self.schema.item_ids, self.clock, k=k, **options)

    def candidates(self, requests: Requests) -> Candidates:
        """Return a batch as it stands before selection: hydrated, retrieved, filtered, featurised and scored."""
        run = Run(self._ready(), replace(requests, pinned=self._pin()), Deadline.after(np.inf), full=False)
        run.hydrate()
        return run.body(run.retrieve())

    def similar_items(self, items: Sequence[Any], k: int = 10) -> Recommendations:
        """Return the items most similar to each given item, by the first source that can tell.

        Raises
        ------
        ConfigurationError
            If no source has a method ``similar(items, k)``.
        """
        plan = self._ready().plan
        codes = self.schema.item_ids.encode(list(items))
        for node in plan.sources:
            if hasattr(node.stage, "similar"):
                found: Retrieved = node.stage.similar(codes, k)
                return _as_recommendations(found, np.array(list(items), object), codes, node, self)
        names = ", ".join(node.name for node in plan.sources)
        raise ConfigurationError(f"found no source with similar() among {names}; hint: candidates.ItemKNN()")

    def _answer(
        self,
        requests: Requests,
        users: AnyArray,
        budget_ms: float | None,
        capture: Capture,
        *,
        observe: bool = True,
    ) -> Recommendations:
        if budget_ms is not None and not budget_ms > 0:
            raise DataError(f"found budget_ms={budget_ms}; expected a positive number of milliseconds")
        if capture not in ("summary", "full"):
            raise ConfigurationError(f"found capture={capture!r}; expected 'summary' or 'full'")
        budget = np.inf if budget_ms is None else budget_ms / 1e3
        deadline = Deadline.after(budget)
        run = Run(self._ready(), requests, deadline, full=capture == "full")
        run.hydrate()
        ranked = run.body(run.retrieve())
        selected = Selector(run).finish(ranked)
        if self.validate:
            selected.validate()
        seconds = deadline.elapsed()
        trace = Trace(
            requests=run.requests,
            events=tuple(run.events),
            status=run.status,
            reasons=tuple(tuple(run.reasons.get(row, ())) for row in range(len(requests))),
            seconds=seconds,
            budget=budget,
            overruns=overruns(run.spent, seconds, budget),
            versions={live.name: requests.pinned[key][0] for key, live in self._live.items()},
            fingerprint=self._fingerprint,
            selected=selected,
        )
        if observe:
            self._tell(trace)
        return Recommendations.from_candidates(selected, users, self.schema.item_ids, trace)

    def _tell(self, trace: Trace) -> None:
        for observer in self.observers:
            try:
                observer.observe(trace)
            except (
                Exception
            ) as error:  # an observer can never fail a request; it is heard of once, as a warning
                import warnings

                warnings.warn(
                    f"observer {type(observer).__name__} failed: {error!r}", RuntimeWarning, stacklevel=4
                )

    def _pin(self) -> dict[int, tuple[int, Any]]:
        self._ready()
        return {key: live.pin() for key, live in self._live.items()}

    def _ready(self) -> Settings:
        if self._fitted is None:
            raise NotFittedError("found a pipeline before fit; expected pipeline.fit(dataset) first")
        return self._settings

    # -- looking and changing --------------------------------------------------------------------------------------------

    @property
    def schema(self) -> Schema:
        """The model's vocabularies and tables."""
        self._ready()
        assert self._schema is not None
        return self._schema

    @property
    def fingerprint(self) -> str:
        """Hash of the stages' options, the item vocabulary and the end of the data: equal model, equal fingerprint."""
        self._ready()
        return self._fingerprint

    @property
    def fitted_until(self) -> float:
        """Time up to which the model has seen events."""
        self._ready()
        return self._until

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of all stages, in order of execution."""
        return tuple(node.name for node in self._fitted or self._plan)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._fitted or self._plan)

    def __getitem__(self, name: str) -> Any:
        """Return a stage by its path, the fitted one after ``fit``."""
        for node in self:
            if node.name == name:
                return node.stage
        raise ConfigurationError(f"found no stage {name!r}; {did_you_mean(name, self.names)}")

    def replace(self, name: str, stage: Any) -> Pipeline:
        """Return a pipeline with another stage in one place and all others shared: a hot swap.

        The new stage must be fitted already, or need no fitting.
        """
        self[name]
        return self._derived(lambda node: replace(node, stage=stage) if node.name == name else node)

    def without(self, *names: str) -> Pipeline:
        """Return a pipeline without some stages, all others shared.

        Raises
        ------
        ConfigurationError
            For an unknown name, or if no source is left.
        """
        for name in names:
            self[name]
        return self._derived(lambda node: None if node.name in names else node)

    def prefix(self, name: str) -> Pipeline:
        """Return a pipeline of the stages that run before one stage."""
        self[name]
        place = self.names.index(name)
        return self.without(*(later for later in self.names[place:] if not later.startswith("fallback.")))

    def as_source(self) -> PipelineSource:
        """Return this fitted pipeline as a source of another one."""
        self._ready()
        return PipelineSource(self)

    def _derived(self, change: Callable[[Node], Node | None]) -> Pipeline:
        fitted = self._ready().plan
        steps, fallback, sources = [], None, []
        for node in fitted:
            changed = change(node)
            if changed is None:
                continue
            if changed.name.startswith("fallback."):
                fallback = _step(changed)
            elif changed.role is Role.SOURCE:
                sources.append(_step(changed))
                if len(sources) == 1:
                    steps.append(sources)
            else:
                steps.append(_step(changed))
        if not sources:
            raise ConfigurationError("found no source left; expected at least one")
        merge = replace_sources(fitted, sources)
        derived = Pipeline(
            [merge if step is sources else step for step in steps],
            fallback=fallback,
            observers=self.observers,
            clock=self.clock,
            validate=self.validate,
        )
        derived._adopt(bind_plan(derived._plan, self.schema), self.schema, self._until)
        return derived

    # -- saving and showing ----------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Save the fitted pipeline to a folder of JSON and safetensors with checksums; no pickle.

        Observers, the clock and functions are not saved. See :mod:`recokit.data.state` for the format.
        """
        from recokit.pipeline.store import save_pipeline

        save_pipeline(self, path)

    @classmethod
    def load(cls, path: str | Path, *, trusted: Sequence[type] = (), **options: Any) -> Pipeline:
        """Load a pipeline that ``save`` wrote.

        Parameters
        ----------
        path : str or Path
            The folder.
        trusted : sequence of type
            Your own stage classes that may be rebuilt; recokit's own always may.
        options
            ``observers`` and ``clock``.

        Raises
        ------
        DataError
            If a file is missing, altered or of an unknown version.
        ConfigurationError
            If a class is neither recokit's nor trusted.
        """
        from recokit.pipeline.store import load_pipeline

        return load_pipeline(path, trusted, options)

    def __repr__(self) -> str:
        inner = "".join(f"    {stage!r},\n" for stage in self.stages)
        tail = f", fallback={self.fallback!r}" if self.fallback is not None else ""
        return f"Pipeline([\n{inner}]{tail})"

    def _repr_html_(self) -> str:
        return diagram(self._fitted or self._plan, fitted=self._fitted is not None)


class PipelineSource:
    """A fitted pipeline as one source of another; its list is what the source retrieves."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline

    @property
    def fitted_until_(self) -> float:
        """Time up to which the inner pipeline has seen events."""
        return self.pipeline.fitted_until

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the inner pipeline's list of at most ``limit`` items."""
        asked = replace(requests, k=np.full(len(requests), limit, np.int64))
        answer = self.pipeline.run(asked)
        return Retrieved(answer.offsets, answer.item, answer.score)


def _step(node: Node) -> Step:
    return Step(
        node.stage,
        name=node.leaf,
        when=node.when,
        on_error=node.on_error,
        optional=node.optional,
        limit=node.limit,
    )


def replace_sources(plan: Plan, sources: list[Step]) -> Any:
    """Return the plan's merge around other sources, under its own name."""
    from recokit.compose import Merge

    if plan.merge_name == "merge" and len(plan.sources) == 1 and "." not in plan.sources[0].name:
        return sources[0]
    merge = plan.merge
    quotas = merge.quotas
    if quotas is not None:
        left = {step.path for step in sources}
        quotas = {name: share for name, share in quotas.items() if name in left}
    return Step(
        Merge(sources, by=merge.by, limit=merge.limit, quotas=quotas, per_source=merge.per_source),
        name=plan.merge_name,
    )


def _as_recommendations(
    found: Retrieved, asked: AnyArray, codes: AnyArray, node: Node, pipeline: Pipeline
) -> Recommendations:
    return Recommendations(
        users=asked,
        offsets=found.offsets,
        item=found.item,
        score=found.score,
        columns={},
        sources=((node.leaf,),) * len(found.item),
        status=np.where(np.diff(found.offsets) > 0, 0, 3),
        reasons=tuple(() if code else ("unknown item",) for code in codes.tolist()),
        item_ids=pipeline.schema.item_ids,
        fingerprint=pipeline.fingerprint,
    )
