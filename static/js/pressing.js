// What is replaced between pressing it and letting go is not clicked: what would replace it waits until then.
//
// Held back are the fragments that the socket brings, from the first that would, in their order; and what a list fetches
// anew by itself (hx-trigger="refresh", or `putOff`). Frames of JSON draw nothing and are not held back.

import { deliver, isLate, socketNow } from "./connection.js";
import { partsOf } from "./htmx-config.js";

// Whoever holds a button down for so long is not about to click it.
const LONGEST_MS = 3000;
// A click comes so soon after letting go, or does not come.
const CLICKED_WITHIN_MS = 150;
// What lies under the finger, most often a part of a button.
let pressed = null;
let timer = 0;
// {socket, message}
let held = [];
// What was to be drawn -> what draws it anew.
const stale = new Map();

function keysOf(list, others) {
  const keys = new Set([...others.children].map(({ dataset }) => dataset.key));
  return [...list.children].map(({ dataset }) => dataset.key).filter((key) => keys.has(key));
}

function wouldReplace(message) {
  return partsOf(message).some(({ element, how, target }) => {
    if (!target?.contains(pressed)) return false;
    const item = target.dataset.keyed && pressed.closest("[data-key]");
    if (!item) return !/^(?:after|before|none)/.test(how);
    // Of a list only what has changed is drawn anew, and what has another place is moved (merge.js).
    const incoming = element.querySelector(`[data-key="${item.dataset.key}"]`);
    if (incoming && incoming.dataset.rev !== item.dataset.rev) return true;
    return element.id === target.id && String(keysOf(element, target)) !== String(keysOf(target, element));
  });
}

function deliverHeld(isDue = () => true) {
  const due = held.filter(isDue);
  held = held.filter((one) => !isDue(one));
  due.forEach(({ socket, message }) => deliver(socket, message));
}

function letGo() {
  clearTimeout(timer);
  pressed = null;
  deliverHeld();
  const again = [...stale.values()];
  stale.clear();
  again.forEach((draw) => draw());
}

function press(node) {
  letGo();
  pressed = node;
  timer = setTimeout(letGo, LONGEST_MS);
}

function letGoSoon() {
  if (!pressed) return;
  clearTimeout(timer);
  timer = setTimeout(letGo, CLICKED_WITHIN_MS);
}

document.addEventListener("pointerdown", ({ target, isPrimary }) => isPrimary && press(target), true);
document.addEventListener("keydown", ({ key, repeat }) => key === " " && !repeat && press(document.activeElement), true);
["pointerup", "keyup"].forEach((name) => document.addEventListener(name, letGoSoon, true));
// After everybody has heard of it.
document.addEventListener("click", () => pressed && setTimeout(letGo), true);
["pointercancel", "dragend"].forEach((name) => document.addEventListener(name, letGo, true));
window.addEventListener("blur", letGo);

// Before anybody hears of the message who would draw it.
document.addEventListener(
  "htmx:wsBeforeMessage",
  (event) => {
    const { message } = event.detail;
    if (!pressed || isLate || message.startsWith("{") || !(held.length || wouldReplace(message))) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    held.push({ socket: socketNow(), message });
  },
  true,
);
/** Does not draw a fetched answer over what is pressed (detail: of htmx:beforeSwap); `again` is called once it is let go. */
export function putOff(detail, again) {
  if (!detail.target.contains(pressed)) return;
  detail.shouldSwap = false;
  stale.set(detail.target, again);
}
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  const { elt, triggeringEvent } = detail.requestConfig ?? {};
  if (triggeringEvent?.type === "refresh") putOff(detail, () => htmx.trigger(elt, "refresh"));
});
// What came over a connection is drawn before the next one brings the whole state.
document.addEventListener("htmx:wsConnecting", () => deliverHeld());
document.addEventListener("htmx:wsClose", ({ detail }) => deliverHeld(({ socket }) => socket === detail.event.target), true);
