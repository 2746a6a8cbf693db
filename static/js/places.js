// The field in which a place is chosen: a combobox whose options the server finds as one types, or a point of the map
// that the server names. What the field says is in data-* attributes (templates/trips/place_field.html).
//
//   const field = new PlaceField(element, {centre, chosen, renamed, cleared, focused});
//   centre() -> {lat, lng} of the map     chosen(field, place), cleared(field): the point changed
//   renamed(field, place): only its name  focused(field)
//   field.value -> [lat, lng] or null     field.setPoint(lat, lng): a press on the map, or the own position

import { forgetErrors } from "./htmx-config.js";

const WAIT_MS = 150;
const PRECISION = 1e5;

const plain = (text) => text.trim().toLowerCase();
const round = (value) => Math.round(value * PRECISION) / PRECISION;

/** Asks the server, by POST: what people look for does not belong in logs. Throws where there is no answer. */
async function ask(url, fields, signal) {
  const headers = { "Content-Type": "application/json", ...JSON.parse(document.body.getAttribute("hx-headers")) };
  const response = await fetch(url, { method: "POST", headers, body: JSON.stringify(fields), signal });
  const answer = await response.json();
  if (!response.ok) throw new Error(answer.message, { cause: response.status });
  return answer;
}

export class PlaceField {
  constructor(element, hooks) {
    this.element = element;
    this.hooks = hooks;
    this.side = element.dataset.side;
    this.input = element.querySelector("[role=combobox]");
    this.list = element.querySelector("[role=listbox]");
    this.status = element.querySelector("[role=status]");
    this.options = [];
    this.active = -1;
    this.timer = 0;
    // The search under way, or the last one: {text, done}; `done` is a promise of its answer, null if it failed.
    this.search = null;
    this.input.addEventListener("input", () => {
      this.clear();
      this.open(this.input.value, WAIT_MS);
    });
    this.input.addEventListener("focus", () => {
      this.input.select();
      this.hooks.focused(this);
    });
    // Not on focus: a page that points out an error focuses the field without wanting to cover the rest.
    this.input.addEventListener("click", () => this.open(this.value ? "" : this.input.value));
    this.input.addEventListener("blur", () => this.left());
    this.input.addEventListener("keydown", (event) => this.key(event));
    this.list.addEventListener("mousedown", (event) => {
      event.preventDefault(); // the field keeps the focus
      const option = event.target.closest("[role=option]");
      if (option) this.take(option);
    });
    // Somebody typed before this script was there.
    if (document.activeElement === this.input && this.input.value && !this.value) this.open(this.input.value);
  }

  hidden(name) {
    return this.input.form.elements[`${this.side}_${name}`];
  }

  get value() {
    return this.hidden("lat").value === "" ? null : [Number(this.hidden("lat").value), Number(this.hidden("lng").value)];
  }

  set(place) {
    this.write(place);
    this.hidden("lat").value = place.lat;
    this.hidden("lng").value = place.lng;
    forgetErrors(this.input);
    this.hooks.chosen(this, place);
  }

  write(place) {
    this.input.value = place.name;
    this.hidden("address").value = place.address;
  }

  // What was typed and not found stays the name of the point. Else the server names it, never "my position": the name
  // is for the driver too. The point stays where the person stands or pressed.
  async setPoint(latitude, longitude, { keepsWords = true } = {}) {
    const [lat, lng] = [round(latitude), round(longitude)];
    const typed = this.value || !keepsWords ? "" : this.input.value.trim();
    this.stop();
    this.close();
    this.set({ name: typed || this.element.dataset.point, address: `${lat.toFixed(5)}, ${lng.toFixed(5)}`, lat, lng });
    const shown = this.input.value;
    let place;
    try {
      place = await ask(this.element.dataset.atUrl, { lat, lng });
    } catch {
      return; // the coordinates are its address
    }
    const [nowLat, nowLng] = this.value ?? [];
    if (nowLat !== lat || nowLng !== lng || this.input.value !== shown) return;
    if (typed) place.name = typed;
    this.write(place);
    this.hooks.renamed(this, place);
  }

  clear() {
    if (!this.value) return;
    for (const name of ["address", "lat", "lng"]) this.hidden(name).value = "";
    this.hooks.cleared(this);
  }

  /** Takes over what another field has, its error with it gone. */
  copy(other) {
    this.stop();
    forgetErrors(this.input);
    this.input.value = other.input.value;
    for (const name of ["address", "lat", "lng"]) this.hidden(name).value = other.hidden(name).value;
  }

  empty() {
    this.stop();
    forgetErrors(this.input);
    this.input.value = "";
    for (const name of ["address", "lat", "lng"]) this.hidden(name).value = "";
  }

