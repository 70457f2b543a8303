"""The launch checklist as code: :func:`preflight` checks a fitted pipeline and its data before it serves.

Each item is judged by what another module measures: validation, drift, the audit of negatives, evaluation, traces and
the lists themselves. An item that lacks what it needs says "not checked", and that is no pass.
"""

from recokit.checklist.limits import PreflightLimits
from recokit.checklist.preflight import CHECKLIST, preflight
from recokit.checklist.report import PreflightReport

__all__ = ["CHECKLIST", "PreflightLimits", "PreflightReport", "preflight"]
