"""Search for hyper-parameters, on a validation part cut from the training data."""

from __future__ import annotations

import inspect
import itertools
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from recokit._kernels.segments import gather_segments
from recokit._utils.options import one_of, optional, require, whole
from recokit._utils.params import clone, get_params
from recokit._utils.progress import progress_bar
from recokit.compose.fusion import retrieve_allowed
from recokit.data import Dataset, Ragged, Requests, seconds
from recokit.data.events.user_history import UserHistory
from recokit.data.sampling import Positives, hold_out
from recokit.errors import ConfigurationError, did_you_mean
from recokit.evaluation import Evaluation, compare, evaluate
from recokit.protocols import Bindable, Source, Trainable
from recokit.result import Recommendations
from recokit.trace import Status
from recokit.tuning.result import SearchResult, Trial
from recokit.typing import AnyArray

Parameters: TypeAlias = "Mapping[str, Any] | Sequence[Mapping[str, Any]]"


def search(
    make: Any,
    parameters: Parameters,
    dataset: Dataset,
    *,
    metric: str | Sequence[str] = "NDCG@20",
    split: Literal["holdout", "time"] = "holdout",
    share: float = 0.2,
    cut: str | float | None = None,
    horizon: str | float | None = None,
    allow_seen: bool = False,
    n_trials: int | None = None,
    max_users: int | None = None,
    random_state: int = 0,
    refit: bool = True,
    fit_options: Mapping[str, Any] | None = None,
    progress: bool = False,
) -> SearchResult:
    """Fit a stage with each setting on one part of the data, and evaluate it on the other.

    Parameters
    ----------
    make : source, pipeline, or callable
        A source whose options are varied: it is cloned, never changed. Or a class or function that gets the parameters
        by name and returns a source or a pipeline.
    parameters : mapping, or sequence of mappings
        Name to values: all combinations of them are tried. A value may also be a distribution, with ``rvs`` as those
        of ``scipy.stats`` or a function of a ``numpy.random.Generator``. Or the settings themselves.
    dataset : Dataset
        The training data: never the test part.
    metric : str or sequence of str, default "NDCG@20"
        Names as :func:`recokit.evaluation.evaluate` takes them; the first decides.
    split : {"holdout", "time"}, default "holdout"
        ``"holdout"`` holds out items of each user, see :func:`recokit.data.sampling.hold_out`: for test parts that were
        drawn at random. ``"time"`` learns strictly before a cut and evaluates on the events after it: for all else.
    share : float, default 0.2
        For ``"holdout"``: share of each user's items.
    cut, horizon : str or float, optional
        For ``"time"``: where, and the length of what follows. Without ``cut`` the horizon ends with the data.
    allow_seen : bool, default False
        Whether items that a user had before may be recommended and are relevant: repurchases. Otherwise sources get
        them as ``exclude``, they are removed from the answers, and what comes again counts for nobody.
    n_trials : int, optional
        Settings drawn at random; all combinations by default. Needed with distributions.
    max_users : int, optional
        Judge by a sample of so many users; all by default.
    random_state : int, default 0
        Of the settings drawn, the items held out, the sample of users and the requests.
    refit : bool, default True
        Whether to fit the best setting on the whole data set.
    fit_options : mapping, optional
        More arguments of ``fit``, such as a pipeline's ``label_window``.
    progress : bool, default False
        Show a bar.

    Returns
    -------
    SearchResult
        Trials that failed are part of it, with the error.

    Raises
    ------
    ConfigurationError
        For an unknown parameter, no values, or options that contradict one another.
    DataError
        If a part of the split is empty, or nobody has a relevant item.

    Examples
    --------
    >>> from recokit.candidates import Popular
    >>> log = {"user": [1, 1, 2, 2, 3, 3], "item": [1, 2, 2, 3, 3, 1], "timestamp": range(6)}
    >>> result = search(Popular(), {"half_life": [None, 2]}, Dataset.from_frame(log), metric="Recall@2", share=0.5)
    >>> len(result.trials), result.best
    (2, Popular(half_life=None))
    """
    metrics = (metric,) if isinstance(metric, str) else tuple(metric)
    if not metrics:
        raise ConfigurationError("found no metric; expected at least one, such as 'NDCG@20'")
    require(optional(whole(1)), n_trials=n_trials)
    factory = _factory(make)
    settings = _settings(parameters, n_trials, random_state)
    for name in {name for setting in settings for name in setting}:
        factory.check(name)
    parts = _parts(dataset, split, share=share, cut=cut, horizon=horizon, seed=random_state)
    validation = _Validation.of(
        parts, dataset, metrics, allow_seen=allow_seen, max_users=max_users, seed=random_state
    )
    options = dict(fit_options or {})
    steps = list(enumerate(settings))
    trials = [
        _try(number, setting, factory, validation, options)
        for number, setting in progress_bar(steps, show=progress, label="search", total=len(steps))
    ]
    ranked = _ranked(trials, metrics[0])
    best = None
    if ranked[0].error is None:
        best = factory.make(ranked[0].params)
        best = _fitted(best, dataset, options) if refit else best
    return SearchResult(metrics, tuple(ranked), best, parts.description, refit and best is not None)


