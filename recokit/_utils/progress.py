"""Progress bars for long work."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def progress_bar(steps: Iterable[T], *, show: bool, label: str, total: int | None = None) -> Iterable[T]:
    """Return the steps, with a tqdm bar around them if ``show`` is set."""
    if not show:
        return steps
    from tqdm.auto import tqdm

    bar: Iterable[T] = tqdm(steps, desc=label, total=total)
    return bar
