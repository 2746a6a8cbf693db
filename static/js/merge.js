// How fragments meet what is already on the dashboard, so that a repeated or late one disturbs nobody:
// lists ([data-keyed]) are merged by data-key, other regions keep the focus and are left alone when nothing changed.
//
//   data-keyed="all"    the fragment is the whole list: what it lacks goes
//   data-keyed="head"   the fragment is the list's beginning: what it lacks stays (older pages of the history)
//   a fragment without the list itself adds its children, in the order of data-worth, the highest first
//
// What somebody reads or presses stays at its place on the screen (hold.js).
//
// A node whose data-rev is unchanged stays as it is, with its running fuse and open menus. [data-busy] (an answer is
// on its way) and .offer-gone (saying why it went) are not removed by a list. An offer that the list lacks cannot be
// pressed any more, but stays for a moment: the event that says why it went may come after a list drawn for another.

import { hold } from "./hold.js";
import { isSameList } from "./htmx-config.js";

const SAVED = ".filters__saved";
const REASON_COMES_WITHIN_MS = 1500;

function version(node) {
  return Number(node.dataset.version ?? 0);
}

function enter(node) {
  if (node.classList.contains("card")) node.classList.add("card--in");
}

function remove(node) {
  if ("busy" in node.dataset || "going" in node.dataset) return;
  if (!node.matches(".offer") || node.hidden) {
    node.remove();
    return;
  }
  node.dataset.going = "";
  // Offered again it is drawn again.
  delete node.dataset.rev;
  node.dataset.expired = "";
  for (const button of node.querySelectorAll("button")) button.disabled = true;
  setTimeout(() => {
    if (!node.isConnected) return;
    const release = hold(node.parentElement);
    node.remove();
    release();
  }, REASON_COMES_WITHIN_MS);
}

function renew(existing, incoming) {
  if (existing.dataset.rev === incoming.dataset.rev || "busy" in existing.dataset) return existing;
  if (version(incoming) < version(existing)) return existing;
  const focus = existing.contains(document.activeElement) ? document.activeElement.id : "";
  existing.replaceWith(incoming);
  htmx.process(incoming);
  if (focus) document.getElementById(focus)?.focus({ preventScroll: true });
  return incoming;
}

function add(list, incoming) {
  for (const node of incoming) {
    const existing = document.getElementById(node.id);
    if (existing && !("going" in existing.dataset)) continue;
    existing?.remove();
    const next = [...list.children].find((other) => Number(other.dataset.worth) < Number(node.dataset.worth));
    enter(node);
    list.insertBefore(node, next ?? null);
    htmx.process(node);
  }
}

function replaceList(list, incoming, whole) {
  const known = new Map([...list.children].filter((node) => node.dataset.key).map((node) => [node.dataset.key, node]));
  const keys = new Set(incoming.map((node) => node.dataset.key));
  if (whole) {
    for (const [key, node] of known) if (!keys.has(key)) remove(node);
  }
  let place = list.firstElementChild;
  for (const node of incoming) {
    while (place && !keys.has(place.dataset.key) && place.matches(".offer-gone, [data-busy], [data-going]")) {
      place = place.nextElementSibling;
    }
    const existing = known.get(node.dataset.key);
    if (existing) {
      const before = existing === place;
      const current = renew(existing, node);
      if (before) place = current.nextElementSibling;
      else list.insertBefore(current, place);
    } else {
      // The button for earlier pages belongs to the list as it was first drawn.
      if (!whole && known.size && !node.dataset.rev) continue;
      enter(node);
      list.insertBefore(node, place);
      htmx.process(node);
    }
  }
}

function mergeList(list, fragment) {
  const whole = fragment.querySelector(`#${list.id}`);
  const incoming = [...(whole ?? fragment).children];
  // Nothing to lay out anew.
  if (whole && isSameList(whole, list)) return;
  const release = hold(list);
  if (whole) replaceList(list, incoming, list.dataset.keyed === "all");
  else add(list, incoming);
  release();
}

// What somebody is typing into, or has to correct, outlives a snapshot; the panel stays open or closed as they left it.
function keepPanel(panel, incoming) {
  const active = panel.contains(document.activeElement) ? document.activeElement : null;
  // Who is about to open it, or has only opened it, sees what another device changed, and stays where they are.
  if (active?.matches("summary")) queueMicrotask(() => document.querySelector(`#${panel.id} > summary`)?.focus());
  if (incoming.open || !panel.open) return false;
  if (active?.matches("input, select, textarea") || panel.querySelector("[data-dirty], .field__error")) return true;
  incoming.open = true;
  // The event of what was saved comes after the answer that says so.
  const saved = panel.querySelector(SAVED);
  if (saved) incoming.querySelector(SAVED)?.replaceChildren(...saved.childNodes);
  return false;
}

document.addEventListener("htmx:oobBeforeSwap", (event) => {
  const { target, fragment } = event.detail;
  if (target.dataset.keyed) {
    event.detail.shouldSwap = false;
    mergeList(target, fragment);
    return;
  }
  const list = target.closest("[data-keyed]");
  if (list) queueMicrotask(hold(list));
  const incoming = fragment.firstElementChild;
  if (!incoming || incoming.id !== target.id) return;
  if (target.matches("details") && keepPanel(target, incoming)) {
    event.detail.shouldSwap = false;
  } else if (incoming.isEqualNode(target)) {
    event.detail.shouldSwap = false;
  } else if (target.contains(document.activeElement) && document.activeElement.id) {
    const { id } = document.activeElement;
    queueMicrotask(() => document.getElementById(id)?.focus({ preventScroll: true }));
  }
});
// An event may have replaced the form before the answer to it came; htmx would look for the regions in what was
// cut off the page.
document.addEventListener("htmx:beforeSwap", (event) => {
  const { requestConfig, xhr, serverResponse } = event.detail;
  if (!requestConfig || requestConfig.elt.isConnected || requestConfig.verb !== "post" || xhr.status >= 500) return;
  event.detail.shouldSwap = false;
  htmx.swap("#main", serverResponse, { swapStyle: "none" });
});
document.addEventListener("input", (event) => {
  const form = event.target.closest("details form");
  if (!form) return;
  form.dataset.dirty = "";
  form.querySelector(SAVED)?.replaceChildren();
});