@dataclass(frozen=True, eq=False)
class _Parts:
    """Data to learn from, data to evaluate on, and how they were split, in words."""

    train: Dataset
    valid: Dataset
    description: str


@dataclass(frozen=True, eq=False)
class _Validation:
    """Evaluates fitted models on the validation part."""

    parts: _Parts
    metrics: tuple[str, ...]
    users: AnyArray | None
    now: float
    history: UserHistory
    seen: Positives | None
    seed: int

    @classmethod
    def of(
        cls,
        parts: _Parts,
        dataset: Dataset,
        metrics: tuple[str, ...],
        *,
        allow_seen: bool,
        max_users: int | None,
        seed: int,
    ) -> _Validation:
        train, valid = parts.train, parts.valid
        seen = None if allow_seen else Positives.of(train)
        if seen is not None:
            valid = _without(valid, seen)
        users = _sample(valid, max_users, seed)
        _check_metrics(valid, metrics, users)
        now = train.cut if train.cut is not None else float(np.nextafter(dataset.until, np.inf))
        history = UserHistory().fit(train)
        return cls(
            parts=replace(parts, valid=valid),
            metrics=metrics,
            users=users,
            now=now,
            history=history,
            seen=seen,
            seed=seed,
        )

    def evaluate(self, model: Any) -> tuple[Evaluation, float]:
        """Return a fitted model's evaluation, and the seconds that it took to answer."""
        server = _Server(model, self.parts.train, self.history, self.seen)
        evaluation = evaluate(
            server, self.parts.valid, self.metrics, users=self.users, now=self.now, seed=self.seed
        )
        return evaluation, server.elapsed


@dataclass(frozen=True, eq=False)
class _Tried:
    """A trial, with its evaluation where it did not fail."""

    trial: Trial
    evaluation: Evaluation | None = None


def _try(
    number: int,
    setting: Mapping[str, Any],
    factory: _Factory,
    validation: _Validation,
    options: Mapping[str, Any],
) -> _Tried:
    """Fit and evaluate one setting; a failure is part of the trial."""
    trial = Trial(number, setting)
    try:
        started = time.perf_counter()
        model = _fitted(factory.make(setting), validation.parts.train, options)
        trial = replace(trial, fit_seconds=time.perf_counter() - started)
        evaluation, elapsed = validation.evaluate(model)
        return _Tried(
            replace(trial, **_figures(evaluation, validation.metrics), answer_seconds=elapsed), evaluation
        )
    except Exception as error:  # one bad setting must not lose the others
        return _Tried(replace(trial, error=f"{type(error).__name__}: {error}"))


def _figures(evaluation: Evaluation, metrics: Sequence[str]) -> dict[str, Any]:
    first = evaluation[metrics[0]]
    return {
        "scores": {name: evaluation[name].mean for name in metrics},
        "low": first.low,
        "high": first.high,
        "n_users": len(evaluation),
    }


