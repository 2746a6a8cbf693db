// The page's socket: its state in words, quick reconnecting, half-open connections, JSON frames as DOM events.
//
// Listens to the htmx ws extension. JSON frames (text starting with "{") never reach htmx's swapping: they are
// dispatched on document as CustomEvent "stepper:frame" (detail: the parsed frame). Also dispatched:
// "stepper:connection" (detail: {state: "live" | "waiting" | "offline", sinceMs}), "stepper:proven" (detail: {sentAt}, by
// performance.now(): whatever was sent earlier has arrived).
// Shared state: loaded by the base page, others import it under the same name.

import { serverNow, setServerTime, timeOfDay } from "./clock.js";

const CONNECT_TIMEOUT_MS = 10_000;
const MAX_DELAY_MS = 10_000;
// After this long without a connection the words change from "Reconnecting" to "Offline since".
const OFFLINE_AFTER_MS = 15_000;
const ANSWERED_WITHIN_MS = 10_000;
// A connection that may be dead (the phone slept, the network changed) is one where this long nothing comes back.
const PROVEN_WITHIN_MS = 3000;
// The server's time in an answer counts where it took no longer to come, and differs by more than its way can explain.
const QUICK_MS = 1000;
const SERVER_RESTARTS = 1012;
const NOT_SIGNED_IN = 4401;
const NOT_ALLOWED = 4403;

const label = document.querySelector("[data-testid=connection-state]");
let heartbeatMs = 30_000;
let wrapper = null;
let socket = null;
let lastFrameAt = Date.now();
// When the connection was lost; null while it is proven by frames.
let lostAt = Date.now();
// By the server's clock, which does not jump.
let lostAtServer = serverNow();
// Who the present socket was opened as; null: it has not said so yet.
let liveUser = null;
// Commands that wait for their answer: ref -> {sentAt, settle}.
const asked = new Map();
let refs = 0;
let refused = false;
let retries = 0;
let retryTimer = 0;

// The extension's own timer cannot be hurried when the network comes back, so it is put off for ever and the
// pauses are kept here.
htmx.config.wsReconnectDelay = () => 2 ** 31 - 1;
htmx.createWebSocket = (url) => {
  clearTimeout(retryTimer);
  const opening = new WebSocket(url, []);
  setTimeout(() => {
    if (opening.readyState === WebSocket.CONNECTING) opening.close();
  }, CONNECT_TIMEOUT_MS);
  socket = opening;
  liveUser = null;
  return opening;
};

function state() {
  if (lostAt === null) return "live";
  return refused || !navigator.onLine || Date.now() - lostAt >= OFFLINE_AFTER_MS ? "offline" : "waiting";
}

// A link to a shared trip has ended: nothing more comes, and nothing is wrong.
let isOver = false;
document.addEventListener("stepper:frame", ({ detail }) => {
  isOver ||= detail.type === "error" && detail.code === "share.ended";
  if (isOver && label) label.hidden = true;
});

function show() {
  if (!label || !socket || isOver) return;
  const current = state();
  // The time is formatted only where it is shown: that takes longer than the rest of this, which runs with every frame.
  const words = current === "offline" ? `${label.dataset.offline} ${timeOfDay(lostAtServer, label.dataset.zone)}` : label.dataset[current];
  if (label.textContent === words && !label.hidden) return;
  label.textContent = words;
  label.hidden = false;
  label.dataset.state = current;
  document.dispatchEvent(new CustomEvent("stepper:connection", { detail: { state: current, sinceMs: lostAt } }));
}

function lost() {
  if (lostAt === null) lostAtServer = serverNow();
  lostAt ??= Date.now();
  for (const { settle } of asked.values()) settle(null);
  show();
}

function connect() {
  clearTimeout(retryTimer);
  if (wrapper && !refused) wrapper.reconnect();
}

function connectLater(code) {
  clearTimeout(retryTimer);
  // A server that goes away sends everybody off at once: they must not all arrive at the next one together.
  const spread = code === SERVER_RESTARTS ? Math.random() * 2 : 0.8 + 0.2 * Math.random();
  const pause = Math.min(1000 * 2 ** retries, MAX_DELAY_MS) * spread;
  retries += 1;
  retryTimer = setTimeout(connect, pause);
}

function connectNow() {
  retries = 0;
  if (socket?.readyState !== WebSocket.OPEN && socket?.readyState !== WebSocket.CONNECTING) connect();
}

function settleAnswer(frame) {
  const waiting = asked.get(frame.ref);
  if (!waiting) return;
  const tookMs = performance.now() - waiting.sentAt;
  if (frame.type === "heartbeat" && tookMs < QUICK_MS) setServerTime(frame.timestamp, tookMs / 2);
  document.dispatchEvent(new CustomEvent("stepper:proven", { detail: { sentAt: waiting.sentAt } }));
  waiting.settle(frame);
}

