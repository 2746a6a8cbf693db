// What this browser keeps for an account beyond its pages: a driver's steps and positions that wait for the network, and the
// subscription to pushes with what is shown of them. Signing out takes all of it. A session that ended by itself, or from
// elsewhere, leaves what waits, for 12 h: it is sent when the same account signs in again, and the page says so. Pushes
// end at once, and so do both where somebody else has signed in.
//
// A page that does not know whose it is (the offline page) changes nothing. In the page: form[data-signs-out], and
// [data-waits] to be shown where something waits.

import { account, countLeft, forgetAll, forgetOthers, isUsed } from "./queue.js";

const key = "stepper:signing-out-at";
// Which account turned pushes on in this browser.
const PUSHES_OF = "stepper:pushes-of";
const SIGNING_OUT_MS = 60_000;

/** The account that turned pushes on here; null: nobody. */
export function pushesOf() {
  try {
    const kept = localStorage.getItem(PUSHES_OF);
    return kept === null ? null : Number(kept);
  } catch {
    return null;
  }
}

/** Remembers who turned pushes on here; null: nobody any more. */
export function setPushesOf(account) {
  try {
    if (account === null) localStorage.removeItem(PUSHES_OF);
    else localStorage.setItem(PUSHES_OF, String(account));
  } catch {
    // Without storage pushes are turned on anew after each sign-in.
  }
}

/** Ends the browser's subscription and closes what is shown; `forGood`: who turned them on has to do so again. */
export async function forgetPushes(forGood) {
  if (forGood) setPushesOf(null);
  const registration = await navigator.serviceWorker?.getRegistration();
  if (!registration) return;
  for (const shown of await registration.getNotifications()) shown.close();
  const subscription = await registration.pushManager?.getSubscription();
  await subscription?.unsubscribe();
}

document.addEventListener("submit", (event) => {
  if (event.target.matches("form[data-signs-out]")) sessionStorage.setItem(key, String(Date.now()));
});

async function showWhatWaits() {
  const note = document.querySelector("[data-waits]");
  if (await isUsed()) note?.toggleAttribute("hidden", !(await countLeft()));
}

async function tidy() {
  if (account === null) return;
  if (account) {
    // Unknown where they were turned on before pages remembered who did.
    const owner = pushesOf();
    if (owner !== null && owner !== account) await forgetPushes(true);
    if (await isUsed()) await forgetOthers();
    return;
  }
  // Where the browser does not heed the server's Clear-Site-Data.
  const hasSignedOut = Date.now() - Number(sessionStorage.getItem(key)) < SIGNING_OUT_MS;
  sessionStorage.removeItem(key);
  await forgetPushes(hasSignedOut);
  if (hasSignedOut) forgetAll();
  else await showWhatWaits();
}

// Storage is forbidden or fails: there is nothing to tidy, or the next page does it.
tidy().catch(() => {});
