// What a person would see at fault on a page, measured where the browser put it: a list of [kind, what, where].
//
// cut         text that an ancestor clips, that reaches out of the viewport, or that is shortened with an ellipsis
//             although nothing says that this is meant (data-shortened)
// overlapping two texts or fields on each other, neither in a layer that floats above the other's; a text on an icon; a
//             text or a field over the edge of its tile
// sideways    the whole page scrolls sideways
// small       something to press that is less than 44 px wide or high
// plate       a plate on two lines
// thousands   a narrow space that does not keep thousands apart in its font
//
// All details of the content are opened first; those of the header float above it and are pages of the table.
() => {
  const CLOSE_PX = 1;
  const OVERLAP_PX = 2;
  const PRESSED_PX = 43.9;
  const THIN_EM = 0.14;
  const found = [];
  const note = (kind, text, element) => found.push([kind, text.trim().replace(/\s+/g, " ").slice(0, 60), path(element)]);

  function path(element) {
    const names = [];
    for (let at = element; at && at !== document.body && names.length < 3; at = at.parentElement) {
      const id = at.id.replace(/\d+/g, "N");
      const first = typeof at.className === "string" ? at.className.split(" ")[0] : "";
      names.unshift(at.localName + (id ? `#${id}` : first ? `.${first}` : ""));
    }
    return names.join(" > ");
  }

  document.querySelectorAll("main details").forEach((details) => {
    // Or opening one closes the others of its name.
    details.removeAttribute("name");
    details.open = true;
  });

  const styles = new Map();
  const styleOf = (element) => {
    if (!styles.has(element)) styles.set(element, getComputedStyle(element));
    return styles.get(element);
  };
  const isShown = (element) => element.checkVisibility({ opacityProperty: true, visibilityProperty: true });
  // For screen readers alone.
  function isClippedAway(element) {
    for (let at = element; at; at = at.parentElement) if (styleOf(at).clipPath === "inset(50%)") return true;
    return false;
  }

  // The nearest ancestor that floats above the rest of the page; null: none.
  function layerOf(element) {
    for (let at = element; at; at = at.parentElement) {
      const { position, zIndex } = styleOf(at);
      if (position === "fixed" || position === "sticky" || at.matches("dialog, [popover]")) return at;
      if (position === "absolute" && Number(zIndex) > 0) return at;
    }
    return null;
  }

  // The ancestor whose overflow clips `rect`, a part of the text in `element`; null: nothing does.
  function clipperOf(element, rect) {
    let { left, right, top, bottom } = rect;
    let skipsTo = null;
    for (let at = element; at && at !== document.documentElement; at = at.parentElement) {
      const style = styleOf(at);
      const isContaining = style.position !== "static" || style.transform !== "none" || style.contain.includes("paint");
      if (skipsTo === "positioned" && isContaining) skipsTo = null;
      if (!skipsTo && style.display !== "inline" && style.display !== "contents" && at !== document.body) {
        const box = at.getBoundingClientRect();
        const clips = [style.overflowX, style.overflowY].map((way) => way === "hidden" || way === "clip");
        const scrolls = [style.overflowX, style.overflowY].map((way) => way === "auto" || way === "scroll");
        if (clips[0] && (left < box.left - CLOSE_PX || right > box.right + CLOSE_PX)) return at;
        if (clips[1] && (top < box.top - CLOSE_PX || bottom > box.bottom + CLOSE_PX)) return at;
        // What is scrolled away can be scrolled to.
        if (scrolls[1]) [top, bottom] = [Math.max(top, box.top), Math.min(bottom, box.bottom)];
        // Sideways that is expected of a row of links alone, which says so.
        if (scrolls[0] && "sideways" in at.dataset) [left, right] = [Math.max(left, box.left), Math.min(right, box.right)];
        if (right <= left) return null;
        if (scrolls[0] && (left < box.left - CLOSE_PX || right > box.right + CLOSE_PX)) return at;
        if (bottom <= top) return null;
      }
      if (style.position === "fixed") return null;
      if (style.position === "absolute") skipsTo = "positioned";
    }
    return null;
  }

  // Inter's letters without the room above and below them, which lines that are close together share.
  function lettersOf(rect, size) {
    const spare = Math.max(0, rect.height - size);
    return { left: rect.left, right: rect.right, top: rect.top + spare * 0.8, bottom: rect.bottom - spare * 0.2 };
  }

  const texts = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode, element = node.parentElement;
    if (!node.data.trim() || element.closest("script, style, noscript, option, svg") || !isShown(element)) continue;
    if (isClippedAway(element)) continue;
    const range = document.createRange();
    range.selectNodeContents(node);
    const size = parseFloat(styleOf(element).fontSize);
    const rects = [...range.getClientRects()].filter((rect) => rect.width > 0.5 && rect.height > 0.5 && size > 0);
    if (rects.length) texts.push({ node, element, rects: rects.map((rect) => lettersOf(rect, size)) });
  }

  for (const { node, element, rects } of texts) {
    const meant = element.closest("[data-shortened]");
    for (let at = element; at && !meant && at !== document.body; at = at.parentElement) {
      const style = styleOf(at);
      const isShortened = style.textOverflow === "ellipsis" && at.scrollWidth > at.clientWidth + CLOSE_PX;
      const isClamped = style.webkitLineClamp !== "none" && at.scrollHeight > at.clientHeight + CLOSE_PX;
      if (isShortened || isClamped) note("cut", `${node.data} (ellipsis)`, at);
    }
    if (meant) continue;
    const clipped = rects.find((rect) => clipperOf(element, rect));
    const isOut = ({ left, right }) => left < -CLOSE_PX || right > document.documentElement.clientWidth + CLOSE_PX;
    const out = rects.find(isOut);
    if (clipped) note("cut", `${node.data} (by ${path(clipperOf(element, clipped))})`, element);
    else if (out && !element.closest(".skip, [data-sideways]")) note("cut", `${node.data} (out of the viewport)`, element);
  }

  // What is scrolled away lies on nothing.
  function shownPart(element, rect) {
    let { left, right, top, bottom } = rect;
    for (let at = element; at && at !== document.body; at = at.parentElement) {
      if (!["auto", "scroll"].includes(styleOf(at).overflowY)) continue;
      const box = at.getBoundingClientRect();
      if ("sideways" in at.dataset) [left, right] = [Math.max(left, box.left), Math.min(right, box.right)];
      [top, bottom] = [Math.max(top, box.top), Math.min(bottom, box.bottom)];
    }
    return bottom > top && right > left ? { left, right, top, bottom } : null;
  }
  for (const text of texts) {
    text.rects = text.rects.map((rect) => shownPart(text.element, rect)).filter((rect) => rect);
  }

  // What a field shows until something is entered, or what is chosen in it.
  const canvas = document.createElement("canvas").getContext("2d");
  for (const field of document.querySelectorAll("input[placeholder], select")) {
    if (!isShown(field) || field.value && field.localName === "input") continue;
    const style = styleOf(field);
    const text = field.localName === "select" ? field.selectedOptions[0]?.text ?? "" : field.placeholder;
    canvas.font = `${style.fontWeight} ${style.fontSize} ${style.fontFamily}`;
    const room = field.clientWidth - parseFloat(style.paddingLeft) - parseFloat(style.paddingRight);
    if (canvas.measureText(text).width > room + CLOSE_PX) note("cut", `${text} (in its field)`, field);
  }

  const byLayer = Map.groupBy(texts, ({ element }) => layerOf(element));
  for (const inLayer of byLayer.values()) {
    const all = inLayer.flatMap((text) => text.rects.map((rect) => ({ text, rect })));
    all.sort((one, other) => one.rect.top - other.rect.top);
    all.forEach(({ text, rect }, index) => {
      for (let next = index + 1; next < all.length && all[next].rect.top < rect.bottom - OVERLAP_PX; next += 1) {
        const other = all[next];
        const across = Math.min(rect.right, other.rect.right) - Math.max(rect.left, other.rect.left);
        const down = Math.min(rect.bottom, other.rect.bottom) - other.rect.top;
        if (other.text === text || across <= OVERLAP_PX || down <= OVERLAP_PX) continue;
        note("overlapping", `${text.node.data.trim().slice(0, 28)} | ${other.text.node.data.trim().slice(0, 28)}`, text.element);
      }
    });
  }

  // A text that reaches over the edge of the tile, button or card that it stands in.
  const isTile = ({ display, backgroundColor, borderLeftWidth }) =>
    display !== "contents" && (borderLeftWidth !== "0px" || !/^rgba\(.*, 0\)$|^transparent$/.test(backgroundColor));
  function tileOf(element) {
    let tile = element;
    while (tile && tile !== document.body && !isTile(styleOf(tile))) tile = tile.parentElement;
    return tile === document.body ? null : tile;
  }
  for (const { node, element, rects } of texts) {
    const tile = tileOf(element);
    if (!tile || tile.closest("[data-shortened]")) continue;
    const box = tile.getBoundingClientRect();
    const isOver = rects.some(({ left, right }) => left < box.left - CLOSE_PX || right > box.right + CLOSE_PX);
    if (isOver) note("overlapping", `${node.data.trim().slice(0, 28)} | the edge of ${path(tile)}`, element);
  }

  // A field that reaches over another one, or over the edge of the tile or card that it stands in.
  const fields = [...document.querySelectorAll("input, select, textarea")]
    .filter((field) => isShown(field) && !isClippedAway(field))
    .map((field) => ({ field, box: shownPart(field, field.getBoundingClientRect()) }))
    .filter(({ box }) => box && box.right > box.left + OVERLAP_PX && box.bottom > box.top + OVERLAP_PX);
  fields.forEach(({ field, box }, index) => {
    for (const other of fields.slice(index + 1)) {
      const across = Math.min(box.right, other.box.right) - Math.max(box.left, other.box.left);
      const down = Math.min(box.bottom, other.box.bottom) - Math.max(box.top, other.box.top);
      if (across > OVERLAP_PX && down > OVERLAP_PX && layerOf(field) === layerOf(other.field)) {
        note("overlapping", `a field | ${path(other.field)}`, field);
      }
    }
    const tile = tileOf(field.parentElement);
    if (!tile) return;
    const edge = tile.getBoundingClientRect();
    if (box.left < edge.left - CLOSE_PX || box.right > edge.right + CLOSE_PX) note("overlapping", `a field | the edge of ${path(tile)}`, field);
  });

  // A text that reaches over an icon or a picture.
  const icons = [...document.querySelectorAll("svg, img")].filter((icon) => isShown(icon) && !icon.closest(".map, figure"));
  const pictures = icons
    .map((icon) => ({ icon, layer: layerOf(icon), box: shownPart(icon, icon.getBoundingClientRect()) }))
    .filter(({ box }) => box);
  for (const { node, element, rects } of texts) {
    // Put there on purpose, as the badge on the bell.
    if (styleOf(element).position === "absolute") continue;
    const layer = layerOf(element);
    for (const { icon, layer: below, box } of pictures) {
      if (below !== layer) continue;
      const isOver = rects.some((rect) => {
        const across = Math.min(rect.right, box.right) - Math.max(rect.left, box.left);
        return across > OVERLAP_PX && Math.min(rect.bottom, box.bottom) - Math.max(rect.top, box.top) > OVERLAP_PX;
      });
      if (isOver) note("overlapping", `${node.data.trim().slice(0, 28)} | ${path(icon)}`, element);
    }
  }

  if (document.documentElement.scrollWidth > innerWidth) {
    note("sideways", `${document.documentElement.scrollWidth} px of ${innerWidth}`, document.body);
  }

  // A box inside a label is as large as its label; links within a sentence, and the source of the map below it, may be
  // smaller (WCAG 2.5.8).
  const pressed = "a[href], button, input:not([type=hidden]), select, textarea, summary, label:has(input)";
  for (const element of document.querySelectorAll(pressed)) {
    if (element.matches("label input, .skip") || element.closest(".leaflet-control-attribution")) continue;
    if (styleOf(element).display === "inline" && element.closest("p")) continue;
    // A link whose pseudo-element covers all of a tile is as large as the tile.
    const covers = getComputedStyle(element, "::after").position === "absolute" ? element.closest(".stat--link") : null;
    const { width, height } = (covers ?? element).getBoundingClientRect();
    if (!element.checkVisibility({ visibilityProperty: true }) || width < 2) continue;
    if (width < PRESSED_PX || height < PRESSED_PX) note("small", `${Math.round(width)} × ${Math.round(height)} px`, element);
  }

  const counts = { plates: 0, thousands: 0 };
  for (const { node, element } of texts) {
    const size = parseFloat(styleOf(element).fontSize);
    const part = (match) => {
      const range = document.createRange();
      range.setStart(node, match.index);
      range.setEnd(node, match.index + match[0].length);
      return [...range.getClientRects()];
    };
    for (const match of node.data.matchAll(/\d{3} [A-Z]{2,3} \d{2}/g)) {
      counts.plates += 1;
      if (new Set(part(match).map(({ top }) => Math.round(top))).size > 1) note("plate", match[0], element);
    }
    for (const match of node.data.matchAll(/\u202f/g)) {
      counts.thousands += 1;
      const width = part(match).reduce((sum, rect) => sum + rect.width, 0);
      if (width < THIN_EM * size) note("thousands", node.data, element);
    }
  }
  return { found, counts };
}
