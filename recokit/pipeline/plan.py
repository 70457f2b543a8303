"""Plan: a pipeline compiled. Roles, order, names, groups and source bits are decided here, once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal

from recokit._utils.params import Configured
from recokit.compose.merge import Merge, leaves
from recokit.compose.step import Condition, Step
from recokit.data import Live, Schema
from recokit.data.events.user_history import UserHistory
from recokit.errors import ConfigurationError, ContractError, did_you_mean
from recokit.protocols import Role, role_of

__all__ = ["Group", "Node", "Plan", "bind_plan", "compile_plan", "steps_of"]


#: Fields of the requests that the caller may give; a stage may require them without a stage that provides them.
CALLER_FIELDS = frozenset({"session", "items", "exclude", "cart"})


_PLACE = {
    Role.HYDRATOR: 0,
    Role.SOURCE: 1,
    Role.FEATURIZER: 2,
    Role.SCORER: 2,
    Role.CONSTRAINT: 3,
    Role.OBJECTIVE: 3,
    Role.RERANKER: 3,
    Role.ANNOTATOR: 4,
}


@dataclass(frozen=True, eq=False)
class Node:
    """One stage in its place."""

    name: str
    role: Role
    stage: Any
    when: Condition | None = None
    on_error: Literal["degrade", "raise"] = "degrade"
    optional: bool = False
    limit: int | None = None
    implicit: bool = False

    @property
    def leaf(self) -> str:
        """The last part of the path, which names the source's columns."""
        return self.name.rpartition(".")[2]

    @property
    def io_bound(self) -> bool:
        """Whether the stage waits for input and output."""
        return bool(getattr(self.stage, "io_bound", False))

    @property
    def live(self) -> bool:
        """Whether the stage depends on today's state."""
        return bool(getattr(self.stage, "live", False))


@dataclass(frozen=True, eq=False)
class Group:
    """Consecutive filters or featurizers, or one scorer."""

    role: Role
    nodes: tuple[Node, ...]


@dataclass(frozen=True, eq=False)
class Plan:
    """What the runner executes, in order."""

    hydrators: tuple[Node, ...]
    merge: Merge
    merge_name: str
    sources: tuple[Node, ...]
    body: tuple[Group, ...]
    constraints: tuple[Node, ...]
    objective: Node | None
    rerankers: tuple[Node, ...]
    annotators: tuple[Node, ...]
    late: tuple[Node, ...]
    fallback: Node | None

    def __iter__(self) -> Iterator[Node]:
        yield from self.hydrators
        yield from self.sources
        for group in self.body:
            yield from group.nodes
        yield from self.constraints
        yield from () if self.objective is None else (self.objective,)
        yield from self.rerankers
        yield from self.annotators
        yield from self.late
        yield from () if self.fallback is None else (self.fallback,)

    @cached_property
    def source_names(self) -> tuple[str, ...]:
        """Leaf names of the sources, in the order of their bits."""
        return tuple(node.leaf for node in self.sources)

    @cached_property
    def selection_name(self) -> str:
        """How traces name the selection: its objective or reranker, or "selection"."""
        named = (*self.rerankers, *(() if self.objective is None else (self.objective,)))
        return named[-1].name if named else "selection"

    @cached_property
    def selection(self) -> Node:
        """The selection as a stage, for its attempts and its events."""
        return Node(self.selection_name, Role.RERANKER, None)

    def map(self, change: Any) -> Plan:
        """Return a plan with ``change(node)`` in place of every node, in order of execution."""
        return Plan(
            hydrators=tuple(map(change, self.hydrators)),
            merge=self.merge,
            merge_name=self.merge_name,
            sources=tuple(map(change, self.sources)),
            body=tuple(replace(group, nodes=tuple(map(change, group.nodes))) for group in self.body),
            constraints=tuple(map(change, self.constraints)),
            objective=None if self.objective is None else change(self.objective),
            rerankers=tuple(map(change, self.rerankers)),
            annotators=tuple(map(change, self.annotators)),
            late=tuple(map(change, self.late)),
            fallback=None if self.fallback is None else change(self.fallback),
        )

    def upto(self, name: str, *, live: bool = True) -> Plan:
        """Return the plan before the scorer of that name, without selection; without live stages if asked."""
        body: list[Group] = []
        for group in self.body:
            if any(node.name == name for node in group.nodes):
                break
            nodes = tuple(node for node in group.nodes if live or not node.live)
            body += [replace(group, nodes=nodes)] if nodes else []
        return replace(
            self,
            hydrators=tuple(node for node in self.hydrators if live or not node.live),
            body=tuple(body),
            constraints=(),
            objective=None,
            rerankers=(),
            annotators=(),
            late=(),
            fallback=None,
        )


