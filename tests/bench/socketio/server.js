// Socket.IO as one would write it for this job: rooms for trips, drivers emit positions, watchers hear them.
//
//   node server.js PORT bare|full [REDIS_URL]
//
// "full" does what ours does with a position: checks the sender and the numbers, limits the rate, computes the ETA and
// keeps the latest fix and the trail to be written by somebody else.
"use strict";
const { createServer } = require("http");
const { Server } = require("socket.io");

const [port, kind, redisUrl] = process.argv.slice(2);
const server = createServer((request, response) => response.end("ok"));
const io = new Server(server, { transports: ["websocket"], perMessageDeflate: false, serveClient: false });

const EARTH_KM = 6371.0088;
const radians = (degrees) => (degrees * Math.PI) / 180;
function distanceKm(latA, lngA, latB, lngB) {
  const half =
    Math.sin(radians(latB - latA) / 2) ** 2 +
    Math.cos(radians(latA)) * Math.cos(radians(latB)) * Math.sin(radians(lngB - lngA) / 2) ** 2;
  return 2 * EARTH_KM * Math.asin(Math.sqrt(Math.min(1, half)));
}
const etaMin = (km, speed) => Math.round((km / (speed >= 5 ? speed : 40)) * 60 * 1.2);
const inRange = (value, low, high) => value === undefined || (typeof value === "number" && value >= low && value <= high);

const PICKUP = [43.222, 76.8512];
const DROPOFF = [43.3521, 77.0405];
const TRIP_MIN = etaMin(distanceKm(...PICKUP, ...DROPOFF), 0);
const latest = new Map();
let trail = [];
const RATE = 1e6;
const BURST = 1e6;

function full(socket, body) {
  const { trip, driver, isApproved } = socket.data;
  if (!isApproved || !body || !Array.isArray(body.points) || body.points.length < 1 || body.points.length > 100) {
    return socket.emit("refused", { code: "message.invalid" });
  }
  const now = Date.now();
  socket.data.tokens = Math.min(BURST, socket.data.tokens + ((now - socket.data.heardAt) / 1000) * RATE) - 1;
  socket.data.heardAt = now;
  if (socket.data.tokens < 0) return socket.emit("refused", { code: "rate.limited" });
  let last = latest.get(driver);
  for (const point of body.points) {
    if (
      typeof point.lat !== "number" || typeof point.lng !== "number" || !inRange(point.lat, -90, 90) ||
      !inRange(point.lng, -180, 180) || !inRange(point.heading_deg, 0, 360) || !inRange(point.speed_kmh, 0, 400) ||
      !inRange(point.accuracy_m, 0, 100000)
    ) {
      return socket.emit("refused", { code: "message.invalid" });
    }
    const recordedAt = Math.min(point.recorded_at === undefined ? now : Date.parse(point.recorded_at), now);
    if (last && recordedAt < last.recordedAt) continue;
    const km = last ? distanceKm(last.lat, last.lng, point.lat, point.lng) : 0;
    const jumped = Boolean(last) && km > 0.5 && km > (250 * (recordedAt - last.recordedAt)) / 3600000;
    last = { driver, ...point, recordedAt, receivedAt: now, jumped };
    trail.push({ trip, ...last });
  }
  latest.set(driver, last);
  const pickup = etaMin(distanceKm(last.lat, last.lng, ...PICKUP), last.speed_kmh);
  io.to(trip).emit("position", {
    type: "driver.location.updated", timestamp: new Date(now).toISOString(), trip_id: 1, driver_id: driver,
    lat: last.lat, lng: last.lng, heading_deg: last.heading_deg, speed_kmh: last.speed_kmh, accuracy_m: last.accuracy_m,
    recorded_at: new Date(last.recordedAt).toISOString(), eta: { pickup_min: pickup, dropoff_min: pickup + TRIP_MIN },
  });
}
// As ours: a batch twice a second, taken off the hands of the event loop (here by nobody, which is in its favour).
setInterval(() => { trail = []; }, 500);

io.use((socket, next) => {
  const { role, trip } = socket.handshake.auth;
  if (typeof trip !== "string") return next(new Error("auth.required"));
  socket.data = { role, trip, driver: trip, isApproved: true, tokens: BURST, heardAt: Date.now() };
  next();
});
io.on("connection", (socket) => {
  const { role, trip } = socket.data;
  if (role === "watcher") socket.join(trip);
  for (const room of socket.handshake.auth.rooms || []) socket.join(room);
  if (kind === "bare") socket.on("position", (body) => io.to(trip).emit("position", body));
  else socket.on("position", (body) => full(socket, body));
  socket.emit("ready");
});

async function start() {
  if (redisUrl) {
    const { createClient } = require("redis");
    const { createAdapter } = require("@socket.io/redis-adapter");
    const publishing = createClient({ url: redisUrl });
    const listening = publishing.duplicate();
    await Promise.all([publishing.connect(), listening.connect()]);
    io.adapter(createAdapter(publishing, listening));
  }
  server.listen(Number(port), "127.0.0.1", 4096);
}
start();
