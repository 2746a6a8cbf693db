// The trip page: the map, the gliding vehicle, the live ETA, and what must survive a swapped panel.

import { serverNow, timeOfDay } from "./clock.js";
import { TripMap } from "./map.js";

const box = document.getElementById("trip-map");
const pair = (text) => text.split(",").map(Number);
const map = new TripMap(box);
const ends = { pickup: pair(box.dataset.pickup), dropoff: pair(box.dataset.dropoff) };
const panel = () => document.getElementById("trip-panel");
// Positions as those get them who may see the trip, and who watch it by a link.
const LOCATIONS = new Set(["driver.location.updated", "trip.shared.location"]);
let vehicle = null; // {lat, lng, at}: the last fix
let moved = false; // the person has moved the map: it is theirs now

map.pin("pickup", ...ends.pickup, box.dataset.pickupLabel);
map.pin("dropoff", ...ends.dropoff, box.dataset.dropoffLabel);
const trail = box.dataset.trail.trim();
if (trail) map.trail(trail.split(/\s+/).map(pair));

function place(lat, lng, heading, at) {
  vehicle = { lat, lng, at };
  map.vehicle(lat, lng, { heading, stale: isDark(), label: box.dataset.driverLabel });
}

function isDark() {
  return vehicle !== null && serverNow() - vehicle.at > Number(panel().dataset.replayS) * 1000;
}

function drawRoute() {
  const { target, status } = panel().dataset;
  if (vehicle && target) map.route([[vehicle.lat, vehicle.lng], ends[target]]);
  else if (["completed", "arrived"].includes(status) && map.lines.has("trail")) map.remove("route");
  else map.route([ends.pickup, ends.dropoff]);
}

// What matters now: the driver and where they are heading, else the whole trip.
function fit() {
  const { target } = panel().dataset;
  const names = vehicle && target ? ["vehicle", target] : ["pickup", "dropoff", "vehicle"];
  map.fit(matchMedia("(min-width: 960px)").matches ? {} : { bottom: 64 }, names);
}

function follow() {
  if (!moved && vehicle && !map.map.getBounds().pad(-0.05).contains([vehicle.lat, vehicle.lng])) fit();
}

function kmText(km) {
  const digits = km < 9.95 ? 1 : 0;
  const number = new Intl.NumberFormat(document.documentElement.lang, { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return panel().dataset.km.replace("{km}", number.format(Math.max(0.1, km)));
}

function minutesText(minutes) {
  const { minutes: short, hours: full, hoursMinutes: long } = panel().dataset;
  if (minutes < 60) return short.replace("{minutes}", minutes);
  const rest = minutes % 60;
  return (rest ? long : full).replace("{hours}", Math.floor(minutes / 60)).replace("{minutes}", String(rest).padStart(2, "0"));
}

// Between two panels from the server the figure, its line and the expected times follow the position frames.
function showEta(eta) {
  const { target, zone, line } = panel().dataset;
  const minutes = target === "pickup" ? eta.pickup_min : target === "dropoff" ? eta.dropoff_min : null;
  if (minutes === null || minutes === undefined) return;
  const left = Math.max(1, minutes);
  const after = (wait) => serverNow() + wait * 60_000;
  const at = after(left);
  const figure = document.getElementById("trip-eta");
  figure.textContent = minutesText(left);
  figure.classList.remove("figure--words");
  const km = map.map.distance([vehicle.lat, vehicle.lng], ends[target]) / 1000;
  const text = document.getElementById("trip-line");
  text.hidden = false;
  text.textContent = line.replace("{km}", kmText(km)).replace("{time}", timeOfDay(at, zone));
  const expected = { dropoff: after(Math.max(left, eta.dropoff_min)), [target]: at };
  for (const [name, instant] of Object.entries(expected)) {
    const cell = panel().querySelector(`[data-expected=${name}]`);
    if (cell) cell.textContent = `≈ ${timeOfDay(instant, zone)}`;
  }
}

// A link to this trip was ended. One that ended with the trip has said so already.
function endShared(message) {
  if (["completed", "cancelled"].includes(panel().dataset.status)) return;
  vehicle = null;
  ["vehicle", "trail"].forEach((name) => map.remove(name));
  panel().replaceChildren(Object.assign(document.createElement("p"), { textContent: message, className: "alert" }));
}

function showDark() {
  const dark = isDark() && panel().dataset.target !== "";
  map.stale(isDark());
  const note = document.getElementById("trip-dark");
  if (vehicle) note.hidden = !dark;
  if (dark) {
    const { dark: template, zone } = panel().dataset;
    note.querySelector("span").textContent = template.replace("{time}", timeOfDay(vehicle.at, zone));
  }
}

document.addEventListener("stepper:frame", ({ detail: frame }) => {
  if (frame.type === "error" && frame.code === "share.ended") endShared(frame.message);
  if (!LOCATIONS.has(frame.type) || String(frame.trip_id) !== box.dataset.trip) return;
  const at = Date.parse(frame.recorded_at);
  // Latest wins; the last fix is replayed after a reconnect.
  if (!panel().dataset.driver || (vehicle && at < vehicle.at)) return;
  const first = vehicle === null;
  place(frame.lat, frame.lng, frame.heading_deg, at);
  map.extendTrail(frame.lat, frame.lng);
  showEta(frame.eta);
  showDark();
  drawRoute();
  if (first && !moved) fit();
  else follow();
});

// A panel that another one overtook on the way is not shown.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const incoming = event.detail.fragment.querySelector?.("#trip-panel") ?? event.detail.fragment.firstElementChild;
  if (event.detail.target.id !== "trip-panel" || !incoming?.dataset?.version) return;
  if (Number(incoming.dataset.version) < Number(panel().dataset.version)) event.detail.shouldSwap = false;
});

let shown = "";
let said = document.getElementById("trip-status").textContent;
function afterSwap() {
  const sentence = document.getElementById("trip-status").textContent;
  if (sentence !== said) document.getElementById("trip-news").textContent = sentence;
  said = sentence;
  if (!panel().dataset.driver) {
    vehicle = null;
    ["vehicle", "trail"].forEach((name) => map.remove(name));
  } else if (["completed", "cancelled"].includes(panel().dataset.status)) {
    vehicle = null;
    map.remove("vehicle");
  }
  if (["completed", "cancelled"].includes(panel().dataset.status)) document.getElementById("trip-share")?.remove();
  showDark();
  drawRoute();
  const { target, driver } = panel().dataset;
  if (shown !== `${driver}/${target}` && !moved) fit();
  shown = `${driver}/${target}`;
}
document.addEventListener("htmx:wsAfterMessage", afterSwap);
document.addEventListener("htmx:afterSettle", afterSwap);
document.addEventListener("stepper:done", () => document.getElementById("cancel-dialog").close());

if (box.dataset.position) {
  place(...pair(box.dataset.position), box.dataset.heading ? Number(box.dataset.heading) : null, Date.parse(box.dataset.recordedAt));
}
drawRoute();
fit();
showDark();
for (const kind of ["mousedown", "touchstart", "wheel"]) {
  box.addEventListener(kind, () => (moved = true), { passive: true });
}
window.addEventListener("resize", () => !moved && fit());
setInterval(showDark, 5000);
