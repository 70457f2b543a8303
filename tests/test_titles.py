"""Where items have titles, what people look at shows them."""

import numpy as np

import recokit as rk
from recokit.candidates import Popular
from recokit.data import Dataset
from recokit.debugger import RecommendationDebugger, RequestPage

DATA = Dataset.from_frame(
    {"user": [1, 1, 2], "item": [10, 20, 10], "timestamp": [1.0, 2.0, 3.0]},
    items={"item": [10, 20, 30], "name": ["Up", "Heat & <Dust>", None]},
    title="name",
)
PIPELINE = rk.Pipeline([Popular(half_life=None)]).fit(DATA)


def test_lists_records_and_frames_have_titles():
    shown = PIPELINE.recommend([1, 2], k=3, now=9.0)
    assert shown.titles(0) == ["Up", "Heat & <Dust>", "30"]  # an item without one is shown by its id
    assert [record["title"] for record in shown.to_records()[1]] == ["Up", "Heat & <Dust>", None]
    assert shown.to_arrays()["title"].tolist()[:2] == ["Up", "Heat & <Dust>"]
    assert "Heat &amp; &lt;Dust&gt;" in shown._repr_html_()


def test_product_pages_pages_and_why_have_titles(tmp_path):
    shown = PIPELINE.recommend([1], k=2, now=9.0, capture="full")
    page = RequestPage(shown.trace)
    assert [item.get("title") for item in page.items][:2] == ["Up", "Heat & <Dust>"]
    assert "Up (10)" in page.to_html()
    assert str(RecommendationDebugger(PIPELINE).why(1, 10, now=9.0)).startswith("Up: ")


def test_a_saved_model_keeps_titles(tmp_path):
    PIPELINE.save(tmp_path / "model")
    assert rk.Pipeline.load(tmp_path / "model").recommend([1], k=1, now=9.0).titles(0) == ["Up"]


def test_without_titles_ids_are_shown():
    data = Dataset.from_frame({"user": [1], "item": np.array([10]), "timestamp": [1.0]})
    shown = rk.Pipeline([Popular()]).fit(data).recommend([1], k=1, now=9.0)
    assert shown.titles(0) == ["10"]
    assert "title" not in shown.to_records()[0][0]
