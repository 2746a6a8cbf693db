// Drivers and trips on the map of the operations room: one canvas, as thousands of elements would be too slow.
// Imported, never loaded as a script.
//
//   const markers = new Markers(map)      map: Leaflet's
//   markers.apply(frame)                  a frame "ops.map": what came, moved and went
//   markers.pick(point)                   what is at a point of the map's container: {kind, id, lat, lng} or null
//   markers.total()                       {drivers, trips} that it has
//
// Every picture is drawn once and then copied: a copy costs a few microseconds, a circle with a text fifty times that.

const E5 = 100_000;
const DRIVER_STATES = 4;
const STALE = 3;
// Trips by state: looking, unfilled, taken, coming, aboard.
const UNFILLED = 1;
const TAKEN = 2;
// A trip stands so many pixels above its place: there is often a driver at it.
const RAISED = 12;
// How near a touch must be, in pixels.
const REACH = 22;
// How far to the right of a cell's drivers and above them the number of its trips stands, in pixels.
const ASIDE = 14;
// Pictures that are kept: a count and a colour each.
const KEPT = 1500;
const THEME = matchMedia("(prefers-color-scheme: dark)");

/**
 * What has this key, made where nothing has, at its place: also as one on the Web Mercator map, both from 0 to 1.
 * Objects are used again, because thousands move each second.
 */
function place(all, key, lat5, lng5) {
  let one = all.get(key);
  if (!one) all.set(key, (one = { id: key, lat5: 0, lng5: 0, worldX: 0, worldY: 0, state: 0, counts: null }));
  const sine = Math.max(-0.9999, Math.min(0.9999, Math.sin((lat5 / E5) * (Math.PI / 180))));
  one.lat5 = lat5;
  one.lng5 = lng5;
  one.worldX = lng5 / E5 / 360 + 0.5;
  one.worldY = 0.5 - Math.log((1 + sine) / (1 - sine)) / (4 * Math.PI);
  return one;
}

/** Rounded, so that a cluster in which somebody comes or goes has the same picture. */
function short(number) {
  if (number < 100) return String(number);
  return number < 1000 ? String(Math.round(number / 10) * 10) : `${Math.round(number / 100) / 10}k`;
}

/** Writes a number into the middle of a picture. */
function writeIn(context, text, size) {
  context.textAlign = "center";
  context.textBaseline = "middle";
  context.font = `600 ${size}px Inter, sans-serif`;
  context.fillText(text, 0, 0.5);
}

export class Markers {
  constructor(map) {
    this.map = map;
    this.drivers = new Map();
    this.trips = new Map();
    this.cells = new Map();
    this.pictures = new Map();
    this.canvas = document.createElement("canvas");
    this.canvas.className = "room__canvas";
    this.canvas.setAttribute("aria-hidden", "true");
    map.getPanes().overlayPane.append(this.canvas);
    this.context = this.canvas.getContext("2d");
    this.asked = false;
    // How long the last drawing took.
    this.drawMs = 0;
    map.on("move zoom viewreset resize", () => this.redraw());
    // Its place is that of the zoom before, until the new one is there.
    map.on("zoomanim", () => (this.canvas.hidden = true));
    map.on("zoomend", () => (this.canvas.hidden = false));
    this.colours = new Map();
    THEME.addEventListener("change", () => {
      this.pictures.clear();
      this.colours.clear();
      this.redraw();
    });
  }

  apply(frame) {
    if (frame.whole) {
      this.drivers.clear();
      this.trips.clear();
      this.cells.clear();
    }
    this.#put(this.drivers, frame.drivers, frame.drivers_gone);
    this.#put(this.trips, frame.trips, frame.trips_gone);
    for (const cell of frame.cells ?? []) {
      const [x, y, lat5, lng5, ...counts] = cell;
      place(this.cells, `${x}/${y}`, lat5, lng5).counts = counts;
    }
    for (const [x, y] of frame.cells_gone ?? []) this.cells.delete(`${x}/${y}`);
    this.redraw();
  }

