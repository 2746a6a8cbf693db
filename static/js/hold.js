// Holds the card that somebody reads or presses at its place on the screen while the list around it changes.

function visibleHeight(node) {
  const { top, bottom } = node.getBoundingClientRect();
  return Math.min(bottom, window.innerHeight) - Math.max(top, 0);
}

// What is pressed, has the keyboard's focus or is pointed at; else what takes up most of the screen.
function heldNode(list) {
  const shown = [...list.children].filter((node) => visibleHeight(node) > 0);
  const pointed = matchMedia("(hover: hover)").matches ? [":hover"] : [];
  for (const state of [":active", ":has(:focus-visible)", ...pointed]) {
    const node = shown.find((candidate) => candidate.matches(state));
    if (node) return node;
  }
  return shown.reduce((most, node) => (most && visibleHeight(most) >= visibleHeight(node) ? most : node), null);
}

// Room below the page's end, where scrolling needs more than there is; given back once it is out of sight.
let room = 0;

function setRoom(px) {
  room = px;
  document.body.style.paddingBottom = px ? `${px}px` : "";
}

window.addEventListener(
  "scroll",
  () => {
    const end = document.documentElement.scrollHeight - window.innerHeight;
    if (room && window.scrollY <= end - room) setRoom(0);
  },
  { passive: true },
);

/** Call it before the list changes, and what it returns afterwards. */
export function hold(list) {
  const node = document.hidden ? null : heldNode(list);
  if (!node) return () => {};
  const before = node.getBoundingClientRect().top;
  const page = document.documentElement;
  // The browser would do a part of it as well.
  page.style.overflowAnchor = "none";
  return () => {
    const current = node.isConnected ? node : document.getElementById(node.id);
    const moved = () => (current ? Math.round(current.getBoundingClientRect().top - before) : 0);
    window.scrollBy({ top: moved(), behavior: "instant" });
    if (moved() > 0) {
      setRoom(room + moved());
      window.scrollBy({ top: moved(), behavior: "instant" });
    }
    requestAnimationFrame(() => {
      page.style.overflowAnchor = "";
    });
  };
}
