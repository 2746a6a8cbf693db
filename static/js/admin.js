// The boxes that select2 puts in the place of a select have no name of their own: they take the field's label.

function nameSelects() {
  for (const select of document.querySelectorAll("select.admin-autocomplete")) {
    const label = select.labels[0]?.textContent.replace("*", "").trim();
    const box = select.nextElementSibling;
    if (!label || !box?.classList.contains("select2-container")) continue;
    for (const part of box.querySelectorAll("[role=combobox], [role=textbox], [role=searchbox]")) {
      part.removeAttribute("aria-labelledby");
      part.setAttribute("aria-label", label);
    }
  }
}

// select2 comes before or after the page has loaded, and again with each row that is added.
new MutationObserver(nameSelects).observe(document.documentElement, { childList: true, subtree: true });
window.addEventListener("load", nameSelects);
