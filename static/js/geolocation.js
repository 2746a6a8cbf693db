// The driver's position, sent through the page's socket while online: after so many metres or seconds, whichever is
// first (numbers from the page, then from connection.established). Offline it is kept, at most a hundred points, and
// sent on return; the latest is always sent again, since nobody knows whether the last one arrived.
// Dispatches "stepper:position" (detail: {lat, lng, heading_deg}).

import { serverNow } from "./clock.js";
import { send } from "./connection.js";

const MAX_POINTS = 100;
const FIX_TIMEOUT_MS = 15_000;
// A device that fails once may just have lost the sky under a bridge.
const FAILURES_TO_SAY = 2;
const DENIED = 1;

const root = document.getElementById("driver");
let tripMs = Number(root.dataset.positionTripS) * 1000;
let idleMs = Number(root.dataset.positionIdleS) * 1000;
const moveM = Number(root.dataset.positionMoveM);

let watch = null;
let latest = null;
let sent = null;
let askedAt = 0;
let failures = 0;
let waiting = [];

/** The newest fix {lat, lng, …}; null where there is none. */
export function lastFix() {
  return latest;
}

function state() {
  const { online, busy } = document.getElementById("availability").dataset;
  return { online: online === "1", intervalMs: busy === "1" ? tripMs : idleMs };
}

function show(problem) {
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
    // By the server's clock: a phone that is minutes off would otherwise look dark.
    recorded_at: new Date(position.timestamp + (serverNow() - Date.now())).toISOString(),
  };
}

function flush() {
  if (!waiting.length) return;
  if (send({ type: "driver.location.update", points: waiting })) waiting = [];
}

function keep(point) {
  waiting.push(point);
  waiting = waiting.slice(-MAX_POINTS);
  sent = { lat: point.lat, lng: point.lng, atMs: Date.now() };
  flush();
}

function fixed(position) {
  failures = 0;
  show("");
  const { online, intervalMs } = state();
  latest = pointOf(position);
  document.dispatchEvent(new CustomEvent("stepper:position", { detail: latest }));
  if (!online) return;
  if (!sent || metres(sent, latest) >= moveM || Date.now() - sent.atMs >= intervalMs) keep(latest);
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

function start() {
  if (watch !== null) return;
  if (!window.isSecureContext) return show("insecure");
  if (!navigator.geolocation) return show("unsupported");
  watch = navigator.geolocation.watchPosition(fixed, missed, { enableHighAccuracy: true, maximumAge: 5000 });
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
      waiting = [];
      show("");
    }
  }
  // A vehicle that stands still makes no new fixes; ask for one when the interval has passed.
  if (watch === null || (sent && Date.now() - sent.atMs < intervalMs) || Date.now() - askedAt < FIX_TIMEOUT_MS) return;
  askedAt = Date.now();
  navigator.geolocation.getCurrentPosition(fixed, missed, {
    enableHighAccuracy: true,
    maximumAge: intervalMs / 2,
    timeout: FIX_TIMEOUT_MS,
  });
}
tick();
setInterval(tick, 1000);

document.addEventListener("stepper:frame", (event) => {
  const frame = event.detail;
  if (frame.type !== "connection.established") return;
  tripMs = (frame.position_trip_s || tripMs / 1000) * 1000;
  idleMs = (frame.position_idle_s || idleMs / 1000) * 1000;
  if (latest && state().online && !waiting.some((point) => point.recorded_at === latest.recorded_at)) {
    waiting = [...waiting, latest].slice(-MAX_POINTS);
  }
  flush();
});

// Allowed after all, in the browser's settings: no reload needed.
navigator.permissions?.query({ name: "geolocation" }).then((permission) => {
  permission.addEventListener("change", () => {
    if (permission.state === "granted" && state().online) {
      show("");
      start();
    }
  });
});
