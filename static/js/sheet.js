// The sheet over a live map on a phone: three heights, chosen by dragging or by its handle, which is a button.
//
// In the page: .cockpit--live > .cockpit__side[data-sheet] with [data-sheet-handle], whose data-text-* say what pressing
// it does next. Fragments replace what is in the sheet, never the sheet: its height and scroll position stay. Dispatches
// "stepper:sheet" on document when it has another height (detail: {covers}: how many pixels of the map it lies over).
// On a wide screen the side is beside the map, and none of this is seen.

const HEIGHTS = ["peek", "half", "full"];
const KEPT = "stepper:sheet";
// What moves less than this is a press, not a drag.
const SLOP_PX = 6;
// A flick goes on for so long in the direction that it had.
const FLICK_MS = 160;

const side = document.querySelector("[data-sheet]");
const handle = side.querySelector("[data-sheet-handle]");
const wide = matchMedia("(min-width: 960px)");
let drag = null; // {id, from, height, moved, at, y, speed}

function headline() {
  return side.querySelector(".headline");
}

// Handle and headline: as much as must be read at the lowest height. It grows with the words and never shrinks, so that
// news does not move the sheet to and fro.
let peekPx = 0;
function measurePeek() {
  const needed = headline() ? headline().offsetTop + headline().offsetHeight + 16 : 0;
  if (needed <= peekPx) return;
  peekPx = needed;
  side.style.setProperty("--sheet-peek", `${peekPx}px`);
}

function pixels(name) {
  const room = side.parentElement.clientHeight;
  return { peek: Math.min(peekPx || 132, room), half: room / 2, full: room - 12 }[name];
}

/** How many pixels of the map the sheet lies over; fully open it counts as half: nobody looks at the map then. */
export function covered() {
  if (wide.matches) return 0;
  return pixels(side.dataset.sheet === "peek" ? "peek" : "half");
}

function kept() {
  try {
    return sessionStorage.getItem(KEPT);
  } catch {
    return null; // storage is forbidden
  }
}

function set(name) {
  const changed = side.dataset.sheet !== name;
  side.dataset.sheet = name;
  handle.setAttribute("aria-expanded", String(name !== "peek"));
  handle.setAttribute("aria-label", handle.dataset[{ peek: "textPeek", half: "textHalf", full: "textFull" }[name]]);
  if (name === "peek") side.scrollTop = 0;
  if (!changed) return;
  try {
    sessionStorage.setItem(KEPT, name);
  } catch {
    // It is as it was when the page is opened again.
  }
  document.dispatchEvent(new CustomEvent("stepper:sheet", { detail: { covers: covered() } }));
}

function step(by) {
  const at = HEIGHTS.indexOf(side.dataset.sheet) + by;
  set(HEIGHTS[Math.max(0, Math.min(HEIGHTS.length - 1, at))]);
}

function nearest(height) {
  const away = (name) => Math.abs(pixels(name) - height);
  return HEIGHTS.reduce((best, name) => (away(name) < away(best) ? name : best));
}

// The handle, and by touch the headline: both scroll nothing (touch-action in trips.css).
function isGrip(event) {
  if (wide.matches || event.button > 0 || !event.isPrimary) return false;
  if (event.target.closest("[data-sheet-handle]")) return true;
  return event.pointerType !== "mouse" && event.target.closest(".headline") !== null && side.scrollTop === 0;
}

side.addEventListener("pointerdown", (event) => {
  if (!isGrip(event)) return;
  drag = { id: event.pointerId, from: event.clientY, height: side.offsetHeight, moved: false, at: event.timeStamp, y: event.clientY, speed: 0 };
  // The sheet gets the rest of the drag also where news replaces the headline under the finger.
  side.setPointerCapture(event.pointerId);
});

side.addEventListener("pointermove", (event) => {
  if (drag?.id !== event.pointerId) return;
  const up = drag.from - event.clientY;
  if (!drag.moved && Math.abs(up) < SLOP_PX) return;
  drag.moved = true;
  const elapsed = event.timeStamp - drag.at;
  if (elapsed > 0) drag.speed = (drag.y - event.clientY) / elapsed;
  Object.assign(drag, { at: event.timeStamp, y: event.clientY });
  side.classList.add("is-dragged");
  const height = Math.max(pixels("peek"), Math.min(pixels("full"), drag.height + up));
  side.style.setProperty("--sheet", `${height}px`);
});

function release(event) {
  if (drag?.id !== event.pointerId) return;
  const { moved, height, from, speed } = drag;
  drag = null;
  side.classList.remove("is-dragged");
  side.style.removeProperty("--sheet");
  const isOnHandle = handle.contains(document.elementFromPoint(event.clientX, event.clientY));
  if (moved) set(nearest(height + from - event.clientY + speed * FLICK_MS));
  // While the pointer is captured the click goes to the sheet.
  else if (event.type === "pointerup" && isOnHandle) press();
}
side.addEventListener("pointerup", release);
side.addEventListener("pointercancel", release);

function press() {
  if (side.dataset.sheet === "full") set("peek");
  else step(1);
}

// Keyboards and screen readers; presses by a pointer are handled above.
handle.addEventListener("click", (event) => {
  if (event.detail === 0) press();
});
handle.addEventListener("keydown", (event) => {
  const by = { ArrowUp: 1, ArrowDown: -1, Home: 2, End: -2 }[event.key];
  if (by === undefined) return;
  event.preventDefault();
  step(by);
});

// What has the focus is seen.
side.addEventListener("focusin", (event) => {
  if (side.dataset.sheet === "peek" && event.target !== handle && !wide.matches) set("half");
});

document.addEventListener("htmx:wsAfterMessage", measurePeek);
document.addEventListener("htmx:afterSettle", measurePeek);

measurePeek();
set(HEIGHTS.includes(kept()) ? kept() : side.dataset.sheet);
