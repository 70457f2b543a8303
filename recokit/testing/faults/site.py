"""Site: a fitted pipeline as a place to plant faults in, and the draws that say where and how large they are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np

from recokit._utils.params import clone
from recokit.data import DAY, Dataset, RankingData, Requests
from recokit.errors import ConfigurationError, RecokitError
from recokit.protocols import Explainer, Refittable, Role, Trainable, traits_of
from recokit.testing.faults.stages import stale
from recokit.typing import AnyArray, BoolArray, IntArray

T = TypeVar("T")

#: Users whose candidates tell what there is to break.
_SAMPLED = 40
#: Share of the users that a segment has, at least and at most.
_SMALLEST, _LARGEST = 0.2, 0.6


@dataclass(frozen=True)
class Draw:
    """Random places and magnitudes of one fault.

    Parameters
    ----------
    random : Generator
    """

    random: np.random.Generator

    def some(self, options: Sequence[T], what: str = "") -> T:
        """Return one of several options; ConfigurationError that names what is missing where there is none."""
        if not len(options):
            raise ConfigurationError(
                f"found no {what or 'place'} to plant this fault in; expected at least one"
            )
        return options[int(self.random.integers(len(options)))]

    def between(self, low: float, high: float) -> float:
        """Return a number between two."""
        return float(self.random.uniform(low, high))

    def whole(self, low: int, high: int) -> int:
        """Return a whole number from one to another, both included."""
        return int(self.random.integers(low, high + 1))

    def subset(self, options: AnyArray, share: float) -> AnyArray:
        """Return a share of several options, at least one."""
        n = max(1, round(share * len(options)))
        return np.sort(self.random.choice(options, min(n, len(options)), replace=False))

    @property
    def seed(self) -> int:
        """Another seed at each reading."""
        return int(self.random.integers(1 << 30))


@dataclass(frozen=True, eq=False)
class Site:
    """A fitted pipeline, with what faults need to know of it. Planting never changes it.

    Parameters
    ----------
    pipeline : Pipeline
        Fitted on ``data``.
    data : Dataset
    label_window : str or float, default "7D"
        How long after a cut events are labels: faults that train the ranker again use it.
    max_requests : int, default 300
        Requests of each window of such a training.
    lag : float, default 60 days
        Seconds by which what is stale is older, where the data are long enough.
    context : mapping of str to sequence of str, optional
        Columns that requests will have, with the labels to expect.
    """

    pipeline: Any
    data: Dataset
    label_window: str | float = "7D"
    max_requests: int = 300
    lag: float = 60 * DAY
    context: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @property
    def now(self) -> float:
        """Time of the requests: the end of the data."""
        return self.data.until

    @cached_property
    def older(self) -> Dataset:
        """The data as they were some time ago, at most half of their span."""
        began = float(self.data.interactions.timestamp[0])
        return self.data.before(self.now - min(self.lag, 0.5 * (self.now - began)))

    @property
    def n_items(self) -> int:
        """Items of the catalogue."""
        return len(self.pipeline.schema.item_ids)

    # -- stages ------------------------------------------------------------------------------------

    def named(self, *roles: Role) -> list[str]:
        """Return the paths of the stages of some roles, without the fallback."""
        return [node.name for node in self.pipeline if node.role in roles and node.part != "fallback"]

    def those(self, role: Role, fits: Callable[[Any], bool] = lambda stage: True) -> list[str]:
        """Return the paths of the stages of a role that something holds of."""
        return [name for name in self.named(role) if fits(self.pipeline[name])]

    @cached_property
    def history(self) -> str:
        """Path of the hydrator of the history."""
        names = self.those(Role.HYDRATOR, lambda stage: "history" in traits_of(stage).provides)
        return _first(names, "hydrator of a history")

    @cached_property
    def ranker(self) -> str:
        """Path of the first scorer that has learned."""
        names = self.those(Role.SCORER, lambda stage: isinstance(stage, Trainable | Explainer))
        return _first(names, "ranker")

    @cached_property
    def features(self) -> str:
        """Path of the featurizer with the most features."""
        names = sorted(self.named(Role.FEATURIZER), key=lambda name: -len(self.pipeline[name].names))
        return _first(names, "featurizer")

    @property
    def fusion(self) -> str:
        """Path of the fusion of the sources."""
        name, _, _ = self.named(Role.SOURCE)[0].partition(".")
        return name

    def taught(self, data: Dataset, *, only: Sequence[str] | None = None) -> Any:
        """Return the pipeline with events and tables of other data: all that evaluates as of a time, and the sources.

        Networks stay as they are: they take minutes, and one day's events move them little.
        """
        pipeline = self.pipeline.with_events(data)
        for name in self.named(Role.SOURCE) if only is None else only:
            stage = self.pipeline[name]
            if self.learns(name) and not type(stage).__module__.startswith("recokit.candidates.neural"):
                pipeline = pipeline.replace(name, stale(stage, data))
        return pipeline

    def learns(self, name: str) -> bool:
        """Whether a source has learned from the data, and is not given them anew by ``with_events``."""
        stage = self.pipeline[name]
        return isinstance(stage, Trainable | Refittable) and not traits_of(stage).as_of

    # -- what candidates are like ------------------------------------------------------------------

    @cached_property
    def requests(self) -> Requests:
        """Requests of some users with a history, at the end of the data."""
        known = np.unique(self.data.interactions.user)
        picked = np.random.default_rng(0).choice(known, min(_SAMPLED, len(known)), replace=False)
        context = {name: labels[0] for name, labels in self.context.items()}
        users = self.data.user_ids.decode(np.sort(picked)).tolist()
        made: Requests = self.pipeline.requests(
            users, now=self.now, **({"context": context} if context else {})
        )
        return made

    @cached_property
    def hydrated(self) -> Requests:
        """The same with what the hydrators know."""
        requests: Requests = self.batch.requests
        return requests

    @cached_property
    def batch(self) -> Any:
        """Their candidates with features and scores."""
        return self.pipeline.candidates(self.requests)

    @cached_property
    def values(self) -> Mapping[str, AnyArray]:
        """The known values of each feature that most candidates have, without those of sources."""
        leaves = tuple(f"{name.rpartition('.')[2]}_" for name in self.named(Role.SOURCE))
        own = set(self.pipeline[self.features].names)
        columns = {}
        for name, column in zip(self.batch.feature_names, self.batch.features.T, strict=True):
            known = column[np.isfinite(column)]
            if name in own and not name.startswith(leaves) and len(known) > 0.5 * len(column):
                columns[name] = known
        return columns

    def feature_names(self, draw: Draw, n: int, *, mode: float = 0.95) -> list[str]:
        """Draw features whose commonest value is that of less than a share of the candidates."""
        fits = [name for name, values in self.values.items() if _mode_share(values) < mode]
        if not fits:
            raise ConfigurationError("found no feature that varies; expected one to plant this fault in")
        return [str(name) for name in draw.random.choice(fits, min(n, len(fits)), replace=False)]

    def spread(self, names: Sequence[str]) -> list[float]:
        """Return the standard deviation of features."""
        return [float(self.values[name].std()) for name in names]

    @cached_property
    def by_user(self) -> list[str]:
        """Features that have one value for all candidates of a request: those of its user."""
        return [name for name in self.values if self._constant_within(name)]

    def _constant_within(self, name: str) -> bool:
        column, row = self.batch.feature(name), self.batch.row
        known = np.isfinite(column)
        parts = [column[known & (row == r)] for r in np.unique(row)]
        first = [float(part[0]) for part in parts if len(part)]
        return all(np.ptp(part) <= 1e-6 for part in parts if len(part)) and len(set(first)) > 1

    @cached_property
    def popularity(self) -> IntArray:
        """Events of each item code, (n_items + 1,) int64."""
        return np.bincount(self.data.interactions.item, minlength=self.n_items + 1)

    # -- training ----------------------------------------------------------------------------------

    @cached_property
    def rows(self) -> RankingData:
        """The rows that the ranker learned from."""
        made = self.pipeline.training_data(
            self.data, label_window=self.label_window, max_requests=self.max_requests
        )
        rows: RankingData = made.data
        return rows

    def trained(self, change: Callable[[RankingData], RankingData]) -> Any:
        """Return the ranker trained on changed rows, those for validation too."""
        rows = self.rows
        held = None if rows.validation is None else change(replace(rows.validation, validation=None))
        changed = replace(change(replace(rows, validation=None)), validation=held)
        try:
            return clone(self.pipeline[self.ranker]).fit(changed)
        except RecokitError as error:
            raise ConfigurationError(
                f"found rows that teach no ranker ({error}); expected more data"
            ) from error

    # -- segments ----------------------------------------------------------------------------------

    def segment(self, draw: Draw) -> tuple[str, Callable[[Requests], BoolArray]]:
        """Draw a segment of the users, or of the requests by context: its name, and who is in it."""
        active = np.unique(self.data.interactions.user)
        options: list[tuple[str, Callable[[Requests], BoolArray]]] = []
        for name, column in self.pipeline.schema.users.categorical.items():
            shares = np.bincount(column.codes[active], minlength=len(column.labels) + 1) / len(active)
            for code in np.flatnonzero((shares > _SMALLEST) & (shares < _LARGEST)).tolist():
                if code > 0:
                    label = column.labels.decode(np.array([code]))[0]
                    options.append((f"{name}={label}", _of_users(np.flatnonzero(column.codes == code))))
        options += [
            (f"{name}={label}", _of_context(name, label))
            for name, labels in self.context.items()
            for label in labels
        ]
        return draw.some(options, "segment of the users")


def _of_users(codes: IntArray) -> Callable[[Requests], BoolArray]:
    return lambda requests: np.isin(requests.user, codes)


def _of_context(name: str, label: str) -> Callable[[Requests], BoolArray]:
    return lambda requests: np.asarray(np.asarray(requests.columns[name], object) == label, np.bool_)


def _first(names: Sequence[str], what: str) -> str:
    if not names:
        raise ConfigurationError(f"found no {what} in the pipeline; expected one to plant this fault in")
    return names[0]


def _mode_share(values: AnyArray) -> float:
    return float(np.unique(values, return_counts=True)[1].max() / len(values)) if len(values) else 1.0
