"""Around: objectives that change the gains of another."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, ClassVar

from recokit._utils.options import Rule, whole
from recokit.compose.alone.lists import AloneObjective
from recokit.data import Schema
from recokit.diversity.top_k import TopK
from recokit.protocols import Bindable, Objective, traits_of


class Around(AloneObjective):
    """An objective around another, relevance alone by default. Abstract."""

    _OPTIONS: ClassVar[Mapping[str, Rule]] = {"pool": whole(1)}

    objective: Objective | None
    pool: int

    @property
    def requires(self) -> tuple[str, ...]:
        """What the objective inside requires."""
        return traits_of(self.objective).requires

    def bind(self, schema: Schema) -> Any:
        """Return a copy with the objective inside bound."""
        bound: Any = copy.copy(self)
        if isinstance(self.objective, Bindable):
            bound.objective = self.objective.bind(schema)
        return bound

    @property
    def _inner(self) -> Any:
        return TopK() if self.objective is None else self.objective
