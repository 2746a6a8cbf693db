// A Leaflet map that is useful without tiles: a drawn grid lies under it, markers and lines are ours.
// Shared by the booking page, the trip page and the driver's dashboard; imported, never loaded as a script.
//
//   const map = new TripMap(element)      element: .map with .map__canvas inside; tiles from <body data-tile-url>
//   map.pin("pickup", lat, lng, label)    places or moves a pin; map.remove("pickup") takes it away
//   map.vehicle(lat, lng, {heading, stale, label, testid})   the driver; glides from the last fix
//   map.me(lat, lng)                      own position
//   map.route([[lat, lng], ...])  map.trail([[lat, lng], ...])  map.fit({padding}, [names])
//   map.onClick((lat, lng) => ...)

const GLIDE_MS = 1000;
const ARROW =
  '<svg width="12" height="12" viewBox="0 0 24 24" fill="currentColor" aria-hidden="true"><path d="M12 2 20 21 12 16.5 4 21Z"/></svg>';
const reducedMotion = matchMedia("(prefers-reduced-motion: reduce)");

function icon(html, size) {
  return L.divIcon({ className: "marker", html, iconSize: [size, size], iconAnchor: [size / 2, size / 2] });
}

function grid() {
  const box = document.createElement("div");
  box.innerHTML =
    '<svg class="map__grid" aria-hidden="true" preserveAspectRatio="xMidYMid slice" viewBox="0 0 880 736">' +
    '<g stroke="currentColor" stroke-width="13" fill="none"><path d="M165 0v736M440 0v736M704 0v736M0 143h880M0 363h880M0 572h880"/>' +
    '<path d="M-10 705 290 468 470 345 890 75"/></g></svg>';
  return box.firstChild;
}

/** Reads a place, written as "lat,lng". */
export const readPoint = (text) => text.split(",").map(Number);

/** Reads several places, with spaces between. */
export const readPoints = (text) => text.trim().split(/\s+/).filter(Boolean).map(readPoint);

export class TripMap {
  constructor(element, { interactive = true } = {}) {
    this.element = element;
    this.markers = new Map();
    this.lines = new Map();
    this.padding = { top: 48, right: 48, bottom: 48, left: 48 };
    element.prepend(grid());
    const canvas = element.querySelector(".map__canvas");
    this.map = L.map(canvas, {
      zoomControl: false,
      attributionControl: false,
      dragging: interactive,
      keyboard: interactive,
      scrollWheelZoom: interactive,
      zoomSnap: 0.25,
      fadeAnimation: !reducedMotion.matches,
      zoomAnimation: !reducedMotion.matches,
      markerZoomAnimation: !reducedMotion.matches,
    });
    if (interactive) L.control.zoom({ position: "topright" }).addTo(this.map);
    L.control.attribution({ prefix: false, position: "topleft" }).addTo(this.map);
    const url = document.body.dataset.tileUrl;
    if (url) {
      const layer = L.tileLayer(url, {
        attribution: document.body.dataset.tileAttribution,
        maxZoom: 19,
        referrerPolicy: "strict-origin-when-cross-origin",
      });
      // The grid goes once the map has something better to show.
      layer.once("tileload", () => element.querySelector(".map__grid")?.remove());
      layer.addTo(this.map);
    }
    this.map.setView([43.222, 76.8512], 11);
    new ResizeObserver(() => this.map.invalidateSize({ animate: false })).observe(canvas);
  }

  onClick(callback) {
    this.map.on("click", (event) => {
      const { lat, lng } = event.latlng.wrap();
      callback(lat, lng);
    });
  }

