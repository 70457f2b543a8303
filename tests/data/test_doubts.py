"""What is well formed and probably means something else is said, or refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from recokit.data import Dataset
from recokit.errors import DataError, DataWarning


def log(n: int = 100, **columns: Any) -> dict[str, Any]:
    return {"user": np.arange(n) % 25, "item": np.arange(n) % 7, "timestamp": np.arange(n) + 1.7e9} | columns


@pytest.mark.parametrize("day", [20240101, 19991231])
def test_dates_as_numbers_are_no_seconds(day: int) -> None:
    with pytest.raises(DataError, match=r"which as seconds is in 1970; .* format='%Y%m%d'") as refused:
        Dataset.from_frame(
            {"user": [1, 2], "item": [1, 2], "when": [day, day]}, columns={"timestamp": "when"}
        )
    assert f"found when={day}" in str(refused.value) and len(str(refused.value)) <= 500


@pytest.mark.parametrize("times", [[20240101, 20240132], [20240101.5, 20240102.0], [20241301, 20240102]])
def test_times_that_are_no_dates_are_seconds(times: list[float]) -> None:
    assert len(Dataset.from_frame({"user": [1, 2], "item": [1, 2], "timestamp": times}).interactions) == 2


def test_days_are_no_seconds() -> None:
    with pytest.warns(DataWarning, match=r"times in 'timestamp' are all on 1970-01-01: .* days"):
        Dataset.from_frame(log(timestamp=45_000 + np.arange(100) / 10))
    Dataset.from_frame(log(timestamp=np.arange(100)))  # warnings are errors here
    Dataset.from_frame(log(19, user=np.arange(19), timestamp=45_000 + np.arange(19)))


@pytest.mark.parametrize("column", ["user", "item"])
def test_ids_with_blanks_around_them_are_said(column: str) -> None:
    ids = [f"x{n % 7}" for n in range(100)]
    with pytest.warns(DataWarning, match=rf"1 {column} ids have blanks around them, such as 'x0 '"):
        Dataset.from_frame(log(**{column: [*ids[:-1], "x0 "]}))
    Dataset.from_frame(log(**{column: [f"{id_} y" for id_ in ids]}))


@pytest.mark.parametrize("name", ["guest", "NULL", "nan", "Unknown", "(not set)"])
def test_a_user_who_stands_for_nobody_is_said(name: str) -> None:
    users = [name if n % 2 else f"u{n % 40}" for n in range(200)]
    with pytest.warns(
        DataWarning, match="100 of 200 events are of the user .*, taken for one person"
    ) as said:
        data = Dataset.from_frame(log(200, user=users))
    assert any(name in str(one.message) for one in said) and data.notes
    Dataset.from_frame(log(200, user=[f"u{n % 2}" for n in range(200)]))  # heavy, and somebody


def test_the_first_of_users_numbered_from_0_is_somebody() -> None:
    Dataset.from_frame(log())
    with pytest.warns(DataWarning, match="of the user 0, taken for one person"):
        Dataset.from_frame(log(user=np.where(np.arange(100) % 2, 0, np.arange(100))))


def test_an_empty_id_is_missing() -> None:
    with pytest.raises(DataError, match="found missing ids in 'user'") as refused:
        Dataset.from_frame({"user": ["a", "", "b"], "item": [1, 2, 3], "timestamp": [1, 2, 3]})
    assert refused.value.rows == (1,) or list(refused.value.rows) == [1]
    kept = Dataset.from_frame(
        {"user": ["a", "", "b"], "item": [1, 2, 3], "timestamp": [1, 2, 3]}, missing="drop"
    )
    assert len(kept.interactions) == 2


def test_a_negative_rating_says_what_to_do_with_it() -> None:
    with pytest.raises(DataError, match=r"rating=-1.0; .* event='refund'"):
        Dataset.from_frame(log(2, rating=[1, -1]))
