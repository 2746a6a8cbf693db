// The queue of the operations room: fetched when a frame says that it is another one, with a tone for what is new; keys.
// In the page: #ops-queue with [data-item], #ops-sound, #ops-news, #take-over. Imported, never loaded as a script.

import { choose, preference } from "./preferences.js";
import { putOff } from "./pressing.js";
import { allowed, play } from "./tones.js";

const news = document.getElementById("ops-news");
const sound = document.getElementById("ops-sound");
const waiting = document.getElementById("ops-sound-waiting");
const dialog = document.getElementById("take-over");

const queue = () => document.getElementById("ops-queue");
const items = () => [...queue().querySelectorAll("[data-item]")];
const title = queue().dataset.title;

// Which of them were there before; who claims something makes it no news.
let seen = new Set(items().map((item) => item.dataset.item));
let shown = null;
let fetching = false;

/** Fetches the queue unless it is the one that is shown. */
export async function follow(state) {
  if (state === shown) return;
  shown = state;
  if (fetching) return;
  fetching = true;
  let fetched = null;
  while (fetched !== shown) {
    fetched = shown;
    // In turn: an answer must not overtake a newer one.
    await htmx.ajax("GET", "/ops/queue/", { target: "#ops-queue", swap: "outerHTML" }).catch(() => (shown = null));
    if (shown === null) break;
  }
  fetching = false;
}

function tell() {
  const now = items();
  const fresh = now.filter((item) => !seen.has(item.dataset.item) && !("held" in item.dataset));
  seen = new Set(now.map((item) => item.dataset.item));
  const unclaimed = now.filter((item) => !("held" in item.dataset)).length;
  document.title = `${unclaimed ? `(${unclaimed}) ` : ""}${title} · StepperGO`;
  if (!fresh.length) return;
  news.textContent = news.dataset.new.replace("{words}", fresh.map((item) => item.dataset.words).join("; "));
  if (preference("roomSound")) play(1, preference("volume") / 100);
}

// Where the focus was in the queue it stays there, also when what it was on has gone.
let wasInside = false;
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.target.id !== "ops-queue") return;
  wasInside = queue().contains(document.activeElement);
  putOff(detail, () => {
    const state = shown;
    shown = null;
    follow(state);
  });
});
document.addEventListener("htmx:afterSettle", ({ detail }) => {
  if (detail.target.id !== "ops-queue" && detail.elt?.id !== "ops-queue") return;
  tell();
  if (wasInside && !queue().contains(document.activeElement)) document.getElementById("ops-queue-title").focus();
});

// Taking over is asked once.
document.addEventListener("htmx:confirm", (event) => {
  const form = event.detail.elt;
  if (!form.matches("[data-take-over]")) return;
  event.preventDefault();
  const { name, time } = form.dataset;
  document.getElementById("take-over-text").textContent = dialog.dataset.text.replace("{name}", name).replace("{time}", time);
  dialog.returnValue = "";
  dialog.addEventListener("close", () => dialog.returnValue === "yes" && event.detail.issueRequest(true), { once: true });
  dialog.showModal();
});

function showSound() {
  sound.checked = preference("roomSound");
  waiting.hidden = allowed() || !sound.checked;
}
sound.addEventListener("change", () => choose("roomSound", sound.checked));
["stepper:preferences", "stepper:sound"].forEach((name) => document.addEventListener(name, showSound));

// J and K go through the queue, C claims what one is at; by their place, so that they are the same in every language.
function step(by) {
  const all = items();
  const at = all.indexOf(document.activeElement?.closest("[data-item]"));
  all[at < 0 ? 0 : Math.min(Math.max(at + by, 0), all.length - 1)]?.querySelector("a").focus();
}
const KEYS = {
  KeyJ: () => step(1),
  KeyK: () => step(-1),
  KeyC: () => document.activeElement?.closest("[data-item]")?.querySelector("[data-testid=ops-claim]")?.click(),
};
document.addEventListener("keydown", (event) => {
  const action = KEYS[event.code];
  if (!action || !preference("keys") || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  if (event.repeat && event.code === "KeyC") return;
  if (event.target.closest("input:not([type=checkbox]), select, textarea, dialog, .map")) return;
  event.preventDefault();
  action();
});

showSound();
tell();
