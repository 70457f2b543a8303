"""Table: attributes by entity code, with a default row 0 for the unknown entity."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from recokit.data.columns import Several
from recokit.data.frames import Frame
from recokit.data.vocabulary import Vocabulary
from recokit.errors import ConfigurationError, DataError, did_you_mean
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

_FEW_LABELS = 20


@dataclass(frozen=True, eq=False)
class Categorical:
    """A column of labels as codes.

    Parameters
    ----------
    codes : ndarray of int64, shape (n + 1,)
        Label code of each entity, 0 where missing.
    labels : Vocabulary
        The labels.
    separator : str, optional
        Where an item may have several labels: what stands between them in a label of ``labels``, such as ``"|"``.
    """

    codes: IntArray
    labels: Vocabulary
    separator: str | None = None

    @cached_property
    def several(self) -> Several:
        """The single labels of each entity, by code: one at most where the column has no separator."""
        names = ["", *map(str, self.labels.ids.tolist())]
        return Several.of(names, self.separator).take(self.codes)


@dataclass(frozen=True, eq=False)
class Table:
    """Columns by entity code; row 0 is the default that an unknown entity gets.

    Parameters
    ----------
    n : int
        Number of entities; every column has n + 1 rows.
    numeric : ndarray of float32, shape (n + 1, C)
        Numeric and boolean columns, NaN where missing.
    numeric_names : tuple of str
        Names of the C numeric columns.
    categorical : mapping of str to Categorical
        Columns of ids, and text columns with repeated labels.
    other : mapping of str to ndarray (n + 1,)
        Free text (object) and moments (float64 seconds).
    updated_at : ndarray of float64, shape (n + 1,), optional
        When each row was last written. Beside the columns, never a feature.
    flags : tuple of str
        Names of the numeric columns that are true or false.
    exact : mapping of str to ndarray of float64 (n + 1,)
        The numeric columns that a float32 cannot hold: large whole numbers, prices, times. Rules, groups and
        expressions read these, features the float32 block.
    title, image : str, optional
        Columns that show an entity to people: its name, and the address of a picture.
    roles : mapping of str to str
        The column that stands for what stages look for, such as ``{"category": "genres"}``. It is found by either name.
    inferred : tuple of str
        Columns that a model read out of other columns: sources, features and rankers read them, rules refuse them.
    """

    n: int
    numeric: Float32Array
    numeric_names: tuple[str, ...] = ()
    categorical: Mapping[str, Categorical] = field(default_factory=dict)
    other: Mapping[str, AnyArray] = field(default_factory=dict)
    updated_at: FloatArray | None = None
    flags: tuple[str, ...] = ()
    exact: Mapping[str, FloatArray] = field(default_factory=dict)
    title: str | None = None
    image: str | None = None
    roles: Mapping[str, str] = field(default_factory=dict)
    inferred: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Whoever replaces the block means its numbers: what disagrees with them is of before.
        agreeing = {name: column for name, column in self.exact.items() if self._agrees(name, column)}
        object.__setattr__(self, "exact", agreeing)

    def _agrees(self, name: str, column: FloatArray) -> bool:
        block = self.numeric[:, self.numeric_names.index(name)]
        return np.array_equal(column.astype(np.float32), block, equal_nan=True)

    @classmethod
    def empty(cls, n: int) -> Table:
        """Return a table without columns for n entities."""
        return cls(n, np.zeros((n + 1, 0), np.float32))

    @classmethod
    def from_frame(
        cls,
        frame: Frame,
        vocabulary: Vocabulary,
        id_column: str,
        *,
        categorical: Collection[str] = (),
        separators: Mapping[str, str | None] | None = None,
        text: Collection[str] = (),
    ) -> Table:
        """Build from a frame with one row for each entity; entities without a row get missing values.

        Text columns become categorical unless nearly every value differs (more than half of the rows, and
        more than 20 labels), which makes them free text. Other columns of ids, whose names end with ``_id``,
        are categorical too, and so are whole numbers beyond 2**53, which no float tells apart. Other numbers
        keep their values as float64 where a float32 would change one. Dates become float64 seconds. A column
        ``updated_at`` goes beside the table.

        Parameters
        ----------
        frame : Frame
            The rows.
        vocabulary : Vocabulary
            Ids of the entities.
        id_column : str
            Name of the column with the ids.
        categorical : collection of str
            Columns that are categorical whatever they hold, such as integer codes of sellers.
        separators : mapping of str to str, optional
            What stands between the labels of columns that hold several; None for a column of single labels. Cells that
            are lists hold several anyway.
        text : collection of str
            Columns of free text, whatever they hold, such as titles.

        Raises
        ------
        DataError
            If an id is unknown to the vocabulary or stands twice.
        """
        codes = vocabulary.encode(frame.ids(id_column))
        _require_one_row_each(codes, id_column)
        n = len(vocabulary)
        numeric: dict[str, Float32Array] = {}
        exact: dict[str, FloatArray] = {}
        labelled: dict[str, Categorical] = {}
        other: dict[str, AnyArray] = {}
        updated_at: FloatArray | None = None
        for name in frame.names:
            if name == id_column:
                continue
            if name == "updated_at":
                updated_at = _by_code(frame.times(name), codes, n, -np.inf)
                continue
            if name in categorical or name.endswith("_id") or frame.has_large_whole_numbers(name):
                labelled[name] = _categorical(frame, name, codes, n)
                continue
            kind, values = frame.column(name)
            separator = frame.list_separator(name) or (separators or {}).get(name)
            if kind == "text" and name in text:
                other[name] = _by_code(values, codes, n, None)
            elif kind == "text" and separator is not None:
                labelled[name] = replace(_categorical(frame, name, codes, n), separator=separator)
            elif kind == "number":
                column = _by_code(values, codes, n, np.nan)
                numeric[name] = _float32(column, name)
                if not np.array_equal(numeric[name], column, equal_nan=True):
                    exact[name] = column
            elif kind == "time":
                other[name] = _by_code(values, codes, n, np.nan)
            elif _is_free_text(values):
                other[name] = _by_code(values, codes, n, None)
            else:
                labelled[name] = _categorical(frame, name, codes, n)
        block = np.stack(list(numeric.values()), axis=1) if numeric else np.zeros((n + 1, 0), np.float32)
        return cls(
            n,
            np.ascontiguousarray(block),
            tuple(numeric),
            labelled,
            other,
            updated_at=updated_at,
            flags=tuple(name for name in numeric if frame.is_flag(name)),
            exact=exact,
        )

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all columns: numeric, categorical, other."""
        return (*self.numeric_names, *self.categorical, *self.other)

    @cached_property
    def titles(self) -> AnyArray | None:
        """What shows each entity to people, (n + 1,) object, None where it has no title; None without such a column."""
        return self.other.get(self.title) if self.title is not None else None

    def named(self, name: str) -> str:
        """Return the name of the column that a name or role stands for; the name itself where there is none."""
        return name if name in self.names else self.roles.get(name, name)

    def column(self, name: str) -> AnyArray:
        """Return a column (n + 1,): float32, float64 where that changes a value or for seconds, label codes, text."""
        name = self.named(name)
        if name in self.exact:
            return self.exact[name]
        if name in self.numeric_names:
            return self.numeric[:, self.numeric_names.index(name)]
        if name in self.categorical:
            return self.categorical[name].codes
        if name in self.other:
            return self.other[name]
        raise ConfigurationError(f"found no column {name!r}; {did_you_mean(name, self.names)}")

    def kind_of(self, name: str) -> str:
        """Return what a column holds, and what it stands for, in words."""
        if name in self.categorical:
            column = self.categorical[name]
            kind = f"{len(column.labels):,} labels"
            if column.separator is not None:
                kind = f"several of {len(column.several.labels):,} labels each, between them {column.separator!r}"
        elif name in self.numeric_names:
            kind = "true or false" if name in self.flags else "numbers"
        else:
            kind = "times" if self.other[name].dtype.kind == "f" else "text"
        meanings = [role for role, column in self.roles.items() if column == name]
        meanings += [one for one in ("title", "image") if getattr(self, one) == name]
        return ", ".join([kind, *(f"the {meaning}" for meaning in meanings)])

    def labels(self, name: str) -> Vocabulary:
        """Return the labels of a categorical column; ConfigurationError if it is none."""
        return self.labelled(name).labels

    def labelled(self, name: str) -> Categorical:
        """Return a categorical column; ConfigurationError if it is none."""
        name = self.named(name)
        if name not in self.names:
            raise ConfigurationError(f"found no column {name!r}; {did_you_mean(name, self.names)}")
        if name not in self.categorical:
            raise ConfigurationError(
                f"found no categorical column {name!r}; {did_you_mean(name, self.categorical)}"
            )
        return self.categorical[name]


