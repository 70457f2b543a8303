"""Attempt: a batch run so that what is wrong with one row is that row's alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from recokit._utils.options import error_text
from recokit.errors import DataError
from recokit.serving.ask import Answer, Ask
from recokit.serving.delivery import Result
from recokit.serving.served import Served

_LOGGER = logging.getLogger("recokit.serving")
#: Rows that fail one by one, and none that works, before the others are not tried.
_HOPELESS = 3


def attempt(served: Served, asks: Sequence[Ask], effort: float, clock: Callable[[], float]) -> list[Result]:
    """Return the answers of a batch, and errors in place of those that there are none of.

    Where it fails as a whole its halves are run, and so on: a poisoned row fails alone. Where nothing but failures
    comes of that, the model is broken, and the rest is not tried.
    """
    results: dict[int, Result] = {}
    parts, failed = [list(range(len(asks)))], 0
    while parts:
        part = parts.pop()
        now = clock()
        left = [max(asks[row].last_until - now, 1e-3) for row in part]
        try:
            results |= zip(part, served.run([asks[row] for row in part], left, effort), strict=True)
        except Exception as error:
            if len(part) > 1:
                half = len(part) // 2
                parts += [part[half:], part[:half]]
                continue
            results[part[0]] = error
            if isinstance(error, DataError):
                continue
            failed += 1
            if failed == 1:
                _LOGGER.warning("the model failed: %s", error_text(error))
            if failed >= _HOPELESS and not any(isinstance(one, Answer) for one in results.values()):
                results |= {row: error for rest in parts for row in rest}
                break
    return [results[row] for row in range(len(asks))]