def _ranked(tried: Sequence[_Tried], metric: str) -> list[Trial]:
    """Order trials, the best first and failures last, and mark those that cannot be told from the best."""

    def key(one: _Tried) -> tuple[bool, float, int]:
        score = one.trial.scores.get(metric, math.nan)
        return math.isnan(score), 0.0 if math.isnan(score) else -score, one.trial.number

    ranked = sorted(tried, key=key)
    best = ranked[0].evaluation
    marked = []
    for one in ranked:
        clear = best is None or one.evaluation is None or compare(best, one.evaluation, metric).clear
        marked.append(replace(one.trial, tied=not clear))
    return marked


@dataclass(frozen=True)
class _Factory:
    """Makes what is to be tried from parameters."""

    build: Callable[..., Any]
    known: Mapping[str, Any] | None

    def check(self, name: str) -> None:
        if self.known is not None and name not in self.known:
            raise ConfigurationError(f"found no parameter {name!r}; {did_you_mean(name, self.known)}")

    def make(self, setting: Mapping[str, Any]) -> Any:
        return self.build(**setting)


def _factory(make: Any) -> _Factory:
    if inspect.isclass(make) or not (_is_pipeline(make) or hasattr(make, "retrieve")):
        if not callable(make):
            raise ConfigurationError(f"found {make!r}; expected a source, or a callable that returns one")
        return _Factory(make, None)
    return _Factory(lambda **setting: type(make)(**{**get_params(clone(make)), **setting}), get_params(make))


def _settings(parameters: Parameters, n_trials: int | None, random_state: int) -> list[dict[str, Any]]:
    """Return the settings to try, in order."""
    if not isinstance(parameters, Mapping):
        return _given_settings(parameters, n_trials, random_state)
    drawn = {name: values for name, values in parameters.items() if _is_distribution(values)}
    choices = {name: _choices(name, values) for name, values in parameters.items() if name not in drawn}
    if not drawn:
        return _grid_settings(choices, n_trials, random_state)
    if n_trials is None:
        raise ConfigurationError(
            f"found a distribution for {', '.join(sorted(drawn))} without n_trials; expected n_trials="
        )
    rng = np.random.default_rng(random_state)

    def draw(name: str) -> Any:
        return _draw(drawn[name], rng) if name in drawn else choices[name][rng.integers(len(choices[name]))]

    return [{name: draw(name) for name in parameters} for _ in range(n_trials)]


def _given_settings(
    parameters: Sequence[Mapping[str, Any]], n_trials: int | None, random_state: int
) -> list[dict[str, Any]]:
    settings = [dict(setting) for setting in parameters]
    if not settings:
        raise ConfigurationError("found no settings; expected at least one")
    if n_trials is None:
        return settings
    return [settings[place] for place in _places(len(settings), n_trials, random_state)]


def _grid_settings(
    choices: Mapping[str, list[Any]], n_trials: int | None, random_state: int
) -> list[dict[str, Any]]:
    """Return all combinations, or some of them by their places among all."""
    if n_trials is None:
        combinations = itertools.product(*choices.values())
        return [dict(zip(choices, values, strict=True)) for values in combinations]
    shape = [len(values) for values in choices.values()]
    settings = []
    for place in _places(math.prod(shape), n_trials, random_state):
        setting = {}
        for (name, values), length in zip(reversed([*choices.items()]), reversed(shape), strict=True):
            place, which = divmod(place, length)
            setting[name] = values[which]
        settings.append({name: setting[name] for name in choices})
    return settings


def _places(size: int, n: int, random_state: int) -> list[int]:
    # A range is sampled without being written out: grids grow fast.
    return sorted(random.Random(random_state).sample(range(size), min(n, size)))


def _is_distribution(values: Any) -> bool:
    return hasattr(values, "rvs") or callable(values)


def _choices(name: str, values: Any) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Sequence | np.ndarray) or not len(values):
        raise ConfigurationError(
            f"found {name}={values!r}; expected a list of values, or a distribution; hint: [{values!r}]"
        )
    return values.tolist() if isinstance(values, np.ndarray) else list(values)


def _draw(distribution: Any, rng: np.random.Generator) -> Any:
    value = distribution.rvs(random_state=rng) if hasattr(distribution, "rvs") else distribution(rng)
    return value.item() if isinstance(value, np.generic) else value


