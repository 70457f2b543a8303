"""FromFunction: a function as a source."""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import Awaitable, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from recokit._utils.calls import require_takes
from recokit._utils.options import check_options, identifier, optional
from recokit.compose.alone.sources import AloneSource
from recokit.data import Ragged, Requests, RequestsById, Retrieved, Schema, Vocabulary
from recokit.errors import ConfigurationError, ContractError
from recokit.typing import IntArray


class FromFunction(AloneSource):
    """Source from a function of the requests and a limit.

    Parameters
    ----------
    function : callable
        ``function(requests, limit)`` gets the requests in external ids (:class:`recokit.data.RequestsById`:
        ``user_ids``, ``now``, ``lists("history")``, ``column(name)`` and so on) and returns a list of B lists of item
        ids, or a (B, W) array of them; each row best first, distinct, at most ``limit`` long. Ids that the catalogue
        lacks are left out, and so are None and other padding. It may be an ``async def`` function.
    name : str, optional
        Name in paths and columns; ``from_function`` by default.
    io_bound : bool, optional
        Whether it waits for input or output: a pipeline then calls it in a thread, with a time limit. By default
        an ``async def`` function does and any other does not.
    requires : sequence of str, default ()
        Names it needs, such as ``"history"``.
    codes : bool, default False
        Whether the function gets the :class:`Requests` themselves and returns item codes, padded with 0. A
        :class:`Retrieved` is always in codes.

    Raises
    ------
    ConfigurationError
        If the function cannot be called with requests and limit, or the name is no identifier.

    Notes
    -----
    A pipeline with a function cannot be saved, since a saved state holds no code: write a small class with a
    ``retrieve`` method instead.

    Used without a pipeline, which would bind it, it gets and returns codes: nothing tells the ids.

    Each call of an ``async def`` function has an event loop of its own, so a client that belongs to a loop has to be
    opened inside the function. Where a loop runs already, as in a notebook, the call gets a thread too.

    Examples
    --------
    >>> from recokit.testing import toy_dataset
    >>> data = toy_dataset()
    >>> def fixed(requests, limit):
    ...     return [[103, 101, 102][:limit] for user in requests.user_ids]
    >>> source = FromFunction(fixed, name="fixed").bind(data.schema)
    >>> data.item_ids.decode(source.retrieve(Requests.build(np.array([0])), limit=2).item).tolist()
    [103, 101]
    """

    own_code = True

    #: The model's vocabularies, once bound.
    schema_: Schema | None = None

    def __init__(
        self,
        function: Callable[[Any, int], Any],
        *,
        name: str | None = None,
        io_bound: bool | None = None,
        requires: Sequence[str] = (),
        codes: bool = False,
    ) -> None:
        if not callable(function):
            raise ConfigurationError(f"found {function!r}; expected a function of requests and limit")
        require_takes(function, "requests", "limit")
        self.function, self.name, self.requires, self.codes = function, name, requires, codes
        check_options(self, {"name": optional(identifier("new_arrivals"))})
        self.io_bound = _is_async(function) if io_bound is None else io_bound

    def bind(self, schema: Schema) -> FromFunction:
        """Return a copy that knows the ids."""
        bound = copy.copy(self)
        bound.schema_ = schema
        return bound

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Call the function and give its answer the form of a source's.

        Raises
        ------
        ContractError
            If the answer is none of the three forms, or not one for each request.
        """
        schema = None if self.codes else self.schema_
        answer = self.function(requests if schema is None else RequestsById(requests, schema), limit)
        if inspect.isawaitable(answer):
            answer = _awaited(answer)
        if isinstance(answer, Retrieved):
            return answer
        if schema is not None:
            answer = self._encoded(answer, schema.item_ids, requests)
        if isinstance(answer, np.ndarray):
            return self._from_array(answer, len(requests))
        if isinstance(answer, list | tuple):
            return self._from_lists(answer, len(requests))
        raise ContractError(self._refusal(type(answer).__name__, len(requests)))

    def _encoded(self, answer: Any, item_ids: Vocabulary, requests: Requests) -> list[IntArray]:
        """Return lists of item ids as codes, without those that the catalogue lacks."""
        n_rows = len(requests)
        if not isinstance(answer, list | tuple | np.ndarray) or np.ndim(answer) == 0:
            raise ContractError(self._refusal(type(answer).__name__, n_rows))
        if len(answer) != n_rows:
            raise ContractError(self._refusal(f"{len(answer)} lists", n_rows))
        lists, found = [], False
        for row in answer:
            if isinstance(row, str | bytes) or not isinstance(row, Iterable):
                raise ContractError(self._refusal(f"{row!r} for a list", n_rows))
            ids = [item for item in row if item is not None]
            codes = item_ids.encode(ids) if ids else np.zeros(0, np.int64)
            found |= bool(ids)
            lists.append(codes[codes > 0])
        if found and not any(map(len, lists)):
            requests.report_degraded(np.arange(n_rows), "no item id that the catalogue has")
        return lists

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
        kind = "codes" if self.codes or self.schema_ is None else "ids"
        return (
            f"found {found} from the function {getattr(self.function, '__name__', self.function)!r}; expected a "
            f"Retrieved, or {n_rows} lists of item {kind}, also as an array ({n_rows}, W)"
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
