"""Stage doubles: a source with a fixed answer, and any stage made slow or failing."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np

from recokit._utils.params import Configured
from recokit.data import Requests, Retrieved
from recokit.errors import ConfigurationError
from recokit.protocols import role_of
from recokit.testing._answers import VERBS

T = TypeVar("T")


class FixedSource(Configured):
    """A source that finds the same items for every request.

    Parameters
    ----------
    items : sequence of int
        Distinct item codes, best first; their scores are 1, 1/2, 1/3 and so on.

    Raises
    ------
    ConfigurationError
        If a code is below 1 or stands twice.

    Examples
    --------
    >>> import numpy as np
    >>> from recokit.data import Requests
    >>> FixedSource([7, 3, 5]).retrieve(Requests.build(np.array([1, 2])), 2).item.tolist()
    [7, 3, 7, 3]
    """

    def __init__(self, items: Sequence[int]) -> None:
        if len(set(items)) != len(items) or any(item < 1 for item in items):
            raise ConfigurationError(f"found items {list(items)}; expected distinct codes of at least 1")
        self.items = items

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Return the first ``limit`` of the items for every row."""
        item = np.array(self.items, np.int64)[:limit]
        score = (1.0 / np.arange(1, len(item) + 1)).astype(np.float32)
        offsets = len(item) * np.arange(len(requests) + 1, dtype=np.int64)
        return Retrieved(offsets, np.tile(item, len(requests)), np.tile(score, len(requests)))


def slow(stage: T, seconds: float) -> T:
    """Return a copy of a stage that sleeps before it answers.

    Parameters
    ----------
    stage : object
        Any stage; its fit and bind work as before.
    seconds : float
        How long each call sleeps.

    Examples
    --------
    >>> slow(FixedSource([1, 2]), 0.02)
    SlowFixedSource([1, 2])
    """
    return _altered(stage, "Slow", lambda: time.sleep(seconds))


def failing(stage: T, error: Exception | None = None) -> T:
    """Return a copy of a stage that raises instead of answering.

    Parameters
    ----------
    stage : object
        Any stage; its fit and bind work as before.
    error : Exception, optional
        What to raise; ``RuntimeError("failing on purpose")`` by default.

    Examples
    --------
    >>> failing(FixedSource([1, 2]))
    FailingFixedSource([1, 2])
    """

    def fail() -> None:
        raise error if error is not None else RuntimeError("failing on purpose")

    return _altered(stage, "Failing", fail)


def _altered(stage: T, prefix: str, before: Callable[[], None]) -> T:
    """Return a copy whose class is a subclass with ``before()`` in front of the verb."""
    kind = type(stage)
    verb = VERBS[role_of(stage)]
    answer = getattr(kind, verb)

    def altered(self: Any, *args: Any, **kwargs: Any) -> Any:
        before()
        return answer(self, *args, **kwargs)

    twin = copy.copy(stage)
    twin.__class__ = type(f"{prefix}{kind.__name__}", (kind,), {verb: altered, "__module__": kind.__module__})
    return twin
