"""FromStore: features of another process, read by id from a store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np

from recokit._utils.options import check_options, one_of
from recokit.data import Candidates, Requests, Schema, Vocabulary
from recokit.data.by_id import user_ids_of
from recokit.data.vocabulary import as_ids, factorize
from recokit.errors import ConfigurationError, did_you_mean
from recokit.features._block import Block, Context, bound_copy
from recokit.stores import ErasesRows, FeatureRows, FeatureStore
from recokit.typing import AnyArray, BoolArray, Float32Array, IntArray


@runtime_checkable
class _KeepsLastRead(Protocol):
    """A store that keeps the rows of its last read."""

    @property
    def last(self) -> FeatureRows | None: ...


class FromStore(Block):
    """Features of a feature store, such as ``item_clicks_1h``.

    One read for all distinct items (or users) of a batch. A row that is missing, expired or could not be read gives the
    store's defaults, NaN unless it has others. The store counts each; a request with an unread row is ``DEGRADED``.

    Parameters
    ----------
    store : FeatureStore
        Such as ``stores.Redis(...)``.
    entity : {"item", "user"}, default "item"
        Whose features they are.
    columns : str or sequence of str
        Which of the store's features; all by default.

    Raises
    ------
    ConfigurationError
        If the store has no such feature, or is no store.

    Notes
    -----
    The stage is ``live``: a store holds today's values, so training skips it. A row written after the request does not
    count either, which keeps evaluation on past requests honest.

    Examples
    --------
    >>> from recokit.data import Dataset, Requests
    >>> from recokit.stores import Resident
    >>> data = Dataset.from_frame({"user_id": [1], "item_id": ["pear"], "timestamp": [0.0]})
    >>> store = Resident(["clicks"], ttl="1h")
    >>> store.write(["pear"], [[3.0]], at=50.0)
    >>> block = FromStore(store).bind(data.schema)
    >>> candidates = Candidates.from_lists([[1]], requests=Requests.build(np.array([1]), now=60.0))
    >>> block.names, block.featurize(candidates).tolist()
    (('item_clicks',), [[3.0]])
    """

    as_of = True
    live = True
    io_bound = True

    ids_: Vocabulary

    def __init__(
        self,
        store: FeatureStore,
        entity: Literal["item", "user"] = "item",
        columns: str | Sequence[str] = (),
    ) -> None:
        if not isinstance(store, FeatureStore):
            raise ConfigurationError(
                f"found {store!r}; expected a feature store, such as stores.Resident([...])"
            )
        self.store, self.entity, self.columns = store, entity, columns
        check_options(self, {"entity": one_of("item", "user")})
        each = ((columns,) if isinstance(columns, str) else tuple(columns)) or tuple(store.names)
        for name in each:
            if name not in store.names:
                raise ConfigurationError(
                    f"found no feature {name!r} in the store; {did_you_mean(name, store.names)}"
                )
        self._places = np.array([store.names.index(name) for name in each], np.int64)
        self.names = tuple(f"{entity}_{name}" for name in each)

    def bind(self, schema: Schema) -> FromStore:
        """Return a copy bound to the vocabulary of its entity."""
        return bound_copy(self, ids_=schema.item_ids if self.entity == "item" else schema.user_ids)

    def coverage(self) -> dict[str, float]:
        """Return, by feature, which share of the rows of the store's last read had a value; empty before a read."""
        last = self._last_read()
        if last is None or not len(last):
            return {}
        there = ~np.isnan(last.stored[:, self._places]) & last.present[:, None]
        return dict(zip(self.names, there.mean(axis=0).tolist(), strict=True))

    def freshness(self) -> dict[str, float]:
        """Return when the oldest row that counted in the store's last read was written, seconds since 1970.

        Empty before a read, and where no row counted.
        """
        last = self._last_read()
        if last is None or not last.present.any():
            return {}
        return dict.fromkeys(self.names, float(last.written_at[last.present].min()))

    def _last_read(self) -> FeatureRows | None:
        return self.store.last if isinstance(self.store, _KeepsLastRead) else None

    def erase_user(self, user: Any) -> int:
        """Remove the row of a user from the store, where its rows are of users, and return how many there were."""
        return self.store.erase([user]) if self.entity == "user" and isinstance(self.store, ErasesRows) else 0

    def featurize(self, candidates: Candidates) -> Float32Array:
        """Return the rows of the store, (N, F) float32, as of each request's own time.

        Raises
        ------
        NotFittedError
            Before ``bind``.
        """
        requests = candidates.requests
        ids: Vocabulary = self.ids_
        if self.entity == "item":
            known = candidates.item > 0  # no store has rows of unknown items
            distinct, index = np.unique(candidates.item[known], return_inverse=True)
            return self._rows(requests, ids.decode(distinct), known, index=index, row=candidates.row)
        users = user_ids_of(requests, ids)  # also of newcomers, whom the model does not know
        known = np.array([user is not None for user in users.tolist()], np.bool_)
        code, distinct = factorize(as_ids(users[known]))
        every = np.arange(len(requests))
        return self._rows(requests, distinct, known, index=code - 1, row=every)[candidates.row]

    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        return self.featurize(context.candidates).T

    def _rows(
        self, requests: Requests, ids: AnyArray, known: BoolArray, *, index: IntArray, row: IntArray
    ) -> Float32Array:
        """Return the features of entities, each asked for by a row of the requests: one read for the distinct ids.

        The known entities have the ids at ``index``, the others the defaults.
        """
        latest = float(requests.now.max(initial=-np.inf))
        rows = self.store.read(ids, now=latest, timeout=requests.remaining())
        if rows.failed:
            requests.report_degraded(
                row[known][rows.unread[index]],
                f"{rows.failed} of {len(rows)} ids unread, defaults stand in: {rows.error}",
            )
        values = np.empty((len(known), len(self.names)), np.float32)
        values[:] = rows.defaults[self._places]
        values[known] = rows.at(index, requests.now[row[known]]).values[:, self._places]
        return values
