"""Reports: one content as text, Markdown and HTML."""

import json

import numpy as np
import pytest

from recokit._utils.report import (
    Content,
    Report,
    Table,
    grid,
    json_number,
    json_ready,
    markdown,
    page,
    table,
    text,
)


class Weather(Report):
    def __init__(self, **content):
        self.content = Content("Weather", **content)

    def _content(self):
        return self.content


FULL = {
    "tables": [
        Table(["town", "rain"], [["a|b", "1.5"], ["<c>", "-"]]),
        Table((), [("wind", "3"), ("fog", "no")]),
    ],
    "summary": "two towns",
    "notes": ["a note", "another"],
    "warnings": ["a <storm>"],
}


def test_text_leads_with_the_summary_and_ends_with_warnings_and_notes():
    assert str(Weather(**FULL)).splitlines() == [
        "two towns",
        "town  rain",
        "a|b    1.5",
        "<c>      -",
        "",
        "  wind  3",
        "  fog   no",
        "a <storm>",
        "a note",
        "another",
    ]
    assert str(Weather()) == "Weather"


def test_markdown_has_the_title_and_escapes_the_lines_between_cells():
    assert Weather(**FULL).to_markdown().splitlines() == [
        "**Weather**",
        "",
        "| town | rain |",
        "| --- | --- |",
        "| a\\|b | 1.5 |",
        "| <c> | - |",
        "",
        "|  |  |",
        "| --- | --- |",
        "| wind | 3 |",
        "| fog | no |",
        "",
        "- two towns",
        "- a <storm>",
        "- a note",
        "- another",
    ]
    assert Weather().to_markdown() == "**Weather**"


def test_html_is_escaped_and_warns_in_colour():
    html = Weather(**FULL)._repr_html_()
    assert "&lt;c&gt;" in html and "<c>" not in html
    assert '<p class="bad">a &lt;storm&gt;</p>' in html
    assert "<small>two towns; a note; another</small>" in html
    assert html.count("<table>") == 2 and html.count("<thead>") == 1
    assert '<th scope="col">town</th><th scope="col" class="number">rain</th>' in html
    assert '<td>a|b</td><td class="number">1.5</td>' in html
    assert "<small>" not in Weather()._repr_html_()


@pytest.mark.parametrize(("good", "kind"), [(True, "good"), (False, "bad")])
def test_a_verdict_is_coloured_and_stands_before_the_tables(good, kind):
    html = Weather(**{**FULL, "good": good})._repr_html_()
    assert html.index(f'<p class="{kind}">two towns</p>') < html.index("<table>")
    assert "<small>a note; another</small>" in html


def test_a_column_is_flush_right_only_if_all_of_it_are_numbers():
    rows = [["+1,200", "x", "", "9%"], ["-0.5", "12", "", "-"], ["1e-05", "3", "", "nan"]]
    assert grid(["number", "word", "empty", "share"], rows).splitlines() == [
        "number  word  empty  share",
        "+1,200  x               9%",
        "  -0.5  12               -",
        " 1e-05  3              nan",
    ]


def test_a_table_without_rows_is_its_header():
    assert grid(["a", "bb"], []) == "a  bb"
    assert markdown(["a", "bb"], []) == "| a | bb |\n| --- | --- |"
    assert table(["a"], []) == '<table><thead><tr><th scope="col">a</th></tr></thead><tbody></tbody></table>'
    assert grid((), []) == ""


def test_page_escapes_title_and_note_but_not_its_body():
    html = page("<t>", "<b>body</b>", "<n>")
    assert "<h4>&lt;t&gt;</h4><b>body</b><small>&lt;n&gt;</small>" in html


def test_json_has_no_numbers_that_it_cannot_say():
    assert [json_number(value) for value in (1, float("nan"), float("inf"), -float("inf"))] == [
        1.0,
        None,
        None,
        None,
    ]
    value = {
        1: (True, np.bool_(False), None),
        "array": np.array([[1.5, np.nan]]),
        "set": frozenset({"x"}),
        "other": range(2),
        "whole": np.int64(2),
    }
    assert json.loads(json.dumps(json_ready(value), allow_nan=False)) == {
        "1": [True, False, None],
        "array": [[1.5, None]],
        "set": ["x"],
        "other": "range(0, 2)",
        "whole": 2,
    }


def test_html_escapes_what_it_is_given():
    html = page("<title>", table(["<h>"], [["<cell>", 1], [None, '"']]), note="<note>")
    for raw in ("<title>", "<h>", "<cell>", "<note>"):
        assert raw not in html
        assert text(raw) in html
    assert "<td>None</td>" in html
    assert "<script" not in html
    assert "http" not in html
    assert "<small>" not in page("t", "b")


def test_statuses_are_coloured_and_wide_tables_named_for_a_phone() -> None:
    narrow = table(["user", "status"], [("ann", "OK"), ("bob", "EMPTY: nothing left"), ("cid", "DEGRADED")])
    assert '<td class="good">OK</td>' in narrow
    assert '<td class="bad">EMPTY: nothing left</td>' in narrow
    assert '<td class="warn">DEGRADED</td>' in narrow
    assert "data-label" not in narrow
    prose = "a sentence that needs room to be read"
    wide = table(["stage", "what", "action", "place"], [("merge", prose, prose, "merge.item_knn")])
    assert wide.startswith('<table class="wide">')
    assert f'<td data-label="what">{prose}</td>' in wide
