"""Doubts: what of a log is well formed and probably means something else than it says."""

from __future__ import annotations

import datetime as dt

import numpy as np

from recokit._utils.options import shown
from recokit.data.vocabulary import Vocabulary
from recokit.errors import DataError
from recokit.typing import FloatArray, IntArray

#: Ids that systems write where nobody is known; whole numbers among them are 0 and -1.
_STAND_INS = frozenset(
    {
        "nan",
        "none",
        "null",
        "nil",
        "na",
        "n/a",
        "undefined",
        "not set",
        "(not set)",
        "unknown",
        "guest",
        "0",
        "-1",
    }
    | {"anonymous", "anon", "nobody"}
)
#: A stand-in has so large a part of all events, so many times those of a user in the mean, and so many.
_LEAST_SHARE, _TIMES_MEAN, _LEAST_EVENTS = 0.05, 5.0, 20
#: Days since 1970 or 1900 of dates from 2000 to 2064; as seconds they are all within the first day of 1970.
_DAYS = 10_957, 60_000


def require_no_dates(times: FloatArray, name: str) -> None:
    """Raise DataError for times that are all dates written as whole numbers, such as 20240131.

    Examples
    --------
    >>> require_no_dates(np.array([20240131.0, 20240199.0]), "day")
    >>> require_no_dates(np.array([20240131.0, 20231224.0]), "day")
    Traceback (most recent call last):
        ...
    recokit.errors.DataError: found day=20240131, which as seconds is in 1970; expected seconds since 1970; ...
    """
    if len(times) and ((times >= 19000101) & (times <= 21001231)).all() and (times == np.floor(times)).all():
        distinct = np.unique(times.astype(np.int64))
        if all(map(_is_date, distinct.tolist())):
            raise DataError(
                f"found {name}={int(times[0])}, which as seconds is in 1970; expected seconds since 1970; "
                f"hint: dates as numbers? pandas.to_datetime(frame[{name!r}], format='%Y%m%d') reads them",
                rows=[0],
            )


def _is_date(number: int) -> bool:
    try:
        dt.date(number // 10_000, number // 100 % 100, number % 100)
    except ValueError:
        return False
    return True


def days_for_seconds(times: FloatArray, name: str) -> str:
    """Return what to say of times that look like numbers of days, empty for none.

    Examples
    --------
    >>> days_for_seconds(np.linspace(45_000, 45_365, 50), "date").partition(":")[0]
    "times in 'date' are all on 1970-01-01"
    >>> days_for_seconds(np.arange(50.0), "date")
    ''
    """
    few = len(times) < _LEAST_EVENTS
    if few or times.min() < _DAYS[0] or times.max() > _DAYS[1]:
        return ""
    return (
        f"times in {name!r} are all on 1970-01-01: numbers are read as seconds since 1970; hint: are these days, or "
        "dates of a spreadsheet? Give dates, or seconds"
    )


def padded(ids: Vocabulary, kind: str) -> str:
    """Return what to say of text ids with blanks around them, empty for none.

    Examples
    --------
    >>> padded(Vocabulary(["u1", "u1 "]), "user")
    "1 user ids have blanks around them, such as 'u1 ': they are other ids than without; hint: .str.strip()"
    """
    if ids.kind != "str":
        return ""
    odd = [id_ for id_ in ids.ids.tolist() if id_ != id_.strip()]
    if not odd:
        return ""
    return (
        f"{len(odd):,} {kind} ids have blanks around them, such as {shown(odd[0])}: they are other ids than without; "
        "hint: .str.strip()"
    )


def stand_in(ids: Vocabulary, user: IntArray) -> str:
    """Return what to say of a user id that probably stands for nobody, empty for none.

    Parameters
    ----------
    ids : Vocabulary
    user : ndarray of int64, shape (M,)
        User code of each event.
    """
    counts = np.bincount(user, minlength=len(ids) + 1)[1:]
    if not len(counts):
        return ""
    mean = len(user) / len(counts)
    least = max(_LEAST_EVENTS, _LEAST_SHARE * len(user), _TIMES_MEAN * mean)
    for place in np.flatnonzero(counts >= least).tolist():
        name = ids.ids[place]
        if str(name).strip().lower() in _STAND_INS:
            return (
                f"{counts[place]:,} of {len(user):,} events are of the user {shown(name)}, taken for one person; hint: "
                "where it stands for nobody, make it missing, and missing='anonymous'"
            )
    return ""
