// Staff are signed out after a time without activity: five minutes before, this says so and offers to stay. In the page:
// [data-idle-s], hidden, with a button that htmx sends. All tabs of a browser have one session, so they tell each other.

import { hide } from "./writing.js";

const WARNED_MS = 5 * 60_000;
// The server writes that a session is in use once a minute at most.
const LATE_MS = 60_000;

const box = document.querySelector("[data-idle-s]");
const tabs = new BroadcastChannel("staff-session");
let usedAt = Date.now();

function noteUse() {
  usedAt = Date.now();
  box.hidden = true;
}

function warn() {
  hide(box, Date.now() - usedAt < box.dataset.idleS * 1000 - WARNED_MS - LATE_MS);
}

if (box) {
  tabs.addEventListener("message", noteUse);
  tabs.postMessage("used");
  document.addEventListener("htmx:afterRequest", (event) => {
    // What a page fetches by itself is no activity.
    if (event.detail.failed || "X-Automatic" in event.detail.requestConfig.headers) return;
    noteUse();
    tabs.postMessage("used");
  });
  setInterval(warn, 1000);
}
