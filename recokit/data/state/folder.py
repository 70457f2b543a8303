"""Saved state: a folder of JSON and safetensors behind a manifest of checksums. No pickle, no code."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from recokit.data.state.encode import from_state, to_state
from recokit.errors import ConfigurationError, DataError

_FORMAT = 1
_MANIFEST, _TREE, _ARRAYS = "manifest.json", "state.json", "arrays.safetensors"


def save_state(path: str | os.PathLike[str], obj: Any, extra: Mapping[str, Any] | None = None) -> None:
    """Save an object as a folder.

    The folder is written under another name and moved into place when it is complete, so a reader never sees
    half of it. A state that was saved there before is replaced.

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
    import shutil
    import uuid

    from safetensors.numpy import save_file

    target = Path(path)
    if target.exists() and not _replaceable(target):
        raise ConfigurationError(
            f"found other files at {target}; expected a new folder or an earlier saved state"
        )
    tree, arrays = to_state(obj)
    try:
        text = json.dumps({"state": tree, "extra": dict(extra or {})}, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise ConfigurationError(
            f"found extra values that are not JSON ({error}); expected finite JSON"
        ) from error
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        draft.mkdir()
        (draft / _TREE).write_text(text, encoding="utf-8")
        save_file(arrays, draft / _ARRAYS)
        files = {
            name: {"sha256": _sha256(draft / name), "bytes": (draft / name).stat().st_size} for name in _FILES
        }
        manifest = {"format": _FORMAT, "recokit": _version(), "files": files}
        (draft / _MANIFEST).write_text(json.dumps(manifest, indent=2), encoding="utf-8")
        for name in (*_FILES, _MANIFEST):
            _flush(draft / name)
        _move_into_place(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def load_state(path: str | os.PathLike[str], trusted: Iterable[type] = ()) -> tuple[Any, dict[str, Any]]:
    """Load what :func:`save_state` saved.

    Checksums are verified before anything is parsed. Nothing in the files is executed: classes are found by
    name among recokit's own and the trusted ones.

    Parameters
    ----------
    path : str or path
        The folder.
    trusted : iterable of type
        Classes outside recokit that the state may be made of, such as your own stages.

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
        If the state names a class that is neither recokit's nor trusted.
    """
    from safetensors.numpy import load_file

    folder = Path(path)
    _verify(folder, _read_manifest(folder))
    try:
        document = json.loads((folder / _TREE).read_text(encoding="utf-8"))
        tree, extra = document["state"], document["extra"]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise DataError(
            f"found no saved state in {folder / _TREE}; expected one written by save_state"
        ) from error
    return from_state(tree, load_file(folder / _ARRAYS), trusted), dict(extra)


_FILES = (_TREE, _ARRAYS)


def _read_manifest(folder: Path) -> dict[str, Any]:
    try:
        manifest = json.loads((folder / _MANIFEST).read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(
            f"found no {_MANIFEST} in {folder}; expected a folder written by save_state"
        ) from error
    except ValueError as error:
        raise DataError(f"found a damaged {_MANIFEST} in {folder}; expected JSON") from error
    found = manifest.get("format") if isinstance(manifest, dict) else None
    if found != _FORMAT:
        raise DataError(
            f"found format {found!r} in {folder}; expected {_FORMAT}, the one that recokit {_version()} reads"
        )
    return dict(manifest)


def _verify(folder: Path, manifest: Mapping[str, Any]) -> None:
    files = manifest.get("files")
    if not isinstance(files, dict) or set(files) != set(_FILES):
        raise DataError(f"found a {_MANIFEST} in {folder} that does not list {' and '.join(_FILES)}")
    for name in _FILES:
        expected = files[name] if isinstance(files[name], dict) else {}
        try:
            size = (folder / name).stat().st_size
        except OSError as error:
            raise DataError(f"found no {name} in {folder}; the saved state is incomplete") from error
        if size != expected.get("bytes"):
            raise DataError(
                f"found {size} bytes in {folder / name}; expected {expected.get('bytes')}; it is cut short"
            )
        if _sha256(folder / name) != expected.get("sha256"):
            raise DataError(
                f"found a wrong checksum for {folder / name}; the file was changed after it was saved"
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _replaceable(target: Path) -> bool:
    return target.is_dir() and ((target / _MANIFEST).exists() or not any(target.iterdir()))


def _move_into_place(draft: Path, target: Path) -> None:
    import shutil

    if not target.exists():
        os.replace(draft, target)
        return
    # A full folder cannot be replaced in one step: the old one steps aside, and comes back if the move fails.
    old = draft.with_name(f"{draft.name}.old")
    os.replace(target, old)
    try:
        os.replace(draft, target)
    except OSError:
        os.replace(old, target)
        raise
    shutil.rmtree(old, ignore_errors=True)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("recokit")
    except PackageNotFoundError:
        return "unknown"
