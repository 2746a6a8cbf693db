// The map of a trip's panel: the way, the vehicle as it moves, and where it was by the time slider.

import { timeOfDay } from "./clock.js";
import { readPoint, readPoints, TripMap } from "./map.js";

const box = document.getElementById("ops-trip-map");
const sliderBox = document.getElementById("ops-slider");
const slider = document.getElementById("ops-slider-at");
const output = document.getElementById("ops-slider-time");
const map = new TripMap(box);
const panel = () => document.getElementById("ops-trip");
let trail = []; // [lat, lng, second]
let live = null; // {lat, lng, at}: the last fix
let drawn = "";
let pinned = [];

function drawWay() {
  const { pickup, dropoff, stops } = panel().dataset;
  const now = `${pickup} ${stops} ${dropoff}`;
  if (now === drawn) return;
  drawn = now;
  pinned.forEach((name) => map.remove(name));
  const between = readPoints(stops);
  map.pin("pickup", ...readPoint(pickup), box.dataset.pickupLabel);
  map.pin("dropoff", ...readPoint(dropoff), box.dataset.dropoffLabel);
  pinned = between.map((at, index) => {
    map.pin(`stop${index + 1}`, ...at, `${box.dataset.stopLabel} ${index + 1}`);
    return `stop${index + 1}`;
  });
  map.route([readPoint(pickup), ...between, readPoint(dropoff)]);
  map.fit();
}

const atEnd = () => Number(slider.value) === trail.length - 1;

function showPoint() {
  const point = trail[Number(slider.value)];
  if (!point) return;
  const time = timeOfDay(point[2] * 1000, panel().dataset.zone);
  output.textContent = atEnd() && panel().dataset.driver ? `${time} · ${sliderBox.dataset.live}` : time;
  slider.setAttribute("aria-valuetext", output.textContent);
  map.vehicle(point[0], point[1], { stale: !atEnd(), label: `${box.dataset.driverLabel}, ${time}`, testid: "ops-vehicle" });
}

function addPoint(lat, lng, at) {
  const wasAtEnd = !trail.length || atEnd();
  trail.push([lat, lng, Math.round(at / 1000)]);
  map.extendTrail(lat, lng);
  slider.max = String(trail.length - 1);
  sliderBox.hidden = trail.length < 2;
  // Whoever looks at an earlier time goes on looking at it.
  if (!wasAtEnd) return;
  slider.value = slider.max;
  showPoint();
}

async function readTrail() {
  const response = await fetch(box.dataset.trailUrl, { headers: { Accept: "application/json" } });
  if (!response.ok) return;
  trail = (await response.json()).points;
  document.getElementById("ops-no-trail").hidden = trail.length > 0;
  if (!trail.length) return;
  map.trail(trail.map(([lat, lng]) => [lat, lng]));
  sliderBox.hidden = trail.length < 2;
  slider.max = String(trail.length - 1); // before the value, which it limits
  slider.value = slider.max;
  showPoint();
  map.fit();
}

slider.addEventListener("input", showPoint);

document.addEventListener("stepper:frame", ({ detail: frame }) => {
  if (frame.type !== "driver.location.updated" || String(frame.trip_id) !== box.dataset.trip) return;
  if (String(frame.driver_id) !== panel().dataset.driver) return;
  const at = Date.parse(frame.recorded_at);
  if (live && at <= live.at) return;
  live = { lat: frame.lat, lng: frame.lng, at };
  if (!trail.length || at > trail.at(-1)[2] * 1000) addPoint(frame.lat, frame.lng, at);
});

document.addEventListener("htmx:oobAfterSwap", ({ detail }) => {
  if (detail.target.id === "ops-trip" || document.getElementById("ops-trip")) drawWay();
});

drawWay();
const { position, recordedAt } = panel().dataset;
if (position) {
  live = { lat: readPoint(position)[0], lng: readPoint(position)[1], at: Date.parse(recordedAt) };
  map.vehicle(...readPoint(position), { label: box.dataset.driverLabel, testid: "ops-vehicle" });
}
readTrail().catch(() => {}); // without a connection the map shows the way alone
