"""Encoders: models that turn texts into vectors. Any function or object with ``encode`` is one."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from recokit.errors import ConfigurationError, ContractError
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


class WordLlama:
    """Static vectors of words, averaged over a text: an encoder without a network, from the extra ``text``.

    The weights come with the package; nothing is downloaded.

    Parameters
    ----------
    dim : int, default 256
        Length of the vectors.

    Raises
    ------
    ConfigurationError
        If wordllama is not installed, when it is first used.
    """

    def __init__(self, dim: int = 256) -> None:
        self.dim = dim
        self._model: Any = None

    def __repr__(self) -> str:
        return f"WordLlama({self.dim})"

    def __call__(self, texts: Sequence[str]) -> Float32Array:
        """Return the vectors of texts, (n, dim)."""
        if self._model is None:
            try:
                import wordllama
            except ImportError as error:
                raise ConfigurationError(
                    "found no wordllama; expected it; hint: pip install 'recokit[text]'"
                ) from error
            inside = Path(wordllama.__file__).parent
            self._model = wordllama.WordLlama.load(dim=self.dim, cache_dir=inside, disable_download=True)
        return np.asarray(self._model.embed(list(texts)), np.float32)


class OnnxEncoder:
    """A sentence encoder as an ONNX model: token vectors averaged over the tokens that count.

    Parameters
    ----------
    session : onnxruntime.InferenceSession
        With inputs ``input_ids``, ``attention_mask`` and maybe ``token_type_ids``, (n, L) int64.
    tokenize : callable
        From a list of texts to a mapping of these inputs.
    """

    def __init__(self, session: Any, tokenize: Callable[[list[str]], Mapping[str, Any]]) -> None:
        self.session, self.tokenize = session, tokenize

    def __call__(self, texts: Sequence[str]) -> Float32Array:
        """Return the vectors of texts, (n, D)."""
        given = self.tokenize(list(texts))
        wanted = [one.name for one in self.session.get_inputs()]
        tokens = np.asarray(self.session.run(None, {name: given[name] for name in wanted})[0], np.float32)
        mask = np.asarray(given["attention_mask"], np.float32)[:, :, None]
        return np.asarray((tokens * mask).sum(axis=1) / np.maximum(mask.sum(axis=1), 1.0))
