// Taking calls, several at a time: one form, whose fields belong to the call in front; the others wait as drafts in
// this browser tab (sessionStorage), so that a reload loses none. Each has a key, with which it books once.
//
// Keys: Enter goes on, Alt+N is a new call, Alt+1 … 9 are the calls, Alt+Enter books; those of past trips and usual
// places are at their buttons. By their place on the keyboard, the same in every language.

import { choose, showPlaces } from "./booking.js";

const root = document.getElementById("call");
const form = document.getElementById("booking-form");
const tabs = document.getElementById("call-tabs");
const callerBox = document.getElementById("call-caller");
const resultBox = document.getElementById("call-result");
const quoteBox = document.getElementById("quote");
const nameField = document.getElementById("call-name-field");
const later = document.getElementById("later");
const bookButton = form.querySelector("[data-testid=call-book]");
const STORED = `stepper.calls.${document.documentElement.dataset.account}`;
const MOST_SEEN = 50;
// What belongs to who calls, whichever trip is filled in.
const OF_CALLER = ["phone", "caller_name", "sms_language", "request_key", "note"];

const fields = form.elements;
const makeKey = () => [...crypto.getRandomValues(new Uint8Array(16))].map((one) => one.toString(16).padStart(2, "0")).join("");

function read() {
  const found = {};
  for (const element of fields) {
    if (!element.name || element.name === "quote") continue;
    if (element.type === "radio" || element.type === "checkbox") {
      found[element.name] ??= [];
      if (element.checked) found[element.name].push(element.value);
    } else found[element.name] = element.value;
  }
  return found;
}

function write(values) {
  for (const element of fields) {
    if (!(element.name in values) || element.name === "quote") continue;
    const value = values[element.name];
    if (element.type === "radio" || element.type === "checkbox") element.checked = [value].flat().includes(element.value);
    else element.value = value;
  }
  later.hidden = fields.departure.value !== "later";
  if (later.hidden) delete later.dataset.chosen;
  else later.dataset.chosen = "";
}

form.reset();
const EMPTY = read();
let calls = [];
let seen = [];
let active = 0;
// Enter was pressed at the number before it was known whose it is.
let goesOn = false;

const current = () => calls[active];
const isBlank = (call) => !call.done && !call.values.phone && !call.values.pickup_name && !call.values.dropoff_name;

function store() {
  const open = calls.filter((call) => !call.done).map(({ done: _done, ...call }) => call);
  try {
    sessionStorage.setItem(STORED, JSON.stringify({ open, seen: seen.slice(-MOST_SEEN), front: current()?.key }));
  } catch {
    // Without room calls are lost with the page only.
  }
}

function restore() {
  try {
    const kept = JSON.parse(sessionStorage.getItem(STORED)) ?? {};
    seen = kept.seen ?? [];
    calls = kept.open ?? [];
    active = Math.max(0, calls.findIndex((call) => call.key === kept.front));
  } catch {
    calls = [];
  }
}

function make(phone = "", callId = "") {
  const key = makeKey();
  return { key, callId, label: phone, language: false, done: null, values: { ...EMPTY, phone, request_key: key } };
}

function askPrice() {
  // The price of another trip must not be booked.
  quoteBox.replaceChildren();
  form.dispatchEvent(new CustomEvent("stepper:quote"));
}

function drawTabs() {
  const buttons = calls.map((call, index) => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "call__tab";
    button.dataset.tab = index;
    button.dataset.testid = "call-tab";
    if (index === active) button.setAttribute("aria-current", "true");
    const label = document.createElement("span");
    label.textContent = call.label || root.dataset.newCall;
    button.append(label);
    if (index < 9) {
      const key = document.createElement("kbd");
      key.textContent = `Alt ${index + 1}`;
      button.append(" ", key);
    }
    return button;
  });
  tabs.replaceChildren(...buttons);
  document.title = `${current().label || root.dataset.newCall} · ${root.dataset.title} · StepperGO`;
}

function keep() {
  const call = current();
  if (!call.done) call.values = read();
  store();
}

// What is booked stays as it is: the next trip is another call.
function markDone(call) {
  form.classList.toggle("call__form--done", Boolean(call.done));
  fields.phone.readOnly = Boolean(call.done);
}

