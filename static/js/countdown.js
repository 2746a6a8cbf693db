// Countdowns to the second: [data-expires-at] with [data-created-at] (ISO 8601).
// Inside it, or itself: [data-countdown] gets "1:14", .fuse__bar burns down, at zero the element gets
// data-expired and dispatches "stepper:expired" (bubbles) once.

import { serverNow } from "./clock.js";
import { write } from "./writing.js";

function text(leftMs) {
  const seconds = Math.max(0, Math.ceil(leftMs / 1000));
  return `${Math.floor(seconds / 60)}:${String(seconds % 60).padStart(2, "0")}`;
}

function tick(element, now) {
  const end = Date.parse(element.dataset.expiresAt);
  if (Number.isNaN(end)) return;
  const start = Date.parse(element.dataset.createdAt);
  const left = end - now;
  const label = element.matches("[data-countdown]") ? element : element.querySelector("[data-countdown]");
  const shown = text(left);
  if (label) write(label, shown);
  const bar = element.querySelector(".fuse__bar");
  if (bar && end > start) bar.style.transform = `scaleX(${Math.min(1, Math.max(0, left / (end - start)))})`;
  if (left <= 0 && !("expired" in element.dataset)) {
    element.dataset.expired = "";
    element.dispatchEvent(new CustomEvent("stepper:expired", { bubbles: true }));
  }
}

// Where there are none, as on most pages, we look less often; what htmx or the socket brings is looked at at once.
const RUNNING_MS = 250;
const NONE_MS = 1000;

function refreshCountdowns() {
  const found = document.querySelectorAll("[data-expires-at]");
  clearTimeout(next);
  next = setTimeout(refreshCountdowns, found.length ? RUNNING_MS : NONE_MS);
  if (!found.length) return;
  const now = serverNow();
  found.forEach((element) => tick(element, now));
}

let next = 0;
refreshCountdowns();
["visibilitychange", "htmx:load", "htmx:wsAfterMessage"].forEach((name) => document.addEventListener(name, refreshCountdowns));
