"""The page of one request: what it says, as text here, and as a browser shows it."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import recokit as rk
from recokit import candidates, features, rankers, rules
from recokit.debugger import RequestPage, report_page
from recokit.errors import ConfigurationError, DataError

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@pytest.fixture(scope="module")
def shown() -> RequestPage:
    market = rk.datasets.make_marketplace(n_users=150, n_items=80, seed=1)
    train, test = market.dataset.split_at("2025-03-20", horizon="7D")
    pipeline = rk.Pipeline(
        [
            candidates.Merge([candidates.ItemKNN(), candidates.Popular()], limit=60),
            rules.InStock(market.stock_at(train.until)),
            features.Assemble([features.ItemActivity(), features.Item()]),
            rankers.LogisticRegression(),
            rules.MaxShare("category", 0.4),
        ]
    ).fit(train, label_window="7D")
    user = test.user_ids.decode(test.interactions.user[:1])[0]
    diagnosis = rk.RecommendationDebugger(pipeline, known_good=test).diagnose(user, now=train.until)
    result = pipeline.recommend([user, None], now=train.until, capture="full")
    return RequestPage(result.trace, diagnosis)


@pytest.mark.parametrize("row", range(3))
def test_a_request_of_a_batch_has_its_own_figures(row: int) -> None:
    data = rk.testing.toy_dataset()
    users = [*data.user_ids.ids[:2].tolist(), None]
    pipeline = rk.Pipeline(
        [
            candidates.Merge([candidates.ItemKNN(), candidates.History(), candidates.Popular()], limit=20),
            rules.NotSeen(),
            rules.Where("item.price < 50"),
            rules.MaxPerGroup("seller", 1, hard=True),
            rules.Disclose("sponsored"),
        ],
        fallback=candidates.Popular(half_life=None),
    ).fit(data)

    def funnel(page: RequestPage) -> dict[tuple[str, str], tuple[int, int]]:
        return {(step["name"], step["role"]): (step["n_in"], step["n_out"]) for step in page.steps}

    batch = pipeline.recommend(users, now=data.until, capture="full")
    alone = pipeline.recommend([users[row]], now=data.until, capture="full")
    in_batch, single = funnel(RequestPage(batch.trace, row=row)), funnel(RequestPage(alone.trace))
    assert {name: figures for name, figures in in_batch.items() if name in single} == single
    assert "as one of a batch of 3 requests" in RequestPage(batch.trace, row=row).to_html()
    assert "batch" not in RequestPage(alone.trace).to_html()


def test_another_requests_failure_is_not_this_ones() -> None:
    data = rk.testing.toy_dataset()

    served = []  # fit tries the function too

    def fails(requests, limit):
        if served and (requests.user_ids[0] is None or len(requests) > 1):
            raise ValueError("down")
        return [[101]]

    source = candidates.Merge(
        [candidates.FromFunction(fails, name="own"), candidates.Popular(half_life=None)]
    )
    pipeline = rk.Pipeline([source]).fit(data)
    served.append(True)
    trace = pipeline.recommend(["user-1", None], now=data.until, capture="full").trace
    notes = [{step["name"]: step["note"] for step in RequestPage(trace, row=row).steps} for row in range(2)]
    assert notes[0]["merge.own"] == "" and "down" in notes[1]["merge.own"]


def test_every_candidate_has_the_fate_that_the_trace_tells(shown: RequestPage) -> None:
    told = shown.to_dict()
    trace = shown.trace
    assert trace.item_ids is not None
    listed = trace.item_ids.decode(trace.selected.item[: trace.selected.offsets[1]]).tolist()
    assert [one["item"] for one in told["items"] if one["fate"] == "shown"] == listed
    assert [one["position"] for one in told["items"][: len(listed)]] == list(range(1, len(listed) + 1))
    merged = trace.of("merge")[-1].after
    assert merged is not None
    assert len(told["items"]) == int(merged.offsets[1])
    removed = {one["item"] for one in told["items"] if one["fate"] == "removed"}
    before, after = (getattr(trace.of("in_stock")[0], side) for side in ("before", "after"))
    gone = np.setdiff1d(before.item[: before.offsets[1]], after.item[: after.offsets[1]])
    assert removed == set(trace.item_ids.decode(gone).tolist())
    assert told["funnel"][-1]["n_out"] == len(listed)


def test_it_is_shared_as_json_and_as_one_page_that_loads_nothing(shown: RequestPage, tmp_path: Path) -> None:
    shown.save(tmp_path / "page.json")
    read = json.loads((tmp_path / "page.json").read_text())
    assert read["diagnosis"]["diagnosis"] == shown.diagnosis.verdict  # type: ignore[union-attr]
    assert len(read["items"]) == len(shown.items)
    shown.save(tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text()
    assert not re.search(r"(?:src|href)=\"(?!data:)|url\(|@import", page)
    assert "default-src 'none'" in page
    assert 'lang="en"' in page and "<h1>" in page and '<label for="find">' in page and "<caption>" in page
    assert page.count("<svg") == page.count('<svg role="img" aria-label="') == 4
    assert "Diagnosis" in page and "Funnel" in page


def test_text_from_outside_is_no_markup(shown: RequestPage) -> None:
    frame = {"user": [1, 2], "item": ["<script>alert(1)</script>", "b"], "timestamp": [1, 2]}
    pipeline = rk.Pipeline([candidates.Popular(half_life=None)]).fit(rk.Dataset.from_frame(frame))
    page = RequestPage(pipeline.recommend([1], k=2, now=9, capture="full").trace).to_html()
    assert "<script>alert" not in page and "&lt;script&gt;alert" in page


def test_a_run_that_was_not_captured_and_a_row_that_is_none_are_refused(shown: RequestPage) -> None:
    pipeline = rk.Pipeline([candidates.Popular()]).fit(rk.testing.toy_dataset())
    with pytest.raises(ConfigurationError, match="capture='full'"):
        RequestPage(pipeline.recommend([None], now=2e9).trace)
    with pytest.raises(DataError, match="found row 2; expected 0 to 1"):
        RequestPage(shown.trace, row=2)
    assert RequestPage(shown.trace, row=1).user == "an anonymous user"


#: Added to the page under test only: types into the search, measures contrast, and writes what it found into the title.
_PROBE = """<script>
const errors=[];window.addEventListener("error",e=>errors.push(String(e.message)));
document.addEventListener("securitypolicyviolation",e=>errors.push("blocked "+e.blockedURI));
window.addEventListener("load",()=>{
const lum=c=>{const v=c.map(x=>{x/=255;return x<=.03928?x/12.92:((x+.055)/1.055)**2.4});
return .2126*v[0]+.7152*v[1]+.0722*v[2]};
const rgb=s=>s.match(/[\\d.]+/g).slice(0,3).map(Number);
const back=rgb(getComputedStyle(document.body).backgroundColor);let least=99;
for(const e of document.querySelectorAll("h1,h2,p,td,th,label,caption,b,span,svg text")){
if(!e.textContent.trim())continue;
const s=getComputedStyle(e);const a=lum(rgb(e.closest("svg")?s.fill:s.color)),b=lum(back);
least=Math.min(least,(Math.max(a,b)+.05)/(Math.min(a,b)+.05))}
const box=document.getElementById("find");box.value="not selected";box.dispatchEvent(new Event("input"));
const left=[...document.querySelectorAll("#items tbody tr")].filter(r=>!r.hidden);
const unlabelled=[...document.querySelectorAll("input")].filter(i=>!i.labels.length).length
+[...document.querySelectorAll("svg")].filter(i=>!i.getAttribute("aria-label")).length;
const told={errors,least,left:left.length,only:left.every(r=>r.textContent.includes("not selected")),unlabelled,
dark:matchMedia("(prefers-color-scheme: dark)").matches,wide:document.documentElement.scrollWidth>innerWidth,
loaded:performance.getEntriesByType("resource").filter(r=>!r.name.startsWith("data:")).map(r=>r.name)};
const out=document.createElement("pre");out.id="told";out.textContent=JSON.stringify(told);document.body.append(out)})
</script>"""


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_browser_shows_it_without_errors_or_requests(
    shown: RequestPage, tmp_path: Path, scheme: str
) -> None:
    if CHROMIUM is None:
        pytest.fail("found no Chromium; expected one on the path, such as Debian's package chromium")
    page = shown.to_html().replace("<body>", f"{_PROBE}<body>", 1)
    (tmp_path / "page.html").write_text(page, encoding="utf-8")
    options = [
        *("--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(f"--user-data-dir={tmp_path}/profile", "--window-size=1000,1400", "--enable-logging=stderr"),
        *(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []),
    ]
    done = subprocess.run(
        [CHROMIUM, *options, "--dump-dom", f"file://{tmp_path}/page.html"],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert "CONSOLE" not in done.stderr, done.stderr
    found = re.search(r'<pre id="told">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found, done.stdout[-2000:]
    told = json.loads(found[1].replace("&amp;", "&").replace("&gt;", ">").replace("&lt;", "<"))
    assert told["errors"] == [] and told["loaded"] == []
    assert told["dark"] == (scheme == "dark")
    assert told["least"] >= 4.5  # WCAG 2.1, AA
    assert told["unlabelled"] == 0 and not told["wide"]
    not_selected = sum(one["fate"] == "not selected" for one in shown.items)
    assert told["left"] == not_selected > 0 and told["only"]
    assert "What happened for user" in done.stdout and shown.diagnosis.verdict in done.stdout  # type: ignore[union-attr]


def marks(svg: str) -> list[tuple[float, float]]:
    """Return where each bar starts, and how long it is."""
    return [
        (float(x), float(width))
        for x, width in re.findall(r'<rect x="([\d.]+)%" y="\d+" width="([\d.]+)%"', svg)
    ]


def test_bars_and_spans_are_drawn_to_scale() -> None:
    drawn = report_page.spans("t", ["a", "b"], [0.0, 3.0], [1.0, 9.0], notes=["", ""])
    assert marks(drawn) == [(0.0, 8.33), (25.0, 75.0)]
    assert marks(report_page.bars("t", ["a", "b", "c"], [2.0, 4.0, np.nan], [""] * 3)) == [
        (0.0, 50.0), (0.0, 100.0), (0.0, 0.3),
    ]  # fmt: skip
    assert marks(report_page.bars("t", ["a", "b"], [-2.0, 4.0], [""] * 2)) == [(25.0, 25.0), (50.0, 50.0)]
    drawn = report_page.points("t", np.array([1.0, 3.0]), np.array([True, False]))
    dots = re.findall(r'class="(\w+)" cx="([\d.]+)%" cy="([\d.]+)" r="(\d)"', drawn)
    assert dots == [("other", "16.00", "10.0", "2"), ("hit", "98.00", "170.0", "4")]


def test_features_differ_by_the_means_of_shown_items_in_standard_deviations(shown: RequestPage) -> None:
    told = shown.to_dict()
    batch = shown.trace.of("logistic_regression")[-1].after
    assert batch is not None and f"{1e3 * shown.trace.seconds:.1f} ms" in shown.to_html()
    row = slice(0, int(batch.offsets[1]))
    chosen = np.isin(batch.item[row], shown.trace.selected.item[: shown.trace.selected.offsets[1]])
    for column, one in enumerate(told["features"]):
        values = batch.features[row, column].astype(np.float64)
        known = np.isfinite(values)
        assert one["coverage"] == pytest.approx(known.mean())
        if known[chosen].any() and known[~chosen].any() and values[known].std() > 0:
            gap = values[known & chosen].mean() - values[known & ~chosen].mean()
            assert one["difference"] == pytest.approx(gap / values[known].std(), rel=1e-4, abs=1e-6)
        else:
            assert one["difference"] is None


def test_a_page_shows_what_the_list_would_be_with_the_baselines_ranker() -> None:
    data = rk.testing.toy_dataset()
    stages = [candidates.Merge([candidates.ItemKNN(), candidates.Popular()], limit=30), _ByItem(1.0)]
    usual = rk.Pipeline(stages).fit(data)
    turned = usual.replace(usual.names[-1], _ByItem(-1.0))
    now = data.until
    shown = rk.RecommendationDebugger(turned, baseline=usual, budget_ms=5_000).page(
        "user-1", {"device": "app"}, k=5, now=now
    )
    expected = usual.recommend(["user-1"], k=5, now=now).ids(0)
    # All that differs is the ranker: with the baseline's the list is the baseline's.
    assert {name: list(items) for name, items in shown.instead.items()} == {
        f"with the baseline's {turned.names[-1]}": expected,
        "by the baseline": expected,
    }
    assert shown.to_dict()["instead"]["by the baseline"] == expected
    html = shown.to_html()
    new = next(item for item in expected if item not in turned.recommend(["user-1"], k=5, now=now).ids(0))
    assert f'<span class="good">{new}</span>' in html and "Green items are not on the list as shown." in html
    alone = rk.RecommendationDebugger(usual, budget_ms=5_000).page(None, now=now)
    assert alone.instead == {} and "Green items" not in alone.to_html()


class _ByItem:
    def __init__(self, sign: float) -> None:
        self.sign = sign

    def score(self, candidates: rk.Candidates) -> np.ndarray:
        return (self.sign * candidates.item).astype(np.float32)


def test_fates_have_colours_and_the_funnel_is_a_picture(shown: RequestPage) -> None:
    html = shown.to_html()
    assert '<span class="good">shown</span>' in html and '<span class="warn">not selected</span>' in html
    assert "@media (max-width:30em)" in html
    # Its bars stand in the middle: what is left and right of each is the same.
    funnel = report_page.narrowing("f", ["a", "b"], [100.0, 25.0], ["", ""])
    found = [
        (float(x), float(w)) for x, w in re.findall(r'<rect x="([\d.]+)%" y="\d+" width="([\d.]+)%"', funnel)
    ]
    assert found == [(0.0, 100.0), (25.0, 50.0)]
