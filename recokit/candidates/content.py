"""Content: the items whose attributes and text are most like those of the history."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._utils.options import Rule, finite, names, rules
from recokit.candidates._retrieve import retrieve_scored, similar_by_history
from recokit.candidates._weights import FromHistory
from recokit.data import Categorical, Dataset, Requests, Retrieved
from recokit.data.table import Table
from recokit.errors import ConfigurationError, ContractError
from recokit.typing import Float32Array, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@dataclass(eq=False, repr=False, kw_only=True)
class Content(FromHistory):
    """Source of the items whose attributes and text are most like those of the history.

    It needs no interactions: it serves a catalogue on its first day, and an item from its first day. Each part (a
    column of labels, the text, the encoder's vectors) compares by cosine; the parts are added up with weights.

    Parameters
    ----------
    attributes : sequence of str, optional
        Item columns of labels; all categorical ones by default. A label counts the more the rarer it is.
    text : sequence of str, optional
        Item columns of text, compared by TF-IDF of their words; all free text by default. Labels may be named too.
    encoder : callable or object with ``encode``, optional
        From a list of texts to (n, D) vectors: a function, or a model such as a ``SentenceTransformer``. It sees the
        text columns of each item joined, and takes the place of TF-IDF. It is not saved, its vectors are: a loaded
        source serves without it, and only a new ``fit`` needs it.
    weights : mapping of str to float, optional
        Weight of a column of labels by its name, of the text as ``"text"``; 1 by default, the text as much as all
        labels together.
    half_life : duration, optional
        Half-life of an event's weight, as of the request.
    max_history : int, optional
        Only this many of the most recent events of each user count; all by default.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or the items lack a column.

    Attributes
    ----------
    terms_ : scipy.sparse.csr_matrix of float32, shape (n_items + 1, F)
        What is compared, without the encoder's vectors. The square of a row's length is the weight of its parts.
    vectors_ : ndarray of float32, shape (n_items + 1, D)
        The encoder's; D is 0 without one.
    fitted_until_ : float

    Examples
    --------
    >>> from recokit.data import Ragged
    >>> items = {"item_id": [1, 2, 3], "genre": ["war", "war", "love"]}
    >>> content = Content().fit(Dataset.from_frame(None, items=items))
    >>> requests = Requests.build(np.array([0]), ragged={"history": Ragged.from_lists([[1]])})
    >>> content.retrieve(requests, limit=10).item.tolist()
    [1, 2]
    """

    _OPTIONS = rules(
        attributes=names,
        text=names,
        encoder=Rule(
            "a function of a list of texts, or a model with encode",
            lambda value: value is None or callable(value) or hasattr(value, "encode"),
        ),
    )

    attributes: Sequence[str] | None = None
    text: Sequence[str] | None = None
    encoder: Any = None
    weights: Mapping[str, float] | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, weight in (self.weights or {}).items():
            finite(0).check(f"weights[{name!r}]", weight)
        if self.encoder is not None and not isinstance(self.encoder, TextEncoder):
            self.encoder = TextEncoder(self.encoder)

    def fit(self, dataset: Dataset) -> Content:
        """Turn the item table into vectors.

        Raises
        ------
        ConfigurationError
            If the items have none of the columns, a weight names none of them, or the encoder was not saved.
        ContractError
            If the encoder returns something other than (n, D) finite numbers.
        """
        from scipy.sparse import csr_matrix, hstack

        table = dataset.items
        attributes, text = self._columns(table)
        weights = {
            **dict.fromkeys(attributes, 1.0),
            "text": max(len(attributes), 1.0),
            **(self.weights or {}),
        }
        unknown = set(weights) - {*attributes, "text"}
        if unknown:
            raise ConfigurationError(
                f"found a weight of {sorted(unknown)[0]!r}; expected one of {[*attributes, 'text']}"
            )
        parts: list[csr_matrix] = [_hot(table.labelled(name)) * np.sqrt(weights[name]) for name in attributes]
        self.vectors_ = np.zeros((table.n + 1, 0), np.float32)
        texts = text_of(table, text) if text else []
        if text and self.encoder is not None:
            self.vectors_ = encoded(self.encoder, texts) * np.float32(np.sqrt(weights["text"]))
        elif text:
            parts.append(tf_idf(texts) * np.sqrt(weights["text"]))
        empty = csr_matrix((table.n + 1, 0), dtype=np.float32)
        self.terms_ = hstack([empty, *parts], format="csr", dtype=np.float32)
        self.fitted_until_ = dataset.until
        return self

    def _columns(self, table: Table) -> tuple[list[str], list[str]]:
        """Return the columns of labels and of text."""
        free = [name for name, values in table.other.items() if values.dtype == object]
        attributes = list(table.categorical) if self.attributes is None else list(self.attributes)
        text = free if self.text is None else list(self.text)
        if self.attributes is None:
            attributes = [name for name in attributes if name not in text]
        for name in attributes:
            table.labels(name)
        for name in text:
            if name not in free:
                table.labels(name)
        if not attributes and not text:
            raise ConfigurationError(
                "found no labels and no text among the item columns; expected at least one; "
                "hint: Dataset.from_frame(log, items=frame)"
            )
        return attributes, text

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the ``limit`` items most like the history; items that share nothing with it are none.

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        n_codes = self.terms_.shape[0]
        history = self._history_matrix(requests, n_codes)
        across = self.terms_.T.tocsr()

        def score(rows: IntArray) -> Float32Array:
            mine = history[rows]
            scores: Float32Array = ((mine @ self.terms_) @ across).toarray()
            if self.vectors_.shape[1]:
                scores += (mine @ self.vectors_) @ self.vectors_.T
            scores[scores <= 0] = -np.inf
            return scores

        return retrieve_scored(requests, limit, n_codes, score, known=np.diff(history.indptr) > 0)

    def similar(self, items: IntArray, k: int) -> Retrieved:
        """Return the k items most like each item, itself left out.

        Parameters
        ----------
        items : ndarray of int64, shape (B,)
            Item codes; an unknown item (0) has none.
        k : int

        Raises
        ------
        NotFittedError
            Before ``fit``.
        """
        return similar_by_history(self, items, k)


def one_hot(codes: IntArray) -> csr_matrix:
    """Return one row for each item with its label's column, of a length that grows with the label's rarity.

    The most common label of a catalogue has the length 0 only if all items have it; a missing one (0) has none.
    """
    from scipy.sparse import csr_matrix

    rows = np.flatnonzero(codes > 0)
    count = np.bincount(codes[rows], minlength=int(codes.max(initial=0)) + 1)
    idf = np.log((1.0 + len(rows)) / (1.0 + count)) / np.log(1.0 + max(len(rows), 1))
    value = np.sqrt(idf[codes[rows]]).astype(np.float32)
    return csr_matrix((value, (rows, codes[rows])), shape=(len(codes), len(count)))


def _hot(column: Categorical) -> csr_matrix:
    """Return the labels of a column as sparse rows of length 1 at most, rarer labels counting more."""
    from scipy.sparse import csr_matrix

    if column.separator is None:
        return one_hot(column.codes)
    several = column.several
    shape = (len(several.offsets) - 1, len(several.labels) + 1)
    count = np.bincount(several.code, minlength=shape[1])
    n = max(int(np.count_nonzero(np.diff(several.offsets))), 1)
    idf = np.log((1.0 + n) / (1.0 + count)) / np.log(1.0 + n)
    each = np.maximum(np.diff(several.offsets), 1)
    value = np.sqrt(idf[several.code] / np.repeat(each, np.diff(several.offsets))).astype(np.float32)
    return csr_matrix((value, several.code, several.offsets), shape=shape)


def text_of(table: Table, columns: Sequence[str]) -> list[str]:
    """Return the joined text of each item, empty where there is none; row 0 is empty."""
    texts = np.full(table.n + 1, "", object)
    for name in columns:
        if name in table.categorical:
            labels = table.categorical[name]
            values = np.full(table.n + 1, None, object)
            some = labels.codes > 0
            values[some] = labels.labels.decode(labels.codes[some]).astype(str)
        else:
            values = table.other[name]
        for row in range(1, table.n + 1):  # text has no faster way than one string at a time
            if values[row]:
                texts[row] = f"{texts[row]} {values[row]}".strip()
    return texts.tolist()


def tf_idf(texts: list[str]) -> csr_matrix:
    """Return TF-IDF of the words, rows of length 1; zeros where there is no word."""
    from scipy.sparse import csr_matrix
    from sklearn.feature_extraction.text import TfidfVectorizer

    words = TfidfVectorizer(dtype=np.float32, token_pattern=r"(?u)\w+")
    if not any(texts):
        return csr_matrix((len(texts), 0), dtype=np.float32)
    return words.fit_transform(texts).tocsr()


class TextEncoder:
    """A function from texts to vectors, or a model with ``encode``.

    A saved one is empty, since a saved state holds no code: the stage saves the vectors themselves.
    """

    def __init__(self, *model: Any) -> None:
        self.model = model

    def __call__(self, texts: list[str]) -> Any:
        """Return the vectors of texts."""
        if not self.model:
            raise ConfigurationError(
                "found no encoder: it is not saved with its stage, which needs it for a new fit only; "
                "hint: Content(encoder=model).fit(dataset)"
            )
        model = self.model[0]
        return model.encode(texts) if hasattr(model, "encode") else model(texts)

    def __repr__(self) -> str:
        return repr(self.model[0]) if self.model else "<not saved>"

    def state(self) -> dict[str, Any]:
        """Return nothing: a saved state holds no code."""
        return {}

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what :meth:`state` returned."""


def encoded(encoder: TextEncoder, texts: list[str]) -> Float32Array:
    """Return the encoder's vectors, rows of length 1; zeros where there is no text.

    Raises
    ------
    ContractError
        If it returns something other than (n, D) finite numbers.
    """
    some = [row for row, text in enumerate(texts) if text]
    raw = np.asarray(encoder([texts[row] for row in some]), np.float32) if some else np.zeros((0, 0))
    if raw.ndim != 2 or len(raw) != len(some) or not np.isfinite(raw).all():
        raise ContractError(
            f"found {raw.dtype} {raw.shape} from the encoder; expected finite numbers ({len(some)}, D)"
        )
    vectors = np.zeros((len(texts), raw.shape[1]), np.float32)
    norm = np.linalg.norm(raw, axis=1, keepdims=True)
    vectors[some] = np.divide(raw, norm, out=np.zeros_like(raw), where=norm > 0)
    return vectors
