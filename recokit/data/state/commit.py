"""Files put in place of others: what was there serves until the new files are whole, then all of them count at once."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

#: Drafts of writers that may live on a machine without locks are left alone for so many seconds.
_ABANDONED_AFTER = 3600.0
_DRAFT = re.compile(r"[0-9a-f]{32}(\.old)?")


@contextmanager
def draft_folder(beside: Path, name: str) -> Iterator[Path]:
    """Make a folder to write in, locked while it is written, gone in the end; and drafts of killed writers before it.

    Parameters
    ----------
    beside : Path
        Where it lies.
    name : str
        How it begins.
    """
    _remove_abandoned(beside, name)
    draft, lock = _new_draft(beside, name)
    with lock:
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _new_draft(beside: Path, name: str) -> tuple[Path, ExitStack]:
    """Return a new folder and the lock on it."""
    while True:
        draft = beside / f".{name}.{uuid.uuid4().hex}"
        draft.mkdir()
        # Another writer may take it for abandoned before it is locked.
        with suppress(FileNotFoundError), ExitStack() as lock:
            lock.enter_context(locked(draft))
            if draft.exists():
                return draft, lock.pop_all()


def drafts(folder: Path, name: str) -> list[Path]:
    """Return the drafts in a folder that begin with a name."""
    start = f".{name}."
    with suppress(OSError):
        return [
            path
            for path in folder.iterdir()
            if path.name.startswith(start) and _DRAFT.fullmatch(path.name[len(start) :])
        ]
    return []


def move_into(draft: Path, target: Path, names: Sequence[str]) -> None:
    """Move files of a draft into a folder in which other files serve, in order: the last names all others.

    Files that the last one does not name, of writers before, are removed when it is in place.
    """
    with locked(target):
        before = {path.name for path in target.iterdir() if path.is_file()}
        for name in names[:-1]:
            os.replace(draft / name, target / name)
        flush(target)
        os.replace(draft / names[-1], target / names[-1])
        for name in before - set(names):
            with suppress(OSError):  # another system may not remove what a reader holds open
                (target / name).unlink()


def flush(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on disk."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:  # a folder cannot be opened everywhere
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _remove_abandoned(folder: Path, name: str) -> None:
    """Remove the drafts whose writers are gone: a lock ends with the process that holds it."""
    for path in drafts(folder, name):
        with suppress(OSError), locked(path, wait=False) as alone:
            if alone or (alone is None and time.time() - path.stat().st_mtime > _ABANDONED_AFTER):
                shutil.rmtree(path, ignore_errors=True)


@contextmanager
def locked(folder: Path, *, wait: bool = True) -> Iterator[bool | None]:
    """Lock a folder against others that lock it; yields whether it is locked, None where there are no locks."""
    try:
        import fcntl
    except ImportError:
        yield None
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            held: bool | None = True
        except BlockingIOError:
            held = False
        except OSError:  # a file system without locks
            held = None
        yield held
    finally:
        os.close(descriptor)
