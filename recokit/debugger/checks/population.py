"""Checks that need many users: lists that are all alike, limits that always yield, fallbacks that carry most lists."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol, TypeAlias

import numpy as np

from recokit.debugger.checks.causes import finding
from recokit.debugger.facts import Facts, Items
from recokit.debugger.finding import Finding
from recokit.trace import Status

#: A finding, and the places of the users that it concerns.
Shared: TypeAlias = tuple[Finding, Sequence[int]]


class PopulationCheck(Protocol):
    """Looks at many users' runs at once."""

    def look_at_all(self, users: Sequence[Facts]) -> list[Shared]:
        """Return findings, each with the places of the users that it concerns."""
        ...


class Personalization:
    """Whether users with different histories get different lists, and at which stage that is lost.

    Of two random users, the share of items that both have: in what hydrators give, in the answers of sources that go by
    the history, among the best by score, and on the lists. The earliest stage where it is too large is named.

    Parameters
    ----------
    alike : float, default 0.9
        Without a baseline: largest share.
    more : float, default 0.3
        With one: how much larger it may be than in the baseline.
    min_users : int, default 6
        Users with a history that there must be.
    """

    def __init__(self, alike: float = 0.9, more: float = 0.3, min_users: int = 6) -> None:
        self.alike, self.more, self.min_users = alike, more, min_users

    def look_at_all(self, users: Sequence[Facts]) -> list[Shared]:
        """Return findings, each with the places of the users that it concerns."""
        places = [place for place, one in enumerate(users) if not one.cold]
        known = [users[place] for place in places]
        if len(known) < self.min_users:
            return []
        for stage in dict.fromkeys(name for one in known for name in one.hydrated):
            found = self._hydrated(known, places, stage)
            if found:
                return [found]
        for stage in dict.fromkeys(name for one in known for name in one.sources):
            said = self._said(known, partial(_answered, stage))
            if said:
                return [(finding("PERSONALIZATION_LOST", stage, said, what="answers"), places)]
        if not _candidates_differ(known):
            return []
        for stage, get in (("", _best), ("", _shown)):
            said = self._said(known, get)
            if said:
                what = "best by score" if get is _best else "lists"
                return [(finding("PERSONALIZATION_LOST.ranking", stage, said, what=what), places)]
        return []

    def _hydrated(self, known: Sequence[Facts], places: Sequence[int], stage: str) -> Shared | None:
        """Return the finding that one and the same list is given to most users."""
        lists = [one.hydrated.get(stage, ()) for one in known]
        (common, n), *_ = Counter(lists).most_common(1)
        usual = [one.usual.hydrated.get(stage, ()) for one in known if one.usual is not None]
        usually = Counter(usual).most_common(1)[0][1] if usual else 0
        if not common or n < max(self.min_users, len(known) / 2) or usually > n / 2:
            return None
        concerned = [place for place, items in zip(places, lists, strict=True) if items == common]
        figures = {"list": "history", "n": n, "of": len(known)}
        return finding("HISTORY_SAME_FOR_ALL", stage, figures), concerned

    def _said(self, known: Sequence[Facts], get: Callable[[Facts], Items]) -> dict[str, float] | None:
        """Return how alike lists are, here and in the baseline, where that is too much."""
        here = alikeness([get(one) for one in known])
        if all(one.usual is not None for one in known):
            usual = alikeness([get(one.usual) for one in known if one.usual is not None])
            too_much = here > usual + self.more or (here > self.alike and usual < self.alike - 0.1)
            return {"alike": here, "usual": usual} if too_much else None
        return {"alike": here} if here > self.alike else None


def _answered(stage: str, one: Facts) -> Items:
    return one.sources.get(stage, ())


def _best(one: Facts) -> Items:
    return one.best


def _shown(one: Facts) -> Items:
    return one.shown


def _candidates_differ(known: Sequence[Facts]) -> bool:
    """Whether the pipeline is meant to be personal at all: users have lists, or sources go by them."""
    return any(one.sources or one.hydrated for one in known)


