"""Plan: a pipeline compiled. Roles, order, names, groups and source bits are decided here, once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any, Literal

from recokit._utils.params import Configured
from recokit.budget import PHASE_OF_ROLE
from recokit.compose.composed import in_all
from recokit.compose.merge import Merge, first_repeated, leaves
from recokit.compose.step import Condition, Step
from recokit.data import Live, Schema
from recokit.errors import ConfigurationError, ContractError, did_you_mean
from recokit.protocols import (
    Bindable,
    DrawsAtRandom,
    FillsFeatures,
    LiveValues,
    Role,
    SeesLiveEvents,
    Traits,
    Verifier,
    role_of,
    traits_of,
)

#: Fields of the requests that the caller may give; a stage may require them without a stage that provides them.
CALLER_FIELDS = frozenset({"session", "items", "exclude", "cart"})

#: What put an item into its place: a column for annotators that require it.
PLACEMENT = "placement"
#: Columns that the pipeline itself gives to annotators that require them.
OWN_COLUMNS = frozenset({PLACEMENT})


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
_BODY = (Role.FILTER, Role.FEATURIZER, Role.SCORER)


@dataclass(frozen=True, eq=False)
class Node:
    """One stage in its place.

    Parameters
    ----------
    name : str
        Its path.
    role : Role
        Decided by its verb.
    stage : object
        The stage.
    when, on_error, optional, limit
        See :class:`recokit.compose.Step`.
    implicit : bool
        The pipeline added it, its user did not.
    part : {"funnel", "late", "fallback"}
        ``"late"`` for a filter on columns of annotators, which runs after them.
    """

    name: str
    role: Role
    stage: Any
    when: Condition | None = None
    on_error: Literal["degrade", "raise"] = "degrade"
    optional: bool = False
    limit: int | None = None
    implicit: bool = False
    part: Literal["funnel", "late", "fallback"] = "funnel"

    @cached_property
    def leaf(self) -> str:
        """The last part of the path, which names the source's columns."""
        return self.name.rpartition(".")[2]

    @cached_property
    def traits(self) -> Traits:
        """The stage's own declarations."""
        return traits_of(self.stage)

    @cached_property
    def io_bound(self) -> bool:
        """Whether the stage waits for input and output."""
        return self.traits.io_bound

    @cached_property
    def live(self) -> bool:
        """Whether the stage depends on today's state."""
        return self.traits.live

    @cached_property
    def verifies(self) -> bool:
        """Whether the annotator refuses what may not be shown with its columns."""
        return isinstance(self.stage, Verifier)

    @cached_property
    def draws(self) -> bool:
        """Whether the objective draws at random and knows the probabilities."""
        return isinstance(self.stage, DrawsAtRandom)

    @cached_property
    def fills(self) -> bool:
        """Whether the featurizer can write into a matrix that it shares with others."""
        return isinstance(self.stage, FillsFeatures)

    @cached_property
    def phase(self) -> str:
        """The phase whose share of the budget it spends."""
        return PHASE_OF_ROLE.get(self.role, "post")


#: The items that the caller excluded, as a stage of every run that has any.
EXCLUDE = Node("exclude", Role.FILTER, None)


@dataclass(frozen=True, eq=False)
class Group:
    """Consecutive filters or featurizers, or one scorer."""

    role: Role
    nodes: tuple[Node, ...]

    @cached_property
    def feature_names(self) -> tuple[str, ...]:
        """Names of all features of a group of featurizers."""
        return tuple(name for node in self.nodes for name in node.stage.names)

    @cached_property
    def spans(self) -> tuple[slice, ...]:
        """Columns of each featurizer in the matrix of the group."""
        ends = list(accumulate(len(node.stage.names) for node in self.nodes))
        return tuple(map(slice, [0, *ends[:-1]], ends))


