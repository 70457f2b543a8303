"use strict";

const find = (id) => document.getElementById(id);
const say = (text) => { find("said").textContent = text; };

async function ask(method, path, body) {
  const options = { method, headers: body ? { "Content-Type": "application/json" } : {} };
  if (body) options.body = JSON.stringify(body);
  const response = await fetch(path, options);
  const told = await response.json();
  if (!response.ok) throw new Error(told.detail);
  return told;
}

function made(tag, text, more = {}) {
  const element = Object.assign(document.createElement(tag), more);
  element.textContent = text;
  return element;
}

function card(item, buttons) {
  const place = document.createElement("li");
  place.dataset.item = item.item_id;
  place.append(made("b", item.title), made("span", item.price.toFixed(2) + " €"));
  for (const label of item.labels || []) place.append(made("span", label, { className: "label" }));
  place.append(made("span", item.explanation || "", { className: "soft" }));
  const row = made("div", "", { className: "row" });
  for (const [text, act] of buttons) {
    const button = made("button", text, { type: "button" });
    button.setAttribute("aria-label", `${text}: ${item.title}`);
    button.addEventListener("click", () => act(item, button).catch((error) => say(error.message)));
    row.append(button);
  }
  place.append(row);
  return place;
}

async function tell(item, event) {
  await ask("POST", "/events", { events: [{ item_id: item.item_id, event, event_id: crypto.randomUUID() }] });
}

async function showList() {
  const told = await ask("GET", "/recommendations?k=8&why=true");
  find("list").replaceChildren(...told.items.map((item) => card(item, [["Look", look], ["Buy", buy], ["Why?", why]])));
  find("about").textContent = `version ${told.version}, arm ${told.arm}, ${told.status.toLowerCase()}`;
}

// What was told reaches the list through the event log, in the background: look again a few times.
async function changed(before) {
  for (let turn = 0; turn < 50; turn++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    await showList();
    if (ids() !== before) return;
  }
}

const ids = () => [...find("list").children].map((place) => place.dataset.item).join(" ");

async function look(item) {
  const before = ids();
  await tell(item, "click");
  const told = await ask("GET", `/similar/${encodeURIComponent(item.item_id)}?k=4`);
  find("alike").hidden = false;
  find("like").textContent = `Similar to ${item.title}`;
  find("similar").replaceChildren(...told.items.map((one) => card(one, [["Look", look], ["Buy", buy]])));
  say(`You looked at ${item.title}.`);
  await changed(before);
}

async function buy(item) {
  const before = ids();
  await tell(item, "purchase");
  say(`You bought ${item.title}.`);
  await changed(before);
}

async function why(item) {
  const told = await ask("GET", `/explain/${encodeURIComponent(item.item_id)}`);
  say(`${item.title}: ${told.fate}.`);
}

const chosen = new Set();
const shown = new Set();

async function questions() {
  const query = [...chosen].map((one) => `chosen=${encodeURIComponent(one)}`)
    .concat([...shown].map((one) => `shown=${encodeURIComponent(one)}`)).join("&");
  const told = await ask("GET", `/onboarding?n=6&${query}`);
  for (const item of told.items) shown.add(item.item_id);
  find("questions").replaceChildren(...told.items.map((item) => card(item, [["Like", like]])));
}

async function like(item, button) {
  const on = !chosen.has(item.item_id);
  if (on) chosen.add(item.item_id); else chosen.delete(item.item_id);
  button.setAttribute("aria-pressed", String(on));
}

async function finish() {
  const before = ids();
  if (chosen.size) await ask("POST", "/onboarding", { chosen: [...chosen] });
  localStorage.setItem("asked", "yes");
  find("welcome").hidden = true;
  say(chosen.size ? "This is your list." : "This is what many people buy.");
  await (chosen.size ? changed(before) : showList());
}

async function start() {
  find("more").addEventListener("click", () => questions().catch((error) => say(error.message)));
  find("done").addEventListener("click", () => finish().catch((error) => say(error.message)));
  find("profiling").addEventListener("change", async (event) => {
    await ask("PUT", "/profiling", { allowed: event.target.checked });
    await showList();
  });
  find("forget").addEventListener("click", async () => {
    await ask("DELETE", "/me");
    localStorage.clear();
    say("You are forgotten.");
    await showList();
  });
  await showList();
  if (!localStorage.getItem("asked")) {
    await questions();
    find("welcome").hidden = false;
  }
}

start().catch((error) => say(error.message));
