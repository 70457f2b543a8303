"""Times: durations and moments in every form that users write."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from recokit.data import seconds, timestamp
from recokit.errors import ConfigurationError, DataError


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("7D", 604800),
        ("1.5h", 5400),
        (" 30 min ", 1800),
        ("2w", 1209600),
        ("10s", 10),
        (".5d", 43200),
        (3600, 3600),
        (0.5, 0.5),
        (dt.timedelta(hours=1), 3600),
        (np.timedelta64(7, "D"), 604800),
        (pd.Timedelta("1D"), 86400),
        (np.float32(7200), 7200),
    ],
)
def test_seconds(given, expected):
    assert seconds(given) == expected


@pytest.mark.parametrize("given", [7, 7.0, 30, np.int64(14), np.float32(365), 1])
def test_a_bare_number_that_may_be_one_of_days_is_refused(given):
    with pytest.raises(
        DataError, match=rf"found duration {given:g}.*'{given:g}D' for days, '{given:g}s' for seconds"
    ):
        seconds(given)


@pytest.mark.parametrize(
    "option", [{"half_life": 30}, {"window": 14}, {"half_life": 7.0}, {"window": np.int64(2)}]
)
def test_options_refuse_it_too(option):
    from recokit.candidates import Popular

    with pytest.raises(ConfigurationError, match="for days"):
        Popular(**option)


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


@pytest.mark.parametrize("given", [1_512_086_400_000, 1.5e12, np.int64(1_700_000_000_000), -1e12])
def test_moments_in_milliseconds_are_told(given):
    with pytest.raises(DataError, match="milliseconds"):
        timestamp(given)


def test_a_flag_is_no_duration():
    with pytest.raises(DataError, match="found duration True"):
        seconds(True)
