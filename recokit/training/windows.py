"""Label windows, and the requests that training makes at their start."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from recokit._kernels.hashing import mix, uniform
from recokit._utils.options import optional, whole
from recokit.data import Dataset, Interactions, Requests, seconds
from recokit.errors import DataError
from recokit.typing import FloatArray, IntArray

#: Label windows by default, where the data is long enough. On the development data one gave a ranker NDCG@10 .301, two
#: .305, four .310.
MAX_WINDOWS = 4
#: Longest pause within a session, where events have no session ids, as web analytics has it.
_PAUSE = 1_800.0
#: Where windows have fewer users than this with something to learn from, their sessions are asked for instead.
_ENOUGH = 10_000
#: Requests of a window by default, at most: what more of them gave and cost is in benchmarks/NOTES.md.
MAX_REQUESTS = 1_500


@dataclass(frozen=True)
class TrainingWindow:
    """One span of labels.

    Parameters
    ----------
    cut : float
        Sources learn from events strictly before this, seconds since 1970.
    start, end : float
        Labels are what happened from ``start`` (included) to ``end`` (excluded). Requests are made at ``start``; a gap
        between cut and start is the age that the sources have when they serve.
    """

    cut: float
    start: float
    end: float


def plan_windows(
    dataset: Dataset, label_window: str | float, windows: int | None = None, gap: str | float = 0
) -> list[TrainingWindow]:
    """Plan label windows back from the end of the data, oldest first.

    Parameters
    ----------
    dataset : Dataset
        All that may be learned from.
    label_window : str or float
        Length of each window, such as ``"7D"``, or seconds.
    windows : int, optional
        How many, without overlap; by default up to 4, as many as leave the older half of the data to learn from, and at
        least 1.
    gap : str or float, default 0
        Time between what the sources learn from and the requests.

    Raises
    ------
    DataError
        If a window has no event, or there is none before its cut.

    Examples
    --------
    >>> log = {"user_id": [1, 1, 1], "item_id": [1, 2, 3], "timestamp": [0.0, 50.0, 100.0]}
    >>> plan_windows(Dataset.from_frame(log).before(110.0), "30s", windows=2)
    [TrainingWindow(cut=50.0, start=50.0, end=80.0), TrainingWindow(cut=80.0, start=80.0, end=110.0)]
    """
    optional(whole(1)).check("windows", windows, DataError)
    length, delay = seconds(label_window), seconds(gap) if gap else 0.0
    times = dataset.interactions.timestamp
    # Without a cut the data ends with its last event, which belongs to the newest window.
    until = dataset.until if dataset.cut is not None else float(np.nextafter(dataset.until, np.inf))
    if windows is None:
        span = until - times[0] if len(times) else 0.0
        windows = int(np.clip((span / 2 - delay) // length, 1, MAX_WINDOWS))
    ends = [until - length * back for back in reversed(range(windows))]
    plan = [TrainingWindow(end - length - delay, end - length, end) for end in ends]
    for window in plan:
        first, last = np.searchsorted(times, [window.start, window.end])
        if not len(times) or times[0] >= window.cut or first == last:
            days = (times[-1] - times[0]) / 86_400 if len(times) else 0.0
            where = "before the cut" if not len(times) or times[0] >= window.cut else "in the label window"
            raise DataError(
                f"found no events {where} of a training window of label_window={label_window!r} (windows={windows}, "
                f"gap={gap!r}): the data spans {days:.1f} days; hint: a shorter label_window or fewer windows"
            )
    return plan


def eligible_users(before: Dataset, *, max_users: int | None = None, seed: int = 0) -> IntArray:
    """Return the users with any event before a cut, whether or not they go on to do anything.

    Parameters
    ----------
    before : Dataset
        Events strictly before the cut.
    max_users : int, optional
        Cap on their number; a sample by hash, the same for the same seed.
    seed : int, default 0
        Seed of the sample.

    Returns
    -------
    ndarray of int64
        User codes, ascending.
    """
    return _sample(_users(before.interactions), max_users, seed)


def plan_requests(
    dataset: Dataset,
    window: TrainingWindow,
    *,
    requests_at: Literal["auto", "cut", "session"] = "cut",
    max_requests: int | None = None,
    seed: int = 0,
) -> Requests:
    """Return the requests that a window is trained on.

    Newcomers of the window make requests like everybody else: a ranker that never met a user without a history orders
    the lists of all new users by guesswork. That they came is all that is known of them; their features are those of a
    stranger at the window's start.

    Parameters
    ----------
    dataset : Dataset
        All the data.
    window : TrainingWindow
    requests_at : {"auto", "cut", "session"}, default "cut"
        One request at the window's start for each user known by the window's cut and for each that first came within
        the window, or one at the start of each session within the window. ``"auto"``: sessions, which after pauses of
        30 minutes begin where the data has no session ids, unless users had most of their items before or the
        window has 10,000 users.
    max_requests : int, optional
        Cap on their number; a sample by hash, the same for the same seed.
    seed : int, default 0
        Seed of the requests and of the sample.

    Raises
    ------
    DataError
        If sessions are asked for and the data has none.
    """
    during = dataset.interactions.between(window.start, window.end)
    if requests_at == "cut" or (
        requests_at == "auto" and not _by_session(dataset.before(window.cut), during)
    ):
        users = np.union1d(eligible_users(dataset.before(window.cut)), _users(during))
        return sample_requests(Requests.build(users, now=window.start, seed=seed), max_requests, seed)
    users, times = _session_starts(during if requests_at == "session" else _with_sessions(during))
    return sample_requests(Requests.build(users, now=times, seed=seed), max_requests, seed)


def sample_requests(requests: Requests, n: int | None, seed: int) -> Requests:
    """Return n of some requests, in their order: a sample by hash of user and time, so that windows sample anew."""
    if n is None or len(requests) <= n:
        return requests
    keys = mix(requests.user.astype(np.uint64)) ^ requests.now.view(np.uint64)
    return requests.take(np.sort(_smallest_hash(keys.view(np.int64), n, seed)))


def _users(events: Interactions) -> IntArray:
    users = np.unique(events.user)
    return users[users > 0]


def _sample(users: IntArray, n: int | None, seed: int) -> IntArray:
    return users if n is None else np.sort(users[_smallest_hash(users, n, seed)])


def _by_session(before: Dataset, during: Interactions) -> bool:
    """Whether the sessions of a window teach more than its users' states at its start."""
    width = before.n_items + 1
    known = before.interactions.user * width + before.interactions.item
    repeats = np.isin(during.user * width + during.item, known).mean() if len(during) else 0.0
    return bool(len(_users(during)) < _ENOUGH and repeats < 0.5)


