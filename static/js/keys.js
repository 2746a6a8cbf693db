// Keys for drivers at a desk, by their place on the keyboard, so that they are the same in every language. Nothing is
// answered by one key: the first press of A or D only goes to the offer, the second one answers it.
// In the page: #keys-help, a dialog that lists them.

import { cards } from "./offers.js";
import { preference } from "./preferences.js";

const help = document.getElementById("keys-help");

function current() {
  return document.activeElement?.closest(".offer") ?? null;
}

function goTo(card) {
  card?.querySelector("[data-answer=accept] button").focus();
  card?.scrollIntoView({ block: "nearest" });
}

function step(by) {
  const open = cards();
  const at = open.indexOf(current());
  goTo(open[at < 0 ? 0 : Math.min(Math.max(at + by, 0), open.length - 1)]);
}

function answer(name) {
  const card = current();
  if (card) card.querySelector(`[data-answer=${name}] button`).click();
  else step(0);
}

const ACTIONS = {
  KeyJ: () => step(1),
  KeyK: () => step(-1),
  KeyA: () => answer("accept"),
  KeyD: () => answer("decline"),
  KeyU: () => document.querySelector("#declined [data-undo]")?.click(),
  Slash: (event) => event.shiftKey && help.showModal(),
};

document.addEventListener("keydown", (event) => {
  const action = ACTIONS[event.code];
  if (!action || !preference("keys") || event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  if (event.target.closest("input:not([type=checkbox], [type=radio], [type=range]), select, textarea, dialog")) return;
  if (event.shiftKey && event.code !== "Slash") return;
  event.preventDefault();
  action(event);
});
