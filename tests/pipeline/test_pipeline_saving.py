"""What cannot be saved is said in words of the user's own pipeline."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import recokit as rk
from recokit import candidates, rules
from recokit.errors import ConfigurationError
from recokit.testing import toy_dataset

TOY = toy_dataset()


def refusal(pipeline: rk.Pipeline, path: Path) -> str:
    with pytest.raises(ConfigurationError) as refused:
        pipeline.fit(TOY).save(path / "model")
    message = str(refused.value)
    assert len(message) <= 500 and not any(
        word in message for word in ("dict[", "_mgr", "Axes", "BlockManager")
    )
    return message


def test_a_pipeline_inside_another(tmp_path: Path) -> None:
    inner = rk.Pipeline([candidates.Popular()]).fit(TOY)
    for outer in (
        rk.Pipeline([inner.as_source()]),
        rk.Pipeline([candidates.Merge([rk.Step(inner.as_source(), name="inner"), candidates.ItemKNN()])]),
        rk.Pipeline([candidates.ItemKNN()], fallback=inner.as_source()),
    ):
        message = refusal(outer, tmp_path)
        assert (
            f"found the pipeline {inner.fingerprint} as a source" in message
            and "as_source() again" in message
        )


def test_a_series_of_ids(tmp_path: Path) -> None:
    message = refusal(rk.Pipeline([candidates.Popular(), rules.Blocked(pd.Series([101, 102]))]), tmp_path)
    assert message.startswith("found a Series of pandas at blocked.items;") and ".tolist()" in message
    named = rk.Step(rules.InStock(pd.Series({101: 5})), name="stock")
    assert "at stock.stock;" in refusal(rk.Pipeline([candidates.Popular(), named]), tmp_path)


def test_a_function(tmp_path: Path) -> None:
    rule = rules.FromFunction(lambda batch: batch.item_ids != 102)
    assert "at from_function.function;" in refusal(rk.Pipeline([candidates.Popular(), rule]), tmp_path)
