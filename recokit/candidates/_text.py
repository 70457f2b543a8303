"""Item attributes and text as rows of unit length."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit.data.table import Table
from recokit.errors import ConfigurationError, ContractError
from recokit.typing import Float32Array, IntArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

__all__ = ["TextEncoder", "encoded", "one_hot", "text_of", "tf_idf"]


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
    """What makes vectors of texts: a function, or a model with ``encode``.

    A saved one is empty, since a saved state holds no code: what it made is saved by who used it.
    """

    def __init__(self, *model: Any) -> None:
        self.model = model

    def __call__(self, texts: list[str]) -> Any:
        """Return what the model makes of the texts."""
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
        """Return what to save: nothing."""
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
    found = np.asarray(encoder([texts[row] for row in some]), np.float32) if some else np.zeros((0, 0))
    if found.ndim != 2 or len(found) != len(some) or not np.isfinite(found).all():
        raise ContractError(
            f"found {found.dtype} {found.shape} from the encoder; expected finite numbers ({len(some)}, D)"
        )
    vectors = np.zeros((len(texts), found.shape[1]), np.float32)
    norm = np.linalg.norm(found, axis=1, keepdims=True)
    vectors[some] = np.divide(found, norm, out=np.zeros_like(found), where=norm > 0)
    return vectors
