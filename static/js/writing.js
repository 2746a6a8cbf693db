// Writes to the page only what has changed: after any other write, too, the browser calculates styles again, and once a
// second that keeps a phone awake. Imported, never loaded as a script.

/** Hides an element, or shows it. */
export function hide(element, isHidden) {
  if (element.hidden !== isHidden) element.hidden = isHidden;
}

/** Writes the text of an element. */
export function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}
