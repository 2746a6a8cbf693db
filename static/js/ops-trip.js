// The map of a trip's panel: the way, the vehicle as it moves, and where it was by the time slider.

import { timeOfDay } from "./clock.js";
import { readPoint, readPoints, TripMap } from "./map.js";

const box = document.getElementById("ops-trip-map");
const sliderBox = document.getElementById("ops-slider");
const slider = document.getElementById("ops-slider-at");
const output = document.getElementById("ops-slider-time");
const noTrail = document.getElementById("ops-no-trail");
const map = new TripMap(box);
const panel = () => document.getElementById("ops-trip");
let trail = []; // [lat, lng, second, driver]
let live = null; // {lat, lng, at, driver}: the last fix of the present driver
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

const atEnd = () => !trail.length || Number(slider.value) === trail.length - 1;

const pointAt = (index) => trail[index] && { lat: trail[index][0], lng: trail[index][1], at: trail[index][2] * 1000 };

// Where the present driver was last. The trail may end with a former driver's point, also with a later one.
function lastOfDriver(driver) {
  const last = String(trail.at(-1)?.[3]) === driver ? pointAt(trail.length - 1) : null;
  return live && !(last?.at > live.at) ? live : last;
}

function showPoint() {
  const { driver, zone } = panel().dataset;
  const isLive = atEnd() && driver;
  const point = isLive ? lastOfDriver(driver) : pointAt(Number(slider.value));
  const time = point ? timeOfDay(point.at, zone) : "";
  output.textContent = isLive && point ? `${time} · ${sliderBox.dataset.live}` : time;
  slider.setAttribute("aria-valuetext", output.textContent);
  if (!point) map.remove("vehicle");
  else map.vehicle(point.lat, point.lng, { stale: !atEnd(), label: `${box.dataset.driverLabel}, ${time}`, testid: "ops-vehicle" });
}

// The panel may say another driver now, and where they are.
function readPosition() {
  const { driver, position, recordedAt } = panel().dataset;
  if (live?.driver !== driver) live = null;
  const at = Date.parse(recordedAt);
  if (position && !(live?.at >= at)) live = { lat: readPoint(position)[0], lng: readPoint(position)[1], at, driver };
  showPoint();
}

function addPoint({ lat, lng, at, driver }) {
  const wasAtEnd = atEnd();
  trail.push([lat, lng, Math.round(at / 1000), driver]);
  map.extendTrail(lat, lng);
  slider.max = String(trail.length - 1);
  sliderBox.hidden = trail.length < 2;
  noTrail.hidden = true;
  // Whoever looks at an earlier time goes on looking at it.
  if (!wasAtEnd) return;
  slider.value = slider.max;
  showPoint();
}

async function readTrail() {
  const response = await fetch(box.dataset.trailUrl, { headers: { Accept: "application/json" } });
  if (!response.ok) return;
  trail = (await response.json()).points;
  // Of a trip that nobody has driven it goes without saying.
  noTrail.hidden = trail.length > 0 || !panel().dataset.driver;
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
  if (live?.driver === panel().dataset.driver && at <= live.at) return;
  live = { lat: frame.lat, lng: frame.lng, at, driver: panel().dataset.driver };
  if (!trail.length || at > trail.at(-1)[2] * 1000) addPoint(live);
  else if (atEnd()) showPoint();
});

document.addEventListener("htmx:oobAfterSwap", () => {
  if (!panel()) return;
  drawWay();
  readPosition();
});

drawWay();
readPosition();
readTrail().catch(() => {}); // without a connection the map shows the way alone
