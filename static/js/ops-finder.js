// Search in the operations room: "/" goes there, arrows choose, Enter opens. The server lists what is found.
// In the page: #ops-finder with #ops-search and #ops-found. Imported, never loaded as a script.

const finder = document.getElementById("ops-finder");
const input = document.getElementById("ops-search");
const list = document.getElementById("ops-found");
let at = -1;

const options = () => [...list.querySelectorAll("a[role=option]")];

function show(isOpen) {
  list.hidden = !isOpen;
  input.setAttribute("aria-expanded", String(isOpen));
  if (!isOpen) choose(-1);
}

function choose(next) {
  at = next;
  options().forEach((option, index) => option.setAttribute("aria-selected", String(index === at)));
  const chosen = options()[at];
  if (chosen) {
    input.setAttribute("aria-activedescendant", chosen.id);
    chosen.scrollIntoView({ block: "nearest" });
  } else input.removeAttribute("aria-activedescendant");
}

// What was typed when the list was asked for: Enter must not open what an older word found.
let listedFor = "";
let opens = false;
list.addEventListener("htmx:afterSwap", ({ detail }) => {
  listedFor = detail.requestConfig?.parameters?.q?.trim?.() ?? input.value.trim();
  choose(-1);
  show(list.childElementCount > 0);
  if (opens && listedFor === input.value.trim()) open();
});

function open() {
  opens = false;
  const chosen = options()[Math.max(at, 0)];
  if (chosen) location.assign(chosen.href);
}

input.addEventListener("keydown", (event) => {
  const last = options().length - 1;
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    if (last < 0) return;
    show(true);
    const next = at + (event.key === "ArrowDown" ? 1 : -1);
    choose(next > last ? 0 : next < 0 ? last : next);
  } else if (event.key === "Enter") {
    event.preventDefault();
    // The list may still be on its way.
    if (listedFor === input.value.trim()) open();
    else opens = true;
  } else if (event.key === "Escape") {
    opens = false;
    if (list.hidden) input.value = "";
    show(false);
  }
});
input.addEventListener("input", () => (opens = false));
input.addEventListener("focus", () => show(list.childElementCount > 0));
finder.addEventListener("focusout", (event) => {
  if (!finder.contains(event.relatedTarget)) show(false);
});

// By its place on the keyboard too: in Cyrillic layouts the key writes another character.
document.addEventListener("keydown", (event) => {
  if ((event.key !== "/" && event.code !== "Slash") || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) return;
  if (event.target.closest("input, select, textarea, dialog")) return;
  event.preventDefault();
  input.focus();
  input.select();
});
