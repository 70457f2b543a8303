"""Joining: the answers of several pipelines as one, in the order of the requests, whatever codes they count in."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any

import numpy as np

from recokit._kernels.segments import counts_to_offsets, gather_segments
from recokit._utils.copies import with_fields
from recokit.data.candidates import missing
from recokit.data.ragged import Ragged
from recokit.data.requests import Requests
from recokit.data.schema import Schema
from recokit.data.vocabulary import Vocabulary
from recokit.result import Recommendations
from recokit.typing import AnyArray, IntArray


class Codes:
    """Codes of one vocabulary in those of another; each pair is worked out once."""

    def __init__(self) -> None:
        self._maps: dict[tuple[str, str], IntArray] = {}

    def map(self, old: Vocabulary, new: Vocabulary) -> IntArray | None:
        """Return the new code of each old one, (n + 1,), 0 for what is unknown; None where both are the same."""
        if old is new or old == new:
            return None
        key = old.fingerprint, new.fingerprint
        if key not in self._maps:
            self._maps[key] = np.concatenate([np.zeros(1, np.int64), new.encode(old.ids)])
        return self._maps[key]

    def requests(self, requests: Requests, old: Schema, new: Schema) -> Requests:
        """Return requests in another model's codes."""
        users, items = self.map(old.user_ids, new.user_ids), self.map(old.item_ids, new.item_ids)
        if users is not None:
            ids = requests.user_ids
            # Users that only the other model knows have no code here: their ids do.
            codes = users[requests.user] if ids is None else _encoded(ids, new.user_ids)
            requests = with_fields(requests, user=codes)
        if items is not None:
            ragged = {
                name: Ragged(lists.offsets, items[lists.values], lists.columns)
                for name, lists in requests.ragged.items()
            }
            requests = with_fields(requests, ragged=ragged)
        return requests


def _encoded(ids: AnyArray, vocabulary: Vocabulary) -> IntArray:
    codes = np.zeros(len(ids), np.int64)
    known = np.array([one is not None for one in ids.tolist()], np.bool_)
    codes[known] = vocabulary.encode(ids[known])
    return codes


def marked(answer: Recommendations, arm: str) -> Recommendations:
    """Return an answer with a column of the arm's name for each item."""
    column = np.empty(len(answer.item), object)
    column.fill(arm)
    return with_fields(answer, columns={**answer.columns, "arm": column})


def joined(
    parts: Sequence[tuple[IntArray, Recommendations]], n: int, fingerprint: str, codes: Codes
) -> Recommendations:
    """Return the answers of several pipelines as one, in the order of the requests.

    Parameters
    ----------
    parts : sequence of (ndarray of int64, Recommendations)
        The rows of the whole that each answer is for, and the answer.
    n : int
        Rows of the whole.
    fingerprint : str
        Of the whole.
    codes : Codes
        Items are in the codes of the first answer, those that it does not know in codes that follow.
    """
    answers = [answer for _, answer in parts]
    vocabulary, items = _common_items(answers, codes)
    like = {name: column for answer in reversed(answers) for name, column in answer.columns.items()}
    offsets = counts_to_offsets(np.concatenate([np.diff(answer.offsets) for answer in answers]))
    # Where each row of the whole stands among the answers, one after the other.
    order = np.empty(n, np.int64)
    order[np.concatenate([rows for rows, _ in parts])] = np.arange(n)
    whole, index = gather_segments(offsets, order)
    sources = list(chain.from_iterable(answer.sources for answer in answers))
    reasons = list(chain.from_iterable(answer.reasons for answer in answers))
    return Recommendations(
        users=np.concatenate([answer.users for answer in answers])[order],
        offsets=whole,
        item=np.concatenate(items)[index],
        score=np.concatenate([answer.score for answer in answers])[index],
        columns={name: _column(name, column, answers)[index] for name, column in like.items()},
        sources=tuple(sources[i] for i in index.tolist()),
        status=np.concatenate([answer.status for answer in answers])[order],
        reasons=tuple(reasons[i] for i in order.tolist()),
        item_ids=vocabulary,
        traces=tuple(chain.from_iterable(answer.traces for answer in answers)),
        fingerprint=fingerprint,
    )


def _column(name: str, like: AnyArray, answers: Sequence[Recommendations]) -> AnyArray:
    return np.concatenate(
        [
            answer.columns[name] if name in answer.columns else missing(len(answer.item), like)
            for answer in answers
        ]
    )


def _common_items(answers: Sequence[Recommendations], codes: Codes) -> tuple[Vocabulary, list[IntArray]]:
    """Return a vocabulary that has the items of all answers, and their items in its codes."""
    first = answers[0].item_ids
    maps = [codes.map(answer.item_ids, first) for answer in answers]
    unknown: list[Any] = []
    for answer, of in zip(answers, maps, strict=True):
        if of is not None:
            unknown += answer.item_ids.decode(answer.item[of[answer.item] == 0]).tolist()
    vocabulary = first.extend(unknown) if unknown else first
    items = []
    for answer, of in zip(answers, maps, strict=True):
        new = answer.item if of is None else of[answer.item]
        if of is not None and unknown:
            new = vocabulary.encode(answer.item_ids.decode(answer.item))
        items.append(new)
    return vocabulary, items
