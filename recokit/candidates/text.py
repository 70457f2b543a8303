"""Text: the items that a query searches for, by words and by meaning."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._kernels.fusion import RRF_K, fuse_lists
from recokit._kernels.segments import counts_to_offsets
from recokit._utils.options import Rule, between, finite, names, rules
from recokit._utils.words import words
from recokit.candidates._retrieve import retrieve_scored
from recokit.candidates.content import TextEncoder, encoded, text_of
from recokit.compose.alone.sources import AloneSource
from recokit.data import Dataset, Requests, Retrieved, Schema, Vocabulary
from recokit.data.context import QUERY, VECTOR, WHERE, WORDS
from recokit.data.search import ItemConditions, texts_of
from recokit.data.table import Table
from recokit.errors import ConfigurationError, DataError, NotFittedError
from recokit.typing import BoolArray, Float32Array, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(eq=False, repr=False, kw_only=True)
class Text(AloneSource):
    """Source of the items that the request's query searches for: BM25 of the words, fused with the encoder's vectors.

    It reads ``recommend(query=...)``. Conditions that were read from the query hold inside the search, so that lists
    stay full; ``rules.Asked`` holds them for all other sources. A query of nothing but conditions finds all items that
    meet them. Rows without a query get nothing.

    Parameters
    ----------
    columns : sequence of str, optional
        Item columns of text and labels to search in; all by default.
    encoder : callable or object with ``encode``, optional
        From a list of texts to (n, D) vectors, as :class:`Content` takes it. It encodes the items in ``fit`` and a
        query while serving, unless the query brings its vector. It is not saved: a loaded source searches by words, and
        by vectors that come with the query.
    min_similarity : float, default 0.0
        Cosine from which on an item is near a query.
    k1, b : float, default 1.2 and 0.75
        Saturation of a word's count, and how much long texts are discounted.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or the items lack a column.

    Attributes
    ----------
    words_ : Vocabulary
        The words of all items.
    weights_ : scipy.sparse.csr_matrix of float32, shape (n_words + 1, n_items + 1)
        BM25 weight of each word in each item; row and column 0 are empty.
    vectors_ : ndarray of float32, shape (n_items + 1, D)
        The encoder's; D is 0 without one.
    fitted_until_ : float

    Examples
    --------
    >>> import recokit as rk
    >>> items = {"item_id": [1, 2, 3], "title": ["Red running shoes", "Blue shoes", "Red hat"]}
    >>> log = {"user_id": [1], "item_id": [3], "timestamp": [0]}
    >>> pipeline = rk.Pipeline([Text()]).fit(rk.Dataset.from_frame(log, items=items))
    >>> pipeline.recommend(query="red shoe", now=1).ids(0)
    [1, 2, 3]
    """

    requires = (f"context.{QUERY}", f"context.{WORDS}", f"context.{WHERE}", f"context.{VECTOR}")

    _OPTIONS = rules(
        columns=names,
        encoder=Rule(
            "a function of a list of texts, or a model with encode",
            lambda value: value is None or callable(value) or hasattr(value, "encode"),
        ),
        min_similarity=between(-1, 1),
        k1=finite(0),
        b=between(0, 1),
    )

    columns: Sequence[str] | None = None
    encoder: Any = None
    min_similarity: float = 0.0
    k1: float = 1.2
    b: float = 0.75

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.encoder is not None and not isinstance(self.encoder, TextEncoder):
            self.encoder = TextEncoder(self.encoder)
        self._conditions: ItemConditions | None = None

    def bind(self, schema: Schema) -> Any:
        """Return a copy that knows the columns which conditions name."""
        bound = copy.copy(self)
        bound._conditions = ItemConditions(schema)
        return bound

    def fit(self, dataset: Dataset) -> Text:
        """Index the words of all items, and encode them.

        Raises
        ------
        ConfigurationError
            If the items have no text and no labels, or lack a column.
        ContractError
            If the encoder returns something other than (n, D) finite numbers.
        """
        texts = text_of(dataset.items, self._searched(dataset.items))
        self.words_, self.weights_ = bm25(texts, k1=self.k1, b=self.b)
        self.vectors_ = (
            np.zeros((len(texts), 0), np.float32) if self.encoder is None else encoded(self.encoder, texts)
        )
        self.fitted_until_ = dataset.until
        return self

    def _searched(self, table: Table) -> list[str]:
        """Return the columns of text and labels that are searched."""
        free = [name for name, values in table.other.items() if values.dtype == object]
        columns = [*free, *table.categorical] if self.columns is None else list(self.columns)
        for name in columns:
            if name not in free:
                table.labels(name)
        if not columns:
            raise ConfigurationError(
                "found no text and no labels among the item columns; expected at least one; "
                "hint: Dataset.from_frame(log, items=frame)"
            )
        return columns

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` items that each row's query finds, best first.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        DataError
            If a condition cannot be read, or a query's vector is not as long as the items'.
        """
        query, read = texts_of(requests, QUERY), texts_of(requests, WORDS)
        # Who reads queries says what to search by, even if that is nothing.
        given = (
            np.array([isinstance(one, str) for one in requests.columns[WORDS].tolist()], np.bool_)
            if WORDS in requests.columns
            else np.zeros(len(requests), np.bool_)
        )
        asked = [one if known else text for one, text, known in zip(read, query, given.tolist(), strict=True)]
        tokens = [words(text) for text in asked]
        masks = [self._mask(where) if where else None for where in texts_of(requests, WHERE)]
        by_words = self._by_words(requests, limit, tokens, masks)
        vectors = self._query_vectors(requests, asked)
        if vectors is None:
            return by_words
        return _fused([by_words, self._by_vectors(requests, limit, vectors, masks)], limit)

    def _mask(self, where: str) -> BoolArray:
        if self._conditions is None:
            raise NotFittedError("found a condition before bind; expected Text in a fitted pipeline")
        return self._conditions.mask(where)

    def _by_words(
        self, requests: Requests, limit: int, tokens: list[list[str]], masks: list[BoolArray | None]
    ) -> Retrieved:
        from scipy.sparse import csr_matrix

        codes = [self.words_.encode(row) if row else np.zeros(0, np.int64) for row in tokens]
        codes = [np.unique(row[row > 0]) for row in codes]
        offsets = counts_to_offsets(np.array([len(row) for row in codes], np.int64))
        flat = np.concatenate([*codes, np.zeros(0, np.int64)]).astype(np.int64)
        ones = np.ones(len(flat), np.float32)
        asked = csr_matrix((ones, flat, offsets), shape=(len(requests), self.weights_.shape[0]))
        bare = [not row and mask is not None for row, mask in zip(tokens, masks, strict=True)]
        only_where = np.array(bare, np.bool_)

        def score(rows: IntArray) -> Float32Array:
            scores: Float32Array = (asked[rows] @ self.weights_).toarray()
            for place, row in enumerate(rows.tolist()):
                if not only_where[row]:
                    scores[place, scores[place] <= 0] = -np.inf
                _only(scores[place], masks[row])
            return scores

        known = (np.diff(offsets) > 0) | only_where
        return retrieve_scored(requests, limit, self.weights_.shape[1], score, known=known)

    def _by_vectors(
        self, requests: Requests, limit: int, vectors: Float32Array, masks: list[BoolArray | None]
    ) -> Retrieved:
        def score(rows: IntArray) -> Float32Array:
            scores: Float32Array = vectors[rows] @ self.vectors_.T
            scores[scores <= self.min_similarity] = -np.inf
            for place, row in enumerate(rows.tolist()):
                _only(scores[place], masks[row])
            return scores

        return retrieve_scored(
            requests, limit, len(self.vectors_), score, known=np.asarray(vectors.any(axis=1))
        )

    def _query_vectors(self, requests: Requests, texts: list[str]) -> Float32Array | None:
        """Return the queries' vectors (B, D) of length 1, zeros for those without; None where nothing is compared."""
        width = self.vectors_.shape[1]
        if not width:
            return None
        given = requests.columns[VECTOR].tolist() if VECTOR in requests.columns else [None] * len(texts)
        encodes = self.encoder is not None and bool(self.encoder.model)
        unread = [
            text if vector is None and encodes else "" for text, vector in zip(texts, given, strict=True)
        ]
        vectors = np.zeros((len(texts), width), np.float32)
        if any(unread):
            vectors = encoded(self.encoder, unread)
        for row, vector in enumerate(given):
            if vector is not None:
                vector = np.asarray(vector, np.float32)
                if vector.shape != (width,) or not np.isfinite(vector).all():
                    raise DataError(
                        f"found a query vector {vector.shape}; expected ({width},) finite numbers, "
                        "from the encoder of this source"
                    )
                vectors[row] = vector / max(float(np.linalg.norm(vector)), 1e-12)
        return vectors


