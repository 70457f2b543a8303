"""MovieLens in every format, and downloads that are checked before they are used."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest

from recokit.datasets import load_movielens, movielens
from recokit.datasets._download import cache_folder, fetch_zip
from recokit.errors import DataError


def write(folder, **files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_bytes(text.encode("latin-1"))
    return folder


def folder_100k(path):
    flags = "|".join("1" if name in ("Animation", "Comedy") else "0" for name in movielens._GENRES_100K)
    drama = "|".join("1" if name == "Drama" else "0" for name in movielens._GENRES_100K)
    return write(
        path,
        u__data="5\t1\t4\t881250949\n7\t2\t2\t881250950\n",
        u__item=f"1|Toy Story (1995)|01-Jan-1995||http://x|{flags}\n2|Misérables, Les|01-Jan-1995||http://y|{drama}\n",
        u__user="5|24|M|technician|85711\n7|53|F|other|94043\n",
    )


def test_the_100k_format(tmp_path):
    data = load_movielens(folder_100k(tmp_path / "ml"))
    assert len(data.interactions) == 2 and data.interactions.weight.tolist() == [4.0, 2.0]
    codes = data.item_ids.encode([1, 2])
    assert data.items.column("name")[codes].tolist() == ["Toy Story (1995)", "Misérables, Les"]
    genres = data.items.categorical["genres"]
    assert genres.labels.decode(genres.codes[codes]).tolist() == ["Animation|Comedy", "Drama"]
    category = data.items.categorical["category"]
    assert category.labels.decode(category.codes[codes]).tolist() == ["Animation", "Drama"]
    year = data.items.column("release_year")[codes]
    assert year[0] == 1995 and np.isnan(year[1])
    assert data.users.column("age")[data.user_ids.encode([7])[0]] == 53


@pytest.mark.parametrize("with_users", [True, False])
def test_the_1m_format(tmp_path, with_users):
    folder = write(
        tmp_path / "ml",
        ratings__dat="1::1193::5::978300760\n2::661::3::978302109\n",
        movies__dat="661::James (1996)::Animation|Children's\n1193::Cuckoo's Nest (1975)::Drama\n",
    )
    if with_users:
        write(folder, users__dat="1::F::1::10::48067\n2::M::56::16::70072\n")
    data = load_movielens(folder)
    assert data.items.column("release_year")[data.item_ids.encode([661, 1193])].tolist() == [1996, 1975]
    assert data.users.names == (("age", "gender", "occupation") if with_users else ())


def test_the_csv_format(tmp_path):
    folder = write(
        tmp_path / "ml",
        ratings__csv="userId,movieId,rating,timestamp\n1,2,4.5,964982703\n",
        movies__csv='movieId,title,genres\n2,"American President, The (1995)",Comedy|Drama\n',
    )
    data = load_movielens(str(folder))
    assert data.interactions.weight.tolist() == [4.5]
    assert data.items.column("name")[1] == "American President, The (1995)"


@pytest.mark.parametrize(
    ("name", "sizes", "users"),
    [
        ("ml-100k", (100_000, 943, 1_682), ("age", "gender", "occupation")),
        ("ml-latest-small", (100_836, 610, 9_742), ()),
    ],
)
def test_shared_folders(data_dir, name, sizes, users):
    data = load_movielens(data_dir / name)
    assert (len(data.interactions), data.n_users, data.n_items) == sizes
    assert data.users.names == users
    assert data.items.column("name")[data.item_ids.encode([1])].tolist() == ["Toy Story (1995)"]
    assert "Animation" in data.items.labels("category").ids


def test_a_folder_without_attributes(tmp_path):
    pa = pytest.importorskip("pyarrow")
    import pyarrow.parquet as pq

    columns = {"user": [1, 2], "item": [3, 4], "rating": [5, 1], "timestamp": [10, 20]}
    pq.write_table(pa.table(columns), tmp_path / "interactions.parquet")
    data = load_movielens(tmp_path)
    assert data.items.names == data.users.names == () and data.n_items == 2


def test_an_unknown_name_or_empty_folder(tmp_path):
    with pytest.raises(DataError, match=r"found no folder '100kk'.*did you mean '100k'"):
        load_movielens("100kk")
    with pytest.raises(DataError, match=r"found no ratings in .*; expected one of u.data"):
        load_movielens(tmp_path)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    """A zip archive like GroupLens', behind a file:// address, and an empty cache."""
    folder_100k(tmp_path / "content" / "ml-100k")
    path = Path(shutil.make_archive(str(tmp_path / "ml-100k"), "zip", tmp_path / "content"))
    monkeypatch.setenv("RECOKIT_CACHE", str(tmp_path / "cache"))
    return path


def digest(path, kind="md5"):
    return hashlib.new(kind, path.read_bytes()).hexdigest()


def test_a_download_is_checked_unpacked_and_kept(archive, monkeypatch, tmp_path):
    monkeypatch.setitem(movielens._ARCHIVES, "100k", (archive.as_uri(), digest(archive), "ml-100k"))
    assert len(load_movielens("100k").interactions) == 2
    archive.unlink()
    assert len(load_movielens().interactions) == 2
    kept = [path.name for path in (tmp_path / "cache").iterdir()]
    assert len(kept) == 1 and kept[0].startswith("ml-100k-")


def test_a_wrong_checksum_is_refused_and_nothing_is_kept(archive, monkeypatch, tmp_path):
    monkeypatch.setitem(movielens._ARCHIVES, "100k", (archive.as_uri(), "0" * 32, "ml-100k"))
    with pytest.raises(DataError, match=f"found md5 {digest(archive)} for .*; expected {'0' * 32}; hint"):
        load_movielens("100k")
    assert list((tmp_path / "cache").iterdir()) == []


def test_sha256_is_understood(archive):
    folder = fetch_zip(archive.as_uri(), f"sha256:{digest(archive, 'sha256')}")
    assert (folder / "ml-100k" / "u.data").exists() and not (folder / "archive.zip").exists()


def test_no_answer(tmp_path, monkeypatch):
    monkeypatch.setenv("RECOKIT_CACHE", str(tmp_path))
    with pytest.raises(DataError, match=r"found no answer from file://.*; hint: load from a folder instead"):
        fetch_zip((tmp_path / "none.zip").as_uri(), "md5:00")


def test_another_process_was_faster(archive, monkeypatch, tmp_path):
    real = zipfile.ZipFile.extractall
    target = tmp_path / "cache" / f"ml-100k-{digest(archive)[:12]}"

    def meanwhile(self, path):
        real(self, path)
        real(self, target)

    monkeypatch.setattr(zipfile.ZipFile, "extractall", meanwhile)
    assert fetch_zip(archive.as_uri(), f"md5:{digest(archive)}") == target
    assert [path.name for path in target.parent.iterdir()] == [target.name]


def test_a_cache_that_cannot_be_written(archive, monkeypatch):
    def refuse(source, target):
        raise PermissionError("no")

    monkeypatch.setattr("recokit.datasets._download.os.replace", refuse)
    with pytest.raises(PermissionError):
        fetch_zip(archive.as_uri(), f"md5:{digest(archive)}")


def test_the_default_cache_is_in_the_home_folder(monkeypatch):
    monkeypatch.delenv("RECOKIT_CACHE", raising=False)
    assert cache_folder() == Path.home() / ".cache" / "recokit"


def test_the_published_addresses_are_whole():
    for name, (url, checksum, folder) in movielens._ARCHIVES.items():
        assert url == f"https://files.grouplens.org/datasets/movielens/ml-{name}.zip"
        assert len(checksum) == 32 and int(checksum, 16) and folder == f"ml-{name}"
