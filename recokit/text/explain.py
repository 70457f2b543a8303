"""Explain: why items are in a list, in words that say nothing but the facts."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Any

from recokit._utils.options import check_options, one_of, whole
from recokit.data.table import Table
from recokit.data.times import Duration
from recokit.errors import ConfigurationError
from recokit.protocols import SimilarItems
from recokit.result import Recommendations
from recokit.text._claims import LONGEST, refusal
from recokit.text._facts import Facts, attributes_of, facts_of
from recokit.text._sentences import SENTENCES, clause, joined, sentence
from recokit.text.asking import Asking, Completes
from recokit.text.cache import AuditLog, Cache

_SCHEMA = {
    "type": "object",
    "properties": {"text": {"type": "string", "maxLength": LONGEST}},
    "required": ["text"],
    "additionalProperties": False,
}
_PROMPT = """Write one short sentence in English that tells a customer why an item is recommended.
Say only what the facts say. Repeat names exactly. No praise, no numbers that are not there, no links.

Facts: {"item": "Blue Mug", "like items you chose": ["Tea Pot"], "reasons": []}
Answer: {"text": "Because you chose Tea Pot, you might like Blue Mug."}

Facts: {"item": "Red Hat", "reasons": [{"kind": "source", "name": "popular", "value": "3"}]}
Answer: {"text": "Many people choose Red Hat."}

