"""Dependency: all calls of one thing that may fail, behind its bulkhead and breaker, with its second calls."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Generic, TypeVar

from recokit._utils.resilience.breaker import Breaker, Permit
from recokit._utils.resilience.bulkhead import Bulkhead, Waiting
from recokit._utils.resilience.hedge import Hedge
from recokit.errors import SourceTimeout

T = TypeVar("T")


class Dependency:
    """Something asked over and over that may hang, fail or be slow: a service, a store, a source.

    Parameters
    ----------
    bulkhead : Bulkhead, optional
        Runs its calls.
    breaker : Breaker, optional
        Counts them.
    hedge : Hedge, optional
        Where given, its calls may be made twice: reads only.

    Examples
    --------
    >>> Dependency().start("stock", lambda: 3)(1.0)
    3
    """

    def __init__(
        self,
        bulkhead: Bulkhead | None = None,
        breaker: Breaker | None = None,
        hedge: Hedge | None = None,
    ) -> None:
        self.bulkhead, self.breaker, self.hedge = bulkhead or Bulkhead(), breaker or Breaker(), hedge

    def start(self, name: str, call: Callable[[], T], role: str = "source") -> Call[T]:
        """Start a call; what it returns waits so many seconds for the result.

        Raises
        ------
        SourceTimeout
            If it is not to be asked: too many of its calls hang, or failed just now.
        """
        permit = self.breaker.enter()
        if permit is None:
            raise SourceTimeout(
                f"found {name} failing or slow, not asked for {self.breaker.pause:g} s", name=name, role=role
            )
        try:
            return Call(self, permit, self.bulkhead.start(name, call, role), call)
        except BaseException:
            permit.unused()
            raise


class Call(Generic[T]):
    """A call of a dependency under way; called with so many seconds, it waits for the result."""

    def __init__(
        self, dependency: Dependency, permit: Permit, waiting: Waiting[T], call: Callable[[], T]
    ) -> None:
        self._dependency, self._permit, self._waiting, self._call = dependency, permit, waiting, call
        self._started = time.monotonic()

    def __call__(self, timeout: float) -> T:
        """Wait so many seconds for the result; errors as for :class:`Waiting`."""
        outcome = self._result(timeout)
        if outcome is not None and outcome[0]:
            self._permit.worked()
        else:
            self._permit.failed()
        return self._waiting.settled(outcome, timeout)

    def _result(self, timeout: float) -> tuple[bool, T] | None:
        hedge = self._dependency.hedge
        if hedge is None:
            return self._waiting.result(timeout)
        until = time.monotonic() + timeout
        outcome = self._waiting.result(min(timeout, self._started + hedge.after() - time.monotonic()))
        if outcome is None and time.monotonic() < until and hedge.allows():
            with suppress(SourceTimeout):  # no place for a second call: the first may still answer
                self._dependency.bulkhead.add(self._waiting, self._call)
        if outcome is None:
            outcome = self._waiting.result(until - time.monotonic())
        hedge.took(time.monotonic() - self._started)
        return outcome
