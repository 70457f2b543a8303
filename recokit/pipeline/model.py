"""Model: a plan that is fitted and bound, with all that serving needs; replaced as a whole by a refit."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from recokit._utils.progress import progress_bar
from recokit._utils.threads import Bulkhead
from recokit.budget import Deadline, overruns
from recokit.compose.fusion import check_retrieved
from recokit.data import Candidates, Live, Requests, Retrieved, Schema, load_state, save_state
from recokit.errors import ConfigurationError, DataError, VocabularyMismatch
from recokit.pipeline.plan import Plan, live_values, steps_of
from recokit.pipeline.ranking import rank
from recokit.pipeline.retrieval import retrieve
from recokit.pipeline.run import Run, Settings
from recokit.pipeline.selection import Selector
from recokit.protocols import Observer
from recokit.result import Recommendations
from recokit.trace import Status, Trace
from recokit.typing import AnyArray

if TYPE_CHECKING:
    from recokit.training import TrainingReport

__all__ = ["Capture", "Model", "load_parts", "save_model", "tell", "wants_ranked"]


Capture = Literal["summary", "full"]


#: Requests run at a time in a batch; bounds memory, changes no answer.
CHUNK_ROWS = 512


@dataclass(frozen=True, eq=False)
class Model:
    """A fitted plan.

    Parameters
    ----------
    settings : Settings
        The bound plan and what its runs share.
    schema : Schema
        Vocabularies and tables.
    until : float
        Time up to which it has seen events.
    fingerprint : str
        Hash of the stages' options, the item vocabulary and ``until``.
    live : mapping of int to Live
        Live values of the stages, by ``id``.
    report : TrainingReport, optional
        What the last ranker learned from.
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
    ) -> Model:
        """Prepare a bound plan for serving."""
        bulkheads = {node.name: Bulkhead() for node in plan.sources if node.io_bound}
        settings = Settings(plan, len(schema.item_ids), validate, bulkheads, keep_ranked)
        content = [(node.name, repr(node.stage)) for node in plan], schema.item_ids.fingerprint, until
        fingerprint = hashlib.sha256(repr(content).encode()).hexdigest()[:16]
        return cls(settings, schema, until, fingerprint, live_values(plan), report)

    @property
    def plan(self) -> Plan:
        """The bound plan."""
        return self.settings.plan

    def pinned(self, requests: Requests) -> Requests:
        """Return requests with one version of every live value; versions that they carry already stay."""
        missing = {key: live.pin() for key, live in self.live.items() if key not in requests.pinned}
        return replace(requests, pinned={**requests.pinned, **missing}) if missing else requests

    def check_codes(self, requests: Requests) -> None:
        """Raise VocabularyMismatch for codes that are not of this model's vocabularies."""
        n_users, n_items = len(self.schema.user_ids), len(self.schema.item_ids)
        checks = [("user", requests.user, n_users)]
        checks += [(name, lists.values, n_items) for name, lists in requests.ragged.items()]
        for name, codes, highest in checks:
            if len(codes) and (codes.min() < 0 or codes.max() > highest):
                bad = int(codes.max()) if codes.max() > highest else int(codes.min())
                raise VocabularyMismatch(
                    f"found code {bad} in {name!r}; expected 0 to {highest}; hint: codes of another model? "
                    "pipeline.requests(...) encodes ids with this model's vocabularies"
                )

    def candidates(self, requests: Requests) -> Candidates:
        """Return a batch as it stands before selection."""
        run = Run(self.settings, self.pinned(requests), Deadline.after(np.inf), full=False)
        return rank(run, retrieve(run))

    def answer(
        self, requests: Requests, users: AnyArray, budget_ms: float | None, capture: Capture
    ) -> Recommendations:
        """Run one batch of requests whose live values are pinned.

        Raises
        ------
        DataError
            For a budget that is not positive.
        ConfigurationError
            For an unknown capture.
        """
        if budget_ms is not None and not budget_ms > 0:
            raise DataError(f"found budget_ms={budget_ms}; expected a positive number of milliseconds")
        if capture not in ("summary", "full"):
            raise ConfigurationError(f"found capture={capture!r}; expected 'summary' or 'full'")
        budget = np.inf if budget_ms is None else budget_ms / 1e3
        run = Run(self.settings, requests, Deadline.after(budget), full=capture == "full")
        ranked = rank(run, retrieve(run))
        selected = Selector(run).finish(ranked)
        if self.settings.validate:
            selected.validate()
        seconds = run.deadline.elapsed()
        trace = Trace(
            requests=run.requests,
            events=tuple(run.events),
            status=run.status,
            reasons=tuple(tuple(run.reasons.get(row, ())) for row in range(len(requests))),
            seconds=seconds,
            budget=budget,
            overruns=overruns(run.spent, seconds, budget),
            versions={live.name: requests.pinned[key][0] for key, live in self.live.items()},
            fingerprint=self.fingerprint,
            selected=selected,
            ranked=ranked if self.settings.keep_ranked else None,
            users=users,
            item_ids=self.schema.item_ids,
            user_ids=self.schema.user_ids,
        )
        return Recommendations.from_candidates(selected, users, self.schema.item_ids, trace)

    def answers(
        self,
        requests: Requests,
        users: AnyArray,
        budget_ms: float | None,
        capture: Capture,
        *,
        progress: bool = False,
    ) -> Iterator[Recommendations]:
        """Run requests in chunks, all with the same versions of live values; at least one answer."""
        requests = self.pinned(requests)
        starts = range(0, max(len(requests), 1), CHUNK_ROWS)
        if len(starts) == 1:
            yield self.answer(requests, users, budget_ms, capture)
            return
        for start in progress_bar(starts, show=progress, label="recommend"):
            rows = np.arange(start, min(start + CHUNK_ROWS, len(requests)))
            yield self.answer(requests.take(rows), users[rows], budget_ms, capture)

    def similar(self, items: Sequence[Any], k: int) -> Recommendations:
        """Return the items most similar to each given one; see ``Pipeline.similar_items``."""
        if k < 1:
            raise DataError(f"found k={k}; expected at least 1")
        if isinstance(items, str | bytes) or not hasattr(items, "__len__"):
            raise DataError(f"found items={items!r}; expected a list of ids; hint: [{items!r}]")
        asked = np.empty(len(items), object)
        asked[:] = list(items)
        codes = self.schema.item_ids.encode(asked)
        node = next((node for node in self.plan.sources if hasattr(node.stage, "similar")), None)
        if node is None:
            names = ", ".join(self.plan.source_names)
            raise ConfigurationError(
                f"found no source with similar() among {names}; hint: candidates.ItemKNN()"
            )
        found: Retrieved = node.stage.similar(codes, k)
        check_retrieved(found, len(codes), len(self.schema.item_ids), node.name, k)
        empty = np.diff(found.offsets) == 0
        why = np.where(codes > 0, "no similar item", "unknown item").tolist()
        return Recommendations(
            users=asked,
            offsets=found.offsets,
            item=found.item,
            score=found.score,
            columns={},
            sources=((node.leaf,),) * len(found.item),
            status=np.where(empty, Status.EMPTY, Status.OK),
            reasons=tuple((reason,) if bare else () for reason, bare in zip(why, empty, strict=True)),
            item_ids=self.schema.item_ids,
            fingerprint=self.fingerprint,
        )


_LOGGER = logging.getLogger("recokit")


def tell(observers: Sequence[Observer], answer: Recommendations) -> Recommendations:
    """Show an answer's trace to the observers and return the answer."""
    for observer in observers:
        try:
            observer.observe(answer.trace)
        except Exception:
            _LOGGER.warning("observer %s failed", type(observer).__name__, exc_info=True)
    return answer


def wants_ranked(observers: Sequence[Observer]) -> bool:
    """Tell whether an observer needs the candidates as they stood before selection."""
    return any(getattr(observer, "wants_ranked", False) for observer in observers)


def save_model(model: Model, path: str | Path) -> None:
    """Save the fitted stages as steps, with the model's schema."""
    stages, fallback = steps_of(model.plan)
    state = {
        "stages": stages,
        "fallback": fallback,
        "schema": model.schema,
        "until": model.until,
        "validate": model.settings.validate,
    }
    save_state(path, state, {"fingerprint": model.fingerprint})


def load_parts(path: str | Path, trusted: Sequence[type]) -> Mapping[str, Any]:
    """Return what ``save_model`` saved: stages, fallback, schema, until and validate."""
    state, _ = load_state(path, trusted=trusted)
    parts: Mapping[str, Any] = state
    return parts