  choose(place) {
    this.stop();
    this.close();
    this.set(place);
  }

  take(option) {
    const place = this.options[Number(option.dataset.index)];
    if (place) this.choose(place);
    else this.close(); // what it says is done on the map
  }

  // A name typed in full, or so far that only one place fits, is that place.
  async left() {
    this.close();
    const text = this.input.value;
    if (this.value || !text.trim()) return;
    const answer = await this.find(text).done;
    if (answer?.named && !this.value && this.input.value === text) this.set(answer.named);
  }

  stop() {
    clearTimeout(this.timer);
    this.search?.controller.abort();
    this.search = null;
  }

  // One search at a time: another text ends the one before.
  find(text) {
    if (this.search && plain(this.search.text) === plain(text) && !this.search.failed) return this.search;
    this.stop();
    const controller = new AbortController();
    const { lat, lng } = this.hooks.centre();
    const search = { text, controller, failed: false };
    search.done = ask(this.element.dataset.searchUrl, { q: text.trim(), lat, lng }, controller.signal).catch((error) => {
      search.failed = true;
      search.refusal = error.cause ? error.message : "";
      return null;
    });
    this.search = search;
    return search;
  }

  open(text, waitMs = 0) {
    clearTimeout(this.timer);
    if (waitMs) this.stop();
    this.timer = setTimeout(() => this.show(text), waitMs);
  }

  async show(text) {
    const search = this.find(text);
    const answer = await search.done;
    // Another search began, or the field was left.
    if (search !== this.search || document.activeElement !== this.input) return;
    const { none, offline, noStreets } = this.element.dataset;
    this.options = answer?.places ?? [];
    const lines = this.options.map((place, index) => this.option(place, index));
    let note = "";
    if (!answer) note = search.refusal || offline;
    else if (answer.addresses === "unavailable") note = noStreets;
    else if (!lines.length) note = none.replace("{text}", text.trim());
    if (note) lines.push(this.note(note, lines.length === 0));
    this.status.textContent = note;
    this.active = -1;
    this.list.replaceChildren(...lines);
    this.list.hidden = lines.length === 0;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    this.input.removeAttribute("aria-activedescendant");
  }

  line(index) {
    const option = document.createElement("li");
    option.className = "combobox__option";
    option.id = `${this.side}-option-${index}`;
    option.setAttribute("role", "option");
    option.setAttribute("aria-selected", "false");
    return option;
  }

  option(place, index) {
    const option = this.line(index);
    option.dataset.index = index;
    option.dataset.testid = "place-option";
    const name = document.createElement("span");
    name.className = "strong";
    // What its owner calls a saved place stands above its name.
    name.textContent = place.label || place.name;
    const address = document.createElement("span");
    address.className = "small quiet";
    address.textContent = [place.label ? place.name : "", place.address].filter(Boolean).join(", ");
    option.append(name, address);
    return option;
  }

  note(text, alone) {
    const option = this.line("note");
    option.classList.add("combobox__option--note");
    option.setAttribute("aria-disabled", "true");
    option.dataset.testid = alone ? "place-none" : "place-note";
    option.textContent = text;
    return option;
  }

  close() {
    clearTimeout(this.timer);
    this.list.hidden = true;
    this.list.replaceChildren();
    this.status.textContent = "";
    this.input.setAttribute("aria-expanded", "false");
    this.input.removeAttribute("aria-activedescendant");
  }

  mark(index) {
    const options = [...this.list.querySelectorAll("[data-index]")];
    if (!options.length) return;
    this.active = (index + options.length) % options.length;
    options.forEach((option, number) => option.setAttribute("aria-selected", String(number === this.active)));
    options[this.active].scrollIntoView({ block: "nearest" });
    this.input.setAttribute("aria-activedescendant", options[this.active].id);
  }

  async key(event) {
    const opened = !this.list.hidden;
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (!opened) await this.show(this.value ? "" : this.input.value);
      this.mark(event.key === "ArrowDown" ? this.active + 1 : Math.max(this.active, 0) - 1);
    } else if (event.key === "Enter" && !this.value && this.input.value.trim()) {
      event.preventDefault(); // chooses; does not book
      if (this.active < 0 || !opened) await this.show(this.input.value);
      const place = this.options[Math.max(this.active, 0)];
      if (place && !this.list.hidden) this.choose(place);
    } else if (event.key === "Enter" && opened) {
      event.preventDefault();
      if (this.options.length) this.choose(this.options[Math.max(this.active, 0)]);
    } else if (event.key === "Escape" && opened) {
      event.stopPropagation();
      this.close();
    }
  }
}
