"""MultiObjective: one head for each type of event, one utility."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

import numpy as np

from recokit._utils.options import require, whole
from recokit._utils.params import Configured, is_fitted
from recokit.compose.alone.rankers import AloneRanker
from recokit.data import Candidates, RankingData, Schema
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.rankers._composite import (
    as_candidates,
    bound_parts,
    check_rankers,
    fit_held_out,
    fit_parts,
    requires_of,
)
from recokit.rankers._utility import smallest_multiplier, top_mean
from recokit.rankers.logistic_regression import LogisticRegression
from recokit.typing import Float32Array, FloatArray

_PREFIXES = ("item.", "feature.")


class MultiObjective(AloneRanker):
    """Rank by a weighted utility of the events that may follow: views, clicks, purchases, and unwanted ones.

    The utility of a candidate is the sum over terms of weight x probability x value. The probability of each type of
    event comes from a head of its own, trained on whether that event followed; the value is 1, or a column such as the
    price or the margin.

    Parameters
    ----------
    weights : mapping of str to float
        Weight of each term: a type of event, negative for events to avoid, or a column such as ``"item.margin"`` or
        ``"feature.freshness"``, which counts as it is (missing as 0).
    ranker : ranker, optional
        Each head is a clone of it. Its scores must be probabilities. :class:`LogisticRegression` by default.
    values : mapping of str to str, optional
        Column by which an event's probability is multiplied, such as ``{"purchase": "item.price"}``.
    at_least : mapping of str to float, optional
        One term and the least mean of it, times its value, over the first ``k`` places. The smallest multiple of the
        term that keeps the bound is added to the utility. It is found by bisection on half of the validation groups,
        by the events there, with heads that have not seen them.
    k : int, default 10
        Places of the bound.

    Attributes
    ----------
    heads_ : dict of str to ranker
        The fitted head of each type of event.
    multiplier_ : float
        Addition of the bound to its term's weight; 0 without one.

    Raises
    ------
    ConfigurationError
        If a weight is not finite, an option does not fit, or a term is neither an event of the data nor a column.

    Notes
    -----
    Rows come with columns ``event.{name}`` from ``Pipeline.fit``. They are sampled by gain: rows on which only events
    of weight 0 followed are kept as rarely as other negatives.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> x = rng.normal(size=(400, 2)).astype(np.float32)
    >>> clicked, hidden = x[:, 0] > 0, x[:, 1] > 0
    >>> data = RankingData(x, ("a", "b"), clicked.astype(np.float32), np.ones(400, np.float32), np.array([0, 400]),
    ...                    np.ones(400, np.int64), np.arange(1, 401), np.zeros(400),
    ...                    columns={"event.click": clicked, "event.hide": hidden})
    >>> ranker = MultiObjective({"click": 1.0, "hide": -2.0}).fit(data)
    >>> batch = Candidates.from_lists([[1, 2, 3]], features=[[2, 2], [2, -2], [-2, -2]], feature_names=["a", "b"])
    >>> np.argsort(-ranker.score(batch)).tolist()
    [1, 2, 0]
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        *,
        ranker: Any = None,
        values: Mapping[str, str] | None = None,
        at_least: Mapping[str, float] | None = None,
        k: int = 10,
    ) -> None:
        bounds = dict(at_least or {})
        if not weights or not all(np.isfinite([*weights.values(), *bounds.values()])):
            raise ConfigurationError(
                f"found weights={weights!r}, at_least={at_least!r}; expected finite numbers for at least one term"
            )
        if at_least is not None and len(bounds) != 1:
            raise ConfigurationError(f"found at_least={at_least!r}; expected one term and its bound")
        events = {name for name in (*weights, *bounds) if not name.startswith(_PREFIXES)}
        for name, column in (values or {}).items():
            if name not in events or not column.startswith(_PREFIXES):
                raise ConfigurationError(
                    f"found {name!r}: {column!r} in values; expected one of the events {sorted(events)} and a column "
                    "such as 'item.price' or 'feature.margin'"
                )
        require(whole(1), k=k)
        if ranker is not None:
            check_rankers([ranker], "MultiObjective")
        self.weights, self.ranker, self.values, self.at_least, self.k = weights, ranker, values, at_least, k

    @property
    def requires(self) -> tuple[str, ...]:
        """Names that the heads and the values need."""
        return tuple(dict.fromkeys((*self._columns(), *requires_of([self._head()]))))

    def fit(self, data: RankingData) -> Self:
        """Fit every head, and find the multiplier where there is a bound.

        Raises
        ------
        DataError
            If an event never follows, a bound cannot be kept, or there are no validation rows to find it on.
        ConfigurationError
            If the data has no such event or column.
        """
        self.multiplier_ = 0.0 if self.at_least is None else self._find_multiplier(data)
        self.tables_ = self._tables(data.schema)
        self.heads_ = self.fit_heads(data)
        return self

    def bind(self, schema: Schema) -> Self:
        """Return a copy with every head and value bound to the schema."""
        bound = copy.copy(self)
        if is_fitted(self, "heads_"):
            bound.heads_ = dict(zip(self.heads_, bound_parts([*self.heads_.values()], schema), strict=True))
            bound.tables_ = self._tables(schema)
        else:
            bound_parts([self._head()], schema)
            self._tables(schema)
        return bound

    def score(self, candidates: Candidates) -> Float32Array:
        """Return the utility, (N,) float32."""
        utility = np.zeros(len(candidates))
        weights = self.weights_used()
        for name, term in self.terms(candidates).items():
            utility += weights[name] * term
        return utility.astype(np.float32)

    def weights_used(self) -> dict[str, float]:
        """Return the weight of each term, with the multiplier of the bound."""
        used = dict(self.weights)
        for name in self.at_least or {}:
            used[name] = used.get(name, 0.0) + self.multiplier_
        return used

    def terms(self, candidates: Candidates, heads: Mapping[str, Any] | None = None) -> dict[str, FloatArray]:
        """Return probability x value of each term, (N,) float64 each: the utility before the weights."""
        heads = self.heads_ if heads is None else heads
        chance = {name: head.score(candidates).astype(np.float64) for name, head in heads.items()}
        return {name: self._times_value(name, chance.get(name), candidates) for name in self._names()}

    def observed(self, data: RankingData) -> dict[str, FloatArray]:
        """Return the events in place of their probabilities, times value, (N,) float64 for each term."""
        batch = as_candidates(data)
        return {
            name: self._times_value(
                name, _happened(data, name).astype(np.float64) if name in self._events() else None, batch
            )
            for name in self._names()
        }

    def fit_heads(self, data: RankingData) -> dict[str, Any]:
        """Return a fitted head for each type of event."""
        heads = {}
        for name in self._events():
            label = _happened(data, name)
            if not label.any():
                raise DataError(
                    f"found no {name!r} among {len(data)} rows; expected events to learn from; "
                    "hint: a longer label_window, or leave it out"
                )
            later = data.validation
            later = None if later is None else replace(later, label=_happened(later, name))
            (heads[name],) = fit_parts([self._head()], replace(data, label=label, validation=later))
        return heads

    def held_out(self, data: RankingData) -> tuple[dict[str, FloatArray], dict[str, FloatArray], RankingData]:
        """Return the terms of half of the validation groups, what happened there, and these groups.

        Their heads are fitted on all the other rows, and are not kept.
        """
        held_out = fit_held_out([_Heads(self)], data)
        if held_out is None:
            raise DataError(
                "found no two validation groups to judge by; expected RankingData.validation; "
                "hint: more than one window, or fit(..., validation=True)"
            )
        (heads,), unseen = held_out
        self.tables_ = self._tables(data.schema)
        return self.terms(as_candidates(unseen), heads.fitted_), self.observed(unseen), unseen

    def _find_multiplier(self, data: RankingData) -> float:
        ((name, bound),) = (self.at_least or {}).items()
        terms, observed, unseen = self.held_out(data)
        base = sum((weight * terms[part] for part, weight in self.weights.items()), np.zeros(len(unseen)))
        spread = float(terms[name].std()) or 1.0
        scale = (float(base.std()) or 1.0) / spread

        def reached(multiplier: float) -> float:
            return top_mean(unseen, base + multiplier * terms[name], observed[name], self.k)

        return smallest_multiplier(reached, bound, scale, name)

    def _times_value(self, name: str, chance: FloatArray | None, candidates: Candidates) -> FloatArray:
        column = name if chance is None else (self.values or {}).get(name)
        if column is None:
            return np.ones(len(candidates)) if chance is None else chance
        if column in self.tables_:
            value = self.tables_[column][candidates.item]
        else:
            value = candidates.feature(column.removeprefix("feature."))
        known = np.where(np.isfinite(value), value, 0.0).astype(np.float64)
        return known if chance is None else chance * known

    def _tables(self, schema: Schema | None) -> dict[str, Float32Array]:
        names = [name for name in self._columns() if name.startswith("item.")]
        if names and schema is None:
            raise ConfigurationError(
                f"found the values {', '.join(names)} and training rows without a schema, which holds item columns; "
                "hint: RankingData(..., schema=dataset.schema), as build_training_set gives"
            )
        return {name: _numeric(schema, name) for name in names if schema is not None}

    def _names(self) -> Sequence[str]:
        return tuple(dict.fromkeys((*self.weights, *(self.at_least or {}))))

    def _events(self) -> Sequence[str]:
        return tuple(name for name in self._names() if not name.startswith(_PREFIXES))

    def _columns(self) -> Sequence[str]:
        direct = (name for name in self._names() if name.startswith(_PREFIXES))
        return tuple(dict.fromkeys((*(self.values or {}).values(), *direct)))

    def _head(self) -> Any:
        return LogisticRegression() if self.ranker is None else self.ranker


class _Heads(Configured):
    """The heads alone, as something that is fitted."""

    def __init__(self, owner: MultiObjective) -> None:
        self.owner = owner

    def fit(self, data: RankingData) -> Self:
        self.fitted_ = self.owner.fit_heads(data)
        return self


def _happened(data: RankingData, name: str) -> Float32Array:
    column = f"event.{name}"
    if column not in data.columns:
        known = [known.removeprefix("event.") for known in data.columns if known.startswith("event.")]
        raise ConfigurationError(f"found no event {name!r} in the training rows; {did_you_mean(name, known)}")
    return data.columns[column].astype(np.float32)


def _numeric(schema: Schema, name: str) -> Float32Array:
    column = name.removeprefix("item.")
    if column not in schema.items.numeric_names:
        hint = did_you_mean(column, schema.items.numeric_names)
        raise ConfigurationError(f"found no numeric item column {column!r}; {hint}")
    return np.asarray(schema.item_column(name), np.float32)
