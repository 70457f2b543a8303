"""MovieLens ratings, from a folder or downloaded from GroupLens."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from recokit.data import Dataset
from recokit.datasets._download import fetch_zip, with_names
from recokit.errors import DataError, did_you_mean
from recokit.typing import AnyArray

#: Name: address, MD5 as published by GroupLens beside it, folder inside the archive.
_ARCHIVES = {
    "100k": (
        "https://files.grouplens.org/datasets/movielens/ml-100k.zip",
        "0e33842e24a9c977be4e0107933c0723",
        "ml-100k",
    ),
    "1m": (
        "https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        "c4d9eecfca2ab87c1945afe126590906",
        "ml-1m",
    ),
}
_GENRES_100K = (
    "unknown", "Action", "Adventure", "Animation", "Children's", "Comedy", "Crime", "Documentary", "Drama", "Fantasy",
    "Film-Noir", "Horror", "Musical", "Mystery", "Romance", "Sci-Fi", "Thriller", "War", "Western",
)  # fmt: skip
_YEAR = re.compile(r"\((\d{4})\)\s*$")

Columns = dict[str, AnyArray | list[str]]


def load_movielens(path_or_name: str | os.PathLike[str] = "100k") -> Dataset:
    """Load MovieLens ratings from a folder, or by name from GroupLens.

    Parameters
    ----------
    path_or_name : str or path, default "100k"
        ``"100k"`` or ``"1m"``: downloaded once, checked by the checksum that GroupLens publishes, and kept in
        ``~/.cache/recokit`` (elsewhere by the environment variable ``RECOKIT_CACHE``). GroupLens asks to be cited and
        allows no commercial use. Or a folder with the files of any MovieLens release (``u.data``, ``ratings.dat`` or
        ``ratings.csv``), or with ``interactions.parquet`` of user, item, rating and timestamp.

    Returns
    -------
    Dataset
        One interaction for each rating, its weight the rating. Items have the text ``name`` and, where the files have
        them, ``category`` (the first genre), ``genres`` (all, separated by ``|``) and ``release_year``. Users have
        ``age``, ``gender`` and ``occupation`` where the files have them.

    Raises
    ------
    DataError
        If the name is unknown, the folder has no ratings, the download fails or its checksum is wrong.
    """
    if isinstance(path_or_name, str) and path_or_name in _ARCHIVES:
        url, checksum, folder = _ARCHIVES[path_or_name]
        return _load(fetch_zip(url, f"md5:{checksum}") / folder)
    if not Path(path_or_name).is_dir():
        raise DataError(
            f"found no folder {os.fspath(path_or_name)!r}; expected a folder or a name; "
            f"{did_you_mean(os.fspath(path_or_name), _ARCHIVES)}"
        )
    return _load(Path(path_or_name))


def _load(folder: Path) -> Dataset:
    for name, read in _READERS.items():
        if (folder / name).exists():
            ratings, items, users = read(folder)
            if items is None:
                return Dataset.from_frame(ratings, users=users, min_rating=0)
            names = items.pop("name")
            data = Dataset.from_frame(
                ratings, items=items, users=users, min_rating=0, separators={"genres": "|"}
            )
            return with_names(data, np.asarray(items["item_id"]), names)
    raise DataError(f"found no ratings in {folder}; expected one of {', '.join(_READERS)}")


def _read_100k(folder: Path) -> tuple[Columns, Columns, Columns | None]:
    users = _columns(
        _lines(folder / "u.user", "|"), ("user_id", "age", "gender", "occupation"), ints=("user_id", "age")
    )
    rows = list(_lines(folder / "u.item", "|", "latin-1"))
    flags = [[name for name, flag in zip(_GENRES_100K, row[5:], strict=True) if flag == "1"] for row in rows]
    items = [(row[0], row[1], "|".join(genres)) for row, genres in zip(rows, flags, strict=True)]
    return _ratings(_lines(folder / "u.data", "\t")), _items(items), users


def _read_1m(folder: Path) -> tuple[Columns, Columns, Columns | None]:
    users = None
    if (folder / "users.dat").exists():
        names = ("user_id", "gender", "age", "occupation")
        users = _columns(_lines(folder / "users.dat", "::"), names, ints=("user_id", "age"))
    return (
        _ratings(_lines(folder / "ratings.dat", "::")),
        _items(_lines(folder / "movies.dat", "::", "latin-1")),
        users,
    )


def _read_csv(folder: Path) -> tuple[Columns, Columns, Columns | None]:
    return _ratings(_csv(folder / "ratings.csv")), _items(_csv(folder / "movies.csv")), None


def _read_parquet(folder: Path) -> tuple[Columns, Columns | None, Columns | None]:
    import pyarrow.parquet as pq

    # ParquetFile and DLPack: read_table and to_numpy import pandas.
    with pq.ParquetFile(folder / "interactions.parquet") as file:
        table = file.read()
    names = ("user", "item", "rating", "timestamp")
    ratings: Columns = {name: np.from_dlpack(table[name].combine_chunks()) for name in names}
    if (folder / "movies.csv").exists():
        return ratings, _items(_csv(folder / "movies.csv")), None
    return ratings, _atomic_items(folder), _atomic_users(folder)


def _atomic_items(folder: Path) -> Columns | None:
    path = next(folder.glob("*.item"), None)
    if path is None:
        return None
    rows = list(_lines(path, "\t"))[1:]
    return _items([(code, f"{name} ({year})", genres.replace(" ", "|")) for code, name, year, genres in rows])


def _atomic_users(folder: Path) -> Columns | None:
    path = next(folder.glob("*.user"), None)
    if path is None:
        return None
    names = ("user_id", "age", "gender", "occupation")
    return _columns(list(_lines(path, "\t"))[1:], names, ints=("user_id", "age"))


_READERS: dict[str, Callable[[Path], tuple[Columns, Columns | None, Columns | None]]] = {
    "u.data": _read_100k,
    "ratings.dat": _read_1m,
    "ratings.csv": _read_csv,
    "interactions.parquet": _read_parquet,
}


def _ratings(rows: Iterator[list[str]]) -> Columns:
    user, item, rating, timestamp = zip(*rows, strict=True)
    return {
        "user_id": np.array(user, np.int64),
        "item_id": np.array(item, np.int64),
        "weight": np.array(rating, np.float64),
        "timestamp": np.array(timestamp, np.float64),
    }


def _items(rows: Iterator[list[str]] | Sequence[Sequence[str]]) -> Columns:
    ids, titles, genres = zip(*(row[:3] for row in rows), strict=True)
    years = [match[1] if (match := _YEAR.search(title)) else "nan" for title in titles]
    return {
        "item_id": np.array(ids, np.int64),
        "name": list(titles),
        "category": [row.split("|")[0] for row in genres],
        "genres": list(genres),
        "release_year": np.array(years, np.float64),
    }


def _columns(
    rows: Iterator[list[str]] | Sequence[list[str]], names: Sequence[str], *, ints: Sequence[str]
) -> Columns:
    columns = dict(zip(names, zip(*rows, strict=True), strict=False))
    return {
        name: np.array(values, np.int64) if name in ints else list(values) for name, values in columns.items()
    }


def _lines(path: Path, separator: str, encoding: str = "utf-8") -> Iterator[list[str]]:
    with path.open(encoding=encoding) as file:
        for line in file:
            if line.strip():
                yield line.rstrip("\r\n").split(separator)


def _csv(path: Path) -> Iterator[list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        yield from rows
