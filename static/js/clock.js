// The server's clock on this page: countdowns and "since" never trust the phone's.
// Shared state: always imported ("./clock.js"), never loaded as a script of its own.

let offsetMs = 0;

export function setServerTime(iso) {
  const server = Date.parse(iso);
  if (!Number.isNaN(server)) offsetMs = server - Date.now();
}

/** Milliseconds since the epoch by the server's clock. */
export function serverNow() {
  return Date.now() + offsetMs;
}

/** "14:02" in the given IANA zone (the device's where none is given). */
export function timeOfDay(ms, zone) {
  return new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone: zone || undefined }).format(ms);
}

// The page says when the server rendered it, which is right to within the transfer until the socket says better.
setServerTime(document.documentElement.dataset.serverTime);
