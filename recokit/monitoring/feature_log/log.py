"""FeatureLog: served features are recorded and can be trained on, so that training and serving have the same."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np

from recokit._kernels.hashing import mix, uniform
from recokit._kernels.membership import pairs_in_sets
from recokit._kernels.segments import rank_in_row
from recokit._kernels.top_k import order_by_score
from recokit._utils.options import at_least, between, check_options, error_text, optional, require, whole
from recokit.data import Candidates, Dataset, Ragged, RankingData, Requests, Vocabulary
from recokit.errors import ConfigurationError
from recokit.monitoring.feature_log._files import (
    choose_format,
    erase_from_parts,
    part_files,
    read_part,
    write_part,
)
from recokit.monitoring.feature_log.requests import LoggedRequests
from recokit.trace import Trace
from recokit.typing import AnyArray, BoolArray, IntArray, UInt64Array

_LOGGER = logging.getLogger("recokit")
#: Of draws, so that the sample is independent of negatives and exploration.
_STREAM = 23
_OPTIONS = {
    "sample": between(0, 1, open_low=True),
    "unserved": optional(whole(0)),
    "part_rows": whole(1),
}


@dataclass(frozen=True, eq=False)
class _Piece:
    """Requests of one run, as references to its arrays; codes become ids when they are written."""

    impression: IntArray
    users: AnyArray
    batch: Candidates
    position: IntArray
    model: str
    item_ids: Vocabulary


def _key(piece: _Piece) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return what the requests of one part share."""
    return piece.model, piece.batch.feature_names, piece.batch.source_names


