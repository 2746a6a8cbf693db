// What a driver sees of a network that is away: since when, what waits, and on the cards what was tapped meanwhile.
// Steps and answers are ordinary htmx requests; where they have to wait they become rows of the queue.

import { serverNow, timeOfDay } from "./clock.js";
import { connectionLost } from "./connection.js";
import { toast } from "./notifications.js";
import { account, waiting, WORTH_MS } from "./queue.js";
import { keepStep, mustWait } from "./sending.js";
import { hide, write } from "./writing.js";

const SHOW_AFTER_MS = 2000;
const ANSWERED_WITHIN_MS = 10_000;
// Before these the driver enters the passenger's code.
const BOARDING = ["passengers_boarded", "in_transit"];
// After these nothing more can be tapped on the trip.
const LAST_STEPS = ["completed", "released", "no_show"];

const root = document.getElementById("driver");
const banner = document.getElementById("offline");
const sinceLine = banner.querySelector("[data-offline-since]");
const queuedLine = banner.querySelector("[data-offline-queued]");
const refusals = banner.querySelector("[data-offline-refusals]");
const zone = document.querySelector("[data-testid=connection-state]")?.dataset.zone;

// Requests that are steps or answers

function statusCommand(tripId, values) {
  const command = { type: "trip.status.update", trip_id: tripId, status: values.get("status") };
  for (const name of ["note", "delay_reason", "code"]) if (values.get(name)) command[name] = values.get(name);
  for (const name of ["lat", "lng", "delay_minutes", "stop"]) if (values.get(name)) command[name] = Number(values.get(name));
  return command;
}

function declineCommand(offerId, values) {
  return { type: "trip.offer.decline", offer_id: offerId, reason: values.get("reason") ?? "" };
}

const COMMANDS = [
  [/\/offers\/(\d+)\/accept\/$/, (id) => ({ type: "trip.offer.accept", offer_id: id })],
  [/\/offers\/(\d+)\/decline\/$/, declineCommand],
  [/\/trips\/(\d+)\/status\/$/, statusCommand],
];

function commandOf(config) {
  for (const [path, make] of COMMANDS) {
    const found = config.path.match(path);
    if (found) return make(Number(found[1]), config.formData);
  }
  return null;
}

function offerCard(command) {
  return command.offer_id ? document.getElementById(`offer-${command.offer_id}`) : null;
}

function labelOf(config, command) {
  const button = config.triggeringEvent?.submitter ?? config.elt.querySelector("[type=submit]");
  const words = (button?.dataset.label ?? button?.textContent ?? "").trim().replace(/\s+/g, " ");
  const place = offerCard(command)?.querySelector(".route__name")?.textContent.trim();
  return place ? `${words}: ${place}` : words;
}

async function keep(config) {
  const command = commandOf(config);
  const deadline = Date.parse(offerCard(command)?.dataset.expiresAt ?? "");
  try {
    await keepStep({
      key: config.headers["Idempotency-Key"],
      command,
      label: labelOf(config, command),
      untilMs: Number.isNaN(deadline) ? serverNow() + WORTH_MS : deadline,
    });
  } catch {
    // Neither sent nor kept: only who tapped can do it again.
    toast(banner.dataset.textUnkept, "error");
  }
}

function newKey() {
  return Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
}

document.addEventListener("htmx:configRequest", (event) => {
  if (!commandOf(event.detail)) return;
  event.detail.headers["Idempotency-Key"] = newKey();
  event.detail.timeout = ANSWERED_WITHIN_MS;
});
// While capturing: no other module is to show the request as on its way.
document.addEventListener(
  "htmx:beforeRequest",
  (event) => {
    if (!mustWait() || !commandOf(event.detail.requestConfig)) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    keep(event.detail.requestConfig);
  },
  true,
);
// Nobody knows whether it arrived: it is sent again under the same key. `kept` tells the modules that show failures.
["htmx:sendError", "htmx:timeout"].forEach((name) =>
  document.addEventListener(
    name,
    (event) => {
      if (!commandOf(event.detail.requestConfig)) return;
      event.detail.kept = true;
      keep(event.detail.requestConfig);
    },
    true,
  ),
);

// The cards

function line(text, atMs) {
  const element = document.createElement("p");
  element.className = "queued__line";
  element.textContent = `${banner.dataset.textWaits} ${text} · ${timeOfDay(atMs, zone)}`;
  return element;
}

function overlay(card, rows) {
  card.querySelector(".queued")?.remove();
  const box = document.createElement("div");
  box.className = "queued";
  box.dataset.testid = "queued-steps";
  box.append(...rows.map((row) => line(row.label, row.at.heldMs)));
  return box;
}

