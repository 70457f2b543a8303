"""Model: a plan that is fitted and bound, with all that serving needs; replaced as a whole by a refit."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recokit._kernels.segments import bounds
from recokit._utils.copies import with_fields
from recokit._utils.options import Rule, at_least, one_of, traced
from recokit._utils.progress import progress_bar
from recokit.budget import Deadline
from recokit.compose.step import leaf_name
from recokit.data import Candidates, Live, Ragged, Requests, Schema
from recokit.data.vocabulary import Vocabulary
from recokit.errors import ConfigurationError, DataError, VocabularyMismatch
from recokit.pipeline.finish import finish
from recokit.pipeline.paid import paid_items
from recokit.pipeline.plan import Plan, bind_plan, live_values
from recokit.pipeline.ranking import rank
from recokit.pipeline.retrieval import retrieve
from recokit.pipeline.run import Run, Settings
from recokit.protocols import Observer, WantsRanked
from recokit.result import Recommendations
from recokit.slates import prepare
from recokit.typing import AnyArray, IntArray

if TYPE_CHECKING:
    from recokit._utils.resilience.dependency import Dependency
    from recokit.training import TrainingReport

Capture = Literal["summary", "full"]


#: Requests run at a time in a batch; bounds memory, changes no answer.
CHUNK_ROWS = 512


_NUMBER = at_least(0)
_BUDGET = Rule("a positive number of milliseconds", lambda ms: ms is None or (_NUMBER.holds(ms) and ms > 0))
#: Milliseconds for all rows, or for each of them.
Budget = float | Sequence[float] | AnyArray | None
_CAPTURE = one_of("summary", "full")


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted plan.

    Parameters
    ----------
    settings : Settings
        The bound plan and the circumstances of its runs.
    schema : Schema
        Vocabularies and tables.
    until : float
        Time up to which it has seen events.
    fingerprint : str
        Hash of the stages with what they learned, the item vocabulary and ``until``.
    live : mapping of int to Live
        Live values of the stages, by ``id``.
    report : TrainingReport, optional
        Report on the rows that the last ranker learned from.
    """

    settings: Settings
    schema: Schema
    until: float
    fingerprint: str
    live: Mapping[int, Live[Any]]
    report: TrainingReport | None = None

    @classmethod
    def build(
        cls,
        plan: Plan,
        schema: Schema,
        until: float,
        *,
        validate: bool,
        report: TrainingReport | None = None,
        keep_ranked: bool = False,
        dependency: Callable[[], Dependency] | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> Model:
        """Prepare a bound plan for serving, each stage that waits asked through a dependency of its own."""
        waiting = [node.name for node in plan if node.io_bound]
        dependencies = {} if dependency is None else {name: dependency() for name in waiting}
        paid = paid_items(plan, schema)
        if plan.constraints:
            prepare()
        settings = Settings(
            plan,
            schema,
            validate,
            dependencies,
            keep_ranked=keep_ranked,
            paid=paid,
            context=context or {},
        )
        from recokit.data.state.digest import digest

        content = [(node.name, digest(node.stage)) for node in plan], schema.item_ids.fingerprint, until
        fingerprint = hashlib.sha256(repr(content).encode()).hexdigest()[:16]
        return cls(settings, schema, until, fingerprint, live=live_values(plan), report=report)

    @property
    def plan(self) -> Plan:
        """The bound plan."""
        return self.settings.plan

    def pinned(self, requests: Requests) -> Requests:
        """Return requests with one version of every live value; versions that they carry already stay."""
        missing = {key: live.pin() for key, live in self.live.items() if key not in requests.pinned}
        return with_fields(requests, pinned={**requests.pinned, **missing}) if missing else requests

    def check_codes(self, requests: Requests) -> None:
        """Raise VocabularyMismatch for codes that are not of this model's vocabularies."""
        n_users, n_items = len(self.schema.user_ids), len(self.schema.item_ids)
        check_range("user", requests.user, 0, n_users)
        for name, lists in requests.ragged.items():
            check_range(name, lists.values, 0, n_items)

    def check_ordered(self, ordered: Ragged, n_rows: int) -> None:
        """Check lists to complete: one for each request, of distinct items of this model.

        Raises
        ------
        VocabularyMismatch
            For a code that is no item of this model.
        DataError
            For another number of lists, or an item twice in one.
        """
        if len(ordered) != n_rows:
            raise DataError(f"found {len(ordered)} lists in ordered; expected {n_rows}, one for each request")
        check_range("ordered", ordered.values, 1, len(self.schema.item_ids))
        pairs = np.lexsort((ordered.values, ordered.rows))
        row, item = ordered.rows[pairs], ordered.values[pairs]
        again = np.flatnonzero((row[1:] == row[:-1]) & (item[1:] == item[:-1]))
        if len(again):
            raise DataError(
                f"found item code {item[again[0]]} twice in row {row[again[0]]} of ordered; expected distinct items"
            )

    def candidates(self, requests: Requests) -> Candidates:
        """Return a batch as it stands before selection."""
        run = Run(self.settings, self.pinned(requests), Deadline.after(np.inf))
        return rank(run, retrieve(run))

    def answer(
        self,
        requests: Requests,
        users: AnyArray,
        *,
        budget_ms: Budget = None,
        capture: Capture = "summary",
        ordered: Ragged | None = None,
    ) -> Recommendations:
        """Run one batch of requests whose live values are pinned.

        Raises
        ------
        DataError
            For a budget that is not positive.
        ConfigurationError
            For an unknown capture.
        """
        _CAPTURE.check("capture", capture)
        deadline = _deadline(budget_ms, len(requests))
        run = Run(self.settings, requests, deadline, full=capture == "full", ordered=ordered)
        ranked = rank(run, retrieve(run))
        selected = finish(run, ranked)
        if self.settings.validate:
            selected.validate()
        return self._answer(run, selected, users, ranked=ranked if self.settings.keep_ranked else None)

    def _answer(
        self, run: Run, shown: Candidates, users: AnyArray, *, ranked: Candidates | None = None
    ) -> Recommendations:
        """Return the lists of a run that is over, with its trace."""
        trace = run.trace(
            shown,
            versions={live.name: run.requests.pinned[key][0] for key, live in self.live.items()},
            fingerprint=self.fingerprint,
            ranked=ranked,
            users=users,
            item_ids=self.schema.item_ids,
            item_titles=self.schema.items.titles,
            user_ids=self.schema.user_ids,
        )
        return Recommendations.from_candidates(shown, users, self.schema.item_ids, trace)

    def answers(
        self, requests: Requests, users: AnyArray, *, progress: bool = False, **options: Any
    ) -> Iterator[Recommendations]:
        """Run requests in chunks, all with the same versions of live values; at least one answer."""
        requests = self.pinned(requests)
        starts = range(0, max(len(requests), 1), CHUNK_ROWS)
        if len(starts) == 1:
            yield self.answer(requests, users, **options)
            return
        budget_ms = options.pop("budget_ms", None)
        each = None if np.ndim(budget_ms) == 0 else np.asarray(budget_ms)
        if each is not None and len(each) != len(requests):
            raise DataError(
                f"found {len(each)} budgets; expected one, or one for each of {len(requests)} users"
            )
        for start in progress_bar(starts, show=progress, label="recommend"):
            rows = np.arange(start, min(start + CHUNK_ROWS, len(requests)))
            budget = budget_ms if each is None else each[rows]
            yield self.answer(requests.take(rows), users[rows], budget_ms=budget, **options)

    @cached_property
    def rechecking(self) -> Settings:
        """The settings of the runs that hold earlier lists against the rules."""
        from recokit.pipeline.recheck import recheck_plan  # services only

        return replace(self.settings, plan=recheck_plan(self.plan))

    def recheck(
        self,
        requests: Requests,
        users: AnyArray,
        *,
        listed: Candidates | None,
        filler: IntArray,
        budget_ms: Budget = None,
    ) -> Recommendations:
        """Return what may be shown of lists made earlier; see ``Pipeline.recheck``."""
        from recokit.pipeline.recheck import recheck

        deadline = _deadline(budget_ms, len(requests))
        run, shown = recheck(self.rechecking, self.pinned(requests), listed, filler, deadline)
        return self._answer(run, shown, users)

    @cached_property
    def alike(self) -> Settings:
        """The settings of the runs for similar items."""
        from recokit.pipeline.similar import similar_plan  # lists of product pages only

        plan = bind_plan(similar_plan(self.plan), self.schema)
        return replace(self.settings, plan=plan, dependencies={})

    def similar(self, items: Sequence[Any], requests: Requests) -> Recommendations:
        """Return the items most similar to each given one; see ``Pipeline.similar_items``."""
        from recokit.pipeline.similar import similar_lists

        codes = self.schema.item_ids.encode(items)
        run, shown = similar_lists(self.alike, self.pinned(requests), codes)
        ids = np.empty(len(items), object)
        ids[:] = list(items)
        return self._answer(run, shown, ids)


def _deadline(budget_ms: Budget, n_rows: int) -> Deadline:
    """Return the deadline of a run that starts now; each row's own where there are several budgets."""
    if budget_ms is None or np.ndim(budget_ms) == 0:
        _BUDGET.check("budget_ms", budget_ms, DataError)
        return Deadline.after(np.inf if budget_ms is None else float(budget_ms) / 1e3)  # type: ignore[arg-type]
    each = np.asarray(budget_ms, np.float64)
    if each.shape != (n_rows,) or not (each > 0).all():
        raise DataError(
            f"found budget_ms of shape {each.shape} from {each.min(initial=np.inf):g}; expected positive "
            f"milliseconds, one for all or one for each of {n_rows} users"
        )
    return Deadline.of_rows(each / 1e3)


def check_range(name: str, codes: IntArray, lowest: int, highest: int) -> None:
    """Raise VocabularyMismatch for codes outside a range."""
    least, most = bounds(codes) if len(codes) else (lowest, highest)
    if least < lowest or most > highest:
        bad = int(most) if most > highest else int(least)
        raise VocabularyMismatch(
            f"found code {bad} in {name!r}; expected {lowest} to {highest}; hint: codes of another model? "
            "pipeline.requests(...) encodes ids with this model's vocabularies"
        )


_LOGGER = logging.getLogger("recokit")


def notify_observers(observers: Sequence[Observer], answer: Recommendations) -> Recommendations:
    """Show an answer's trace to the observers and return the answer."""
    for observer in observers:
        try:
            observer.observe(answer.trace)
        except Exception as error:
            _LOGGER.warning("observer %s failed: %s", type(observer).__name__, traced(error))
    return answer


def wants_ranked(observers: Sequence[Observer]) -> bool:
    """Return whether an observer needs the candidates as they stood before selection."""
    return any(isinstance(observer, WantsRanked) and observer.wants_ranked for observer in observers)


def save_model(model: Model, path: str | Path, **options: Any) -> None:
    """Save the fitted stages as steps, with the model's schema and options of its pipeline."""
    stages, fallback = model.plan.to_steps()
    state = {
        "stages": stages,
        "fallback": fallback,
        "schema": model.schema,
        "until": model.until,
        **options,
    }
    from recokit.data.state.folder import save_state

    try:
        save_state(path, state, {"fingerprint": model.fingerprint})
    except ConfigurationError as error:
        raise ConfigurationError(_with_names(str(error), [*stages, fallback])) from error


def _with_names(message: str, steps: Sequence[Any]) -> str:
    """Return a message about a place in the saved state that names the stage in place of its number."""
    for place, step in enumerate(steps):
        where = "dict['fallback']" if place == len(steps) - 1 else f"dict['stages'][{place}]"
        if step is not None:
            message = message.replace(f"{where}.stage", leaf_name(step)).replace(where, leaf_name(step))
    return message


def load_parts(
    path: str | Path,
    trusted: Sequence[type],
    connections: Mapping[str, Any] | None = None,
    *,
    mapped: bool = False,
) -> Mapping[str, Any]:
    """Return the parts of a saved model: stages, fallback, schema, until and options of its pipeline.

    Raises
    ------
    DataError
        If it is another saved state than that of a pipeline.
    """
    from recokit.data.state.folder import load_state

    state, _ = load_state(path, trusted, connections, mapped=mapped)
    needed = {"stages", "fallback", "schema", "until"}
    if not isinstance(state, dict) or needed - set(state):
        raise DataError(f"found a saved {type(state).__name__} at {path}; expected a pipeline saved by save")
    schema = state["schema"]
    vocabularies = isinstance(schema, Schema) and (schema.user_ids, schema.item_ids)
    if not vocabularies or not all(isinstance(ids, Vocabulary) for ids in vocabularies):
        raise DataError(f"found a saved pipeline at {path} without ids; expected one saved by save")
    parts: Mapping[str, Any] = state
    return parts
