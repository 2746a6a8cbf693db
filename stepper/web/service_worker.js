// The service worker: keeps the static files of one release and the page shown offline. Pages themselves are never kept:
// they are somebody's, and an old one would pass for live. `SHELL` is written above this text by
// stepper/web/installation.py: {version, files, hashed, offline, icon}.

const CACHE = `shell-${SHELL.version}`;
const FILES = new Set(SHELL.files);

async function keepShell() {
  const cache = await caches.open(CACHE);
  // A hashed name is the same content for ever, so what the page has loaded already is taken from the browser's cache.
  const mode = SHELL.hashed ? "default" : "no-cache";
  await cache.addAll(SHELL.files.map((url) => new Request(url, { cache: mode })));
  await keepOffline(cache);
}

async function keepOffline(cache) {
  const response = await fetch(SHELL.offline, { cache: "no-cache" });
  if (response.ok) await cache.put(SHELL.offline, response);
}

self.addEventListener("install", (event) => event.waitUntil(keepShell()));

async function takeOver() {
  const names = await caches.keys();
  await Promise.all(names.filter((name) => name !== CACHE).map((name) => caches.delete(name)));
  // The request for a page need not wait until this worker has started.
  await self.registration.navigationPreload?.enable();
  await self.clients.claim();
}

self.addEventListener("activate", (event) => event.waitUntil(takeOver()));

async function openPage(event) {
  try {
    return (await event.preloadResponse) ?? (await fetch(event.request));
  } catch {
    return (await caches.match(SHELL.offline)) ?? Response.error();
  }
}

async function openFile(request) {
  const cache = await caches.open(CACHE);
  if (SHELL.hashed) return (await cache.match(request)) ?? fetch(request);
  try {
    return await fetch(request);
  } catch (error) {
    const kept = await cache.match(request);
    if (kept) return kept;
    throw error;
  }
}

self.addEventListener("fetch", (event) => {
  const { request } = event;
  const url = new URL(request.url);
  if (request.method !== "GET" || url.origin !== location.origin) return;
  if (request.mode === "navigate") event.respondWith(openPage(event));
  else if (FILES.has(url.pathname)) event.respondWith(openFile(request));
});

// What pages say: {type: "activate"}, when somebody has agreed to reload; {type: "language", language}, the page's own,
// so that the offline page is in it as well.
async function keepLanguage(language) {
  const cache = await caches.open(CACHE);
  const kept = await cache.match(SHELL.offline);
  if (kept?.headers.get("Content-Language") !== language) await keepOffline(cache);
}

self.addEventListener("message", (event) => {
  if (event.data?.type === "activate") self.skipWaiting();
  if (event.data?.type === "language") event.waitUntil(keepLanguage(event.data.language));
});
