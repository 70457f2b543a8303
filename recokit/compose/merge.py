"""Merge: one source that asks several and fuses their answers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from recokit._kernels.fusion import Fusion
from recokit._utils.options import check_options, one_of, optional, whole
from recokit.compose.composed import Composed, ask, require_sources
from recokit.compose.fusion import MAX_SOURCES, fuse
from recokit.compose.step import Step, leaf_name, stage_of
from recokit.data.candidates import Retrieved
from recokit.data.requests import Requests
from recokit.errors import ConfigurationError, ContractError, did_you_mean

_OPTIONS = {
    "by": one_of("interleave", "rrf", "quota"),
    "limit": whole(1),
    "per_source": optional(whole(1)),
}


class Merge(Composed):
    """Source that asks all of its sources and fuses their lists, without repeats.

    Raw scores of different sources are never compared: the order comes from ranks alone. In a pipeline every
    source's rank and score become the columns ``{name}_rank`` (1-based) and ``{name}_score``, NaN where it did
    not find the item.

    Parameters
    ----------
    sources : sequence
        Sources, in the order that breaks ties. A Merge among them is flattened: its sources take part as if they
        stood here, and the options of the outer one hold.
    by : {"interleave", "rrf", "quota"}, default "interleave"
        ``"interleave"``: by best rank, then by the order of the sources. ``"rrf"``: by the sum of
        1 / (60 + rank), reciprocal rank fusion (Cormack, Clarke and Buettcher, 2009). ``"quota"``: each source's
        share of the limit first, then the rest, both interleaved.
    limit : int, default 500
        Maximum number of candidates of each request after fusion.
    quotas : mapping of str to float, optional
        For ``"quota"``: share of the limit by source name, in all at most 1; a source not named has none. Equal
        shares by default.
    per_source : int, optional
        Maximum number of items to ask each source for; ``limit`` by default.

    Raises
    ------
    ConfigurationError
        For no source, something that is no source, more than 64, two of one name, or an option out of range.

    Examples
    --------
    >>> import numpy as np
    >>> from recokit.candidates import FromFunction
    >>> def liked(requests, limit):
    ...     return [[3, 1]] * len(requests)
    >>> def new(requests, limit):
    ...     return [[2, 3]] * len(requests)
    >>> merge = Merge([FromFunction(liked, name="liked"), FromFunction(new, name="new")])
    >>> merge.retrieve(Requests.build(np.array([0])), limit=10).item.tolist()
    [3, 2, 1]
    """

    def __init__(
        self,
        sources: Sequence[Any],
        *,
        by: Fusion = "interleave",
        limit: int = 500,
        quotas: Mapping[str, float] | None = None,
        per_source: int | None = None,
    ) -> None:
        self.sources, self.by, self.limit = sources, by, limit
        self.quotas, self.per_source = quotas, per_source
        check_options(self, _OPTIONS)
        names = [name for name, _ in leaves(self)]
        _check_names(names)
        _check_quotas(quotas, by, names)

    def retrieve(self, requests: Requests, limit: int) -> Retrieved:
        """Ask every source and fuse: at most ``limit`` items of each row, scores NaN.

        A source that fails is left out and noted in ``errors``; if all fail, the last error is raised.

        Raises
        ------
        ContractError
            If a source returns something that is not a list of distinct items.
        ConfigurationError
            If a source has a condition (``Step(..., when=...)``), which only a pipeline evaluates.
        """
        answers: dict[str, Retrieved] = {}
        errors: list[Exception] = []
        for name, source in leaves(self):
            if isinstance(source, Step) and source.when is not None:
                raise ConfigurationError(
                    f"found a condition on {name} in a Merge used by itself; expected it in a pipeline"
                )
            own_limit = source.limit if isinstance(source, Step) else None
            try:
                answers[name] = ask(stage_of(source), requests, own_limit or self.per_source or limit, name)
            except (ContractError, ConfigurationError):
                raise
            except Exception as error:  # recall fails open: the other sources answer
                errors.append(error)
                answers[name] = Retrieved.empty(len(requests))
        if len(errors) == len(answers):
            raise errors[-1]
        batch = fuse(
            list(answers), list(answers.values()), requests, by=self.by, limit=limit, quotas=self.quotas
        )
        inner = tuple(error for part in answers.values() for error in part.errors)
        return Retrieved(batch.offsets, batch.item, batch.score, (*errors, *inner))


def leaves(merge: Merge) -> list[tuple[str, Any]]:
    """Return the names and sources of a Merge, those of nested ones in their place.

    A source that stands in a step comes as that step.

    Raises
    ------
    ConfigurationError
        For no source, something that is no source, or a nested Merge in a step.
    """
    require_sources(merge.sources, "Merge")
    named: list[tuple[str, Any]] = []
    for source in merge.sources:
        if isinstance(source, Merge):
            named += leaves(source)
        elif isinstance(stage_of(source), Merge):
            raise ConfigurationError(
                "found a Merge in a Step inside another Merge; expected it bare, since nested ones are flattened; "
                "hint: put the Step around its sources"
            )
        else:
            named.append((leaf_name(source), source))
    return named


def _check_names(names: Sequence[str]) -> None:
    if len(names) > MAX_SOURCES:
        raise ConfigurationError(f"found {len(names)} sources; expected at most {MAX_SOURCES}, one bit each")
    repeated = first_repeated(names)
    if repeated:
        raise ConfigurationError(
            f"found two sources named {repeated!r}; expected distinct names; "
            "hint: Step(source, name='another_name')"
        )


def first_repeated(names: Iterable[str]) -> str:
    """Return the first name that comes again, empty if none does."""
    seen: set[str] = set()
    for name in names:
        if name in seen:
            return name
        seen.add(name)
    return ""


def _check_quotas(quotas: Mapping[str, float] | None, by: str, names: Sequence[str]) -> None:
    if quotas is None:
        return
    if by != "quota":
        raise ConfigurationError(f"found quotas with by={by!r}; expected by='quota'")
    for name, share in quotas.items():
        if name not in names:
            raise ConfigurationError(f"found a quota for {name!r}; {did_you_mean(name, names)}")
        if not 0 <= share <= 1:
            raise ConfigurationError(f"found quota {share} for {name!r}; expected a share from 0 to 1")
    if sum(quotas.values()) > 1 + 1e-9:
        raise ConfigurationError(f"found quotas that add up to {sum(quotas.values())}; expected at most 1")