  #marker(name, lat, lng, html, size, options) {
    let marker = this.markers.get(name);
    if (!marker) {
      marker = L.marker([lat, lng], { icon: icon(html, size), keyboard: false, ...options }).addTo(this.map);
      this.markers.set(name, marker);
    }
    return marker;
  }

  pin(kind, lat, lng, label = "") {
    const marker = this.#marker(kind, lat, lng, `<span class="pin pin--${kind}"></span>`, 22, { alt: label });
    marker.setLatLng([lat, lng]);
    this.#name(marker, label);
    return marker;
  }

  me(lat, lng, label = "") {
    const marker = this.#marker("me", lat, lng, '<span class="me"></span>', 44, { zIndexOffset: 900 });
    marker.setLatLng([lat, lng]);
    this.#name(marker, label);
    return marker;
  }

  #name(marker, label) {
    const element = marker.getElement();
    if (!element || !label) return;
    element.setAttribute("role", "img");
    element.setAttribute("aria-label", label);
  }

  vehicle(lat, lng, { heading = null, stale = false, label = "", testid = "driver-marker" } = {}) {
    const known = this.markers.has("vehicle");
    const html = `<span class="vehicle" data-testid="${testid}"><span class="vehicle__arrow">${ARROW}</span></span>`;
    const marker = this.#marker("vehicle", lat, lng, html, 44, { zIndexOffset: 1000 });
    const element = marker.getElement();
    const body = element.querySelector(".vehicle");
    body.dataset.lat = String(lat);
    body.dataset.lng = String(lng);
    body.classList.toggle("vehicle--dark", stale);
    if (heading !== null) element.querySelector(".vehicle__arrow").style.transform = `rotate(${heading}deg)`;
    this.#name(marker, label);
    if (known) this.#glide(marker, lat, lng);
    return marker;
  }

  #glide(marker, lat, lng) {
    cancelAnimationFrame(marker.glide);
    const from = marker.getLatLng();
    if (reducedMotion.matches || document.hidden || from.distanceTo([lat, lng]) > 5000) {
      marker.setLatLng([lat, lng]);
      return;
    }
    const start = performance.now();
    const step = (now) => {
      const part = Math.min(1, (now - start) / GLIDE_MS);
      marker.setLatLng([from.lat + (lat - from.lat) * part, from.lng + (lng - from.lng) * part]);
      if (part < 1) marker.glide = requestAnimationFrame(step);
    };
    marker.glide = requestAnimationFrame(step);
  }

  stale(isStale) {
    this.markers.get("vehicle")?.getElement()?.querySelector(".vehicle")?.classList.toggle("vehicle--dark", isStale);
  }

  remove(name) {
    const layer = this.markers.get(name) ?? this.lines.get(name);
    layer?.remove();
    this.markers.delete(name);
    this.lines.delete(name);
  }

  #line(name, points, className, weight) {
    const line = this.lines.get(name);
    if (line) line.setLatLngs(points);
    else this.lines.set(name, L.polyline(points, { className, weight, interactive: false }).addTo(this.map));
  }

  route(points) {
    this.#line("route", points, "map__route", 5);
  }

  trail(points) {
    this.#line("trail", points, "map__trail", 4);
  }

  extendTrail(lat, lng) {
    const line = this.lines.get("trail");
    if (line) line.addLatLng([lat, lng]);
    else this.trail([[lat, lng]]);
  }

  /** Whether a place is seen on the map, whose lowest `covers` pixels lie under something. */
  shows(lat, lng, covers = 0) {
    const { x, y } = this.map.latLngToContainerPoint([lat, lng]);
    const size = this.map.getSize();
    return x > 24 && x < size.x - 24 && y > 24 && y < size.y - covers - 24;
  }

  /** Shows the named markers (all unless told); `padding` in pixels per side keeps them clear of a sheet. */
  fit(padding = {}, names = [...this.markers.keys()]) {
    this.padding = { ...this.padding, ...padding };
    const points = names.filter((name) => this.markers.has(name)).map((name) => this.markers.get(name).getLatLng());
    if (!points.length) return;
    const { top, right, bottom, left } = this.padding;
    this.map.fitBounds(L.latLngBounds(points), {
      paddingTopLeft: [left, top],
      paddingBottomRight: [right, bottom],
      maxZoom: 15,
      animate: false,
    });
  }
}
