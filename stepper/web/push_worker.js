// The part of the service worker that shows pushes. What one says is written by realtime/push: title, body, tag, url, and for an offer
// until (by the server's clock), actions, or that it has ended. Every push shows something: browsers demand it.

const OPENING = "/notifications/";

function readPush(event) {
  try {
    return event.data?.json() ?? {};
  } catch {
    return {};
  }
}

async function showPush(push) {
  const { title = "StepperGO", body = "", tag = "", url = OPENING, until = 0, actions = [], ended = false } = push;
  const shown = tag ? await self.registration.getNotifications({ tag }) : [];
  // Pushes may overtake each other: what has ended does not begin again.
  if (!ended && shown.some((one) => one.data?.ended)) return;
  await self.registration.showNotification(title, {
    body,
    tag,
    actions,
    data: { url, until, ended },
    icon: SHELL.icon,
    // An offer asks again; its end only takes its place.
    renotify: Boolean(tag) && !ended,
    silent: ended,
    requireInteraction: until > 0,
  });
}

self.addEventListener("push", (event) => event.waitUntil(showPush(readPush(event))));

// Where a push leads to: a page of this service, whatever it says.
function addressOf(notification) {
  try {
    const address = new URL(notification.data?.url ?? OPENING, location.origin);
    if (address.origin === location.origin) return address;
  } catch {
    // Not an address.
  }
  return new URL(OPENING, location.origin);
}

async function openAddress(address) {
  const open = await self.clients.matchAll({ type: "window", includeUncontrolled: true });
  const same = open.find((client) => new URL(client.url).pathname === address.pathname);
  if (!same) return self.clients.openWindow(address.href);
  try {
    const focused = await same.focus();
    // Another place on the same page does not load it again.
    return focused.url === address.href ? focused : await focused.navigate(address.href);
  } catch {
    // A page that this worker does not control (it was loaded before the worker, or anew past it) cannot be navigated.
    return self.clients.openWindow(address.href);
  }
}

self.addEventListener("notificationclick", (event) => {
  event.notification.close();
  if (event.action !== "close") event.waitUntil(openAddress(addressOf(event.notification)));
});
