"""Checks of the tables and columns: coverage, constant and empty columns."""

from __future__ import annotations

import numpy as np

from recokit.data.dataset import Dataset
from recokit.data.table import Table
from recokit.data.validation._log import below
from recokit.data.validation.limits import ValidationLimits
from recokit.data.validation.report import Check
from recokit.typing import AnyArray, BoolArray

_SHOWN = 10


def coverage(dataset: Dataset, limits: ValidationLimits) -> tuple[Check, Check]:
    """Check the share of users and of items that have a value in every column."""
    return (
        _coverage("coverage.users", dataset.users, "users", limits),
        _coverage("coverage.items", dataset.items, "items", limits),
    )


def _coverage(name: str, table: Table, entity: str, limits: ValidationLimits) -> Check:
    expected = f"at least {limits.warn_coverage:.0%} of the {entity} with all columns"
    if not table.names or not table.n:
        return Check(name, "not checked", f"found no columns for {entity}", expected)
    known = np.stack([_known(table, column)[1:] for column in table.names])
    full, share_of = known.all(axis=0), known.mean(axis=1)
    share = float(full.mean())
    status = below(share, limits.warn_coverage, limits.fail_coverage)
    worst = int(np.argmin(share_of))
    missing = {column: 1.0 - float(s) for column, s in zip(table.names, share_of, strict=True)}
    return Check(
        name,
        status,
        f"{share:.1%} of {table.n:,} {entity} have all {len(table.names)} columns"
        + (f"; {table.names[worst]!r} is known for {share_of[worst]:.1%}" if share < 1 else ""),
        expected,
        ""
        if status == "pass"
        else f"fill or leave out {table.names[worst]!r}; row numbers are codes of {entity}",
        rows=np.flatnonzero(~full) + 1,
        evidence={"coverage": share, "missing": missing},
    )


def columns(dataset: Dataset, limits: ValidationLimits) -> tuple[Check, ...]:
    """Check for columns of tables and log without any value, or with the same value everywhere."""
    log = dataset.interactions
    found: dict[str, tuple[AnyArray, BoolArray]] = {}
    tables = (("user", dataset.users), ("item", dataset.items))
    for entity, table in tables:
        for name in table.names:
            found[f"{entity}.{name}"] = (table.column(name)[1:], _known(table, name)[1:])
    if np.isfinite(log.value).any():
        found["value"] = (log.value, np.isfinite(log.value))
    for name, column in (("position", log.position), ("propensity", log.propensity)):
        if column is not None:
            found[name] = (column, np.isfinite(column) & (column != 0))
    empty = [name for name, (_, known) in found.items() if len(known) and not known.any()]
    # Few rows may all lack a rare flag: nothing is recalled today.
    flags = {f"{entity}.{name}" for entity, table in tables for name in table.flags}
    constant = [
        name
        for name, (values, known) in found.items()
        if known.sum() >= (limits.constant_flags if name in flags else limits.constant_rows)
        and _is_constant(values[known])
    ]
    expected = "columns that tell rows apart"
    return (
        _column_check("columns.constant", constant, "the same value in every row", len(found), expected),
        _column_check("columns.empty", empty, "no value in any row", len(found), expected),
    )


def _column_check(name: str, bad: list[str], what: str, n: int, expected: str) -> Check:
    if not bad:
        return Check(name, "pass" if n else "not checked", f"none of {n} columns has {what}", expected)
    shown = ", ".join(bad[:_SHOWN]) + (", ..." if len(bad) > _SHOWN else "")
    hint = "the export lost it, or it is of no use: mend or leave it out"
    evidence = {"columns": bad}
    return Check(name, "warn", f"found {what} of {shown}", expected, hint, subject=bad[0], evidence=evidence)


def _known(table: Table, name: str) -> BoolArray:
    column = table.column(name)
    if name in table.categorical:
        return column > 0
    if column.dtype.kind == "f":
        return np.isfinite(column)
    return np.array([value is not None for value in column.tolist()], np.bool_)


def _is_constant(values: AnyArray) -> bool:
    return bool((values == values[0]).all())