def compile_plan(stages: Sequence[Any], fallback: Any) -> Plan:
    """Compile stages into a plan.

    Raises
    ------
    ConfigurationError
        For a stage without exactly one verb, stages out of order, no source or two bare sources, a second objective,
        or two stages of one name.
    """
    placed = [(step, role_of(step.stage)) for step in map(_as_step, stages)]
    _check_order(placed)
    by_role = {role: [step for step, found in placed if found is role] for role in Role}
    merge, merge_name, sources = _sources(by_role[Role.SOURCE])
    annotators = tuple(_node(step, Role.ANNOTATOR) for step in by_role[Role.ANNOTATOR])
    body, late = _body(placed, {name for node in annotators for name in provides(node.stage)})
    objectives = by_role[Role.OBJECTIVE]
    steering = [*objectives, *by_role[Role.RERANKER]]
    if len(steering) > 1:
        names = ", ".join(step.path for step in steering)
        raise ConfigurationError(
            f"found {len(steering)} objectives or rerankers ({names}); expected at most one"
        )
    plan = Plan(
        hydrators=tuple(_node(step, Role.HYDRATOR) for step in by_role[Role.HYDRATOR]),
        merge=merge,
        merge_name=merge_name,
        sources=sources,
        body=body,
        constraints=tuple(_node(step, Role.CONSTRAINT) for step in by_role[Role.CONSTRAINT]),
        objective=_node(objectives[0], Role.OBJECTIVE) if objectives else None,
        rerankers=tuple(_node(step, Role.RERANKER) for step in by_role[Role.RERANKER]),
        annotators=annotators,
        late=late,
        fallback=None if fallback is None else _fallback(_as_step(fallback)),
    )
    plan = _with_history(plan)
    _check_names(plan)
    return plan


def bind_plan(plan: Plan, schema: Schema) -> Plan:
    """Bind every stage to the model's columns, in order, each seeing what the stages before it provide.

    Raises
    ------
    ConfigurationError
        If a stage requires a name that nothing provides.
    """
    provided: set[str] = set(CALLER_FIELDS)
    features: list[str] = []
    scorers: dict[str, Any] = {}
    ranks = {f"{name}_{part}" for name in plan.source_names for part in ("rank", "score")}

    def bind(node: Node) -> Node:
        seen = frozenset(provided | (ranks if node.role is not Role.SOURCE else set()))
        known = replace(
            schema,
            source_names=plan.source_names,
            feature_names=tuple(features),
            provided=seen,
            scorers=dict(scorers),
        )
        for name in requires(node.stage):
            _check_required(node, name, known)
        stage = node.stage
        if hasattr(stage, "bind"):
            stage = stage.bind(known)
            if stage is None:
                raise ContractError(
                    f"found None from {node.name}.bind(schema); expected the bound copy of the stage"
                )
        provided.update(provides(stage))
        if node.role is Role.FEATURIZER:
            _add_features(node.name, stage.names, features)
        if node.role is Role.SCORER:
            scorers[node.leaf] = stage
        return replace(node, stage=stage)

    return plan.map(bind)


def requires(stage: Any) -> tuple[str, ...]:
    """Return the names a stage needs."""
    return tuple(getattr(stage, "requires", ()))


