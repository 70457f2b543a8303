"""The verbs. A stage is any object with exactly one of them; no base class is needed.

======================  =============================================  ==========================================
verb                    returns                                        meaning
======================  =============================================  ==========================================
``hydrate(requests)``   :class:`Hydrated`                              history, owned items, user context
``retrieve(...)``       :class:`~recokit.data.Retrieved`               candidates, best first
``keep(candidates)``    bool (N,)                                      hard filter, row by row, fails closed
``featurize(...)``      float32 (N, F), with attribute ``names``       features
``score(candidates)``   float32 (N,)                                   rankers, boosts, blends
``limit(candidates)``   tuple of Cap or Pin                            limits on the list
``start``, ``gain``,    state, float (B, W), state                     objective inside slate selection
``update``
``rerank(candidates)``  int64 order                                    any other re-ordering
``annotate(...)``       mapping of columns (N,)                        labels, reason codes
======================  =============================================  ==========================================

Optional attributes of any stage: ``requires`` and ``provides`` (tuples of names such as ``"history"``,
``"item.category"``, ``"feature.price"``), ``io_bound``, ``live`` (depends on today's state: skipped in training),
``as_of`` (evaluates strictly before each request's own time, so it may be fitted on later data without leakage), and
``bind(schema)``, which returns a copy of the stage bound to the model's columns.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Protocol, runtime_checkable

from recokit._kernels.slate_arrays import Gains, Kind
from recokit._utils import params
from recokit.data.candidates import Candidates, Retrieved
from recokit.data.dataset import Dataset
from recokit.data.limits import Cap, Pin, Window
from recokit.data.live import Live
from recokit.data.ragged import Ragged
from recokit.data.ranking_data import RankingData
from recokit.data.requests import Hydrated, Requests
from recokit.data.schema import Schema
from recokit.errors import ConfigurationError
from recokit.result import Recommendations
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray

__all__ = [
    "Annotator",
    "Bindable",
    "Compiled",
    "Completer",
    "Constraint",
    "Discloses",
    "DrawsAtRandom",
    "Explainer",
    "FeatureFreshness",
    "Featurizer",
    "FillsFeatures",
    "Filter",
    "HoldsRules",
    "Hydrated",
    "Hydrator",
    "LearnsOn",
    "LiveValues",
    "MovesItems",
    "Objective",
    "Observer",
    "RankerTrainable",
    "Recommender",
    "Refittable",
    "Reranker",
    "Role",
    "Runnable",
    "Scorer",
    "SeesLiveEvents",
    "SimilarItems",
    "Source",
    "Trainable",
    "Traits",
    "Verifier",
    "WantsRanked",
    "bound",
    "role_of",
    "traits_of",
]


class Hydrator(Protocol):
    """Adds facts about the user as of ``requests.now``, before the sources run."""

    def hydrate(self, requests: Requests) -> Hydrated: ...


@runtime_checkable
class Source(Protocol):
    """Finds candidates: at most ``limit`` for each row, distinct, best first."""

    def retrieve(self, requests: Requests, limit: int) -> Retrieved: ...


class Filter(Protocol):
    """Decides which candidates may be shown, (N,) bool, each on its own."""

    def keep(self, candidates: Candidates) -> BoolArray: ...


class Featurizer(Protocol):
    """Computes features (N, F) float32 as of each request's own time; NaN means missing."""

    names: tuple[str, ...]

    def featurize(self, candidates: Candidates) -> Float32Array: ...


class Scorer(Protocol):
    """Scores candidates, (N,) float32, higher is better."""

    def score(self, candidates: Candidates) -> Float32Array: ...


class Constraint(Protocol):
    """States limits on the list; the selection kernel keeps them."""

    def limit(self, candidates: Candidates) -> tuple[Cap | Pin, ...]: ...


class Objective(Protocol):
    """Steers greedy selection: the next item of each row is the allowed one with the largest gain.

    ``start`` returns a state of the objective's own choice; ``update`` gets the window position (B,) chosen in each row
    and whether the row chose one at all (B,) bool, and returns the next state.

    An objective whose gains are drawn at random has one method more, ``propensity(state, chosen, allowed)``, and
    ``provides = ("propensity",)``. Given the state that its gains came from, the window positions (B,) chosen and what
    was allowed (B, W) bool, it returns the exact probability (B,) float64 of each choice, a column of the result.

    Objectives of :mod:`recokit.diversity` whose gains a compiled kernel knows are :class:`Compiled` besides.
    """

    def start(self, window: Window) -> Any: ...

    def gain(self, state: Any) -> Float32Array: ...

    def update(self, state: Any, chosen: IntArray, active: BoolArray) -> Any: ...


