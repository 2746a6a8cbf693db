// Tones that are made here, for offers and for what needs staff. Browsers allow them after a first touch of the page.
// Shared state: imported, never loaded as a script. Dispatches "stepper:sound" on document when sound has become possible.

// Two tones (Hz); seconds.
const TONES = [880, 1175];
const TONE_S = 0.18;
const REPEAT_S = 1.5;

let audio = null;

export function allowed() {
  return audio?.state === "running";
}

/** To be called at a touch, as browsers want; one that was made before may have been put to sleep with the page. */
export async function allow() {
  audio ??= new AudioContext();
  if (audio.state === "suspended") await audio.resume();
  document.dispatchEvent(new CustomEvent("stepper:sound"));
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

/** Plays the tones so many times, as loud as that (0 to 1), where it is allowed; returns what `disconnect()` ends. */
export function play(repeats, loudness) {
  if (!allowed()) return null;
  const volume = new GainNode(audio, { gain: loudness });
  volume.connect(audio.destination);
  for (let at = 0; at < repeats; at += 1) {
    TONES.forEach((frequency, step) => tone(volume, frequency, audio.currentTime + at * REPEAT_S + step * TONE_S));
  }
  return volume;
}

["pointerup", "keyup"].forEach((name) => document.addEventListener(name, allow));