def _parts(
    dataset: Dataset,
    split: str,
    *,
    share: float,
    cut: str | float | None,
    horizon: str | float | None,
    seed: int,
) -> _Parts:
    require(one_of("holdout", "time"), split=split)
    if split == "holdout":
        if cut is not None or horizon is not None:
            raise ConfigurationError("found cut or horizon with split='holdout'; expected split='time'")
        train, valid = hold_out(dataset, share, seed=seed)
        return _Parts(train, valid, f"{share:.0%} of each user's items held out")
    if cut is None:
        if horizon is None:
            raise ConfigurationError("found split='time' without cut and horizon; expected at least one")
        cut = dataset.until - seconds(horizon)
        horizon = None
    train, valid = dataset.split_at(cut, horizon=horizon)
    log = valid.interactions.timestamp
    return _Parts(train, valid, f"events before {_day(train.until)}, evaluated until {_day(float(log[-1]))}")


def _day(when: float) -> str:
    return str(np.datetime64(int(when), "s"))


def _without(valid: Dataset, seen: Positives) -> Dataset:
    log = valid.interactions
    return valid.with_interactions(log.take(np.flatnonzero(~seen.contains(log.user, log.item))))


def _sample(valid: Dataset, max_users: int | None, seed: int) -> AnyArray | None:
    users = np.unique(valid.interactions.user[valid.interactions.counted])
    users = users[users > 0]
    if max_users is None or len(users) <= max_users:
        return None
    chosen = np.sort(np.random.default_rng(seed).permutation(users)[:max_users])
    return valid.user_ids.decode(chosen)


def _check_metrics(valid: Dataset, metrics: Sequence[str], users: AnyArray | None) -> None:
    """Evaluate no lists at all: a mistake in the metrics or the truth is no trial's failure."""
    none = np.zeros(0, np.int64)
    silent = Recommendations(
        users=none,
        offsets=np.zeros(1, np.int64),
        item=none,
        score=none.astype(np.float32),
        columns={},
        sources=(),
        status=none,
        reasons=(),
        item_ids=valid.item_ids,
    )
    evaluation = evaluate(silent, valid, metrics, users=users)
    if np.isnan(evaluation.values(metrics[0])).all():
        raise ConfigurationError(f"found metric {metrics[0]!r} to decide; expected one such as 'NDCG@20'")


def _fitted(model: Any, dataset: Dataset, options: Mapping[str, Any]) -> Any:
    return model.fit(dataset, **options) if isinstance(model, Trainable) else model


def _is_pipeline(model: Any) -> bool:
    # Sources recommend by themselves too, and retrieve.
    return hasattr(model, "recommend") and not isinstance(model, Source)


class _Server:
    """A fitted source or pipeline as a recommender to users of the validation part."""

    def __init__(self, model: Any, train: Dataset, history: UserHistory, seen: Positives | None) -> None:
        self._model = model.bind(train.schema) if isinstance(model, Bindable) else model
        self._train, self._history, self._seen = train, history, seen
        self.elapsed = 0.0

    def recommend(
        self, users: AnyArray, k: int = 10, *, now: float | None = None, seed: int = 0
    ) -> Recommendations:
        """Return the lists of a chunk of users, and add up the time."""
        codes = self._train.user_ids.encode(users)
        ragged = {}
        if self._seen is not None:
            offsets, index = gather_segments(self._seen.offsets, codes)
            ragged["exclude"] = Ragged(offsets, self._seen.item[index])
        requests = Requests.build(codes, k=k, now=now or 0.0, seed=seed, ragged=ragged)
        started = time.perf_counter()
        try:
            if _is_pipeline(self._model):
                lists: Recommendations = self._model.run(requests, observe=False)
                return replace(lists, users=users)
            hydrated = self._history.hydrate(requests)
            retrieved = retrieve_allowed(self._model, requests.hydrated(hydrated.columns, hydrated.ragged), k)
        finally:
            self.elapsed += time.perf_counter() - started
        status = np.where(np.diff(retrieved.offsets) > 0, Status.OK, Status.EMPTY).astype(np.int64)
        return Recommendations(
            users=users,
            offsets=retrieved.offsets,
            item=retrieved.item,
            score=retrieved.score,
            columns={},
            sources=((),) * len(retrieved.item),
            status=status,
            reasons=((),) * len(users),
            item_ids=self._train.item_ids,
        )