function show(index) {
  active = index;
  const call = current();
  goesOn = false;
  write({ ...EMPTY, ...call.values });
  showPlaces();
  resultBox.replaceChildren(...(call.done ?? []));
  markDone(call);
  nameField.hidden = true;
  form.dispatchEvent(new CustomEvent("stepper:caller"));
  askPrice();
  drawTabs();
  store();
  if (call.done) resultBox.firstElementChild?.focus();
  else (fields.phone.value ? fields.pickup_name : fields.phone).focus();
}

function startCall(phone = "", callId = "") {
  keep();
  const call = make(phone, callId);
  if (current().done || isBlank(current())) calls.splice(active, 1, call);
  else {
    calls.push(call);
    active = calls.length - 1;
  }
  show(calls.indexOf(call));
}

/** The call of a number that is not booked yet, however it was typed; -1: there is none. */
function findOpen(phone) {
  return calls.findIndex((call) => !call.done && [call.phone, call.values.phone].includes(phone));
}

// An exchange says that somebody calls: their card opens in front unless the operator is at another call.
function announce(phone, callId) {
  if (callId && seen.includes(callId)) return;
  if (callId) seen.push(callId);
  const open = findOpen(phone);
  if (open >= 0) {
    if (isBlank(current()) || current().done) show(open);
  } else if (isBlank(current()) || current().done) startCall(phone, callId);
  else {
    calls.push(make(phone, callId));
    drawTabs();
  }
  store();
}

function fillTrip(values) {
  keep();
  const own = Object.fromEntries(OF_CALLER.map((name) => [name, fields[name].value]));
  write({ ...EMPTY, ...values, ...own });
  showPlaces();
  form.querySelectorAll("[aria-invalid]").forEach((element) => element.removeAttribute("aria-invalid"));
  askPrice();
  keep();
  bookButton.focus();
}

function fillPlace(place) {
  const focused = document.activeElement?.closest(".combobox")?.dataset.side;
  const side = focused ?? (fields.pickup_lat.value === "" ? "pickup" : "dropoff");
  choose(side, place);
  keep();
  if (fields.dropoff_lat.value === "") fields.dropoff_name.focus();
  else bookButton.focus();
}

// Who calls

function showCaller() {
  const found = callerBox.querySelector(".caller");
  const call = current();
  const { name, phone, standing, language } = found?.dataset ?? {};
  nameField.hidden = !(found && "isNew" in found.dataset);
  bookButton.disabled = standing === "inactive";
  call.label = name || phone || fields.phone.value;
  call.phone = phone ?? "";
  if (language && !call.language) fields.sms_language.value = language;
  if (goesOn && !nameField.hidden && !fields.pickup_name.value && !fields.caller_name.value) fields.caller_name.focus();
  goesOn = false;
  drawTabs();
  keep();
}

callerBox.addEventListener("htmx:afterSwap", showCaller);

fields.phone.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.altKey) return;
  event.preventDefault();
  goesOn = true;
  fields.pickup_name.focus();
  form.dispatchEvent(new CustomEvent("stepper:caller"));
});
fields.caller_name.addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || event.altKey) return;
  event.preventDefault();
  fields.pickup_name.focus();
});

// The trip

form.addEventListener("input", ({ target }) => {
  if (target.name === "sms_language") current().language = true;
  keep();
});
form.addEventListener("change", keep);
form.addEventListener("stepper:chosen", ({ detail }) => {
  resultBox.querySelector("[data-missing]")?.remove();
  keep();
  if (detail === "pickup" && document.activeElement === fields.pickup_name && !fields.dropoff_name.value) fields.dropoff_name.focus();
});

// Nothing is booked before its price could be said, nor what is booked already.
document.addEventListener(
  "submit",
  (event) => {
    if (event.target !== form) return;
    if (!current().done && !bookButton.disabled && form.querySelector("[name=quote]")) return;
    event.preventDefault();
    event.stopPropagation();
    if (!current().done) askForPlaces();
  },
  true,
);

form.addEventListener("htmx:beforeRequest", (event) => {
  if (event.detail.elt === form) event.detail.xhr.call = current();
});
// Marks the fields that a refusal names; whoever works by the keyboard goes on at the first of them.
function markWrong(names) {
  const marked = names.map((name) => fields[name]).filter((field) => field?.offsetParent);
  marked.forEach((field) => field.setAttribute("aria-invalid", "true"));
  marked[0]?.focus();
}

