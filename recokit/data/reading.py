"""Reading: the columns of a user's frames, checked, as the arrays of a dataset; and what was decided on the way."""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from recokit._utils.options import finite, one_of, require_rows, shown
from recokit.data.columns import ROLES, UNSURE_SEPARATORS, found_separator, guessed_roles
from recokit.data.event_types import event_weights, kind_of, shown_names, usual_weights, without_signal
from recokit.data.frames import ALIASES, Frame
from recokit.data.interactions import Interactions
from recokit.data.table import Table
from recokit.data.times import Duration, seconds
from recokit.data.vocabulary import Vocabulary, factorize
from recokit.errors import DataError, DataWarning, did_you_mean
from recokit.typing import AnyArray, Float32Array, FloatArray, IntArray

_LOG_COLUMNS = {*ALIASES, "event", "value", "session_id", "impression_id", "position", "propensity"}

#: The item column that shows an item to people, where there is one of this name.
TITLE = "title"

Missing = Literal["error", "drop", "anonymous"]

#: Above these shares something is wrong rather than incomplete.
_MOST_OUTSIDE, _SURELY_INSIDE = 0.5, 0.9


@dataclass(frozen=True)
class Choices:
    """How frames are read, as :meth:`Dataset.from_frame` takes it."""

    latest: float
    event_weights: Mapping[str, float] | None = None
    min_rating: float | None = None
    categorical: Collection[str] = ()
    separators: Mapping[str, str | None] = field(default_factory=dict)
    roles: Mapping[str, str | None] = field(default_factory=dict)
    missing: Missing = "error"
    repeats: Duration | None = None
    title: str | None = TITLE
    image: str | None = None

    def __post_init__(self) -> None:
        one_of("error", "drop", "anonymous").check("missing", self.missing, DataError)
        for role in self.roles:
            if role not in ROLES:
                raise DataError(f"found roles={{{shown(role)}: ...}}; {did_you_mean(str(role), ROLES)}")


class Findings:
    """What reading comes upon: problems, raised together at the end, and notes of what was decided."""

    def __init__(self) -> None:
        self._problems: list[DataError] = []
        self.notes: list[str] = []

    @contextlib.contextmanager
    def collect(self) -> Iterator[None]:
        """Note a DataError and go on."""
        try:
            yield
        except DataError as error:
            if str(error) not in map(str, self._problems):
                self._problems.append(error)

    def require_none(self) -> None:
        """Raise what was noted: the error itself, or one that has all of them."""
        if len(self._problems) == 1:
            raise self._problems[0]
        if self._problems:
            room = 420 // len(self._problems)
            texts = [str(problem) for problem in self._problems]
            listed = "; ".join(
                f"({i}) {text if len(text) <= room else text[: room - 3] + '...'}"
                for i, text in enumerate(texts, 1)
            )
            raise DataError(f"found {len(texts)} problems: {listed}", problems=texts)

    def say(self, note: str, *, doubtful: bool = False) -> None:
        """Keep a note; a doubtful one, of something guessed that a declaration would settle, warns as well."""
        self.notes.append(note)
        if doubtful:
            warnings.warn(note, DataWarning, stacklevel=4)


@dataclass(frozen=True, eq=False)
class Read:
    """The parts of a dataset."""

    interactions: Interactions
    user_ids: Vocabulary
    item_ids: Vocabulary
    users: Table
    items: Table
    session_ids: AnyArray | None
    notes: tuple[str, ...]


