"""Sources alone: fitted on a frame or a matrix, asked for users by their ids."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from recokit._utils.copies import with_fields
from recokit._utils.options import require, whole
from recokit._utils.params import Configured
from recokit.compose.alone.events import as_dataset, is_matrix, rows_of
from recokit.compose.fusion import check_retrieved, retrieve_allowed
from recokit.compose.step import leaf_name
from recokit.data.candidates import Retrieved
from recokit.data.dataset import Dataset
from recokit.data.query import ItemLists, Query
from recokit.data.ragged import Ragged
from recokit.data.requests import Requests
from recokit.errors import NotFittedError
from recokit.protocols import bound, traits_of
from recokit.result import Recommendations
from recokit.trace import Status
from recokit.typing import FloatArray

if TYPE_CHECKING:
    from recokit.data.events.user_history import UserHistory

#: Whether what a source is fitted on is kept for ``recommend``; a pipeline knows its own users and items.
_KEPT: ContextVar[bool] = ContextVar("kept", default=True)


@contextmanager
def within_pipeline() -> Iterator[None]:
    """Let sources that are fitted meanwhile hold on to none of their data."""
    token = _KEPT.set(False)
    try:
        yield
    finally:
        _KEPT.reset(token)


@dataclass(eq=False)
class Known:
    """The data that a source answers from, and what is made of it once."""

    dataset: Dataset

    @property
    def now(self) -> float:
        """The time just after the last event."""
        if self.dataset.cut is not None:
            return self.dataset.cut
        return math.nextafter(self.dataset.until, math.inf) if len(self.dataset.interactions) else 0.0

    @cached_property
    def history(self) -> UserHistory:
        """The users' events."""
        from recokit.data.events.user_history import UserHistory

        return UserHistory().fit(self.dataset)


class AloneSource(Configured):
    """A source that also fits on frames and matrices, and recommends without a pipeline around it. Abstract."""

    _known: Known | None = None

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        if "fit" in vars(cls):
            setattr(cls, "fit", _reading(vars(cls)["fit"]))  # noqa: B010  (each source declares a fit of its own)

    @property
    def needs_times(self) -> bool:
        """Whether it learns from the order of events, which a matrix does not have."""
        return False

    def recommend(
        self,
        users: Any = None,
        k: int = 10,
        *,
        history: ItemLists | None = None,
        exclude: ItemLists | None = None,
        exclude_seen: bool = False,
        context: Mapping[str, Any] | None = None,
        now: Any = None,
        data: Any = None,
    ) -> Recommendations:
        """Return the best items of each user, as a pipeline of this source alone would.

        Parameters
        ----------
        users : sequence of ids, or matrix
            External ids, or row numbers where the source was fitted on a matrix; None for an anonymous user. A matrix
            has the histories of newcomers, in the columns of that one.
        k : int, default 10
        history : list of lists of item ids, optional
            Instead of the users' own events, such as those of a newcomer.
        exclude : list of lists of item ids, optional
            Items that are not to be found.
        exclude_seen : bool, default False
            Whether to leave out the items that each user has had already.
        context : mapping, optional
            Columns of the requests that the source reads.
        now : optional
            Request time; just after the last event by default.
        data : Dataset, dataframe or matrix, optional
            Users, items and events to answer from; by default those that the source was fitted on.

        Returns
        -------
        Recommendations

        Raises
        ------
        NotFittedError
            Without any data: before ``fit``, in a pipeline, and after loading.
        """
        require(whole(1), k=k)
        known = self._known if data is None else Known(as_dataset(data, type(self).__name__))
        if known is None:
            raise NotFittedError(
                f"found {type(self).__name__} without users and items; expected fit first, by itself; hint: "
                "recommend(..., data=dataset), or recommend of the pipeline that it was fitted in"
            )
        weight = None
        if is_matrix(users):
            history, weight = rows_of(users)
            users = None
        query = Query(users, k, history=history, exclude=exclude, context=context, now=now)
        return _recommended(self, known, query, exclude_seen=exclude_seen, weight=weight)


def _reading(fit: Callable[..., Any]) -> Callable[..., Any]:
    """Return a source's ``fit`` for whatever holds events."""

    @functools.wraps(fit)
    def read(self: AloneSource, dataset: Any) -> Any:
        events = as_dataset(dataset, type(self).__name__, needs_times=self.needs_times)
        fitted = fit(self, events)
        if _KEPT.get() and isinstance(fitted, AloneSource):
            fitted._known = Known(events)
        return fitted

    return read


def _recommended(
    source: Any, known: Known, query: Query, *, exclude_seen: bool, weight: FloatArray | None
) -> Recommendations:
    schema = known.dataset.schema
    requests = query.encode(schema, lambda: known.now)
    if weight is not None:
        past = requests.ragged["history"]
        columns = {**past.columns, "weight": weight.astype(np.float32)}
        weighed = Ragged(past.offsets, past.values, columns)
        requests = with_fields(requests, ragged={**requests.ragged, "history": weighed})
    k = int(requests.k.max(initial=1))
    if exclude_seen or traits_of(source).requires:
        hydrated = known.history.hydrate(requests)
        requests = requests.hydrated(hydrated.columns, hydrated.ragged)
    if exclude_seen:
        requests = _without_seen(requests)
    name, titles = leaf_name(source), schema.items.titles
    found = retrieve_allowed(bound(source, schema), requests, k)
    check_retrieved(found, len(requests), len(schema.item_ids), name, limit=k)
    return Recommendations(
        users=query.users,
        offsets=found.offsets,
        item=found.item,
        score=found.score,
        columns={} if titles is None else {"title": titles[found.item]},
        sources=((name,),) * len(found.item),
        item_ids=schema.item_ids,
        **_outcome(found, requests, name),
    )


def _without_seen(requests: Requests) -> Requests:
    """Return requests that exclude the items of the rows' histories too."""
    lists = [requests.lists(name) for name in ("exclude", "history", "earlier")]
    row = np.concatenate([part.rows for part in lists])
    order = np.argsort(row, kind="stable")
    values = np.concatenate([part.values for part in lists])[order]
    offsets = np.sum([part.offsets for part in lists], axis=0)
    return with_fields(requests, ragged={**requests.ragged, "exclude": Ragged(offsets, values)})


def _outcome(found: Retrieved, requests: Requests, name: str) -> dict[str, Any]:
    """Return the status of each row and why it is not OK."""
    empty = np.diff(found.offsets) == 0
    why = [
        (f"{name} found nothing" + ("" if user else ": the user is unknown"),) if none else ()
        for none, user in zip(empty.tolist(), requests.user.tolist(), strict=True)
    ]
    status = np.where(empty, Status.EMPTY, Status.OK).astype(np.int64)
    return {"status": status, "reasons": tuple(why)}
