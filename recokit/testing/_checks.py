"""The contract checks, in the order in which check_stage runs them. Each raises ContractFailure or Skipped."""

from __future__ import annotations

import inspect
import pickle
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from recokit._utils.params import clone, get_params
from recokit.data import Candidates
from recokit.data.state.encode import from_state, to_state
from recokit.errors import ConfigurationError
from recokit.protocols import Role, traits_of
from recokit.testing._answers import Answer, call, difference, window_of
from recokit.testing._failure import ContractFailure, Skipped
from recokit.testing._running import count_line_events, frozen, run_interleaved
from recokit.testing._subject import Subject
from recokit.typing import IntArray


@dataclass(frozen=True)
class Check:
    """A named check, and the roles and stages that it is about; all where nothing is said."""

    name: str
    run: Callable[[Subject], None]
    roles: frozenset[Role] = frozenset(Role)
    needs: tuple[str, ...] = ()

    def is_about(self, subject: Subject) -> bool:
        """Tell whether the stage has the role and the attributes."""
        return subject.role in self.roles and all(getattr(subject.stage, name, False) for name in self.needs)


def _one_verb(subject: Subject) -> None:
    assert subject.role  # reading it raises where the verb is not exactly one


def _options(subject: Subject) -> None:
    """Options are stored under their own names, untouched, and a copy can be made of them."""
    try:
        params = get_params(subject.stage)
    except ConfigurationError as error:
        missing = str(error).split("'")[1]
        hint = f"self.{missing} = {missing} in __init__, so that it can be shown, copied and saved"
        subject.fail(f"no attribute {missing!r}", f"the option {missing!r} stored under its own name", hint)
    rebuilt = get_params(subject.guard(clone, subject.stage))
    for name, value in params.items():
        if not hasattr(value, "fit") and repr(rebuilt[name]) != repr(value):
            found = f"option {name}={rebuilt[name]!r} in a copy made with {name}={value!r}"
            subject.fail(
                found, "options stored as given", "convert where the option is used, not in __init__"
            )


def _repr(subject: Subject) -> None:
    text = subject.guard(repr, subject.stage)
    if subject.name not in text:
        subject.fail(
            f"repr {text!r}", f"one that names {subject.name}", "derive from recokit's Configured, or drop it"
        )


def _ready(subject: Subject) -> None:
    """Fit returns the stage, bind a copy, and neither changes what they were called on."""
    before = _attributes(subject.stage)
    fitted = subject.fitted
    _unchanged(subject, subject.stage, before, "fitting a copy")
    unbound = _attributes(fitted)
    bound = subject.ready
    if hasattr(fitted, "bind"):
        if bound is fitted:
            subject.fail(
                "the stage itself from bind", "a bound copy", "bound = copy.copy(self), then set its arrays"
            )
        _unchanged(subject, fitted, unbound, "bind")


def _inputs(subject: Subject) -> None:
    subject.call(subject.batch)


def _output(subject: Subject) -> None:
    subject.ask(subject.batch)


def _best_first(subject: Subject) -> None:
    for b, row in enumerate(subject.ask(subject.batch).rows):
        worse = np.flatnonzero(np.diff(row["scores"]) > 0)
        if len(worse):
            first, second = row["scores"][worse[0] : worse[0] + 2].tolist()
            subject.fail(
                f"score {second:.6g} after {first:.6g} in row {b}",
                "items best first, by the source's own score",
            )


def _edge_cases(subject: Subject) -> None:
    check = subject.check
    for name, batch in _edges(subject.batch):
        subject.check = f"{check}: {name}"
        subject.ask(batch)
    subject.check = check
    if subject.role is Role.SOURCE:
        limit, subject.limit = subject.limit, 1
        subject.check = f"{check}: limit of 1"
        try:
            subject.ask(subject.batch)
        finally:
            subject.limit, subject.check = limit, check


def _edges(batch: Candidates) -> Iterator[tuple[str, Candidates]]:
    none = np.zeros(0, np.int64)
    yield "empty batch", batch.take_rows(none)
    yield "rows without candidates", batch.compress(np.zeros(len(batch), np.bool_))
    yield "one candidate", batch.compress(np.arange(len(batch)) == batch.offsets[0])
    user = np.zeros(len(batch.requests), np.int64)
    yield "unknown users", replace(batch, requests=replace(batch.requests, user=user))
    lists = {name: lists.take(none) for name, lists in batch.requests.ragged.items()}
    empty = {name: replace(part, offsets=np.zeros(len(user) + 1, np.int64)) for name, part in lists.items()}
    yield "empty lists", replace(batch, requests=replace(batch.requests, ragged=empty))
    yield "all-NaN scores", batch.with_score(np.full(len(batch), np.nan, np.float32))
    yield "all-NaN features", replace(batch, features=np.full_like(batch.features, np.nan))
    yield "ties", batch.with_score(np.ones(len(batch), np.float32))


