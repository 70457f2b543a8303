"""Encoders: models that turn texts into vectors, as one kind of function."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from recokit.errors import ContractError
from recokit.typing import Float32Array


def encode_texts(encoder: Any, texts: Sequence[str]) -> Float32Array:
    """Return the vectors of texts by any encoder, (n, D) float32, rows of length 1.

    Parameters
    ----------
    encoder : callable or object with ``encode``
        From a list of texts to (n, D) vectors.
    texts : sequence of str

    Raises
    ------
    ContractError
        If it returns something other than (n, D) finite numbers.
    """
    texts = list(texts)
    if not texts:
        return np.zeros((0, 0), np.float32)
    raw = np.asarray(encoder.encode(texts) if hasattr(encoder, "encode") else encoder(texts), np.float32)
    if raw.ndim != 2 or len(raw) != len(texts) or not np.isfinite(raw).all():
        raise ContractError(
            f"found {raw.dtype} {raw.shape} from the encoder; expected finite numbers ({len(texts)}, D)"
        )
    norm = np.linalg.norm(raw, axis=1, keepdims=True)
    return np.asarray(np.divide(raw, norm, out=np.zeros_like(raw), where=norm > 0))
