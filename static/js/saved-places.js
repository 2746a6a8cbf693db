// Saved places: the place by name, on the map or at the own position; its name only where it is neither home nor work.

import { locateOnPress } from "./locating.js";
import { TripMap } from "./map.js";
import { PlaceField } from "./places.js";

const form = document.getElementById("place-form");
const map = new TripMap(document.getElementById("place-map"));

function pin(field, place) {
  map.pin("pickup", place.lat, place.lng, place.name);
}

const field = new PlaceField(form.querySelector(".combobox"), {
  centre: () => map.map.getCenter().wrap(),
  chosen(_field, place) {
    pin(_field, place);
    map.fit();
  },
  renamed: pin,
  cleared: () => map.remove("pickup"),
  focused() {},
});

map.onClick((lat, lng) => field.setPoint(lat, lng));
locateOnPress(form.querySelector("[data-locate]"), field);
if (field.value) map.pin("pickup", ...field.value, field.input.value);
map.fit();

function showLabel() {
  form.querySelector("[data-label]").hidden = form.elements.kind.value !== "other";
}
form.addEventListener("change", showLabel);
showLabel();
