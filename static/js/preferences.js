// What a driver has chosen for this device: sound, its volume, vibration, offers over the whole screen, keys; and staff:
// the sound of the operations room. Kept in the
// browser, as one phone is in a mount and another in a pocket. Shared state: imported, never loaded as a script.
// Dispatches "stepper:preferences" on document after a change.

const KEY = "stepper:device";
const DEFAULTS = { sound: true, volume: 80, vibration: true, fullscreen: true, keys: true, roomSound: true };

function read() {
  try {
    return { ...DEFAULTS, ...JSON.parse(localStorage.getItem(KEY)) };
  } catch {
    // Storage is full or forbidden, or another tab wrote something else: as if nothing had been chosen.
    return { ...DEFAULTS };
  }
}

let chosen = read();

export function preference(name) {
  return chosen[name];
}

export function choose(name, value) {
  chosen = { ...chosen, [name]: value };
  try {
    localStorage.setItem(KEY, JSON.stringify(chosen));
  } catch {
    // It holds until the page is left.
  }
  document.dispatchEvent(new CustomEvent("stepper:preferences"));
}

// Another tab of this device.
window.addEventListener("storage", (event) => {
  if (event.key !== KEY) return;
  chosen = read();
  document.dispatchEvent(new CustomEvent("stepper:preferences"));
});
