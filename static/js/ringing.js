// An offer is heard and felt: tones made here, vibration, until it is answered or gone. Browsers allow both after a
// first touch of the page; until then the page says so.
// In the page: #driver-alerts with [data-preference] inputs, [data-sound-test], [data-sound-waiting].

import { preference, choose } from "./preferences.js";
import { cards } from "./offers.js";

// Two tones (Hz), three times; seconds.
const TONES = [880, 1175];
const TONE_S = 0.18;
const REPEAT_S = 1.5;
const REPEATS = 3;
const VIBRATION_MS = [250, 100, 250, 900, 250, 100, 250, 900, 250, 100, 250];

const panel = document.getElementById("driver-alerts");
const waiting = panel.querySelector("[data-sound-waiting]");
let audio = null;
let ringing = null;
// The cards that it rings for.
let announced = new Set();

function allowed() {
  return audio?.state === "running";
}

// Made at a touch, as browsers want; one that was made before may have been put to sleep with the page.
async function allow() {
  audio ??= new AudioContext();
  if (audio.state === "suspended") await audio.resume();
  show();
}

function tone(volume, frequency, at) {
  const oscillator = new OscillatorNode(audio, { frequency });
  const envelope = new GainNode(audio, { gain: 0 });
  envelope.gain.setValueAtTime(0, at);
  envelope.gain.linearRampToValueAtTime(1, at + 0.02);
  envelope.gain.exponentialRampToValueAtTime(0.001, at + TONE_S);
  oscillator.connect(envelope).connect(volume);
  oscillator.start(at);
  oscillator.stop(at + TONE_S);
}

function play(repeats) {
  const volume = new GainNode(audio, { gain: preference("volume") / 100 });
  volume.connect(audio.destination);
  for (let at = 0; at < repeats; at += 1) {
    TONES.forEach((frequency, step) => tone(volume, frequency, audio.currentTime + at * REPEAT_S + step * TONE_S));
  }
  return volume;
}

function stop() {
  ringing?.disconnect();
  ringing = null;
  announced = new Set();
  navigator.vibrate?.(0);
}

function ring(fresh) {
  stop();
  announced = new Set(fresh.map((card) => card.id));
  if (preference("sound") && allowed()) ringing = play(REPEATS);
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
  play(1);
  if (preference("vibration")) navigator.vibrate?.(VIBRATION_MS.slice(0, 3));
});
document.addEventListener("stepper:preferences", () => {
  if (!preference("sound")) stop();
  show();
});
["pointerup", "keyup"].forEach((name) => document.addEventListener(name, allow));
show();
