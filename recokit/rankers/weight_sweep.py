"""sweep: the means that other weights of a utility bring about."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recokit._utils.options import require, whole
from recokit._utils.report import Content, Report, Table
from recokit.data import RankingData
from recokit.errors import ConfigurationError, did_you_mean
from recokit.rankers._utility import pareto_front, top_mean
from recokit.rankers.multi_objective import MultiObjective

#: Factors of each weight in turn.
_FACTORS = (0.0, 0.25, 0.5, 2.0, 4.0)


@dataclass(frozen=True)
class Weighting:
    """One set of weights and the means that it brought about.

    Parameters
    ----------
    weights : mapping of str to float
    means : mapping of str to float
        Mean of each term over the first k places: the events, times their value.
    on_front : bool
        Whether no other weighting is as good in every term and better in one.
    """

    weights: Mapping[str, float]
    means: Mapping[str, float]
    on_front: bool


@dataclass(frozen=True, eq=False, repr=False)
class UtilityFront(Report):
    """Weightings that :func:`sweep` tried, and their means.

    Parameters
    ----------
    weightings : tuple of Weighting
        In the order given.
    k : int
        Places at the top that count.
    avoided : tuple of str
        Terms of which less is better.
    """

    weightings: tuple[Weighting, ...]
    k: int
    avoided: tuple[str, ...] = ()

    @property
    def front(self) -> tuple[Weighting, ...]:
        """Those that no other one beats."""
        return tuple(weighting for weighting in self.weightings if weighting.on_front)

    @property
    def table(self) -> list[dict[str, Any]]:
        """One record for each weighting, with ``weight.{term}``, ``mean.{term}`` and ``on_front``."""
        return [
            {
                **{f"weight.{name}": value for name, value in weighting.weights.items()},
                **{f"mean.{name}": value for name, value in weighting.means.items()},
                "on_front": weighting.on_front,
            }
            for weighting in self.weightings
        ]

    def _content(self) -> Content:
        rows = [[_cell(value) for value in record.values()] for record in self.table]
        title = f"{len(self.weightings)} weightings, means of the first {self.k} places"
        return Content(title, [Table(list(self.table[0]), rows)])

    __repr__ = Report.__str__

    def plot(self, x: str, y: str, *, axes: Any = None) -> Any:
        """Draw the means of two terms, those on the front joined; needs the extra ``plots``.

        Parameters
        ----------
        x, y : str
            Terms.
        axes : matplotlib axes, optional
            Where to draw; a new figure by default.

        Returns
        -------
        matplotlib axes
        """
        for name in (x, y):
            if name not in self.weightings[0].means:
                raise ConfigurationError(
                    f"found no term {name!r}; {did_you_mean(name, self.weightings[0].means)}"
                )
        from recokit._utils.plots.style import INK, MAIN, QUIET, SMALL, axes as axes_of

        axes = axes_of(axes, height=4.2)
        rest = [weighting for weighting in self.weightings if not weighting.on_front]
        axes.scatter([w.means[x] for w in rest], [w.means[y] for w in rest], color=QUIET)
        front = sorted(self.front, key=lambda weighting: weighting.means[x])
        axes.plot([w.means[x] for w in front], [w.means[y] for w in front], "o-", color=MAIN, linewidth=2)
        for weighting in front:
            text = ", ".join(f"{name} {weight:g}" for name, weight in weighting.weights.items())
            point = (weighting.means[x], weighting.means[y])
            axes.annotate(text, point, (5, 5), textcoords="offset points", fontsize=SMALL - 1, color=MAIN)
        axes.set_xlabel(f"mean {x} in the first {self.k}", fontsize=SMALL, color=INK)
        axes.set_ylabel(f"mean {y} in the first {self.k}; grey ones are beaten", fontsize=SMALL, color=INK)
        axes.margins(0.12)
        return axes


def sweep(
    ranker: MultiObjective,
    data: RankingData,
    weightings: Sequence[Mapping[str, float]] | None = None,
    *,
    k: int = 10,
) -> UtilityFront:
    """Rank the validation rows under several weightings, and return the means of each.

    Heads are fitted once, without half of the validation groups; the weightings are compared on these.

    Parameters
    ----------
    ranker : MultiObjective
        Says the terms, their values and the heads. A bound is left out.
    data : RankingData
        With validation rows, such as ``Pipeline.training_data(...).data``.
    weightings : sequence of mappings, optional
        Weights of the ranker's terms, 0 for those not named. By default the ranker's own, then each weight in turn
        times 0, 1/4, 1/2, 2 and 4.
    k : int, default 10
        Places at the top that count.

    Returns
    -------
    UtilityFront
        More of a term is better, or less where the ranker gives it a weight below 0.

    Raises
    ------
    DataError
        If there are no two validation groups, or an event never follows.
    ConfigurationError
        If a weighting has a term that the ranker has not.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> def rows(validation=None):
    ...     x = rng.normal(size=(400, 2)).astype(np.float32)
    ...     events = {"event.click": x[:, 0] > 1, "event.purchase": x[:, 1] > 1}
    ...     return RankingData(x, ("a", "b"), events["event.click"].astype(np.float32), np.ones(400, np.float32),
    ...                        np.arange(0, 401, 40), np.ones(400, np.int64), np.arange(1, 401), np.zeros(400),
    ...                        validation, events)
    >>> front = sweep(MultiObjective({"click": 1.0, "purchase": 1.0}), rows(rows()), k=4,
    ...               weightings=[{"click": 1.0}, {"purchase": 1.0}, {"click": 1.0, "purchase": 1.0}])
    >>> [weighting.on_front for weighting in front.weightings]
    [True, True, True]
    >>> front.weightings[0].means["click"] > front.weightings[2].means["click"] > front.weightings[1].means["click"]
    True
    """
    require(whole(1), k=k)
    terms_of = MultiObjective(ranker.weights, ranker=ranker.ranker, values=ranker.values)
    given = _default_weightings(ranker.weights) if weightings is None else [dict(w) for w in weightings]
    for weights in given:
        for name in weights:
            if name not in ranker.weights:
                raise ConfigurationError(
                    f"found a weighting with {name!r}; {did_you_mean(name, ranker.weights)}"
                )
    if not given:
        raise ConfigurationError("found no weighting; expected at least one")
    given = [{name: float(weights.get(name, 0.0)) for name in ranker.weights} for weights in given]
    terms, observed, unseen = terms_of.held_out(data)
    means = []
    for weights in given:
        score = sum((weight * terms[name] for name, weight in weights.items()), np.zeros(len(unseen)))
        means.append({name: top_mean(unseen, score, happened, k) for name, happened in observed.items()})
    avoided = tuple(name for name, weight in ranker.weights.items() if weight < 0)
    signs = np.array([-1.0 if name in avoided else 1.0 for name in observed])
    front = pareto_front(np.array([list(row.values()) for row in means]) * signs)
    tried = zip(given, means, front.tolist(), strict=True)
    return UtilityFront(tuple(Weighting(w, m, on) for w, m, on in tried), k, avoided)


def _default_weightings(weights: Mapping[str, float]) -> list[dict[str, float]]:
    own = dict(weights)
    return [own, *({**own, name: own[name] * factor} for name in own for factor in _FACTORS)]


def _cell(value: float | bool) -> str:
    return ("*" if value else "") if isinstance(value, bool) else f"{value:.4g}"
