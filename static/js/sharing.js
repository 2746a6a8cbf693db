// Copying an address, and handing it to the phone's own way of sharing. Marks: [data-copy], [data-share], each names its field.

function offer(root) {
  for (const button of root.querySelectorAll("[data-share]")) button.hidden = !navigator.share;
}

document.addEventListener("click", async ({ target }) => {
  const button = target.closest("[data-copy], [data-share]");
  if (!button) return;
  const field = document.getElementById(button.dataset.copy ?? button.dataset.share);
  if (button.dataset.share) {
    // Rejected where the person thinks better of it.
    await navigator.share({ title: button.dataset.title, url: field.value }).catch(() => {});
    return;
  }
  field.select();
  // Without TLS a page may not write to the clipboard; the selected text can still be copied by hand.
  await navigator.clipboard?.writeText(field.value).then(() => (button.lastChild.textContent = button.dataset.copied));
});

document.addEventListener("htmx:afterSettle", () => offer(document));
offer(document);
