"""Golden: questions with known answers, which a new model is asked before it may serve."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from recokit._utils.options import above, between, check_options, rules, shown, whole
from recokit._utils.params import get_params
from recokit._utils.report import Content, Report, Table
from recokit.data import Vocabulary
from recokit.errors import ConfigurationError, DataError, GateRejected
from recokit.pipeline import Pipeline
from recokit.protocols import Role, Verifier, traits_of
from recokit.result import Recommendations
from recokit.trace import EMPTY, FAILED, StageEvent
from recokit.typing import AnyArray

#: How many breaks of each kind a report quotes.
_QUOTED = 5
_OPTIONS = rules(
    min_overlap=between(0, 1),
    max_drift=above(0),
    k=whole(1),
    seed=whole(0),
)


@dataclass(frozen=True, eq=False, repr=False)
class GoldenReport(Report):
    """What a model answered to golden questions.

    Parameters
    ----------
    n : int
        Questions.
    overlap : float
        Mean share of the golden items that the new lists have too, over questions with a golden list.
    drift : float
        Median change of the score of an item that is in both lists, as a share of the spread (interquartile range) of
        the golden scores; NaN where the lists have no scored item in common.
    broken : tuple of str
        Hard rules that are gone, changed or broken, and lists that are gone.
    min_overlap, max_drift : float
        The tolerances.
    """

    n: int
    overlap: float
    drift: float
    broken: tuple[str, ...]
    min_overlap: float
    max_drift: float

    @property
    def reasons(self) -> tuple[str, ...]:
        """What keeps the model out; empty if nothing does."""
        reasons = list(self.broken)
        if self.overlap < self.min_overlap:
            reasons.append(
                f"lists have {self.overlap:.1%} of the golden items, at least {self.min_overlap:.1%}"
            )
        if self.drift > self.max_drift:
            reasons.append(f"scores moved by {self.drift:.2f} of their spread, at most {self.max_drift:.2f}")
        return tuple(reasons)

    @property
    def passed(self) -> bool:
        """Whether the model may serve."""
        return not self.reasons

    def raise_for_status(self) -> GoldenReport:
        """Return self; raise GateRejected, with all reasons, unless the model passed."""
        if self.passed:
            return self
        raise GateRejected(
            f"found a model that answers {self.n} golden questions otherwise; expected every check to pass; "
            f"{'; '.join(self.reasons)}; hint: Golden.of(pipeline) makes the questions again where this is meant"
        )

    def to_dict(self) -> dict[str, Any]:
        """Return everything, ready for JSON."""
        figures = {field.name: getattr(self, field.name) for field in fields(self)}
        drift = None if np.isnan(self.drift) else self.drift
        return {**figures, "drift": drift, "broken": list(self.broken), "passed": self.passed}

    def _content(self) -> Content:
        verdict = f"{'passed' if self.passed else 'failed'} on {self.n} golden questions"
        rows = [
            ["overlap", f"{self.overlap:.1%}", f"at least {self.min_overlap:.1%}"],
            ["score drift", f"{self.drift:.3f}", f"at most {self.max_drift:.3f}"],
            ["broken", str(len(self.broken)), "0"],
        ]
        table = Table(["check", "found", "allowed"], rows)
        return Content("Golden questions", [table], verdict, self.broken, good=self.passed)


@dataclass(frozen=True, eq=False, repr=False)
class Golden:
    """Questions to a model, and what a model that is trusted answered.

    A new model is held to three things. Hard rules: it has each rule that the trusted model had, with the same options;
    it shows to nobody what such a rule took from the same user at the same time, nor an item of ``never``; and no
    list that was there is empty or failed. Rules on item columns and live values are held by their presence and
    options alone, since catalogue and stock change with the days. Lists: they have a share of the golden items.
    Scores: those of items in both lists moved little.

    Make one with :meth:`of`, keep it beside the code with :meth:`save`.

    Parameters
    ----------
    users : sequence of ids
        External ids; None for an anonymous user.
    lists : sequence of sequence of ids
        What each was shown, best first.
    scores : sequence of ndarray of float32
        The items' scores.
    taken : sequence of sequence of (str, id)
        Rule and item of each candidate that a hard rule took from each user.
    rules : mapping of str to str
        Each hard rule, by its path, with its plain options.
    now : float
        Time of the questions.
    k, seed : int
        As for ``recommend``.
    never : sequence of ids, default ()
        Items that no list may have, such as recalled ones.
    min_overlap : float, default 0.5
        Least mean share of the golden items in the new lists.
    max_drift : float, default 0.5
        Most median change of scores, as a share of the spread of the golden ones.

    Raises
    ------
    ConfigurationError
        For tolerances out of range, or no question.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates, rules
    >>> data = rk.testing.toy_dataset()
    >>> pipeline = rk.Pipeline([candidates.Popular(), rules.NotOwned()]).fit(data)
    >>> golden = Golden.of(pipeline, users=20)
    >>> golden.check(pipeline).passed
    True
    >>> golden.check(pipeline.without("not_owned")).broken[0]
    'hard rule not_owned is gone'
    """

    users: Sequence[Any]
    lists: Sequence[Sequence[Any]]
    scores: Sequence[AnyArray]
    taken: Sequence[Sequence[tuple[str, Any]]]
    rules: Mapping[str, str]
    now: float
    k: int = 10
    seed: int = 0
    never: Sequence[Any] = ()
    min_overlap: float = 0.5
    max_drift: float = 0.5

    def __post_init__(self) -> None:
        check_options(self, _OPTIONS)
        _require_some(self.users)

    @classmethod
    def of(
        cls,
        pipeline: Pipeline,
        users: int | Sequence[Any] = 200,
        *,
        k: int = 10,
        now: Any = None,
        seed: int = 0,
        never: Sequence[Any] = (),
        min_overlap: float = 0.5,
        max_drift: float = 0.5,
    ) -> Golden:
        """Ask a model that is trusted.

        Parameters
        ----------
        pipeline : Pipeline
            Fitted. Its observers do not see the questions.
        users : int or sequence of ids, default 200
            So many of its users, drawn by the seed, besides an anonymous one; or those given.
        k : int, default 10
            Length of the lists.
        now : float or str, optional
            Time of the questions; the end of the model's data by default.
        seed : int, default 0
            Of the draw, and of the questions.
        never, min_overlap, max_drift
            As in the constructor.
        """
        asked = _drawn(pipeline, users, seed) if isinstance(users, int) else list(users)
        _require_some(asked)
        when = pipeline.fitted_until if now is None else now
        answer = _ask(pipeline, asked, k, when, seed, capture="full")
        return cls(
            users=asked,
            lists=[answer.ids(row) for row in range(len(answer))],
            scores=[answer.scores(row).copy() for row in range(len(answer))],
            taken=_taken(pipeline, answer),
            rules=hard_rules(pipeline),
            now=float(answer.traces[0].requests.now[0]),
            k=k,
            seed=seed,
            never=list(never),
            min_overlap=min_overlap,
            max_drift=max_drift,
        )

    def check(self, pipeline: Pipeline) -> GoldenReport:
        """Ask another model the same.

        Raises
        ------
        DataError
            If its ids are of another kind.
        """
        answer = _ask(pipeline, self.users, self.k, self.now, self.seed)
        shown_now = [answer.ids(row) for row in range(len(answer))]
        return GoldenReport(
            n=len(self.users),
            overlap=self._overlap(shown_now),
            drift=self._drift(answer),
            broken=(*self._changed(hard_rules(pipeline)), *self._broken(answer, shown_now)),
            min_overlap=self.min_overlap,
            max_drift=self.max_drift,
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Save the questions to a folder; no pickle."""
        from recokit.data.state.folder import save_state

        save_state(path, self)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Golden:
        """Load what :meth:`save` saved.

        Raises
        ------
        DataError
            If it is another saved state, or altered.
        """
        from recokit.data.state.folder import load_state

        golden, _ = load_state(path)
        if not isinstance(golden, cls):
            raise DataError(f"found a saved {type(golden).__name__} at {path}; expected golden questions")
        return golden

    def __repr__(self) -> str:
        tolerances = f"min_overlap={self.min_overlap:g}, max_drift={self.max_drift:g}"
        return f"Golden({len(self.users)} questions, {len(self.rules)} hard rules, {tolerances})"

    # -- the checks --------------------------------------------------------------------------------

    def _overlap(self, lists: Sequence[Sequence[Any]]) -> float:
        pairs = zip(self.lists, lists, strict=True)
        shares = [len(set(old) & set(new)) / len(old) for old, new in pairs if len(old)]
        return float(np.mean(shares)) if shares else 1.0

    def _drift(self, answer: Recommendations) -> float:
        moved: list[float] = []
        for row, (items, scores) in enumerate(zip(self.lists, self.scores, strict=True)):
            new = dict(zip(answer.ids(row), answer.scores(row).tolist(), strict=True))
            pairs = zip(items, scores.tolist(), strict=True)
            moved += [abs(new[item] - old) for item, old in pairs if item in new and np.isfinite(old)]
        if not moved:
            return float("nan")
        known = np.concatenate([scores[np.isfinite(scores)] for scores in self.scores])
        low, high = np.percentile(known, [25, 75])
        change = float(np.median(np.nan_to_num(moved, nan=np.inf)))  # a score that is gone moved farthest
        # Where all golden scores are equal, any change is one without measure.
        return change / float(high - low) if high > low else 0.0 if change == 0 else float("inf")

    def _changed(self, rules: Mapping[str, str]) -> Iterator[str]:
        for name, options in self.rules.items():
            if name not in rules:
                yield f"hard rule {name} is gone"
            elif rules[name] != options:
                yield f"hard rule {name} was {options}, is {rules[name]}"

    def _broken(self, answer: Recommendations, lists: Sequence[Sequence[Any]]) -> Iterator[str]:
        never = set(self.never)
        quoted = {
            f"{shown(user)} was shown {shown(item)}, which {rule} takes out"
            for user, items, taken in zip(self.users, lists, self.taken, strict=True)
            for rule, item in taken
            if item in set(items)
        }
        quoted |= {
            f"{shown(user)} was shown {shown(item)}, which is never to be shown"
            for user, items in zip(self.users, lists, strict=True)
            for item in items
            if item in never
        }
        yield from _first(sorted(quoted))
        gone = [
            f"{shown(user)} has an empty or failed list: {'; '.join(why) or 'no item'}"
            for user, old, status, why in zip(
                self.users, self.lists, answer.status.tolist(), answer.reasons, strict=True
            )
            if len(old) and status in (EMPTY, FAILED)
        ]
        yield from _first(gone)


