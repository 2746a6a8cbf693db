// The driver's earnings: regions merged as on the dashboard, the position goes on being sent, and when the day (week,
// month) that is shown as the current one ends, the page opens the next. Entry of the page.

import "./merge.js";
import "./geolocation.js";
import { serverNow } from "./clock.js";

const CHECK_MS = 30_000;
const endsAt = Date.parse(document.getElementById("driver").dataset.endsAt);

function openNext() {
  if (document.visibilityState !== "visible" || serverNow() < endsAt) return;
  // The address of a current period names none.
  location.replace(`${location.pathname}?${new URLSearchParams(location.search).keys().next().value ?? "day"}=`);
}

if (!Number.isNaN(endsAt)) {
  setInterval(openNext, CHECK_MS);
  document.addEventListener("visibilitychange", openNext);
}