// Why there is no price yet, and so no booking: a place was typed, but not chosen.
function askForPlaces() {
  const missing = ["pickup_name", "dropoff_name"].filter((name) => !fields[name.replace("_name", "_lat")].value);
  if (missing.length === 0) return;
  const alert = Object.assign(document.createElement("p"), { className: "alert alert--error", textContent: root.dataset.choose });
  alert.setAttribute("role", "alert");
  alert.dataset.missing = "";
  resultBox.replaceChildren(alert);
  markWrong(missing);
}

// The answer belongs to the call that was sent, which may not be in front any more.
resultBox.addEventListener("htmx:beforeSwap", (event) => {
  const { call } = event.detail.xhr;
  if (!call) return;
  const drawn = document.createElement("template");
  drawn.innerHTML = event.detail.serverResponse;
  if (drawn.content.querySelector("[data-booked]")) call.done = [...drawn.content.children];
  if (call !== current()) event.detail.shouldSwap = false;
  store();
});
resultBox.addEventListener("htmx:afterSwap", (event) => {
  const call = current();
  if (event.detail.xhr.call !== call) return;
  if (call.done) {
    call.done = [...resultBox.children];
    markDone(call);
    // The trip stands among those of the caller now.
    form.dispatchEvent(new CustomEvent("stepper:caller"));
    resultBox.firstElementChild.focus();
    store();
    return;
  }
  const { key, wrong } = resultBox.querySelector("[data-key]")?.dataset ?? {};
  markWrong(wrong?.split(" ") ?? []);
  if (key) {
    call.key = key;
    fields.request_key.value = key;
  }
  keep();
  askPrice();
});

// Buttons and keys

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("button");
  if (!button || !root.contains(button)) return;
  if ("new" in button.dataset) startCall();
  else if (button.dataset.tab) {
    keep();
    show(Number(button.dataset.tab));
  } else if (button.dataset.fields) fillTrip(JSON.parse(button.dataset.fields));
  else if (button.dataset.place) fillPlace(JSON.parse(button.dataset.place));
  else if ("copy" in button.dataset) {
    const input = button.parentElement.querySelector("input");
    input.select();
    await navigator.clipboard?.writeText(input.value).catch(() => {});
    button.textContent = button.dataset.copied;
  }
});

document.addEventListener("keydown", (event) => {
  if (!event.altKey || event.ctrlKey || event.metaKey || event.shiftKey || event.repeat) return;
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(event.code);
  const button = event.code.startsWith("Key") ? callerBox.querySelector(`[data-key=${event.code}]`) : null;
  if (event.code === "KeyN") startCall();
  else if (event.code === "Enter" || event.code === "NumpadEnter") form.requestSubmit();
  else if (digit && Number(digit[1]) <= calls.length) {
    keep();
    show(Number(digit[1]) - 1);
  } else if (button && !current().done) button.click();
  else return;
  event.preventDefault();
});

const toasts = document.getElementById("toasts");
new MutationObserver((changes) => {
  for (const added of changes.flatMap((change) => [...change.addedNodes])) {
    if (added.dataset?.callPhone) announce(added.dataset.callPhone, added.dataset.callId);
  }
}).observe(toasts, { childList: true });

function start() {
  restore();
  if (!calls.length) calls.push(make());
  show(active);
  const linked = new URLSearchParams(location.hash.slice(1));
  const asked = linked.get("phone") || root.dataset.phone;
  if (asked) {
    announce(asked, linked.get("call") ?? "");
    const index = findOpen(asked);
    if (index >= 0 && index !== active) show(index);
    history.replaceState(null, "", location.pathname);
  }
  root.dataset.ready = "";
}

window.addEventListener("hashchange", () => {
  const values = new URLSearchParams(location.hash.slice(1));
  if (values.get("phone")) announce(values.get("phone"), values.get("call") ?? "");
  history.replaceState(null, "", location.pathname);
});
// htmx listens to the form from DOMContentLoaded on, and was there first.
if (document.readyState === "complete") start();
else document.addEventListener("DOMContentLoaded", start, { once: true });