class Reranker(Protocol):
    """Returns positions of candidates in the wanted order: rows together, no repeats, possibly fewer."""

    def rerank(self, candidates: Candidates) -> IntArray: ...


class Annotator(Protocol):
    """Returns columns (N,) for the selected candidates, such as ``labels``."""

    def annotate(self, candidates: Candidates) -> Mapping[str, AnyArray]: ...


@runtime_checkable
class Trainable(Protocol):
    """Learns from a dataset."""

    def fit(self, dataset: Dataset) -> Any: ...


@runtime_checkable
class RankerTrainable(Protocol):
    """Learns from labelled candidates. A Scorer's ``fit`` is always this one."""

    def fit(self, data: RankingData) -> Any: ...


@runtime_checkable
class Bindable(Protocol):
    """Binds names to the model's columns once, when the pipeline is compiled; returns the bound copy."""

    def bind(self, schema: Schema) -> Any: ...


def bound(stage: Any, schema: Schema) -> Any:
    """Return a stage bound to the model's columns; the stage itself where it binds nothing."""
    return stage.bind(schema) if isinstance(stage, Bindable) else stage


@runtime_checkable
class LearnsOn(Protocol):
    """A source that learns from newer data, from what it learned before on."""

    def partial_fit(self, dataset: Dataset) -> Any: ...


class Observer(Protocol):
    """Sees the finished trace of every run; cannot change or fail a request.

    One that needs the candidates before selection too is a :class:`WantsRanked`.
    """

    def observe(self, trace: Any) -> None: ...


@dataclass(frozen=True, slots=True)
class Traits:
    """Declarations of a stage in its class attributes, with defaults for those that it lacks.

    Parameters
    ----------
    requires, provides : tuple of str
        Names such as ``"history"``, ``"item.category"`` or ``"feature.price"``.
    io_bound : bool
        It waits for input and output.
    live : bool
        It depends on today's state: skipped in training.
    as_of : bool
        It evaluates strictly before each request's own time, so it may be fitted on later data without leakage.
    fitted_until : float
        Latest time that it has learned from, ``-inf`` for stages that learn nothing. Read from ``fitted_until_``.
    hard : bool
        A constraint that is never broken.
    pool : int, optional
        Candidates from the top that an objective chooses from; None for all.
    passes_over : tuple of str
        Lists of a request whose items a source never gives, such as ``"history"``. Where every source of a pipeline
        passes over them, they are left out of the caller's own ``items`` too.
    own_code : bool
        It calls a function of the user's own, which ``fit`` tries once.
    """

    requires: tuple[str, ...] = ()
    provides: tuple[str, ...] = ()
    io_bound: bool = False
    live: bool = False
    as_of: bool = False
    fitted_until: float = -math.inf
    hard: bool = True
    pool: int | None = None
    own_code: bool = False
    passes_over: tuple[str, ...] = ()


def traits_of(stage: Any) -> Traits:
    """Return a stage's own declarations.

    Examples
    --------
    >>> class FreshOnly:
    ...     requires = ("item.published_at",)
    ...     def keep(self, candidates): ...
    >>> traits_of(FreshOnly()).requires, traits_of(FreshOnly()).live
    (('item.published_at',), False)
    """
    return Traits(
        requires=tuple(getattr(stage, "requires", ())),
        provides=tuple(getattr(stage, "provides", ())),
        io_bound=bool(getattr(stage, "io_bound", False)),
        live=bool(getattr(stage, "live", False)),
        as_of=bool(getattr(stage, "as_of", False)),
        fitted_until=float(getattr(stage, "fitted_until_", -math.inf)),
        hard=bool(getattr(stage, "hard", True)),
        pool=getattr(stage, "pool", None),
        own_code=bool(getattr(stage, "own_code", False)),
        passes_over=tuple(getattr(stage, "passes_over", ())),
    )


