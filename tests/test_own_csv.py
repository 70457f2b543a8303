"""The first hour: from two CSV files of one's own to a two-stage pipeline, its figures, and a list with titles."""

import csv

import numpy as np
import pandas as pd
import pytest

GENRES = ["Action", "Comedy", "Drama", "Horror"]
DAY = 86_400

#: What a user writes, in a notebook.
CODE = """
import pandas as pd
import recokit as rk
from recokit import candidates, features, rankers, rules

names = {"user_id": "userId", "item_id": "movieId"}
log, films = pd.read_csv("ratings.csv"), pd.read_csv("movies.csv")
data = rk.Dataset.from_frame(log, items=films, columns=names, separators={"genres": "|"}, min_rating=4)
train, test = data.split_at("2016-04-01", horizon="30D")
sources = candidates.Merge([candidates.ItemKNN(), candidates.Popular()], limit=60)
stages = [sources, rules.NotSeen(), features.Standard(), rankers.LogisticRegression(), rules.MaxShare("genres", 0.6)]
pipeline = rk.Pipeline(stages).fit(train, label_window="14D")
figures = rk.evaluate(pipeline, test, ["NDCG@10", "Recall@10"], by="activity", history=train)
shown = pipeline.recommend([7], k=5, now=train.until)
print(figures, shown.titles(0))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Write the two files: 120 users who rate films of the genre that they like higher, and more often."""
    path = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(11)
    genres = ["|".join(sorted({GENRES[i % 4], GENRES[int(rng.integers(4))]})) for i in range(80)]
    with open(path / "movies.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["movieId", "title", "genres"])
        writer.writerows([100 + i, f"Film {i}, The (19{i % 90 + 10})", genres[i]] for i in range(80))
    start = 1_451_606_400  # 2016-01-01
    rows = []
    for user in range(1, 121):
        liked = np.array([GENRES[user % 4] in text for text in genres])
        chance = np.where(liked, 4.0, 1.0) / np.arange(2, 82)
        for film in rng.choice(80, int(rng.integers(8, 40)), replace=False, p=chance / chance.sum()):
            rating = rng.choice([4.0, 4.5, 5.0]) if liked[film] else rng.choice([1.0, 2.5, 4.0])
            rows.append([user, 100 + film, rating, start + int(rng.integers(0, 120 * DAY))])
    with open(path / "ratings.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["userId", "movieId", "rating", "timestamp"])
        writer.writerows(rows)
    return path


def test_fifteen_lines_from_two_files_to_a_list_with_titles(folder, monkeypatch, capsys):
    assert len([line for line in CODE.splitlines() if line.strip()]) <= 15
    monkeypatch.chdir(folder)
    user: dict = {}
    exec(compile(CODE, "own.py", "exec"), user)  # the user's own code
    films = pd.read_csv("movies.csv").set_index("movieId")
    ids = user["shown"].ids(0)
    assert user["shown"].titles(0) == films.title[ids].tolist()
    assert len(ids) == 5
    assert user["shown"].to_records()[0][0]["title"] == films.title[ids[0]]
    assert "Film" in user["shown"]._repr_html_()
    seen = user["log"].query("userId == 7 and timestamp < 1459468800").movieId
    assert not set(ids) & set(seen)
    most = films.genres[ids].str.get_dummies("|").sum().max()
    assert most <= 3  # of five at most .6 of a genre
    figures = user["figures"]
    assert figures["NDCG@10"].n > 50
    assert {"cold-start", "casual"} <= set(figures.segments)
    assert figures["NDCG@10"].mean > 0.05
    printed = capsys.readouterr().out
    assert "casual" in printed
    assert "Film" in printed