  #put(all, changed = [], gone = []) {
    for (const [id, lat5, lng5, state] of changed) place(all, id, lat5, lng5).state = state;
    for (const id of gone) all.delete(id);
  }

  total() {
    let [drivers, trips] = [this.drivers.size, this.trips.size];
    for (const { counts } of this.cells.values()) {
      counts.forEach((count, state) => (state < DRIVER_STATES ? (drivers += count) : (trips += count)));
    }
    return { drivers, trips };
  }

  redraw() {
    if (this.asked) return;
    this.asked = true;
    requestAnimationFrame(() => {
      this.asked = false;
      const start = performance.now();
      this.draw();
      this.drawMs = performance.now() - start;
    });
  }

  draw() {
    const size = this.map.getSize();
    const ratio = window.devicePixelRatio || 1;
    const [width, height] = [Math.round(size.x * ratio), Math.round(size.y * ratio)];
    if (this.canvas.width !== width || this.canvas.height !== height) {
      Object.assign(this.canvas, { width, height });
      this.canvas.style.width = `${size.x}px`;
      this.canvas.style.height = `${size.y}px`;
      this.pictures.clear();
    }
    this.corner = this.map.containerPointToLayerPoint([0, 0]);
    L.DomUtil.setPosition(this.canvas, this.corner);
    this.scale = 256 * 2 ** this.map.getZoom();
    this.origin = this.map.getPixelOrigin();
    // The world is repeated to both sides: what is drawn is the copy that is nearest.
    this.centre = this.map.getCenter().lng / 360 + 0.5;
    this.context.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.context.clearRect(0, 0, size.x, size.y);
    if (this.pictures.size > KEPT) this.pictures.clear();
    for (const cell of this.cells.values()) this.#copyCell(cell, ratio);
    for (const trip of this.trips.values()) this.#copy(trip, this.#square(trip.state, ratio), RAISED);
    for (const driver of this.drivers.values()) this.#copy(driver, this.#dot(driver.state, ratio));
  }

  /** Where something is in the map's container. */
  #x({ worldX }) {
    return (worldX + Math.round(this.centre - worldX)) * this.scale - this.origin.x - this.corner.x;
  }

  #y({ worldY }) {
    return worldY * this.scale - this.origin.y - this.corner.y;
  }

  #copy(one, picture, raised = 0) {
    this.#copyTo(this.#x(one), this.#y(one) - raised, picture);
  }

  #copyTo(x, y, picture) {
    const half = picture.side / 2;
    this.context.drawImage(picture.canvas, x - half, y - half, picture.side, picture.side);
  }

  /**
   * A disc in the colour of most of its drivers with their number, and beside it a square with that of the trips. Two
   * pictures: there are far fewer of both together than pairs of them, and each that is new costs as much as fifty copies.
   */
  #copyCell(cell, ratio) {
    const { counts } = cell;
    let [drivers, trips, most] = [0, 0, 0];
    for (let state = 0; state < DRIVER_STATES; state += 1) {
      drivers += counts[state];
      if (counts[state] > counts[most]) most = state;
    }
    for (let state = DRIVER_STATES; state < counts.length; state += 1) trips += counts[state];
    const [x, y] = [this.#x(cell), this.#y(cell)];
    const aside = drivers ? ASIDE : 0;
    if (drivers) this.#copyTo(x, y, this.#disc(drivers, most, ratio));
    if (trips) this.#copyTo(x + aside, y - aside, this.#label(trips, counts[DRIVER_STATES + UNFILLED] > 0, ratio));
  }

  #picture(key, side, ratio, paint) {
    let picture = this.pictures.get(key);
    if (!picture) {
      const canvas = document.createElement("canvas");
      canvas.width = canvas.height = Math.ceil(side * ratio);
      const context = canvas.getContext("2d");
      context.scale(ratio, ratio);
      context.translate(side / 2, side / 2);
      paint(context, (name) => this.#colour(name));
      picture = { canvas, side };
      this.pictures.set(key, picture);
    }
    return picture;
  }

  #colour(name) {
    if (!this.colours.has(name)) {
      this.colours.set(name, getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());
    }
    return this.colours.get(name);
  }

  #dot(state, ratio) {
    return this.#picture(`d${state}`, 20, ratio, (context, colour) => {
      // Told apart by form as well: full, with a hole, with two bars, empty.
      const ink = [colour("brand"), colour("normal"), colour("high"), colour("low")][state];
      context.beginPath();
      context.arc(0, 0, 6.5, 0, 2 * Math.PI);
      context.fillStyle = state === STALE ? colour("surface") : ink;
      context.strokeStyle = state === STALE ? ink : colour("surface");
      context.lineWidth = 2;
      context.fill();
      context.stroke();
      context.fillStyle = colour("surface");
      if (state === 1) {
        context.beginPath();
        context.arc(0, 0, 2.5, 0, 2 * Math.PI);
        context.fill();
      } else if (state === 2) {
        context.fillRect(-2.5, -3, 2, 6);
        context.fillRect(0.5, -3, 2, 6);
      }
    });
  }

  #square(state, ratio) {
    return this.#picture(`t${state}`, 22, ratio, (context, colour) => {
      const ink = state === UNFILLED ? colour("urgent") : colour(state < TAKEN ? "normal" : "ink");
      context.beginPath();
      context.roundRect(-7, -7, 14, 14, 4);
      context.fillStyle = state === 0 ? colour("surface") : ink;
      context.strokeStyle = state === 0 ? ink : colour("surface");
      context.lineWidth = 2;
      context.fill();
      context.stroke();
      if (state === UNFILLED) {
        context.fillStyle = colour("on-urgent");
        context.fillRect(-1, -4.5, 2, 5.5);
        context.fillRect(-1, 2.5, 2, 2);
      } else if (state > TAKEN) {
        context.fillStyle = colour("surface");
        context.fillRect(-3, -1, 6, 2);
      }
    });
  }

  #disc(drivers, most, ratio) {
    const text = short(drivers);
    return this.#picture(`c${most}/${text}`, 44, ratio, (context, colour) => {
      context.beginPath();
      context.arc(0, 0, 12 + Math.min(8, 4 * Math.log10(drivers + 1)), 0, 2 * Math.PI);
      context.lineWidth = 2;
      context.strokeStyle = colour("surface");
      context.fillStyle = [colour("brand"), colour("normal"), colour("high-ink"), colour("low-ink")][most];
      context.fill();
      context.stroke();
      context.fillStyle = most === 0 ? colour("on-brand") : colour("surface");
      writeIn(context, text, 12);
    });
  }

  #label(trips, hasUnfilled, ratio) {
    const text = short(trips);
    const half = 8 + 2 * text.length;
    return this.#picture(`l${hasUnfilled}/${text}`, 2 * half + 2, ratio, (context, colour) => {
      context.beginPath();
      context.roundRect(-half, -9, 2 * half, 18, 5);
      context.lineWidth = 2;
      context.strokeStyle = colour("surface");
      context.fillStyle = hasUnfilled ? colour("urgent") : colour("ink");
      context.fill();
      context.stroke();
      context.fillStyle = hasUnfilled ? colour("on-urgent") : colour("surface");
      writeIn(context, text, 11);
    });
  }

  pick(point) {
    if (!this.corner) return null;
    let best = null;
    let nearest = REACH;
    const look = (kind, all) => {
      for (const one of all.values()) {
        const away = Math.hypot(this.#x(one) - point.x, this.#y(one) - (kind === "trip" ? RAISED : 0) - point.y);
        if (away > nearest) continue;
        nearest = away;
        best = { kind, id: one.id, lat: one.lat5 / E5, lng: one.lng5 / E5 };
      }
    };
    look("cell", this.cells);
    look("trip", this.trips);
    look("driver", this.drivers);
    return best;
  }
}
