// Booking: pickup, stops and dropoff by name (places.js), on the map or at the own position; the price as it changes.

import { forgetErrors } from "./htmx-config.js";
import { locateOnPress } from "./locating.js";
import { TripMap } from "./map.js";
import { PlaceField } from "./places.js";

const form = document.getElementById("booking-form");
const box = document.getElementById("booking-map");
const hint = document.getElementById("map-hint");
const map = new TripMap(box);
const sides = {};
const stopBoxes = [...document.querySelectorAll("[data-stop]")].filter((box) => box.matches(".stops__one"));
const addButton = document.getElementById("stop-add");
let next = "pickup";

// The stops that are shown, in their order. They are filled from the first on, so the hidden ones come last.
const stops = () => stopBoxes.filter((one) => !one.hidden).map((one) => sides[one.dataset.stop]);
const isFixed = (side) => Boolean(form.querySelector(`[data-fixed] [data-side=${side}]`));
const isStop = (side) => side.startsWith("stop");

function askPrice() {
  form.dispatchEvent(new CustomEvent("stepper:quote"));
}

function say() {
  hint.textContent = hint.dataset[isStop(next) ? "stop" : next];
  hint.hidden = Boolean(sides.pickup.value && sides.dropoff.value && !(isStop(next) && !sides[next].value));
}

function arrange() {
  const points = [sides.pickup, ...stops(), sides.dropoff].map((field) => field.value).filter(Boolean);
  if (sides.pickup.value && sides.dropoff.value) map.route(points);
  else map.remove("route");
  map.fit({ bottom: 72 });
  say();
}

function pin(field, place) {
  const label = isStop(field.side) ? box.dataset.stopLabel : box.dataset[`${field.side}Label`];
  map.pin(field.side, place.lat, place.lng, `${label}: ${place.name}`);
}

const hooks = {
  centre: () => map.map.getCenter().wrap(),
  chosen(field, place) {
    pin(field, place);
    next = field.side === "pickup" && !sides.dropoff.value ? "dropoff" : field.side;
    arrange();
    if (sides.pickup.value && sides.dropoff.value) askPrice();
    form.dispatchEvent(new CustomEvent("stepper:chosen", { detail: field.side }));
  },
  renamed: pin,
  cleared(field) {
    map.remove(field.side);
    arrange();
    askPrice();
  },
  focused(field) {
    next = field.side;
    say();
  },
};

document.querySelectorAll(".combobox").forEach((element) => {
  sides[element.dataset.side] = new PlaceField(element, hooks);
});

function showAddButton() {
  addButton.hidden = stops().length === stopBoxes.length;
}

addButton.addEventListener("click", () => {
  const first = stopBoxes.find((one) => one.hidden);
  first.hidden = false;
  showAddButton();
  sides[first.dataset.stop].input.focus();
});

// Those behind a removed stop move up, so that the order stays.
function removeStop(number) {
  const shown = stops();
  for (let index = number; index < shown.length; index += 1) shown[index - 1].copy(shown[index]);
  const last = shown.at(-1);
  last.empty();
  map.remove(last.side);
  stopBoxes.find((one) => one.dataset.stop === last.side).hidden = true;
  if (next === last.side) next = "dropoff";
  for (const field of stops()) {
    if (field.value) pin(field, { lat: field.value[0], lng: field.value[1], name: field.input.value });
    else map.remove(field.side);
  }
  showAddButton();
  arrange();
  askPrice();
  const said = document.getElementById("stops-said");
  said.textContent = said.dataset.removed;
  (stops()[Math.min(number, shown.length - 1) - 1]?.input ?? addButton).focus();
}

for (const button of document.querySelectorAll("[data-stop-remove]")) {
  button.addEventListener("click", () => removeStop(Number(button.dataset.stopRemove)));
}

map.onClick((lat, lng) => {
  // Of a trip on the way some places cannot change any more.
  const side = isFixed(next) ? "dropoff" : next;
  if (!isFixed(side)) sides[side].setPoint(lat, lng);
});

// Who takes a call is not where the caller is.
const locate = document.querySelector("[data-locate]");
if (locate) locateOnPress(locate, sides.pickup);

// A form that came back with errors, or that the browser filled in again, keeps its places.
for (const side of Object.values(sides)) {
  if (side.value) map.pin(side.side, ...side.value, side.input.value);
}
next = sides.pickup.value && !sides.dropoff.value ? "dropoff" : "pickup";
showAddButton();
arrange();
/** Chooses a place for a side as if it were taken from its list. */
export function choose(side, place) {
  sides[side].choose(place);
}

/** Shows places that were written into the form's fields: a past trip, another call. */
export function showPlaces() {
  for (const box of stopBoxes) {
    const field = sides[box.dataset.stop];
    box.hidden = !field.input.value && !field.value;
  }
  for (const field of Object.values(sides)) {
    field.stop();
    field.close();
    forgetErrors(field.input);
    if (field.value) pin(field, { lat: field.value[0], lng: field.value[1], name: field.input.value });
    else map.remove(field.side);
  }
  next = sides.pickup.value && !sides.dropoff.value ? "dropoff" : "pickup";
  showAddButton();
  arrange();
}

const first = document.querySelector("[aria-invalid=true]");
if (first) first.focus();
