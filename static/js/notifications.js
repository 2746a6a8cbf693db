// The bell's menu, toasts, and menus and dialogs that close as people expect.

const LIFETIME_MS = 5000;

function fade(element) {
  element.classList.add("toast--gone");
  setTimeout(() => element.remove(), 160);
}

/** One line at the bottom of the page for five seconds; kind "error" stands out. */
export function toast(text, kind = "") {
  const box = document.getElementById("toasts");
  if (!box || !text) return;
  const element = document.createElement("p");
  element.className = kind ? `toast toast--${kind}` : "toast";
  element.textContent = text;
  box.append(element);
  setTimeout(fade, LIFETIME_MS, element);
}

// Whether a part of this page, in an open dialog, shows what another page is for.
function isShown(address) {
  return [...document.querySelectorAll("[data-page]")].some((part) => part.dataset.page === address && part.offsetParent);
}

// Toasts that the server rendered (messages, notifications over the socket) leave by themselves as well.
function adopt() {
  document.querySelectorAll("#toasts .toast:not([data-adopted])").forEach((element) => {
    element.dataset.adopted = "";
    // The page that the news is about shows it already.
    if (element.pathname === location.pathname || isShown(element.pathname)) element.remove();
    setTimeout(fade, LIFETIME_MS, element);
  });
}
const box = document.getElementById("toasts");
if (box) new MutationObserver(adopt).observe(box, { childList: true });
adopt();

// When the socket last brought the number of unread ones, by performance.now().
let toldAt = 0;

function refreshLists() {
  document.querySelectorAll("[data-refresh]").forEach((list) => {
    if (!list.closest("details:not([open])")) htmx.trigger(list, "refresh");
  });
}

// Something came or was read elsewhere: a list that is open shows it. Only what comes over the socket, since the answer to
// a press has the list with it. Asked before the message loses what the page shows already: the number may be the same.
document.addEventListener("htmx:wsBeforeMessage", (event) => {
  if (!String(event.detail.message).includes('id="notification-badge"')) return;
  toldAt = performance.now();
  refreshLists();
});
document.addEventListener("htmx:beforeRequest", ({ detail }) => {
  detail.requestConfig.askedAt = performance.now();
});
// What the socket has brought since an answer was asked for may not be in it, and it may be for a list that is gone: then
// the list that is there asks anew. First of all who listen, as others put what they know on the page themselves.
document.addEventListener(
  "htmx:beforeSwap",
  (event) => {
    const { requestConfig, target, xhr, serverResponse } = event.detail;
    if (!requestConfig || xhr.status >= 400 || !target.querySelector(":scope > [data-refresh]")) return;
    const { elt, verb, askedAt } = requestConfig;
    const isOld = askedAt < toldAt;
    const isGone = !elt.isConnected;
    const isPost = verb === "post";
    const isUseless = isPost ? isOld || isGone : isGone && elt.matches("[data-refresh]");
    if (!isUseless) {
      if (isOld) setTimeout(refreshLists);
      return;
    }
    event.detail.shouldSwap = false;
    event.stopImmediatePropagation();
    if (isPost && !isOld) htmx.swap("#main", serverResponse, { swapStyle: "none" });
    refreshLists();
  },
  true,
);

// A press on the backdrop has the dialog as its target, but lies outside of its box.
function outside(event) {
  if (!event.target.matches("dialog[open]") || event.detail === 0) return false;
  const { left, right, top, bottom } = event.target.getBoundingClientRect();
  return event.clientX < left || event.clientX > right || event.clientY < top || event.clientY > bottom;
}

document.addEventListener("click", (event) => {
  document.querySelectorAll("details.menu[open]").forEach((menu) => {
    if (!menu.contains(event.target)) menu.open = false;
  });
  const opener = event.target.closest("[data-dialog]");
  if (opener) document.getElementById(opener.dataset.dialog)?.showModal();
  if (event.target.closest("[data-close]") || outside(event)) event.target.closest("dialog")?.close();
});
document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  document.querySelectorAll("details.menu[open]").forEach((menu) => {
    menu.open = false;
    menu.querySelector("summary").focus();
  });
});
