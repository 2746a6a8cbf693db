// What this browser keeps for an account beyond its pages: a driver's steps and positions that wait for the network, and the
// subscription to pushes with what is shown of them. Signing out takes all of it. A session that ended by itself, or from
// elsewhere, leaves what waits, for 12 h: it is sent when the same account signs in again, and the page says so. Pushes
// end at once, and so do both where somebody else has signed in.
//
// A page that does not know whose it is (the offline page) changes nothing. In the page: form[data-signs-out], and
// [data-waits] to be shown where something waits.

import { forgetPushes, pushesOf } from "./pushes.js";
import { account, countLeft, forgetAll, forgetOthers, isUsed } from "./queue.js";

const key = "stepper:signing-out-at";
const SIGNING_OUT_MS = 60_000;

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
