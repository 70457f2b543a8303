"""Metrics by name."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from recokit.errors import ConfigurationError, did_you_mean
from recokit.metrics._frames import Ties
from recokit.metrics.accuracy import MAP, MRR, NDCG, HitRate, Precision, Recall, RPrecision
from recokit.metrics.base import CatalogueMetric, Metric, UserMetric, mean_of
from recokit.metrics.cascade import AUC, ERR, RBP
from recokit.metrics.catalogue import CatalogCoverage, Entropy, Gini, Personalization
from recokit.metrics.diversity import IntraListDiversity, Miscalibration, UserCoverage
from recokit.metrics.fairness import ExposureGap
from recokit.metrics.matched_lists import MatchedLists
from recokit.metrics.popularity import (
    APLT,
    ARP,
    Novelty,
    PopularityLift,
    RepeatShare,
    Serendipity,
    Staleness,
    Unexpectedness,
)

_KNOWN: dict[str, type[Metric]] = {
    kind.__name__: kind
    for kind in (
        *(NDCG, Recall, Precision, RPrecision, MAP, MRR, HitRate, RBP, ERR, AUC),
        *(CatalogCoverage, UserCoverage, Gini, Entropy, Personalization, ExposureGap),
        *(IntraListDiversity, Miscalibration),
        *(Novelty, ARP, APLT, PopularityLift, Unexpectedness, Serendipity, RepeatShare, Staleness),
    )
}


#: Other names of the same metrics, as papers and libraries have them; compared without case.
ALIASES: Mapping[str, str] = {
    alias.lower(): kind
    for kind, aliases in {
        "HitRate": ("HR", "Hit", "Hits", "HitRatio", "Hit_Rate", "Hit_Ratio", "Success"),
        "Precision": ("P", "Prec"),
        "Recall": ("R", "Rec"),
        "RPrecision": ("RPrec", "R_Precision"),
        "MAP": ("AP", "MeanAveragePrecision", "Mean_Average_Precision"),
        "MRR": ("RR", "MeanReciprocalRank", "Mean_Reciprocal_Rank"),
        "CatalogCoverage": (
            "Coverage",
            "CatalogueCoverage",
            "ItemCoverage",
            "Item_Coverage",
            "Catalog_Coverage",
        ),
        "IntraListDiversity": ("ILD", "Diversity", "Intra_List_Diversity"),
        "ARP": ("AvgPopularity", "AveragePopularity", "MeanPopularity"),
        "Gini": ("GiniIndex", "Gini_Index"),
        "Personalization": ("Personalisation",),
    }.items()
    for alias in aliases
}


def canonical(name: str) -> str:
    """Return a metric's name with the class in place of another name for it.

    Examples
    --------
    >>> canonical("HR@10"), canonical("NDCG@10")
    ('HitRate@10', 'NDCG@10')
    """
    kind, at, rest = name.partition("@")
    return f"{ALIASES.get(kind.strip().lower(), kind)}{at}{rest}"


def parse(name: str) -> Metric:
    """Return the metric of a name.

    Parameters
    ----------
    name : str
        Class and list length, ``"NDCG@10"``; after a colon options, ``"NDCG@10:exponential"``, ``"MAP@10:over=k"``,
        ``"IntraListDiversity@10:category"``; or whose definition it is, ``"NDCG@10:rectools"``, see :func:`preset`.
        Other common names are known too, such as ``"HR@10"`` for ``"HitRate@10"``.

    Raises
    ------
    ConfigurationError
        For an unknown name, with the closest known one, or a missing or impossible k.

    Examples
    --------
    >>> parse("Recall@50")
    Recall(50)
    >>> parse("NDCG@10:rectools")
    NDCG(10, over='k')
    """
    name = canonical(name)
    match = re.fullmatch(r"\s*(\w+?)\s*@\s*(\d+)\s*(?::\s*(.+?))?\s*", name)
    kind = match[1] if match else name.partition("@")[0].strip()
    if kind not in _KNOWN:
        close = next((known for known in _KNOWN if known.lower() == kind.lower()), None)
        hint = f"did you mean {close!r}?" if close else did_you_mean(kind, _KNOWN)
        raise ConfigurationError(f"found no metric {kind!r}; {hint}")
    if match is None:
        raise ConfigurationError(
            f"found metric {name!r}; expected a name and a list length, such as '{kind}@10'"
        )
    options = _options(_KNOWN[kind], match[3], f"{kind}@{match[2]}")
    if "by" in inspect.signature(_KNOWN[kind]).parameters and "by" not in options:
        raise ConfigurationError(
            f"found metric {name!r} without what tells items apart; expected an item column, such as "
            f"'{kind}@{match[2]}:category', or {kind}({match[2]}, by=...)"
        )
    return _KNOWN[kind](int(match[2]), **options)


def parse_all(metrics: str | Metric | Sequence[str | Metric]) -> list[UserMetric | CatalogueMetric]:
    """Return metrics of names and metrics, at least one and each name once.

    Raises
    ------
    ConfigurationError
        For what is neither, no metric at all, a name that stands twice, or as :func:`parse` does.
    """
    parsed: list[UserMetric | CatalogueMetric] = []
    for one in [metrics] if isinstance(metrics, str | Metric) else metrics:
        metric = parse(one) if isinstance(one, str) else one
        if not isinstance(metric, UserMetric | CatalogueMetric):
            raise ConfigurationError(
                f"found {one!r} among the metrics; expected a name such as 'NDCG@10', "
                "or an instance of a metric"
            )
        parsed.append(metric)
    names = [metric.name for metric in parsed]
    if not names or len(set(names)) < len(names):
        raise ConfigurationError(f"found metrics {names}; expected at least one, each name once")
    return parsed


def _options(kind: type[Metric], text: str | None, name: str) -> dict[str, Any]:
    known = [option for option in inspect.signature(kind).parameters if option != "k"]
    options: dict[str, Any] = {}
    for part in (text or "").split(",") if text else ():
        option, equals, value = (piece.strip() for piece in part.partition("="))
        if not equals and option in PRESETS:
            options |= PRESETS[option].options.get(kind.__name__, {})
        elif equals and option in known:
            options[option] = _value(value)
        elif not equals and kind.bare:
            options[kind.bare] = _value(option)
        else:
            expected = (
                f"one of {', '.join(known)}, such as '{name}:{known[0]}=...'"
                if known
                else f"none, such as '{name}'"
            )
            raise ConfigurationError(f"found variant {part!r} of {kind.__name__}; expected {expected}")
    return options


def _value(text: str) -> str | int | float:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


Users = Literal["truth", "lists", "both"]


@dataclass(frozen=True)
class Preset:
    """The definitions of another library.

    Parameters
    ----------
    name, version : str
        The library, and the version that it was compared with.
    options : mapping of str to mapping
        Options of our metrics that give its values, by metric; those that are not there are our defaults.
    ties : {"position", "id"}
        How it orders equal scores, for :meth:`MatchedLists.from_frames`.
    users : {"truth", "lists", "both"}
        Whom it takes the mean over: users with a relevant item, where a missing list counts 0, as we do; users with a
        list, where one without a relevant item counts 0; or users with both.
    note : str
        What else differs.
    """

    name: str
    version: str
    options: Mapping[str, Mapping[str, Any]]
    ties: Ties = "position"
    users: Users = "truth"
    note: str = ""

    def metrics(self, names: Sequence[str]) -> list[Metric]:
        """Return metrics by name, ``["NDCG@10", "MAP@10"]``, as the library defines them."""
        return [parse(f"{name}:{self.name}") for name in names]

    def value(self, matched: MatchedLists, name: str) -> float:
        """Return a metric's mean as the library takes it, over its ``users``; NaN without any."""
        (metric,) = self.metrics([name])
        if not isinstance(metric, UserMetric):
            return metric.value(matched)
        values = metric.per_user(matched)
        if self.users == "truth":
            return mean_of(values)
        listed = values[matched.lists.counts > 0]
        return mean_of(listed if self.users == "both" else np.nan_to_num(listed))

    def __str__(self) -> str:
        lines = [f"{self.name} {self.version}".rstrip()]
        for metric, options in self.options.items():
            lines.append(f"  {metric}: {', '.join(f'{name}={value}' for name, value in options.items())}")
        lines.append(f"  ties: {self.ties}; mean over users: {self.users}")
        return "\n".join([*lines, *([f"  {self.note}"] if self.note else [])])


