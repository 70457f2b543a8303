"""Artifacts: versions of a model on disk, of which one serves."""

from __future__ import annotations

import json
import os
import re
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from recokit._utils.options import require, shortened, whole
from recokit._utils.params import get_params
from recokit.errors import DataError
from recokit.pipeline import Pipeline
from recokit.serving.golden import Golden, GoldenReport
from recokit.serving.places import ABOUT, place_of

_MODEL = "model"
_FORMAT = 1
_NAME = re.compile(r"\d{6}-[0-9a-f]{8}")
#: Times that a reader looks again where the version that it was about to read was replaced and removed.
_ATTEMPTS = 5


@dataclass(frozen=True)
class Version:
    """One version of a model.

    Parameters
    ----------
    name : str
        Its folder: a number that grows, and eight digits of chance.
    fingerprint : str
        Of the pipeline.
    fitted_until : float
        Time up to which it has seen events.
    published_at : float
        Seconds since 1970.
    golden : mapping, optional
        What :meth:`GoldenReport.to_dict` told when it was published; None without golden questions.
    """

    name: str
    fingerprint: str
    fitted_until: float
    published_at: float
    golden: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class _Pointer:
    """The version that serves, and those that served before and may again, oldest first."""

    version: str
    before: tuple[str, ...] = ()

    def moved(self, name: str) -> _Pointer:
        """Return the pointer at a new version."""
        return _Pointer(name, (*(one for one in self.before if one != name), self.version))

    def back(self, name: str) -> _Pointer:
        """Return the pointer at an earlier version: what came after it is not returned to."""
        return (
            _Pointer(name, self.before[: self.before.index(name)])
            if name in self.before
            else self.moved(name)
        )


