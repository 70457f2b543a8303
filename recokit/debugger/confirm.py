"""Confirmation: the proof of a diagnosis, by running again with the suspected part from the baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from recokit._utils.report import Content, Report, Table
from recokit.debugger.diagnosis import OF_ALL_STAGES, Diagnosis
from recokit.debugger.finding import Finding, Severity
from recokit.debugger.scan import Scan
from recokit.errors import ConfigurationError
from recokit.protocols import Role, Runnable

#: The stages that a finding without one concerns, by its part.
_STAGES_OF: Mapping[str, tuple[Role, ...]] = {
    "candidates": (Role.HYDRATOR, Role.SOURCE),
    "ranking": (Role.FEATURIZER, Role.SCORER),
    "list": (Role.FILTER, Role.CONSTRAINT, Role.OBJECTIVE, Role.RERANKER, Role.ANNOTATOR),
    "serving": (),
}
#: Share of the users from which on what is left after the exchange is another cause.
LEFT = 0.2


@dataclass(frozen=True, repr=False)
class Confirmation(Report):
    """Whether the list heals with the suspected part from the baseline.

    Parameters
    ----------
    code, stage : str
        The suspicion.
    exchanged : tuple of str
        Stages that were taken from the baseline, by path.
    healed : bool
        Whether the finding is there without the exchange, and with it neither that one nor any other cause is left.
    left : tuple of str
        Codes, with their stages, of the causes that are left.
    why : str
        What was seen, in a sentence.
    alike, alike_after : float
        Share of the baseline's list that is on the list, before the exchange and after; of many users, the mean.
    """

    code: str
    stage: str
    exchanged: tuple[str, ...]
    healed: bool
    left: tuple[str, ...] = ()
    why: str = ""
    alike: float = float("nan")
    alike_after: float = float("nan")

    @property
    def is_better(self) -> bool:
        """Whether the finding itself is gone, though other causes are left: one of several faults."""
        return bool(self.exchanged) and not self.healed and self.name not in self.left and bool(self.left)

    @property
    def name(self) -> str:
        """Code and stage of the suspicion."""
        return _named(self.code, self.stage)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, ready for JSON."""
        return {
            "code": self.code,
            "stage": self.stage,
            "exchanged": list(self.exchanged),
            "healed": self.healed,
            "left": list(self.left),
            "why": self.why,
            "alike": None if self.alike != self.alike else self.alike,
            "alike_after": None if self.alike_after != self.alike_after else self.alike_after,
        }

    def __str__(self) -> str:
        return f"{self.name}: {'healed' if self.healed else 'not healed'}; {self.why}"

    def _content(self) -> Content:
        rows = [("from the baseline", ", ".join(self.exchanged)), ("left", ", ".join(self.left))]
        if self.alike == self.alike:
            rows.append(
                ("of the baseline's list", f"{self.alike:.0%}, after the exchange {self.alike_after:.0%}")
            )
        return Content(
            f"Confirmation of {self.name}", [Table(("what", "value"), rows)], str(self), good=self.healed
        )


@dataclass(frozen=True, eq=False)
class Again:
    """What is needed to run a diagnosis again: kept with it, and not shown.

    Parameters
    ----------
    debugger : RecommendationDebugger
    ask : callable
        ``ask(debugger, scan)``: the diagnosis of the same requests by another debugger, after a scan of its own or
        not.
    """

    debugger: Any
    ask: Callable[..., Any] = field(repr=False)

    def confirmed(self, suspicion: Finding | None, stage: str | None, max_ms: float | None) -> Confirmation:
        """Run the diagnosis again; see :func:`confirmed`."""
        return confirmed(self, suspicion, stage, max_ms)