@runtime_checkable
class Refittable(Protocol):
    """Learns again from other data and keeps what it can: ``with_events`` asks for it before ``fit``."""

    def refit(self, dataset: Dataset) -> Any: ...


@runtime_checkable
class ErasesUsers(Protocol):
    """What holds things of single users, and forgets a user by external id; returns how many things it held."""

    def erase_user(self, user: Any) -> int: ...


@runtime_checkable
class SimilarItems(Protocol):
    """A source that also returns the items most like given ones, codes (M,), at most k of each."""

    def similar(self, items: IntArray, k: int) -> Retrieved: ...


@runtime_checkable
class DrawsAtRandom(Protocol):
    """An objective that draws, and knows the exact probability (B,) float64 of each choice."""

    def propensity(self, state: Any, chosen: IntArray, allowed: BoolArray) -> Any: ...


@runtime_checkable
class Compiled(Protocol):
    """An objective whose gains a compiled kernel knows: lists are chosen from arrays, the methods are the reference.

    The class that has its ``kernel`` by name has its ``start``, ``gain`` and ``update`` too: of a subclass with others,
    only those count. ``as_arrays`` may return None for what only the methods can tell.
    """

    kernel: ClassVar[Kind]

    def as_arrays(self, window: Window) -> Gains | None: ...


@runtime_checkable
class Verifier(Protocol):
    """An annotator that refuses items which may not be shown with its columns: (N,) bool."""

    def verify(self, candidates: Candidates) -> BoolArray: ...


@runtime_checkable
class Explainer(Protocol):
    """A scorer that knows how much each feature added to each score, (N, F) float."""

    feature_names_: tuple[str, ...]

    def contributions(self, candidates: Candidates) -> Any: ...


@runtime_checkable
class MovesItems(Protocol):
    """A scorer or limit that lifts or lowers items for the business, and which it touches, (N,) bool.

    ``label`` discloses it; None where nothing is to be disclosed.
    """

    label: str | None

    def touches(self, candidates: Candidates) -> BoolArray: ...


@runtime_checkable
class Discloses(Protocol):
    """An annotator that puts ``labels`` on items that rules moved or an item column flags."""

    labels: tuple[str, ...]

    def discloses(self, part: Any) -> bool:
        """Tell whether it labels what this rule touches, or this item column (``"item.sponsored"``) flags."""
        ...

    def disclosing(self, old: Any, new: Any) -> Any:
        """Return one that labels what another rule touches, in place of an old one."""
        ...


@runtime_checkable
class HoldsRules(Protocol):
    """A source whose lists rules have moved already, such as another pipeline."""

    def moving_rules(self) -> tuple[Any, ...]:
        """Return these rules, each with its ``label``."""
        ...


@runtime_checkable
class SeesLiveEvents(Protocol):
    """A stage that also counts the events of a live log, which the user's history then shows too."""

    live_events: Any


@runtime_checkable
class LiveValues(Protocol):
    """A stage made of others, which returns their live values by ``id``."""

    def live_values(self) -> Mapping[int, Live[Any]]: ...


@runtime_checkable
class FillsFeatures(Protocol):
    """A featurizer that can write its features into a C-contiguous matrix (N, W), from a column on."""

    def featurize_into(self, candidates: Candidates, out: Float32Array, start: int) -> None: ...


@runtime_checkable
class FeatureFreshness(Protocol):
    """A featurizer that knows when each of its features was last updated, seconds since 1970 by name."""

    def freshness(self) -> Mapping[str, float]: ...


@runtime_checkable
class WantsRanked(Protocol):
    """An observer that, where this is true, finds in ``trace.ranked`` the candidates that selection chose from."""

    wants_ranked: bool


@runtime_checkable
class Recommender(Protocol):
    """Anything that recommends to external user ids: a pipeline, or a service that answers in its place."""

    def recommend(self, users: Any, k: Any = 10, *, now: Any = None, seed: int = 0) -> Recommendations: ...


@runtime_checkable
class Dated(Protocol):
    """A model that tells until when it has seen events."""

    @property
    def fitted_until(self) -> float: ...


