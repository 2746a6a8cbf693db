// An offer is heard and felt: tones, vibration, until it is answered or gone. Browsers allow both after a
// first touch of the page; until then the page says so.
// In the page: #driver-alerts with [data-preference] inputs, [data-sound-test], [data-sound-waiting].

import { preference, choose } from "./preferences.js";
import { cards } from "./offers.js";
import { allow, allowed, play } from "./tones.js";

const REPEATS = 3;
const VIBRATION_MS = [250, 100, 250, 900, 250, 100, 250, 900, 250, 100, 250];

const panel = document.getElementById("driver-alerts");
const waiting = panel.querySelector("[data-sound-waiting]");
let ringing = null;
// The cards that it rings for.
let announced = new Set();

const loudness = () => preference("volume") / 100;

function stop() {
  ringing?.disconnect();
  ringing = null;
  announced = new Set();
  navigator.vibrate?.(0);
}

function ring(fresh) {
  stop();
  announced = new Set(fresh.map((card) => card.id));
  if (preference("sound")) ringing = play(REPEATS, loudness());
  // Without a first touch it is refused, with a warning for each try.
  if (preference("vibration") && navigator.userActivation?.hasBeenActive) navigator.vibrate?.(VIBRATION_MS);
}

document.addEventListener("stepper:offers", (event) => {
  const { fresh } = event.detail;
  if (fresh.length) ring(fresh);
  else if (announced.size && !cards().some((card) => announced.has(card.id))) stop();
});

// The panel

function show() {
  panel.querySelectorAll("[data-preference]").forEach((input) => {
    const value = preference(input.dataset.preference);
    if (input.type === "range") input.value = value;
    else input.checked = value;
  });
  waiting.hidden = allowed() || !preference("sound");
}

panel.addEventListener("change", (event) => {
  const { preference: name } = event.target.dataset;
  if (name) choose(name, event.target.type === "range" ? Number(event.target.value) : event.target.checked);
});
panel.querySelector("[data-sound-test]").addEventListener("click", async () => {
  await allow();
  play(1, loudness());
  if (preference("vibration")) navigator.vibrate?.(VIBRATION_MS.slice(0, 3));
});
document.addEventListener("stepper:preferences", () => {
  if (!preference("sound")) stop();
  show();
});
document.addEventListener("stepper:sound", show);
show();
