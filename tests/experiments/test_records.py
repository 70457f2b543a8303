"""Records: what lists were like."""

from __future__ import annotations

from typing import Any

import recokit as rk
from recokit import experiments as ex


def test_a_user_is_erased_from_lists_that_wait_and_the_rest_is_written_on_leaving() -> None:
    rows: list[Any] = []
    data = rk.testing.toy_dataset()
    with ex.ListLog(rows.extend) as log:
        pipeline = rk.Pipeline([rk.candidates.Popular()], observers=[log]).fit(data)
        pipeline.recommend(["user-1", "user-2", "user-1"], k=3, now=data.until)
        assert log.erase_user("user-1") == 2
        assert log.erase_user("user-1") == 0 and rows == []
    assert [row["unit"] for row in rows] == ["user-2"]