def read(interactions: Any, users: Any, items: Any, columns: Mapping[str, str], choices: Choices) -> Read:
    """Read the frames of a dataset.

    Raises
    ------
    DataError
        For all that is wrong with the frames, at once.
    """
    findings = Findings()
    log, user_frame, item_frame = frames(interactions, users, items, columns)
    _require_columns(choices, [frame for frame in (user_frame, item_frame) if frame is not None])
    log = _without_missing(log, choices.missing, findings)
    tables = {"user_id": user_frame, "item_id": item_frame}
    ids: dict[str, tuple[IntArray, Vocabulary]] = {}
    for name, frame in tables.items():
        with findings.collect():
            ids[name] = _encoded(
                log, frame, name, anonymous=name == "user_id" and choices.missing == "anonymous"
            )
    made_of = _columns(log, choices, findings)
    made: dict[str, Table] = {}
    for name, frame in tables.items():
        with findings.collect():
            if name in ids:
                made[name] = _table(frame, ids[name][1], name, choices, findings)
    findings.require_none()
    order = np.argsort(made_of["timestamp"], kind="stable")
    arrays = {"user": ids["user_id"][0], "item": ids["item_id"][0], **made_of}
    sorted_: dict[str, Any] = {
        name: column[order] if isinstance(column, np.ndarray) else column for name, column in arrays.items()
    }
    events = Interactions(**sorted_)
    _look_at_ids(events, {name: (ids[name][1], frame) for name, frame in tables.items()}, findings)
    from recokit.data.doubts import days_for_seconds, padded, stand_in  # serving reads no log

    doubts = [
        days_for_seconds(events.timestamp, log.own("timestamp")),
        *(padded(ids[name][1], name.removesuffix("_id")) for name in tables),
        stand_in(ids["user_id"][1], events.user),
    ]
    for doubt in filter(None, doubts):
        findings.say(doubt, doubtful=True)
    return Read(
        interactions=_without_repeats(log, events, order, choices, findings),
        user_ids=ids["user_id"][1],
        item_ids=ids["item_id"][1],
        users=made["user_id"],
        items=made["item_id"],
        session_ids=log.labels("session_id")[1] if "session_id" in log else None,
        notes=tuple(findings.notes),
    )


def _require_columns(choices: Choices, tables: Sequence[Frame]) -> None:
    """Raise DataError for a declared column that no table has."""
    known = [name for frame in tables for name in frame.names]
    named: dict[str, list[str | None]] = {"separators": [*choices.separators], "image": [choices.image]}
    named["title"] = [] if choices.title == TITLE else [choices.title]
    for option, columns in named.items():
        for column in columns:
            if column is not None and column not in known:
                raise DataError(
                    f"found no column {shown(column)} for {option}=; {did_you_mean(str(column), known)}"
                )


def frames(
    interactions: Any, users: Any, items: Any, columns: Mapping[str, str]
) -> tuple[Frame, Frame | None, Frame | None]:
    """Read the frames. A mapped name must stand in at least one; log columns are not mapped in the tables."""
    log = Frame(
        {name: [] for name in ("user_id", "item_id", "timestamp")} if interactions is None else interactions
    )
    tables = {
        "user_id": None if users is None else Frame(users),
        "item_id": None if items is None else Frame(items),
    }
    known = [name for frame in (log, *tables.values()) if frame is not None for name in frame.original]
    for ours, theirs in columns.items():
        if theirs not in known:
            raise DataError(f"found no column {theirs!r} (for {ours!r}); {did_you_mean(theirs, known)}")
    read: dict[str, Frame | None] = {}
    for id_column, frame in tables.items():
        allowed = {
            ours: theirs for ours, theirs in columns.items() if ours == id_column or ours not in _LOG_COLUMNS
        }
        aliases = {id_column: ALIASES[id_column]}
        read[id_column] = None if frame is None else frame.renamed(_present(allowed, frame), aliases)
    return log.renamed(_present(columns, log), ALIASES), read["user_id"], read["item_id"]


def _present(columns: Mapping[str, str], frame: Frame) -> dict[str, str]:
    return {ours: theirs for ours, theirs in columns.items() if theirs in frame.original}


def _without_missing(log: Frame, missing: Missing, findings: Findings) -> Frame:
    """Return the log without rows that lack an id, counted; anonymous users are kept where they are wanted."""
    if missing == "error":
        return log
    lacking = {name: log.missing(name) for name in ("user_id", "item_id") if name in log}
    if missing == "anonymous" and "user_id" in lacking:
        nobody = lacking.pop("user_id") & ~lacking.get("item_id", np.zeros(len(log), np.bool_))
        if nobody.any():
            findings.say(f"{nobody.sum():,} of {len(log):,} events are of anonymous users")
    out = np.zeros(len(log), np.bool_)
    for one in lacking.values():
        out |= one
    if out.any():
        findings.say(
            f"{out.sum():,} of {len(log):,} events were left out: no {' or '.join(map(log.own, lacking))}"
        )
    return log.filtered(~out)


