"""Metrics by name."""

from __future__ import annotations

import inspect
import re
from typing import Any

from recokit.errors import ConfigurationError, did_you_mean
from recokit.metrics.accuracy import MAP, MRR, NDCG, HitRate, Precision, Recall, RPrecision
from recokit.metrics.base import Metric
from recokit.metrics.beyond import IntraListDiversity, Miscalibration, UserCoverage
from recokit.metrics.cascade import AUC, ERR, RBP
from recokit.metrics.catalogue import CatalogCoverage, Entropy, Gini, Personalization
from recokit.metrics.fairness import ExposureGap
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
from recokit.metrics.presets import PRESETS

__all__ = ["parse"]

_KNOWN: dict[str, type[Metric]] = {
    kind.__name__: kind
    for kind in (
        *(NDCG, Recall, Precision, RPrecision, MAP, MRR, HitRate, RBP, ERR, AUC),
        *(CatalogCoverage, UserCoverage, Gini, Entropy, Personalization, ExposureGap),
        *(IntraListDiversity, Miscalibration),
        *(Novelty, ARP, APLT, PopularityLift, Unexpectedness, Serendipity, RepeatShare, Staleness),
    )
}


def parse(name: str) -> Metric:
    """Return the metric of a name.

    Parameters
    ----------
    name : str
        Class and list length, ``"NDCG@10"``; after a colon options, ``"NDCG@10:exponential"``, ``"MAP@10:over=k"``,
        ``"IntraListDiversity@10:category"``; or whose definition it is, ``"NDCG@10:rectools"``, see :func:`preset`.

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
