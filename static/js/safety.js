// Calling the staff for help: with the position where the phone gives it soon enough, without it otherwise.

const WAIT_MS = 4000;
const FRESH_MS = 30_000;

function position() {
  return new Promise((resolve) => {
    if (!window.isSecureContext || !navigator.geolocation) return resolve(null);
    // The browser may ask the person, which no time-out of the request counts.
    setTimeout(resolve, WAIT_MS, null);
    navigator.geolocation.getCurrentPosition(resolve, () => resolve(null), {
      enableHighAccuracy: true,
      maximumAge: FRESH_MS,
      timeout: WAIT_MS,
    });
  });
}

document.addEventListener("htmx:confirm", async (event) => {
  const form = event.target.closest?.("[data-help-form]");
  if (!form) return;
  event.preventDefault();
  if (form.dataset.busy) return;
  form.dataset.busy = "1";
  form.querySelector("button").setAttribute("aria-busy", "true");
  const found = await position();
  form.elements.lat.value = found?.coords.latitude ?? "";
  form.elements.lng.value = found?.coords.longitude ?? "";
  delete form.dataset.busy;
  event.detail.issueRequest(true);
});

function sayUnsent(form, isUnsent) {
  if (!form) return;
  form.querySelector("[data-unsent]").hidden = !isUnsent;
  form.querySelector("button").removeAttribute("aria-busy");
}
document.addEventListener("htmx:sendError", ({ detail }) => sayUnsent(detail.elt.closest("[data-help-form]"), true));
document.addEventListener("htmx:afterRequest", ({ detail }) => {
  if (detail.successful) sayUnsent(detail.elt.closest("[data-help-form]"), false);
});
