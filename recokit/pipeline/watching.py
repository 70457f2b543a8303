"""Watching: observers see the trace of every run, and can never fail it."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from recokit.protocols import Observer
from recokit.result import Recommendations

__all__ = ["tell", "wants_ranked"]

_LOGGER = logging.getLogger("recokit")


def tell(observers: Sequence[Observer], answer: Recommendations) -> Recommendations:
    """Show an answer's trace to the observers and return the answer."""
    for observer in observers:
        try:
            observer.observe(answer.trace)
        except Exception:
            _LOGGER.warning("observer %s failed", type(observer).__name__, exc_info=True)
    return answer


def wants_ranked(observers: Sequence[Observer]) -> bool:
    """Tell whether an observer needs the candidates as they stood before selection."""
    return any(getattr(observer, "wants_ranked", False) for observer in observers)