// The button's words, beside its icon.
function wordsOf(button) {
  return [...button.childNodes].find((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
}

function offerStep(form, status, words, done) {
  const button = form.querySelector("[data-testid=trip-next-step]");
  form.querySelector("[name=status]").value = status;
  button.dataset.next = status;
  wordsOf(button).data = words;
  const code = form.querySelector("[data-boarding-code]");
  if (!code) return;
  code.hidden = !BOARDING.includes(status) || done.some((step) => BOARDING.includes(step));
  code.querySelector("input").required = !code.hidden;
}

// The next stop that was not tapped meanwhile; after the last one there is none.
function offerStop(form, card, rows) {
  const done = rows.filter(({ command }) => command.status === "stop_reached").map(({ command }) => command.stop);
  const next = [...card.querySelectorAll("[data-stop-ahead]")].find((item) => !done.includes(Number(item.dataset.stopAhead)));
  form.hidden = !next || rows.length > done.length;
  if (!next) return;
  form.querySelector("[name=stop]").value = next.dataset.stopAhead;
  form.querySelector("[data-stop-name]").textContent = next.textContent;
}

function showTrip(card, rows) {
  const box = overlay(card, rows);
  const form = card.querySelector("[data-testid=trip-next-step]")?.closest("form");
  if (rows.length) (form ?? card.querySelector(".trip__more")).before(box);
  const stopForm = card.querySelector("[data-stop-form]");
  if (stopForm) offerStop(stopForm, card, rows);
  if (!form) return;
  const done = rows.map((row) => row.command.status);
  const ahead = [...card.querySelectorAll("[data-step-ahead]")];
  const next = ahead[ahead.findLastIndex((item) => done.includes(item.dataset.stepAhead)) + 1];
  form.hidden = !next || done.some((status) => LAST_STEPS.includes(status));
  if (next) offerStep(form, next.dataset.stepAhead, next.textContent, done);
}

function showOffer(card, [row]) {
  const answers = card.querySelector(".offer__answer");
  const box = overlay(card, row ? [row] : []);
  answers.hidden = Boolean(row);
  card.hidden = row?.command.type === "trip.offer.decline";
  if (row) answers.before(box);
}

function rowsOf(card) {
  return waiting.steps.filter(({ command }) =>
    command.offer_id ? card.id === `offer-${command.offer_id}` : card.id === `trip-${command.trip_id}`,
  );
}

function showCards() {
  for (const card of root.querySelectorAll(".trip, .offer")) {
    const rows = rowsOf(card);
    const shown = rows.map((row) => row.key).join();
    if ((card.dataset.queued ?? "") === shown) continue;
    card.dataset.queued = shown;
    if (card.matches(".offer")) showOffer(card, rows);
    else showTrip(card, rows);
  }
}

// The banner

function showBanner() {
  const lost = connectionLost();
  const isAway = lost !== null && (!navigator.onLine || lost.elapsedMs >= SHOW_AFTER_MS);
  const count = waiting.points + waiting.steps.length;
  hide(sinceLine, !isAway);
  if (isAway) write(sinceLine, `${banner.dataset.textSince} ${timeOfDay(lost.serverMs, zone)}`);
  hide(queuedLine, !count);
  if (count) {
    write(queuedLine.querySelector("[data-testid=queued-count]"), String(count));
    write(queuedLine.querySelector("[data-queued-steps]"), String(waiting.steps.length));
    write(queuedLine.querySelector("[data-queued-points]"), String(waiting.points));
  }
  hide(banner, !isAway && !count && !refusals.childElementCount);
}

document.addEventListener("stepper:refused", ({ detail: { row, message } }) => {
  // Two tabs may notice at the same moment that it is too late.
  if (refusals.querySelector(`[data-key="${row.key}"]`)) return;
  const item = document.createElement("li");
  item.dataset.testid = "queued-refused";
  item.dataset.key = row.key;
  const words = message || (row.command.offer_id ? root.dataset.textExpired : banner.dataset.textLate);
  item.textContent = `${banner.dataset.textRefused} ${row.label} · ${timeOfDay(row.at.heldMs, zone)}. ${words}`;
  refusals.append(item);
  banner.querySelector("[data-offline-dismiss]").hidden = false;
  showBanner();
});
banner.querySelector("[data-offline-dismiss]").addEventListener("click", (event) => {
  refusals.replaceChildren();
  event.currentTarget.hidden = true;
  showBanner();
});

function show() {
  showBanner();
  showCards();
}
// Somebody else has signed in with another tab: this page is not theirs.
document.addEventListener("stepper:frame", ({ detail: frame }) => {
  if (frame.type === "connection.established" && frame.user_id !== account) location.reload();
});
document.addEventListener("stepper:queue", show);
document.addEventListener("stepper:connection", showBanner);
["active-list", "offers-list"].forEach((id) =>
  new MutationObserver(showCards).observe(document.getElementById(id), { childList: true }),
);
setInterval(showBanner, 1000);
show();
