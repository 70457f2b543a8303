"""The check that a stage reads only what it declares: everything else is taken away."""

from __future__ import annotations

from dataclasses import replace

from recokit.data import Candidates
from recokit.errors import ConfigurationError
from recokit.testing._answers import difference
from recokit.testing._subject import Subject

__all__ = ["check_declared"]


def check_declared(subject: Subject) -> None:
    """Raise ContractFailure naming what the stage reads without saying so in ``requires`` or in ``bind``."""
    names = _undeclared(subject.batch, subject.requires)
    if not _reads(subject, names):
        return
    read = [name for name in names if _reads(subject, [name])] or names
    hint = f"requires = {(*subject.requires, *read)!r}"
    subject.fail(f"that it reads {', '.join(map(repr, read))}", "all that it reads in requires", hint)


def _undeclared(batch: Candidates, requires: tuple[str, ...]) -> list[str]:
    """Names in the batch that the stage does not declare, as it would declare them."""
    names = [f"context.{name}" for name in batch.requests.columns]
    names += [*batch.requests.ragged, *batch.columns, *(f"feature.{name}" for name in batch.feature_names)]
    return [name for name in names if name not in requires]


def _reads(subject: Subject, names: list[str]) -> bool:
    """Tell whether the answer is another one without the names."""
    bare = _without(subject.batch, set(names))
    stage = subject.fitted
    if hasattr(stage, "bind"):
        sources = tuple(
            n for n in bare.source_names if f"{n}_rank" in bare.columns or f"{n}_score" in bare.columns
        )
        provided = subject.schema.provided - set(names)
        schema = replace(
            subject.schema, source_names=sources, feature_names=bare.feature_names, provided=provided
        )
        try:
            stage = stage.bind(schema)
        except ConfigurationError:
            return False  # it says at compile time what it lacks, which is as good as a declaration
    try:
        found, expected = subject.ask(bare, stage), subject.ask(subject.batch)
    except AssertionError:
        return True
    return any(difference(mine, right) for mine, right in zip(found.rows, expected.rows, strict=True))


def _without(batch: Candidates, names: set[str]) -> Candidates:
    requests = batch.requests
    kept = [place for place, name in enumerate(batch.feature_names) if f"feature.{name}" not in names]
    return replace(
        batch,
        requests=replace(
            requests,
            columns={
                name: column for name, column in requests.columns.items() if f"context.{name}" not in names
            },
            ragged={name: lists for name, lists in requests.ragged.items() if name not in names},
            given={name: rows for name, rows in requests.given.items() if name not in names},
        ),
        columns={name: column for name, column in batch.columns.items() if name not in names},
        features=batch.features[:, kept],
        feature_names=tuple(batch.feature_names[place] for place in kept),
    )