def hard_rules(pipeline: Pipeline) -> dict[str, str]:
    """Return the hard rules of a pipeline by path, each with its class and plain options.

    Examples
    --------
    >>> import recokit as rk
    >>> hard_rules(rk.Pipeline([rk.candidates.Popular(), rk.rules.MaxPerGroup("seller", 2, hard=True)]))
    {'max_per_group': "MaxPerGroup(column='seller', maximum=2, within=None, sliding=False, only=None, separator=None,
    hard=True, relax_order=0)"}
    """
    return {
        node.name: _described(node.stage)
        for node in pipeline
        if node.role is Role.FILTER
        or (node.role is Role.CONSTRAINT and traits_of(node.stage).hard)
        or (node.role is Role.ANNOTATOR and isinstance(node.stage, Verifier))
    }


def _described(stage: Any) -> str:
    try:
        options = get_params(stage)
    except (ConfigurationError, ValueError, TypeError):
        options = {}
    plain = (f"{name}={value!r}" for name, value in options.items() if _plain(value))
    return f"{type(stage).__name__}({', '.join(plain)})"


def _plain(value: Any) -> bool:
    """Tell whether a value is an option; arrays and tables are data, which changes with the days."""
    if isinstance(value, list | tuple):
        return len(value) <= _QUOTED and all(map(_plain, value))
    return value is None or isinstance(value, str | int | float)