Facts: FACTS
Answer: """
#: Parameters that are named as the main ones.
_MAIN = 5


@dataclass(frozen=True, slots=True)
class Told:
    """Explanations of the items of a result, in its order.

    Parameters
    ----------
    text : tuple of str
        Plain text; ``html`` has it escaped.
    by : tuple of {"model", "template"}
    rejected : tuple of (int, str, str)
        What a model wrote and was not kept: the item's place in the result, the text, and why.
    offsets : tuple of int
        Row ``i`` has the texts ``offsets[i]:offsets[i + 1]``.
    """

    text: tuple[str, ...]
    by: tuple[str, ...]
    rejected: tuple[tuple[int, str, str], ...]
    offsets: tuple[int, ...]

    def row(self, row: int) -> tuple[str, ...]:
        """Return the texts of one row, best item first."""
        return self.text[self.offsets[row] : self.offsets[row + 1]]

    @property
    def html(self) -> tuple[str, ...]:
        """The texts, escaped for a page."""
        return tuple(html.escape(text) for text in self.text)


class Explain:
    """Explains lists from the reasons that ``rules.Reasons`` gives: by a model where its words hold, else by templates.

    A model's text is kept only if every item, number, value and reason in it is among the facts: each word needs a
    licence, from a fact or from a list of words that claim nothing. Else, and without a model, a template of the
    language says the same. The list is never changed, and what is asked is asked after it was served.

    Parameters
    ----------
    client : object with ``complete`` and ``model``, optional
        Such as :class:`HttpClient`; None for templates alone. It is asked in English only, since the check is English.
    items : Table, optional
        The catalogue, for ``columns``.
    columns : sequence of str
        Item columns that may be named, such as ``["brand", "price"]``.
    similar : source with ``similar``, optional
        What tells which item of the user's own history an item is like, such as ``pipeline["merge.item_knn"]``.
    verb : str, default "chose"
        What users do with items, in the past: the one word for it that is true, such as "bought" or "watched".
    language : str, default "en"
        One of ``SENTENCES``, or of ``sentences``.
    sentences : mapping, optional
        Further languages, or other words, as ``SENTENCES`` has them.
    cache : Cache, optional
    log : AuditLog, optional
    timeout : duration, default "3s"
        Of a call.
    concurrency : int, default 4
        Calls at a time.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or there is no such language.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates, rules
    >>> pipeline = rk.Pipeline([candidates.Popular(half_life=None), rules.Reasons()]).fit(rk.testing.toy_dataset())
    >>> Explain().many(pipeline.recommend([None], k=1, now=2e9)).text
    ('Recommended because many people choose it.',)
    """

    def __init__(
        self,
        client: Completes | None = None,
        *,
        items: Table | None = None,
        columns: Sequence[str] = (),
        similar: SimilarItems | None = None,
        verb: str = "chose",
        language: str = "en",
        sentences: Mapping[str, Mapping[str, str]] | None = None,
        cache: Cache | None = None,
        log: AuditLog | None = None,
        timeout: Duration = "3s",
        concurrency: int = 4,
    ) -> None:
        self.client, self.items, self.columns, self.similar = client, items, tuple(columns), similar
        self.verb, self.language, self.concurrency = verb, language, concurrency
        tables = {**SENTENCES, **(sentences or {})}
        check_options(self, {"language": one_of(*tables), "concurrency": whole(1)})
        self._table = {**SENTENCES.get(language, {}), **tables[language]}
        if missing := sorted(SENTENCES["en"].keys() - self._table.keys()):
            raise ConfigurationError(
                f"found no words of {language!r} for {missing[0]!r}; expected all of SENTENCES"
            )
        for name in self.columns:
            if items is None:
                raise ConfigurationError("found columns without items; expected items=dataset.items")
            items.column(name)
        asked = client is not None and language == "en"
        self._ask = (
            Asking(client, cache=cache, log=log, timeout=timeout, places=2 * concurrency)
            if asked and client is not None
            else None
        )

    def many(self, result: Recommendations) -> Told:
        """Explain every item of a result.

        Raises
        ------
        ConfigurationError
            If the pipeline that gave it has no ``rules.Reasons``.
        """
        facts = facts_of(result, items=self.items, columns=self.columns, similar=self.similar)
        return self._told(facts, tuple(result.offsets.tolist()))

    def why_not(self, result: Recommendations, item: Any, row: int = 0) -> str:
        """Tell why an item is not in a row's list, from a run with ``capture="full"``; by a template.

        Raises
        ------
        ConfigurationError
            If the run was not captured, or the item is in the list.
        """
        code = int(result.item_ids.encode([item])[0])
        location = result.trace.locate(row, code)
        if location.fate == "shown":
            raise ConfigurationError(f"found item {item!r} in the list; expected one that is not")
        titles = result.trace.item_titles
        title = None if titles is None or not code else titles[code]
        fate = f"{location.fate}: {location.stage}"
        attributes = attributes_of(self.items, self.columns, [code])[0]
        return sentence(Facts(str(item if title is None else title), (), attributes, (), fate), self._table)

    def main_parameters(self, result: Recommendations) -> str:
        """Tell the main parameters of a result's lists, without anything of a user: for what the law asks to be told.

        By a template: sources, features and rules by how many items they are a reason for.
        """
        count: dict[str, int] = defaultdict(int)
        for facts in facts_of(result, items=None, columns=(), similar=None):
            for reason in facts.reasons:
                count[clause(replace(reason, value=""), self._table)] += 1
        main = sorted(count, key=lambda words: (-count[words], words))[:_MAIN]
        return self._table["legal"].replace(
            "{reasons}", joined(main or [self._table["none"]], self._table["and"])
        )

    def _told(self, facts: Sequence[Facts], offsets: tuple[int, ...]) -> Told:
        distinct = list(dict.fromkeys(facts))  # equal facts, one call
        if self._ask is None:
            written = [("", "")] * len(distinct)
        else:
            with ThreadPoolExecutor(self.concurrency) as pool:
                written = list(pool.map(self._written, distinct))
        by_facts = dict(zip(distinct, written, strict=True))
        texts, by, rejected = [], [], []
        for place, one in enumerate(facts):
            text, why = by_facts[one]
            kept = bool(text) and not why
            if text and why:
                rejected.append((place, text, why))
            texts.append(text if kept else sentence(one, self._table))
            by.append("model" if kept else "template")
        return Told(tuple(texts), tuple(by), tuple(rejected), offsets)

    def _written(self, facts: Facts) -> tuple[str, str]:
        """Return what the model wrote, and why it is not kept; no text where it gave none."""
        assert self._ask is not None
        shown = facts.to_json()
        prompt = _PROMPT.replace("FACTS", shown)
        answer = self._ask(prompt, _SCHEMA, shown)
        text = "" if answer.fields is None else answer.fields["text"]
        text = text.strip() if isinstance(text, str) else ""
        why = refusal(text, facts, verb=self.verb)
        self._ask.record(prompt, answer, f"rejected: {why}" if why else "kept")
        return text, why
