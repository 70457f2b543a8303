"""Errors and times."""

import copy
import datetime as dt
import pickle

import numpy as np
import pandas as pd
import pytest

from recokit import errors
from recokit.data import seconds, timestamp
from recokit.errors import (
    ConfigurationError,
    ContractError,
    DataError,
    SourceTimeout,
    StageError,
    did_you_mean,
)

# -- errors ----------------------------------------------------------------------------------------


def test_every_error_can_be_caught_as_recokits_and_as_pythons():
    assert issubclass(errors.VocabularyMismatch, DataError)
    for kind, builtin in (
        (ConfigurationError, ValueError),
        (ContractError, TypeError),
        (DataError, ValueError),
        (errors.NotFittedError, RuntimeError),
        (StageError, RuntimeError),
    ):
        assert issubclass(kind, errors.RecokitError)
        assert issubclass(kind, builtin)


def test_data_errors_show_the_first_rows():
    error = DataError("found x", rows=np.arange(7))
    assert str(error) == "found x (rows 0, 1, 2, 3, 4, ...)"
    assert error.rows == tuple(range(7))
    assert str(DataError("found x")) == "found x"
    assert str(DataError("found x", rows=(i for i in [4]))) == "found x (rows 4)"


def test_errors_cross_processes():
    error = SourceTimeout("late", name="merge.ann", role="source", cause=ValueError("x"))
    for same in (pickle.loads(pickle.dumps(error)), copy.copy(error)):
        assert type(same) is SourceTimeout
        assert (str(same), same.name, same.role, repr(same.cause)) == (
            "late",
            "merge.ann",
            "source",
            "ValueError('x')",
        )
    bad = pickle.loads(pickle.dumps(DataError("found x", rows=[4])))
    assert (str(bad), bad.rows) == ("found x (rows 4)", (4,))


def test_did_you_mean():
    assert did_you_mean("sellr", ["seller", "price"]) == "did you mean 'seller'?"
    assert did_you_mean("zzz", ["b", "a", "a"]) == "known names: a, b"
    assert did_you_mean("zzz", []) == "none is known here"
    assert did_you_mean("zzz", map(str, range(100))).endswith(", ...")
    assert did_you_mean("zzz", [1, "a"]) == "known names: 1, a"


# -- times -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("7D", 604800),
        ("1.5h", 5400),
        (" 30 min ", 1800),
        ("2w", 1209600),
        ("10s", 10),
        (".5d", 43200),
        (60, 60),
        (0.5, 0.5),
        (dt.timedelta(hours=1), 3600),
        (np.timedelta64(7, "D"), 604800),
        (pd.Timedelta("1D"), 86400),
        (np.float32(2), 2),
    ],
)
def test_seconds(given, expected):
    assert seconds(given) == expected


@pytest.mark.parametrize(
    "given",
    ["7", "D", "7 days", "1.2.3D", "-7D", "", 0, -1, np.nan, np.inf, None, [7], np.timedelta64("NaT"), "0D"],
)
def test_bad_durations(given):
    with pytest.raises(DataError, match="found duration"):
        seconds(given)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("2017-12-01", 1512086400),
        ("2017-12-01T02:00:00+02:00", 1512086400),
        (1512086400, 1512086400),
        (dt.datetime(2017, 12, 1), 1512086400),
        (dt.datetime(2017, 12, 1, tzinfo=dt.UTC), 1512086400),
        (dt.date(2017, 12, 1), 1512086400),
        (np.datetime64("2017-12-01"), 1512086400),
        (np.datetime64("2017-12-01T00:00:00.5"), 1512086400.5),
        (pd.Timestamp("2017-12-01"), 1512086400),
        (-5.0, -5),
        (np.int64(3), 3),
    ],
)
def test_timestamp(given, expected):
    assert timestamp(given) == expected
    assert type(timestamp(given)) is float


@pytest.mark.parametrize("given", ["yesterday", "", np.nan, np.inf, None, np.datetime64("NaT"), pd.NaT])
def test_bad_moments(given):
    with pytest.raises(DataError, match="found time"):
        timestamp(given)
