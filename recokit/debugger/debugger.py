"""RecommendationDebugger: from "recommendations look bad" to the stage, the cause and the action."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

import numpy as np

from recokit._utils.moved import renamed
from recokit._utils.options import above, require
from recokit.data import Dataset, Requests
from recokit.data.segments import segments_by
from recokit.debugger.captured import ranked_batch
from recokit.debugger.checks import CHECKS, POPULATION_CHECKS, Check, PopulationCheck
from recokit.debugger.compare import Comparison, first_difference
from recokit.debugger.confirm import Again
from recokit.debugger.diagnosis import Diagnosis, figures_of, funnel_of, gaps_of, ranked_findings
from recokit.debugger.evidence import Evidence
from recokit.debugger.facts import Facts
from recokit.debugger.finding import Finding
from recokit.debugger.instead import lists_instead
from recokit.debugger.item_fate import Answer, depth_of
from recokit.debugger.model_scan import scan_models
from recokit.debugger.plain import Subject, runnable
from recokit.debugger.population import PopulationDiagnosis
from recokit.debugger.recorded import Recorded
from recokit.debugger.replay import LONGEST, Replayer, feature_scale, replay, single_request, translated
from recokit.debugger.report_page import RequestPage
from recokit.debugger.scan import Probes, Scan, offered_in, probes_of, scan_rankers, scan_source
from recokit.debugger.time_scan import scan_times
from recokit.debugger.traffic_sample import TrafficSample
from recokit.debugger.user_log import UserLog
from recokit.errors import ConfigurationError
from recokit.protocols import Role, Runnable
from recokit.trace import Trace
from recokit.typing import IntArray

#: Users of one batch in ``diagnose_many``: bounds its memory.
BATCH = 64
#: Users of a sample whose requests run alone, so that their times are those of a request; further ones, where some of
#: these are slow and others not.
TIMED, TIMED_MORE = 8, 32
#: Users whose requests a scan runs, and items that it asks the sources with.
SCANNED, PROBES = 16, 200
#: Users asked again to confirm what was found of many.
CONFIRMED = 12
#: Labels that a column of the users may have to tell segments apart.
MAX_LABELS = 30


class RecommendationDebugger:
    """Walks a pipeline top-down for one user, or many, and names the stage, the cause and the action.

    It runs the user's request again with everything captured, and on the baseline if there is one; observers see
    neither run, and both read the same versions of live values. Each run may take ten times the
    request's budget, so that a slow stage is timed rather than cut off, and a hanging source is cut off at last.

    Parameters
    ----------
    pipeline : Pipeline, or lists
        Fitted; or any :class:`Runnable`, with your own stages in it; or lists made elsewhere: item ids by user, a
        sequence of lists, :class:`Recommendations`.
    known_good : Dataset or mapping, optional
        Items known to be good: each user's events in a dataset, or lists of item ids by user id. Without it the recall
        of the candidates is not assessed.
    baseline : Pipeline, optional
        A healthy pipeline to compare with, such as last week's. Where that knows older events only,
        ``baseline.with_events(dataset)`` gives it today's.
    scores : mapping of user to numbers, or sequence, optional
        Of lists made elsewhere: a score for each item.
    log : Dataset, optional
        All events up to now, as they should be known: what hydrators give is compared with it where there is no
        baseline. ``diagnose_many(history=...)`` is one too.
    checks, population_checks : sequence of Check, of PopulationCheck
        Of each user's run, and of many at once; recokit's own by default.
    budget_ms : float, default 100
        Time that a request may take.
    max_ms : float, optional
        Time after which a diagnosis of one user starts no further run, 20 times ``budget_ms`` by default. The request
        runs once in any case.
    context : mapping of str to value, optional
        Context columns of the requests that are made: a value for all, or a mapping of user id to value.

    Examples
    --------
    >>> import recokit as rk
    >>> from recokit.candidates import Popular
    >>> pipeline = rk.Pipeline([Popular(window="3650D")]).fit(rk.testing.toy_dataset())
    >>> user = pipeline.schema.user_ids.decode([1])[0]
    >>> rk.RecommendationDebugger(pipeline).diagnose(user, now=pipeline.fitted_until).verdict
    'NO_OBVIOUS_ISSUE'
    """

    def __init__(
        self,
        pipeline: Subject,
        *,
        scores: Any = None,
        known_good: Dataset | Mapping[Any, Sequence[Any]] | None = None,
        baseline: Subject | None = None,
        log: Dataset | None = None,
        checks: Sequence[Check] = CHECKS,
        population_checks: Sequence[PopulationCheck] = POPULATION_CHECKS,
        budget_ms: float = 100.0,
        max_ms: float | None = None,
        context: Mapping[str, Any] | None = None,
    ) -> None:
        max_ms = LONGEST * budget_ms if max_ms is None else max_ms
        require(above(0), budget_ms=budget_ms, max_ms=max_ms)
        self.pipeline = runnable(pipeline, scores, known_good=known_good, context=context)
        self.baseline = None
        if baseline is not None:
            self.baseline = runnable(baseline, known_good=known_good, context=context)
        self.known_good = known_good
        self.checks, self.budget_ms, self.max_ms = tuple(checks), budget_ms, max_ms
        self.population_checks = tuple(population_checks)
        self.scanned = Scan()
        self.log = None if log is None else UserLog(log, self.pipeline.schema)
        self._replayer = Replayer(self.pipeline, self.baseline, known_good, budget_ms / 1e3, max_ms / 1e3)

    # -- one user ----------------------------------------------------------------------------------

    def diagnose(
        self, user: Any, context: Mapping[str, Any] | None = None, *, k: int = 10, **options: Any
    ) -> Diagnosis:
        """Diagnose one user's list.

        Parameters
        ----------
        user : object
            External id; None for an anonymous user.
        context : mapping of str to value, optional
            Context of the request, such as ``{"device": "app"}``.
        k : int, default 10
            List length.
        options
            As for ``Pipeline.recommend``: ``now``, ``history``, ``session``, ``seed``, and so on.

        Returns
        -------
        Diagnosis
        """
        requests = self.pipeline.requests([user], k, context=context, **options)
        return self._of_one(requests, user)

    def diagnose_trace(self, trace: Trace, row: int = 0) -> Diagnosis:
        """Diagnose a live request, or a saved one, from its trace.

        A trace with ``capture="full"`` is read as it is; of any other, the request runs again with the live values
        that it read. Errors, timeouts and the status that the trace records are findings, also where the run again has
        none.

        Parameters
        ----------
        trace : Trace
        row : int, default 0
            Which request of the run.

        Raises
        ------
        IndexError
            If there is no such row.
        """
        if not 0 <= row < len(trace.requests):
            raise IndexError(f"found row {row}; expected 0 to {len(trace.requests) - 1}")
        users = [None] * len(trace.requests) if trace.users is None else list(trace.users)
        if any(event.after is not None for event in trace.events):
            evidences = self._evidence(trace.requests, users, trace=trace)
            return next(self._diagnosed(islice(evidences, row, row + 1), [users[row]]))
        one = single_request(trace.requests, row)
        recorded = [Recorded.of(trace, row)]
        return self._of_one(one, users[row], recorded=recorded)

    def _of_one(self, requests: Requests, user: Any, **more: Any) -> Diagnosis:
        found = next(self._diagnosed(self._evidence(requests, [user], **more), [user]))

        def ask(other: RecommendationDebugger, *, scan: bool) -> Diagnosis:
            if scan:
                other.scan(now=float(requests.now[0]))
            return other._of_one(requests, user, **more)

        return replace(found, again=Again(self, ask))

    def within(self, max_ms: float | None) -> RecommendationDebugger:
        """Return a debugger of the same pipelines, with another time for each diagnosis."""
        return self.beside(self.pipeline, self.scanned, self.max_ms if max_ms is None else max_ms)

    def beside(
        self, pipeline: Runnable, scanned: Scan, max_ms: float | None = None
    ) -> RecommendationDebugger:
        """Return a debugger of another pipeline beside the same baseline, with scans made before."""
        twin = copy.copy(self)
        twin.pipeline, twin.scanned = pipeline, scanned
        twin.max_ms = self.max_ms if max_ms is None else max_ms
        twin._replayer = Replayer(
            pipeline, self.baseline, self.known_good, self.budget_ms / 1e3, twin.max_ms / 1e3
        )
        return twin

    def _evidence(
        self, requests: Requests, users: Sequence[Any], *, log: UserLog | None = None, **more: Any
    ) -> Iterator[Evidence]:
        log = self.log if log is None else log
        return self._replayer.evidence(requests, users, scan=self.scanned, log=log, **more)

    def _log_of(self, history: Dataset | None) -> UserLog | None:
        return None if history is None or self.log is not None else UserLog(history, self.pipeline.schema)

    def _diagnosed(self, evidences: Iterator[Evidence], users: Sequence[Any]) -> Iterator[Diagnosis]:
        return (self._concluded(one) for one in self._looked_at(evidences, users))

    def _looked_at(
        self, evidences: Iterator[Evidence], users: Sequence[Any], *, facts: bool = False
    ) -> Iterator[_Looked]:
        for user, evidence in zip(users, evidences, strict=True):
            yield _Looked(
                Diagnosis(
                    user,
                    tuple(finding for check in self.checks for finding in check.look(evidence)),
                    figures_of(evidence),
                    funnel_of(evidence),
                    gaps_of(evidence),
                    timed=evidence.alone,
                ),
                evidence.place_of,
                evidence.role_of,
                Facts.of(evidence) if facts else None,
            )

    def _concluded(self, one: _Looked, more: Sequence[Finding] = ()) -> Diagnosis:
        findings = [*more, *one.diagnosis.findings]
        return replace(one.diagnosis, findings=ranked_findings(findings, one.place_of, one.role_of))

    def _population(
        self,
        users: Sequence[Any],
        looked: Sequence[_Looked],
        requests: Requests | Sequence[Requests],
        history: Dataset | None,
        by: Any,
    ) -> PopulationDiagnosis:
        """Conclude from the findings of each user and those of all together."""
        facts = [one.facts for one in looked if one.facts is not None]
        more: list[list[Finding]] = [[] for _ in looked]
        for check in self.population_checks:
            for finding, places in check.look_at_all(facts):
                for place in places:
                    more[place].append(finding)
        diagnoses = [self._concluded(one, own) for one, own in zip(looked, more, strict=True)]
        segments = self._segments(users, diagnoses, requests, history, by) if looked else {}
        return PopulationDiagnosis(tuple(diagnoses), segments)

    # -- many users --------------------------------------------------------------------------------

    def diagnose_many(
        self,
        users: Sequence[Any],
        *,
        history: Dataset | None = None,
        by: Any = "activity",
        k: int = 10,
        scan: bool = True,
        **options: Any,
    ) -> PopulationDiagnosis:
        """Diagnose a sample of users, and find the segment that carries each cause.

        Requests run in batches; those of a few users run alone, for their times. The sources are scanned first,
        unless that has been done (:meth:`scan`).

        Parameters
        ----------
        users : sequence of ids
            None for an anonymous user.
        history : Dataset, optional
            The segments of ``by`` are counted in it; without it there are only those below.
        by : object or list of str, default "activity"
            See :func:`recokit.data.segments_by`; several in a list. Whether a user has a history, the users' own
            columns and the context of the requests always count as segments, alone and combined.
        k : int, default 10
        scan : bool, default True
            Whether to scan the sources.
        options
            As for :meth:`diagnose`; ``context`` may hold a list with a value for each user.
        """
        requests = self.pipeline.requests(list(users), k, **options)
        if scan and not self.scanned and len(users):
            spread = np.unique(np.linspace(0, len(users) - 1, SCANNED).round().astype(np.int64))
            self._scan(
                requests.take(spread), [users[row] for row in spread], PROBES, np.random.default_rng(0)
            )
        looked: dict[int, _Looked] = {}
        log = self._log_of(history)
        scale: dict[str, float] = {}
        for rows in _batches(len(users)):
            part = requests.take(np.array(rows))
            some = [users[row] for row in rows]
            if not scale:
                reference = self.pipeline if self.baseline is None else self.baseline
                few = translated(part, some, self.pipeline, reference)
                scale = feature_scale(replay(reference, few, self.budget_ms / 1e3))
            gathered = self._evidence(part, some, scale=scale, log=log)
            looked |= zip(rows, self._looked_at(gathered, some, facts=True), strict=True)
        for row in _to_time(looked):
            part, some = requests.take(np.array([row])), [users[row]]
            gathered = self._evidence(part, some, scale=scale, log=log)
            looked[row] = next(self._looked_at(gathered, some, facts=True))
        found = self._population(users, [looked[row] for row in range(len(users))], requests, history, by)
        some = _some_of(found, users)
        of_some = {name: _taken(value, some, len(users)) for name, value in options.items()}

        def ask(other: RecommendationDebugger, *, scan: bool) -> PopulationDiagnosis:
            named = [users[place] for place in some]
            return other.diagnose_many(named, history=history, by=by, k=k, scan=scan, **of_some)

        return replace(found, again=Again(self, ask))

    @renamed(most="max_requests")
    def watch(self, *, share: float = 0.01, max_requests: int = 1_000) -> TrafficSample:
        """Return an observer that samples live requests, for :meth:`diagnose_watched`.

        Give it to the pipeline: ``Pipeline(..., observers=[watch])``; the debugger may be made before or after.

        Parameters
        ----------
        share : float, default 0.01
            Of the requests.
        max_requests : int, default 1000
            Requests kept, the latest.
        """
        return TrafficSample(share=share, max_requests=max_requests)

    def diagnose_watched(
        self, watch: TrafficSample, *, history: Dataset | None = None, by: Any = "activity"
    ) -> PopulationDiagnosis:
        """Diagnose the requests that an observer kept, each as of its own time and with the live values it read."""
        kept, log = watch.take(), self._log_of(history)
        looked = [
            found
            for one in kept
            for found in self._looked_at(
                self._evidence(one.requests, [one.user], recorded=[one.recorded], log=log),
                [one.user],
                facts=True,
            )
        ]
        users, requests = [one.user for one in kept], [one.requests for one in kept]
        return self._population(users, looked, requests, history, by)

    def _segments(
        self,
        users: Sequence[Any],
        diagnoses: Sequence[Diagnosis],
        requests: Requests | Sequence[Requests],
        history: Dataset | None,
        by: Any,
    ) -> dict[str, tuple[str, ...]]:
        # Where two segments are the same users, the first is named.
        segments: dict[str, tuple[str, ...]] = {
            "history": tuple("new" if one.figures["cold"] else "known" for one in diagnoses)
        }
        if history is not None:
            for one in by if isinstance(by, list | tuple) else [by]:
                name = one.removeprefix("user.") if isinstance(one, str) and one != "activity" else ""
                segments[name] = _labels(segments_by(history, one), history.user_ids, users)
        schema = self.pipeline.schema
        for name, column in schema.users.categorical.items():
            if len(column.labels) <= MAX_LABELS:
                segments.setdefault(name, _labels(column, schema.user_ids, users))
        # The context of a request goes before the table of its user.
        return {**segments, **_context(requests)}

    # -- catalogue scans ---------------------------------------------------------------------------

    def scan(
        self, users: Sequence[Any] | None = None, *, probes: int = PROBES, seed: int = 0, **options: Any
    ) -> Scan:
        """Scan sources and rankers: indexes, arrays, and the weight of features. Later diagnoses use the figures.

        Apart from :meth:`diagnose`, since it costs more than the request that is explained: a few requests for each
        hundred probes, and the explanation of 5 items of each user by each ranker.

        Parameters
        ----------
        users : sequence of ids, optional
            Whose requests are run for that; 16 at random by default.
        probes : int, default 200
            Items that the sources are queried with, of those that these users have or are offered.
        seed : int, default 0
            Of the draw of users and items.
        options
            As for :meth:`diagnose`.
        """
        random = np.random.default_rng(seed)
        if users is None:
            user_ids = self.pipeline.schema.user_ids
            users = user_ids.decode(_drawn(random, len(user_ids), SCANNED)).tolist() or [None]
        return self._scan(self.pipeline.requests(list(users), **options), users, probes, random)

    def _scan(
        self, requests: Requests, some: Sequence[Any], probes: int, random: np.random.Generator
    ) -> Scan:
        budget = self.budget_ms / 1e3
        trace, usual = replay(self.pipeline, requests, budget), None
        stages, usual_stages = {node.name: node.stage for node in self.pipeline}, {}
        pinned, codes, theirs = dict(trace.requests.pinned), self._replayer.codes, None
        offered = offered_in(trace)
        if self.baseline is not None:
            translated_again = translated(requests, some, self.pipeline, self.baseline)
            usual = replay(self.baseline, replace(translated_again, pinned=pinned), budget)
            usual_stages = {node.name: node.stage for node in self.baseline}
            pinned |= usual.requests.pinned
            # A broken source offers items that nobody is offered otherwise: the baseline's matter.
            offered = offered_in(usual) if codes is None else codes[offered_in(usual)]
        items = probes_of(trace, offered, random, probes)
        if self.baseline is not None and codes is not None:
            theirs = self.baseline.schema.item_ids.encode(self.pipeline.schema.item_ids.decode(items))
        queries = Probes(items, float(trace.requests.now[0]), pinned, codes, theirs)
        sources = {
            node.name: scan_source(node.stage, usual_stages.get(node.name), queries)
            for node in self.pipeline
            if node.role is Role.SOURCE and not node.name.startswith("fallback.")
        }
        bare = replace(requests, pinned=pinned)
        same = usual_stages if codes is None else {}
        batch = ranked_batch(trace if usual is None or codes is not None else usual)
        times = scan_times(list(self.pipeline), same, bare, batch)
        models = scan_models(trace, stages, same)
        self.scanned = Scan(sources, scan_rankers(trace, stages, usual, usual_stages), times, models)
        return self.scanned

    def why(
        self,
        user: Any,
        item: Any,
        *,
        k: int = 10,
        depth: bool = True,
        scan_ms: float = 1_000.0,
        **options: Any,
    ) -> Answer:
        """Return where an item went in a user's run: not retrieved, removed by a rule, not selected, or shown.

        Parameters
        ----------
        user, item : object
            External ids.
        k : int, default 10
        depth : bool, default True
            Whether to query each source for its whole answer if the item was not retrieved: a scan of the catalogue.
        scan_ms : float, default 1000
            Time after which no further source is queried.
        options
            As for :meth:`diagnose`.

        Raises
        ------
        ConfigurationError
            If the item is not in the catalogue.
        """
        code = int(self.pipeline.schema.item_ids.encode([item])[0])
        if not code:
            raise ConfigurationError(
                f"found item {item!r}, which is not in the catalogue; expected one that is"
            )
        requests = self.pipeline.requests([user], k, **options)
        trace = replay(self.pipeline, requests, self.budget_ms / 1e3)
        location = trace.locate(0, code)
        titles = self.pipeline.schema.items.titles
        title = None if titles is None else titles[code]
        if location.fate != "not retrieved" or not depth:
            return Answer(location, title=title)
        n_items = len(self.pipeline.schema.item_ids)
        depths = depth_of(trace, self.pipeline, code, n_items=n_items, seconds=scan_ms / 1e3)
        return Answer(location, depths, title)

    def page(
        self, user: Any, context: Mapping[str, Any] | None = None, *, k: int = 10, **options: Any
    ) -> RequestPage:
        """Return one request as a page, with its diagnosis and, beside a baseline, the lists that it would be instead.

        Parameters
        ----------
        user, context, k, options
            As for :meth:`diagnose`.
        """
        requests = self.pipeline.requests([user], k, context=context, **options)
        trace, seconds = replay(self.pipeline, requests, self.budget_ms / 1e3), self.budget_ms / 1e3
        found = self._of_one(replace(requests, pinned=trace.requests.pinned), user)
        instead = {}
        if self.baseline is not None:
            instead = lists_instead(
                self.pipeline, self.baseline, trace, user, suspected=found.stage, seconds=seconds
            )
        return RequestPage(trace, found, instead=instead)

    def compare(self, other: Runnable, users: Sequence[Any], *, k: int = 10, **options: Any) -> Comparison:
        """Return at which stage two pipelines first differ, user by user.

        Parameters
        ----------
        other : Runnable
            Compared with the debugger's own pipeline, at the same time and with the same live values.
        users : sequence of ids
        k, options
            As for :meth:`diagnose`.
        """
        first: dict[str, int] = {}
        budget = self.budget_ms / 1e3
        for user in users:
            requests = self.pipeline.requests([user], k, **options)
            mine = replay(self.pipeline, requests, budget)
            same = translated(requests, [user], self.pipeline, other)
            theirs = replay(other, replace(same, pinned=mine.requests.pinned), budget)
            place = first_difference(mine, theirs, self.pipeline.schema.item_ids, other.schema.item_ids)
            first[place] = first.get(place, 0) + 1
        return Comparison(first)


@dataclass(frozen=True, eq=False)
class _Looked:
    """What the checks found of one user, before it is put in order with what they find of all."""

    diagnosis: Diagnosis
    place_of: Mapping[str, int]
    role_of: Mapping[str, str]
    facts: Facts | None


def _some_of(found: PopulationDiagnosis, users: Sequence[Any]) -> list[int]:
    """Return the places of some users to ask again: most of them with the first finding."""
    if not found.findings:
        return []
    first = (found.findings[0].code, found.findings[0].stage)
    having = [
        place
        for place, one in enumerate(found.diagnoses)
        if first in [(finding.code, finding.stage) for finding in one.findings]
    ]
    others = [place for place in range(len(users)) if place not in set(having)]
    return sorted([*having[:CONFIRMED], *others[: CONFIRMED // 4]])


def _taken(value: Any, places: Sequence[int], n: int) -> Any:
    """Return the values of some users of an option that has one for each, or of a mapping of such."""
    if isinstance(value, Mapping):
        return {name: _taken(one, places, n) for name, one in value.items()}
    if isinstance(value, np.ndarray) and value.shape[:1] == (n,):
        return value[list(places)]
    return (
        [value[place] for place in places] if isinstance(value, list | tuple) and len(value) == n else value
    )


def _drawn(random: np.random.Generator, n: int, size: int) -> IntArray:
    return np.sort(random.choice(np.arange(1, n + 1), min(size, n), replace=False))


def _batches(n: int) -> Iterator[list[int]]:
    """Give the rows of each batch: the bulk together, then some alone, spread over all."""
    alone = set(np.unique(np.linspace(0, n - 1, min(TIMED, n)).round().astype(int)).tolist()) if n else set()
    rest = [row for row in range(n) if row not in alone]
    for start in range(0, len(rest), BATCH):
        yield rest[start : start + BATCH]
    for row in sorted(alone):
        yield [row]


def _to_time(looked: Mapping[int, _Looked]) -> list[int]:
    """Return more rows to run alone, to tell who is slow, where some of those that ran alone are and others not."""
    alone = [one.diagnosis for one in looked.values() if one.diagnosis.timed]
    slow = sum(any(found.code == "STAGE_SLOW" for found in one.findings) for one in alone)
    if slow in (0, len(alone)):
        return []
    rest = sorted(row for row, one in looked.items() if not one.diagnosis.timed)
    return [rest[place] for place in np.linspace(0, len(rest) - 1, min(TIMED_MORE, len(rest))).astype(int)]


def _labels(segments: Any, ids: Any, users: Sequence[Any]) -> tuple[str, ...]:
    known = np.array([user is not None for user in users], np.bool_)
    codes = np.zeros(len(users), np.int64)
    if known.any():
        codes[known] = ids.encode([user for user in users if user is not None])
    names = segments.labels.decode(segments.codes[codes])
    return tuple("" if name is None else str(name) for name in names.tolist())


def _context(requests: Requests | Sequence[Requests]) -> dict[str, tuple[str, ...]]:
    """Return the context columns that tell requests apart, each value as text."""
    parts = [requests] if isinstance(requests, Requests) else list(requests)
    shared = set.intersection(*(set(part.columns) for part in parts))
    labels = {}
    for name in sorted(shared):
        values = tuple(str(value) for part in parts for value in part.columns[name].tolist())
        if 1 < len(set(values)) <= MAX_LABELS:
            labels[name] = values
    return labels
