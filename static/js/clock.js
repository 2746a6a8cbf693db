// The server's clock on this page: countdowns and "since" never trust the phone's.
// Shared state: always imported ("./clock.js"), never loaded as a script of its own.
//
// The phone's clock may be put right, or wrong, while the page is open, and a phone that slept looks the same to a page:
// its clock has jumped. Until the server has said the time again (connection.js asks at once, told by "stepper:clock" on
// document) the time goes on by the steady clock of the browser.

const JUMP_MS = 1000;
// The difference to the server's clock has not changed if it is as large as before, to within this.
const SAME_MS = 2000;

// Server's clock minus the phone's: as the server last said, and with the jumps since then taken out.
let saidMs = 0;
let offsetMs = 0;
let wallMs = Date.now();
let steadyMs = performance.now();

function watchJumps() {
  const wall = Date.now();
  const steady = performance.now();
  const jump = wall - wallMs - (steady - steadyMs);
  wallMs = wall;
  steadyMs = steady;
  if (Math.abs(jump) < JUMP_MS) return;
  offsetMs -= jump;
  document.dispatchEvent(new CustomEvent("stepper:clock"));
}

/** `travelMs`: how long the message with the time was on its way. */
export function setServerTime(iso, travelMs = 0) {
  const server = Date.parse(iso);
  if (Number.isNaN(server)) return;
  watchJumps();
  saidMs = offsetMs = server + travelMs - Date.now();
}

/** Milliseconds since the epoch by the server's clock. */
export function serverNow() {
  watchJumps();
  return Date.now() + offsetMs;
}

/** When something happened that the phone's clock put at `phoneMs`, to be told the server later by `serverTime`. */
export function stamp(phoneMs) {
  watchJumps();
  return { phoneMs, heldMs: phoneMs + offsetMs, saidMs };
}

/** The server's time of a stamp, in milliseconds, now that the server may have said the time again. */
export function serverTime(stamped) {
  // The clock is as far off as it was: if it jumped, the phone slept.
  return Math.abs(saidMs - stamped.saidMs) < SAME_MS ? stamped.phoneMs + saidMs : stamped.heldMs;
}

/** "14:02" in the given IANA zone (the device's where none is given), and "14:02, 28 Nov" where that is not today. */
export function timeOfDay(ms, zone) {
  const timeZone = zone || undefined;
  const time = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone }).format(ms);
  const calendar = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "numeric", year: "numeric", timeZone });
  const [day, month, year] = calendar.format(ms).split("/");
  const today = calendar.format(serverNow());
  if (today === `${day}/${month}/${year}`) return time;
  const words = document.documentElement.dataset;
  // Drawn by a server of the release before, during an upgrade; take it out in the next release.
  if (!words.months) return `${time}, ${day}.${month}`;
  const date = (today.endsWith(`/${year}`) ? words.date : words.dateYear)
    .replace("{day}", Number(day))
    .replace("{month}", words.months.split("|")[month - 1])
    .replace("{year}", year);
  return `${time}, ${date}`;
}

// The page says when the server rendered it, which is right to within the transfer until the socket says better.
setServerTime(document.documentElement.dataset.serverTime);
setInterval(watchJumps, 1000);