def bm25(texts: list[str], *, k1: float, b: float) -> tuple[Vocabulary, csr_matrix]:
    """Return the words of texts, and the BM25 weight of each in each text as (n_words + 1, n) float32.

    Robertson and Zaragoza (2009), with the inverse document frequency that is never negative.
    """
    from scipy.sparse import csr_matrix

    counts = [Counter(words(text)) for text in texts]
    vocabulary = Vocabulary(sorted({word for count in counts for word in count}))
    code = vocabulary.encode(np.array([word for count in counts for word in count], object))
    times = np.array([n for count in counts for n in count.values()], np.float32)
    row = np.repeat(np.arange(len(counts)), [len(count) for count in counts])
    length = np.bincount(row, times, minlength=len(counts))
    n = max(int(np.count_nonzero(length)), 1)
    having = np.bincount(code, minlength=len(vocabulary) + 1)
    idf = np.log1p((n - having + 0.5) / (having + 0.5))
    relative = length / max(float(length.sum()) / n, 1e-9)
    weight = idf[code] * times * (k1 + 1) / (times + k1 * (1 - b + b * relative[row]))
    shape = (len(vocabulary) + 1, len(counts))
    return vocabulary, csr_matrix((weight.astype(np.float32), (code, row)), shape=shape)


def _only(scores: Float32Array, mask: BoolArray | None) -> None:
    """Leave out of one row's scores what its condition does not let through."""
    if mask is not None:
        scores[~mask[: len(scores)]] = -np.inf


def _fused(lists: list[Retrieved], limit: int) -> Retrieved:
    """Return lists fused by reciprocal ranks, each with the sum of these as its score."""
    fused = fuse_lists(
        [part.offsets for part in lists],
        [part.item for part in lists],
        [part.score for part in lists],
        by="rrf",
        limit=limit,
        shares=[1.0] * len(lists),
    )
    score = np.nansum(1.0 / (RRF_K + fused.rank), axis=0).astype(np.float32)
    return Retrieved(fused.offsets, fused.item, score)
