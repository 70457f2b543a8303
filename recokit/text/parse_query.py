"""ParseQuery: a query in words becomes conditions on known columns and values."""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping, Sequence
from typing import Any

from recokit._utils.options import between, check_options, names
from recokit._utils.params import Configured
from recokit.data import Requests, Schema
from recokit.data.context import QUERY, VECTOR, WHERE, WORDS
from recokit.data.requests import Hydrated
from recokit.data.search import SearchQuery, objects, texts_of
from recokit.data.table import Table
from recokit.errors import NotFittedError
from recokit.text._conditions import condition_of
from recokit.text._lexicon import Label, Lexicon
from recokit.text._reading import Asked, Reader, Reading
from recokit.text.encoders import encode_texts

#: Characters of a query that are read; what is longer is no query.
_LONGEST = 500
#: Queries whose reading is kept.
_KEPT = 4_096
_OPTIONS = {"columns": names, "nearness": between(0, 1)}


class ParseQuery(Configured):
    """Reads queries such as "red running shoes below 50, not from acme": a function, and a stage of a pipeline.

    Only columns and labels of the catalogue come out, each for words of the query that say it: its label, also
    misspelt, a synonym, or a word near to a label by meaning. Comparisons of prices and other numbers, units, negation
    and whom a gift is for are read by rules. What means nothing in the catalogue is reported in ``dropped``.

    Parameters
    ----------
    items : Table, optional
        The catalogue, as ``dataset.items``; a pipeline gives its own.
    columns : sequence of str, optional
        Item columns that may be asked for; all by default.
    synonyms : mapping of str to str, optional
        Words that stand for a label, such as ``{"trainers": "sneakers"}``.
    units : mapping of str to str, optional
        Unit of a numeric column, such as ``{"price": "eur", "weight": "kg"}``; that in its name by default
        (``weight_kg``). An amount in a currency or unit that cannot be compared is dropped.
    encoder : callable or object with ``encode``, optional
        From a list of texts to (n, D) vectors: ``vector`` is that of the words, and words that are no label are
        compared with the labels.
    nearness : float, default 0.8
        Cosine from which on a word stands for a label.

    Raises
    ------
    ConfigurationError
        If an option is out of range.

    Notes
    -----
    In a pipeline it reads ``recommend(query="...")`` by these rules alone, before the sources; ``rules.Asked`` then
    holds the conditions. What is unknown of an item is out: "not from acme" leaves out items without a brand.

    Examples
    --------
    >>> from recokit.data import Dataset
    >>> items = {"item_id": [1, 2, 3], "brand": ["acme", "acme", "zest"], "price": [10, 60, 70]}
    >>> parse = ParseQuery(Dataset.from_frame(None, items=items).items)
    >>> query = parse("something below 50, not from acme, gluten free")
    >>> query.where, query.dropped
    ("item.brand != 'acme' and item.price < 50", ('gluten', 'free'))
    """

    requires = (f"context.{QUERY}",)
    provides = (f"context.{WHERE}", f"context.{WORDS}", f"context.{VECTOR}")

    def __init__(
        self,
        items: Table | None = None,
        *,
        columns: Sequence[str] | None = None,
        synonyms: Mapping[str, str] | None = None,
        units: Mapping[str, str] | None = None,
        encoder: Any = None,
        nearness: float = 0.8,
    ) -> None:
        self.items, self.columns, self.synonyms, self.units = items, columns, synonyms, units
        self.encoder, self.nearness = encoder, nearness
        check_options(self, _OPTIONS)
        #: What queries are read by, once the catalogue is known.
        self._catalogue: _Catalogue | None = None if items is None else self._look_up(items)

    def _look_up(self, items: Table) -> _Catalogue:
        for name in self.columns or ():
            items.column(name)
        lexicon = Lexicon(items, self.columns, self.synonyms, self.units)
        return _Catalogue(lexicon, self.encoder, self.nearness)

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the catalogue of a pipeline."""
        bound = copy.copy(self)
        bound._catalogue = self._look_up(schema.items)
        return bound

    def __call__(self, text: str) -> SearchQuery:
        """Read a query.

        Raises
        ------
        NotFittedError
            Without a catalogue.
        """
        return self._known().query(text)

    def hydrate(self, requests: Requests) -> Hydrated:
        """Return condition, words and vector of each request's query; None where there is none."""
        texts = texts_of(requests, QUERY)
        queries = [self(text) if text else None for text in texts]
        return Hydrated(
            {
                WHERE: objects([query and query.where for query in queries]),
                WORDS: objects([query and query.words for query in queries]),
                VECTOR: objects([query and query.vector for query in queries]),
            }
        )

    def open_words(self, text: str) -> list[str]:
        """Return the words of a query that rules leave open: no condition, and no negation, is read from them."""
        return self._known().reading(text).open

    def labels(self) -> dict[str, list[str]]:
        """Return the labels that may be asked for, by column."""
        return self._known().lexicon.labels

    def condition(self, label: Label) -> str:
        """Return the condition that an item has a label."""
        reading = Reading([Asked((label,), False, False, "")])
        return condition_of(reading, self._known().lexicon)[0]

    def _known(self) -> _Catalogue:
        if self._catalogue is None:
            raise NotFittedError("found ParseQuery without items; expected ParseQuery(dataset.items)")
        return self._catalogue


class _Catalogue:
    """A lexicon, the vectors of its labels, and the latest queries that were read by them."""

    def __init__(self, lexicon: Lexicon, encoder: Any, nearness: float) -> None:
        self.lexicon, self.encoder, self.nearness = lexicon, encoder, nearness
        self.labels = sorted({label for found in lexicon.phrases.values() for label in found})
        self.vectors = None if encoder is None else encode_texts(encoder, [one.value for one in self.labels])
        #: Reads a query.
        self.query = functools.lru_cache(_KEPT)(self._read)

    def __reduce__(self) -> tuple[type[_Catalogue], tuple[Lexicon, Any, float]]:
        return _Catalogue, (self.lexicon, self.encoder, self.nearness)

    def reading(self, text: str) -> Reading:
        """Return what is read of a query, token by token."""
        near = None if self.vectors is None else self._near
        return Reader(text[:_LONGEST], self.lexicon, near).read()

    def _read(self, text: str) -> SearchQuery:
        reading = self.reading(text)
        where, evidence, left_out = condition_of(reading, self.lexicon)
        words = " ".join(reading.words)
        vector = None
        if self.encoder is not None and words:
            vector = encode_texts(self.encoder, [words])[0]
        too_long = [text[_LONGEST:]] if len(text) > _LONGEST else []
        dropped = (*reading.dropped, *left_out, *too_long)
        return SearchQuery(
            text=text, words=words, where=where, vector=vector, dropped=dropped, by="rules", evidence=evidence
        )

    def _near(self, word: str) -> list[Label]:
        """Return the label nearest to a word by meaning, where it is near enough; under all columns that have it."""
        if self.vectors is None or not self.labels:
            return []
        similarity = self.vectors @ encode_texts(self.encoder, [word])[0]
        best = int(similarity.argmax())
        if similarity[best] < self.nearness:
            return []
        value = self.labels[best].value
        return [label for label in self.labels if label.value == value]