async function probe() {
  const probed = socket;
  if (probed?.readyState !== WebSocket.OPEN) return;
  const since = Date.now();
  setTimeout(() => {
    if (socket !== probed || lastFrameAt >= since) return;
    lost();
    probed.close(4000, "silent");
    connect();
  }, PROVEN_WITHIN_MS);
  ask({ type: "ping" });
}

function watch() {
  // Two heartbeats without a frame: the connection is half open, whatever the browser believes.
  if (socket?.readyState === WebSocket.OPEN && Date.now() - lastFrameAt > 2 * heartbeatMs) {
    lost();
    socket.close(4000, "silent");
    connect();
  }
  show();
}

// The session has ended: the page itself leads to signing in. Once a minute at most, should the page not agree. Not at
// once: where another tab has just changed the password its answer brings this browser a new session, and a request with
// the old one would have that cookie deleted.
const NEW_SESSION_MS = 3000;
function signInAgain() {
  const key = "stepper:signed-out-at";
  if (Date.now() - Number(sessionStorage.getItem(key)) < 60_000) return;
  sessionStorage.setItem(key, String(Date.now()));
  setTimeout(() => location.reload(), NEW_SESSION_MS);
}

document.addEventListener("htmx:wsConnecting", show);
document.addEventListener("htmx:wsOpen", (event) => {
  wrapper = event.detail.socketWrapper;
  lastFrameAt = Date.now();
});
document.addEventListener("htmx:wsClose", (event) => {
  wrapper = event.detail.socketWrapper ?? wrapper;
  // The close of a socket that was already replaced says nothing about the present one.
  if (event.detail.event.target !== socket) return;
  const code = event.detail.event.code;
  refused = code === NOT_SIGNED_IN || code === NOT_ALLOWED;
  lost();
  if (code === NOT_SIGNED_IN) signInAgain();
  else if (!refused) connectLater(code);
});
// What was held back came earlier.
export let isLate = false;
document.addEventListener(
  "htmx:wsBeforeMessage",
  () => {
    if (isLate) return;
    lastFrameAt = Date.now();
    lostAt = null;
    retries = 0;
  },
  true,
);
document.addEventListener("htmx:wsBeforeMessage", (event) => {
  const message = event.detail.message;
  if (typeof message === "string" && message.startsWith("{")) {
    event.preventDefault();
    const frame = JSON.parse(message);
    if (frame.ref) settleAnswer(frame);
    if (frame.type === "connection.established") {
      liveUser = frame.user_id;
      setServerTime(frame.server_time);
      heartbeatMs = (frame.heartbeat_s || 30) * 1000;
      // This frame may have been long on its way; of the answer to this it is known how long.
      ask({ type: "ping" });
    } else if (frame.type === "heartbeat" && !frame.ref) {
      // A page that never says anything is taken for gone. The answer to this is a heartbeat with a ref.
      ask({ type: "ping" });
    }
    document.dispatchEvent(new CustomEvent("stepper:frame", { detail: frame }));
  }
  show();
});

window.addEventListener("offline", () => {
  lost();
  // It belongs to the network that went away. A frame that was still on its way would otherwise make the page live
  // again until somebody misses the next heartbeat; where the browser was wrong a new socket says so within a second.
  socket?.close(4000, "offline");
});
window.addEventListener("online", () => {
  // The old socket belongs to the network that went away.
  retries = 0;
  connect();
});
window.addEventListener("pageshow", connectNow);
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState !== "visible") return;
  watch();
  probe();
  connectNow();
});
document.addEventListener("stepper:clock", probe);
navigator.connection?.addEventListener("change", probe);
setInterval(watch, 1000);

/** The socket that messages come over at present, for `deliver`. */
export function socketNow() {
  return socket;
}

/** Has a message that was held back come over its socket now; that says nothing of the connection. */
export function deliver(from, message) {
  isLate = true;
  from.dispatchEvent(new MessageEvent("message", { data: message }));
  isLate = false;
}

/** Sends one JSON command over the page's socket; false where there is none open. */
export function send(command) {
  if (socket?.readyState !== WebSocket.OPEN) return false;
  socket.send(JSON.stringify(command));
  return true;
}

/** Sends one JSON command and waits for its answer (an ack, an error, a heartbeat); null: nobody knows whether it arrived. */
export function ask(command) {
  refs += 1;
  const ref = `p${refs}`;
  if (!send({ ...command, ref })) return Promise.resolve(null);
  return new Promise((resolve) => {
    const timer = setTimeout(() => asked.get(ref)?.settle(null), ANSWERED_WITHIN_MS);
    const settle = (answer) => {
      clearTimeout(timer);
      asked.delete(ref);
      resolve(answer);
    };
    asked.set(ref, { sentAt: performance.now(), settle });
  });
}

/** Whether the page is connected, as this account; a tab may have been signed in as somebody else meanwhile. */
export function isLiveAs(account) {
  return lostAt === null && liveUser === account && socket?.readyState === WebSocket.OPEN;
}

/** When the connection was lost: {elapsedMs, serverMs}; null while there is one. */
export function connectionLost() {
  return lostAt === null ? null : { elapsedMs: Date.now() - lostAt, serverMs: lostAtServer };
}
