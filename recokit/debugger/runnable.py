"""Runnable: what the debugger needs of a pipeline."""

from __future__ import annotations

from typing import Any, Protocol

from recokit.data import Requests, Schema
from recokit.result import Recommendations

__all__ = ["Runnable"]


class Runnable(Protocol):
    """What the debugger needs of a pipeline; ``recokit.Pipeline`` has it."""

    schema: Schema
    names: tuple[str, ...]
    fitted_until: float

    def requests(self, users: Any = None, k: int = 10, **options: Any) -> Requests: ...

    def run(
        self,
        requests: Requests,
        *,
        capture: Any = "summary",
        budget_ms: float | None = None,
        observe: bool = True,
    ) -> Recommendations: ...

    def __iter__(self) -> Any: ...
