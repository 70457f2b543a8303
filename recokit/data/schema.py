"""Schema: what a stage may bind to when a pipeline is compiled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from recokit._utils.report import Content, Report, Table
from recokit.data.table import Table as Columns
from recokit.data.vocabulary import Vocabulary
from recokit.errors import ConfigurationError, did_you_mean
from recokit.typing import AnyArray


@dataclass(frozen=True, eq=False, repr=False)
class Schema(Report):
    """Names and tables known at one place of the plan.

    Parameters
    ----------
    item_ids, user_ids : Vocabulary
        The model's vocabularies.
    items, users : Table
        Their tables; a table without columns where the data has none.
    source_names : tuple of str
        Sources of the pipeline, in the order of their bits.
    feature_names : tuple of str
        Features that stages before this one provide.
    provided : frozenset of str
        Other names that stages before this one provide, such as ``"history"``.
    live_columns : frozenset of str
        Columns such as ``"item.qty"`` that live rules of the pipeline read: they hold today's state, which training
        rows must not see.
    scorers : mapping of str to scorer
        Bound scorers that stand before this stage, by the last part of their paths, for stages that explain them.
    """

    item_ids: Vocabulary
    user_ids: Vocabulary
    items: Columns
    users: Columns
    source_names: tuple[str, ...] = ()
    feature_names: tuple[str, ...] = ()
    provided: frozenset[str] = frozenset()
    scorers: Mapping[str, Any] = field(default_factory=dict)
    live_columns: frozenset[str] = frozenset()

    def _content(self) -> Content:
        tables = {"item": self.items, "user": self.users}
        rows = [
            (entity, name, table.kind_of(name)) for entity, table in tables.items() for name in table.names
        ]
        rows += [("source", name, "") for name in self.source_names]
        rows += [("feature", name, "") for name in self.feature_names]
        counts = [f"{len(self.item_ids):,} items", f"{len(self.user_ids):,} users"]
        for entity, table in tables.items():
            counts += [f"{entity} columns {', '.join(table.names)}"] if table.names else []
        counts += [f"{len(self.feature_names)} features"] if self.feature_names else []
        shown = [Table(("of", "name", "kind"), rows)] if rows else []
        return Content("Schema", shown, "; ".join(counts))

    def item_column(self, name: str) -> AnyArray:
        """Return an item column by item code, (n_items + 1,); ``"item.category"`` is ``"category"``.

        Raises
        ------
        ConfigurationError
            If the item table has no such column.
        """
        return _column(self.items, "item", name)

    def known_item_column(self, name: str) -> AnyArray:
        """Return an item column that rules may read: not one that a model inferred.

        Raises
        ------
        ConfigurationError
            If there is no such column, or it is inferred.
        """
        require_known(self.items, name.removeprefix("item."))
        return self.item_column(name)

    def user_column(self, name: str) -> AnyArray:
        """Return a user column by user code, (n_users + 1,); ``"user.age"`` is ``"age"``."""
        return _column(self.users, "user", name)


def require_known(table: Columns, name: str) -> None:
    """Raise ConfigurationError for a column that a model inferred."""
    if table.named(name) in table.inferred:
        raise ConfigurationError(
            f"found {name!r} in a rule, a column inferred by a model; expected one that is known; "
            "hint: filled.table(items, for_rules=True) takes it for known"
        )


def _column(table: Columns, entity: str, name: str) -> AnyArray:
    short = name.removeprefix(f"{entity}.")
    if table.named(short) not in table.names:
        raise ConfigurationError(f"found no {entity} column {short!r}; {did_you_mean(short, table.names)}")
    return table.column(short)
