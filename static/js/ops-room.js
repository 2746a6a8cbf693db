// The operations room: the live map and its counters. Entry of the page; what it shares with others is imported.
//
// The page tells the server what it looks at ("ops.view") and is sent, once a second, what changed there ("ops.map"). After
// each update a measure "ops-update" says how long it took.

import { serverNow, timeOfDay } from "./clock.js";
import { connectionLost, send } from "./connection.js";
import { TripMap } from "./map.js";
import "./ops-finder.js";
import { Markers } from "./ops-markers.js";
import { follow } from "./ops-queue.js";
import { hide, write } from "./writing.js";

const VIEW_KEY = "stepper:ops-view";
const MOVED_MS = 120;
const SILENT_MS = 15_000;
const SHOW_LOST_AFTER_MS = 3000;

const box = document.getElementById("ops-map");
const note = document.getElementById("ops-note");
const card = document.getElementById("ops-card");
const words = document.getElementById("ops-map-words");
const inView = document.getElementById("ops-in-view");
const names = document.getElementById("ops-counters").dataset.names.trim().split(/\s+/);
const values = new Map(names.map((name) => [name, document.querySelector(`[data-counter="${name}"]`)]));

const { map } = new TripMap(box);
const markers = new Markers(map);
let frameAt = null;

// What it looks at

function restoreView() {
  try {
    const { lat, lng, zoom } = JSON.parse(localStorage.getItem(VIEW_KEY));
    map.setView([lat, lng], zoom, { animate: false });
    return;
  } catch {
    // Nothing is kept, or not by this release.
  }
  if (box.dataset.bounds) showAll();
}

function showAll() {
  const [south, west, north, east] = box.dataset.bounds.split(",").map(Number);
  map.fitBounds([[south, west], [north, east]], { maxZoom: 13, paddingTopLeft: [30, 40], paddingBottomRight: [70, 70], animate: false });
}

/** The part of the map that is seen, in the longitudes that the server knows. */
function viewport() {
  const bounds = map.getBounds();
  const wide = bounds.getEast() - bounds.getWest() >= 360;
  const wrap = (lng) => ((((lng + 180) % 360) + 360) % 360) - 180;
  const clamp = (lat) => Math.max(-90, Math.min(90, lat));
  return {
    south: clamp(bounds.getSouth()),
    west: wide ? -180 : wrap(bounds.getWest()),
    north: clamp(bounds.getNorth()),
    east: wide ? 180 : wrap(bounds.getEast()),
    zoom: Math.max(0, Math.min(24, map.getZoom())),
  };
}

const look = () => send({ type: "ops.view", ...viewport() });

let moving = 0;
map.on("moveend resize", () => {
  clearTimeout(moving);
  moving = setTimeout(() => {
    look();
    listInView();
    const { lat, lng } = map.getCenter();
    try {
      localStorage.setItem(VIEW_KEY, JSON.stringify({ lat, lng, zoom: map.getZoom() }));
    } catch {
      // Then the next visit begins with everything.
    }
  }, MOVED_MS);
});

// What comes

function count(counts) {
  counts.forEach((number, index) => {
    const value = values.get(names[index]);
    if (!value || value.textContent === String(number)) return;
    value.textContent = String(number);
    value.parentElement.classList.toggle("counter--some", number > 0);
  });
}

function say() {
  const { drivers, trips } = markers.total();
  write(words, box.dataset.words.replace("{drivers}", drivers).replace("{trips}", trips));
}

document.addEventListener("stepper:frame", ({ detail: frame }) => {
  if (frame.type === "connection.established") look();
  if (frame.type !== "ops.map") return;
  const start = performance.now();
  frameAt = Date.now();
  markers.apply(frame);
  if (frame.counts) count(frame.counts);
  if (frame.queue) follow(frame.queue);
  say();
  const applied = performance.now() - start;
  requestAnimationFrame(() => {
    // The map is drawn by a callback before this one.
    performance.clearMeasures("ops-update");
    performance.measure("ops-update", { start, end: start + applied + markers.drawMs });
  });
  box.dataset.ready = "1";
});

// What is on it, in words

function listInView() {
  if (!inView.open) return;
  const { south, west, north, east } = viewport();
  htmx.ajax("GET", `/ops/in-view/?${new URLSearchParams({ south, west, north, east })}`, { target: "#ops-list", swap: "innerHTML" });
}
inView.addEventListener("toggle", listInView);

function showCard(kind, id) {
  card.hidden = false;
  htmx.ajax("GET", box.dataset[kind].replace("/0/", `/${id}/`), { target: "#ops-card", swap: "innerHTML" });
}
function closeCard() {
  card.hidden = true;
  card.replaceChildren();
}
map.on("click", (event) => {
  const found = markers.pick(event.containerPoint);
  if (!found) closeCard();
  else if (found.kind === "cell") map.setView([found.lat, found.lng], Math.min(18, map.getZoom() + 2));
  else showCard(found.kind, found.id);
});
card.addEventListener("click", (event) => event.target.closest("[data-close]") && closeCard());
document.addEventListener("keydown", (event) => event.key === "Escape" && !card.hidden && closeCard());
document.getElementById("ops-all")?.addEventListener("click", showAll);

// Whether it is live

function showState() {
  const lost = connectionLost();
  const isAway = lost !== null && lost.elapsedMs >= SHOW_LOST_AFTER_MS;
  const isSilent = !isAway && frameAt !== null && Date.now() - frameAt > SILENT_MS;
  const isStale = isAway || isSilent;
  hide(note, !isStale);
  box.classList.toggle("is-stale", isStale);
  if (!isStale) return;
  const text = isAway ? box.dataset.stale : box.dataset.silent;
  const at = isAway ? lost.serverMs : serverNow() - (Date.now() - frameAt);
  write(note, text.replace("{time}", timeOfDay(at)));
}
document.addEventListener("stepper:connection", showState);
setInterval(showState, 1000);

restoreView();
look();
