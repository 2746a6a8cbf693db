// A new offer fills a phone's screen, until it is answered, gone, or put back into the list. The card stays where it is
// in the document; its sheet becomes a popover, which lies above everything.
//
// No answer by accident: what appears under a finger takes no press for a moment, neither a new sheet nor the card that
// moves up when another was answered.

import { preference } from "./preferences.js";

const PHONE = matchMedia("(max-width: 719px)");
const NEW_SHEET_MS = 700;
const NEXT_CARD_MS = 400;

const root = document.getElementById("driver");
const list = document.getElementById("offers-list");
let sheet = null;
let blocked = [];
let before = null;

function hold(forms, ms) {
  const buttons = [...forms].map((form) => form.querySelector("button"));
  buttons.forEach((button) => button.setAttribute("aria-disabled", "true"));
  setTimeout(() => buttons.forEach((button) => button.removeAttribute("aria-disabled")), ms);
}

document.addEventListener(
  "click",
  (event) => {
    const button = event.target.closest("[data-answer] button");
    if (!button) return;
    if (button.getAttribute("aria-disabled") === "true") {
      event.preventDefault();
      event.stopPropagation();
      return;
    }
    const card = button.closest(".offer");
    hold([...list.querySelectorAll("[data-answer]")].filter((form) => !card.contains(form)), NEXT_CARD_MS);
  },
  { capture: true },
);

// Neither keys nor screen readers get behind the sheet; what announces itself stays.
function block() {
  for (let inside = sheet; inside !== document.body; inside = inside.parentElement) {
    const others = [...inside.parentElement.children].filter((one) => one !== inside && !one.inert);
    blocked.push(...others.filter((one) => !one.matches("[role=status], script")));
  }
  blocked.forEach((one) => {
    one.inert = true;
  });
}

function open(card) {
  // In a tab that is not shown there is nothing to fill the screen with.
  if (root.dataset.tab !== "offers") document.dispatchEvent(new CustomEvent("stepper:tab", { detail: { tab: "offers" } }));
  sheet = card.querySelector(".offer__sheet");
  // The cards below it stay where they are.
  card.style.minHeight = `${card.offsetHeight}px`;
  before = document.activeElement;
  sheet.popover = "manual";
  sheet.dataset.testid = "offer-fullscreen";
  sheet.setAttribute("role", "dialog");
  sheet.setAttribute("aria-modal", "true");
  sheet.setAttribute("aria-labelledby", card.getAttribute("aria-labelledby"));
  sheet.showPopover();
  hold(sheet.querySelectorAll("[data-answer]"), NEW_SHEET_MS);
  block();
  sheet.focus();
}

function close() {
  blocked.forEach((one) => {
    one.inert = false;
  });
  blocked = [];
  if (sheet.isConnected) {
    sheet.hidePopover();
    sheet.closest(".offer").style.minHeight = "";
    ["popover", "data-testid", "role", "aria-modal", "aria-labelledby"].forEach((name) => sheet.removeAttribute(name));
  }
  sheet = null;
  // The tab that an accepted offer opens could not take the focus while the sheet was there.
  const place = before?.isConnected && before !== document.body ? before : root.querySelector("[aria-selected=true]");
  place.focus({ preventScroll: true });
}

function ended() {
  const card = sheet.closest(".offer");
  return !card?.isConnected || card.hidden || "expired" in card.dataset;
}

function mayOpen() {
  const typing = document.activeElement?.matches("input:not([type=checkbox], [type=range]), select, textarea");
  // Who drives looks at the trip.
  const driving = root.dataset.tab === "active" && document.querySelector("#active-list [data-trip-id]");
  // A press that has begun ends on the card that it began on.
  const pressing = list.querySelector(".offer:active");
  return (
    PHONE.matches && !pressing && preference("fullscreen") && !typing && !driving && !document.querySelector("dialog[open]")
  );
}

document.addEventListener("stepper:offers", (event) => {
  if (sheet && ended()) close();
  const [first] = event.detail.fresh;
  if (!sheet && first && mayOpen()) open(first);
});
document.addEventListener("click", (event) => {
  if (sheet && event.target.closest("[data-sheet-close]")) close();
});
document.addEventListener("keydown", (event) => {
  if (sheet && event.key === "Escape") close();
});
