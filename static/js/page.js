// The entry of every page. Only entries (this, booking.js, trip.js, driver.js …) are loaded by <script>, everything
// shared is imported by its plain name: a module reached under two addresses would run twice.

import "./notifications.js";
import "./htmx-config.js";
import "./connection.js";
import "./countdown.js";
