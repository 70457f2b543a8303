"""The shop page and the operations page in a browser: they load, change, fit a phone, and can be read."""

from __future__ import annotations

import json
import queue
import shutil
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote

import pytest

from tests.examples.test_service import KEY, SECRET, Client, make_data, make_pipeline, running

pytest.importorskip("fastapi")

from examples.service.settings import Settings
from recokit.serving import Artifacts

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.browser

#: What is measured on every page: contrast, names of controls, width, and whether anything came from elsewhere.
_MEASURE = """
const lum=c=>{const v=c.map(x=>{x/=255;return x<=.03928?x/12.92:((x+.055)/1.055)**2.4});
return .2126*v[0]+.7152*v[1]+.0722*v[2]};
const rgb=s=>s.match(/[\\d.]+/g).slice(0,3).map(Number);
function behind(e){for(;e;e=e.parentElement){const c=getComputedStyle(e).backgroundColor;
if(!/, 0\\)$/.test(c))return rgb(c)}return [255,255,255]}
function measured(){let least=99;
for(const e of document.querySelectorAll("h1,h2,p,td,th,label,b,span,button,dt,dd")){
if(!e.textContent.trim()||!e.offsetParent)continue;
const a=lum(rgb(getComputedStyle(e).color)),b=lum(behind(e));
least=Math.min(least,(Math.max(a,b)+.05)/(Math.min(a,b)+.05))}
return {least,wide:document.documentElement.scrollWidth>innerWidth,
unlabelled:[...document.querySelectorAll("input")].filter(i=>!i.labels.length).length
+[...document.querySelectorAll("button")].filter(b=>!b.textContent.trim()).length,
elsewhere:performance.getEntriesByType("resource").filter(r=>!r.name.startsWith(location.origin)).length}}
const wait=ms=>new Promise(done=>setTimeout(done,ms));
async function until(test){for(let n=0;n<400;n++){if(test())return true;await wait(50)}return false}
function tell(found){location.href="THE_EAR"+encodeURIComponent(JSON.stringify({errors,...measured(),...found}))}
"""

_SHOP = """
const cards=()=>[...document.querySelectorAll("#list li")];
const ids=()=>cards().map(c=>c.dataset.item).join(" ");
const button=(place,text)=>[...place.querySelectorAll("button")].find(b=>b.textContent===text);
const said=()=>document.getElementById("said").textContent;
(async()=>{
const found={};
found.listed=await until(()=>cards().length===8);
found.asked=await until(()=>document.querySelectorAll("#questions li").length===6);
const asked=[...document.querySelectorAll("#questions li")].map(c=>c.dataset.item);
for(const place of [...document.querySelectorAll("#questions li")].slice(0,2))button(place,"Like").click();
found.pressed=document.querySelectorAll('#questions [aria-pressed="true"]').length;
document.getElementById("more").click();
found.next=await until(()=>{const now=[...document.querySelectorAll("#questions li")].map(c=>c.dataset.item);
return now.length&&!now.some(i=>asked.includes(i))});
const nobody=ids();
document.getElementById("done").click();
found.chosen=await until(()=>ids()!==nobody&&document.getElementById("welcome").hidden);
found.titles=cards().every(c=>c.querySelector("b").textContent&&/\\d €/.test(c.textContent));
found.reasons=cards().filter(c=>c.querySelector(".soft").textContent.length>3).length;
const first=cards()[0].dataset.item;
button(cards()[0],"Why?").click();
found.why=await until(()=>said().includes("shown at position 1"));
button(cards()[0],"Look").click();
found.alike=await until(()=>document.querySelectorAll("#similar li").length===4);
await wait(1200);
const bought=cards()[0].dataset.item;
button(cards()[0],"Buy").click();
found.gone=await until(()=>!ids().split(" ").includes(bought));
document.getElementById("profiling").click();
await wait(400);
document.getElementById("forget").click();
found.forgotten=await until(()=>said()==="You are forgotten.");
tell(found)})();
"""