def provides(stage: Any) -> tuple[str, ...]:
    """Return the names a stage adds."""
    return tuple(getattr(stage, "provides", ()))


def live_values(plan: Plan) -> dict[int, Live[Any]]:
    """Return the Live options of all stages and of the stages inside them, by id.

    Raises
    ------
    ConfigurationError
        If two of them have the same name, by which traces tell their versions.
    """
    found: dict[int, Live[Any]] = {}
    for node in plan:
        _find_live(node.stage, found)
    repeated = _first_repeated(live.name for live in found.values())
    if repeated:
        raise ConfigurationError(
            f"found two live values named {repeated!r}; expected distinct names; hint: Live(value, name='stock')"
        )
    return found


def _find_live(stage: Any, found: dict[int, Live[Any]]) -> None:
    if hasattr(stage, "live_values"):
        found.update(stage.live_values())
        return
    for value in vars(stage).values():
        for part in value if isinstance(value, list | tuple) else (value,):
            if isinstance(part, Live):
                found[id(part)] = part
            elif isinstance(part, Configured):
                _find_live(part, found)


def _as_step(stage: Any) -> Step:
    return stage if isinstance(stage, Step) else Step(stage)


def _node(step: Step, role: Role, prefix: str = "") -> Node:
    if step.limit is not None and role is not Role.SOURCE:
        raise ConfigurationError(
            f"found limit={step.limit} on the {role.value} {step.path}; only sources have one"
        )
    name = f"{prefix}.{step.path}" if prefix else step.path
    return Node(name, role, step.stage, step.when, step.on_error, step.optional, step.limit)


def _check_order(placed: Sequence[tuple[Step, Role]]) -> None:
    latest, latest_name = 0, ""
    for step, role in placed:
        if role is Role.FILTER:
            if latest < 1:
                raise ConfigurationError(
                    f"found filter {step.path} before any source; expected a source first"
                )
            continue
        place = _PLACE[role]
        if place < latest:
            raise ConfigurationError(
                f"found {role.value} {step.path} after {latest_name}; expected the order hydrators, sources, features "
                "and scorers, limits and objective, annotators; filters may stand anywhere after the sources"
            )
        latest, latest_name = place, step.path


def _sources(steps: list[Step]) -> tuple[Merge, str, tuple[Node, ...]]:
    if not steps:
        raise ConfigurationError("found no source; expected one, such as candidates.Popular()")
    if len(steps) > 1:
        names = ", ".join(step.path for step in steps)
        raise ConfigurationError(
            f"found {len(steps)} sources in a row ({names}); hint: candidates.Merge([...])"
        )
    step = steps[0]
    if not isinstance(step.stage, Merge):
        merge = Merge([step], limit=step.limit or 500)
        return merge, "merge", (_node(step, Role.SOURCE),)
    children = [
        (child if isinstance(child, Step) else Step(child, name=name)) for name, child in leaves(step.stage)
    ]
    return step.stage, step.path, tuple(_node(child, Role.SOURCE, step.path) for child in children)


def _body(
    placed: Sequence[tuple[Step, Role]], annotated: set[str]
) -> tuple[tuple[Group, ...], tuple[Node, ...]]:
    groups: list[Group] = []
    late: list[Node] = []
    for step, role in placed:
        if _PLACE.get(role, 2) != 2:
            continue
        node = _node(step, role)
        if role is Role.FILTER and annotated & set(requires(step.stage)):
            late.append(node)
        elif groups and groups[-1].role is role and role is not Role.SCORER:
            groups[-1] = Group(role, (*groups[-1].nodes, node))
        else:
            groups.append(Group(role, (node,)))
    return tuple(groups), tuple(late)


def _fallback(step: Step) -> Node:
    if role_of(step.stage) is not Role.SOURCE:
        raise ConfigurationError(f"found a {role_of(step.stage).value} as fallback; expected a source")
    return _node(step, Role.SOURCE, "fallback")


