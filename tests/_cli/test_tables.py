"""Files become columns without losing what they say."""

from __future__ import annotations

import numpy as np
import pytest

import recokit as rk
from recokit._cli.tables import read_table, typed


@pytest.mark.parametrize(
    ("cells", "kind"),
    [
        (["1", "-2"], "i"),
        (["1.5", "2"], "f"),
        (["1", ""], "f"),
        (["007", "1"], "U"),  # codes of articles
        (["1", "x"], "U"),
        (["1_000", "2"], "U"),
        (["nan", "inf"], "U"),
        (["٣", "1"], "U"),
        (["1234567890123456789", "1"], "U"),  # more digits than a float holds
        (["0", "0.25"], "f"),
    ],
)
def test_text_becomes_numbers_only_where_nothing_is_lost(cells, kind):
    assert typed(cells).dtype.kind == kind


def test_missing_text_is_none():
    assert typed(["a", ""]).tolist() == ["a", None]


def test_csv_with_a_byte_order_mark_quotes_and_blank_lines(tmp_path):
    (tmp_path / "a.csv").write_bytes('\ufeffid,name\n1,"a, b"\n\n2,"c\nd"\n'.encode())
    found = read_table(str(tmp_path / "a.csv"))
    assert found["id"].tolist() == [1, 2]
    assert found["name"].tolist() == ["a, b", "c\nd"]


def test_the_same_table_from_every_kind_of_file(tmp_path):
    import polars

    frame = polars.DataFrame({"user_id": ["a", "b"], "item_id": [1, 2], "timestamp": [1.5e9, 1.6e9]})
    frame.write_csv(tmp_path / "t.csv")
    frame.write_ndjson(tmp_path / "t.jsonl")
    frame.write_parquet(tmp_path / "t.parquet")
    for ending in ("csv", "jsonl", "parquet"):
        data = rk.Dataset.from_frame(read_table(str(tmp_path / f"t.{ending}")))
        assert data.user_ids.ids.tolist() == ["a", "b"]
        assert data.item_ids.ids.tolist() == [1, 2]
        assert np.array_equal(data.interactions.timestamp, [1.5e9, 1.6e9])
