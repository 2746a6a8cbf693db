// The application: its service worker, a new release of it, and the button that installs it.
// In the page: [data-install] (hidden where it cannot be installed), #update-prompt with [data-update].

const button = document.querySelector("[data-install]");
const prompt = document.getElementById("update-prompt");
let installing = null;

window.addEventListener("beforeinstallprompt", (event) => {
  if (!button) return;
  event.preventDefault();
  installing = event;
  button.hidden = false;
});
window.addEventListener("appinstalled", () => {
  if (button) button.hidden = true;
});
button?.addEventListener("click", () => installing?.prompt());

// A page that runs under a worker of an older release goes on until somebody agrees. Other tabs are not reloaded: what is
// typed there would be lost.
let agreed = false;

function offerUpdate(worker) {
  if (!prompt || !worker || !navigator.serviceWorker.controller) return;
  prompt.hidden = false;
  prompt.querySelector("[data-update]").addEventListener("click", () => {
    agreed = true;
    worker.postMessage({ type: "activate" });
  });
}

async function register() {
  const registration = await navigator.serviceWorker.register("/sw.js");
  offerUpdate(registration.waiting);
  registration.addEventListener("updatefound", () => {
    const worker = registration.installing;
    worker?.addEventListener("statechange", () => {
      if (worker.state === "installed") offerUpdate(worker);
    });
  });
  const ready = await navigator.serviceWorker.ready;
  ready.active.postMessage({ type: "language", language: document.documentElement.lang });
}

if ("serviceWorker" in navigator) {
  navigator.serviceWorker.addEventListener("controllerchange", () => {
    if (prompt) prompt.hidden = true;
    if (agreed) location.reload();
  });
  // After the page itself: what the worker keeps must not be in its way.
  const start = () => register().catch((error) => console.warn("No service worker:", error));
  if (document.readyState === "complete") start();
  else window.addEventListener("load", start);
}