_LINEAR: dict[str, Any] = {"gains": "linear"}


_RELEVANT: dict[str, Any] = {"over": "relevant"}


PRESETS: Mapping[str, Preset] = {
    made.name: made
    for made in (
        Preset("recokit", "", {}, note="the defaults"),
        Preset(
            "ranx",
            "0.3.21",
            {"NDCG": _LINEAR, "MAP": _RELEVANT, "RBP": _LINEAR},
            note="ndcg_burges is NDCG with exponential gains; the order of equal scores is not defined in lists of "
            "more than 15 items",
        ),
        Preset(
            "trec_eval",
            "9, in pytrec_eval-terrier 0.5.11 and ir-measures 0.4.3",
            {"NDCG": _LINEAR, "MAP": _RELEVANT},
            ties="id",
            users="both",
            note="ir-measures calls the same code, and counts users without a list as 0, like us",
        ),
        Preset("rectools", "0.19.0", {"NDCG": {"over": "k"}, "MAP": _RELEVANT}),
        Preset(
            "lenskit",
            "2025.8.1",
            {
                "NDCG": {"discount": "clipped"},
                "MAP": {"over": "list"},
                "Precision": {"over": "list"},
                "Recall": {"over": "reachable"},
            },
            users="lists",
            note="NDCG with a gain column is NDCG with linear gains",
        ),
        Preset("recbole", "1.2.1", {}),
        Preset(
            "implicit",
            "0.7.3",
            {"Precision": {"over": "reachable"}},
            note="its precision is the sum of hits over the sum of min(k, n_relevant) of all users, not a mean",
        ),
    )
}


def preset(name: str) -> Preset:
    """Return what another library computes under the same names.

    Parameters
    ----------
    name : {"recokit", "ranx", "trec_eval", "rectools", "lenskit", "recbole", "implicit"}
        The library. ``"trec_eval"`` is also what pytrec_eval and ir-measures call.

    Raises
    ------
    ConfigurationError
        For an unknown library.

    Examples
    --------
    Hits at ranks 2 and 5, three relevant items, one number for each library.

    >>> lists, truth = [[1, 2, 3, 4, 5]], [[2, 5, 99]]
    >>> for name in ("recokit", "rectools", "lenskit"):
    ...     (ndcg,) = preset(name).metrics(["NDCG@10"])
    ...     print(f"{ndcg(lists, truth):.4f}", ndcg.definition)
    0.4776 discount 1/log2(rank + 1); ideal over min(k, n_relevant)
    0.2240 discount 1/log2(rank + 1); ideal over k
    0.5438 discount 1/log2(max(rank, 2)); ideal over min(k, n_relevant)
    """
    if name not in PRESETS:
        raise ConfigurationError(f"found no preset {name!r}; {did_you_mean(name, PRESETS)}")
    return PRESETS[name]