@dataclass(frozen=True, eq=False)
class Plan:
    """The stages of a pipeline in the order in which they run, and how the answers of its sources are fused."""

    nodes: tuple[Node, ...]
    merge: Merge
    merge_name: str
    #: Columns that live rules read, also for a part of the plan that lacks these rules.
    live_columns: frozenset[str] = frozenset()

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes)

    def of(self, *roles: Role) -> tuple[Node, ...]:
        """Return the stages of some roles, without late filters and the fallback."""
        return tuple(node for node in self.nodes if node.role in roles and node.part == "funnel")

    # -- views -------------------------------------------------------------------------------------

    @cached_property
    def hydrators(self) -> tuple[Node, ...]:
        """Stages that complete the requests."""
        return self.of(Role.HYDRATOR)

    @cached_property
    def sources(self) -> tuple[Node, ...]:
        """Sources, in the order of their bits."""
        return self.of(Role.SOURCE)

    @cached_property
    def body(self) -> tuple[Group, ...]:
        """Filters, featurizers and scorers, consecutive filters and consecutive featurizers as one group."""
        groups: list[Group] = []
        for node in self.of(Role.FILTER, Role.FEATURIZER, Role.SCORER):
            if groups and groups[-1].role is node.role and node.role is not Role.SCORER:
                groups[-1] = Group(node.role, (*groups[-1].nodes, node))
            else:
                groups.append(Group(node.role, (node,)))
        return tuple(groups)

    @cached_property
    def constraints(self) -> tuple[Node, ...]:
        """Stages that limit the lists."""
        return self.of(Role.CONSTRAINT)

    @cached_property
    def chooser(self) -> Node | None:
        """The objective or reranker, if there is one."""
        return next(iter(self.of(Role.OBJECTIVE, Role.RERANKER)), None)

    @cached_property
    def annotators(self) -> tuple[Node, ...]:
        """Stages that label the lists."""
        return self.of(Role.ANNOTATOR)

    @cached_property
    def shows_placement(self) -> bool:
        """Whether an annotator asks what put an item into its place."""
        return any(PLACEMENT in node.traits.requires for node in self.annotators)

    @cached_property
    def late(self) -> tuple[Node, ...]:
        """Filters on columns of annotators."""
        return tuple(node for node in self.nodes if node.part == "late")

    @cached_property
    def fallback(self) -> Node | None:
        """The source that fills up short lists."""
        return next((node for node in self.nodes if node.part == "fallback"), None)

    @cached_property
    def source_names(self) -> tuple[str, ...]:
        """Leaf names of the sources, in the order of their bits."""
        return tuple(node.leaf for node in self.sources)

    @cached_property
    def passed_over(self) -> tuple[str, ...]:
        """Lists of a request whose items no source gives, so that nobody expects them of the caller's own items."""
        return in_all([node.traits.passes_over for node in self.sources])

    @cached_property
    def fusion(self) -> Node:
        """The fusion of the sources' answers as a stage, for its event."""
        return Node(self.merge_name, Role.SOURCE, self.merge)

    @cached_property
    def selection(self) -> Node:
        """The selection as a stage: its event has the name of the objective or reranker."""
        return Node("selection" if self.chooser is None else self.chooser.name, Role.RERANKER, None)

    @cached_property
    def context(self) -> tuple[frozenset[str], frozenset[str]]:
        """Context columns that stages read: those that no hydrator provides, and those that one does."""
        required = {name for node in self for name in node.traits.requires if name.startswith("context.")}
        names = {name.removeprefix("context.") for name in required}
        names |= {node.when for node in self if isinstance(node.when, str)}
        hydrated = {name.removeprefix("context.") for node in self.hydrators for name in node.traits.provides}
        return frozenset(names - hydrated), frozenset(names & hydrated)

    # -- other plans -------------------------------------------------------------------------------

    def with_nodes(self, nodes: Iterable[Node]) -> Plan:
        """Return a plan of other nodes with the same fusion."""
        return replace(self, nodes=tuple(nodes))

    def with_stages(self, stages: Mapping[str, Any]) -> Plan:
        """Return a plan with other stages in some places, by path."""
        return self.with_nodes(
            replace(node, stage=stages[node.name]) if node.name in stages else node for node in self
        )

    def without(self, names: Collection[str]) -> Plan:
        """Return a plan without some stages."""
        return self.with_nodes(node for node in self if node.name not in names)

    def raising(self) -> Plan:
        """Return a plan in which every failure of a stage is raised."""
        return self.with_nodes(replace(node, on_error="raise") for node in self)

    def before(self, name: str, *, live: bool = True) -> Plan:
        """Return the stages before the scorer of that name; ``live=False`` leaves live ones out, but for sources."""
        names = [node.name for node in self]
        return self.with_nodes(
            node
            for node in self.nodes[: names.index(name)]
            if live or not node.live or node.role is Role.SOURCE
        )

    def to_steps(self) -> tuple[list[Any], Step | None]:
        """Return the stages and the fallback as the constructor of Pipeline takes them.

        Raises
        ------
        ConfigurationError
            If no source is left.
        """
        if not self.sources:
            raise ConfigurationError("found no source left; expected at least one")
        rest = [
            node for node in self if node.role not in (Role.HYDRATOR, Role.SOURCE) and node.part != "fallback"
        ]
        stages = [*map(_step, self.hydrators), self._merged_sources(), *map(_step, rest)]
        return stages, None if self.fallback is None else _step(self.fallback)

    def _merged_sources(self) -> Step:
        """Return the merge around the sources that are left, under its own name; a bare source stays bare."""
        steps = list(map(_step, self.sources))
        if "." not in self.sources[0].name:
            return steps[0]
        merge, quotas = self.merge, self.merge.quotas
        if quotas is not None:
            quotas = {name: share for name, share in quotas.items() if name in self.source_names}
        around = Merge(steps, by=merge.by, limit=merge.limit, quotas=quotas, per_source=merge.per_source)
        return Step(around, name=self.merge_name)


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
    of_role = {role: [_node(step, role) for step, its_role in placed if its_role is role] for role in Role}
    merge, merge_name, sources = _sources([step for step, role in placed if role is Role.SOURCE])
    _check_chooser([*of_role[Role.OBJECTIVE], *of_role[Role.RERANKER]])
    labelled = {name for node in of_role[Role.ANNOTATOR] for name in node.traits.provides}
    body = [_node(step, role) for step, role in placed if role in _BODY]
    late = [node for node in body if node.role is Role.FILTER and labelled & set(node.traits.requires)]
    nodes = [
        *of_role[Role.HYDRATOR],
        *sources,
        *(node for node in body if node not in late),
        *of_role[Role.CONSTRAINT],
        *of_role[Role.OBJECTIVE],
        *of_role[Role.RERANKER],
        *of_role[Role.ANNOTATOR],
        *(replace(node, part="late") for node in late),
        *(() if fallback is None else (_fallback(_as_step(fallback)),)),
    ]
    plan = Plan(_with_history(nodes), merge, merge_name, _live_columns(nodes))
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
    ranks = {f"{name}_{part}" for name in plan.source_names for part in ("rank", "score")}
    features: list[str] = []
    scorers: dict[str, Any] = {}
    stages: dict[str, Any] = {}
    for node in plan:
        known = replace(
            schema,
            source_names=plan.source_names,
            feature_names=tuple(features),
            provided=frozenset(provided | _given_to(node.role, ranks)),
            scorers=dict(scorers),
            live_columns=plan.live_columns,
        )
        for name in node.traits.requires:
            _check_required(node, name, known)
        stage = stages[node.name] = _bound(node, known)
        provided.update(traits_of(stage).provides)
        if node.role is Role.FEATURIZER:
            _add_features(node.name, stage.names, features)
        if node.role is Role.SCORER:
            scorers[node.leaf] = stage
    return plan.with_stages(stages)


