// The button of a place's field that sets the place to where the device is.

/** Has `button` set the point of `field` (places.js); says so where the position is not known. */
export function locateOnPress(button, field) {
  button.addEventListener("click", () => {
    button.setAttribute("aria-busy", "true");
    const done = () => button.removeAttribute("aria-busy");
    navigator.geolocation.getCurrentPosition(
      ({ coords }) => {
        done();
        field.setPoint(coords.latitude, coords.longitude, { keepsWords: false });
      },
      async () => {
        done();
        const { toast } = await import("./notifications.js");
        toast(button.dataset.unknown, "error");
      },
      { enableHighAccuracy: true, timeout: 10_000, maximumAge: 60_000 },
    );
  });
}