def _stateless(subject: Subject) -> None:
    before = _attributes(subject.ready)
    subject.ask(subject.batch)
    _unchanged(subject, subject.ready, before, subject.verb)


def _deterministic(subject: Subject) -> None:
    states, answers = (np.random.get_state(), random.getstate()), []  # noqa: NPY002 - these are what is tested
    try:
        for seed in (0, 1):
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            answers.append(subject.ask(subject.batch))
    finally:
        np.random.set_state(states[0])  # noqa: NPY002
        random.setstate(states[1])
    hint = "draw with recokit's counter-based uniform(requests.seed, ...): no clock, no global generator"
    subject.same(answers[1], answers[0], "a second time", hint)


def _batch_equals_singles(subject: Subject) -> None:
    together = subject.ask(subject.batch)
    for b in range(len(subject.batch.requests)):
        alone = subject.ask(subject.batch.take_rows(np.array([b])))
        text = difference(alone.rows[0], together.rows[b])
        if text:
            found = f"{text} for row {b} asked alone"
            subject.fail(found, "the same as in its batch", "compute within rows: never across the batch")


def _row_order(subject: Subject) -> None:
    n = len(subject.batch.requests)
    order = np.random.default_rng(1).permutation(n)
    straight, mixed = subject.ask(subject.batch), subject.ask(subject.batch.take_rows(order))
    expected = Answer([straight.rows[b] for b in order.tolist()])
    subject.same(mixed, expected, "with the rows in another order", "nothing may depend on a row's place")


def _candidate_order(subject: Subject) -> None:
    index = _shuffled(subject.batch)
    straight, mixed = (
        subject.ask(subject.batch),
        subject.ask(subject.batch.take(subject.batch.offsets, index)),
    )
    expected = []
    for b, row in enumerate(straight.rows):
        start, end = subject.batch.offsets[b], subject.batch.offsets[b + 1]
        expected.append({name: part[index[start:end] - start] for name, part in row.items()})
    hint = "nothing may depend on a candidate's place; what looks at the order is a Reranker"
    subject.same(mixed, Answer(expected), "with the candidates in another order", hint)


def _shuffled(batch: Candidates) -> IntArray:
    return np.lexsort((np.random.default_rng(3).random(len(batch)), batch.row))


def _other_candidates(subject: Subject) -> None:
    batch = subject.batch
    full = subject.call(batch)
    place = np.arange(len(batch)) - batch.offsets[batch.row]
    halves = [np.random.default_rng(seed).random(len(batch)) < 0.5 for seed in range(3)]
    for kept in (*halves, *(place == alone for alone in range(4))):
        part = subject.call(batch.compress(kept))
        changed = np.flatnonzero(full[kept] != part)
        if len(changed):
            item = int(batch.item[kept][changed[0]])
            found = f"decision {bool(part[changed[0]])} for item {item} with fewer other candidates"
            hint = "what looks at other candidates is a Constraint, Objective or Reranker"
            subject.fail(found, f"{bool(full[kept][changed[0]])}, as with all of them", hint)


def _declared(subject: Subject) -> None:
    """Raise ContractFailure naming what the stage reads without saying so in ``requires`` or in ``bind``."""
    names = _undeclared(subject.batch, subject.requires)
    if not _reads(subject, names):
        return
    read = [name for name in names if _reads(subject, [name])] or names
    features = {f"feature.{name}" for name in subject.batch.feature_names}
    if subject.role is Role.SCORER and features <= {*read, *subject.requires}:
        # It takes the matrix as a whole, whatever the features before it are.
        read = [name for name in read if name not in features]
    if not read:
        return
    hint = f"requires = {(*subject.requires, *read)!r}"
    subject.fail(f"that it reads {', '.join(map(repr, read))}", "all that it reads in requires", hint)


def _undeclared(batch: Candidates, requires: tuple[str, ...]) -> list[str]:
    """Names in the batch that the stage does not declare, as it would declare them."""
    names = [f"context.{name}" for name in batch.requests.columns]
    names += [*batch.requests.ragged, *batch.columns, *(f"feature.{name}" for name in batch.feature_names)]
    return [name for name in names if name not in requires]