def _require_some(users: Sequence[Any]) -> None:
    if not len(users):
        raise ConfigurationError("found no golden question; expected at least one user")


def _drawn(pipeline: Pipeline, n: int, seed: int) -> list[Any]:
    whole(1).check("users", n)
    ids = pipeline.schema.user_ids
    generator = np.random.default_rng(seed)
    places = np.sort(generator.choice(len(ids), min(n, len(ids)), replace=False))
    return [*ids.ids[places].tolist(), None]


def _ask(
    pipeline: Pipeline, users: Sequence[Any], k: int, now: Any, seed: int, capture: Any = "summary"
) -> Recommendations:
    """Return the answers of a pipeline, of which its observers see nothing."""
    requests = pipeline.requests(users, k, now=now, seed=seed)
    return pipeline.run(requests, capture=capture, observe=False)


def _taken(pipeline: Pipeline, answer: Recommendations) -> list[list[tuple[str, Any]]]:
    """Return the rule and the item of each candidate that rules on the user alone took, by row."""
    users_alone = {
        node.name
        for node in pipeline
        if node.role is Role.FILTER
        and not traits_of(node.stage).live
        and not any(name.startswith("item.") for name in traits_of(node.stage).requires)
    }
    taken: list[set[tuple[str, Any]]] = [set() for _ in range(len(answer))]
    for event in answer.trace.events:
        if event.role == Role.FILTER and event.name in users_alone:
            for row, item in _removed(event, answer.item_ids):
                taken[row].add((event.name, item))
    return [sorted(pairs, key=repr) for pairs in taken]


def _removed(event: StageEvent, item_ids: Vocabulary) -> Iterator[tuple[int, Any]]:
    if event.kept is None or event.before is None:
        return
    out = np.flatnonzero(~event.kept)
    rows, items = event.before.row[out], item_ids.decode(event.before.item[out])
    yield from zip(rows.tolist(), items.tolist(), strict=True)


def _first(found: Iterable[str]) -> Iterator[str]:
    every = list(found)
    yield from every[:_QUOTED]
    if len(every) > _QUOTED:
        yield f"and {len(every) - _QUOTED} more like these"