class Runnable(Recommender, Protocol):
    """A fitted pipeline as tools see it: they run it, look at its stages, and run it again with others."""

    @property
    def schema(self) -> Schema: ...

    @property
    def names(self) -> tuple[str, ...]: ...

    @property
    def fingerprint(self) -> str: ...

    @property
    def fitted_until(self) -> float: ...

    def live_values(self) -> Mapping[int, Live[Any]]: ...

    def __iter__(self) -> Iterator[Any]: ...

    def __getitem__(self, name: str) -> Any: ...

    def requests(self, users: Any = None, k: int = 10, **options: Any) -> Requests: ...

    def candidates(self, requests: Requests) -> Candidates: ...

    def run(
        self,
        requests: Requests,
        *,
        capture: Any = "summary",
        budget_ms: float | None = None,
        observe: bool = True,
    ) -> Recommendations: ...

    def replace(self, name: str, stage: Any) -> Any: ...

    def without(self, *names: str) -> Any: ...

    def with_events(self, dataset: Dataset) -> Any: ...

    def with_context(self, context: Mapping[str, Any] | None) -> Any: ...


class Completer(Protocol):
    """A fitted pipeline that applies its rules to lists made elsewhere: interleaved, or out of a cache."""

    def complete(self, requests: Requests, ordered: Ragged) -> Recommendations:
        """Return for each request the items of its list, in its order as far as the rules allow, filled up to k."""
        ...


class Role(StrEnum):
    """The part that a stage plays, decided by its one verb."""

    HYDRATOR = "hydrator"
    SOURCE = "source"
    FILTER = "filter"
    FEATURIZER = "featurizer"
    SCORER = "scorer"
    CONSTRAINT = "constraint"
    OBJECTIVE = "objective"
    RERANKER = "reranker"
    ANNOTATOR = "annotator"


_VERBS = {
    "hydrate": Role.HYDRATOR,
    "retrieve": Role.SOURCE,
    "keep": Role.FILTER,
    "featurize": Role.FEATURIZER,
    "score": Role.SCORER,
    "limit": Role.CONSTRAINT,
    "gain": Role.OBJECTIVE,
    "rerank": Role.RERANKER,
    "annotate": Role.ANNOTATOR,
}


def _hint_for(stage: Any, verbs: Sequence[str]) -> str:
    """Return what to write in place of what is no stage."""
    if verbs:
        return "split a stage that does two things into two stages"
    if isinstance(stage, list | tuple):
        return "one flat list of stages; Step(stage, name='popular') names one"
    if hasattr(stage, "as_source"):
        return "pipeline.as_source() makes a fitted pipeline a source"
    if callable(stage):
        return "FromFunction of candidates, rankers or rules makes a function a stage"
    return "a class of recokit, or one of your own with one of these methods"


def role_of(stage: Any) -> Role:
    """Return a stage's role, decided by its one verb.

    Raises
    ------
    ConfigurationError
        If the stage has no verb, more than one, or is a class instead of an instance.

    Examples
    --------
    >>> class FreshOnly:
    ...     def keep(self, candidates): ...
    >>> role_of(FreshOnly()).value
    'filter'
    """
    if isinstance(stage, type):
        raise ConfigurationError(
            f"found the class {stage.__name__}; expected an instance, {stage.__name__}(...)"
        )
    if isinstance(stage, params.Estimator):
        raise ConfigurationError(
            f"found the estimator {type(stage).__name__}; expected a stage; "
            f"hint: wrap it in rankers.FromEstimator({type(stage).__name__}(...))"
        )
    # An attribute that is data (Cascade(limit=500)) is an option, not a verb: only methods count.
    verbs = [verb for verb in _VERBS if callable(getattr(type(stage), verb, None))]
    if len(verbs) != 1:
        has = f"the verbs {', '.join(verbs)}" if verbs else "no verb"
        raise ConfigurationError(
            f"found {has} on {type(stage).__name__}; expected exactly one of {', '.join(_VERBS)}; "
            f"hint: {_hint_for(stage, verbs)}"
        )
    role = _VERBS[verbs[0]]
    if role is Role.OBJECTIVE and not (hasattr(stage, "start") and hasattr(stage, "update")):
        raise ConfigurationError(
            f"found gain on {type(stage).__name__} without start and update; expected all three"
        )
    if role is Role.FEATURIZER and not hasattr(stage, "names"):
        raise ConfigurationError(
            f"found featurize on {type(stage).__name__} without names; expected a tuple of names"
        )
    return role
