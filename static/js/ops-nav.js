// The rows of links that a phone scrolls sideways (sections, reports, presets): the current one is in view.

for (const current of document.querySelectorAll(".ops__nav [aria-current], .reports__tabs [aria-current], .reports__quick [aria-current]")) {
  const row = current.parentElement;
  row.scrollLeft += current.getBoundingClientRect().left - row.getBoundingClientRect().left - (row.clientWidth - current.offsetWidth) / 2;
}
