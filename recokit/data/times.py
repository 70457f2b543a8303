"""Times are float64 seconds since 1970 (UTC); durations are strings such as ``"7D"``, or many seconds."""

from __future__ import annotations

import datetime as dt
import math
import re
from functools import lru_cache
from typing import Any, TypeAlias

import numpy as np

from recokit._utils.options import Rule, shown
from recokit.errors import DataError

Duration: TypeAlias = str | float | dt.timedelta

#: Seconds of a day.
DAY = 86_400.0
#: Whole numbers up to this, without a unit, are more likely days than seconds.
_DAYS_LIKELY = 366
#: Seconds from here on, in the year 5138, are more likely milliseconds.
_MILLISECONDS_LIKELY = 1e11
_UNITS = {"s": 1.0, "min": 60.0, "h": 3_600.0, "d": DAY, "w": 7 * DAY}


def seconds(duration: str | float | dt.timedelta | np.timedelta64) -> float:
    """Return a duration in seconds.

    Parameters
    ----------
    duration : str, float, datetime.timedelta or numpy.timedelta64
        A number with a unit: s, min, h, D or W; or a bare number of seconds, unless it looks like one of days.

    Raises
    ------
    DataError
        If the text is not a number and a unit, the duration is not positive and finite, or a bare whole number is so
        small that days may be meant.

    Examples
    --------
    >>> seconds("7D")
    604800.0
    """
    value = math.nan
    if isinstance(duration, dt.timedelta):
        value = duration.total_seconds()
    elif isinstance(duration, np.timedelta64):
        value = float(duration / np.timedelta64(1, "s"))
    elif isinstance(duration, str):
        value = _seconds_of_text(duration)
    elif isinstance(duration, int | float | np.number) and not isinstance(duration, bool):
        value = float(duration)
        if hint := _unit_hint(duration):
            raise DataError(f"found duration {shown(duration)}; expected a unit; {hint}")
    if not (math.isfinite(value) and value > 0):
        raise DataError(f"found duration {shown(duration)}; expected a positive, finite number of seconds")
    return value


@lru_cache(maxsize=256)
def _seconds_of_text(duration: str) -> float:
    """Return the seconds of a number with a unit: stages read the same options for every request."""
    match = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([A-Za-z]+)\s*", duration)
    if match is None or match[2].lower() not in _UNITS:
        raise DataError(
            f"found duration {duration!r}; expected a number and one of s, min, h, D, W, such as '7D'"
        )
    return float(match[1]) * _UNITS[match[2].lower()]


def _unit_hint(value: Any) -> str:
    """Return what to write for a bare number that may be one of days, empty for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        return ""
    if not (float(value).is_integer() and 1 <= value <= _DAYS_LIKELY):
        return ""
    return f"hint: '{value:g}D' for days, '{value:g}s' for seconds"


def _is_duration(value: Any) -> bool:
    try:
        seconds(value)
    except DataError:
        return False
    return True


#: The rule for options that are durations.
duration = Rule("a duration such as '30D'", _is_duration, _unit_hint)


def timestamp(when: str | float | dt.date | np.datetime64) -> float:
    """Return a moment as float64 seconds since 1970, UTC where no zone is given.

    Parameters
    ----------
    when : str, float, datetime.datetime, datetime.date or numpy.datetime64
        ISO text, seconds, a moment, or a day, which is its first moment.

    Raises
    ------
    DataError
        If the text is no ISO date, the moment is not finite, or a number is one of milliseconds.

    Examples
    --------
    >>> timestamp("2017-12-01")
    1512086400.0
    """
    value = when if isinstance(when, float) else _moment(when)
    if not math.isfinite(value):
        raise DataError(f"found time {shown(when)}; expected a moment, or finite seconds since 1970")
    if abs(value) >= _MILLISECONDS_LIKELY:
        raise DataError(
            f"found time {shown(when)}; expected seconds since 1970; hint: are these milliseconds?"
        )
    return value


def _moment(when: Any) -> float:
    """Return what is no float as seconds since 1970, NaN for what is no moment."""
    if isinstance(when, str):
        try:
            when = dt.datetime.fromisoformat(when.strip())
        except ValueError as error:
            raise DataError(f"found time {when!r}; expected an ISO date such as '2017-12-01'") from error
    elif isinstance(when, dt.date) and not isinstance(when, dt.datetime):
        when = dt.datetime(when.year, when.month, when.day)
    if isinstance(when, dt.datetime) and when == when:  # pandas.NaT is a datetime, and differs from itself
        return (when if when.tzinfo else when.replace(tzinfo=dt.UTC)).timestamp()
    if isinstance(when, np.datetime64) and not np.isnat(when):
        return float(when.astype("datetime64[us]").astype(np.int64)) / 1e6
    return float(when) if isinstance(when, int | np.number) else math.nan