_OPERATIONS = """
(async()=>{
const found={};
const said=()=>document.getElementById("said").textContent;
found.asks=await until(()=>said().startsWith("Enter the key"));
const key=document.getElementById("key");
key.value="wrong";key.dispatchEvent(new Event("change"));
found.refused=await until(()=>said().includes("found no valid key"));
key.value="THE_KEY";key.dispatchEvent(new Event("change"));
found.shows=await until(()=>document.querySelectorAll("#versions tr").length===2);
found.figures=document.getElementById("figures").textContent;
found.funnel=document.querySelectorAll("#funnel tr").length;
const serves=()=>[...document.querySelectorAll("#versions tr")].findIndex(r=>r.textContent.includes("serves"));
found.before=serves();
document.getElementById("rollback").click();
found.back=await until(()=>serves()===0);
found.alerts=document.getElementById("alerts").textContent;
tell(found)})();
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    models = Artifacts(tmp_path_factory.mktemp("models"))
    pipeline = make_pipeline(n_trees=5).fit(make_data(300, 120), label_window="14D")
    models.publish(pipeline)
    models.publish(pipeline)
    return models


@pytest.fixture
def port(models):
    settings = Settings(
        models=models.path, admin_key=KEY, token_secret=SECRET, demo=True, rate=1000.0, burst=1000
    )
    if models.current != models.versions()[-1]:
        models.rollback(models.versions()[-1].name)
    with running(settings, models, make_data(300, 120)) as (port, _):
        yield port


def told_by(port, path, probe, tmp_path, monkeypatch, *, width=1000, scheme="light"):
    """Return what a script found on a page; it is added to the page's own, since nothing else may run there."""
    if CHROMIUM is None:
        pytest.fail("found no Chromium; expected one on the path, such as Debian's package chromium")
    from examples.service import app

    pages = tmp_path / "pages"
    shutil.copytree(app._PAGES, pages)
    name = "shop.js" if path == "/" else "operations.js"
    ear = Ear()
    errors = 'const errors=[];addEventListener("error",e=>errors.push(String(e.message)));' + (
        'addEventListener("securitypolicyviolation",e=>errors.push("blocked "+e.blockedURI));\n'
    )
    own = (pages / name).read_text().replace('"use strict";', "")
    (pages / name).write_text(f"{errors}{{{own}}}\n{_MEASURE.replace('THE_EAR', ear.url)}{probe}")
    monkeypatch.setattr(app, "_PAGES", pages)
    options = [
        *(
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--hide-scrollbars",
        ),
        *("--disable-background-networking", "--disable-component-update", "--disable-sync"),
        *(f"--user-data-dir={tmp_path}/profile", f"--window-size={width},1400", "--remote-debugging-port=0"),
        *(["--force-dark-mode", "--blink-settings=preferredColorScheme=0"] if scheme == "dark" else []),
    ]
    process = subprocess.Popen(
        [CHROMIUM, *options, f"http://127.0.0.1:{port}{path}"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        return json.loads(ear.heard.get(timeout=110))
    except queue.Empty:
        pytest.fail("the page told nothing within two minutes")
    finally:
        process.kill()
        process.wait()
        ear.shutdown()
        ear.server_close()


class Ear(ThreadingHTTPServer):
    """Hears what a page found when it goes to this server: the page's own policy lets it ask nobody else."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Listener)
        self.heard = queue.Queue()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}/"


class Listener(BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path.startswith("/%7B"):
            self.server.heard.put(unquote(self.path[1:]))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_):
        pass


def check_page(told):
    assert told["errors"] == [] and told["elsewhere"] == 0 and told["unlabelled"] == 0 and not told["wide"]
    assert told["least"] >= 4.5  # WCAG 2.1, AA


@pytest.mark.parametrize(("width", "scheme"), [(1000, "light"), (1000, "dark"), (420, "light")])
def test_the_shop_page_changes_with_what_one_does(port, tmp_path, monkeypatch, width, scheme):
    told = told_by(port, "/", _SHOP, tmp_path, monkeypatch, width=width, scheme=scheme)
    check_page(told)
    steps = ("listed", "asked", "next", "chosen", "titles", "why", "alike", "gone", "forgotten")
    assert all(told[step] for step in steps), told
    assert told["pressed"] == 2 and told["reasons"] >= 1


@pytest.mark.parametrize(("width", "scheme"), [(1000, "light"), (1000, "dark"), (420, "light")])
def test_the_operations_page_shows_and_rolls_back(port, tmp_path, monkeypatch, width, scheme):
    for n in range(5):
        Client(port, f"user-{n}").list()
    probe = _OPERATIONS.replace("THE_KEY", KEY)
    told = told_by(port, "/operations", probe, tmp_path, monkeypatch, width=width, scheme=scheme)
    check_page(told)
    assert told["asks"] and told["refused"] and told["shows"] and told["funnel"] >= 5, told
    assert (told["before"], told["back"]) == (1, True), told
    assert "p99" in told["figures"] and "ms" in told["figures"] and told["alerts"] == "none"