class Artifacts:
    """Versions of a model in a folder, and a pointer at the one that serves.

    A version is written aside, read back with its checksums verified, asked the golden questions, made complete on disk
    and only then pointed at: a reader sees the old version or the new one, whole, whatever kills the writer. Versions
    are never written again, so their arrays are mapped into memory and processes on one machine share them.

    Parameters
    ----------
    path : str or path
        A folder of this machine, made when needed; or a URL that fsspec opens (extra ``recokit[remote]``).
    golden : Golden, optional
        Questions that a version must answer to be published; none by default.
    keep : int, default 3
        The newest versions that are kept, besides the one that serves and the one before it.
    trusted : sequence of type, default ()
        Your own stage classes that may be rebuilt.
    connections : mapping of str to object, optional
        Stores that the pipeline reads, as for :meth:`Pipeline.load`.
    cache : str or path, optional
        For a URL: the folder of this machine that versions are copied to.
    clock : callable
        Gives the time of publication; the wall clock by default.

    Raises
    ------
    ConfigurationError
        If an option is out of range, or the path cannot be opened.

    Notes
    -----
    Several processes may publish at the same time: each version is whole, and the last one to finish serves.

    Examples
    --------
    >>> import tempfile
    >>> import recokit as rk
    >>> pipeline = rk.Pipeline([rk.candidates.Popular()]).fit(rk.testing.toy_dataset())
    >>> models = Artifacts(tempfile.mkdtemp(), golden=Golden.of(pipeline, users=20))
    >>> models.publish(pipeline).fingerprint == models.load().fingerprint == pipeline.fingerprint
    True
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        golden: Golden | None = None,
        keep: int = 3,
        trusted: Sequence[type] = (),
        connections: Mapping[str, Any] | None = None,
        cache: str | os.PathLike[str] | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        require(whole(1), keep=keep)
        self.path, self.golden, self.keep, self.cache = path, golden, keep, cache
        self.trusted, self.connections, self.clock = tuple(trusted), connections, clock
        self._place = place_of(path, cache)

    # -- reading -----------------------------------------------------------------------------------

    @property
    def current(self) -> Version | None:
        """The version that serves; None before the first."""
        pointer = self._pointer()
        return None if pointer is None else self._about(pointer.version)

    def versions(self) -> tuple[Version, ...]:
        """Return the versions that are there, oldest first."""
        return tuple(self._about(name) for name in self._place.names() if _NAME.fullmatch(name))

    def load(self, version: str | None = None, **options: Any) -> Pipeline:
        """Load a version, its arrays mapped into memory.

        Parameters
        ----------
        version : str, optional
            Name of a version; the one that serves by default.
        options
            ``observers`` and ``clock`` of the pipeline.

        Raises
        ------
        DataError
            If nothing was published, there is no such version, or a file of it is missing or altered.
        """
        if version is not None:
            return self._load(version, options)
        for _ in range(_ATTEMPTS):
            pointer = self._served()
            try:
                return self._load(pointer.version, options)
            except DataError:
                if self._served() == pointer:
                    raise
        raise DataError(
            f"found another version at {self.path} each of {_ATTEMPTS} times; expected one to stay"
        )

    # -- writing -----------------------------------------------------------------------------------

    def publish(self, pipeline: Pipeline) -> Version:
        """Make a fitted pipeline the version that serves.

        Returns
        -------
        Version

        Raises
        ------
        GateRejected
            If it answers the golden questions otherwise; nothing is changed then.
        DataError
            If it cannot be read back as it was.
        NotFittedError
            Before ``fit``.
        """
        with self._place.draft() as draft:
            pipeline.save(draft / _MODEL)
            report = self._checked(draft, pipeline)
            about: dict[str, Any] = {
                "fingerprint": pipeline.fingerprint,
                "fitted_until": pipeline.fitted_until,
                "published_at": float(self.clock()),
                "golden": None if report is None else report.to_dict(),
            }
            (draft / ABOUT).write_text(json.dumps(about), encoding="utf-8")
            with self._place.locked():
                name = self._next_name()
                self._place.add(draft, name)
                pointer = self._pointer()
                self._point(_Pointer(name) if pointer is None else pointer.moved(name))
        self.clean()
        return Version(name, **about)

    def rollback(self, to: str | None = None) -> Version:
        """Move the pointer back.

        Parameters
        ----------
        to : str, optional
            Name of a version; by default the one that served before the one that serves now.

        Returns
        -------
        Version
            The one that serves now.

        Raises
        ------
        DataError
            If nothing was published, or there is no such version.
        """
        with self._place.locked():
            pointer, there = self._served(), set(self._place.names())
            earlier = [name for name in pointer.before if name in there]
            if to is None and not earlier:
                raise DataError(
                    f"found no version before {pointer.version} at {self.path}; expected one that served"
                )
            if to is not None and to not in there:
                raise DataError(
                    f"found no version {shortened(to, 60)!r}; expected one of {', '.join(sorted(there))}"
                )
            name = earlier[-1] if to is None else to
            self._point(pointer.back(name))
        return self._about(name)

    def clean(self) -> tuple[str, ...]:
        """Remove versions beyond those that are kept, and return their names; publishing does it too.

        What killed writers left is removed when the next version is written.
        """
        with self._place.locked():
            pointer, names = self._pointer(), self._place.names()
            there = [name for name in (() if pointer is None else pointer.before) if name in names]
            kept = {*names[-self.keep :], *there[-1:], *(() if pointer is None else (pointer.version,))}
            gone = tuple(name for name in names if name not in kept and _NAME.fullmatch(name))
            for name in gone:
                self._place.remove(name)
        return gone

    def __repr__(self) -> str:
        options = {
            name: value for name, value in get_params(self).items() if name in ("golden", "keep", "cache")
        }
        shown = "".join(f", {name}={value!r}" for name, value in options.items() if value is not None)
        return f"Artifacts({str(self.path)!r}{shown})"

    # -- inside ------------------------------------------------------------------------------------

    def _load(self, version: str, options: Mapping[str, Any]) -> Pipeline:
        if not _NAME.fullmatch(version):
            raise DataError(
                f"found version {shortened(version, 60)!r}; expected a name such as 000001-0a1b2c3d"
            )
        return self._pipeline(self._place.fetch(version) / _MODEL, **options)

    def _pipeline(self, folder: Any, **options: Any) -> Pipeline:
        return Pipeline.load(
            folder, trusted=self.trusted, connections=self.connections, mapped=True, **options
        )

    def _checked(self, draft: Any, pipeline: Pipeline) -> GoldenReport | None:
        """Read a draft back and ask it the golden questions."""
        loaded = self._pipeline(draft / _MODEL, clock=pipeline.clock)
        if loaded.fingerprint != pipeline.fingerprint:
            raise DataError(
                f"found fingerprint {loaded.fingerprint} after reading back a pipeline of fingerprint "
                f"{pipeline.fingerprint}; expected the same; hint: does a stage of yours keep all that it learns in "
                "attributes that end with _?"
            )
        return None if self.golden is None else self.golden.check(loaded).raise_for_status()

    def _next_name(self) -> str:
        last = max((int(name[:6]) for name in self._place.names() if _NAME.fullmatch(name)), default=0)
        return f"{last + 1:06d}-{uuid.uuid4().hex[:8]}"

    def _about(self, name: str) -> Version:
        try:
            about = json.loads(self._place.about(name))
            return Version(
                name,
                str(about["fingerprint"]),
                float(about["fitted_until"]),
                float(about["published_at"]),
                about["golden"],
            )
        except OSError as error:
            raise DataError(f"found no version {name} at {self.path}; expected a complete one") from error
        except (ValueError, LookupError, TypeError) as error:
            raise DataError(f"found a damaged {ABOUT} of version {name}; expected JSON") from error

    def _served(self) -> _Pointer:
        pointer = self._pointer()
        if pointer is None:
            raise DataError(f"found no version at {self.path}; expected one; hint: publish(pipeline)")
        return pointer

    def _pointer(self) -> _Pointer | None:
        content = self._place.pointer()
        if content is None:
            return None
        try:
            told = json.loads(content)
            pointer = _Pointer(told["version"], tuple(told["before"]))
            if told["format"] != _FORMAT or not all(
                _NAME.fullmatch(one) for one in (pointer.version, *pointer.before)
            ):
                raise ValueError("no names of versions")
        except (ValueError, LookupError, TypeError) as error:
            raise DataError(
                f"found a damaged pointer at {self.path} ({shortened(error)}); expected one that Artifacts wrote; "
                "hint: rollback(to=...) needs a pointer, remove a damaged one and publish again"
            ) from error
        return pointer

    def _point(self, pointer: _Pointer) -> None:
        kept = pointer.before[-self.keep :]
        told = {"format": _FORMAT, "version": pointer.version, "before": kept}
        self._place.point(json.dumps(told).encode())