def _require_one_row_each(codes: IntArray, id_column: str) -> None:
    unknown = np.flatnonzero(codes == 0)
    if len(unknown):
        raise DataError(f"found ids in {id_column!r} that the vocabulary lacks", rows=unknown.tolist())
    _, first = np.unique(codes, return_index=True)
    if len(first) != len(codes):
        again = np.setdiff1d(np.arange(len(codes)), first)
        raise DataError(
            f"found ids in {id_column!r} with more than one row; expected one row each", rows=again.tolist()
        )


def _by_code(values: AnyArray, codes: IntArray, n: int, default: object) -> AnyArray:
    """Spread rows over entity codes; entities without a row, or with a missing value, get the default."""
    column: AnyArray = np.full(n + 1, default, values.dtype)
    present = ~np.isnan(values) if values.dtype.kind == "f" else np.ones(len(values), np.bool_)
    column[codes[present]] = values[present]
    return column


def _float32(column: FloatArray, name: str) -> Float32Array:
    with np.errstate(over="ignore"):
        single = column.astype(np.float32)
    if (np.isinf(single) & np.isfinite(column)).any():
        raise DataError(f"found {np.nanmax(np.abs(column)):g} in {name!r}; expected numbers below 3.4e38")
    return single


def _categorical(frame: Frame, name: str, codes: IntArray, n: int) -> Categorical:
    label, labels = frame.labels(name)
    return Categorical(_by_code(label, codes, n, 0), Vocabulary(labels))


def _is_free_text(values: AnyArray) -> bool:
    present = [value for value in values.tolist() if value is not None]
    distinct = len(set(present))
    return distinct > _FEW_LABELS and distinct > len(present) / 2
