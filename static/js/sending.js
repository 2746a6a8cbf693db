// What a driver's page tells the server in the order in which it happened: at once while it is connected, else kept in
// IndexedDB (queue.js) and sent on return, by one tab. The server takes a position once for its time and a step once for
// its key, so whatever may not have arrived is sent again.
//
// Dispatches "stepper:refused" on the document of every tab (detail: {row, message}; message "": it waited too long).

import { serverNow, serverTime, stamp } from "./clock.js";
import { ask, isLiveAs, send } from "./connection.js";
import { account, add, forgetOthers, oldest, refresh, remove, replace, tellTabs, waiting, WORTH_MS } from "./queue.js";

const POINTS_AT_ONCE = 100;
const AGAIN_MS = 3000;
// Answers that say nothing about the command itself.
const LATER = ["rate.limited", "server.unavailable", "server.busy"];

// Sent, but nothing that the server said since shows that it arrived.
let unproven = [];
// Positions that IndexedDB did not take: in memory until it takes them, or the page is left.
let unkept = [];
let draining = false;
// Something was added while it was being sent.
let wanted = false;
let againTimer = 0;

function isLive() {
  return isLiveAs(account);
}

/** Whether what happens now has to wait: there is no connection, or older things have not been sent yet. */
export function mustWait() {
  return !isLive() || waiting.points > 0 || waiting.steps.length > 0;
}

function positionRow(point, phoneMs) {
  return { fixMs: phoneMs, at: stamp(phoneMs), point };
}

// The first time that it is sent says when it was, for good: the server knows a position again by that.
function pointOf(row) {
  row.recordedAt ??= new Date(serverTime(row.at)).toISOString();
  return { ...row.point, recorded_at: row.recordedAt };
}

/** Sends a position that the phone's clock put at `phoneMs`. `keeps`: it is of a trip, so it must not be lost. */
export function report(point, phoneMs, keeps) {
  const row = positionRow(point, phoneMs);
  if (keeps && mustWait()) {
    keepPoint(row);
    return;
  }
  if (!send({ type: "driver.location.update", points: [pointOf(row)] }) || !keeps) return;
  unproven.push({ row, sentAt: performance.now() });
}

async function keepPoint(row) {
  try {
    await add(row);
  } catch {
    unkept.push(row);
  }
}

/** Keeps a step or an answer until it can be sent; rejects what cannot be kept. `label`: what was tapped, in words. */
export async function keepStep({ key, command, label, untilMs }) {
  await add({ key, command, label, untilMs, at: stamp(Date.now()) });
  drain();
}

function subject(row) {
  return row.command.trip_id ?? null;
}

async function refuse(row, message) {
  // What was to follow on the same trip cannot be done either; saying it once is enough.
  const trip = subject(row);
  const followers = trip === null ? [] : waiting.steps.filter((other) => other.id > row.id && subject(other) === trip);
  await remove([row, ...followers].map((gone) => gone.id));
  tellTabs("stepper:refused", { row, message });
}

function drainLater(pauseMs) {
  clearTimeout(againTimer);
  againTimer = setTimeout(drain, pauseMs);
}

/** Sends one frame; returns whether to go on. Where nobody knows whether it arrived it is sent again. */
async function deliver(command, rows, whenRefused) {
  const answer = await ask(command);
  if (answer === null || LATER.includes(answer.code)) {
    drainLater((answer?.retry_after_s ?? 0) * 1000 || AGAIN_MS);
    return false;
  }
  if (answer.type === "error") await whenRefused(answer.message);
  else await remove(rows.map((row) => row.id));
  return true;
}

async function sendNext() {
  const rows = await oldest(POINTS_AT_ONCE);
  if (!rows.length) return false;
  if (rows[0].key) {
    const [step] = rows;
    if (serverNow() > step.untilMs) {
      await refuse(step, "");
      return true;
    }
    return deliver({ ...step.command, key: step.key }, [step], (message) => refuse(step, message));
  }
  const firstStep = rows.findIndex((row) => row.key);
  const positions = firstStep < 0 ? rows : rows.slice(0, firstStep);
  const fresh = positions.filter((row) => serverNow() - serverTime(row.at) < WORTH_MS);
  const drop = () => remove(positions.map((row) => row.id));
  if (!fresh.length) {
    await drop();
    return true;
  }
  const points = fresh.map(pointOf);
  await replace(fresh);
  return deliver({ type: "driver.location.update", points }, positions, drop);
}

async function sendAll() {
  await forgetOthers();
  while (isLive() && (await sendNext()));
}

/** Sends what waits, the oldest first; another tab that is doing so is waited for. Rejects nothing: it tries again. */
async function drain() {
  if (draining || !isLive()) {
    wanted = true;
    return;
  }
  draining = true;
  try {
    do {
      wanted = false;
      // Without locks (a page that is not secure) two tabs may send the same, which the server takes once.
      await (navigator.locks ? navigator.locks.request("stepper:queue", sendAll) : sendAll());
    } while (wanted && isLive());
  } catch {
    // IndexedDB failed. What has been sent meanwhile is sent once more, which the server takes once.
    drainLater(AGAIN_MS);
  } finally {
    draining = false;
  }
}

async function keepUnproven() {
  const rows = [...unkept, ...unproven.map(({ row }) => row)];
  unproven = [];
  unkept = [];
  for (const row of rows) await keepPoint(row);
}

// Without IndexedDB nothing waits there, so nothing is older than these.
function sendUnkept() {
  while (unkept.length && isLive()) {
    const rows = unkept.splice(0, POINTS_AT_ONCE);
    if (!send({ type: "driver.location.update", points: rows.map(pointOf) })) return unkept.unshift(...rows);
    unproven.push(...rows.map((row) => ({ row, sentAt: performance.now() })));
  }
}

document.addEventListener("stepper:proven", (event) => {
  unproven = unproven.filter(({ sentAt }) => sentAt > event.detail.sentAt);
});
document.addEventListener("stepper:connection", () => {
  if (!isLive()) keepUnproven();
});
// Also of a connection that took the place of another one before that was missed.
document.addEventListener("stepper:frame", async ({ detail: frame }) => {
  if (frame.type !== "connection.established") return;
  await keepUnproven();
  sendUnkept();
  drain();
});

// A step that waits is refused when its time has passed, also while there is no network.
setInterval(() => {
  const late = waiting.steps.find((row) => serverNow() > row.untilMs);
  if (late && !draining) refuse(late, "").catch(() => {});
}, 1000);

forgetOthers()
  .then(refresh)
  .catch(() => {})
  .then(drain);
