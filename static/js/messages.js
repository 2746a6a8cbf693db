// A trip's messages, in a dialog or on a page of their own: what is on the screen counts as read, the newest stays in
// view, and what could not be sent stays in its field. The server draws the list anew with each change.

const LIST = ".messages";
// The newest message that was scrolled to, and the newest that was said to be read.
let shown = "";
let said = "";
// The list as it was drawn last, and how far it was scrolled; null: to its end.
let drawn = null;
let scrolledTo = null;

function list() {
  return document.querySelector(LIST);
}

function isSeen(element) {
  return !document.hidden && element.offsetParent !== null;
}

function showNewest() {
  const messages = list();
  if (!messages || !isSeen(messages)) return;
  if (messages.dataset.version !== shown) scrolledTo = null;
  if (messages.dataset.version !== shown || messages !== drawn) messages.scrollTop = scrolledTo ?? messages.scrollHeight;
  shown = messages.dataset.version;
  drawn = messages;
  const { unread, readUrl } = messages.dataset;
  if (!unread || `${readUrl}${unread}` === said) return;
  said = `${readUrl}${unread}`;
  htmx.ajax("POST", readUrl, { source: messages, swap: "none", values: { up_to: unread } });
}

const NEAR_END_PX = 40;
function noteScroll({ target }) {
  if (target !== drawn) return;
  const below = target.scrollHeight - target.clientHeight - target.scrollTop;
  scrolledTo = below > NEAR_END_PX ? target.scrollTop : null;
}
document.addEventListener("scroll", noteScroll, { capture: true, passive: true });

function version(text) {
  return Number(/data-version="(\d+)"/.exec(text)?.[1] ?? 0);
}

// A list that a newer one overtook on the way is not shown.
function isOvertaken(incoming) {
  return incoming < Number(list()?.dataset.version ?? 0);
}
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.target.matches?.(LIST) && isOvertaken(version(detail.serverResponse))) detail.shouldSwap = false;
});
document.addEventListener("htmx:oobBeforeSwap", ({ detail }) => {
  if (!detail.target.matches(LIST)) return;
  if (isOvertaken(Number(detail.fragment.firstElementChild?.dataset.version ?? 0))) detail.shouldSwap = false;
});

for (const kind of ["htmx:afterSettle", "htmx:wsAfterMessage", "visibilitychange"]) {
  document.addEventListener(kind, showNewest);
}
document.addEventListener("htmx:afterSettle", ({ target }) => {
  if (target.id !== "messages-body") return;
  shown = "";
  showNewest();
});

// The form that was sent is drawn anew: whoever wrote goes on writing. What they have written since comes along, unless
// what was sent comes back with what is wrong with it.
let sent = null;
let since = "";
document.addEventListener("htmx:beforeRequest", ({ detail }) => {
  if (detail.elt.id === "message-form") sent = detail.elt.elements.text.value;
});
document.addEventListener("htmx:beforeSwap", ({ detail }) => {
  if (detail.target.id !== "message-form" || sent === null) return;
  const { value } = detail.target.elements.text;
  since = value === sent ? "" : value;
  sent = null;
});
document.addEventListener("htmx:load", ({ target }) => {
  if (target.id !== "message-form") return;
  const { text } = target.elements;
  // It may have had the focus for a moment.
  if (since && !text.defaultValue) text.value = since + text.value;
  since = "";
  text.focus({ preventScroll: true });
});

// What came while the connection was away.
document.addEventListener("stepper:frame", ({ detail: frame }) => {
  if (frame.type === "connection.established" && list()) htmx.trigger(list(), "refresh");
});

// Not on the screen any more, so not read any more.
const dialog = document.getElementById("messages-dialog");
const body = document.getElementById("messages-body");
const placeholder = [...(body?.childNodes ?? [])];
dialog?.addEventListener("close", () => {
  body.replaceChildren(...placeholder);
  shown = "";
});
// What could not be loaded leaves no empty dialog; why is said at the bottom of the page.
for (const kind of ["htmx:sendError", "htmx:responseError"]) {
  document.addEventListener(kind, ({ detail }) => detail.target === body && dialog?.close());
}

function sayUnsent(form, isUnsent) {
  const note = form?.querySelector("[data-unsent]");
  if (note) note.hidden = !isUnsent;
}
document.addEventListener("htmx:sendError", ({ detail }) => sayUnsent(detail.elt.closest("[data-message-form]"), true));
document.addEventListener("htmx:beforeRequest", ({ detail }) => sayUnsent(detail.elt.closest("[data-message-form]"), false));

showNewest();
