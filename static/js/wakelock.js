// The screen stays on while the driver is online: a phone in its mount must show the next offer. The browser takes the
// lock back when the page is hidden, so it is asked for again when the page is seen. [data-screen-on] says that it holds.

const header = document.querySelector(".bar__end");
const note = document.querySelector("[data-screen-on]");
let lock = null;
let asking = false;

function wanted() {
  return document.getElementById("availability").dataset.online === "1" && document.visibilityState === "visible";
}

function show() {
  note.hidden = lock === null;
}

async function acquire() {
  asking = true;
  try {
    lock = await navigator.wakeLock.request("screen");
    lock.addEventListener("release", () => {
      lock = null;
      show();
    });
  } catch {
    // A phone that saves its battery refuses. The next change of availability or visibility asks again.
  }
  asking = false;
  // What was wanted may have changed meanwhile.
  if (lock && !wanted()) await lock.release();
  show();
}

function update() {
  if (!navigator.wakeLock || asking) return;
  if (wanted() && lock === null) acquire();
  else if (!wanted() && lock !== null) lock.release();
}

new MutationObserver(update).observe(header, { childList: true, subtree: true, attributeFilter: ["data-online"] });
document.addEventListener("visibilitychange", update);
update();