def _reads(subject: Subject, names: list[str]) -> bool:
    """Tell whether the answer is another one without the names."""
    bare = _without(subject.batch, set(names))
    stage = subject.fitted
    if hasattr(stage, "bind"):
        sources = tuple(
            n for n in bare.source_names if f"{n}_rank" in bare.columns or f"{n}_score" in bare.columns
        )
        provided = subject.schema.provided - set(names)
        schema = replace(
            subject.schema, source_names=sources, feature_names=bare.feature_names, provided=provided
        )
        try:
            stage = stage.bind(schema)
        except ConfigurationError:
            return False  # it says at compile time what it lacks, which is as good as a declaration
    try:
        found, expected = subject.ask(bare, stage), subject.ask(subject.batch)
    except AssertionError:
        return True
    return any(difference(mine, right) for mine, right in zip(found.rows, expected.rows, strict=True))


def _without(batch: Candidates, names: set[str]) -> Candidates:
    requests = batch.requests
    kept = [place for place, name in enumerate(batch.feature_names) if f"feature.{name}" not in names]
    return replace(
        batch,
        requests=replace(
            requests,
            columns={
                name: column for name, column in requests.columns.items() if f"context.{name}" not in names
            },
            ragged={name: lists for name, lists in requests.ragged.items() if name not in names},
            from_caller={name: rows for name, rows in requests.from_caller.items() if name not in names},
        ),
        columns={name: column for name, column in batch.columns.items() if name not in names},
        features=batch.features[:, kept],
        feature_names=tuple(batch.feature_names[place] for place in kept),
    )


def _as_of(subject: Subject) -> None:
    """Check that a stage that evaluates as of each request's time cannot tell whether its fit saw later events."""
    log = subject.dataset.interactions
    cut = float(np.quantile(log.timestamp, 0.7))
    requests = subject.batch.requests
    batch = replace(subject.batch, requests=replace(requests, now=np.full(len(requests), cut)))
    early = subject.bind(subject.fit(subject.dataset.before(cut)), subject.schema)
    hint = "use events strictly before requests.now"
    late_answer, early_answer = subject.ask(batch), subject.ask(batch, early)
    # What a fit chooses to compute may depend on the data; what it computes under one name may not.
    late_answer, early_answer = late_answer.common(early_answer), early_answer.common(late_answer)
    subject.same(late_answer, early_answer, "after fitting on later events too", hint)


def _updates(subject: Subject) -> None:
    """Check that a row that chose nothing keeps its gains when others choose."""
    window = frozen(window_of(subject.batch))
    stage, rows = subject.ready, len(window.valid)
    state = subject.guard(stage.start, window)
    before = np.array(subject.guard(stage.gain, state), copy=True)
    active = (np.arange(rows) % 2 == 0) & window.valid.any(axis=1)
    state = subject.guard(stage.update, state, np.zeros(rows, np.int64), active)
    after = np.asarray(subject.guard(stage.gain, state))
    idle = ~active[:, None] & window.valid
    if not np.allclose(before[idle], after[idle], equal_nan=True):
        subject.fail(
            "other gains in rows that chose nothing", "the same gains as before", "respect `active` in update"
        )


def _python_events(subject: Subject) -> None:
    if traits_of(subject.stage).io_bound:
        raise Skipped("a stage that waits for others may ask for each request")
    small = subject.batch.take_rows(np.flatnonzero(subject.batch.counts)[:4])
    large = small.take_rows(np.tile(np.arange(small.n_rows), 10))
    counts = []
    for batch in (frozen(small), frozen(large)):
        subject.call(batch)
        counts.append(count_line_events(call, subject.ready, subject.role, batch, subject.limit))
    extra = max(len(large) - len(small), large.n_rows - small.n_rows)
    if counts[1] - counts[0] > 0.1 * extra:
        found = f"{counts[0]} Python line events for {len(small)} candidates, {counts[1]} for {len(large)}"
        subject.fail(
            found, "the same number whatever the number", "no Python loop over candidates or rows: use arrays"
        )


def _threads(subject: Subject) -> None:
    n = len(subject.batch.requests)
    halves = [subject.batch.take_rows(np.arange(n)[first::2]) for first in (0, 1)]
    expected = [subject.ask(half) for half in halves]
    inputs = [frozen(half) for half in halves]
    for half in inputs:
        # Before Python 3.12 a cached property holds a lock while it is computed: the threads would wait for each other.
        assert len(half.user) == len(half.now)
    calls = [partial(call, subject.ready, subject.role, half, subject.limit) for half in inputs]
    hint = "keep nothing that requests share: one stage serves many of them at once"
    for lines in (1, 2, 3):
        for half, right, result in zip(halves, expected, run_interleaved(calls, lines), strict=True):
            text = f"{type(result).__name__} ({result})" if isinstance(result, Exception) else ""
            if not text:
                try:
                    subject.same(subject.checked(result, half, subject.ready), right, "", "")
                except ContractFailure as failure:
                    text = failure.found
            if text:
                subject.fail(f"{text.strip()} while another thread asks", "the same answer as alone", hint)


