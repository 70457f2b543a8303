"""FromFunction: a function as a source."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from recokit._utils.options import check_options, identifier, optional
from recokit._utils.params import Configured
from recokit.data import Ragged, Requests, Retrieved
from recokit.errors import ConfigurationError, ContractError
from recokit.typing import IntArray


class FromFunction(Configured):
    """Source from a function of the requests and a limit.

    Parameters
    ----------
    function : callable
        ``function(requests, limit)``, which returns a :class:`Retrieved`, a (B, W) array of item codes padded with
        0, or a list of B lists of item codes; each row best first, distinct, at most ``limit`` long. It may be an
        ``async def`` function.
    name : str, optional
        Name in paths and columns; ``from_function`` by default.
    io_bound : bool, optional
        Whether it waits for input or output: a pipeline then calls it in a thread, with a time limit. By default
        an ``async def`` function does and any other does not.
    requires : sequence of str, default ()
        Names it needs, such as ``"history"``.

    Raises
    ------
    ConfigurationError
        If the function cannot be called, or the name is no identifier.

    Notes
    -----
    A pipeline with a function cannot be saved, since a saved state holds no code: write a small class with a
    ``retrieve`` method instead.

    Each call of an ``async def`` function has an event loop of its own, so a client that belongs to a loop has to be
    opened inside the function. Where a loop runs already, as in a notebook, the call gets a thread too.

    Examples
    --------
    >>> def fixed(requests, limit):
    ...     return np.tile([3, 1, 2], (len(requests), 1))[:, :limit]
    >>> FromFunction(fixed, name="fixed").retrieve(Requests.build(np.array([0])), limit=2).item.tolist()
    [3, 1]
    """

    def __init__(
        self,
        function: Callable[[Requests, int], Any],
        *,
        name: str | None = None,
        io_bound: bool | None = None,
        requires: Sequence[str] = (),
    ) -> None:
        if not callable(function):
            raise ConfigurationError(f"found {function!r}; expected a function of requests and limit")
        self.function, self.name, self.requires = function, name, requires
        check_options(self, {"name": optional(identifier("new_arrivals"))})
        self.io_bound = _is_async(function) if io_bound is None else io_bound

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Call the function and give its answer the form of a source's.

        Raises
        ------
        ContractError
            If the answer is none of the three forms, or not one for each request.
        """
        answer = self.function(requests, limit)
        if inspect.isawaitable(answer):
            answer = _awaited(answer)
        if isinstance(answer, Retrieved):
            return answer
        if isinstance(answer, np.ndarray):
            return self._from_array(answer, len(requests))
        if isinstance(answer, list | tuple):
            return self._from_lists(answer, len(requests))
        raise ContractError(self._refusal(type(answer).__name__, len(requests)))

    def _from_array(self, codes: IntArray, n_rows: int) -> Retrieved:
        if codes.ndim != 2 or len(codes) != n_rows or codes.dtype.kind not in "iu":
            raise ContractError(self._refusal(f"{codes.dtype} of shape {codes.shape}", n_rows))
        if codes.min(initial=0) < 0:
            raise ContractError(self._refusal(f"item code {codes.min()}", n_rows))
        return Retrieved.from_padded(codes, np.full(codes.shape, np.nan, np.float32))

    def _from_lists(self, lists: Sequence[Any], n_rows: int) -> Retrieved:
        if len(lists) != n_rows:
            raise ContractError(self._refusal(f"{len(lists)} lists", n_rows))
        try:
            ragged = Ragged.from_lists(lists)
        except (TypeError, ValueError) as error:
            raise ContractError(self._refusal(f"lists that are no item codes ({error})", n_rows)) from error
        return Retrieved(ragged.offsets, ragged.values, np.full(len(ragged.values), np.nan, np.float32))

    def _refusal(self, found: str, n_rows: int) -> str:
        return (
            f"found {found} from the function {getattr(self.function, '__name__', self.function)!r}; expected a "
            f"Retrieved, a ({n_rows}, W) array of item codes padded with 0, or {n_rows} lists of item codes"
        )


def _is_async(function: Callable[..., Any]) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)


def _awaited(awaitable: Awaitable[Any]) -> Any:
    """Wait for an answer, inside a running event loop or outside of one."""
    # Not the task's result: asyncio.run makes a text of that while it puts the signal handler back.
    answer: list[Any] = []

    async def whole() -> None:
        answer.append(await awaitable)

    try:
        asyncio.get_running_loop()
    except RuntimeError:
        asyncio.run(whole())
    else:
        with ThreadPoolExecutor(1) as pool:  # a running loop cannot run another one in its own thread
            pool.submit(asyncio.run, whole()).result()
    return answer[0]
