"""Reasons: why an item stands in a list, as codes with numbers and in words."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np

from recokit._utils.options import check_options, whole
from recokit._utils.params import Configured
from recokit.data import Candidates, Schema
from recokit.errors import ConfigurationError
from recokit.protocols import Explainer, MovesItems
from recokit.typing import AnyArray, BoolArray, FloatArray

#: Words for each kind of reason; ``{name}``, ``{value}`` and ``{title}`` are filled in.
REASON_TEMPLATES: Mapping[str, str] = {
    "place": "put there by {name}",
    "source": "found by {name} (place {value})",
    "feature": "{name} ({value})",
    "rule": "moved by {name}",
    "label": "{name}",
}


_TITLE = "{title}"


class Reasons(Configured):
    """Annotator of reasons why each item is recommended, from what the pipeline did: no model is asked.

    The column ``reasons`` holds codes with their numbers, joined by ``"; "``. What put the item into its place comes
    first, where that is not its score: ``place.pinned``, ``place.slots(is_new)@2``, ``place.explored``,
    ``place.limits`` (caps held back what scored more), ``place.mmr``. Then come ``source.item_knn=3`` (found by that
    source, at its place 3), ``feature.price=+0.42`` (what that feature added to the score), ``rule.boost`` (a rule that
    moves items touched it), ``label.sponsored``. The column ``explanation`` says the same in words. It stands last.

    Parameters
    ----------
    n_features : int, default 3
        Features named for each item: those that raised its score most, fewer where fewer raised it. What lowered it
        is no reason why it is there.
    templates : mapping of str to str, optional
        Words by code (``"source.item_knn"``) or kind (``"source"``), with ``{name}``, ``{value}`` and ``{title}``, what
        shows the item to people: its title, or its id where the catalogue has none; others have those of
        ``REASON_TEMPLATES``. An empty text leaves a reason out of the words.

    Raises
    ------
    ConfigurationError
        If a number is negative, or a template is for no kind of reason.

    Notes
    -----
    Features come from the last ranker before it that has ``contributions``; rankers without, such as neural nets,
    give none. A source without a place has none after its name. Its own columns are text, so results with them can
    be logged and saved.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> words = {"source.popular": "many people like it (place {value})"}
    >>> pipeline = rk.Pipeline([candidates.Popular(half_life=None), Reasons(templates=words)])
    >>> result = pipeline.fit(rk.testing.toy_dataset()).recommend([None], k=1, now=2e9)
    >>> result.columns["reasons"].tolist(), result.columns["explanation"].tolist()
    (['source.popular=1'], ['many people like it (place 1)'])
    """

    requires = ("placement",)
    provides = ("reasons", "explanation")

    def __init__(self, *, n_features: int = 3, templates: Mapping[str, str] | None = None) -> None:
        for code in templates or {}:
            if code.partition(".")[0] not in REASON_TEMPLATES:
                raise ConfigurationError(
                    f"found a template for {code!r}; expected one of {', '.join(REASON_TEMPLATES)}, "
                    "alone or with a name, such as 'source.item_knn'"
                )
        self.n_features, self.templates = n_features, templates
        check_options(self, {"n_features": whole(0)})
        #: The scorers before it by name. No state of its own: the pipeline saves them where they stand.
        self._scorers: Mapping[str, Any] = {}
        #: What shows each item to people, by code, once bound: as the scorers, no state of its own.
        self._titles: AnyArray = np.full(1, "", object)

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the rankers and the rules that move items.

        Raises
        ------
        ConfigurationError
            If there is no source to name.
        """
        if not schema.source_names:
            raise ConfigurationError("found no source before Reasons; expected at least one to name")
        bound: Any = copy.copy(self)
        bound._scorers = dict(schema.scorers)
        if any(_TITLE in template for template in (self.templates or {}).values()):
            bound._titles = _titles(schema)
        return bound

    def annotate(self, candidates: Candidates) -> Mapping[str, AnyArray]:
        """Return the columns ``reasons`` and ``explanation``, (N,) object: text, empty where there is no reason."""
        texts = _Texts(len(candidates), {**REASON_TEMPLATES, **(self.templates or {})})
        placement = candidates.columns.get("placement", np.full(len(candidates), "", object)).astype(str)
        for place in sorted({*placement.tolist()} - {""}):
            texts.add(f"place.{place}", placement == place)
        self._sources(candidates, texts)
        self._features(candidates, texts)
        for name, scorer in self._scorers.items():
            if isinstance(scorer, MovesItems):
                texts.add(f"rule.{name}", scorer.touches(candidates))
        labels = candidates.columns.get("labels", np.full(len(candidates), "", object)).astype(str)
        kinds, which = np.unique(labels, return_inverse=True)
        parts = [kind.split(",") for kind in kinds.tolist()]
        for label in sorted({label for part in parts for label in part if label}):
            texts.add(f"label.{label}", np.array([label in part for part in parts], np.bool_)[which])
        words = texts.words
        if len(self._titles) > 1:
            # A call for each item, and not a line of Python for each.
            words = np.frompyfunc(str.replace, 3, 1)(words, _TITLE, self._titles[candidates.item])
        return {"reasons": texts.codes, "explanation": words}

    def _sources(self, candidates: Candidates, texts: _Texts) -> None:
        for bit, name in enumerate(candidates.source_names):
            found = (candidates.sources >> np.uint64(bit) & np.uint64(1)).astype(np.bool_)
            rank = candidates.columns.get(f"{name}_rank", np.full(len(candidates), np.nan))
            texts.add(f"source.{name}", found, np.where(np.isnan(rank), "", np.char.mod("%.0f", rank)))

    def _features(self, candidates: Candidates, texts: _Texts) -> None:
        rankers = [scorer for scorer in self._scorers.values() if isinstance(scorer, Explainer)]
        if not rankers or not self.n_features or not len(candidates):
            return
        if not candidates.feature_names:  # a list made earlier is held against the rules alone
            return
        names = rankers[-1].feature_names_
        parts = np.asarray(rankers[-1].contributions(candidates), np.float64)
        order = np.argsort(-parts, axis=1, kind="stable")[:, : self.n_features]
        for place in range(order.shape[1]):
            column = order[:, place]
            value: FloatArray = np.take_along_axis(parts, order[:, place : place + 1], axis=1)[:, 0]
            text = np.char.mod("%+.3g", value)
            for feature in np.unique(column).tolist():
                texts.add(f"feature.{names[feature]}", (column == feature) & (value > 0), text)


