// Offers on the dashboard: answered optimistically, back with the reason when that failed; counted in the tab and
// the title; announced once to people who do not see them come. Fragments replace a lost card by .offer-gone.

const REASON_MS = 3000;
const FADE_MS = 150;

const root = document.getElementById("driver");
const list = document.getElementById("offers-list");
const count = document.getElementById("offers-count");
const live = document.getElementById("offers-live");
const title = document.title.replace(/^\(\d+\) /, "");
const seen = new Set(cards().map((card) => card.id));
// The cards of which the live region speaks.
let announced = [];

export function cards() {
  return [...list.querySelectorAll(".offer")].filter((card) => !card.hidden && !("expired" in card.dataset));
}

function reasonOf(card) {
  return card.querySelector(".offer__reason");
}

function say(card, text) {
  const line = reasonOf(card);
  if (!line) return;
  line.textContent = text;
  line.hidden = false;
  fadeLine(line);
}

function fadeLine(line) {
  clearTimeout(line.fading);
  line.fading = setTimeout(() => {
    line.hidden = true;
  }, REASON_MS);
}

function leave(node) {
  if ("leaving" in node.dataset) return;
  node.dataset.leaving = "";
  setTimeout(() => node.classList.add("is-fading"), REASON_MS - FADE_MS);
  setTimeout(() => node.remove(), REASON_MS);
}

function update() {
  list.querySelectorAll(".offer-gone").forEach(leave);
  list.querySelectorAll(".offer__reason[data-fades]:not([hidden])").forEach((line) => {
    delete line.dataset.fades;
    fadeLine(line);
  });
  const open = cards();
  count.textContent = String(open.length);
  count.hidden = !open.length;
  document.title = open.length ? `(${open.length}) ${title}` : title;
  const fresh = open.filter((card) => !seen.has(card.id));
  fresh.forEach((card) => seen.add(card.id));
  if (fresh.length) {
    announced = fresh;
    live.textContent = fresh.map((card) => card.dataset.announce).join(". ");
  } else if (live.textContent && !announced.some((card) => open.some(({ id }) => id === card.id))) {
    // Whoever reads the page later must not find an offer that has ended.
    live.textContent = "";
  }
  document.dispatchEvent(new CustomEvent("stepper:offers", { detail: { fresh } }));
}
new MutationObserver(update).observe(list, { childList: true, subtree: true, attributeFilter: ["hidden", "data-expired"] });
update();

// Time ran out on the client: nothing to press any more. The server says the same within a moment.
function expire(card) {
  card.querySelectorAll("button").forEach((button) => {
    button.disabled = true;
  });
  if ("busy" in card.dataset) return;
  const line = reasonOf(card);
  line.textContent = root.dataset.textExpired;
  line.hidden = false;
  leave(card);
}
document.addEventListener("stepper:expired", (event) => {
  if (event.target.matches(".offer")) expire(event.target);
});

function lock(locked) {
  list.querySelectorAll(".offer").forEach((card) => {
    const expired = "expired" in card.dataset;
    card.querySelectorAll("button").forEach((button) => {
      button.disabled = locked || expired;
    });
  });
}

function swapText(button) {
  const span = button.querySelector("span");
  [span.textContent, button.dataset.working] = [button.dataset.working, span.textContent];
}

function begin(form, card) {
  reasonOf(card).hidden = true;
  if (form.dataset.answer === "decline") {
    card.hidden = true;
    return;
  }
  card.dataset.busy = "";
  lock(true);
  swapText(form.querySelector("button"));
}

function end(form, card) {
  if (form.dataset.answer === "decline" || !("busy" in card.dataset)) return;
  delete card.dataset.busy;
  lock(false);
  swapText(form.querySelector("button"));
  if ("expired" in card.dataset && card.isConnected) expire(card);
}

function formOf(event) {
  const form = event.detail.elt?.closest?.("[data-answer]");
  return form ? { form, card: form.closest(".offer") } : null;
}

root.addEventListener("htmx:beforeRequest", (event) => {
  const found = formOf(event);
  if (found) begin(found.form, found.card);
});
document.addEventListener("htmx:beforeSwap", (event) => {
  // Before the answer is merged, so that the list may take the card away.
  const form = event.detail.requestConfig?.elt?.closest?.("[data-answer]");
  if (!form) return;
  const card = form.closest(".offer");
  if (!card) return;
  end(form, card);
  // A refusal that leaves the card in place brings it back with its reason.
  if (event.detail.xhr.status >= 400) card.hidden = false;
});
function failed(event) {
  const found = formOf(event);
  if (!found) return;
  // The line on the card says it; a second one at the bottom of the page would only repeat it.
  event.stopPropagation();
  end(found.form, found.card);
  // Kept until the network is back (queued.js), which the card says itself.
  if (event.detail.kept) return;
  found.card.hidden = false;
  const { answer } = found.form.dataset;
  say(found.card, answer === "accept" ? root.dataset.textAcceptFailed : root.dataset.textDeclineFailed);
}
["htmx:sendError", "htmx:responseError", "htmx:timeout"].forEach((name) => root.addEventListener(name, failed));
