// The switch of pushes for this browser: [data-push] with data-key (the service's key), data-subscribed, data-url and
// texts for what the browser refuses; [data-push-state] says how it stands.

import { account } from "./queue.js";
import { pushesOf, setPushesOf } from "./signed-out.js";

const box = document.querySelector("[data-push]");
const toggle = box?.querySelector("[data-testid='push-toggle']");
const state = box?.querySelector("[data-push-state]");
const word = box?.querySelector("[data-push-word]");

function bytesOf(text) {
  const plain = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(plain, (character) => character.charCodeAt(0));
}

function show(isOn, text) {
  toggle.setAttribute("aria-pressed", String(isOn));
  toggle.disabled = false;
  word.textContent = isOn ? box.dataset.wordOn : box.dataset.wordOff;
  state.textContent = text ?? (isOn ? box.dataset.on : box.dataset.off);
}

async function send(method, body) {
  const headers = { "Content-Type": "application/json", ...JSON.parse(document.body.getAttribute("hx-headers")) };
  const response = await fetch(box.dataset.url, { method, headers, body: body && JSON.stringify(body) });
  if (response.ok) return;
  const refusal = await response.json().catch(() => ({}));
  throw new Error(refusal.message ?? box.dataset.failed);
}

async function turnOn(registration) {
  if ((await Notification.requestPermission()) !== "granted") throw new Error(box.dataset.denied);
  await subscribe(registration);
}

async function subscribe(registration) {
  const options = { userVisibleOnly: true, applicationServerKey: bytesOf(box.dataset.key) };
  const subscription = await registration.pushManager.subscribe(options).catch(() => {
    throw new Error(box.dataset.failed);
  });
  await send("POST", subscription.toJSON());
  setPushesOf(account);
}

async function turnOff(registration) {
  await send("DELETE");
  setPushesOf(null);
  const subscription = await registration.pushManager.getSubscription();
  await subscription?.unsubscribe();
}

async function press() {
  const isOn = toggle.getAttribute("aria-pressed") === "true";
  toggle.disabled = true;
  try {
    const registration = await navigator.serviceWorker.ready;
    await (isOn ? turnOff(registration) : turnOn(registration));
    show(!isOn);
  } catch (error) {
    show(isOn, error instanceof TypeError ? box.dataset.failed : error.message);
  }
}

// Whose session ended without signing out gets pushes again after the next sign-in; nobody else who signs in here does.
async function renew() {
  if ("subscribed" in box.dataset) return setPushesOf(account);
  if (pushesOf() !== account || Notification.permission !== "granted") return;
  await subscribe(await navigator.serviceWorker.ready);
  show(true);
}

if (toggle) {
  if ("serviceWorker" in navigator && "PushManager" in window) {
    show("subscribed" in box.dataset);
    toggle.addEventListener("click", press);
    renew().catch(() => {});
  } else {
    state.textContent = box.dataset.unsupported;
  }
}
