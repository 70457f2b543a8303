"""What commands work on: datasets, models and users, from what the call names."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recokit._cli.code import classes, returned
from recokit._cli.options import UsageError, as_mapping
from recokit._cli.tables import is_table, read_table

if TYPE_CHECKING:
    from recokit.data.dataset import Dataset
    from recokit.pipeline import Pipeline
    from recokit.serving.artifacts import Artifacts

#: The file that a saved model has, and the one that a store of versions has.
_SAVED, _POINTER = "manifest.json", "current.json"


def dataset(options: Any, data: str | None = None) -> Dataset:
    """Return the dataset that a call names."""
    from recokit.data.dataset import Dataset

    source = data or options.data
    if is_table(source):
        found = Dataset.from_frame(
            read_table(source),
            items=read_table(options.items) if options.items else None,
            users=read_table(options.users) if options.users else None,
            columns=as_mapping(options.column),
            min_rating=options.min_rating,
        )
    else:
        for name in ("items", "users", "column", "min_rating"):
            if getattr(options, name):
                raise UsageError(
                    f"found --{name.replace('_', '-')} beside {source}; expected it with a table"
                )
        found = returned(source, "load_data", Dataset)
    return found.before(options.until) if options.until else found


def model(path: str, trust: list[str]) -> Pipeline:
    """Return the model of a folder, or the one that serves of a store."""
    from recokit.pipeline import Pipeline

    trusted = [cls for where in trust for cls in classes(where)]
    if (Path(path) / _POINTER).is_file():
        return store(path, trust).load()
    if not (Path(path) / _SAVED).is_file():
        raise UsageError(f"found no model at {path!r}; expected a folder that `recokit fit --out` wrote")
    return Pipeline.load(path, trusted=trusted)


def store(path: str, trust: list[str], **options: Any) -> Artifacts:
    """Return a store of versions."""
    from recokit.serving.artifacts import Artifacts

    return Artifacts(path, trusted=[cls for where in trust for cls in classes(where)], **options)


def is_store(path: str) -> bool:
    """Tell whether a folder is a store in which something was published."""
    return (Path(path) / _POINTER).is_file()


def request_time(text: str | None, pipeline: Pipeline) -> Any:
    """Return the time of requests: the end of the model's data where the call names none."""
    if text is None:
        return pipeline.fitted_until
    if text == "now":
        return pipeline.clock()
    try:
        return float(text)
    except ValueError:
        return text


def user_ids(texts: list[str], pipeline: Pipeline) -> list[Any]:
    """Return ids of the kind that the model knows; ``-`` reads one a line from the input, an empty one is nobody."""
    listed = [line.rstrip("\r\n") for line in sys.stdin] if texts == ["-"] else texts
    if pipeline.schema.user_ids.kind != "int":
        return [text or None for text in listed]
    try:
        return [int(text) if text else None for text in listed]
    except ValueError as error:
        raise UsageError(
            f"found a user that is no whole number, as this model's users are: {error}"
        ) from error


def some_users(pipeline: Pipeline, n: int) -> list[Any]:
    """Return so many known users, spread over all."""
    import numpy as np

    ids = pipeline.schema.user_ids.ids
    if not len(ids):
        return []
    some: list[Any] = ids[np.unique(np.linspace(0, len(ids) - 1, min(n, len(ids))).astype(np.int64))].tolist()
    return some
