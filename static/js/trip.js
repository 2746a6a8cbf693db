// The trip page: the map, the gliding vehicle, the live ETA, and what must survive a swapped panel.

import { serverNow, timeOfDay } from "./clock.js";
import { connectionLost } from "./connection.js";
import { readPoint, readPoints, TripMap } from "./map.js";
import { covered } from "./sheet.js";
import { hide, write } from "./writing.js";

const box = document.getElementById("trip-map");
const map = new TripMap(box);
const ends = { pickup: readPoint(box.dataset.pickup), dropoff: readPoint(box.dataset.dropoff) };
const panel = () => document.getElementById("trip-panel");
// Positions as those get them who may see the trip, and who watch it by a link.
const LOCATIONS = new Set(["driver.location.updated", "trip.shared.location"]);
// A connection that is back within this is not worth a word.
const SHOW_LOST_AFTER_MS = 3000;
let vehicle = null; // {lat, lng, at}: the last fix
let ended = false; // the link to the trip was
let moved = false; // the person has moved the map: it is theirs now

map.pin("pickup", ...ends.pickup, box.dataset.pickupLabel);
map.pin("dropoff", ...ends.dropoff, box.dataset.dropoffLabel);
// The stops between, in their order; those ahead are not reached yet.
const stops = () => readPoints(panel().dataset.stops);
const stopsAhead = () => stops().slice(Number(panel().dataset.stopsReached));
const wayTo = (target) => (target === "dropoff" ? [...stopsAhead(), ends.dropoff] : [ends[target]]);

let pinned = [];
function pinStops() {
  pinned.forEach((name) => map.remove(name));
  pinned = stops().map((at, index) => {
    const name = `stop${index + 1}`;
    map.pin(name, ...at, `${box.dataset.stopLabel} ${index + 1}`);
    return name;
  });
}
pinStops();
const trail = box.dataset.trail.trim();
if (trail) map.trail(readPoints(trail));

function place(lat, lng, heading, at) {
  vehicle = { lat, lng, at };
  map.vehicle(lat, lng, { heading, stale: isDark(), label: box.dataset.driverLabel });
}

function isDark() {
  return vehicle !== null && serverNow() - vehicle.at > Number(panel().dataset.replayS) * 1000;
}

function drawRoute() {
  const { target, status } = panel().dataset;
  if (vehicle && target) map.route([[vehicle.lat, vehicle.lng], ...wayTo(target)]);
  else if (["completed", "arrived"].includes(status) && map.lines.has("trail")) map.remove("route");
  else map.route([ends.pickup, ...stops(), ends.dropoff]);
}

// What matters now: the driver and where they are heading, else the whole trip.
function fit() {
  const { target } = panel().dataset;
  const names = vehicle && target ? ["vehicle", target, ...(target === "dropoff" ? pinned : [])] : ["pickup", ...pinned, "dropoff", "vehicle"];
  // Clear of the sheet and of the buttons that zoom.
  map.fit({ right: 76, bottom: 48 + covered() }, names);
}

function follow() {
  if (!moved && vehicle && !map.shows(vehicle.lat, vehicle.lng, covered())) fit();
}

function kmText(km) {
  // As the filter `km` writes it on the server.
  if (km >= 9.95) return panel().dataset.km.replace("{km}", String(Math.round(km)).replace(/\B(?=(\d{3})+$)/g, "\u202f"));
  // No decimal sign: drawn by a server of the release before, during an upgrade; take it out in the next release.
  return panel().dataset.km.replace("{km}", Math.max(0.1, km).toFixed(1).replace(".", panel().dataset.decimal ?? "."));
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
  const way = [[vehicle.lat, vehicle.lng], ...wayTo(target)];
  const km = way.slice(1).reduce((sum, to, index) => sum + map.map.distance(way[index], to), 0) / 1000;
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
  ended = true;
  showConnection();
  vehicle = null;
  ["vehicle", "trail"].forEach((name) => map.remove(name));
  panel().dataset.stops = "";
  panel().replaceChildren(Object.assign(document.createElement("p"), { textContent: message, className: "alert" }));
}

function showDark() {
  const dark = isDark() && panel().dataset.target !== "";
  map.stale(isDark());
  const note = document.getElementById("trip-dark");
  if (vehicle) hide(note, !dark);
  if (dark) {
    const { dark: template, zone } = panel().dataset;
    write(note.querySelector("span"), template.replace("{time}", timeOfDay(vehicle.at, zone)));
  }
}