def _encoded(log: Frame, frame: Frame | None, name: str, *, anonymous: bool) -> tuple[IntArray, Vocabulary]:
    """Return a log's codes and the vocabulary: the ids of the table, then those that only the log has."""
    lacking = log.missing(name) if anonymous and name in log else np.zeros(len(log), np.bool_)
    ids = log.filtered(~lacking).ids(name)
    vocabulary = _vocabulary(ids, frame, name)
    codes = np.zeros(len(log), np.int64)
    codes[~lacking] = vocabulary.encode(ids)
    return codes, vocabulary


def _vocabulary(ids: AnyArray, frame: Frame | None, name: str) -> Vocabulary:
    from_log = Vocabulary(factorize(ids)[1])
    if frame is None:
        return from_log
    table = Vocabulary(factorize(frame.ids(name))[1])
    if len(from_log) and len(table) and from_log.kind != table.kind:
        raise DataError(
            f"found {name} as {from_log.kind} in the interactions and as {table.kind} in the table; "
            f"expected one kind; hint: convert one of them with {table.kind}() or {from_log.kind}(), "
            "or are the columns of users and items swapped?"
        )
    return table.extend(from_log.ids)


def _columns(log: Frame, choices: Choices, findings: Findings) -> dict[str, Any]:
    """Return the columns of the log but its ids, checked, in the order of the frame."""
    columns: dict[str, Any] = {}
    with findings.collect():
        columns["timestamp"] = _times(log, choices.latest)
    with findings.collect():
        names, event = _events(log, len(log), choices.event_weights)
        columns |= {"event_names": names, "event": event}
        _say_weights_of_none(names, choices.event_weights, findings)
        columns["weight"] = weights_of(log, names, event, choices.event_weights)
        if "weight" in log:
            columns["weight"] = _rated(log, columns["weight"], choices.min_rating, findings)
    with findings.collect():
        columns["value"] = _values(log, len(log))
    if "session_id" in log:
        columns["session"] = log.labels("session_id")[0]
    if "impression_id" in log:
        columns["impression"] = log.labels("impression_id")[0]
    with findings.collect():
        columns["position"] = _positions(log) if "position" in log else None
    with findings.collect():
        columns["propensity"] = _propensities(log) if "propensity" in log else None
    return columns


def _rated(log: Frame, weight: Float32Array, min_rating: float | None, findings: Findings) -> Float32Array:
    """Return explicit ratings as signals from a threshold on, or as they are, which is said."""
    if min_rating is not None:
        finite(0).check("min_rating", min_rating, DataError)
    if min_rating:
        liked = weight >= min_rating
        if len(weight) and not liked.any():
            raise DataError(
                f"found no {log.own('weight')} of at least {min_rating:g}; the largest is {weight.max():g}"
            )
        findings.say(
            f"{liked.sum():,} of {len(liked):,} ratings are at least {min_rating:g} and count 1, "
            "the others are no signal"
        )
        return liked.astype(np.float32)
    own = log.own("weight")
    if min_rating is None and len(weight) and any(word in own.lower() for word in ("rating", "stars")):
        good = 0.8 * float(weight.max())
        findings.say(
            f"ratings in {own!r} are read as weights, {weight.min():g} to {weight.max():g}: each is a signal, the "
            f"lowest a weak one; hint: min_rating={good:g} takes those from {good:g} on for signals and the others for "
            "none, min_rating=0 leaves them as weights",
            doubtful=True,
        )
    return weight


def _times(log: Frame, latest: float) -> FloatArray:
    from recokit.data.doubts import require_no_dates

    timestamp = log.times("timestamp")
    own = log.own("timestamp")
    require_rows(np.isfinite(timestamp), timestamp, own, "finite seconds since 1970")
    expected = f"at most {latest:.0f}, seconds since 1970; hint: are these milliseconds?"
    require_rows(timestamp <= latest, timestamp, own, expected)
    require_no_dates(timestamp, own)
    return timestamp


