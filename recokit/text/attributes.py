"""Attributes: values of a closed vocabulary read from items' own texts by a model, each with the words that say it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from recokit._utils.options import above, check_options, optional, shown, whole
from recokit._utils.words import folded, words
from recokit.data import Categorical, Dataset, Vocabulary
from recokit.data.table import Table
from recokit.data.times import Duration
from recokit.errors import ConfigurationError
from recokit.text.asking import Answer, Asking, Completes
from recokit.text.cache import AuditLog, Cache
from recokit.typing import AnyArray, Float32Array

#: Confidence in a value that its evidence says, and in one that the model read out of it. Ranks, no probabilities.
SAID, READ = 0.9, 0.5
#: Characters of an item's text that a model is shown.
_SHOWN = 1_500
#: Characters of a token, for the cap: fewer than models have, so that the count is never too low by much.
_PER_TOKEN = 3
_PROMPT = """Read attributes of a product from its text. For each attribute choose an allowed value and copy the
words of the text that say it. Use null where the text does not say it.

Allowed: {"material": ["wood", "steel"]}
Text: "A sturdy oak table."
Answer: {"material": {"value": "wood", "evidence": "oak"}}

Allowed: ALLOWED
Text: TEXT
Answer: """


@dataclass(frozen=True, eq=False)
class Filled:
    """What was read of items.

    Parameters
    ----------
    values : mapping of str to ndarray of object, shape (n_items + 1,)
        By item code, None where nothing was read.
    evidence : mapping of str to ndarray of object, shape (n_items + 1,)
        The words of the item's own text.
    confidence : mapping of str to ndarray of float32, shape (n_items + 1,)
        0.9 where the evidence says the value, 0.5 where the model read it out of it, 0 without: an order, not
        probabilities.
    calls, tokens : int
        Calls made now, and their cost: characters of prompts and answers by three.
    rejected : tuple of (item id, attribute, reason)
    left : tuple of item ids
        Those that were not asked for: the cap was reached, or the model failed.
    """

    values: Mapping[str, AnyArray]
    evidence: Mapping[str, AnyArray]
    confidence: Mapping[str, Float32Array]
    calls: int
    tokens: int
    rejected: tuple[tuple[Any, str, str], ...] = ()
    left: tuple[Any, ...] = ()

    def table(self, items: Table, *, min_confidence: float = 0.0, for_rules: bool = False) -> Table:
        """Return the items' table with a column of labels for each attribute.

        The columns are marked as inferred: sources, features and rankers read them, hard rules refuse them.

        Parameters
        ----------
        items : Table
        min_confidence : float, default 0.0
            Values below it are left out.
        for_rules : bool, default False
            Leave the mark out: rules then take the values for known.

        Raises
        ------
        ConfigurationError
            If the table has a column of that name.
        """
        if twice := sorted(set(self.values) & set(items.names)):
            raise ConfigurationError(
                f"found a column {twice[0]!r} in the table already; expected another name"
            )
        added = {}
        for name, values in self.values.items():
            kept = [
                value if value is not None and sure >= min_confidence else None
                for value, sure in zip(values.tolist(), self.confidence[name].tolist(), strict=True)
            ]
            labels = Vocabulary(sorted({value for value in kept if value is not None}))
            codes = np.zeros(len(kept), np.int64)
            some = [row for row, value in enumerate(kept) if value is not None]
            if some:
                codes[some] = labels.encode(np.array([kept[row] for row in some], object))
            added[name] = Categorical(codes, labels)
        marked = items.inferred if for_rules else tuple(sorted({*items.inferred, *added}))
        return replace(items, categorical={**items.categorical, **added}, inferred=marked)


@dataclass
class _Spent:
    """Calls and tokens so far, shared by threads."""

    cap: int | None
    calls: int = 0
    tokens: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def reserve(self, tokens: int) -> bool:
        """Take tokens from the cap; False where it does not hold as many."""
        with self.lock:
            if self.cap is not None and self.tokens + tokens > self.cap:
                return False
            self.tokens += tokens
            return True

    def settle(self, reserved: int, used: int, *, called: bool) -> None:
        with self.lock:
            self.tokens += used - reserved
            self.calls += called


class Attributes:
    """Reads attributes of items from their texts by a model: values of a closed vocabulary, with evidence.

    A value is kept only if it is one of those allowed and the words that the model gives for it stand in the item's own
    text. An answer in the cache is not asked for again: work that was killed goes on where it stopped.

    Parameters
    ----------
    client : object with ``complete`` and ``model``
    vocabulary : mapping of str to sequence of str
        Allowed values by attribute, such as ``{"material": ["wood", "steel"]}``.
    columns : sequence of str, optional
        Item columns of text to read; all free text by default.
    cache : Cache, optional
        Where answers are kept; without one, nothing is resumed.
    log : AuditLog, optional
    timeout : duration, default "10s"
        Of a call.
    concurrency : int, default 4
        Calls at a time.
    max_rate : float, optional
        Calls a second, at most.
    max_tokens : int, optional
        Cost of a ``fill``, at most, in tokens of three characters: a call that might exceed it is not made.
    answer_tokens : int, default 256
        What an answer is taken to cost before it is there.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or the vocabulary is empty.
    """

    def __init__(
        self,
        client: Completes,
        vocabulary: Mapping[str, Sequence[str]],
        *,
        columns: Sequence[str] | None = None,
        cache: Cache | None = None,
        log: AuditLog | None = None,
        timeout: Duration = "10s",
        concurrency: int = 4,
        max_rate: float | None = None,
        max_tokens: int | None = None,
        answer_tokens: int = 256,
    ) -> None:
        self.vocabulary = {name: tuple(values) for name, values in vocabulary.items()}
        self.columns, self.concurrency, self.max_rate = columns, concurrency, max_rate
        self.max_tokens, self.answer_tokens = max_tokens, answer_tokens
        check_options(
            self,
            {
                "concurrency": whole(1),
                "max_rate": optional(above(0)),
                "max_tokens": optional(whole(0)),
                "answer_tokens": whole(1),
            },
        )
        for name, values in self.vocabulary.items():
            if (
                not name.isidentifier()
                or not values
                or not all(isinstance(one, str) and one for one in values)
            ):
                raise ConfigurationError(
                    f"found {name!r}: {shown(values)}; expected a name and its allowed values"
                )
        if not self.vocabulary:
            raise ConfigurationError(
                "found no attributes; expected some, such as {'material': ['wood', 'steel']}"
            )
        self._ask = Asking(client, cache=cache, log=log, timeout=timeout, places=2 * concurrency)
        self._schema = _schema_of(self.vocabulary)

    def fill(self, dataset: Dataset, only: Sequence[Any] | None = None) -> Filled:
        """Read the attributes of items.

        Parameters
        ----------
        dataset : Dataset
        only : sequence of item ids, optional
            Such as those without events; all by default.

        Raises
        ------
        ConfigurationError
            If there is no column of text.
        """
        table, ids = dataset.items, dataset.item_ids
        codes = np.arange(1, table.n + 1) if only is None else ids.encode(list(only))
        codes = np.unique(codes[codes > 0])
        texts = self._texts(table, codes.tolist())
        spent, pace = _Spent(self.max_tokens), _Pace(self.max_rate)
        with ThreadPoolExecutor(self.concurrency) as pool:
            answers = list(pool.map(lambda text: self._answer(text, spent, pace), texts))
        values = {name: np.full(table.n + 1, None, object) for name in self.vocabulary}
        evidence = {name: np.full(table.n + 1, None, object) for name in self.vocabulary}
        confidence = {name: np.zeros(table.n + 1, np.float32) for name in self.vocabulary}
        rejected, left = [], []
        for code, text, (prompt, answer) in zip(codes.tolist(), texts, answers, strict=True):
            item = ids.decode(np.array([code])).tolist()[0]
            if answer is None or answer.fields is None:
                if text:
                    left.append(item)
                continue
            verdicts = {name: self._verdict(name, answer.fields.get(name), text) for name in self.vocabulary}
            for name, verdict in verdicts.items():
                if isinstance(verdict, str):
                    rejected += [(item, name, verdict)] if verdict else []
                    continue
                values[name][code], evidence[name][code], confidence[name][code] = verdict
            said = "; ".join(
                f"{name}: {one}" for name, one in verdicts.items() if isinstance(one, str) and one
            )
            self._ask.record(prompt, answer, f"rejected: {said}" if said else "kept")
        return Filled(
            values=values,
            evidence=evidence,
            confidence=confidence,
            calls=spent.calls,
            tokens=spent.tokens,
            rejected=tuple(rejected),
            left=tuple(left),
        )

    def _texts(self, table: Table, codes: Sequence[int]) -> list[str]:
        free = [name for name, column in table.other.items() if column.dtype == object]
        columns = free if self.columns is None else list(self.columns)
        for name in columns:
            if name not in free:
                raise ConfigurationError(f"found no column of text {name!r}; expected one of {free}")
        if not columns:
            raise ConfigurationError("found no column of text among the items; expected one to read")
        read = [table.other[name] for name in columns]
        return [" ".join(str(column[code]) for column in read if column[code])[:_SHOWN] for code in codes]

    def _answer(self, text: str, spent: _Spent, pace: _Pace) -> tuple[str, Answer | None]:
        """Return the prompt and the answer; None where the cap allows no call, or there is nothing to read."""
        shown_text = json.dumps(text)
        allowed = json.dumps({name: list(values) for name, values in self.vocabulary.items()})
        prompt = _PROMPT.replace("ALLOWED", allowed).replace("TEXT", shown_text)
        if not text:
            return prompt, None
        reserved = len(prompt) // _PER_TOKEN + self.answer_tokens
        if not self._ask.has(prompt, self._schema, shown_text):
            if not spent.reserve(reserved):
                return prompt, None
            pace.wait()
            answer = self._ask(prompt, self._schema, shown_text)
            used = (len(prompt) + len(answer.raw or "")) // _PER_TOKEN
            spent.settle(reserved, used, called=not answer.cached)
            return prompt, answer
        return prompt, self._ask(prompt, self._schema, shown_text)

    def _verdict(self, name: str, found: Any, text: str) -> tuple[str, str, float] | str:
        """Return value, evidence and confidence, or why there are none; an empty reason where nothing was said."""
        if found is None or (isinstance(found, dict) and found.get("value") is None):
            return ""
        value, words_of = (
            (found.get("value"), found.get("evidence")) if isinstance(found, dict) else (None, None)
        )
        if value not in self.vocabulary[name]:
            return f"{shown(value)} is not allowed"
        if not isinstance(words_of, str) or not words(words_of) or not _stands_in(words_of, text):
            return f"{shown(words_of)} does not stand in the text"
        return value, words_of, SAID if set(words(value)) <= set(words(words_of)) else READ


def _stands_in(span: str, text: str) -> bool:
    """Tell whether a span is made of whole words of a text, in their order and without gaps."""
    return f" {' '.join(folded(span).split())} " in f" {' '.join(folded(text).split())} " or (
        f" {' '.join(words(span))} " in f" {' '.join(words(text))} "
    )


def _schema_of(vocabulary: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    properties = {
        name: {
            "type": ["object", "null"],
            "properties": {"value": {"enum": [*values, None]}, "evidence": {"type": ["string", "null"]}},
            "required": ["value", "evidence"],
        }
        for name, values in vocabulary.items()
    }
    return {"type": "object", "properties": properties, "required": list(vocabulary)}


class _Pace:
    """Lets calls go at a rate, across threads."""

    def __init__(self, rate: float | None) -> None:
        self.gap, self.next, self.lock = 0.0 if rate is None else 1.0 / rate, 0.0, threading.Lock()

    def wait(self) -> None:
        with self.lock:
            now = time.monotonic()
            start = max(self.next, now)
            self.next = start + self.gap
        if start > now:
            time.sleep(start - now)