document.addEventListener("stepper:frame", ({ detail: frame }) => {
  if (frame.type === "error" && frame.code === "share.ended") endShared(frame.message);
  if (!LOCATIONS.has(frame.type) || String(frame.trip_id) !== box.dataset.trip) return;
  const { driver, target } = panel().dataset;
  // What is still on its way from a driver who has the trip no more. A link's frames say only since when theirs has it.
  const whose = frame.driver_id ?? (frame.driver_since && Math.floor(Date.parse(frame.driver_since) / 1000));
  // "1" of a link: drawn by a server of the release before, during an upgrade; take it out in the next release.
  const isOld = driver === "1" && !frame.driver_id;
  if (!driver || (whose && !isOld && String(whose) !== driver)) return;
  const at = Date.parse(frame.recorded_at);
  // Latest wins; the last fix is replayed after a reconnect.
  if (vehicle && at < vehicle.at) return;
  const first = vehicle === null;
  place(frame.lat, frame.lng, frame.heading_deg, at);
  // The trail is that of the ride: where the driver came from is theirs.
  if (target === "dropoff") map.extendTrail(frame.lat, frame.lng);
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

// Pickup and dropoff can change until a driver accepts.
function movePins() {
  const { title } = panel().dataset;
  const heading = document.querySelector("h1");
  for (const side of ["pickup", "dropoff"]) {
    const { [side]: point, [`${side}Label`]: label } = panel().dataset;
    if (!point || (point === box.dataset[side] && label === box.dataset[`${side}Label`])) continue;
    Object.assign(box.dataset, { [side]: point, [`${side}Label`]: label });
    ends[side] = readPoint(point);
    map.pin(side, ...ends[side], label);
    shown = "";
    if (title) {
      heading.textContent = title;
      document.title = `${title} · StepperGO`;
    }
  }
}

let shown = "";
let drawnFor = panel().dataset.driver;
let said = document.getElementById("trip-status").textContent;
let version = panel().dataset.version;
function afterSwap() {
  if (panel().dataset.version !== version) {
    version = panel().dataset.version;
    // What cancelling does depends on whether a driver has accepted.
    if (document.getElementById("cancel-dialog")?.open) htmx.trigger("#cancel-body", "trip-changed");
  }
  const sentence = document.getElementById("trip-status").textContent;
  if (sentence !== said) document.getElementById("trip-news").textContent = sentence;
  said = sentence;
  const { target, driver } = panel().dataset;
  if (driver !== drawnFor) {
    // Another driver, or none: nothing of the former one stays.
    drawnFor = driver;
    vehicle = null;
    ["vehicle", "trail"].forEach((name) => map.remove(name));
  } else if (["completed", "cancelled"].includes(panel().dataset.status)) {
    vehicle = null;
    map.remove("vehicle");
  }
  if (["completed", "cancelled"].includes(panel().dataset.status)) document.getElementById("trip-share")?.remove();
  movePins();
  showDark();
  pinStops();
  drawRoute();
  if (shown !== `${driver}/${target}` && !moved) fit();
  shown = `${driver}/${target}`;
}
document.addEventListener("htmx:wsAfterMessage", afterSwap);
document.addEventListener("htmx:afterSettle", afterSwap);
document.addEventListener("stepper:done", () => {
  const dialog = document.getElementById("cancel-dialog");
  if (!dialog.open) return;
  dialog.close();
  // The button is far down on a phone; the heading says what became of it.
  document.getElementById("trip-side").scrollTo({ top: 0 });
});

function showConnection() {
  const lost = connectionLost();
  const note = document.getElementById("trip-offline");
  const isAway = !ended && lost !== null && lost.elapsedMs >= SHOW_LOST_AFTER_MS;
  note.parentElement.classList.toggle("is-stale", isAway);
  hide(note, !isAway);
  if (isAway) write(note.querySelector("span"), note.dataset.text.replace("{time}", timeOfDay(lost.serverMs, panel().dataset.zone)));
}
document.addEventListener("stepper:connection", showConnection);
document.addEventListener("stepper:sheet", () => !moved && fit());

if (box.dataset.position) {
  place(...readPoint(box.dataset.position), box.dataset.heading ? Number(box.dataset.heading) : null, Date.parse(box.dataset.recordedAt));
}
drawRoute();
fit();
showDark();
for (const kind of ["mousedown", "touchstart", "wheel"]) {
  box.addEventListener(kind, () => (moved = true), { passive: true });
}
window.addEventListener("resize", () => !moved && fit());
setInterval(showDark, 5000);
setInterval(showConnection, 1000);
