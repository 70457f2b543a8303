"""The stage under test: cloned, fitted and bound, with the batches that it is asked."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, replace
from functools import cached_property
from typing import Any, NoReturn

import numpy as np

from recokit._kernels.hashing import row_seeds, uniform
from recokit._kernels.segments import rank_in_row
from recokit._utils.params import clone
from recokit.data import Candidates, Dataset, Live, RankingData, Requests, Schema
from recokit.errors import ConfigurationError
from recokit.protocols import Role, role_of
from recokit.testing._answers import VERBS, Answer, answer_of, call, difference, window_of
from recokit.testing._failure import ContractFailure, WrongAnswer
from recokit.testing._outputs import check_gain, check_output, check_retrieved
from recokit.testing._running import frozen
from recokit.testing.data import make_candidates, make_requests, toy_dataset
from recokit.typing import AnyArray

_LISTS = ("history", "owned", "session", "cart")
_SOURCES, _FEATURES = ("popular", "item_knn"), ("price", "clicks_7d", "popularity")

#: The first follows every positive row, the second every other item's.
_EVENTS = ("click", "purchase")


class Subject:
    """One stage and what it is asked.

    Parameters
    ----------
    stage : object
        The stage as the user made it; never changed.
    candidates, requests, dataset : optional
        As :func:`~recokit.testing.check_stage` takes them.
    """

    def __init__(
        self,
        stage: Any,
        *,
        candidates: Candidates | None = None,
        requests: Requests | None = None,
        dataset: Dataset | None = None,
    ) -> None:
        self.stage = stage
        self.name = stage.__name__ if isinstance(stage, type) else type(stage).__name__
        self.check = ""
        self.limit = 10
        self._candidates, self._requests, self._dataset = candidates, requests, dataset

    def fail(self, found: str, expected: str, hint: str = "") -> NoReturn:
        """Raise the failure of the running check."""
        raise ContractFailure(self.name, self.check, found, expected, hint)

    def same(self, found: Answer, expected: Answer, when: str, hint: str) -> None:
        """Raise the failure of the running check unless two answers are the same."""
        for b, (mine, right) in enumerate(zip(found.rows, expected.rows, strict=True)):
            text = difference(mine, right)
            if text:
                self.fail(f"{text} in row {b} {when}", "the same answer", hint)

    @cached_property
    def role(self) -> Role:
        """The stage's role."""
        try:
            return role_of(self.stage)
        except ConfigurationError as error:
            found, _, rest = str(error).removeprefix("found ").partition("; expected ")
            expected, _, hint = rest.partition("; hint: ")
            raise ContractFailure(self.name, "one_verb", found, expected, hint) from error

    @property
    def verb(self) -> str:
        """The stage's verb."""
        return VERBS[self.role]

    @cached_property
    def dataset(self) -> Dataset:
        """The data that the stage is fitted on and bound to."""
        return toy_dataset() if self._dataset is None else self._dataset

    @cached_property
    def requires(self) -> tuple[str, ...]:
        """What the fitted and bound stage declares."""
        declared = {*getattr(self.stage, "requires", ()), *getattr(self.ready, "requires", ())}
        return tuple(sorted(declared))

    @cached_property
    def batch(self) -> Candidates:
        """The batch that every check starts from."""
        return self._candidates if self._candidates is not None else self.make_batch()

    def make_batch(self, n_rows: int = 8, per_row: int = 12, seed: int = 0) -> Candidates:
        """Return toy candidates within the stage's arrays, with every column that the stage asks for by name."""
        n_items, n_users = self._largest_codes()
        requires = tuple(getattr(self.stage, "requires", ()))
        requests = self._requests
        if requests is None or n_rows != 8:
            requests = make_requests(n_rows, n_items=n_items, n_users=n_users, seed=seed)
        context = [name.removeprefix("context.") for name in requires if name.startswith("context.")]
        extra = {name: _labels(len(requests), seed) for name in context if name not in requests.columns}
        ranks = [name.rpartition("_")[0] for name in requires if name.endswith(("_rank", "_score"))]
        features = [name.removeprefix("feature.") for name in requires if name.startswith("feature.")]
        batch = make_candidates(
            n_items=n_items,
            per_row=per_row,
            sources=list(dict.fromkeys((*_SOURCES, *ranks))),
            features=list(dict.fromkeys((*_FEATURES, *features))),
            requests=replace(requests, columns={**requests.columns, **extra}),
            seed=seed,
        )
        known = {*_LISTS, *batch.columns, *requests.ragged}
        others = [name for name in requires if "." not in name and name not in known]
        return batch.with_columns({name: _labels(len(batch), seed) for name in others})

    def _largest_codes(self) -> tuple[int, int]:
        """Codes that plain array options can be indexed with: n + 1 rows hold the codes 0 to n."""
        own = {
            name: value
            for name, value in getattr(self.stage, "__dict__", {}).items()
            if not name.endswith("_")
        }
        options = [value.pin()[1] if isinstance(value, Live) else value for value in own.values()]
        arrays = [value for value in options if isinstance(value, np.ndarray) and value.ndim]
        sizes = [len(array) - 1 for array in arrays if len(array) > 1]
        return min(self.dataset.n_items, *sizes, 10**9), min(self.dataset.n_users, *sizes, 10**9)

    @cached_property
    def schema(self) -> Schema:
        """What the stage may bind to."""
        batch = self.batch
        return replace(
            self.dataset.schema,
            source_names=batch.source_names,
            feature_names=batch.feature_names,
            provided=frozenset({*_LISTS, "items", "exclude", *batch.columns, *batch.requests.ragged}),
        )

    @cached_property
    def fitted(self) -> Any:
        """A fitted clone, or the stage itself where there is nothing to fit."""
        return self.fit(self.dataset)

    def fit(self, dataset: Dataset) -> Any:
        """Return a clone fitted on a dataset; a scorer learns from labelled candidates."""
        if not hasattr(self.stage, "fit"):
            return self.stage
        twin = clone(self.stage)
        fitted = self.guard(twin.fit, self.ranking_data if self.role is Role.SCORER else dataset)
        if fitted is not twin:
            self.fail(f"{_a(fitted)} from fit", "the stage itself", "end fit with `return self`")
        return fitted

    @cached_property
    def ready(self) -> Any:
        """The stage as a pipeline uses it: fitted, then bound."""
        return self.bind(self.fitted, self.schema)

    def bind(self, stage: Any, schema: Schema) -> Any:
        """Return a bound copy; the stage itself where there is nothing to bind."""
        if not hasattr(stage, "bind"):
            return stage
        bound = self.guard(stage.bind, schema)
        if type(bound) is not type(stage):
            hint = "bound = copy.copy(self), set its arrays, return bound"
            self.fail(f"{_a(bound)} from bind", f"a bound copy, {_a(stage)}", hint)
        return bound

    @cached_property
    def ranking_data(self) -> RankingData:
        """Labelled candidates with places and events, and a validation part: a positive in four."""
        given = self._candidates is not None
        batches = [self.batch] * 2 if given else [self.make_batch(60, 20, seed=seed) for seed in (1, 2)]
        train, later = (self._labelled(batch) for batch in batches)
        return replace(train, validation=later)

    def _labelled(self, batch: Candidates) -> RankingData:
        """Return candidates with labels, more of them positive where the first feature is large."""
        n = len(batch)
        label = uniform(row_seeds(0, batch.item), batch.row) < 0.25
        if batch.features.size:
            label |= np.nan_to_num(batch.features[:, 0]) > 1.0
        label[:1], label[1:2] = True, False
        columns: dict[str, AnyArray] = {"position": rank_in_row(batch.row, batch.offsets) + 1}
        columns |= {f"event.{name}": label & (batch.item % i == 0) for i, name in enumerate(_EVENTS, 1)}
        return RankingData(
            features=batch.features,
            feature_names=batch.feature_names,
            label=label.astype(np.float32),
            weight=np.ones(n, np.float32),
            offsets=batch.offsets,
            user=batch.user,
            item=batch.item,
            now=batch.now,
            columns=columns,
            schema=self.schema,
        )

    def guard(self, function: Any, *args: Any) -> Any:
        """Call a method of the stage; what it raises is a failure of the running check."""
        try:
            return function(*args)
        except ContractFailure:
            raise
        except Exception as error:
            verb = getattr(function, "__name__", self.verb)
            if (
                "read-only" in str(error)
                or "mappingproxy" in str(error)
                or isinstance(error, FrozenInstanceError)
            ):
                raise ContractFailure(
                    self.name, self.check, f"a write into the input of {verb} ({type(error).__name__}: {error})",
                    "inputs left as they are", "work on a copy: batches share arrays with the whole run",
                ) from error  # fmt: skip
            raise ContractFailure(
                self.name, self.check, f"{type(error).__name__} from {verb} ({error})", "an answer"
            ) from error

    def call(self, batch: Candidates, stage: Any = None) -> Any:
        """Return the raw result for a frozen copy of a batch."""
        stage = self.ready if stage is None else stage

        def verb() -> Any:
            return call(stage, self.role, frozen(batch), self.limit)

        verb.__name__ = self.verb
        return self.guard(verb)

    def ask(self, batch: Candidates, stage: Any = None) -> Answer:
        """Return the answer for a batch, after the check of its shape."""
        stage = self.ready if stage is None else stage
        return self.checked(self.call(batch, stage), batch, stage)

    def checked(self, result: Any, batch: Candidates, stage: Any) -> Answer:
        """Return the answer that a raw result is, after the check of its shape."""
        try:
            if self.role is Role.OBJECTIVE:
                # Gains are checked where they arise, in one step of selection.
                window = frozen(window_of(batch))
                check_gain(self.guard(stage.gain, self.guard(stage.start, window)), window)
            elif self.role is Role.SOURCE:
                n_items = max(self.dataset.n_items, int(batch.item.max(initial=0)))
                check_retrieved(result, len(batch.requests), limit=self.limit, n_items=n_items)
            else:
                check_output(result, self.role, batch, stage)
        except WrongAnswer as wrong:
            raise ContractFailure(self.name, self.check, wrong.found, wrong.expected, wrong.hint) from None
        return answer_of(result, self.role, batch, stage)


def _labels(n: int, seed: int) -> AnyArray:
    return np.random.default_rng(seed).choice(["", "a", "b"], n).astype(object)


def _a(value: Any) -> str:
    name = "None" if value is None else type(value).__name__
    return name if value is None else f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"
