// The page that the service worker shows instead of one that cannot be loaded: tries again when the network is back.
// A browser may believe that it is online where nothing is reached, so it also asks now and then.

const PAUSE_MS = 5000;

async function retry() {
  try {
    await fetch("/health/live/", { cache: "no-store" });
  } catch {
    return;
  }
  location.reload();
}

window.addEventListener("online", retry);
setInterval(retry, PAUSE_MS);