def _look_at_ids(
    log: Interactions, tables: Mapping[str, tuple[Vocabulary, Frame | None]], findings: Findings
) -> None:
    """Say which ids of the log its tables lack; DataError where users and items look swapped."""
    for name, other in (("item_id", "user_id"), ("user_id", "item_id")):
        vocabulary, frame = tables[name]
        if frame is None or not len(frame) or not len(log):
            continue
        known = np.unique(log.item if name == "item_id" else log.user)
        known = known[known > 0]
        outside = int(np.count_nonzero(known > len(frame)))  # the table's ids come first
        share = outside / max(len(known), 1)
        if share > _MOST_OUTSIDE:
            others = tables[other][0].decode(np.unique(log.user if name == "item_id" else log.item))
            _require_not_swapped(others, vocabulary, len(frame), name)
        if outside:
            kind = name.removesuffix("_id")
            findings.say(
                f"{outside:,} of {len(known):,} {kind} ids of the log ({share:.1%}) are not in the {kind} table, "
                f"such as {shown(vocabulary.ids[len(frame)])}: their columns are missing",
                doubtful=name == "item_id" and share > _MOST_OUTSIDE,
            )


def _require_not_swapped(others: AnyArray, vocabulary: Vocabulary, n_table: int, name: str) -> None:
    ids = np.array([id_ for id_ in others.tolist() if id_ is not None], others.dtype)
    if ids.dtype.kind != vocabulary.ids.dtype.kind:
        return
    code = vocabulary.encode(ids)
    if len(code) and float(np.mean((code > 0) & (code <= n_table))) > _SURELY_INSIDE:
        mine, theirs = ("item", "user") if name == "item_id" else ("user", "item")
        raise DataError(
            f"found the {theirs} ids of the log in the {mine} table, and its {mine} ids not: the two columns look "
            "swapped; hint: columns={'user_id': ..., 'item_id': ...}"
        )


def _without_repeats(
    log: Frame, made: Interactions, order: IntArray, choices: Choices, findings: Findings
) -> Interactions:
    """Return the events without those that were sent again, counted; repeated ids alone are said."""
    ids = log.labels("event_id")[0][order] if "event_id" in log else None
    if choices.repeats is not None:
        kept = ~made.repeats(seconds(choices.repeats), ids)
        findings.say(f"{int((~kept).sum()):,} of {len(made):,} events were sent again, and left out")
        return made.take(np.flatnonzero(kept))
    again = 0 if ids is None else int(made.repeats(None, ids).sum())
    if again:
        findings.say(
            f"{again:,} of {len(made):,} events have an event_id that came before, and count again; "
            "hint: repeats='5s' counts them once",
            doubtful=True,
        )
    return made


def _table(
    frame: Frame | None, vocabulary: Vocabulary, name: str, choices: Choices, findings: Findings
) -> Table:
    """Return a frame as a table by code, with its columns of several labels, its roles, and what shows an entity."""
    if frame is None:
        return Table.empty(len(vocabulary))
    shows = {one: getattr(choices, one) for one in ("title", "image")} if name == "item_id" else {}
    shown_by = {one: column for one, column in shows.items() if column in frame.names}
    declared = {column for role, column in choices.roles.items() if column is not None and role != "price"}
    categorical = {*choices.categorical, *declared}
    plain = {name, "updated_at", *shown_by.values(), *choices.categorical, *choices.separators}
    separators = {**choices.separators, **_found_separators(frame, plain, findings)}
    table = Table.from_frame(
        frame,
        vocabulary,
        name,
        categorical=categorical - separators.keys(),
        separators=separators,
        text=shown_by.values(),
    )
    roles = _roles(frame, choices, findings) if name == "item_id" else {}
    return replace(table, roles=roles, **shown_by)


def _found_separators(frame: Frame, plain: Collection[str], findings: Findings) -> dict[str, str]:
    found = {}
    for name in frame.names:
        if name in plain or name.endswith("_id"):
            continue
        kind, values = frame.column(name)
        if kind != "text" or frame.list_separator(name) is not None:
            continue
        texts = [value for value in values.tolist() if value is not None]
        several = found_separator(texts)
        unsure = found_separator(texts, UNSURE_SEPARATORS) if several is None else None
        if unsure is not None:
            findings.say(
                f"column {frame.own(name)!r} is read as single labels, though {unsure[0]!r} stands in {unsure[1]:.0%} "
                f"of its rows; hint: separators={{{name!r}: {unsure[0]!r}}} where it stands between labels"
            )
        if several is not None:
            found[name] = several[0]
            findings.say(
                f"column {frame.own(name)!r} holds several labels: {several[0]!r} stands in {several[1]:.0%} of its "
                f"rows; hint: separators={{{name!r}: {several[0]!r}}} declares it, {{{name!r}: None}} single labels",
                doubtful=True,
            )
    return found