def _titles(schema: Schema) -> AnyArray:
    """Return what shows each item to people, by code: titles, or ids as text; (n_items + 1,) object."""
    ids = schema.item_ids.ids.tolist()
    titles = schema.items.titles
    named = [None] * len(ids) if titles is None else titles[1:].tolist()
    shown = [str(item) if title is None else str(title) for item, title in zip(ids, named, strict=True)]
    return np.array(["", *shown], object)


class _Texts:
    """Codes and words of N items, added to reason by reason."""

    def __init__(self, n: int, templates: Mapping[str, str]) -> None:
        self.codes, self.words = np.full(n, "", object), np.full(n, "", object)
        self._templates = templates

    def add(self, code: str, where: BoolArray, value: AnyArray | None = None) -> None:
        """Add a reason to some items, with a text (N,) for its number."""
        rows = np.flatnonzero(where)
        if not len(rows):
            return
        kind, _, name = code.partition(".")
        text = np.full(len(rows), "", object) if value is None else value[rows].astype(object)
        equals = np.where(text == "", "", "=").astype(object)
        _append(self.codes, rows, code + equals + text)
        template = self._templates.get(code, self._templates[kind]).replace("{name}", name)
        if template:
            before, marked, after = template.partition("{value}")
            _append(
                self.words, rows, before + text + after if marked else np.full(len(rows), template, object)
            )


def _append(target: AnyArray, where: AnyArray, text: AnyArray) -> None:
    target[where] += np.where(target[where] == "", "", "; ").astype(object) + text
