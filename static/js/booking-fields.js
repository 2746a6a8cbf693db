// The booking form's fields beside its places: the price as one types, "later", errors that end with those of other fields.

import { forgetErrors } from "./htmx-config.js";

const form = document.getElementById("booking-form");
const later = document.getElementById("later");
const TYPING_MS = 300;
// What a change of one field can have put right elsewhere.
const TOGETHER = {
  vehicle_class: ["seats"],
  departure: ["departure_date", "departure_time"],
  departure_date: ["departure_time"],
  departure_time: ["departure_date"],
};
const PRICED = ["seats", "vehicle_class", "departure", "departure_date", "departure_time"];
let typing = 0;

function askPrice(after_ms = 0) {
  clearTimeout(typing);
  typing = setTimeout(() => form.dispatchEvent(new CustomEvent("stepper:quote")), after_ms);
}

function forget(name) {
  forgetErrors(form.querySelector(`[name=${name}]`));
}

function changed({ target, type }) {
  const { name } = target;
  if (!name || target.closest(".combobox")) return;
  TOGETHER[name]?.forEach(forget);
  if (name.startsWith("departure_")) later.dataset.chosen = "";
  if (name === "departure") later.hidden = target.value !== "later";
  if (PRICED.includes(name)) askPrice(type === "input" ? TYPING_MS : 0);
}

form.addEventListener("input", changed);
form.addEventListener("change", changed);

// With both places chosen the answer says what is wrong with them, once.
form.addEventListener("stepper:quote", () => {
  if (["pickup", "dropoff"].every((side) => form.elements[`${side}_lat`].value !== "")) {
    // Also at the stops: which of two is at the same place as the other may have changed.
    form.querySelectorAll(".combobox [role=combobox]").forEach((input) => {
      if (form.elements[input.name.replace("_name", "_lat")].value !== "") forget(input.name);
    });
  }
});

// The days and the time offered are those of the pickup's clock; what somebody has chosen stays.
function offerTimes() {
  const { day, time, first, last } = document.getElementById("later-note").dataset;
  const { departure_date: date, departure_time: clock } = form.elements;
  date.min = first;
  date.max = last;
  if ("chosen" in later.dataset) return;
  date.value = day;
  clock.value = time;
}
document.addEventListener("htmx:afterSettle", offerTimes);

// A price that is kept no longer is asked for again, so that what is shown is what is booked.
// By how long it holds, not until when: the phone's clock may be wrong.
let ending = 0;
function watchPrice() {
  clearTimeout(ending);
  const kept = form.querySelector("[data-kept-s]");
  if (kept) ending = setTimeout(askPrice, Number(kept.dataset.keptS) * 1000);
}
document.addEventListener("htmx:afterSettle", watchPrice);
watchPrice();
