"""Places where versions lie: a folder of this machine, or any path that fsspec opens.

A version is a folder that is complete when it is there, and is never written again. One small file, the pointer, says
which of them serves.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any, Protocol

from recokit._utils.options import error_text
from recokit.data.state.commit import draft_folder, flush, locked
from recokit.errors import ConfigurationError, DataError

#: The file of a version that is written last: what has it is complete.
ABOUT = "about.json"
_POINTER, _VERSIONS = "current.json", "versions"
#: Bytes of a pointer, or of what is said of a version, at most.
_SMALL = 1 << 20


class Place(Protocol):
    """Where versions lie."""

    def locked(self) -> AbstractContextManager[Any]:
        """Keep other writers out, where the place can."""
        ...

    def draft(self) -> AbstractContextManager[Path]:
        """Make a folder of this machine to write a version in."""
        ...

    def add(self, draft: Path, name: str) -> None:
        """Make a draft a version."""
        ...

    def names(self) -> list[str]:
        """Return the names of the complete versions, oldest first."""
        ...

    def about(self, name: str) -> bytes:
        """Return what is said of a version."""
        ...

    def fetch(self, name: str) -> Path:
        """Return a version as a folder of this machine."""
        ...

    def remove(self, name: str) -> None:
        """Remove a version; who reads it goes on."""
        ...

    def pointer(self) -> bytes | None:
        """Return the pointer, None before there is one."""
        ...

    def point(self, content: bytes) -> None:
        """Replace the pointer in one step."""
        ...


def place_of(path: str | os.PathLike[str], cache: str | os.PathLike[str] | None) -> Place:
    """Return the place of a path; a URL such as ``s3://bucket/models`` is copied to ``cache`` to be read.

    Raises
    ------
    ConfigurationError
        For a URL without a cache, or a cache without a URL.
    """
    remote = "://" in str(path)
    if remote != (cache is not None):
        raise ConfigurationError(
            f"found path={str(path)!r} with cache={cache!r}; expected a folder of this machine for the copies of what "
            "lies elsewhere, and none for what lies here"
        )
    return Elsewhere(str(path), Path(cache)) if cache is not None else Folder(Path(path))


class Folder:
    """A folder of this machine."""

    def __init__(self, path: Path) -> None:
        self._path, self._versions = path, path / _VERSIONS

    def locked(self) -> AbstractContextManager[Any]:
        """Keep other writers of this machine out."""
        self._make()
        return locked(self._path)

    @contextmanager
    def draft(self) -> Iterator[Path]:
        """Make a folder to write in; those of killed writers are removed."""
        self._make()
        with draft_folder(self._path, "draft") as draft:
            yield draft

    def add(self, draft: Path, name: str) -> None:
        """Rename a draft, whose files are on disk."""
        for file in draft.rglob("*"):
            if file.is_file():
                file.chmod(0o444)
            flush(file)
        flush(draft)
        draft.rename(self._versions / name)
        flush(self._versions)

    def names(self) -> list[str]:
        """Return the names of the folders that are complete."""
        with suppress(FileNotFoundError):
            return sorted(path.parent.name for path in self._versions.glob(f"*/{ABOUT}"))
        return []

    def about(self, name: str) -> bytes:
        """Read what is said of a version."""
        return _read(self._versions / name / ABOUT)

    def fetch(self, name: str) -> Path:
        """Return the folder itself."""
        folder = self._versions / name
        if not (folder / ABOUT).is_file():
            raise DataError(f"found no version {name} in {self._versions}; expected a complete one")
        return folder

    def remove(self, name: str) -> None:
        """Rename a version, so that it is gone at once, and remove it."""
        gone = self._path / f".draft.{uuid.uuid4().hex}"
        with suppress(OSError):
            (self._versions / name).rename(gone)
            shutil.rmtree(gone, ignore_errors=True)

    def pointer(self) -> bytes | None:
        """Read the pointer."""
        try:
            return _read(self._path / _POINTER)
        except FileNotFoundError:
            return None

    def point(self, content: bytes) -> None:
        """Write another pointer, wait until it is on disk, and rename it."""
        with draft_folder(self._path, "pointer") as draft:
            new = draft / _POINTER
            new.write_bytes(content)
            flush(new)
            os.replace(new, self._path / _POINTER)
        flush(self._path)

    def _make(self) -> None:
        self._versions.mkdir(parents=True, exist_ok=True)


class Elsewhere:
    """A path that fsspec opens: object stores, servers. Versions are copied to a folder of this machine.

    There are no locks: of writers that publish at the same time the last one's version serves.
    """

    def __init__(self, url: str, cache: Path) -> None:
        try:
            import fsspec
        except ImportError as error:
            raise ConfigurationError(
                f"found path={url!r} without the package that opens it; expected fsspec; hint: pip install "
                "'recokit[remote]', and the package of the protocol, such as s3fs"
            ) from error
        self._cache = Folder(cache)
        try:
            self._files, self._path = fsspec.core.url_to_fs(url)
        except (ValueError, ImportError) as error:
            raise ConfigurationError(
                f"found path={url!r} that fsspec does not open ({error_text(error)}); expected a URL of a protocol "
                "whose package is installed"
            ) from error

    def locked(self) -> AbstractContextManager[Any]:
        """Do nothing."""
        return nullcontext()

    def draft(self) -> AbstractContextManager[Path]:
        """Make a folder in the cache to write in."""
        return self._cache.draft()

    def add(self, draft: Path, name: str) -> None:
        """Copy a draft, what says that it is complete last."""
        files = sorted(
            (path for path in draft.rglob("*") if path.is_file()), key=lambda path: path.name == ABOUT
        )
        for file in files:
            target = f"{self._version(name)}/{file.relative_to(draft).as_posix()}"
            self._files.makedirs(target.rpartition("/")[0], exist_ok=True)
            self._files.put_file(str(file), target)

    def names(self) -> list[str]:
        """Return the names of the complete versions."""
        self._files.invalidate_cache()
        return sorted(path.split("/")[-2] for path in self._files.glob(f"{self._path}/{_VERSIONS}/*/{ABOUT}"))

    def about(self, name: str) -> bytes:
        """Read what is said of a version."""
        content: bytes = self._files.cat_file(f"{self._version(name)}/{ABOUT}", 0, _SMALL)
        return content

    def fetch(self, name: str) -> Path:
        """Copy a version into the cache, where it is not there."""
        with suppress(DataError):
            return self._cache.fetch(name)
        with self._cache.draft() as draft:
            for path in self._files.find(self._version(name)):
                target = draft / Path(path).relative_to(self._version(name))
                target.parent.mkdir(parents=True, exist_ok=True)
                self._files.get_file(path, str(target))
            try:
                self._cache.add(draft, name)
            except OSError as error:  # another process was faster, or there is no such version
                with suppress(DataError):
                    return self._cache.fetch(name)
                raise DataError(f"found no version {name} at {self._path} ({error_text(error)})") from error
        return self._cache.fetch(name)

    def remove(self, name: str) -> None:
        """Remove a version there and its copy here."""
        with suppress(OSError):
            self._files.rm(self._version(name), recursive=True)
        self._cache.remove(name)

    def pointer(self) -> bytes | None:
        """Read the pointer."""
        try:
            content: bytes = self._files.cat_file(f"{self._path}/{_POINTER}", 0, _SMALL)
        except FileNotFoundError:
            return None
        return content

    def point(self, content: bytes) -> None:
        """Write the pointer: stores of objects replace one in one step."""
        self._files.makedirs(self._path, exist_ok=True)
        self._files.pipe_file(f"{self._path}/{_POINTER}", content)

    def _version(self, name: str) -> str:
        return f"{self._path}/{_VERSIONS}/{name}"


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(_SMALL)
