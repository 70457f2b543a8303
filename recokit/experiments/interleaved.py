"""Interleaved: every list is made of all arms' lists, so that each user compares them."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any, cast

import numpy as np

from recokit._kernels.segments import rows_to_offsets
from recokit._utils.copies import with_fields
from recokit._utils.options import one_of, require, traced, whole
from recokit.data.ragged import Ragged
from recokit.data.requests import Requests
from recokit.errors import ConfigurationError
from recokit.experiments.exposures import Sink, writer
from recokit.experiments.hashing import KeyedHash
from recokit.experiments.interleaving import METHODS, Mixed, rank_credit
from recokit.experiments.joining import Codes
from recokit.protocols import Completer, Observer, Runnable
from recokit.result import Recommendations
from recokit.typing import AnyArray, FloatArray

_LOGGER = logging.getLogger("recokit")


class Interleaved:
    """Mix the lists of two or more pipelines into one, under their rules, and credit clicks to them.

    An item is shown only where it passes the filters of every arm; limits on the list, labels and checks are the first
    arm's, which completes the mixed list. Results have columns ``team``, the arm with the largest credit, and
    ``credit.NAME`` for each arm.

    Parameters
    ----------
    arms : mapping of str to Pipeline
        The control first.
    by : {"team_draft", "balanced", "optimised", "probabilistic"}, default "team_draft"
        All but ``"balanced"`` take any number of arms.
    log : path or callable, optional
        Where each shown item goes with its credits, as for :class:`Exposures`; read by :func:`preference`.
    reserve : int, default 2
        Arms are asked for so many times k, since rules refuse some of what is mixed.
    observers : sequence of Observer, optional
        See the traces of the completed lists.
    clock : callable, optional
        ``time.time`` by default.

    Raises
    ------
    ConfigurationError
        For fewer than two arms, an unknown method, or a first arm that cannot complete lists.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit import candidates
    >>> data = rk.testing.toy_dataset()
    >>> old = rk.Pipeline([candidates.Popular()]).fit(data)
    >>> new = rk.Pipeline([candidates.ItemKNN()]).fit(data)
    >>> mixed = Interleaved({"old": old, "new": new})
    >>> sorted(set(mixed.recommend(["user-1"], k=6, now=data.until).columns["team"].tolist()))
    ['new', 'old']
    """

    def __init__(
        self,
        arms: Mapping[str, Runnable],
        *,
        by: str = "team_draft",
        log: Sink | None = None,
        reserve: int = 2,
        observers: Sequence[Observer] = (),
        clock: Callable[[], float] | None = None,
    ) -> None:
        require(one_of(*METHODS), by=by)
        require(whole(1), reserve=reserve)
        if len(arms) < 2:
            raise ConfigurationError(f"found the arms {', '.join(arms)}; expected two or more")
        if by == "balanced" and len(arms) > 2:
            raise ConfigurationError(
                f"found {len(arms)} arms; expected two for by='balanced'; hint: 'team_draft'"
            )
        first = next(iter(arms.values()))
        if not callable(getattr(type(first), "complete", None)):
            raise ConfigurationError(
                f"found a first arm of type {type(first).__name__}; expected a pipeline, which completes lists"
            )
        self.arms, self.by, self.log, self.reserve = dict(arms), by, log, reserve
        self.observers, self.clock = tuple(observers), clock or time.time
        self._write = None if log is None else writer(log)
        self._lock = threading.Lock()
        self._codes = Codes()

    def __repr__(self) -> str:
        return f"Interleaved({', '.join(self.arms)}, by={self.by!r})"

    @property
    def control(self) -> Runnable:
        """The first arm, whose limits hold."""
        return next(iter(self.arms.values()))

    def recommend(
        self,
        users: Sequence[Any] | AnyArray | None = None,
        k: int | Sequence[int] = 10,
        *,
        now: Any = None,
        seed: int = 0,
        budget_ms: float | None = None,
        capture: Any = "summary",
        **options: Any,
    ) -> Recommendations:
        """Recommend items; options as for ``Pipeline.recommend``. The same seed gives the same mix."""
        when = self.clock() if now is None else now
        requests = self.control.requests(users, cast(int, k), now=when, seed=seed, **options)
        return self.run(requests, budget_ms=budget_ms, capture=capture)

    def run(
        self,
        requests: Requests,
        *,
        capture: Any = "summary",
        budget_ms: float | None = None,
        observe: bool = True,
    ) -> Recommendations:
        """Run requests made of the control's codes, as one batch."""
        lists = self._lists(requests, budget_ms)
        mixes = [self._mixed(requests, row, [own[row] for own in lists]) for row in range(len(requests))]
        ordered = Ragged.from_lists([mix.items for mix in mixes])
        # Nothing else may fill a list up: it has not passed the filters of every arm.
        only = _only(requests, ordered)
        completed = cast(Completer, self.control).complete(only, ordered)
        answer = self._credited(completed, mixes)
        if observe:
            for observer in self.observers:
                for trace in answer.traces:
                    _look(observer, trace)
            self._record(answer, requests)
        return answer

    def requests(self, users: Any = None, k: int = 10, **options: Any) -> Requests:
        """Return the requests that :meth:`recommend` would run, in the control's codes."""
        return self.control.requests(users, k, **options)

    # -- the arms' lists ---------------------------------------------------------------------------------

    def _lists(self, requests: Requests, budget_ms: float | None) -> list[list[list[int]]]:
        """Return each arm's lists in the control's codes, without what another arm's filters refuse."""
        schema, found = self.control.schema, []
        longer = with_fields(requests, k=requests.k * self.reserve)
        for arm in self.arms.values():
            answer = arm.run(
                self._codes.requests(longer, schema, arm.schema), budget_ms=budget_ms, observe=False
            )
            back = self._codes.map(arm.schema.item_ids, schema.item_ids)
            item = answer.item if back is None else back[answer.item]
            ends = answer.offsets.tolist()
            # Items that the control does not know cannot pass its rules.
            found.append([[one for one in item[a:b].tolist() if one] for a, b in pairwise(ends)])
        return self._passing(requests, found)

    def _passing(self, requests: Requests, lists: list[list[list[int]]]) -> list[list[list[int]]]:
        """Leave out items that do not pass the filters of an arm which has not listed them itself."""
        schema = self.control.schema
        for place, arm in enumerate(self.arms.values()):
            others = [
                sorted({item for own in lists for item in own[row]} - set(lists[place][row]))
                for row in range(len(requests))
            ]
            if not any(others):
                continue
            asked = _only(requests, Ragged.from_lists(others))
            passed = arm.candidates(self._codes.requests(asked, schema, arm.schema))
            back = self._codes.map(arm.schema.item_ids, schema.item_ids)
            item = passed.item if back is None else back[passed.item]
            allowed = [set(own[row]) for own in (lists[place],) for row in range(len(requests))]
            for row, one in zip(passed.row.tolist(), item.tolist(), strict=True):
                allowed[row].add(one)
            lists = [
                [[one for one in row if one in allowed[b]] for b, row in enumerate(own)] for own in lists
            ]
        return lists

    def _mixed(self, requests: Requests, row: int, lists: list[list[int]]) -> Mixed:
        rng = np.random.default_rng([int(requests.seed[row]), _SALT])
        k, mix = int(requests.k[row]), METHODS[self.by]
        if self.by != "optimised":
            return mix(lists, k * self.reserve, rng)
        # Chances are for the k places that are looked at, and so are credits; the reserve follows by rank.
        short = [own[:k] for own in lists]
        top = mix(short, k, rng)
        rest = METHODS["team_draft"](lists, k * self.reserve, rng).items
        items = [*top.items, *(one for one in rest if one not in top.items)]
        return Mixed(items, rank_credit(short, items))

    # -- credit ------------------------------------------------------------------------------------------------

    def _credited(self, answer: Recommendations, mixes: Sequence[Mixed]) -> Recommendations:
        """Return the answer with the credit of each item; 0 for one that no arm listed."""
        names, credit = list(self.arms), np.zeros((len(answer.item), len(self.arms)))
        ends = answer.offsets.tolist()
        for row, mix in enumerate(mixes):
            place = {item: i for i, item in enumerate(mix.items)}
            for at in range(ends[row], ends[row + 1]):
                if (i := place.get(int(answer.item[at]))) is not None:
                    credit[at] = mix.credit[i]
        team = np.array(names, object)[credit.argmax(axis=1)]
        team[(credit == credit[:, :1]).all(axis=1)] = None
        columns = {f"credit.{name}": credit[:, i] for i, name in enumerate(names)}
        return with_fields(answer, columns={**answer.columns, "team": team, **columns})

    def _record(self, answer: Recommendations, requests: Requests) -> None:
        if self._write is None:
            return
        rows = []
        for row, user in enumerate(answer.users.tolist()):
            of_list = uuid.uuid4().hex
            span = slice(int(answer.offsets[row]), int(answer.offsets[row + 1]))
            credits = {
                name: column[span].tolist() for name, column in answer.columns.items() if "credit." in name
            }
            rows += [
                {
                    "unit": None if user is None else str(user), "list": of_list, "position": at + 1,
                    "item_id": item, "timestamp": float(requests.now[row]),
                    **{name: column[at] for name, column in credits.items()},
                }
                for at, item in enumerate(answer.ids(row))
            ]  # fmt: skip
        try:
            with self._lock:
                self._write(rows)
        except Exception as error:
            _LOGGER.warning("the log of interleaved lists failed: %s", traced(error))


