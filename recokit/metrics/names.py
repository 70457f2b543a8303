"""Metrics by name."""

from __future__ import annotations

import re

from recokit.errors import ConfigurationError, did_you_mean
from recokit.metrics.accuracy import MAP, MRR, NDCG, HitRate, Precision, Recall
from recokit.metrics.base import Metric
from recokit.metrics.beyond import CatalogCoverage, IntraListDiversity

__all__ = ["parse"]

_KNOWN: dict[str, type[Metric]] = {
    kind.__name__: kind
    for kind in (NDCG, Recall, Precision, MAP, MRR, HitRate, CatalogCoverage, IntraListDiversity)
}
_VARIANT = {"NDCG": "gains", "IntraListDiversity": "by"}


def parse(name: str) -> Metric:
    """Return the metric of a name.

    Parameters
    ----------
    name : str
        Class and list length, ``"NDCG@10"``; with a variant ``"NDCG@10:exponential"`` or
        ``"IntraListDiversity@10:category"``.

    Raises
    ------
    ConfigurationError
        For an unknown name, with the closest known one, or a missing or impossible k.

    Examples
    --------
    >>> parse("Recall@50")
    Recall(50)
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
    if match[3] is None:
        if kind == "IntraListDiversity":
            raise ConfigurationError(
                f"found metric {name!r} without what tells items apart; expected an item column, such as "
                f"'{kind}@{match[2]}:category', or {kind}({match[2]}, by=...)"
            )
        return _KNOWN[kind](int(match[2]))
    if kind not in _VARIANT:
        raise ConfigurationError(
            f"found variant {match[3]!r} of {kind}; expected none, such as '{kind}@{match[2]}'"
        )
    return _KNOWN[kind](int(match[2]), **{_VARIANT[kind]: match[3]})