def _with_sessions(events: Interactions) -> Interactions:
    """Return known users' events with sessions: their own, or those that end with a pause."""
    events = events.take(np.flatnonzero(events.user > 0))
    if events.session is not None:
        return events
    order = np.lexsort((events.timestamp, events.user))
    user, when = events.user[order], events.timestamp[order]
    new = np.ones(len(order), np.bool_)
    new[1:] = (user[1:] != user[:-1]) | (np.diff(when) > _PAUSE)
    session = np.empty(len(order), np.int64)
    session[order] = np.cumsum(new)
    return events.replace(session=session)


def _session_starts(events: Interactions) -> tuple[IntArray, FloatArray]:
    if events.session is None:
        raise DataError(
            "found no sessions in the interactions; expected a column session_id for requests_at='session'; "
            "hint: requests_at='cut' makes one request for each user"
        )
    order = np.lexsort((events.timestamp, events.session, events.user))
    user, session = events.user[order], events.session[order]
    first = np.ones(len(order), np.bool_)
    first[1:] = (user[1:] != user[:-1]) | (session[1:] != session[:-1])
    starts = order[first]
    starts = starts[np.lexsort((events.timestamp[starts], events.user[starts]))]
    return events.user[starts], events.timestamp[starts]


def _smallest_hash(codes: IntArray, n: int, seed: int) -> IntArray:
    draw = uniform(np.full(len(codes), seed, np.uint64), codes, stream=7)
    return np.argsort(draw, kind="stable")[:n]