@dataclass(eq=False, repr=False)
class FeatureLog:
    """Record the features that were served: an observer of a pipeline.

    For each candidate of a request: user and item ids, request time, place in the list, features as the ranker got
    them, sources and score; for each request: an impression id, the model's fingerprint, and the context, session and
    lists that came with it. Read them back with :meth:`read`, as training rows, or :meth:`load`.

    Parameters
    ----------
    path : str or path
        Folder of the parts; made when the first one is written.
    sample : float, default 1.0
        Share of the requests to record. Which ones follows from user and time alone; ``weight`` is ``1 / sample``.
    unserved : int, optional, default 0
        How many candidates that were ranked but not served to record for each request, best first; None for all.
    part_rows : int, default 10,000
        Candidates in memory from which a part is written.
    max_rows : int, default 200,000
        Candidates in memory at most; further requests are dropped and counted. About ``4 x features`` bytes each.
    write_when_full : bool, default True
        Write a part in the call of ``observe`` that fills it, which delays that one answer: by a tenth of a second
        for 10,000 candidates with 66 features. Without, only :meth:`flush` writes: call it between requests.
    format : {"parquet", "npz"}, optional
        By default Parquet where pyarrow is installed.

    Attributes
    ----------
    rows : int
        Candidates in memory.
    written, dropped : int
        Candidates written; candidates lost because memory was full or the log closed.
    errors : int
        Failures while recording or writing. None of them reaches a request.
    last_error : Exception or None

    Raises
    ------
    ConfigurationError
        If an option is out of range, or ``format="parquet"`` without pyarrow.

    Notes
    -----
    Safe to use from several threads. A part that cannot be written stays in memory and is tried again after
    ``part_rows`` more candidates. Requests that were answered with nothing are not recorded.

    Examples
    --------
    >>> import tempfile
    >>> import recokit as rk
    >>> from recokit import candidates, features
    >>> data = rk.testing.toy_dataset()
    >>> log = FeatureLog(tempfile.mkdtemp())
    >>> stages = [candidates.Popular(), features.ItemActivity(windows=("7D",))]
    >>> pipeline = rk.Pipeline(stages, observers=[log]).fit(data)
    >>> answer = pipeline.recommend(["user-1", None], k=3, now=data.until)
    >>> log.close()
    >>> FeatureLog.load(log.path)
    LoggedRequests(2 requests, 6 candidates, 7 features)
    """

    path: str | os.PathLike[str]
    _: KW_ONLY
    sample: float = 1.0
    unserved: int | None = 0
    part_rows: int = 10_000
    max_rows: int = 200_000
    write_when_full: bool = True
    format: str | None = None

    def __post_init__(self) -> None:
        check_options(self, _OPTIONS)
        require(at_least(self.part_rows), max_rows=self.max_rows)
        self._format = choose_format(self.format)
        self._lock, self._writing = threading.Lock(), threading.Lock()
        self._pieces: list[_Piece] = []
        self._due, self._closed = self.part_rows, False
        self.rows = self.written = self.dropped = self.errors = 0
        self.last_error: Exception | None = None

    @property
    def wants_ranked(self) -> bool:
        """Whether traces are to keep the candidates that selection chose from."""
        return self.unserved != 0

    def __repr__(self) -> str:
        return (
            f"FeatureLog({str(self.path)!r}, sample={self.sample:g}: {self.rows} candidates in memory, "
            f"{self.written} written, {self.dropped} dropped, {self.errors} errors)"
        )

    # -- recording ---------------------------------------------------------------------------------

    def observe(self, trace: Trace) -> None:
        """Record a run; an error is counted and kept as ``last_error``, never raised."""
        try:
            piece = self._piece(trace)
            if piece is not None and self._keep(piece) and self._writing.acquire(blocking=False):
                try:
                    self._write()
                finally:
                    self._writing.release()
        except Exception as error:
            self._note(error)

    def impressions(self, trace: Trace) -> IntArray:
        """Return the impression id of each request of a run, (B,) int64: hand them out to know what was clicked."""
        keys, served = _keys(trace), trace.selected
        # Of the items in their places: the same request answered otherwise is another impression.
        place = rank_in_row(served.row, served.offsets).astype(np.uint64)
        content = np.zeros(len(trace.requests), np.uint64)
        np.add.at(content, served.row, mix(served.item.astype(np.uint64) ^ (place << np.uint64(48))))
        model = np.uint64(int(hashlib.sha256(trace.fingerprint.encode()).hexdigest()[:16], 16))
        ids: IntArray = (mix(keys ^ mix(content ^ trace.requests.seed ^ model)) >> np.uint64(1)).astype(
            np.int64
        )
        return ids

    def flush(self) -> None:
        """Write what is in memory.

        Raises
        ------
        OSError
            If it cannot be written; it stays in memory.
        """
        with self._writing:
            error = self._write()
        if error is not None:
            raise error

    def close(self) -> None:
        """Write what is in memory and record nothing more; errors as for :meth:`flush`."""
        self._closed = True
        self.flush()

    def __enter__(self) -> FeatureLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def erase_user(self, user: Any) -> int:
        """Remove the requests of a user from memory and from the files, and return how many there were.

        Raises
        ------
        DataError
            If a file is damaged.
        OSError
            If what is in memory, or a file, cannot be written.
        """
        self.flush()
        with self._writing:
            return erase_from_parts(Path(self.path), user)

    def _piece(self, trace: Trace) -> _Piece | None:
        if trace.users is None or trace.item_ids is None:
            raise ConfigurationError("found a trace without ids; expected one of a pipeline's own runs")
        recorded = trace.selected.counts > 0
        if self.sample < 1:
            recorded &= uniform(_keys(trace), np.zeros(len(recorded), np.int64), _STREAM) < self.sample
        rows = np.flatnonzero(recorded)
        if not len(rows):
            return None
        impression, users = self.impressions(trace), trace.users
        batch, position = _with_unserved(trace, self.unserved)
        if len(rows) < len(recorded):
            position = position[recorded[batch.row]]
            batch, impression, users = batch.take_rows(rows), impression[rows], users[rows]
        return _Piece(
            impression, users, _light(batch), position, model=trace.fingerprint, item_ids=trace.item_ids
        )

    def _keep(self, piece: _Piece) -> bool:
        """Take a piece into memory, if there is room, and tell whether it is time to write."""
        n = len(piece.batch)
        with self._lock:
            if self._closed or self.rows + n > self.max_rows:
                self.dropped += n
                return False
            self._pieces.append(piece)
            self.rows += n
            return self.write_when_full and self.rows >= self._due

    def _note(self, error: Exception) -> None:
        with self._lock:
            self.errors += 1
            self.last_error = error
        _LOGGER.warning("feature log %s: %s", self.path, error_text(error))

    def _write(self) -> Exception | None:
        """Write a part for each model in memory; what cannot be written stays, and the last error is returned."""
        with self._lock:
            pieces, self._pieces = self._pieces, []
        left: list[_Piece] = []
        failure: Exception | None = None
        for _, group in groupby(sorted(pieces, key=_key), key=_key):
            part = list(group)
            try:
                logged = LoggedRequests.concat([self._logged(piece) for piece in part])
                write_part(Path(self.path), logged, self._format)
            except Exception as error:
                left += part
                failure = error
                self._note(error)
            else:
                n = sum(len(piece.batch) for piece in part)
                with self._lock:
                    self.written += n
                    self.rows -= n
        with self._lock:
            self._pieces = left + self._pieces
            self._due = self.part_rows + sum(len(piece.batch) for piece in left)
        return failure

    def _logged(self, piece: _Piece) -> LoggedRequests:
        batch, requests = piece.batch, piece.batch.requests
        n = len(requests)
        nothing = np.full(len(batch), np.nan)
        return LoggedRequests(
            impression=piece.impression,
            now=requests.now,
            user=piece.users,
            model=np.full(n, piece.model, object),
            weight=np.full(n, 1.0 / self.sample),
            seed=requests.seed,
            k=requests.k,
            given=_given(requests, piece.item_ids),
            offsets=batch.offsets,
            item=piece.item_ids.decode(batch.item),
            position=piece.position,
            score=batch.score,
            sources=batch.sources,
            propensity=np.asarray(batch.columns.get("propensity", nothing), np.float64),
            features=batch.features,
            source_names=batch.source_names,
            feature_names=batch.feature_names,
        )

    # -- reading back ------------------------------------------------------------------------------

    @staticmethod
    def load(path: str | os.PathLike[str], *, features: Sequence[str] | None = None) -> LoggedRequests:
        """Return all requests that were written.

        Parts of several models go together as long as their features have the same names: a value that was served is
        true whatever model served it. ``model`` distinguishes them.

        Parameters
        ----------
        path : str or path
            The folder.
        features : sequence of str, optional
            Keep these only.

        Raises
        ------
        DataError
            If there is no part, one is damaged, or the parts' features differ; with ``features``, if one lacks any.
        """
        return LoggedRequests.concat([read_part(file) for file in part_files(path)], features)

    @staticmethod
    def read(
        path: str | os.PathLike[str],
        outcomes: Dataset,
        label_window: str | float = "1D",
        *,
        features: Sequence[str] | None = None,
        **options: Any,
    ) -> RankingData:
        """Return training rows: features as served, labelled by what users did next.

        Parameters
        ----------
        path, features
            As for :meth:`load`.
        outcomes : Dataset
            Events up to the end of the last window.
        label_window : str or float, default "1D"
            Length of the window after each request.
        **options
            ``served_only``, ``models``, ``validation_from`` and ``incomplete``, see
            :meth:`LoggedRequests.ranking_data`, which also tells what labels mean and what is raised.
        """
        return FeatureLog.load(path, features=features).ranking_data(outcomes, label_window, **options)


