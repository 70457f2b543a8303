"""Parameters: a pipeline's options and those of its stages by name, as scikit-learn has them; parts by place."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, Self

from recokit._utils.params import Configured, HasParams, clone, get_params, nested_params
from recokit.compose.composed import Composed
from recokit.compose.step import Step, leaf_name, stage_of
from recokit.errors import ConfigurationError, did_you_mean
from recokit.pipeline.plan import Node, Plan
from recokit.protocols import Role, role_of


class Parameters:
    """Options by name, as scikit-learn has them: of a pipeline and of its stages."""

    stages: list[Any]
    fallback: Any

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the options by name; ``deep`` adds the stages by name, and their options as ``stage__option``."""
        params = get_params(self)
        return {**params, **nested_params(named_stages(self.stages, self.fallback))} if deep else params

    def set_params(self, **params: Any) -> Self:
        """Change options, stages by name, or ``stage__option``; the pipeline is then to be fitted again.

        Raises
        ------
        ConfigurationError
            For an unknown stage or option, or one out of range: then nothing has changed.

        Examples
        --------
        >>> from recokit import Pipeline
        >>> from recokit.candidates import ItemKNN
        >>> Pipeline([ItemKNN()]).set_params(item_knn__n_neighbors=7)[0]
        ItemKNN(n_neighbors=7)
        """
        own = {name: params[name] for name in params if name in get_params(self)}
        options = {**get_params(self), **own}
        inner = {name: value for name, value in params.items() if name not in own}
        options["stages"], options["fallback"] = with_options(options["stages"], options["fallback"], inner)
        vars(self).update(vars(type(self)(**options)))
        return self

    def __sklearn_clone__(self) -> Self:
        return type(self)(**{**get_params(self), "stages": clone_stages(self.stages)})

    def __len__(self) -> int:
        return len(self.stages)


def as_stages(stages: Any) -> list[Any]:
    """Return stages as a list: a single stage is one.

    Raises
    ------
    ConfigurationError
        If it is neither a stage nor a sequence of stages.
    """
    if isinstance(stages, Step):
        return [stages]
    if isinstance(stages, Sequence) and not isinstance(stages, str | bytes):
        return list(stages)
    if isinstance(stages, Mapping | str | bytes) or stages is None:
        raise ConfigurationError(
            f"found {type(stages).__name__} for the stages; expected a list, such as Pipeline([source, ranker])"
        )
    role_of(stages)  # says what is wrong with what is no stage
    return [stages]


def _walk(steps: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield each stage with the name of its place, sources inside others too."""
    for step in steps:
        stage = stage_of(step)
        yield leaf_name(step), stage
        if isinstance(stage, Composed):
            yield from _walk(stage.sources)


def named_stages(stages: Sequence[Any], fallback: Any) -> dict[str, Any]:
    """Return the stages by the names of their places; a name that stands twice is left out."""
    found: dict[str, list[Any]] = {}
    for name, stage in _walk([*stages, *(() if fallback is None else (fallback,))]):
        found.setdefault(name, []).append(stage)
    return {name: each[0] for name, each in found.items() if len(each) == 1}


def with_options(stages: Sequence[Any], fallback: Any, changes: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Return clones of stages and fallback in which options, by ``stage__option``, or whole stages are others.

    Raises
    ------
    ConfigurationError
        For a stage or option that does not exist.
    """
    stages, fallback = clone_stages(stages), None if fallback is None else _clone_one(fallback)
    named = named_stages(stages, fallback)
    for name, value in changes.items():
        place, nested, option = name.partition("__")
        stage = named.get(place)
        if stage is None:
            raise ConfigurationError(f"found no stage {place!r}; {did_you_mean(place, named)}")
        if not nested:
            stages = [_replaced(step, stage, value) for step in stages]
            fallback = None if fallback is None else _replaced(fallback, stage, value)
        elif isinstance(stage, HasParams):
            stage.set_params(**{option: value})
        else:
            raise ConfigurationError(
                f"found no options of {place}; expected set_params, as recokit's stages have it"
            )
    return stages, fallback


def clone_stages(stages: Sequence[Any]) -> list[Any]:
    """Return unfitted clones."""
    return [_clone_one(step) for step in stages]


def _clone_one(step: Any) -> Any:
    return clone(step) if isinstance(stage_of(step), HasParams) else step


def _replaced(step: Any, old: Any, new: Any) -> Any:
    """Return a step with another stage in place of an old one, which may stand inside."""
    if stage_of(step) is old:
        if not isinstance(step, Step) or isinstance(new, Step):
            return new
        changed = clone(step)
        changed.stage = new
        return changed
    stage = stage_of(step)
    if isinstance(stage, Composed):
        stage.sources = [_replaced(source, old, new) for source in stage.sources]
    return step


def part_of(plan: Plan, stages: Sequence[Any], places: slice) -> Plan:
    """Return the plan of some of the stages that a pipeline was made of, by their places.

    Raises
    ------
    ConfigurationError
        For a slice with a step.
    """
    if places.step not in (None, 1):
        raise ConfigurationError(
            f"found a slice with step {places.step}; expected one in order, such as [:2]"
        )
    kept = {id(step) for step in list(stages)[places]}
    return plan.with_nodes(
        node
        for node in plan
        if node.implicit
        or node.part == "fallback"
        or any(id(step) in kept for step in stages if _is_of(node, step))
    )


def stage_at(plan: Plan, stages: Sequence[Any], place: int) -> Any:
    """Return the stage at a place, as it stands in a plan; a source made of others as it was given.

    Raises
    ------
    IndexError
        If there is none.
    """
    if not -len(stages) <= place < len(stages):
        raise IndexError(f"found stage {place}; expected 0 to {len(stages) - 1}")
    step = stages[place]
    nodes = [node for node in plan if _is_of(node, step)]
    return nodes[0].stage if len(nodes) == 1 else stage_of(step)


def _is_of(node: Node, step: Any) -> bool:
    """Tell whether a node comes from a step."""
    if node.part == "fallback" or node.implicit:
        return False
    if role_of(stage_of(step)) is Role.SOURCE:
        return node.role is Role.SOURCE
    return node.name == leaf_name(step)


def name_of_new(plan: Plan, name: str, old: Any, new: Any) -> str:
    """Return the name of the place of a stage once another stands there.

    A step's own name counts, then the new stage's, if it is of another kind; but a place keeps a name that was given to
    it, and a source's that later stages read columns of.
    """
    above, dot, leaf = name.rpartition(".")
    if isinstance(new, Step) and new.name is not None:
        return f"{above}{dot}{new.name}"
    stage = stage_of(new)
    other = isinstance(stage, Configured) and type(stage) is not type(old) and leaf == leaf_name(old)
    columns = {f"{leaf}_{part}" for part in ("rank", "score")}
    read = {part.removeprefix("feature.") for node in plan for part in node.traits.requires}
    learned = {part for node in plan for part in getattr(node.stage, "feature_names_", ())}
    if not other or any(column in part for column in columns for part in (*read, *learned)):
        return name
    return f"{above}{dot}{leaf_name(stage)}"


def renamed(plan: Plan, name: str, new: str) -> Plan:
    """Return a plan in which a place has another name."""
    if new == name:
        return plan
    return plan.with_nodes(replace(node, name=new) if node.name == name else node for node in plan)