def alikeness(lists: Sequence[Items]) -> float:
    """Return the mean share of items that two random lists have in common, of those that are not empty."""
    filled = [items for items in lists if items]
    if len(filled) < 2:
        return float("nan")
    counts = np.array(list(Counter(item for items in filled for item in set(items)).values()))
    n, length = len(filled), float(np.mean([len(set(items)) for items in filled]))
    return float((counts * (counts - 1)).sum() / (n * (n - 1) * length))


class MostlyRelaxed:
    """Soft limits that yield for most users: they cannot be met.

    Parameters
    ----------
    most : float, default 0.5
        Share of the users from which on it is a finding; of the baseline's it must be below.
    """

    def __init__(self, most: float = 0.5) -> None:
        self.most = most

    def look_at_all(self, users: Sequence[Facts]) -> list[Shared]:
        """Return findings, each with the places of the users that it concerns."""
        found: list[Shared] = []
        usually = Counter(name for one in users if one.usual is not None for name in one.usual.relaxed)
        for name, n in Counter(name for one in users for name in one.relaxed).items():
            if n < self.most * len(users) or n < 3 or usually[name] > n / 2:
                continue
            places = [place for place, one in enumerate(users) if name in one.relaxed]
            stage = users[places[0]].relaxed[name]
            found.append(
                (finding("LIMIT_RELAXED.mostly", stage, {"n": n, "of": len(users)}, limit=name), places)
            )
        return found


class FallbackCarries:
    """A fallback that fills most lists, and where the funnel runs dry.

    Parameters
    ----------
    most : float, default 0.5
        Share of the users from which on it is a finding.
    """

    def __init__(self, most: float = 0.5) -> None:
        self.most = most

    def look_at_all(self, users: Sequence[Facts]) -> list[Shared]:
        """Return findings, each with the places of the users that it concerns."""
        places = [place for place, one in enumerate(users) if one.status == Status.FALLBACK]
        usually = sum(one.usual is not None and one.usual.status == Status.FALLBACK for one in users)
        if len(places) < max(3.0, self.most * len(users)) or usually > len(places) / 2:
            return []
        (dry, _), *_ = Counter(users[place].dry for place in places).most_common(1)
        figures = {"n": len(places), "of": len(users)}
        return [(finding("FALLBACK_CARRIES", dry, figures, where=dry or "the limits on the list"), places)]


class ShortAnswers:
    """Sources that end everyone's answer at one small number, and fusions that leave little to choose from.

    Without a baseline, which tells more by itself (:class:`FunnelLimits`).

    Parameters
    ----------
    least : float, default 2.0
        Candidates for each place of the list that a fusion must keep, of those that the sources give.
    min_users : int, default 6
        Users with a history that there must be.
    """

    def __init__(self, least: float = 2.0, min_users: int = 6) -> None:
        self.least, self.min_users = least, min_users

    def look_at_all(self, users: Sequence[Facts]) -> list[Shared]:
        """Return findings, each with the places of the users that it concerns."""
        places = [place for place, one in enumerate(users) if not one.cold]
        known = [users[place] for place in places]
        if len(known) < self.min_users or any(one.usual is not None for one in known):
            return []
        found: list[Shared] = []
        k = max(one.k for one in known)
        for name in dict.fromkeys(name for one in known for name in one.found):
            counts = {one.found.get(name, 0) for one in known}
            given = min(sum(one.found.values()) - one.found.get(name, 0) for one in known)
            is_source = any(name in one.sources for one in known)
            n = max(counts)
            if len(counts) > 1 or not n:
                continue
            if (is_source and n < k) or (
                not is_source and n < self.least * k and given >= 1.5 * n and _is_fusion(name, known)
            ):
                found.append((finding("FUNNEL_CUT.alone", name, {"found": n, "k": k}), places))
        return found


def _is_fusion(name: str, known: Sequence[Facts]) -> bool:
    return all(other == name or other.startswith(f"{name}.") for one in known for other in one.found)