def _given_to(role: Role, ranks: set[str]) -> set[str]:
    """Return the columns that the pipeline itself provides to stages of a role."""
    if role is Role.SOURCE:
        return set()
    return ranks | OWN_COLUMNS if role is Role.ANNOTATOR else ranks


def _bound(node: Node, schema: Schema) -> Any:
    if not isinstance(node.stage, Bindable):
        return node.stage
    bound = node.stage.bind(schema)
    if bound is None:
        raise ContractError(f"found None from {node.name}.bind(schema); expected the bound copy of the stage")
    return bound


def live_values(plan: Plan) -> dict[int, Live[Any]]:
    """Return the Live options of all stages and of the stages inside them, by id.

    Raises
    ------
    ConfigurationError
        If two of them have the same name, by which traces tell their versions.
    """
    values = {id(live): live for node in plan for live in _live_of(node.stage)}
    repeated = first_repeated(live.name for live in values.values())
    if repeated:
        raise ConfigurationError(
            f"found two live values named {repeated!r}; expected distinct names; hint: Live(value, name='stock')"
        )
    return values


def _live_of(stage: Any) -> Iterator[Live[Any]]:
    """Yield the Live options of a stage, and those of its parts."""
    if isinstance(stage, LiveValues):
        yield from stage.live_values().values()
        return
    for value in vars(stage).values():
        for part in value if isinstance(value, list | tuple) else (value,):
            if isinstance(part, Live):
                yield part
            elif isinstance(part, Configured):
                yield from _live_of(part)


