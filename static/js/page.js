// The entry of every page. Only entries (this, booking.js, booking-fields.js, trip.js, dashboard.js …) are loaded by <script>, everything
// shared is imported by its plain name, from "./": a module reached under two addresses would run twice. In real use
// collectstatic puts the hashed names in, for which modules must not import each other in a circle.

import "./notifications.js";
import "./htmx-config.js";
import "./connection.js";
import "./countdown.js";
import "./pressing.js";
import "./install.js";
import "./signed-out.js";
