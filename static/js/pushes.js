// Which account turned pushes on in this browser, and ending them. Shared state: imported, never loaded as a script.

const KEY = "stepper:pushes-of";

/** The account that turned pushes on here; null: nobody. */
export function pushesOf() {
  try {
    const kept = localStorage.getItem(KEY);
    return kept === null ? null : Number(kept);
  } catch {
    return null;
  }
}

/** Remembers who turned pushes on here; null: nobody any more. */
export function setPushesOf(account) {
  try {
    if (account === null) localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, String(account));
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