def _pickle(subject: Subject) -> None:
    """Raise ContractFailure unless a pickled copy gives the same answer."""
    stage = subject.ready
    parts = [type(stage), *get_params(stage).values()]
    if not all(_picklable(part) for part in parts):
        raise Skipped("the class or an option cannot be found by name, as a lambda or a local class")
    try:
        loaded = pickle.loads(pickle.dumps(stage))
    except Exception as error:
        hint = "hold data, not functions or open resources, in what fit and bind set"
        subject.fail(f"{type(error).__name__} ({error})", "a stage that can be pickled", hint)
    subject.same(subject.ask(subject.batch, loaded), subject.ask(subject.batch), "after pickling", "")


def _picklable(value: Any) -> bool:
    try:
        pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def _saves(subject: Subject) -> None:
    """Raise ContractFailure unless a copy saved by recokit's codec gives the same answer."""
    stage, hint = (
        subject.fitted,
        "what fit learns goes to attributes that end with _, or to state() and load_state()",
    )
    try:
        tree, arrays = to_state(stage)
    except ConfigurationError as error:
        raise Skipped(str(error)) from error
    try:
        loaded = subject.bind(from_state(tree, arrays, trusted=_classes(stage)), subject.schema)
        found = subject.ask(subject.batch, loaded)
    except Exception as error:
        subject.fail(f"{_cause_of(error)} after saving and loading", "the same answer", hint)
    subject.same(found, subject.ask(subject.batch), "after saving and loading", hint)


def _cause_of(error: BaseException) -> str:
    """Return what went wrong in a nested failure, as a failure says what was found."""
    if isinstance(error, ContractFailure) and error.__cause__ is None:
        return error.found
    cause = error.__cause__ if error.__cause__ is not None else error
    return f"{type(cause).__name__} ({cause})"


def _classes(value: Any) -> set[type]:
    """Return the classes of a stage and of all that it holds."""
    parts = value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ()
    own = vars(value).values() if hasattr(value, "__dict__") and not inspect.isroutine(value) else ()
    found = {*type(value).__mro__[:-1]} if hasattr(value, "__dict__") else set()
    return found.union(*map(_classes, (*parts, *own)))


def _attributes(stage: Any) -> dict[str, tuple[Any, Any]]:
    """Each attribute with a shallow copy of its value, where that can be written into."""
    return {
        name: (value, value.copy() if isinstance(value, np.ndarray | dict | list | set) else None)
        for name, value in getattr(stage, "__dict__", {}).items()
    }


def _unchanged(subject: Subject, stage: Any, before: Mapping[str, tuple[Any, Any]], who: str) -> None:
    expected, hint = (
        "a stage that stays as it is",
        "keep nothing on self: one stage serves many requests at once",
    )
    for name, value in getattr(stage, "__dict__", {}).items():
        old, copied = before.get(name, (None, None))
        if name not in before or old is not value:
            subject.fail(f"that {who} set the attribute {name!r}", expected, hint)
        if copied is not None and not _equal(copied, value):
            subject.fail(f"that {who} wrote into the attribute {name!r}", expected, hint)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, other, equal_nan=one.dtype.kind in "fc"))
    mine, others = ([*part.values()] if isinstance(part, dict) else [*part] for part in (one, other))
    return [id(value) for value in mine] == [id(value) for value in others]


_ALIGNED = frozenset({Role.FILTER, Role.FEATURIZER, Role.SCORER})


CHECKS = (
    Check("one_verb", _one_verb),
    Check("options", _options),
    Check("repr", _repr),
    Check("fit_and_bind", _ready),
    Check("inputs", _inputs),
    Check("output", _output),
    Check("best_first", _best_first, frozenset({Role.SOURCE})),
    Check("edge_cases", _edge_cases),
    Check("stateless", _stateless),
    Check("deterministic", _deterministic),
    Check("batch_equals_singles", _batch_equals_singles),
    Check("row_order", _row_order),
    Check("candidate_order", _candidate_order, _ALIGNED),
    Check("other_candidates", _other_candidates, frozenset({Role.FILTER})),
    Check("declared", _declared),
    Check("as_of", _as_of, needs=("as_of", "fit")),
    Check("updates", _updates, frozenset({Role.OBJECTIVE})),
    Check("python_events", _python_events),
    Check("threads", _threads),
    Check("pickle", _pickle),
    Check("saves", _saves),
)


def applicable(subject: Subject) -> tuple[Check, ...]:
    """Return the checks that are about a stage; the first alone where it has no role."""
    try:
        return tuple(check for check in CHECKS if check.is_about(subject))
    except ContractFailure:
        return CHECKS[:1]
