// Declining an offer: for five seconds it can be undone, and a reason may be given; then it is told to the server.
// Until then nobody else is asked because of it, so that undoing never comes too late. Leaving the page tells it at once.
// It lies over the page: no card moves when it comes and goes. In the page: #declined, where a copy of the template #declined-template stands for each offer.

const UNDO_MS = 5000;

const box = document.getElementById("declined");
const template = document.getElementById("declined-template");
// Offer's id in the document -> {strip, timer}
const pending = new Map();

function formOf(id) {
  return document.getElementById(id)?.querySelector("[data-answer=decline]") ?? null;
}

function forget(id) {
  const { strip, timer } = pending.get(id);
  clearTimeout(timer);
  pending.delete(id);
  const focused = strip.contains(document.activeElement);
  strip.remove();
  return focused;
}

function reasonOf(id) {
  return pending.get(id).strip.querySelector("[aria-pressed=true]")?.dataset.reason ?? "";
}

function send(id) {
  const form = formOf(id);
  const reason = reasonOf(id);
  if (forget(id)) document.getElementById("tab-offers").focus({ preventScroll: true });
  if (!form) return;
  form.elements.reason.value = reason;
  form.dataset.decided = "";
  form.requestSubmit();
  delete form.dataset.decided;
}

function undo(id) {
  const card = document.getElementById(id);
  forget(id);
  if (!card) return;
  card.hidden = false;
  card.querySelector("[data-answer=accept] button").focus({ preventScroll: true });
}

function begin(card) {
  const { id } = card;
  const strip = template.content.firstElementChild.cloneNode(true);
  strip.dataset.offer = id;
  strip.querySelector("[data-declined-what]").textContent = card.querySelector(".money").textContent;
  card.hidden = true;
  box.append(strip);
  pending.set(id, { strip, timer: setTimeout(send, UNDO_MS, id) });
  strip.querySelector("[data-undo]").focus({ preventScroll: true });
}

document.addEventListener("htmx:confirm", (event) => {
  const form = event.detail.elt;
  if (!form.matches("[data-answer=decline]") || "decided" in form.dataset) return;
  event.preventDefault();
  const card = form.closest(".offer");
  if (!pending.has(card.id)) begin(card);
});
box.addEventListener("click", (event) => {
  const id = event.target.closest("[data-offer]")?.dataset.offer;
  if (!id) return;
  if (event.target.closest("[data-undo]")) undo(id);
  const reason = event.target.closest("[data-reason]");
  if (!reason) return;
  box.querySelectorAll(`[data-offer="${id}"] [data-reason]`).forEach((button) => {
    button.setAttribute("aria-pressed", String(button === reason && button.getAttribute("aria-pressed") !== "true"));
  });
});
// Time ran out for it, another was faster, or it was drawn anew.
document.addEventListener("stepper:offers", () => {
  for (const id of pending.keys()) {
    const card = document.getElementById(id);
    if (!card?.matches(".offer") || "expired" in card.dataset) forget(id);
    // Setting what it is already would have this called again, for ever.
    else if (!card.hidden) card.hidden = true;
  }
});
window.addEventListener("pagehide", () => {
  const headers = JSON.parse(document.body.getAttribute("hx-headers"));
  for (const id of pending.keys()) {
    const form = formOf(id);
    const body = new URLSearchParams({ reason: reasonOf(id) });
    forget(id);
    if (form) fetch(form.action, { method: "POST", body, headers, keepalive: true, redirect: "manual" });
  }
});
