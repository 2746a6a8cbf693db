// The driver's position, sent through the page's socket while online: after so many metres or seconds, whichever is
// first (numbers from the page, then from connection.established). On a trip nothing is lost while the network is away
// (sending.js); without one the latest is sent on return, since nobody knows whether the last one arrived.
// Dispatches "stepper:position" (detail: {lat, lng, heading_deg}).

import { waiting } from "./queue.js";
import { report } from "./sending.js";

// A fix that is said to be older, or of the future, is one of now: the phone's clock has been set since.
const OLDEST_FIX_MS = 120_000;
const FIX_TIMEOUT_MS = 15_000;
const FRESH_MS = 5000;
// A device that fails once may just have lost the sky under a bridge.
const FAILURES_TO_SAY = 2;
const DENIED = 1;
const TIMEOUT = 3;

const root = document.getElementById("driver");
let tripMs = Number(root.dataset.positionTripS) * 1000;
let idleMs = Number(root.dataset.positionIdleS) * 1000;
const moveM = Number(root.dataset.positionMoveM);

let watch = null;
let latest = null;
// When it was, by the phone's clock.
let latestMs = 0;
let sent = null;
// Since when the watch owes a fix; null: it has given one.
let askedAt = null;
let failures = 0;
// Whether the browser is asking the driver for the position.
let isAsking = false;
const permission = navigator.permissions?.query({ name: "geolocation" });

/** The newest fix {lat, lng, …}; null where there is none. */
export function lastFix() {
  return latest;
}

function state() {
  const { online, busy } = document.getElementById("availability").dataset;
  // With a step that waits for the network a trip may have begun that the server does not know of.
  const onTrip = busy === "1" || waiting.steps.length > 0;
  return { online: online === "1", onTrip, intervalMs: onTrip ? tripMs : idleMs };
}

function show(problem) {
  root.dataset.position = problem ? "lost" : "";
  root.querySelectorAll("[data-position-notice]").forEach((notice) => {
    notice.hidden = notice.dataset.positionNotice !== problem;
  });
}

function metres(a, b) {
  const rad = Math.PI / 180;
  const half =
    Math.sin(((b.lat - a.lat) * rad) / 2) ** 2 +
    Math.cos(a.lat * rad) * Math.cos(b.lat * rad) * Math.sin(((b.lng - a.lng) * rad) / 2) ** 2;
  return 12_742_017.6 * Math.asin(Math.sqrt(Math.min(1, half)));
}

function between(value, low, high) {
  return Number.isFinite(value) && value >= low && value <= high ? value : null;
}

function pointOf(position) {
  const { latitude, longitude, heading, speed, accuracy } = position.coords;
  return {
    lat: latitude,
    lng: longitude,
    heading_deg: between(heading, 0, 360),
    speed_kmh: speed === null ? null : between(speed * 3.6, 0, 400),
    accuracy_m: between(accuracy, 0, 100_000),
  };
}

function tell(onTrip) {
  sent = { lat: latest.lat, lng: latest.lng, atMs: performance.now() };
  report(latest, latestMs, onTrip);
}

function fixed(position) {
  failures = 0;
  askedAt = null;
  show("");
  const { online, onTrip, intervalMs } = state();
  latest = pointOf(position);
  const ageMs = Date.now() - position.timestamp;
  latestMs = ageMs >= 0 && ageMs <= OLDEST_FIX_MS ? position.timestamp : Date.now();
  document.dispatchEvent(new CustomEvent("stepper:position", { detail: latest }));
  if (!online) return;
  if (!sent || metres(sent, latest) >= moveM || performance.now() - sent.atMs >= intervalMs) tell(onTrip);
}

function missed(error) {
  if (error.code === DENIED) {
    stop();
    show("denied");
    return;
  }
  failures += 1;
  if (failures >= FAILURES_TO_SAY) show("unavailable");
}

function start(maximumAge = FRESH_MS) {
  if (watch !== null) return;
  if (!window.isSecureContext) return show("insecure");
  if (!navigator.geolocation) return show("unsupported");
  askedAt = performance.now();
  watch = navigator.geolocation.watchPosition(fixed, missed, { enableHighAccuracy: true, maximumAge });
  showAsking();
}

function showAsking() {
  if (isAsking && watch !== null && !latest) show("asking");
}

function stop() {
  if (watch === null) return;
  navigator.geolocation.clearWatch(watch);
  watch = null;
}

let wasOnline = false;
function tick() {
  const { online, intervalMs } = state();
  if (online !== wasOnline) {
    wasOnline = online;
    sent = null;
    failures = 0;
    if (online) start();
    else {
      stop();
      show("");
    }
  }
  if (watch === null || isAsking) return;
  const now = performance.now();
  if (askedAt !== null && now - askedAt < FIX_TIMEOUT_MS) return;
  if (askedAt === null && sent && now - sent.atMs < intervalMs) return;
  if (askedAt !== null) missed({ code: TIMEOUT });
  // A vehicle that stands still makes no new fixes, and beside a watch browsers wait for one with whatever is asked: a
  // new watch is told at once where it is.
  stop();
  start(intervalMs / 2);
}
tick();
setInterval(tick, 1000);

document.addEventListener("stepper:frame", (event) => {
  const frame = event.detail;
  if (frame.type !== "connection.established") return;
  tripMs = (frame.position_trip_s || tripMs / 1000) * 1000;
  idleMs = (frame.position_idle_s || idleMs / 1000) * 1000;
  const { online, onTrip } = state();
  if (latest && online) report(latest, latestMs, onTrip);
});

// Allowed after all, in the browser's settings: no reload needed.
permission?.then((status) => {
  isAsking = status.state === "prompt";
  showAsking();
  status.addEventListener("change", () => {
    isAsking = status.state === "prompt";
    if (watch !== null) askedAt = performance.now();
    if (status.state === "granted" && state().online) {
      show("");
      start();
    }
  });
});