def _roles(frame: Frame, choices: Choices, findings: Findings) -> dict[str, str]:
    """Return the column of each role: as declared, or by a common name, which is said."""
    declared = {role: column for role, column in choices.roles.items() if column is not None}
    for role, column in declared.items():
        if column not in frame.names:
            raise DataError(
                f"found no item column {column!r} for the {role}; {did_you_mean(column, frame.names)}"
            )
        if role in frame.names and column != role:
            raise DataError(
                f"found roles={{{role!r}: {column!r}}} beside a column {role!r}; expected one of them for the {role}"
            )
    guessed = guessed_roles(frame.names, choices.roles)
    if guessed:
        listed = ", ".join(f"{column!r} for the {role}" for role, column in guessed.items())
        findings.say(f"item columns are taken by their names: {listed}; hint: roles={guessed} says so")
    return {role: column for role, column in {**guessed, **declared}.items() if role != column}


def _events(log: Frame, n: int, given: Mapping[str, float] | None) -> tuple[tuple[str, ...], IntArray]:
    """Return the names of the event types, weakest first, and each event's code."""
    if "event" not in log:
        return ("purchase",), np.zeros(n, np.int64)
    code, labels = log.labels("event")
    if (code == 0).any():
        raise DataError(
            f"found no value in {log.own('event')!r}; expected an event type in every row",
            rows=np.flatnonzero(code == 0),
        )
    found = [str(label) for label in labels.tolist()]
    weight = usual_weights(found, given)
    names = sorted(found, key=lambda name: (weight.get(name, 1.0), name))
    by_strength = np.array([names.index(name) for name in found], np.int64)
    return tuple(names) or ("purchase",), by_strength[code - 1] if n else np.zeros(0, np.int64)


def _say_weights_of_none(names: Sequence[str], given: Mapping[str, float] | None, findings: Findings) -> None:
    """Say which weights are given for names that neither the log has nor the table of kinds."""
    idle = [str(name) for name in given or () if str(name) not in names and kind_of(str(name)) is None]
    if idle:
        findings.say(
            f"event_weights= has names that the log lacks: {shown_names(idle)}; its events are {shown_names(names)}",
            doubtful=True,
        )


def weights_of(
    log: Frame, names: Sequence[str], event: IntArray, given: Mapping[str, float] | None
) -> Float32Array:
    """Return the weight of each event, by its column or its type, (M,)."""
    if "weight" not in log:
        weights = event_weights(names, given)
        return np.array([weights[name] for name in names], np.float32)[event]
    weight = log.number("weight")
    expected = "finite weights of at least 0"
    if (weight < 0).any():
        expected += (
            "; hint: what speaks against an item, as a return does, is an event of its own, event='refund'"
        )
    require_rows(np.isfinite(weight) & (weight >= 0), weight, log.own("weight"), expected)
    return without_signal(names, event, weight.astype(np.float32), given or ())


def _values(log: Frame, n: int) -> Float32Array:
    if "value" not in log:
        return np.full(n, np.nan, np.float32)
    value = log.number("value")
    require_rows(~np.isinf(value), value, log.own("value"), "finite amounts, NaN where unknown")
    return value.astype(np.float32)


def _positions(log: Frame) -> IntArray:
    position = np.nan_to_num(log.number("position"), posinf=np.inf, neginf=-np.inf)
    ok = np.isfinite(position) & (position >= 0) & (position == np.floor(position))
    require_rows(ok, position, log.own("position"), "whole numbers from 1, missing where not shown in a list")
    return position.astype(np.int64)


def _propensities(log: Frame) -> FloatArray:
    propensity = log.number("propensity")
    ok = np.isnan(propensity) | ((propensity > 0) & (propensity <= 1))
    require_rows(ok, propensity, log.own("propensity"), "probabilities above 0 and up to 1")
    return propensity