def _keys(trace: Trace) -> UInt64Array:
    """Return a number for each request that follows from its user and time, whatever model serves it."""
    users = [] if trace.users is None else trace.users.tolist()
    digests = [hashlib.blake2b(repr(user).encode(), digest_size=8).digest() for user in users]
    user = np.frombuffer(b"".join(digests), np.uint64)
    now = np.ascontiguousarray(trace.requests.now).view(np.uint64)
    key = mix(user ^ mix(now))
    # Anonymous users with requests at one time differ by their place among the equals.
    order = np.argsort(key, kind="stable")
    same = np.concatenate([[False], key[order][1:] == key[order][:-1]])
    start = np.maximum.accumulate(np.where(same, 0, np.arange(len(key))))
    again = np.empty(len(key), np.uint64)
    again[order] = np.arange(len(key)) - start
    return mix(key ^ again)


def _with_unserved(trace: Trace, unserved: int | None) -> tuple[Candidates, IntArray]:
    """Return what was served and the best of the rest, with the place of each in its list."""
    served = trace.selected
    if trace.ranked is None or unserved == 0:
        return served, rank_in_row(served.row, served.offsets) + 1
    rest = _best(trace.ranked, served, unserved)
    batch = served.append(rest)
    place = rank_in_row(batch.row, batch.offsets)
    return batch, np.where(place < served.counts[batch.row], place + 1, 0)


def _best(ranked: Candidates, served: Candidates, n: int | None) -> Candidates:
    """Return the n best candidates of each request that were not served, all for None."""
    kept: BoolArray = ~pairs_in_sets(ranked.row, ranked.item, served.offsets, served.item)
    kept &= served.counts[ranked.row] > 0
    if n is not None:
        order = order_by_score(ranked.row, np.where(kept, ranked.score, -np.inf))
        place = np.empty(len(ranked), np.int64)
        place[order] = rank_in_row(ranked.row[order], ranked.offsets)
        kept &= place < n
    return ranked.compress(kept)


def _light(batch: Candidates) -> Candidates:
    """Return a batch without histories, live values and other columns: memory must not keep those."""
    requests = batch.requests
    lists = {name: _rows_given(requests.ragged[name], given) for name, given in requests.from_caller.items()}
    columns = {name: batch.columns[name] for name in ("propensity",) if name in batch.columns}
    return replace(batch, requests=replace(requests, ragged=lists, pinned={}), columns=columns)


def _rows_given(lists: Ragged, given: BoolArray) -> Ragged:
    return Ragged.empty(len(lists)).merge(Ragged(lists.offsets, lists.values), given)


def _given(requests: Requests, item_ids: Vocabulary) -> AnyArray:
    """Return the context and the lists of item ids of each request, (B,) dicts."""
    context = {name: column.tolist() for name, column in requests.columns.items() if column.ndim == 1}
    lists = {}
    for name, ragged in requests.ragged.items():
        there = requests.from_caller[name].tolist()
        rows = [item_ids.decode(codes[codes > 0]).tolist() for codes in map(ragged.row, range(len(there)))]
        lists[name] = [row if given else None for row, given in zip(rows, there, strict=True)]
    given = np.empty(len(requests), object)
    for b in range(len(requests)):
        given[b] = {
            "context": {name: column[b] for name, column in context.items()},
            "lists": {name: column[b] for name, column in lists.items() if column[b] is not None},
        }
    return given
