// Booking: pickup and dropoff by name (places.js), on the map or at the own position; the price as it changes.

import { TripMap } from "./map.js";
import { PlaceField } from "./places.js";

const form = document.getElementById("booking-form");
const box = document.getElementById("booking-map");
const hint = document.getElementById("map-hint");
const map = new TripMap(box);
const sides = {};
let next = "pickup";

function askPrice() {
  form.dispatchEvent(new CustomEvent("stepper:quote"));
}

function say() {
  hint.textContent = hint.dataset[next];
  hint.hidden = Boolean(sides.pickup.value && sides.dropoff.value);
}

function arrange() {
  const points = [sides.pickup.value, sides.dropoff.value].filter(Boolean);
  if (points.length === 2) map.route(points);
  else map.remove("route");
  map.fit({ bottom: 72 });
  say();
}

function pin(field, place) {
  map.pin(field.side, place.lat, place.lng, `${box.dataset[`${field.side}Label`]}: ${place.name}`);
}

const hooks = {
  centre: () => map.map.getCenter().wrap(),
  chosen(field, place) {
    pin(field, place);
    next = field.side === "pickup" && !sides.dropoff.value ? "dropoff" : field.side;
    arrange();
    if (sides.pickup.value && sides.dropoff.value) askPrice();
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

map.onClick((lat, lng) => sides[next].setPoint(lat, lng));

document.querySelector("[data-locate]").addEventListener("click", (event) => {
  const button = event.currentTarget;
  button.setAttribute("aria-busy", "true");
  const done = () => button.removeAttribute("aria-busy");
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => {
      done();
      sides.pickup.setPoint(coords.latitude, coords.longitude, { keepsWords: false });
    },
    async () => {
      done();
      const { toast } = await import("./notifications.js");
      toast(button.dataset.unknown, "error");
    },
    { enableHighAccuracy: true, timeout: 10_000, maximumAge: 60_000 },
  );
});

// A form that came back with errors, or that the browser filled in again, keeps its places.
for (const side of Object.values(sides)) {
  if (side.value) map.pin(side.side, ...side.value, side.input.value);
}
next = sides.pickup.value && !sides.dropoff.value ? "dropoff" : "pickup";
arrange();
const first = document.querySelector("[aria-invalid=true]");
if (first) first.focus();
