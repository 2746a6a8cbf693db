// Booking: pickup and dropoff from known places (a combobox), the map or the own position; the price as it changes.

import { TripMap } from "./map.js";

const SHOWN = 7;
// A press this near to a known place means the place; this near, it is said from which place it is.
const SNAP_M = 250;
const NEAR_M = 15_000;

const form = document.getElementById("booking-form");
const box = document.getElementById("booking-map");
const hint = document.getElementById("map-hint");
const map = new TripMap(box);
const known = [...document.querySelectorAll("#known-places li")].map(({ dataset }) => ({
  name: dataset.name,
  address: dataset.address,
  words: dataset.words,
  lat: Number(dataset.lat),
  lng: Number(dataset.lng),
}));
const sides = {};
let next = "pickup";

const tenths = new Intl.NumberFormat(document.documentElement.lang, { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const plain = (text) => text.toLowerCase().normalize("NFD").replace(/\p{M}/gu, "");

function search(text) {
  const wanted = plain(text.trim());
  return known
    .filter((place) => plain(place.words).includes(wanted))
    .sort((a, b) => plain(b.name).startsWith(wanted) - plain(a.name).startsWith(wanted))
    .slice(0, SHOWN);
}

function askPrice() {
  form.dispatchEvent(new CustomEvent("stepper:quote"));
}

class PlaceField {
  constructor(element) {
    this.element = element;
    this.side = element.dataset.side;
    this.input = element.querySelector("[role=combobox]");
    this.list = element.querySelector("[role=listbox]");
    this.active = -1;
    this.input.addEventListener("input", () => {
      this.clear();
      this.open();
    });
    this.input.addEventListener("focus", () => {
      next = this.side;
      this.input.select();
      say();
    });
    // Not on focus: a page that points out an error focuses the field without wanting to cover the rest.
    this.input.addEventListener("click", () => this.open(this.value ? "" : this.input.value));
    this.input.addEventListener("blur", () => this.left());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("mousedown", (event) => {
      event.preventDefault(); // the field keeps the focus
      const option = event.target.closest("[role=option]");
      if (option) this.choose(search.results[Number(option.dataset.index)]);
    });
  }

  hidden(name) {
    return form.elements[`${this.side}_${name}`];
  }

  get value() {
    return this.hidden("lat").value === "" ? null : [Number(this.hidden("lat").value), Number(this.hidden("lng").value)];
  }

  set(place) {
    this.input.value = place.name;
    this.hidden("address").value = place.address;
    this.hidden("lat").value = place.lat;
    this.hidden("lng").value = place.lng;
    this.input.removeAttribute("aria-invalid");
    document.getElementById(`${this.side}-error`)?.remove();
    map.pin(this.side, place.lat, place.lng, `${box.dataset[`${this.side}Label`]}: ${place.name}`);
    next = this.side === "pickup" && !sides.dropoff.value ? "dropoff" : this.side;
    arrange();
    if (sides.pickup.value && sides.dropoff.value) askPrice();
  }

  clear() {
    if (!this.value) return;
    for (const name of ["address", "lat", "lng"]) this.hidden(name).value = "";
    map.remove(this.side);
    arrange();
    askPrice();
  }

  choose(place) {
    this.close();
    this.set(place);
  }

  // A name typed in full, or so far that only one place fits, is that place.
  left() {
    this.close();
    const text = plain(this.input.value.trim());
    if (this.value || !text) return;
    const found = search(text);
    const exact = found.find((place) => plain(place.name) === text) ?? (found.length === 1 ? found[0] : null);
    if (exact) this.set(exact);
  }

  open(text = this.input.value) {
    search.results = search(text);
    this.active = -1;
    this.list.replaceChildren(
      ...search.results.map((place, index) => {
        const option = document.createElement("li");
        option.className = "combobox__option";
        option.id = `${this.side}-option-${index}`;
        option.setAttribute("role", "option");
        option.setAttribute("aria-selected", "false");
        option.dataset.index = index;
        const name = document.createElement("span");
        name.className = "strong";
        name.textContent = place.name;
        const address = document.createElement("span");
        address.className = "small quiet";
        address.textContent = place.address;
        option.append(name, address);
        return option;
      }),
    );
    this.list.hidden = search.results.length === 0;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    this.input.removeAttribute("aria-activedescendant");
  }

  close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  mark(index) {
    const options = [...this.list.children];
    if (!options.length) return;
    this.active = (index + options.length) % options.length;
    options.forEach((option, number) => option.setAttribute("aria-selected", String(number === this.active)));
    options[this.active].scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", options[this.active].id);
  }

  key(event) {
    const opened = !this.list.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!opened) this.open("");
      this.mark(event.key === "ArrowDown" ? this.active + 1 : Math.max(this.active, 0) - 1);
    } else if (event.key === "Enter" && opened && search.results.length) {
      event.preventDefault(); // chooses; does not book
      this.choose(search.results[Math.max(this.active, 0)]);
    } else if (event.key === "Escape" && opened) {
      event.stopPropagation();
      this.close();
    }
  }
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

// The name is for the driver too: never "my position". The point stays where the person stands or pressed.
function at(lat, lng) {
  const [near, metres] = known
    .map((place) => [place, map.map.distance([place.lat, place.lng], [lat, lng])])
    .reduce((best, one) => (one[1] < best[1] ? one : best));
  const round = (value) => Math.round(value * 1e5) / 1e5;
  const point = { lat: round(lat), lng: round(lng) };
  if (metres < SNAP_M) return { ...near, ...point };
  const name = metres < NEAR_M
    ? box.dataset.near.replace("{km}", tenths.format(metres / 1000)).replace("{place}", near.name)
    : box.dataset.point;
  return { name, address: `${lat.toFixed(5)}, ${lng.toFixed(5)}`, ...point };
}

document.querySelectorAll(".combobox").forEach((element) => {
  sides[element.dataset.side] = new PlaceField(element);
});

map.onClick((lat, lng) => sides[next].set(at(lat, lng)));

document.querySelector("[data-locate]").addEventListener("click", (event) => {
  const button = event.currentTarget;
  button.setAttribute("aria-busy", "true");
  const done = () => button.removeAttribute("aria-busy");
  navigator.geolocation.getCurrentPosition(
    ({ coords }) => {
      done();
      sides.pickup.set(at(coords.latitude, coords.longitude));
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
