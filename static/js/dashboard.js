// The driver's dashboard: tabs without requests, the map, the position that goes with a step. Entry of the page;
// what it shares with others is imported.

import "./merge.js";
import "./queued.js";
import { cards } from "./offers.js";
import "./ringing.js";
import "./fullscreen.js";
import "./declining.js";
import "./keys.js";
import "./wakelock.js";
import { lastFix } from "./geolocation.js";
import { readPoints, TripMap } from "./map.js";

const root = document.getElementById("driver");
const tabs = [...root.querySelectorAll("[role=tab]")];
const activeList = document.getElementById("active-list");
const activeCount = document.getElementById("active-count");

// Tabs

function select(name, { focus = false } = {}) {
  root.dataset.tab = name;
  for (const tab of tabs) {
    const chosen = tab.dataset.tab === name;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
    document.getElementById(tab.getAttribute("aria-controls")).hidden = !chosen;
    if (chosen) {
      history.replaceState(history.state, "", tab.href);
      if (focus) tab.focus();
    }
  }
  draw();
}

root.addEventListener("click", (event) => {
  const opener = event.target.closest("[role=tab], [data-go-tab]");
  if (!opener || event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
  event.preventDefault();
  select(opener.dataset.goTab ?? opener.dataset.tab);
});
root.querySelector("[role=tablist]").addEventListener("keydown", (event) => {
  const at = tabs.indexOf(document.activeElement);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: tabs.length - 1, " ": at }[event.key];
  if (to === undefined || at < 0) return;
  event.preventDefault();
  select(tabs[(to + tabs.length) % tabs.length].dataset.tab, { focus: true });
});
// An accepted offer opens its trip.
document.addEventListener("stepper:tab", (event) => select(event.detail.tab, { focus: true }));

// Steps of a trip

// A button that may not be pressed yet ([aria-disabled]) counts down beside its form's deadline.
root.addEventListener("submit", (event) => {
  if (event.submitter?.getAttribute("aria-disabled") !== "true") return;
  event.preventDefault();
  event.stopPropagation();
}, true);
root.addEventListener("stepper:expired", (event) => {
  event.target.querySelector("[aria-disabled]")?.removeAttribute("aria-disabled");
});

root.addEventListener("htmx:configRequest", (event) => {
  const fix = lastFix();
  if (!fix || !event.detail.elt.matches("[data-with-position]")) return;
  event.detail.parameters.lat = fix.lat;
  event.detail.parameters.lng = fix.lng;
});
root.addEventListener("htmx:beforeRequest", (event) => {
  const form = event.detail.elt.closest("[data-trip-form]");
  const line = form?.closest(".trip")?.querySelector(".trip__error");
  if (line) line.hidden = true;
});

// The map: the trip at hand, else what is offered and where from.

const box = document.getElementById("driver-map");
const map = new TripMap(box);
let me = box.dataset.lat ? { lat: Number(box.dataset.lat), lng: Number(box.dataset.lng) } : null;
let drawn = "";
let pins = [];

function point(element, kind) {
  return [Number(element.dataset[`${kind}Lat`]), Number(element.dataset[`${kind}Lng`])];
}

// The stops that are still to be driven to.
const stopsOf = (element) => readPoints(element.dataset.stops ?? "");

function subjects() {
  const trips = [...activeList.querySelectorAll("[data-trip-id]")];
  const offers = cards();
  if (root.dataset.tab === "offers" && offers.length) return { main: offers[0], others: offers.slice(1) };
  return { main: trips[0] ?? null, others: [] };
}

function draw() {
  const { main, others } = subjects();
  box.classList.toggle("is-empty", !main);
  if (me) map.me(me.lat, me.lng, root.dataset.textMe);
  if (main) {
    // The line follows the vehicle; the view stays where somebody has moved it.
    const aboard = ["passengers_boarded", "in_transit", "arrived"].includes(main.dataset.status);
    const start = me ? [[me.lat, me.lng]] : [];
    map.route([...start, ...(aboard ? [] : [point(main, "pickup")]), ...stopsOf(main), point(main, "dropoff")]);
  }
  const key = [root.dataset.tab === "offers", main?.id, main?.dataset.stops, ...others.map((other) => other.id), Boolean(me)].join();
  if (key === drawn) return;
  drawn = key;
  [...pins, "pickup", "dropoff"].forEach((name) => map.remove(name));
  pins = others.map((other) => {
    const [lat, lng] = point(other, "pickup");
    map.pin(other.id, lat, lng, root.dataset.textPickup).getElement()?.querySelector(".pin")?.classList.add("pin--pickup");
    return other.id;
  });
  if (main) {
    map.pin("pickup", ...point(main, "pickup"), root.dataset.textPickup);
    map.pin("dropoff", ...point(main, "dropoff"), root.dataset.textDropoff);
    stopsOf(main).forEach((at, index) => {
      const name = `stop${index + 1}`;
      map.pin(name, ...at, root.dataset.textStop);
      pins.push(name);
    });
  } else {
    map.remove("route");
  }
  map.fit();
}

function countActive() {
  const trips = activeList.querySelectorAll("[data-trip-id]").length;
  activeCount.textContent = String(trips);
  activeCount.hidden = !trips;
  draw();
}

document.addEventListener("stepper:offers", draw);
document.addEventListener("stepper:position", (event) => {
  me = event.detail;
  draw();
});
new MutationObserver(countActive).observe(activeList, { childList: true });
new ResizeObserver(() => map.fit()).observe(box);
countActive();
