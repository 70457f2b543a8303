"""The launch checklist as code: :func:`preflight` checks a fitted pipeline and its data before it serves.

Each item is judged by what another module measures: validation, drift, the audit of negatives, evaluation, traces and
the lists themselves. An item that lacks what it needs says "not checked", and that is no pass.

The module itself can be called, so that ``rk.preflight(...)`` means the same before and after it is imported.
"""

import sys
from types import ModuleType
from typing import Any

from recokit.preflight.limits import PreflightLimits
from recokit.preflight.preflight import CHECKLIST, preflight
from recokit.preflight.report import PreflightReport

__all__ = ["CHECKLIST", "PreflightLimits", "PreflightReport", "preflight"]


class _Callable(ModuleType):
    def __call__(self, *args: Any, **kwargs: Any) -> PreflightReport:
        return preflight(*args, **kwargs)


sys.modules[__name__].__class__ = _Callable
