// How htmx and forms behave here: answers that are refusals are shown, fragments for regions this page lacks are dropped.
//
// Answers of the server that htmx should show although they are refusals: forms with errors at their fields,
// a lost race, a limit. Everything else of 400 and above becomes one line at the bottom of the page.

import { toast } from "./notifications.js";

// One socket feeds pages that show different regions (the bell is everywhere, the list of trips is not), and mostly says
// again what a page that was just loaded shows: what is lacking or the same costs no swap.
htmx.defineExtension("present", {
  transformResponse(text, xhr) {
    if (!text.includes("hx-swap-oob")) return text;
    const template = read(text);
    const needless = parts(template).filter(({ element, how, selector, target }) => {
      // The answer to a form may take back what was typed into an equal one.
      return !target || (!xhr && how === "true" && !selector && isShown(element, target));
    });
    needless.forEach(({ element }) => element.remove());
    return needless.length ? template.innerHTML : text;
  },
});

function read(text) {
  const template = document.createElement("template");
  template.innerHTML = text;
  return template;
}

function parts(template) {
  return [...template.content.querySelectorAll("[hx-swap-oob]")].map((element) => {
    const [how, selector] = element.getAttribute("hx-swap-oob").split(/:(.+)/);
    const target = selector ? document.querySelector(selector) : document.getElementById(element.id);
    return { element, how, selector, target };
  });
}

/** What an answer brings for regions of the page: {element, how, selector, target}; null: this page lacks the region. */
export function partsOf(text) {
  return text.includes("hx-swap-oob") ? parts(read(text)) : [];
}

function isShown(element, target) {
  if (target.dataset.keyed) return isSameList(element, target);
  const [incoming, shown] = [element, target].map((each) => {
    // In the template's document, which loads no pictures.
    const copy = element.ownerDocument.importNode(each, true);
    // A page's forms have the token, those of the socket do not: requests name it in their head.
    copy.querySelectorAll("[name=csrfmiddlewaretoken]").forEach((input) => input.remove());
    copy.querySelectorAll("[hx-preserve]").forEach((kept) => kept.removeAttribute("hx-preserve"));
    ["hx-swap-oob", "hx-preserve"].forEach((name) => copy.removeAttribute(name));
    copy.normalize();
    return copy;
  });
  return incoming.isEqualNode(shown);
}

/** Says whether two lists have the same nodes, each in the same revision, in the same order. */
export function isSameList({ children: some }, { children: others }) {
  return some.length === others.length && [...some].every(({ dataset }, at) => {
    const { key, rev } = others[at].dataset;
    return dataset.key === key && dataset.rev && dataset.rev === rev;
  });
}

const SHOWN = [400, 404, 409, 422, 429];

document.addEventListener("htmx:beforeSwap", (event) => {
  const { xhr } = event.detail;
  if (SHOWN.includes(xhr.status) && (xhr.getResponseHeader("Content-Type") || "").startsWith("text/html")) {
    event.detail.shouldSwap = true;
    event.detail.isError = false;
  }
  keepWhatIsNotAnswered(event.detail);
});

// An answer without the part that a form asks for would leave nothing where the form is: the page of the sign-in (the
// session has ended: this page is opened again, which leads there and back), or a refusal.
function keepWhatIsNotAnswered(detail) {
  const part = detail.requestConfig?.elt.closest("[hx-select]")?.getAttribute("hx-select");
  if (!part || !detail.shouldSwap) return;
  if (new DOMParser().parseFromString(detail.serverResponse, "text/html").querySelector(part)) return;
  detail.shouldSwap = false;
  if (detail.xhr.status === 200) location.reload();
  else toast(document.body.dataset.failed, "error");
}
// What an event has drawn while the answer was on its way stays: parts with an older [data-version] come too late.
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (!detail.shouldSwap) return;
  const shown = [...detail.target.querySelectorAll("[data-version][id]")];
  document.addEventListener("htmx:afterSwap", () => shown.forEach(keepNewer), { once: true });
});
function keepNewer(shown) {
  const current = document.getElementById(shown.id);
  if (current && Number(current.dataset.version) < Number(shown.dataset.version)) current.replaceWith(shown);
}
document.addEventListener("htmx:sendError", (event) => {
  // What is kept until the network is back (queued.js) is not lost.
  if (!event.detail.kept) toast(document.body.dataset.unreachable, "error");
});
document.addEventListener("htmx:responseError", (event) => {
  const { tooLarge, failed } = document.body.dataset;
  toast(event.detail.xhr.status === 413 ? tooLarge : failed, "error");
});
// Work in progress is said to people who do not see it move.
document.addEventListener("htmx:beforeRequest", (event) => {
  const button = event.detail.requestConfig.triggeringEvent?.submitter;
  button?.setAttribute("aria-busy", "true");
});
document.addEventListener("htmx:afterRequest", (event) => {
  event.detail.requestConfig.triggeringEvent?.submitter?.removeAttribute("aria-busy");
});
/** Takes back what is said to be wrong with a field, or with the group of fields that it belongs to. */
export function forgetErrors(input) {
  const field = input.closest("[data-message-form], .hours__day") ?? input.closest(".field, fieldset");
  if (!field) return;
  [field, ...field.querySelectorAll("[aria-invalid]")].forEach((wrong) => wrong.removeAttribute("aria-invalid"));
  // Those with an id are places for what the server says next.
  field.querySelectorAll(".field__error:not([data-unsent])").forEach((error) => (error.id ? error.replaceChildren() : error.remove()));
}
// Whether it is right now, the server says; a place is corrected when one is chosen, not by the first letter.
document.addEventListener("input", ({ target }) => target.closest(".combobox") || forgetErrors(target));
// A plain form that is on its way is not sent twice.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method === "dialog" || form.hasAttribute("hx-post") || form.hasAttribute("hx-get")) return;
  if (form.dataset.sending) event.preventDefault();
  form.dataset.sending = "1";
  event.submitter?.setAttribute("aria-busy", "true");
});
window.addEventListener("pageshow", () => {
  document.querySelectorAll("form[data-sending]").forEach((form) => delete form.dataset.sending);
  document.querySelectorAll("[aria-busy]").forEach((element) => element.removeAttribute("aria-busy"));
});
