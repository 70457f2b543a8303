"""Saved state: a folder of JSON and safetensors behind a manifest of checksums. No pickle, no code.

The manifest names the files, so that replacing it replaces the state: a reader that opened what one manifest names has
one state, whoever saves another meanwhile.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
import re
import stat
from collections.abc import Iterable, Mapping
from io import BufferedReader
from pathlib import Path
from typing import Any

import numpy as np

from recokit._utils.options import shortened
from recokit.data.state.arrays import arrays_of
from recokit.data.state.commit import draft_folder, drafts, flush, move_into
from recokit.data.state.encode import from_state, to_state
from recokit.errors import ConfigurationError, DataError
from recokit.typing import AnyArray

_FORMAT = 1
_MANIFEST, _TREE, _ARRAYS = "manifest.json", "state.json", "arrays.safetensors"
_FILES = (_TREE, _ARRAYS)
#: Bytes of a manifest at most; one has a few hundred.
_MANIFEST_BYTES = 1 << 20
#: Times that a reader looks again where somebody saves another state.
_ATTEMPTS = 20


def save_state(path: str | os.PathLike[str], obj: Any, extra: Mapping[str, Any] | None = None) -> None:
    """Save an object as a folder.

    The files are written under other names and count when all are complete: a reader sees the state before or the
    new one, whole, at any moment. A state that was saved there before is replaced; what killed writers left is removed.

    Parameters
    ----------
    path : str or path
        The folder to write: new, empty, or an earlier state.
    obj : object
        What :func:`~recokit.data.state.to_state` takes.
    extra : mapping, optional
        JSON values to store beside it.

    Raises
    ------
    ConfigurationError
        If the object cannot be stored, or the path holds something other than an earlier state.
    """
    if not isinstance(path, str | os.PathLike):
        raise ConfigurationError(f"found path={path!r}; expected that of a folder, as text or a Path")
    target = Path(path)
    _check_replaceable(target)
    tree, arrays = to_state(obj)
    try:
        text = json.dumps({"state": tree, "extra": dict(extra or {})}, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise ConfigurationError(
            f"found extra values that are not JSON ({shortened(error)}); expected finite JSON"
        ) from error
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise ConfigurationError(
            f"found a file in place of the folder {target.parent}; expected a folder"
        ) from error
    if not target.exists():
        with draft_folder(target.parent, target.name) as draft:
            _write(draft, text, arrays)
            try:
                os.replace(draft, target)
            except OSError:
                if not target.exists():
                    raise  # else another writer was faster: its state is replaced, as below
            else:
                return
    _check_replaceable(target)
    with draft_folder(target.parent, target.name):
        pass  # what killed writers of a first state left
    with draft_folder(target, "draft") as draft:
        names = _write(draft, text, arrays, by_content=any(target.glob("*.json")))
        move_into(draft, target, [*names, _MANIFEST])


def load_state(
    path: str | os.PathLike[str],
    trusted: Iterable[type] = (),
    connections: Mapping[str, Any] | None = None,
    *,
    mapped: bool = False,
) -> tuple[Any, dict[str, Any]]:
    """Load what :func:`save_state` saved.

    Files are opened once, and checksums verified before anything is parsed. Nothing in the files is executed: classes
    are found by name among recokit's own and the trusted ones. A state opens no file and no connection of its own.

    Parameters
    ----------
    path : str or path
        The folder.
    trusted : iterable of type
        Classes outside recokit that the state may be made of, such as your own stages.
    connections : mapping of str to object, optional
        For each connection that the state names, such as a Redis store by its prefix: the store, or its URL or path.
    mapped : bool, default False
        Map the arrays into memory, so that processes that load the same files share them; what one writes is its own.
        For folders in which files are never written again, such as those of :class:`recokit.serving.Artifacts`.

    Returns
    -------
    obj : object
        The object.
    extra : dict
        The values stored beside it.

    Raises
    ------
    DataError
        If a file is missing, cut short, changed, or of an unknown format.
    ConfigurationError
        If the state names a class that is neither recokit's nor trusted, or a connection that is not given.
    """
    folder = Path(path)
    content = _read(folder, mapped=mapped)
    try:
        document = json.loads(content[_TREE].tobytes())
        tree, extra = document["state"], dict(document["extra"])
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(
            f"found no saved state in {folder / _TREE}; expected one written by save_state"
        ) from error
    return from_state(tree, arrays_of(content[_ARRAYS]), trusted, connections), extra


# -- writing -----------------------------------------------------------------------------------------


def _write(draft: Path, text: str, arrays: Mapping[str, AnyArray], *, by_content: bool = False) -> list[str]:
    """Write a state and its manifest; return the files' names, of which each content has its own if asked."""
    from safetensors.numpy import save_file

    (draft / _TREE).write_text(text, encoding="utf-8")
    save_file(dict(arrays), draft / _ARRAYS)
    files: dict[str, dict[str, Any]] = {}
    names = []
    for name in _FILES:
        about = {"sha256": _sha256(draft / name), "bytes": (draft / name).stat().st_size}
        stem, _, suffix = name.partition(".")
        names.append(f"{stem}-{str(about['sha256'])[:16]}.{suffix}" if by_content else name)
        files[name] = about | ({"file": names[-1]} if by_content else {})
        os.replace(draft / name, draft / names[-1])
    manifest = {"format": _FORMAT, "recokit": _version(), "files": files}
    (draft / _MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
    for name in (*names, _MANIFEST):
        flush(draft / name)
    return names


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _check_replaceable(target: Path) -> None:
    if not target.exists():
        return
    left = set(drafts(target, "draft")) if target.is_dir() else set()
    if not target.is_dir() or ({*target.iterdir()} - left and not (target / _MANIFEST).exists()):
        raise ConfigurationError(
            f"found other files at {target}; expected a new folder or an earlier saved state"
        )


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("recokit")
    except PackageNotFoundError:
        return "unknown"


# -- reading -----------------------------------------------------------------------------------------


def _read(folder: Path, *, mapped: bool) -> dict[str, AnyArray]:
    """Return the verified bytes of the files that one manifest names."""
    text = _manifest_text(folder)
    for _ in range(_ATTEMPTS):
        try:
            files = _files(folder, text)
            return {name: _verified(folder, name, about, mapped=mapped) for name, about in files.items()}
        except DataError:
            again = _manifest_text(folder)
            if again == text:
                raise
            text = again  # somebody saved another state since: look there
    raise DataError(f"found another state in {folder} each of {_ATTEMPTS} times; expected one to stay")


def _manifest_text(folder: Path) -> str:
    try:
        with _opened(folder / _MANIFEST) as file:
            content = file.read(_MANIFEST_BYTES)
        return content.decode("utf-8")
    except OSError as error:
        raise DataError(
            f"found no {_MANIFEST} in {folder} that can be read ({shortened(error)}); expected a folder written by "
            "save_state"
        ) from error
    except ValueError as error:
        raise DataError(f"found a damaged {_MANIFEST} in {folder}; expected JSON") from error


def _files(folder: Path, text: str) -> dict[str, dict[str, Any]]:
    """Return what a manifest says of each file."""
    try:
        manifest = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise DataError(f"found a damaged {_MANIFEST} in {folder}; expected JSON") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != _FORMAT:
        raise DataError(
            f"found format {shortened(repr(found), 60)} in {folder}; expected {_FORMAT}, the one that recokit "
            f"{_version()} reads"
        )
    files = manifest.get("files")
    if not isinstance(files, dict) or set(files) != set(_FILES):
        raise DataError(f"found a {_MANIFEST} in {folder} that does not list {' and '.join(_FILES)}")
    return {name: about if isinstance(about, dict) else {} for name, about in files.items()}


def _verified(folder: Path, name: str, about: Mapping[str, Any], *, mapped: bool) -> AnyArray:
    """Return the bytes of a file, which are those that its manifest tells of."""
    path = folder / _named(folder, name, about)
    try:
        with _opened(path) as file:
            size = os.fstat(file.fileno()).st_size
            if size != about.get("bytes"):
                expected = shortened(repr(about.get("bytes")), 60)
                raise DataError(f"found {size} bytes in {path}; expected {expected}; it is cut short")
            content = _content(file, size, mapped=mapped)
            if len(content) != size:
                raise DataError(f"found fewer than {size} bytes in {path}; it is cut short")
    except MemoryError as error:
        raise DataError(f"found {size} bytes in {path}; there is no memory for as many") from error
    except OSError as error:
        raise DataError(
            f"found no {name} in {folder} that can be read ({shortened(error)}); the saved state is incomplete"
        ) from error
    if hashlib.sha256(content.data).hexdigest() != about.get("sha256"):
        raise DataError(f"found a wrong checksum for {path}; the file was changed after it was saved")
    return content


def _content(file: BufferedReader, size: int, *, mapped: bool) -> AnyArray:
    """Return the bytes of a file: read, or mapped so that who writes to them changes his own copy."""
    if mapped and size:
        return np.frombuffer(mmap.mmap(file.fileno(), size, access=mmap.ACCESS_COPY), np.uint8)
    content = np.empty(size, np.uint8)
    return content[: file.readinto(content.data)]


def _named(folder: Path, name: str, about: Mapping[str, Any]) -> str:
    stem, _, suffix = name.partition(".")
    file = about.get("file", name)
    if file != name and not (
        isinstance(file, str) and re.fullmatch(rf"{stem}-[0-9a-f]{{16}}\.{suffix}", file)
    ):
        raise DataError(f"found a {_MANIFEST} in {folder} that names another file for {name}")
    return str(file)


def _opened(path: Path) -> BufferedReader:
    """Open a file to read; a pipe or a device in its place is not waited for."""
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0) | getattr(os, "O_NONBLOCK", 0))
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    raise OSError(f"{path.name} is no regular file")