def _with_history(plan: Plan) -> Plan:
    wanted = {name for node in plan for name in requires(node.stage)} & {"history", "owned"}
    given = {name for node in plan.hydrators for name in provides(node.stage)}
    if wanted <= given:
        return plan
    # Stages that see live events must not see a history without them.
    tail = next((node.stage.tail for node in plan if getattr(node.stage, "tail", None) is not None), None)
    inserted = Node("user_history", Role.HYDRATOR, UserHistory(tail=tail), implicit=True)
    return replace(plan, hydrators=(inserted, *plan.hydrators))


def _check_names(plan: Plan) -> None:
    repeated = _first_repeated(node.name for node in plan)
    if repeated:
        raise ConfigurationError(
            f"found two stages with the path {repeated!r}; expected distinct ones; "
            "hint: Step(stage, name='another_name')"
        )
    if len(plan.sources) > 62:
        raise ConfigurationError(f"found {len(plan.sources)} sources; expected at most 62, one bit each")


def _first_repeated(names: Iterable[str]) -> str:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _check_required(node: Node, name: str, schema: Schema) -> None:
    entity, _, column = name.partition(".")
    known: Iterable[str]
    if entity == "context":
        return  # comes with each request; Requests.column names it if it is absent
    if entity == "item" and column:
        known = (f"item.{part}" for part in schema.items.names)
    elif entity == "user" and column:
        known = (f"user.{part}" for part in schema.users.names)
    elif entity == "feature" and column:
        known = (f"feature.{part}" for part in schema.feature_names)
    else:
        known = schema.provided
    options = set(known)
    if name not in options:
        raise ConfigurationError(
            f"found that {node.name} requires {name!r}, which nothing before it provides; {did_you_mean(name, options)}"
        )


def _add_features(name: str, names: Sequence[str], features: list[str]) -> None:
    repeated = _first_repeated([*features, *names])
    if repeated:
        raise ConfigurationError(
            f"found feature {repeated!r} twice, again in {name}; expected distinct names"
        )
    features.extend(names)


def _same(node: Node) -> Node:
    return node


def steps_of(plan: Plan, change: Callable[[Node], Node | None] = _same) -> tuple[list[Any], Step | None]:
    """Return the stages and the fallback of a plan as the constructor of Pipeline takes them.

    Parameters
    ----------
    plan : Plan
        The plan.
    change : callable, optional
        Gives another node for a node, or None to leave it out.

    Raises
    ------
    ConfigurationError
        If no source is left.
    """
    fallback = None if plan.fallback is None else change(plan.fallback)
    sources = [_step(node) for node in map(change, plan.sources) if node is not None]
    if not sources:
        raise ConfigurationError("found no source left; expected at least one")
    stages = [_step(node) for node in map(change, plan.hydrators) if node is not None]
    stages.append(_merged(plan, sources))
    aside = {node.name for node in (*plan.hydrators, *plan.sources)}
    rest = [node for node in plan if node.name not in aside and node is not plan.fallback]
    stages += [_step(node) for node in map(change, rest) if node is not None]
    return stages, None if fallback is None else _step(fallback)


def _step(node: Node) -> Step:
    return Step(
        node.stage,
        name=node.leaf,
        when=node.when,
        on_error=node.on_error,
        optional=node.optional,
        limit=node.limit,
    )


def _merged(plan: Plan, sources: list[Step]) -> Step:
    """Return the plan's merge around its sources or others, under its own name; a bare source stays bare."""
    bare = len(plan.sources) == 1 and "." not in plan.sources[0].name
    if bare:
        return sources[0]
    merge, quotas = plan.merge, plan.merge.quotas
    if quotas is not None:
        left = {step.path for step in sources}
        quotas = {name: share for name, share in quotas.items() if name in left}
    around = Merge(sources, by=merge.by, limit=merge.limit, quotas=quotas, per_source=merge.per_source)
    return Step(around, name=plan.merge_name)