#: Beside the seed of a request, so that no stage draws the same.
_SALT = int(KeyedHash().shares(["interleaved"], "salt")[0] * 2**32)


def _only(requests: Requests, items: Ragged) -> Requests:
    """Return requests that rank these items only; a row without any has none to rank."""
    offsets, values = items.offsets, items.values
    given = requests.from_caller.get("items")
    if given is not None:
        kept = np.array(
            [
                not given[row] or item in requests.ragged["items"].row(row)
                for row, item in zip(items.rows.tolist(), values.tolist(), strict=True)
            ],
            np.bool_,
        )
        values, offsets = values[kept], rows_to_offsets(items.rows[kept], len(requests))
    columns: dict[str, FloatArray] = {
        "timestamp": requests.now[np.repeat(np.arange(len(requests)), np.diff(offsets))],
        "weight": np.ones(len(values), np.float32),
        "event": np.zeros(len(values), np.int64),
    }
    return with_fields(
        requests,
        ragged={**requests.ragged, "items": Ragged(offsets, values, columns)},
        from_caller={**requests.from_caller, "items": np.ones(len(requests), np.bool_)},
    )


def _look(observer: Observer, trace: Any) -> None:
    try:
        observer.observe(trace)
    except Exception as error:
        _LOGGER.warning("observer %s failed: %s", type(observer).__name__, traced(error))
