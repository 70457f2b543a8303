"""AskQuery: queries read by rules, and a model asked about the words that rules leave open."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from recokit._utils.options import between, check_options
from recokit._utils.words import words
from recokit.data.search import SearchQuery
from recokit.data.times import Duration
from recokit.errors import ConfigurationError
from recokit.text._lexicon import Label
from recokit.text.asking import Asking, Completes
from recokit.text.cache import AuditLog, Cache
from recokit.text.encoders import encode_texts
from recokit.text.parse_query import ParseQuery

#: Labels of a column that a model is shown.
_SHOWN = 40
_SCHEMA = {
    "type": "object",
    "properties": {
        "conditions": {
            "type": "array",
            "maxItems": 5,
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("words", "column", "value")},
                "required": ["words", "column", "value"],
            },
        }
    },
    "required": ["conditions"],
}
_PROMPT = """Some words of a shop search were not understood. Say which column and value they mean, where they mean one.

Columns: {"color": ["red", "blue"], "kind": ["hat", "shoes"]}
Words: ["crimson", "cheap"]
Answer: {"conditions": [{"words": "crimson", "column": "color", "value": "red"}]}

Columns: COLUMNS
Words: WORDS
Answer: """


class AskQuery:
    """Reads queries by rules, and asks a model what the words mean that rules leave open; for use outside a pipeline.

    A condition of the model is kept only if its column and value exist, its words are open words of the query, and
    these are near the value by the encoder: two witnesses. What rules read is never changed by it.

    Parameters
    ----------
    parse : ParseQuery
        With the catalogue, and with an encoder: without one nothing that a model says has evidence.
    client : object with ``complete`` and ``model``
    nearness : float, default 0.5
        Cosine from which on words are near a value that the model names for them.
    cache : Cache, optional
    log : AuditLog, optional
    timeout : duration, default "3s"

    Raises
    ------
    ConfigurationError
        If an option is out of range, or ``parse`` knows no catalogue or has no encoder.
    """

    def __init__(
        self,
        parse: ParseQuery,
        client: Completes,
        *,
        nearness: float = 0.5,
        cache: Cache | None = None,
        log: AuditLog | None = None,
        timeout: Duration = "3s",
    ) -> None:
        self.parse, self.nearness = parse, nearness
        check_options(self, {"nearness": between(0, 1)})
        if parse.items is None or parse.encoder is None:
            raise ConfigurationError(
                "found ParseQuery without items or encoder; expected both; hint: ParseQuery(dataset.items, encoder=...)"
            )
        self._ask = Asking(client, cache=cache, log=log, timeout=timeout)

    def __call__(self, text: str) -> SearchQuery:
        """Read a query; by rules alone where the model fails or has nothing to add."""
        query = self.parse(text)
        open_words = list(dict.fromkeys(self.parse.open_words(text)))
        if not open_words:
            return query
        columns = self._columns(open_words)
        prompt = _PROMPT.replace("COLUMNS", json.dumps(columns)).replace("WORDS", json.dumps(open_words))
        answer = self._ask(prompt, _SCHEMA)
        given = [] if answer.fields is None else answer.fields["conditions"]
        read = [self._read(one, open_words) for one in given] if isinstance(given, list) else []
        kept = {label: said for label, said, _ in filter(None, read)}
        self._ask.record(prompt, answer, f"kept {len(kept)} of {len(read)}")
        if not kept:
            return query
        parts = {self.parse.condition(label): said for label, said in kept.items()}
        where = " and ".join([*filter(None, [query.where]), *parts])
        dropped = tuple(one for one in query.dropped if one not in kept.values())
        return replace(query, where=where, dropped=dropped, by="model", evidence={**query.evidence, **parts})

    def _columns(self, open_words: list[str]) -> dict[str, list[str]]:
        """Return the labels that a model is shown: those nearest to the open words."""
        wanted = encode_texts(self.parse.encoder, open_words)
        shown = {}
        for column, labels in self.parse.labels().items():
            if len(labels) > _SHOWN:
                near = (encode_texts(self.parse.encoder, labels) @ wanted.T).max(axis=1)
                labels = [labels[place] for place in sorted((-near).argsort(kind="stable")[:_SHOWN].tolist())]
            shown[column] = labels
        return shown

    def _read(self, given: Any, open_words: list[str]) -> tuple[Label, str, float] | None:
        """Return a label with its words, where both are there and near each other."""
        if not isinstance(given, dict):
            return None
        said, column, value = (given.get(name) for name in ("words", "column", "value"))
        labels = self.parse.labels()
        if not isinstance(said, str) or not isinstance(column, str) or value not in labels.get(column, ()):
            return None
        if not words(said) or not set(words(said)) <= {stem for word in open_words for stem in words(word)}:
            return None
        one, other = encode_texts(self.parse.encoder, [said, str(value)])
        near = float(one @ other)
        return (Label(column, str(value)), said, near) if near >= self.nearness else None
