"""Pipeline: stages assembled into a funnel that trains, serves and explains itself."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recokit._utils.options import above, between, error_text, require, whole
from recokit._utils.progress import progress_line
from recokit._utils.resilience.bulkhead import MAX_HANGING, PATIENCE, Bulkhead
from recokit.compose.step import stage_of
from recokit.data import Dataset, Live, Schema
from recokit.data.context import Declared, checked_context
from recokit.data.query import ItemLists, Query
from recokit.data.recode import recoded
from recokit.data.sampling import NegativeSampler
from recokit.errors import ConfigurationError, DataError, RecokitError, did_you_mean
from recokit.pipeline.answering import Answering
from recokit.pipeline.contracts import check_disclosed, check_searchable, with_disclosed
from recokit.pipeline.model import (
    Budget,
    Capture,
    Model,
    load_parts,
    notify_observers,
    save_model,
    wants_ranked,
)
from recokit.pipeline.parameters import Parameters, as_stages, name_of_new, part_of, renamed, stage_at
from recokit.pipeline.plan import Node, Plan, bind_plan, compile_plan
from recokit.pipeline.views import NonProfiling, PipelineSource
from recokit.protocols import Discloses, Observer, role_of, traits_of
from recokit.result import Recommendations
from recokit.typing import AnyArray

if TYPE_CHECKING:
    from recokit._utils.resilience.dependency import Dependency
    from recokit.data.search import Queries
    from recokit.trace import Trace
    from recokit.training import Negatives, TrainingReport, TrainingSet

_SAVED_OPTIONS = ("validate", "io_timeout", "max_hanging", "hedge", "context")


class Pipeline(Answering, Parameters):
    """A funnel of stages: hydrators, sources, filters, features, scorers, limits, objective, annotators.

    Parameters
    ----------
    stages : sequence, or one stage
        Stages, or :class:`Step` around them, in order. Filters may stand anywhere after the sources.
    fallback : source, optional
        Fills up rows that are short of items; its items pass the same hard rules and limits.
    observers : sequence of Observer
        See the trace of every run; they cannot change or fail it.
    clock : callable
        Gives the request time, seconds since 1970, where a call gives none.
    context : mapping of str to value, optional
        Context columns for calls that do not give them, in ``fit``, evaluation and tools too: a value for all requests,
        or values by user id. A column that nobody gives is unknown: a rule that must know it lets no item pass.
    validate : bool, default False
        Check every invariant of the batch after every stage, and refuse scores that are not finite: for tests.
    io_timeout : float, default 10.0
        Seconds that a stage which waits for input and output has at most, with or without ``budget_ms``.
    max_hanging : int, default 32
        Calls of one such stage that may hang before further ones are refused at once.
    hedge : float, default 0.0
        Share of such calls that may be made a second time, where the first takes longer than 95% of the last ones did;
        the answer that comes first counts. 0.05 is usual; only for stages that change nothing where they ask.

    Raises
    ------
    ConfigurationError
        For a stage without exactly one verb, stages out of order, no source or several bare ones, equal names, or a
        rule that moves items under a label where no annotator discloses it.

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
        stages: Sequence[Any] | Any,
        *,
        fallback: Any = None,
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] = time.time,
        context: Declared | None = None,
        validate: bool = False,
        io_timeout: float = PATIENCE,
        max_hanging: int = MAX_HANGING,
        hedge: float = 0.0,
    ) -> None:
        require(above(0), io_timeout=io_timeout)
        require(whole(1), max_hanging=max_hanging)
        require(between(0, 1), hedge=hedge)
        self.stages, self.fallback, self.observers = as_stages(stages), fallback, tuple(observers)
        self.clock, self.validate, self.context = clock, validate, checked_context(context)
        self.io_timeout, self.max_hanging, self.hedge = io_timeout, max_hanging, hedge
        self._plan = compile_plan(self.stages, fallback)
        check_disclosed(self._plan)
        #: What the features of training looked like, such as a ``monitoring.ReferenceProfile``: saved with the
        #: pipeline, and what ``preflight`` and monitors hold serving against. A new fit clears it.
        self.profile: Any = None
        self._model: Model | None = None

    # -- training ----------------------------------------------------------------------------------

    def fit(
        self,
        dataset: Dataset,
        *,
        label_window: str | float | None = None,
        windows: int | None = None,
        gap: str | float = 0,
        requests_at: Literal["auto", "cut", "session"] = "cut",
        negatives: Negatives | NegativeSampler | Literal["default"] | None = "default",
        validation: bool = True,
        max_requests: int | None = 1_500,
        context: Declared | None = None,
        seed: int = 0,
        progress: bool | None = None,
    ) -> Pipeline:
        """Fit clones of all stages, rankers by two-stage temporal training, and swap them in at the end.

        Parameters
        ----------
        dataset : Dataset
            Everything that may be learned from.
        label_window : str or float, optional
            Length of the windows whose events are the labels, such as ``"7D"``; needed where a ranker learns.
        max_requests : int, optional
            Requests of each window that rankers learn from, at most: a sample, the same for the same seed. None takes
            all; the training report says how many there are.
        windows, gap, requests_at, negatives, validation, seed
            See :func:`recokit.training.build_training_set`.
        context : mapping, optional
            Context of the requests that rankers learn from, as in the constructor; that of the pipeline by default.
        progress : bool, optional
            Whether to say in a line what is done; by default in terminals and notebooks, and not in logs.

        Returns
        -------
        Pipeline
            Itself, fitted; ``training_report_`` describes the rows of the last ranker.

        Raises
        ------
        ConfigurationError
            If a ranker learns and there is no ``label_window``, or a stage requires what nothing provides.
        DataError
            If the data is too short for the windows, or has no positives.
        """
        from recokit.pipeline.fitting import fit_plan  # serving does not load the laboratory

        options: dict[str, Any] = {
            "label_window": label_window,
            "windows": windows,
            "gap": gap,
            "requests_at": requests_at,
            "validation": validation,
            "max_requests": max_requests,
            "seed": seed,
        }
        if negatives != "default":
            options["negatives"] = negatives
        declared = self.context if context is None else checked_context(context)
        with progress_line("fit", show=progress):
            fitted, report = fit_plan(self._plan, dataset, {**options, "context": declared})
        self._adopt(fitted, dataset.schema, dataset.known_until, report)
        self.profile = None
        return self

    def training_data(self, dataset: Dataset, **options: Any) -> TrainingSet:
        """Return the rows that the last trainable ranker learns from in :meth:`fit`, and the report on them.

        For a look at what a ranker gets, such as :func:`recokit.training.detect_leakage`; options as for ``fit``.

        Raises
        ------
        ConfigurationError
            If no ranker learns, or there is no ``label_window``.
        """
        from recokit.pipeline.fitting import training_rows

        return training_rows(self._plan, dataset, {"context": self.context, **options})

    def _adopt(
        self, bound: Plan, schema: Schema, until: float, report: TrainingReport | None = None
    ) -> Pipeline:
        """Make a bound plan the one that serves, in one assignment."""
        kept = wants_ranked(self.observers)
        self._model = Model.build(
            bound,
            schema,
            until,
            validate=self.validate,
            report=report,
            keep_ranked=kept,
            context=self.context,
            dependency=self._new_dependency,
        )
        return self

    def _new_dependency(self) -> Dependency:
        from recokit._utils.resilience.breaker import Breaker  # only where a stage waits
        from recokit._utils.resilience.dependency import Dependency

        # A batch is one call: five of them say enough.
        hedge = None
        if self.hedge:
            from recokit._utils.resilience.hedge import Hedge

            hedge = Hedge(self.hedge)
        return Dependency(Bulkhead(self.max_hanging, self.io_timeout), Breaker(least=5), hedge)

    # -- serving -----------------------------------------------------------------------------------

    def recommend(
        self,
        users: Sequence[Any] | AnyArray | None = None,
        k: int | Sequence[int] = 10,
        *,
        history: ItemLists | None = None,
        session: ItemLists | None = None,
        query: Queries | None = None,
        context: Mapping[str, Any] | None = None,
        items: ItemLists | None = None,
        exclude: ItemLists | None = None,
        now: Any = None,
        seed: int | Sequence[int] = 0,
        budget_ms: Budget = None,
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
        query : str, SearchQuery or a sequence of them, optional
            What the user searches for, in words or as ``text.ParseQuery`` has read it: one for all, or one for each
            user, None for those who search for nothing. ``candidates.Text`` finds it, ``rules.Asked`` holds its
            conditions.
        context : mapping, optional
            Context columns: one value for all, or one for each user.
        items : sequence of lists of item ids, optional
            Rank only these, in the rows that give any. Unknown items are left out.
        exclude : sequence of lists of item ids, optional
            Never show these.
        now : float, str or sequence, optional
            Request time; the pipeline's clock by default.
        seed : int or sequence of int, default 0
            Seed of stochastic stages; the same seed and user give the same answer.
        budget_ms : float or sequence of float, optional
            Time budget, of all users or of each. A batch is run in chunks, each with this budget.
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
        ConfigurationError
            For a query that no stage reads, or whose conditions no filter holds.
        """
        model = self._ready()
        call = Query(
            users,
            k,
            history=history,
            session=session,
            query=query,
            context=context,
            items=items,
            exclude=exclude,
            now=now,
            seed=seed,
        )
        requests = call.encode(model.schema, self.clock)
        if query is not None:
            check_searchable(model.plan, requests)
        answers = [
            notify_observers(self.observers, answer)
            for answer in model.answers(
                requests, call.users, budget_ms=budget_ms, capture=capture, progress=progress
            )
        ]
        return answers[0] if len(answers) == 1 else Recommendations.concat(answers)

    # -- looking and changing ----------------------------------------------------------------------

    @property
    def schema(self) -> Schema:
        """The model's vocabularies and tables."""
        return self._ready().schema

    @property
    def fingerprint(self) -> str:
        """Hash of stages, with all that they learned, items and the end of the data: equal model, equal fingerprint."""
        return self._ready().fingerprint

    @property
    def fitted_until(self) -> float:
        """Time before which the model, or any stage of it that was fitted elsewhere, has seen events."""
        model = self._ready()
        learned = (traits_of(node.stage) for node in model.plan.nodes)
        return max([model.until, *(traits.fitted_until for traits in learned if not traits.as_of)])

    @property
    def training_report_(self) -> TrainingReport | None:
        """Report on the rows of the last ranker; None before ``fit``, without one that learns, and after ``load``."""
        return None if self._model is None else self._model.report

    def live_values(self) -> Mapping[int, Live[Any]]:
        """Return the live values of the stages, by ``id``, as ``requests.pinned`` has them."""
        return self._ready().live

    @property
    def _current(self) -> Plan:
        return self._plan if self._model is None else self._model.plan

    @property
    def names(self) -> tuple[str, ...]:
        """Paths of all stages, in order of execution."""
        return tuple(node.name for node in self._current)

    def __iter__(self) -> Iterator[Node]:
        return iter(self._current)

    def __getitem__(self, name: str | int | slice) -> Any:
        """Return a stage by path or place, the fitted one after ``fit``; a slice is a pipeline of these stages."""
        if isinstance(name, slice):
            part = part_of(self._current, self.stages, name)
            if self._model is not None:
                return self._derived(part)
            changed = copy.copy(self)
            changed.stages = self.stages[name]
            changed._plan = compile_plan(changed.stages, self.fallback)
            return changed
        if isinstance(name, int):
            return stage_at(self._current, self.stages, name)
        for node in self:
            if node.name == name:
                return node.stage
        raise ConfigurationError(f"found no stage {name!r}; {did_you_mean(name, self.names)}")

    def replace(self, name: str, stage: Any) -> Pipeline:
        """Return a pipeline with another stage in one place and all others shared: a hot swap.

        The new stage must be fitted already, or need no fitting. Where it moves items, ``rules.Disclose`` labels what
        it touches in place of what the old one touched. A stage of another kind takes its own name
        (``merge.item_knn`` in place of ``merge.popular``), but a place keeps a name that was given to it, or that later
        stages read columns of (``popular_rank``). ``Step(stage, name=...)`` decides.

        Raises
        ------
        ConfigurationError
            For an unknown name, a stage of another role, or one that lacks what it requires.
        """
        old, new, plan = self[name], stage_of(stage), self._current
        role, expected = role_of(new), {node.name: node.role for node in self}[name]
        if role is not expected:
            raise ConfigurationError(f"found a {role.value} for {name}; expected a {expected.value}")
        plan = plan.with_stages({name: new, **with_disclosed(plan, old, new)})
        derived = self._derived(renamed(plan, name, name_of_new(plan, name, old, stage)))
        check_disclosed(derived._current)
        return derived

    def without(self, *names: str) -> Pipeline:
        """Return a pipeline without some stages, all others shared.

        Without ``rules.Disclose`` on a column the items that it labels are shown unlabelled: see ``preflight``. Raises
        ConfigurationError for an unknown name, without a source, or if an annotator goes that a scorer needs.
        """
        stages = [self[name] for name in names]
        derived = self._derived(self._current.without(names))
        if any(isinstance(stage, Discloses) for stage in stages):
            check_disclosed(derived._current)
        return derived

    def prefix(self, name: str) -> Pipeline:
        """Return a pipeline of the stages that run before one stage."""
        self[name]
        later = self._current.nodes[self.names.index(name) :]
        return self._derived(self._current.without([node.name for node in later if node.part != "fallback"]))

    def with_events(self, dataset: Dataset) -> Pipeline:
        """Return a pipeline whose stages that evaluate as of each request's time know other events and tables.

        Everything else is shared; ids that this model does not know stay unknown.
        """
        from recokit.pipeline.fitting import with_events

        known = recoded(dataset, self.schema)
        return self._derived(with_events(self._ready().plan, known), known)

    def with_context(self, context: Declared | None) -> Pipeline:
        """Return this fitted pipeline with other context columns declared for calls that do not give them."""
        changed = copy.copy(self)
        changed.context = {**self.context, **checked_context(context)}
        model = self._ready()
        changed._model = replace(model, settings=replace(model.settings, context=changed.context))
        return changed

    def as_source(self) -> PipelineSource:
        """Return this fitted pipeline as a source of another one."""
        self._ready()
        return PipelineSource(self)

    def non_profiling(self) -> NonProfiling:
        """Return this fitted pipeline for users who do not want to be profiled: each request is an anonymous one."""
        return NonProfiling(self)

    def _derived(self, plan: Plan, dataset: Dataset | None = None) -> Pipeline:
        """Return a fitted pipeline of another plan, bound to the model's schema or that of a dataset."""
        model = self._ready()
        known, until = (model, model.until) if dataset is None else (dataset, dataset.known_until)
        stages, fallback = plan.to_steps()
        derived = copy.copy(self)
        derived.stages, derived.fallback = list(stages), fallback
        derived._plan = compile_plan(derived.stages, fallback)
        return derived._adopt(bind_plan(derived._plan, known.schema), known.schema, until, model.report)

    # -- saving and showing ------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Save the fitted pipeline to a folder of JSON and safetensors with checksums; no pickle.

        Observers, the clock and functions are not saved. See :mod:`recokit.data.state` for the format.
        """
        options = {name: getattr(self, name) for name in (*_SAVED_OPTIONS, "profile")}
        save_model(self._ready(), path, **options)

    @classmethod
    def load(
        cls,
        path: str | Path,
        *,
        trusted: Sequence[type] = (),
        connections: Mapping[str, Any] | None = None,
        mapped: bool = False,
        **options: Any,
    ) -> Pipeline:
        """Load a pipeline that ``save`` wrote.

        Parameters
        ----------
        path : str or Path
            The folder.
        trusted : sequence of type
            Your own stage classes that may be rebuilt; recokit's own always may.
        connections : mapping of str to object, optional
            For each Redis prefix or SQLite table that the pipeline reads the open store, its URL or path.
        mapped : bool, default False
            Share arrays with other processes that load the same files; these must never be written again.
        options
            ``observers`` and ``clock``.

        Raises
        ------
        DataError
            If a file is missing, altered or of an unknown version.
        ConfigurationError
            If a class is neither recokit's nor trusted, or a connection is not given.
        """
        parts = load_parts(path, trusted, connections, mapped=mapped)
        schema, names = parts["schema"], ("fallback", *_SAVED_OPTIONS)
        pipeline = cls(parts["stages"], **{name: parts[name] for name in names if name in parts} | options)
        pipeline.profile = parts.get("profile")
        try:
            return pipeline._adopt(bind_plan(pipeline._plan, schema), schema, parts["until"])
        except (RecokitError, ImportError):
            raise
        except Exception as error:  # whatever stages say of learned values that nobody saved
            raise DataError(
                f"found a saved pipeline that cannot be put together ({error_text(error)}); expected one written by "
                "save of this version of recokit"
            ) from error

    def plot(self, trace: Trace | None = None, ax: Any = None) -> Any:
        """Draw the stages as a diagram, from top to bottom.

        Parameters
        ----------
        trace : Trace, optional
            Of a run, such as ``result.trace``: how many candidates left each stage, and what filters took.
        ax : matplotlib Axes, optional
            A new figure by default.

        Returns
        -------
        matplotlib Axes

        Raises
        ------
        ConfigurationError
            Without matplotlib (extra ``plots``).
        """
        from recokit.pipeline.diagram import picture

        return picture(self._current, () if trace is None else trace.events, ax)

    def __repr__(self) -> str:
        tail = f", fallback={self.fallback!r}" if self.fallback is not None else ""
        return "".join(["Pipeline([\n", *(f"    {stage!r},\n" for stage in self.stages), f"]{tail})"])

    def _repr_html_(self) -> str:
        from recokit.pipeline.diagram import diagram

        return diagram(self._current, fitted=self._model is not None)