def _as_step(stage: Any) -> Step:
    return stage if isinstance(stage, Step) else Step(stage)


def _node(step: Step, role: Role, prefix: str = "") -> Node:
    if step.limit is not None and role is not Role.SOURCE:
        raise ConfigurationError(
            f"found limit={step.limit} on the {role.value} {step.path}; only sources have one"
        )
    name = f"{prefix}.{step.path}" if prefix else step.path
    return Node(
        name,
        role,
        step.stage,
        when=step.when,
        on_error=step.on_error,
        optional=step.optional,
        limit=step.limit,
    )


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
        child if isinstance(child, Step) else Step(child, name=name) for name, child in leaves(step.stage)
    ]
    return step.stage, step.path, tuple(_node(child, Role.SOURCE, step.path) for child in children)


def _fallback(step: Step) -> Node:
    role = role_of(step.stage)
    if role is not Role.SOURCE:
        raise ConfigurationError(f"found a {role.value} as fallback; expected a source")
    return replace(_node(step, role, "fallback"), part="fallback")


def _check_chooser(nodes: Sequence[Node]) -> None:
    if len(nodes) > 1:
        names = ", ".join(node.name for node in nodes)
        raise ConfigurationError(
            f"found {len(nodes)} objectives or rerankers ({names}); expected at most one"
        )


def _live_columns(nodes: Sequence[Node]) -> frozenset[str]:
    required = (name for node in nodes if node.live for name in node.traits.requires)
    return frozenset(name for name in required if name.startswith(("item.", "user.")))


def _with_history(nodes: Sequence[Node]) -> tuple[Node, ...]:
    """Return the nodes after a history of their own, where one needs it and no hydrator provides it."""
    from recokit.data.events.user_history import UserHistory

    needed = {name for node in nodes for name in node.traits.requires} & set(UserHistory.provides)
    if needed <= {name for node in nodes if node.role is Role.HYDRATOR for name in node.traits.provides}:
        return tuple(nodes)
    # Stages that see live events must not see a history without them.
    followed = [node.stage.live_events for node in nodes if isinstance(node.stage, SeesLiveEvents)]
    live_events = next((events for events in followed if events is not None), None)
    history = Node("user_history", Role.HYDRATOR, UserHistory(live_events=live_events), implicit=True)
    return (history, *nodes)


def _check_names(plan: Plan) -> None:
    repeated = first_repeated(node.name for node in plan)
    if repeated:
        raise ConfigurationError(
            f"found two stages with the path {repeated!r}; expected distinct ones; "
            "hint: Step(stage, name='another_name')"
        )
    if len(plan.sources) > 62:
        raise ConfigurationError(f"found {len(plan.sources)} sources; expected at most 62, one bit each")


def _check_required(node: Node, name: str, schema: Schema) -> None:
    entity, _, column = name.partition(".")
    known: Iterable[str]
    if entity == "context":
        return  # comes with each request; Requests.column names it if it is absent
    if entity == "item" and column:
        known = (f"item.{part}" for part in (*schema.items.names, *schema.items.roles))
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
    repeated = first_repeated([*features, *names])
    if repeated:
        raise ConfigurationError(
            f"found feature {repeated!r} twice, again in {name}; expected distinct names"
        )
    features.extend(names)


def _step(node: Node) -> Step:
    return Step(
        node.stage,
        name=node.leaf,
        when=node.when,
        on_error=node.on_error,
        optional=node.optional,
        limit=node.limit,
    )
