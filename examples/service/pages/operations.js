"use strict";

const find = (id) => document.getElementById(id);
const say = (text) => { find("said").textContent = text; };

async function ask(method, path, body) {
  const headers = { "X-API-Key": find("key").value };
  if (body) headers["Content-Type"] = "application/json";
  const response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  const told = await response.json();
  if (!response.ok) throw new Error(told.detail);
  return told;
}

function row(cells) {
  const line = document.createElement("tr");
  for (const cell of cells) {
    const place = document.createElement("td");
    place.textContent = typeof cell === "number" ? cell.toLocaleString("en") : cell;
    if (typeof cell === "number") place.className = "number";
    line.append(place);
  }
  return line;
}

function figure(name, value) {
  const place = document.createElement("div");
  const term = document.createElement("dt");
  const told = document.createElement("dd");
  term.textContent = name;
  told.textContent = value;
  place.append(term, told);
  return place;
}

async function show() {
  if (!find("key").value) { say("Enter the key of the admin routes."); return; }
  const told = await ask("GET", "/admin/status");
  const ms = (name) => (name in told.latency_ms ? `${told.latency_ms[name].toFixed(1)} ms` : "–");
  const answers = Object.values(told.answers).reduce((sum, one) => sum + one, 0);
  const kept = (told.answers.cached || 0) + (told.answers.stale || 0);
  find("figures").replaceChildren(
    figure("lists", answers.toLocaleString("en")),
    figure("from the cache", answers ? Math.round(100 * kept / answers) + " %" : "–"), figure("p50", ms("p50")), figure("p95", ms("p95")),
    figure("p99", ms("p99")), figure("events", told.events.applied.toLocaleString("en")));
  find("alerts").textContent = told.alerts.length ? told.alerts.join("; ") : "none";
  find("alerts").className = told.alerts.length ? "bad" : "good";
  find("versions").replaceChildren(...told.versions.map((one) => row([
    one.name, new Date(1000 * one.published_at).toISOString().slice(0, 19).replace("T", " "),
    one.golden ? Math.round(100 * one.golden.overlap) + " %" : "–", one.name === told.version ? "serves" : ""])));
  find("funnel").replaceChildren(
    ...Object.entries(told.funnel.sources).map(([name, one]) => row([name, one.candidates, ""])),
    ...Object.entries(told.funnel.rules).map(([name, one]) => row([name, one.candidates, one.removed])));
  find("jobs").replaceChildren(
    ...told.jobs.map((one) => row([one.name, one.runs, one.error])),
    row(["events repeated", told.events.repeated, ""]), row(["events rejected", told.events.rejected, ""]));
  say(`Version ${told.version} serves.`);
}

const shown = () => show().catch((error) => say(error.message));
find("key").addEventListener("change", shown);
find("rollback").addEventListener("click", async () => {
  try {
    const told = await ask("POST", "/admin/rollback", {});
    await show();
    say(`Version ${told.version} serves again.`);
  } catch (error) {
    say(error.message);
  }
});
setInterval(shown, 2000);
shown();
