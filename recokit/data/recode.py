"""Recode: a dataset in the codes of a model that was fitted on another one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from recokit.data.dataset import Dataset, require_dataset
from recokit.data.schema import Schema
from recokit.data.table import Table
from recokit.data.vocabulary import Vocabulary
from recokit.typing import IntArray


def recoded(dataset: Dataset, schema: Schema) -> Dataset:
    """Return a dataset in a model's codes, so that the model's stages may read it.

    Users and items that the model does not know get code 0 in the events and no row in the tables. Labels of
    categorical columns keep the model's codes, new ones come after them.

    Parameters
    ----------
    dataset : Dataset
        Such as today's data.
    schema : Schema
        The model's, from ``pipeline.schema``.

    Raises
    ------
    DataError
        If it is no Dataset, or ids or labels are integers here and text there.

    Examples
    --------
    >>> old = Dataset.from_frame({"user": ["bob"], "item": ["fig"], "timestamp": [1.0]})
    >>> new = Dataset.from_frame({"user": ["ann", "bob"], "item": ["fig", "fig"], "timestamp": [2.0, 3.0]})
    >>> recoded(new, old.schema).interactions.user.tolist()
    [0, 1]
    """
    require_dataset(dataset, "dataset")
    log = dataset.interactions
    user, item = _codes(dataset.user_ids, schema.user_ids), _codes(dataset.item_ids, schema.item_ids)
    return replace(
        dataset,
        interactions=log.replace(user=user[log.user], item=item[log.item]),
        user_ids=schema.user_ids,
        item_ids=schema.item_ids,
        users=_table(dataset.users, _codes(schema.user_ids, dataset.user_ids), schema.users),
        items=_table(dataset.items, _codes(schema.item_ids, dataset.item_ids), schema.items),
    )


def _codes(ids: Vocabulary, known: Vocabulary) -> IntArray:
    """Return the code among the known ids of each code of ids, (n + 1,)."""
    return np.concatenate([np.zeros(1, np.int64), known.encode(ids.ids)])


def _table(table: Table, rows: IntArray, like: Table) -> Table:
    """Return rows of a table; the labels of its categorical columns in the codes of another table."""
    categorical = {}
    for name, column in table.categorical.items():
        labels = column.labels
        if name in like.categorical:
            labels = like.categorical[name].labels.extend(column.labels.ids)
        categorical[name] = replace(
            column, codes=_codes(column.labels, labels)[column.codes[rows]], labels=labels
        )
    return replace(
        table,
        n=len(rows) - 1,
        numeric=table.numeric[rows],
        categorical=categorical,
        other={name: values[rows] for name, values in table.other.items()},
        exact={name: values[rows] for name, values in table.exact.items()},
        updated_at=None if table.updated_at is None else table.updated_at[rows],
    )
