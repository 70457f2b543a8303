"""Encoders: any callable; adapters for static vectors and ONNX."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from recokit.errors import ContractError
from recokit.text import OnnxEncoder, WordLlama
from recokit.text.encoders import encode_texts


def test_functions_and_models_with_encode_are_encoders():
    assert encode_texts(lambda texts: [[3.0, 4.0]] * len(texts), ["a", "b"]) == pytest.approx(
        np.array([[0.6, 0.8]] * 2)
    )
    assert encode_texts(SimpleNamespace(encode=lambda texts: [[0.0, 0.0]]), ["a"]).tolist() == [[0, 0]]
    assert encode_texts(len, []).shape == (0, 0)


@pytest.mark.parametrize("wrong", [[1.0], [[1.0], [2.0]], [[np.nan]]])
def test_anything_but_finite_rows_is_refused(wrong):
    with pytest.raises(ContractError, match="expected finite"):
        encode_texts(lambda texts: wrong, ["a"])


def test_an_onnx_model_is_averaged_over_the_tokens_that_count():
    tokens = np.array([[[2.0, 0], [4.0, 2], [9.0, 9]]])
    session = SimpleNamespace(
        get_inputs=lambda: [SimpleNamespace(name="input_ids"), SimpleNamespace(name="attention_mask")],
        run=lambda _, given: [tokens] if set(given) == {"input_ids", "attention_mask"} else None,
    )
    given = {"input_ids": [[5, 6, 0]], "attention_mask": [[1, 1, 0]], "token_type_ids": [[0, 0, 0]]}
    assert OnnxEncoder(session, lambda texts: given)(["a b"]).tolist() == [[3.0, 1.0]]


def test_static_vectors_put_like_words_near():
    pytest.importorskip("wordllama")
    shoes, boots, jazz = encode_texts(WordLlama(), ["running shoes", "hiking boots", "jazz records"])
    assert shoes @ boots > shoes @ jazz
    assert repr(WordLlama()) == "WordLlama(256)"
