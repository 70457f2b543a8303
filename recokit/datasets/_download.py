"""Downloads with a checksum and a cache."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
import zipfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.error import URLError
from urllib.parse import urlparse
from urllib.request import urlopen

import numpy as np

from recokit.data import Dataset
from recokit.errors import DataError
from recokit.typing import AnyArray

_TIMEOUT = 30.0


def cache_folder() -> Path:
    """Return where downloads are kept: ``RECOKIT_CACHE``, else ``~/.cache/recokit``."""
    return Path(os.environ.get("RECOKIT_CACHE") or Path.home() / ".cache" / "recokit")


def fetch_zip(url: str, checksum: str) -> Path:
    """Download and unpack an archive once; later calls find it in the cache.

    Parameters
    ----------
    url : str
        Address of a zip archive.
    checksum : str
        ``"md5:..."`` or ``"sha256:..."`` in hex, of the archive. It names the folder in the cache, so another version
        of the archive never meets this one.

    Returns
    -------
    Path
        The folder that the archive was unpacked to.

    Raises
    ------
    DataError
        If the download fails, or its content is not what the checksum says. Nothing is kept then.
    """
    kind, _, expected = checksum.partition(":")
    stem = Path(urlparse(url).path).stem
    target = cache_folder() / f"{stem}-{expected[:12]}"
    if target.is_dir():
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        draft.mkdir()
        archive = draft / "archive.zip"
        found = _download(url, archive, kind)
        if found != expected:
            raise DataError(
                f"found {kind} {found} for {url}; expected {expected}; hint: the download was cut short or the file "
                "was changed; try again, or load from a folder"
            )
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(draft)
        archive.unlink()
        _move(draft, target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def _download(url: str, path: Path, kind: str) -> str:
    digest = hashlib.new(kind, usedforsecurity=False)
    try:
        with urlopen(url, timeout=_TIMEOUT) as response, path.open("wb") as file:
            while part := response.read(1 << 20):
                digest.update(part)
                file.write(part)
    except (URLError, TimeoutError, OSError) as error:
        raise DataError(f"found no answer from {url} ({error}); hint: load from a folder instead") from error
    return digest.hexdigest()


def _move(draft: Path, target: Path) -> None:
    try:
        os.replace(draft, target)
    except OSError:
        # Another process may have finished the same download first; its folder is as good as this one.
        if not target.is_dir():
            raise


def with_names(data: Dataset, item_ids: AnyArray, names: Sequence[str] | AnyArray) -> Dataset:
    """Return the dataset with the text column ``name``, None for items that have none."""
    name = np.full(data.n_items + 1, None, object)
    name[data.item_ids.encode(item_ids)] = names
    return replace(data, items=replace(data.items, other={**data.items.other, "name": name}))