def confirmed(
    again: Again, suspicion: Finding | None, stage: str | None, max_ms: float | None
) -> Confirmation:
    """Run a diagnosis again, as it is and with the suspected part from the baseline.

    Raises
    ------
    ConfigurationError
        If there is no baseline, or nothing is suspected.
    """
    if again.debugger.baseline is None:
        raise ConfigurationError("found no baseline; expected RecommendationDebugger(pipeline, baseline=...)")
    if suspicion is None and not stage:
        raise ConfigurationError("found no finding to confirm; expected one, or the path of a stage")
    code = "" if suspicion is None else suspicion.code
    path = (suspicion.stage if suspicion is not None else "") if stage is None else stage
    if stage is not None and suspicion is not None and suspicion.stage != stage:
        code = ""
    debugger = again.debugger.within(max_ms)
    names = suspected(debugger.pipeline, debugger.baseline, path, suspicion if stage is None else None)
    if not names:
        return Confirmation(
            code, path, (), healed=False, why="no part of the baseline stands for what is suspected"
        )
    if _codes_differ(debugger.pipeline, debugger.baseline):
        why = "the baseline has other items, so its stages cannot stand in this pipeline"
        return Confirmation(code, path, (), healed=False, why=why)
    before = again.ask(debugger, scan=False)
    wanted = [one for one in _causes(before) if not code or (one.code, one.stage) == (code, path)]
    if not wanted:
        why = "the run again does not show the finding, so it proves nothing"
        return Confirmation(code, path, names, healed=False, left=_names(_causes(before)), why=why)
    of_data = code in OF_ALL_STAGES and not path
    part = around if of_data else exchanged
    mended = debugger.beside(part(debugger.pipeline, debugger.baseline, names), Scan())
    after = again.ask(mended, scan=bool(debugger.scanned))
    left = _causes(after)
    return Confirmation(
        code or wanted[0].code,
        path,
        names,
        healed=not left,
        left=_names(left),
        why=_why(names, wanted, left),
        alike=_alike(before),
        alike_after=_alike(after),
    )


def suspected(mine: Runnable, usual: Runnable, path: str, suspicion: Finding | None) -> tuple[str, ...]:
    """Return the paths of the stages to take from the baseline."""
    theirs = {node.name: node for node in usual}
    if path in theirs:
        return (path,)
    if path or suspicion is None:
        # A fusion, or the selection: what is left of the baseline when all stages are this pipeline's.
        return (path,) if path else ()
    roles = _STAGES_OF[suspicion.place]
    if suspicion.code in OF_ALL_STAGES:
        roles = (Role.HYDRATOR, Role.SOURCE, Role.FEATURIZER)
    return tuple(node.name for node in mine if node.role in roles and node.name in theirs)


def exchanged(mine: Runnable, usual: Runnable, names: Sequence[str]) -> Runnable:
    """Return a pipeline with some parts of the baseline: stages, or what surrounds them."""
    mine_has, usual_has = {node.name for node in mine}, {node.name for node in usual}
    if set(names) <= mine_has & usual_has:
        for name in names:
            mine = mine.replace(name, usual[name])
        return mine
    # Limits around stages, and stages that are missing here, cannot be put in.
    return around(mine, usual, names)


def around(mine: Runnable, usual: Runnable, names: Sequence[str]) -> Runnable:
    """Return the baseline, its tables included, with all stages of a pipeline but the named ones."""
    shared = {node.name for node in mine} & {node.name for node in usual}
    for name in sorted(shared - set(names)):
        if usual[name] is not mine[name]:
            usual = usual.replace(name, mine[name])
    return usual


def _codes_differ(mine: Runnable, usual: Runnable) -> bool:
    return mine.schema.item_ids.fingerprint != usual.schema.item_ids.fingerprint


def _causes(found: Any) -> list[Finding]:
    """Return the findings that are causes; of many users, those that are not a few users' alone."""
    causes = [one for one in found.findings if one.severity > Severity.SYMPTOM]
    if isinstance(found, Diagnosis):
        return causes or [one for one in found.findings if one.severity is Severity.SYMPTOM]
    return [one for one in causes if one.evidence["share_of_users"] >= LEFT]


def _names(findings: Sequence[Finding]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(_named(one.code, one.stage) for one in findings))


def _named(code: str, stage: str) -> str:
    return f"{code} {stage}".strip()


def _why(names: Sequence[str], wanted: Sequence[Finding], left: Sequence[Finding]) -> str:
    what = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
    if not left:
        return f"with {what} from the baseline no cause is left"
    if {(one.code, one.stage) for one in left}.isdisjoint((one.code, one.stage) for one in wanted):
        return f"with {what} from the baseline it is gone, and other causes are left: {', '.join(_names(left)[:3])}"
    return f"with {what} from the baseline it is still there"


def _alike(found: Any) -> float:
    """Return the share of the baseline's list that is on the list; the mean over users."""
    diagnoses = [found] if isinstance(found, Diagnosis) else list(found.diagnoses)
    shares = [one.figures["alike"] for one in diagnoses if one.figures.get("alike") is not None]
    return sum(shares) / len(shares) if shares else float("nan")
