"""Item, User, SourceScores and Calendar: features that need no event log."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType

import numpy as np

from recokit._kernels.features import source_features, take_rows
from recokit.data import DAY, Candidates, Dataset, Schema, Table
from recokit.data.context import of_users
from recokit.errors import ConfigurationError, did_you_mean
from recokit.features._block import Block, Context, Filling, bound_copy
from recokit.typing import AnyArray, Float32Array


class _Attributes(Block):
    """Numeric columns of a table, by entity code."""

    _entity = ""

    #: Named by ``bind`` where all columns are taken.
    names_: tuple[str, ...] | None = None
    block_: Float32Array

    def __init__(self, columns: str | Sequence[str] = ()) -> None:
        self.columns = columns
        each = (columns,) if isinstance(columns, str) else tuple(columns)
        self._short = tuple(column.removeprefix(f"{self._entity}.") for column in each)
        self.requires = tuple(f"{self._entity}.{column}" for column in self._short)

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]  # bind's are state, and saved with it
        """Names of the features."""
        return self._named(self._short) if self.names_ is None else self.names_

    @property
    def meanings(self) -> dict[str, str]:  # type: ignore[override]  # follows the names
        """Meaning of each feature, by name."""
        return {name: f"{name.removeprefix(self._entity)[1:]} of the {self._entity}" for name in self.names}

    def _named(self, columns: Sequence[str]) -> tuple[str, ...]:
        return tuple(f"{self._entity}_{column}" for column in columns)

    def _bound(self, table: Table, live: frozenset[str]) -> dict[str, object]:
        today = {name.removeprefix(f"{self._entity}.") for name in live if name.startswith(self._entity)}
        columns = self._short or tuple(name for name in table.numeric_names if name not in today)
        for name in columns:
            if name not in table.numeric_names:
                hint = did_you_mean(name, table.numeric_names)
                if name in table.categorical:
                    hint = f"codes of labels are no numbers; hint: features.UserCategory({name!r})"
                raise ConfigurationError(f"found no numeric {self._entity} column {name!r}; {hint}")
        positions = [table.numeric_names.index(name) for name in columns]
        every = positions == list(range(table.numeric.shape[1]))
        # Picking columns leaves them one after another in memory; here a row is read at once.
        block = np.ascontiguousarray(table.numeric if every else table.numeric[:, positions])
        bound: dict[str, object] = {"names_": self._named(columns), "block_": block}
        if table.updated_at is not None and np.isfinite(table.updated_at).any():
            bound["updated_at_"] = float(table.updated_at[np.isfinite(table.updated_at)].max())
        return bound

    def _table_block(self) -> Float32Array:
        block: Float32Array = self.block_
        return block


class Item(Filling, _Attributes):
    """Numeric columns of the item table, such as ``item_price``.

    Attributes are taken as they are: a column of today's state, such as stock, shows a training row its
    future.

    Parameters
    ----------
    columns : str or sequence of str
        Numeric columns; by default all but those that live rules of the pipeline read, and then named once bound.

    Examples
    --------
    >>> from recokit.data import Candidates
    >>> log = {"user_id": [1], "item_id": [5], "timestamp": [0.0]}
    >>> data = Dataset.from_frame(log, items={"item_id": [5], "price": [2.5]})
    >>> Item("price").bind(data.schema).featurize(Candidates.from_lists([[1]])).tolist()
    [[2.5]]
    """

    family = "item attributes"
    _entity = "item"

    def fit(self, dataset: Dataset) -> Item:
        """Note until when the data is known."""
        self.updated_at_ = dataset.until
        return self

    def bind(self, schema: Schema) -> Item:
        """Return a copy bound to the item table.

        Raises
        ------
        ConfigurationError
            If a column is not there or not numeric.
        """
        return bound_copy(self, **self._bound(schema.items, schema.live_columns))

    def featurize_into(self, candidates: Candidates, out: Float32Array, start: int) -> None:
        """Write the rows of the item table into a C-contiguous matrix (N, W), from column ``start`` on."""
        take_rows(self._table_block(), candidates.item, out, start)


class User(_Attributes):
    """Numeric columns of the user table, such as ``user_age``.

    Of a user whom the table does not know, the request's context column of the same name is taken where there is one:
    ``recommend(["newcomer"], context={"age": 31})``.

    Parameters
    ----------
    columns : str or sequence of str
        Numeric columns; all by default, and then named once bound.
    """

    family = "user attributes"
    _entity = "user"

    def fit(self, dataset: Dataset) -> User:
        """Note until when the data is known."""
        self.updated_at_ = dataset.until
        return self

    def bind(self, schema: Schema) -> User:
        """Return a copy bound to the user table.

        Raises
        ------
        ConfigurationError
            If a column is not there or not numeric.
        """
        return bound_copy(self, **self._bound(schema.users, schema.live_columns))

    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        requests, block = context.candidates.requests, self._table_block()
        return context.by_row(*(of_users(block[:, place], name, requests) for place, name in self._places()))

    def _places(self) -> Iterator[tuple[int, str]]:
        """Return the place in the block and the name in the table of each column."""
        for place, name in enumerate(self.names):
            yield place, name.removeprefix(f"{self._entity}_")


class SourceScores(Filling):
    """How each source ranked the candidate.

    Features for each source: ``{source}_rank`` (1 / rank, 0 where the source did not find the item) and
    ``{source}_score`` (the source's score scaled to 0..1 within the request, 1 where all are equal, NaN where not
    found); with two or more sources, ``source_count`` (how many found it). Scaling within the request keeps a refit
    of a source from shifting its features. Names are known once bound to a pipeline's sources.
    """

    family = "sources"
    sources_: tuple[str, ...] = ()

    @property
    def requires(self) -> tuple[str, ...]:
        """The sources' columns."""
        return tuple(f"{source}_{part}" for source in self.sources_ for part in ("rank", "score"))

    @property
    def names(self) -> tuple[str, ...]:  # type: ignore[override]  # bind's are state, and saved with it
        """Names of the features; empty before ``bind``."""
        return (*self.requires, *(("source_count",) if len(self.sources_) > 1 else ()))

    @property
    def meanings(self) -> dict[str, str]:  # type: ignore[override]  # follows the names
        """Meaning of each feature, by name."""
        meanings = {"source_count": "how many sources found the item"}
        for source in self.sources_:
            meanings[f"{source}_rank"] = f"1 / rank that {source} gave the item, 0 where it did not find it"
            meanings[f"{source}_score"] = (
                f"score that {source} gave the item, scaled to 0..1 within the request"
            )
        return meanings

    def bind(self, schema: Schema) -> SourceScores:
        """Return a copy bound to the sources."""
        return bound_copy(self, sources_=schema.source_names)

    def featurize_into(self, candidates: Candidates, out: Float32Array, start: int) -> None:
        """Write the features into a C-contiguous matrix (N, W), from column ``start`` on."""
        ranks = [candidates.column(f"{source}_rank") for source in self.sources_]
        scores = [candidates.column(f"{source}_score") for source in self.sources_]
        source_features(ranks, scores, candidates.offsets, out, start)


class Calendar(Block):
    """When the request is made: ``hour`` (0-23) and ``weekday`` (0 is Monday), in UTC.

    The same for all candidates of a request: useful beside features that vary, to a ranker that finds interactions.
    """

    family = "calendar"
    meanings = MappingProxyType(
        {
            "hour": "hour of the request, 0 to 23, UTC",
            "weekday": "day of the week of the request, 0 is Monday, UTC",
        }
    )
    names = tuple(meanings)

    def _columns(self, context: Context) -> Sequence[AnyArray] | AnyArray:
        now = context.candidates.requests.now
        return context.by_row(now // 3600 % 24, (now // DAY + 3) % 7)  # 1970-01-01 was a Thursday
