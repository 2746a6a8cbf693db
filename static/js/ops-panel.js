// The panels of one trip and of one driver in the operations room: keys, the form beside the panel, dragging a driver
// onto the trip, and what a region that is drawn anew must keep. Keys go by their place on the keyboard, so that they
// are the same in every language; templates/ops/keys.html lists them.
// In the page: #ops-work, where a form stands; [data-action] its buttons in their order, [data-key] those with a key.

const work = document.getElementById("ops-work");
const header = document.querySelector("header.bar");
const help = document.getElementById("ops-keys");
const TYPED = "input:not([type=checkbox], [type=radio], [type=range]), select, textarea, dialog";
// Who opened the form, to go back there.
let opener = "";

const press = (element) => element?.click();

function closeWork() {
  if (!work.firstElementChild) return;
  work.replaceChildren();
  document.getElementById(opener)?.focus();
}

// The radio buttons move with the arrows by themselves; this leads to them, and from one to the next over the refused.
function moveTo(by) {
  const radios = [...work.querySelectorAll(".ops-candidate input:not(:disabled)")];
  if (!radios.length) return false;
  const at = radios.findIndex((one) => one === document.activeElement);
  const next = radios[at < 0 ? Math.max(0, radios.findIndex((one) => one.checked)) : Math.min(Math.max(at + by, 0), radios.length - 1)];
  next.focus();
  next.checked = true;
  return true;
}

function act(event) {
  const { code } = event;
  if (code === "Escape") return closeWork();
  if (code === "ArrowDown" || code === "ArrowUp") {
    if (event.target.type === "range") return undefined;
    if (moveTo(code === "ArrowDown" ? 1 : -1)) event.preventDefault();
    return undefined;
  }
  if (code === "Enter" && event.target.matches("#pick-form [type=radio]")) {
    event.preventDefault();
    return event.target.form.requestSubmit();
  }
  if (code === "Slash" && event.shiftKey) return help?.showModal();
  if (event.shiftKey) return undefined;
  if (code === "KeyT") return document.getElementById("ops-slider-at")?.focus();
  const digit = /^(?:Digit|Numpad)([1-9])$/.exec(code);
  const target = digit
    ? [...document.querySelectorAll("[data-action]:not([data-key])")][Number(digit[1]) - 1]
    : document.querySelector(`[data-key="${code}"]`);
  if (target) event.preventDefault();
  return press(target);
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat || event.target.closest("dialog[open]")) return;
  // From a field of the form only Esc leads away.
  if (event.code !== "Escape" && event.target.closest(TYPED)) return;
  act(event);
});

document.addEventListener("click", (event) => {
  const action = event.target.closest("[data-action]");
  if (action) opener = action.id;
  if (!event.target.closest("[data-close-work]")) return;
  event.preventDefault();
  closeWork();
});

// A form that has just come is what the person wants to see; one that was refused keeps its place. Not before it has
// settled: until then Enter would send it past htmx.
document.addEventListener("htmx:afterSettle", ({ detail }) => {
  if (detail.target !== work || !work.firstElementChild) return;
  const wanted =
    work.querySelector("[aria-invalid=true]") ??
    work.querySelector(".ops-candidate :checked, .ops-candidate input:not(:disabled)") ??
    work.querySelector("[tabindex='-1']");
  wanted?.focus({ preventScroll: true });
  // Of a form that is taller than the window, "nearest" may show the end, and hide what has the focus.
  work.scrollIntoView({ block: work.offsetHeight > window.innerHeight - header.offsetHeight ? "start" : "nearest" });
  // What is wrong stands below its field.
  (wanted?.closest(".field") ?? wanted)?.scrollIntoView({ block: "nearest" });
});

// Dragging. What speaks against a driver needs a reason first: then the driver is chosen, and the field is next.
let dragged = null;
const dropZone = (event) => event.target.closest?.("[data-drop='1']");

document.addEventListener("dragstart", (event) => {
  dragged = event.target.closest?.(".ops-candidate[draggable]") ?? null;
  event.dataTransfer?.setData("text/plain", dragged?.textContent.trim() ?? "");
});
document.addEventListener("dragend", () => {
  dragged = null;
  document.querySelectorAll(".is-over").forEach((zone) => zone.classList.remove("is-over"));
});
document.addEventListener("dragover", (event) => {
  const zone = dragged && dropZone(event);
  if (!zone) return;
  event.preventDefault();
  zone.classList.add("is-over");
});
document.addEventListener("dragleave", (event) => {
  const zone = dropZone(event);
  if (zone && !zone.contains(event.relatedTarget)) zone.classList.remove("is-over");
});
document.addEventListener("drop", (event) => {
  if (!dragged || !dropZone(event)) return;
  event.preventDefault();
  const radio = dragged.querySelector("input");
  radio.checked = true;
  const reason = radio.form.elements.reason;
  if (("warned" in dragged.dataset || radio.form.elements.mode.value === "hand-over") && !reason.value) reason.focus();
  else radio.form.requestSubmit();
});

// Lists of drivers that somebody has opened stay open, however often the history is drawn anew.
const opened = new Set();
document.addEventListener("click", (event) => {
  const list = event.target.closest("summary")?.closest(".ops-lines");
  if (!list) return;
  // Not open yet, or still open: that comes after the click.
  if (list.open) opened.delete(list.id);
  else opened.add(list.id);
});
function openAgain() {
  for (const id of opened) document.getElementById(id)?.setAttribute("open", "");
}
document.addEventListener("htmx:oobAfterSwap", openAgain);
document.addEventListener("htmx:afterSwap", openAgain);

// Earlier pages of the history that somebody asked for stay there.
document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { target, fragment } = event.detail;
  const incoming = fragment.querySelector?.(`#${CSS.escape(target.id)}`) ?? fragment.firstElementChild;
  if (target.id === "ops-trip" && Number(incoming?.dataset.version) < Number(target.dataset.version)) {
    event.detail.shouldSwap = false;
    return;
  }
  if (target.id !== "ops-history" || !incoming) return;
  const lists = target.querySelectorAll(".ops-timeline");
  if (lists.length < 2) return;
  // Earlier pages stand before the newest one; its own button is answered already.
  incoming.querySelector(".ops-earlier")?.remove();
  const newest = incoming.querySelector(".ops-timeline");
  const before = [...target.children].filter((one) => one !== lists[lists.length - 1] && one.tagName !== "H2");
  newest.before(...before);
});
