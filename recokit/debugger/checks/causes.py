"""The causes that recokit's checks find: a row for each code, with its severity, its questions answered and its texts.

A new check is a class with ``look``, a row here, a test and a line in the table of docs/how_to/debugging.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from recokit.debugger.finding import Finding, Origin, Place, Severity


@dataclass(frozen=True)
class Cause:
    """One way in which a list goes bad, as all findings of it say it.

    Parameters
    ----------
    severity : Severity
        Unless the check knows better.
    place : {"candidates", "ranking", "list", "serving"}
        Candidates or ranking?
    origin : {"data", "model", "serving", "settings"}
        Data, model or serving?
    message, action : str
        What was found, and what to do about it. Placeholders such as ``{stage}`` or ``{share:.0%}`` are filled from the
        finding; a part in square brackets is left out where its figure is missing, zero or empty.
    relative : bool, default False
        Whether it is found only beside a baseline.
    """

    severity: Severity
    place: Place
    origin: Origin
    message: str
    action: str
    relative: bool = False

    def finding(
        self,
        code: str,
        stage: str = "",
        evidence: Mapping[str, Any] | None = None,
        *,
        items: tuple[Any, ...] = (),
        severity: Severity | None = None,
        relative: bool | None = None,
        **figures: Any,
    ) -> Finding:
        """Return a finding of this cause; the parameters are those of :func:`finding`.

        Examples
        --------
        >>> short = Cause(Severity.WARNING, "list", "settings", "the list has {n} items[ of {k}]", "Loosen {stage}.")
        >>> found = short.finding("LIST_SHORT", "rules.mine", {"n": 3}, k=10)
        >>> found.message, found.action
        ('the list has 3 items of 10', 'Loosen rules.mine.')
        """
        evidence = evidence or {}
        named = {"stage": stage, "leaf": stage.rpartition(".")[2], **evidence, **figures}
        return Finding(
            code,
            self.severity if severity is None else severity,
            stage,
            message=_filled(self.message, named),
            action=_filled(self.action, named),
            place=self.place,
            origin=self.origin,
            evidence=evidence,
            items=items,
            relative=self.relative if relative is None else relative,
        )


NOTE, SYMPTOM, WARNING, CRITICAL = Severity

# fmt: off
#: By code; a code that is found in several ways has a row ``CODE.way`` for each further one.
CAUSES: Mapping[str, Cause] = {
    # -- requests ----------------------------------------------------------------------------------
    "HISTORY_EMPTY": Cause(CRITICAL, "candidates", "data",
        "{stage} gives no {list}, and the user has {usual} events",
        "Ask {stage} for this user by itself: {stage}.hydrate(requests). Does it know the user's id, "
        "and does "
        "what it reads hold this segment?"),
    "HISTORY_OF_ANOTHER": Cause(CRITICAL, "candidates", "data",
        "{shared:.0%} of the items in the {list} that {stage} gives are this user's own",
        "Compare {stage}.hydrate(requests) with the log: by which key does {stage} look users up, "
        "and does a "
        "cache answer for another one?"),
    "SESSION_OF_ANOTHER": Cause(CRITICAL, "candidates", "data",
        "{shared:.0%} of the items in the session that {stage} gives are this request's own",
        "Check by which key {stage} finds a session, and whether that key may be handed on to somebody else."),
    "OWNED_LOST": Cause(CRITICAL, "candidates", "data",
        "{stage} gives nothing that the user owns, and there are {usual} purchases",
        "Check which events {stage} counts as purchases, and whether they still arrive: nothing keeps the user "
        "from being "
        "offered again what is bought already."),
    "HISTORY_SAME_FOR_ALL": Cause(CRITICAL, "candidates", "data",
        "{stage} gives {n} of {of} users one and the same {list}",
        "Compare {stage}.hydrate(requests) of two users: which default, or cache without the user in "
        "its key, "
        "answers?"),
    "HISTORY_TRUNCATED": Cause(CRITICAL, "candidates", "data",
        "{stage} gives {kept} of the {usual} events of the {list}",
        "Look at the limit of {stage} (max_events) and of what it reads."),
    "HISTORY_LATE": Cause(CRITICAL, "candidates", "data",
        "{stage} lacks the {newest_missing} newest of {usual} events of the {list}",
        "Check until when {stage} has seen events, its order (newest first, or oldest?) and its limit."),
    "HISTORY_DUPLICATED": Cause(CRITICAL, "candidates", "data",
        "{stage} gives events of the {list} more than once: {events}[ in place of {usual}]",
        "Check for events that are delivered twice: is there an event id to drop them by?"),
    "HISTORY_REORDERED": Cause(CRITICAL, "candidates", "data",
        "{stage} gives the {list} in another order than that of time",
        "Sort by time, oldest first, where {stage} reads the events."),
    "TIME_SHIFTED": Cause(CRITICAL, "candidates", "data",
        "{stage} gives the events of the {list} {hours:+.1f} hours from when they happened",
        "Check the time zone and the unit in which events are written: timestamps are seconds since 1970, UTC."),
    "TIME_UNIT": Cause(CRITICAL, "candidates", "data",
        "the events of the {list} that {stage} gives are {days:,.0f} days old at the request",
        "Check the unit in which events are written: timestamps are seconds since 1970, not milliseconds or days."),
    "EVENTS_LATE": Cause(CRITICAL, "candidates", "data",
        "no event of the last {days:.1f} days that the baseline knows has come in here",
        "Look at what feeds the event log, and whether it stopped: when was the newest event written, and by whom?"),
    "EVENT_TYPE_LOST": Cause(CRITICAL, "candidates", "data",
        "no event of type {type} has come in, of which the baseline has {usual} for these users",
        "Look at what writes events of this type, and whether its name has changed: Interactions.event_names lists the "
        "types in the order of their codes."),
    "ITEM_COLUMN_LOST": Cause(CRITICAL, "candidates", "data",
        "the item column {column!r} has lost {share:.0%} of the values that it has in the baseline's table",
        "Look at the feed of the item table: compare pipeline.schema.items with the baseline's. Rules, limits and "
        "features read it."),
    "TIME_SHIFTED.future": Cause(CRITICAL, "candidates", "data",
        "the model has seen events of up to {hours:,.1f} hours after the request",
        "Check the time zone and the unit of the events (seconds since 1970, UTC), and the clock of the machine that "
        "serves."),
    "TIME_UNIT.future": Cause(CRITICAL, "candidates", "data",
        "the model has seen events of up to {hours:,.0f} hours after the request",
        "Check the unit in which events are written: timestamps are seconds since 1970, not milliseconds."),
    "CLOCK_FROZEN": Cause(CRITICAL, "candidates", "data",
        "as of twelve weeks ago {changed:.0%} of the answers of {stage} are others, of the baseline's {usual:.0%}",
        "Look for a clock that stands still, or a cache, in {stage}: it has to read the request's own time.",
        relative=True),
    "LISTS_STALE": Cause(CRITICAL, "candidates", "data",
        "{stage} answers as the baseline's did {lag_days:.0f} days ago ({same_then:.0%} the same, now {same:.0%})",
        "Look for a cache that is not refreshed, or an old table, in {stage}.", relative=True),
    "LISTS_STALE.still": Cause(CRITICAL, "candidates", "data",
        "as of twelve weeks ago {changed:.0%} of the answers of {stage} are others, of the baseline's {usual:.0%}",
        "Look for a cache that is not refreshed, or whose key lacks the history, in {stage}.", relative=True),
    "CLOCK_FROZEN.alone": Cause(CRITICAL, "candidates", "data",
        "{stage} answers as of twelve weeks ago as it does now, in all features",
        "Look for a clock that stands still, or a cache, in {stage}: it has to read the request's own time."),
    # -- candidates --------------------------------------------------------------------------------
    "CANDIDATE_GENERATION_FAILURE": Cause(CRITICAL, "candidates", "data",
        "none of {known_good} items known to be good is among {candidates} candidates[; the catalogue lacks "
        "{not_in_catalogue} of them][; the baseline finds {in_baseline}]",
        "No ranker can mend this: refresh or add sources, or raise their limits."),
    "CANDIDATE_GENERATION_FAILURE.not_in_catalogue": Cause(CRITICAL, "candidates", "data",
        "none of {known_good} items known to be good is among {candidates} candidates[; the catalogue lacks "
        "{not_in_catalogue} of them][; the baseline finds {in_baseline}]",
        "Fit the pipeline on a dataset that has these items."),
    "CANDIDATE_GENERATION_FAILURE.no_candidates": Cause(CRITICAL, "candidates", "data",
        "no source found anything",
        "Look at the sources: are they fitted, and do they know this kind of user?"),
    "FUNNEL_CUT": Cause(CRITICAL, "candidates", "settings",
        "{stage} ends at {found} items where the baseline's goes on to {usual}[: {known_good_lost} items known "
        "to be good "
        "are cut]",
        "Raise the limit of {stage}: Merge([...], limit=...), per_source=..., or Step({leaf}, limit=...). What "
        "is cut here "
        "no ranker sees.", relative=True),
    "FUNNEL_CUT.alone": Cause(WARNING, "candidates", "settings",
        "{stage} ends everyone's answer at {found} items, for lists of {k}",
        "Raise the limit of {stage}: Merge([...], limit=...), per_source=..., or Step({leaf}, limit=...). What "
        "is cut here "
        "no ranker sees."),
    "FALLBACK_CARRIES": Cause(CRITICAL, "candidates", "settings",
        "the fallback fills the lists of {n} of {of} users: candidates run out at {where}",
        "Look at {where}: sources that find nothing, a limit that is too small, or a rule that removes nearly all."),
    "PERSONALIZATION_LOST": Cause(CRITICAL, "candidates", "data",
        "the {what} of {stage} are {alike:.0%} the same for two users with different histories[, in the baseline "
        "{usual:.0%}]",
        "Look for a cache or default in {stage} whose key lacks the user, and for vectors that have collapsed."),
    "PERSONALIZATION_LOST.one_answer": Cause(CRITICAL, "candidates", "data",
        "{stage} gives one and the same answer to {probes} questions about different items",
        "Look for a cache or default in {stage} whose key lacks what is asked about."),
    "PERSONALIZATION_LOST.ranking": Cause(CRITICAL, "ranking", "model",
        "the {what} are {alike:.0%} the same for two users with different histories[, in the baseline {usual:.0%}]",
        "Check that the ranker still has features of user and item together, not of the item alone: print what adds to "
        "its scores (contributions), and look at the user's features.", relative=True),
    "STALE_INDEX": Cause(WARNING, "candidates", "data",
        "{stage} last saw events {age_days:.1f} days before the request",
        "Fit it on recent events and swap it in: pipeline.replace(name, fitted_source)."),
    "SOURCE_EMPTY": Cause(CRITICAL, "candidates", "data",
        "{stage} adds no candidate[, in the baseline {baseline}]",
        "Check what {stage} was fitted on and whether its index has items."),
    "SOURCE_FLOODS": Cause(CRITICAL, "candidates", "data",
        "{stage} adds {candidates} candidates, in the baseline {baseline}: it takes the places of other sources",
        "Check what {stage} now finds, and give it a limit of its own: Step({leaf}, limit=...).", relative=True),
    "SOURCE_CHANGED": Cause(CRITICAL, "candidates", "data",
        "{stage} puts {shared:.0%} of the baseline's first {first} items first",
        "Check the index of {stage}: its version, its vectors, and which item each belongs to; debugger.scan() "
        "tells more.", relative=True),
    "EMBEDDING_NOT_FINITE": Cause(CRITICAL, "candidates", "model",
        "{not_finite:.0%} of the vectors in {stage}.{array} have values that are not finite",
        "Load the last good vectors, and check the job that wrote these."),
    "EMBEDDING_COLLAPSED": Cause(CRITICAL, "candidates", "model",
        "the vectors in {stage}.{array} all point one way (mean direction {alike:.3f})",
        "Train again: a collapsed model cannot tell items apart."),
    "INDEX_TRUNCATED": Cause(CRITICAL, "candidates", "data",
        "{stage} has lost {lost:.0%} of its items: {gone} that the baseline's often finds are never found here",
        "Build the index of {stage} again and compare its number of items with the catalogue's.", relative=True),
    "INDEX_SHUFFLED": Cause(CRITICAL, "candidates", "data",
        "{stage} gives {shared:.0%} of the answers that the baseline's gives to {probes} probes",
        "Check which item each entry of the index of {stage} belongs to: its id map and its version.", relative=True),
    "COLD_START": Cause(NOTE, "candidates", "data",
        "the user has no history at this time",
        "Offer onboarding choices as a history, or a source that needs none."),
    # -- items -------------------------------------------------------------------------------------
    "VERSIONS_MIXED": Cause(CRITICAL, "candidates", "serving",
        "{share:.0%} of the vectors in {array} of {stage} are of another training than the rest",
        "Build the whole index of {stage} from one model, and swap it in at once: vectors of two trainings have "
        "nothing to do with each other.", relative=False),
    "EVENTS_DUPLICATED": Cause(CRITICAL, "candidates", "data",
        "{again:.0%} of the events in the histories stand there before, of the baseline's {usual:.0%}, and the "
        "features count them as well",
        "Look at what feeds the event log: has a part been read again? Drop events by their id before anything "
        "counts them."),
    "ITEMS_DUPLICATED": Cause(CRITICAL, "candidates", "data",
        "{doubled} of the best {of} candidates stand in the catalogue under a second id, with the same attributes",
        "Join them before their events are counted: compare the ids listed here in the item table."),
    "ITEMS_DELISTED": Cause(CRITICAL, "candidates", "data",
        "{share:.0%} of the first {of} items of {stage} are removed by hard rules for everyone, usually {usual:.0%}",
        "Take what is no longer sold out of the index of {stage}: fit it on today's catalogue, or give it allowed=."),
    "BOT_TRAFFIC": Cause(CRITICAL, "candidates", "data",
        "{made} items have most of their events from a few users in the last {days:.0f} days",
        "Look at who made them (validation of the log, events by user), leave these users out, and fit again."),
    # -- features ----------------------------------------------------------------------------------
    "FEATURE_QUALITY_ISSUE": Cause(CRITICAL, "ranking", "data",
        "{coverage:.0%} of the features of the top {top} items have a value, expected {expected:.0%}",
        "Mend what computes or serves {names}."),
    "STALE_FEATURES": Cause(WARNING, "ranking", "data",
        "{stale} of {dated} features are stale, the oldest by {oldest:.1f} days",
        "Refresh the event log behind the features, or fit the pipeline on recent data."),
    "FEATURES_LOST": Cause(CRITICAL, "ranking", "data",
        "{n} features that the baseline has are missing: {names}",
        "Mend what computes or serves {names}.", relative=True),
    "FEATURES_SWAPPED": Cause(CRITICAL, "ranking", "data",
        "{n} features have each other's values: {names}",
        "Check the order of columns where they are written and where they are read: {names}.", relative=True),
    "FEATURES_OF_ANOTHER": Cause(CRITICAL, "ranking", "data",
        "{n} features have right values, and those of another {whose}: {names}",
        "Check the key by which {names} are joined, and that rows keep their order from where they are computed to "
        "where they are read.", relative=True),
    "FEATURES_NOISY": Cause(CRITICAL, "ranking", "data",
        "{n} features are off by more than they vary, up and down, item by item: {names}",
        "Check what approximates {names}: the size of a sketch or a hash, or a sample that is too small.",
        relative=True),
    "FEATURES_SCALED": Cause(CRITICAL, "ranking", "data",
        "{n} features are all larger or smaller by one factor than in the baseline: {names}",
        "Check the unit in which they are computed: {names}.", relative=True),
    "FEATURES_DEFAULTED": Cause(CRITICAL, "ranking", "data",
        "{n} features are one and the same value where the baseline has different ones: {names}",
        "Check why a default stands in their place; missing values should be missing, not a number: {names}.",
        relative=True),
    "FEATURES_DRIFTED": Cause(CRITICAL, "ranking", "data",
        "{n} features have moved by more than two standard deviations from the baseline's values: {names}",
        "Check what computes them, and train the ranker again if the change is meant: {names}.", relative=True),
    "FEATURES_SKEWED": Cause(WARNING, "ranking", "data",
        "{n} of {of} features were served with other values than they have as of the request: {names}",
        "Check what serving read: an older table, other events, or another unit than training has."),
    "NOT_LOGGED": Cause(NOTE, "ranking", "data",
        "the feature log has no request of this user at this time: skew is not assessed",
        "Diagnose a logged request as of its own time: diagnose(user, now=log.now[row])."),
    # -- scores ------------------------------------------------------------------------------------
    "SCORES_NOT_FINITE": Cause(WARNING, "ranking", "model",
        "{share:.0%} of {scores} scores are NaN or infinite; they rank last",
        "Look at the inputs of {stage}: a score that is not finite comes from features or a broken model."),
    "SCORES_OVERFLOW": Cause(CRITICAL, "ranking", "model",
        "{share:.0%} of the scores of {stage} are infinite: too large for what holds them",
        "Look for an exponential, or for float16, behind {stage}: shift scores by their maximum, or keep float32."),
    "SCORES_UNDERFLOW": Cause(CRITICAL, "ranking", "model",
        "the scores of {stage} are {distinct:.0f} steps up to {largest:.2g}: too small for float16, which holds them",
        "Keep the scores of {stage} in float32, or scale them before they are written."),
    "SCORES_SATURATED": Cause(CRITICAL, "ranking", "model",
        "{share:.0%} of the scores of {stage} are exactly 0 or 1: the best ones cannot be told apart",
        "Look at the scale of what goes into the sigmoid of {stage}: rank by the sum before it, or calibrate anew."),
    "SCORES_MISCALIBRATED": Cause(WARNING, "ranking", "model",
        "scores are off by {gap:.0%} of what they claim: where they claim {claimed:.3g}, {happened:.3g} happened",
        "Calibrate them on newer outcomes (rankers.Calibrated), or do not read them as probabilities."),
    "RANKING_DIFFERENTIATION_FAILURE": Cause(CRITICAL, "ranking", "model",
        "the ten best scores span {relative_spread:.2%} of the upper half's range: {stage} hardly tells them apart",
        "Look at the ranker's features and training: a constant score means that it learned or got nothing."),
    "RANKING_DIFFERENTIATION_FAILURE.tied": Cause(CRITICAL, "ranking", "model",
        "{tied:.0%} of the top 20 scores are tied: {stage} does not tell them apart",
        "Look at the ranker's features and training: a constant score means that it learned or got nothing."),
    "RANKING_INVERTED": Cause(CRITICAL, "ranking", "model",
        "{stage} orders the candidates the other way round than the baseline's (rank correlation "
        "{rank_correlation:.2f})",
        "Check the sign of the scores of {stage}, and that its labels are not turned round.", relative=True),
    "RANKING_CHANGED": Cause(WARNING, "ranking", "model",
        "{stage} orders the candidates in another way than the baseline's from the same features (rank correlation "
        "{rank_correlation:.2f})",
        "Check which version of the model {stage} has, and the order of its features.", relative=True),
    "RANKING_CHANGED.other_features": Cause(CRITICAL, "ranking", "model",
        "{stage} goes by other features than the baseline's: {first} instead of {usually_first}",
        "Check which version of the model {stage} has, and the order of its features.", relative=True),
    "SCORER_DOMINATES": Cause(CRITICAL, "ranking", "settings",
        "{stage} leaves little of the order before it ({order_kept:.0%}, in the baseline {baseline:.0%})",
        "Check the weight of {stage}: it should tip the balance, not decide alone.", relative=True),
    # -- the ranker's model ------------------------------------------------------------------------
    "RANKER_FEATURE_ORDER": Cause(CRITICAL, "ranking", "model",
        "{stage} reads its features in another order than it learned them: in the baseline's order the two would agree "
        "({in_usual_order:.2f} in place of {rank_correlation:.2f})",
        "Compare pipeline[{stage!r}].feature_names_ with those saved beside the model, and with the order in which its "
        "input is written."),
    "RANKER_TRUNCATED": Cause(CRITICAL, "ranking", "model",
        "{stage} has {there} of {meant} {what}",
        "Load the model of {stage} again, and compare its size and checksum with what training wrote."),
    "RANKER_LEAKED": Cause(CRITICAL, "ranking", "model",
        "{names} makes {share:.0%} of the differences between scores, in the baseline {usually:.0%}",
        "Look for what is known only afterwards: training.detect_leakage(pipeline.training_data(dataset).data), and "
        "compare the values of {names} in training with those served."),
    "RANKER_POSITION_BIAS": Cause(CRITICAL, "ranking", "model",
        "{stage} follows the order in which candidates were retrieved ({by_place:.2f}, in the baseline "
        "{usually_by_place:.2f})",
        "Look at the labels of {stage}: clicks fall to what stood first. Weigh them by propensity, or train with "
        "rankers.PositionAware."),
    "RANKER_NEGATIVES": Cause(CRITICAL, "ranking", "model",
        "{stage} goes with the popularity of items by {by_popularity:.2f}, in the baseline by "
        "{usually_by_popularity:.2f}",
        "Look at the negatives that {stage} was trained on: of one kind, popular or unknown, they teach popularity "
        "alone. See negatives= of Pipeline.fit."),
    "RANKER_POPULARITY": Cause(CRITICAL, "ranking", "model",
        "the scores of {stage} are the popularity of items ({by_popularity:.2f}), and not what its model says",
        "Look at what answers in place of the model of {stage}: a default, or a fallback that stays on."),
    "RANKER_OTHER_VERSION": Cause(CRITICAL, "ranking", "model",
        "{stage} orders the same candidates with the same features in another way than the baseline's "
        "({rank_correlation:.2f})",
        "Check which version of the model {stage} has, and what it was trained on: pipeline.fingerprint, and "
        "pipeline.training_report_."),
    "SCORES_STALE": Cause(CRITICAL, "ranking", "serving",
        "the scores of {stage} are not what its model says of these features",
        "Look for a cache of scores, or another process that answers for {stage}: debugger.confirm() scores anew."),
    # -- the list ----------------------------------------------------------------------------------
    "BUSINESS_RULES_TOO_AGGRESSIVE": Cause(CRITICAL, "list", "data",
        "hard rules remove {removed} of the top {of}, {stage} most of them[: all of {group}]",
        "Check what feeds {stage}, and whether the rule should be that strict."),
    "RULE_REMOVES_MORE": Cause(CRITICAL, "list", "data",
        "{stage} removes {removed} of {of} candidates that the baseline's lets pass[, all of {group}]",
        "Check what feeds {stage}[: it lacks {group}].", relative=True),
    "RULE_REMOVES_LESS": Cause(CRITICAL, "list", "data",
        "{stage} lets {passed} of {refused} items pass that the baseline's refuses[: it is {other}]",
        "Check what feeds {stage}: compare {stage} with the baseline's, its table and when that was "
        "written.", relative=True),
    "RULE_BYPASSED": Cause(CRITICAL, "list", "settings",
        "the baseline has {stage} ({role}), this pipeline has none of that name",
        "Put {stage} back: pipeline.names lists what there is."),
    "RULE_BROKEN": Cause(CRITICAL, "list", "serving",
        "{shown} of {of} items shown are refused by {stage}, by what its table says now",
        "Find out how they came past {stage}: a list made elsewhere, a fallback, or a table that changes within "
        "a run."),
    "LABELS_LOST": Cause(CRITICAL, "list", "data",
        "{stage} labels {labelled} items of those of which the baseline's labels {usual}",
        "Check the flags that {stage} reads in the item table, and the rules that it discloses."),
    "LIMIT_LOST": Cause(CRITICAL, "list", "settings",
        "the list breaks {limit!r} as the baseline's {stage} has it",
        "Compare the options of {stage} with the baseline's."),
    "LIMIT_RELAXED": Cause(NOTE, "list", "settings",
        "the soft limit {limit!r} had to yield to fill {places} places from {candidates} candidates",
        "Look at how many candidates there are that keep {limit!r}: more of them, or another limit. "
        "rules.report tells which limits are in each other's way."),
    "LIMIT_RELAXED.mostly": Cause(WARNING, "list", "settings",
        "the soft limit {limit!r} had to yield for {n} of {of} users: it cannot be met",
        "Look at how many candidates there are that keep {limit!r}: more of them, or another limit."),
    "LIMIT_TOO_TIGHT": Cause(CRITICAL, "list", "settings",
        "limits keep {exchanged} of the top {of} off the list, {stage} most of them[; the baseline's would have "
        "listed {listed_by_baseline} more]",
        "Loosen {stage}, or make it soft so that it yields where it leaves a list short."),
    "DIVERSITY_TOO_STRONG": Cause(CRITICAL, "list", "settings",
        "{stage} exchanges {exchanged} of {of} items that scores and limits ask for[; the baseline's would have "
        "listed {listed_by_baseline} more]",
        "Give relevance more weight in {stage}."),
    "LIST_CHANGED": Cause(NOTE, "list", "settings",
        "limits and diversity keep {exchanged} of the top {of} by score off the list",
        "Nothing, if that is what they are for."),
    "USER_CHANGED": Cause(NOTE, "list", "data",
        "the user has changed: {group} is {recent:.0%} of the last {n} events, {earlier:.0%} of those before",
        "Nothing is broken. If lists should follow sooner, let sources and features forget sooner (half_life, windows) "
        "or give the requests a session."),
    # -- serving -----------------------------------------------------------------------------------
    "STAGE_FAILED": Cause(CRITICAL, "serving", "serving",
        "{stage} failed[ {when}]: {error}",
        "Mend {stage}; until then {until}."),
    "SOURCE_DEGRADED": Cause(CRITICAL, "serving", "serving",
        "{stage} answered with less than it should have: {reason}",
        "Look at what {stage} calls: it reports this itself, and does not fail."),
    "STAGE_SKIPPED": Cause(WARNING, "serving", "serving",
        "{reason}",
        "Give the request more time, or make the stages before this one faster."),
    "STAGE_SLOW": Cause(WARNING, "serving", "serving",
        "the run took {ms:.0f} ms of {budget_ms:.0f} ms[ {when}], {stage} alone {stage_ms:.0f} ms[, in the baseline "
        "{baseline_stage_ms:.1f} ms]",
        "Make {stage} faster, give it fewer candidates, or make it optional: Step(..., optional=True)."),
    "ANSWER_DEGRADED": Cause(SYMPTOM, "serving", "serving",
        "the answer was served with less than it should have: {reasons}",
        "Look at the errors and timeouts of [{stage} and of ]what it calls at this time."),
    "STALE_SNAPSHOT": Cause(WARNING, "serving", "data",
        "the live value {name!r} is read in version {version}, in the baseline in version {baseline}",
        "Check what updates {name!r}: this process has missed {missed} updates.", relative=True),
    "OFFLINE_ONLINE_GAP": Cause(WARNING, "serving", "data",
        "the offline metric is up by {offline:.1%}, what people do by {online:.1%} (at most {most:.1%})",
        "Do not trust the offline metric: look for leaked labels, clicks with position bias and a popularity bonus, "
        "compare by off_policy on logged propensities, and check that serving computes the same features."),
    "EMPTY_LIST": Cause(SYMPTOM, "serving", "serving",
        "the list is empty ({status}): {reasons}",
        "Look at the other findings; give the pipeline a fallback that passes its hard rules."),
    "FALLBACK_SERVED": Cause(SYMPTOM, "serving", "serving",
        "the fallback filled the list: {reasons}",
        "Look at why the sources left the list short."),
}
# fmt: on


def finding(
    row: str,
    stage: str = "",
    evidence: Mapping[str, Any] | None = None,
    *,
    items: tuple[Any, ...] = (),
    severity: Severity | None = None,
    relative: bool | None = None,
    **figures: Any,
) -> Finding:
    """Return a finding of one of the :data:`CAUSES`.

    Parameters
    ----------
    row : str
        Its code, or ``CODE.way``.
    stage : str, default ""
        Path of the stage concerned; its texts know the last part as ``{leaf}``.
    evidence : mapping, optional
        The numbers behind it, for the texts too.
    items : tuple
        External ids of items that show it.
    severity : Severity, optional
        In place of the cause's own.
    relative : bool, optional
        In place of the cause's own.
    figures
        What else the texts say.

    Examples
    --------
    >>> finding("SOURCE_EMPTY", "merge.popular", {"baseline": 0}).message
    'merge.popular adds no candidate'
    >>> finding("SOURCE_EMPTY", "merge.popular", {"baseline": 9}).message
    'merge.popular adds no candidate, in the baseline 9'
    """
    cause = CAUSES[row]
    return cause.finding(
        row.partition(".")[0],
        stage,
        evidence,
        items=items,
        severity=severity,
        relative=relative,
        **figures,
    )


def _filled(text: str, figures: Mapping[str, Any]) -> str:
    """Fill the placeholders of a text; a part in square brackets stays where its figures say something."""

    def part(match: re.Match[str]) -> str:
        names = [name for _, name, _, _ in Formatter().parse(match[1]) if name]
        return match[1] if all(figures.get(name) for name in names) else ""

    return re.sub(r"\[([^]]*\{[^]]*)]", part, text).format(**figures)
