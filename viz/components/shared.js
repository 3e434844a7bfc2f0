// What the components share. Python puts this text in front of a component's own script: one module, no imports.

/** Splits `[u32 length][JSON header][arrays]`, as viz/components/packing.py writes it. */
function unpack(bytes) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const length = view.getUint32(0, true);
  const header = JSON.parse(new TextDecoder().decode(bytes.subarray(4, 4 + length)));
  const body = bytes.slice(4 + length).buffer; // a copy, so that typed arrays are aligned
  const types = { uint8: Uint8Array, uint16: Uint16Array, float32: Float32Array };
  const arrays = {};
  for (const [name, { dtype, offset, size }] of Object.entries(header.arrays)) {
    arrays[name] = new types[dtype](body, offset, size);
  }
  return { header, arrays };
}

/** A DOM element: `make("button", {class: "x", text: "…", "aria-label": "…", onclick: f}, children)`. Text is text. */
function make(tag, attributes = {}, children = []) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

/** One object for each place a component is mounted at; Streamlit calls the script anew on every run of the page. */
const mounted = new WeakMap();
function mount(parentElement, create) {
  if (!mounted.has(parentElement)) mounted.set(parentElement, create());
  return mounted.get(parentElement);
}

/** Closes what was mounted, if its place has really gone: Streamlit also asks for this when a newer run overtakes one. */
function unmount(parentElement) {
  setTimeout(() => {
    if (parentElement.isConnected || !mounted.has(parentElement)) return;
    mounted.get(parentElement).close?.(); // what holds nothing but its own elements has none
    mounted.delete(parentElement);
  });
}

/** The colours of a figure as CSS variables of its root element. */
function dress(root, header) {
  const { theme, scale } = header;
  for (const name of ["background", "text", "muted", "faint", "accent"]) root.style.setProperty(`--${name}`, theme[name]);
  root.style.setProperty("--font-size", `${theme.font_size * scale}px`);
  root.style.setProperty("--small-size", `${theme.small_size * scale}px`);
  root.style.setProperty("--scale", scale);
  root.style.setProperty("--row", `${header.row * scale}px`);
  root.style.fontFamily = theme.font;
  root.dataset.theme = theme.name;
}

const percent = (share) => `${Math.round(share * 100)} %`;
/** A weight with as many digits as it was sent with. */
const number = (weight, digits) => weight.toFixed(digits);
const count = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
/** Right-to-left text inside a sentence is isolated, or it would turn "a → b" around. */
const isolated = (text) => (/^[^\u2068]*[\u0590-\u08ff\ufb1d-\ufdff\ufe70-\ufeff]/.test(text) ? `\u2068${text}\u2069` : text);

/** Draws on a canvas what SvgPainter writes down: the same calls, the same picture. */
class CanvasPainter {
  constructor(context) {
    this.context = context;
  }
  line({ x1, y1, x2, y2, colour, width, opacity = 1, dash = null, curve = 0 }) {
    const c = this.context;
    c.globalAlpha = opacity;
    c.strokeStyle = colour;
    c.lineWidth = width;
    c.lineCap = dash ? "butt" : "round";
    c.setLineDash(dash ?? []);
    c.beginPath();
    c.moveTo(x1, y1);
    if (curve) c.bezierCurveTo(x1 + curve, y1, x2 + curve, y2, x2, y2);
    else c.lineTo(x2, y2);
    c.stroke();
  }
  rect({ x, y, width, height, colour, opacity = 1 }) {
    this.context.globalAlpha = opacity;
    this.context.fillStyle = colour;
    this.context.fillRect(x, y, width, height);
  }
  image({ x, y, width, height, canvas }) {
    this.context.globalAlpha = 1;
    this.context.imageSmoothingEnabled = false;
    this.context.drawImage(canvas, x, y, width, height);
  }
  text({ x, y, text, colour, size, font, align = "left", weight = "normal", style = "normal" }) {
    const c = this.context;
    c.globalAlpha = 1;
    c.fillStyle = colour;
    c.font = `${style} ${weight} ${size}px ${font}`;
    c.textAlign = align;
    c.textBaseline = "middle";
    c.direction = "ltr"; // "start" and "end" must not turn around with the first letter's script
    c.fillText(text, x, y);
  }
}

/** Writes down as SVG what CanvasPainter draws. */
class SvgPainter {
  constructor(width, height, background) {
    this.size = [width, height];
    this.parts = [];
    this.rect({ x: 0, y: 0, width, height, colour: background });
  }
  static escape(text) {
    const names = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" };
    // Characters that XML 1.0 does not allow at all would make the whole file unreadable.
    return String(text)
      .replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd")
      .replace(/[&<>"]/g, (c) => names[c]);
  }
  add(tag, attributes, text = "") {
    const written = Object.entries(attributes)
      .filter(([, value]) => value !== null)
      .map(([name, value]) => `${name}="${SvgPainter.escape(typeof value === "number" ? +value.toFixed(4) : value)}"`);
    this.parts.push(`<${tag} ${written.join(" ")}${text ? `>${text}</${tag}>` : "/>"}`);
  }
  line({ x1, y1, x2, y2, colour, width, opacity = 1, dash = null, curve = 0, title = "" }) {
    const look = {
      stroke: colour,
      "stroke-width": width,
      "stroke-opacity": opacity,
      "stroke-linecap": dash ? "butt" : "round",
      "stroke-dasharray": dash ? dash.join(" ") : null,
    };
    const name = title ? `<title>${SvgPainter.escape(title)}</title>` : "";
    if (curve) {
      const d = `M${x1} ${y1}C${x1 + curve} ${y1} ${x2 + curve} ${y2} ${x2} ${y2}`;
      this.add("path", { class: "attention", d, fill: "none", ...look }, name);
    } else this.add("line", { class: "attention", x1, y1, x2, y2, ...look }, name);
  }
  rect({ x, y, width, height, colour, opacity = 1 }) {
    this.add("rect", { x, y, width, height, fill: colour, "fill-opacity": opacity });
  }
  image({ x, y, width, height, canvas }) {
    this.add("image", { x, y, width, height, href: canvas.toDataURL("image/png"), preserveAspectRatio: "none", style: "image-rendering:pixelated" });
  }
  text({ x, y, text, colour, size, font, align = "left", weight = "normal", style = "normal" }) {
    const anchor = { left: "start", center: "middle", right: "end" }[align];
    const look = { "font-size": size, "font-family": font, "font-weight": weight, "font-style": style };
    const attributes = { x, y, fill: colour, "text-anchor": anchor, "dominant-baseline": "central", direction: "ltr" };
    this.add("text", { ...attributes, "xml:space": "preserve", ...look }, SvgPainter.escape(text));
  }
  toString() {
    const [width, height] = this.size;
    const head = `xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}"`;
    return `<svg ${head}>\n${this.parts.join("\n")}\n</svg>\n`;
  }
}

const LONGEST = 16_000; // browsers draw no canvas beyond about 16,384 pixels a side

/** Hands a file to the reader. */
function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Saves `draw(painter)`, a figure of width × height pixels, as SVG or, at twice its size or more, as PNG. */
function save(format, name, width, height, background, draw) {
  if (format === "svg") {
    const painter = new SvgPainter(width, height, background);
    draw(painter);
    download(new Blob([painter.toString()], { type: "image/svg+xml" }), `${name}.svg`);
    return;
  }
  const zoom = Math.min(Math.max(2, window.devicePixelRatio || 1), LONGEST / Math.max(width, height));
  const canvas = make("canvas", { width: Math.round(width * zoom), height: Math.round(height * zoom) });
  const context = canvas.getContext("2d");
  context.scale(zoom, zoom);
  const painter = new CanvasPainter(context);
  painter.rect({ x: 0, y: 0, width, height, colour: background });
  draw(painter);
  canvas.toBlob((blob) => {
    if (blob) download(blob, `${name}.png`);
    else save("svg", name, width, height, background, draw); // the browser has no canvas of that size
  }, "image/png");
}

/** Buttons "SVG" and "PNG" of a toolbar. */
function saveButtons(onsave) {
  return make("span", { class: "save", role: "group", "aria-label": "Save picture" }, [
    make("button", { type: "button", class: "quiet", text: "SVG", title: "Save this picture as SVG", onclick: () => onsave("svg") }),
    make("button", { type: "button", class: "quiet", text: "PNG", title: "Save this picture as PNG", onclick: () => onsave("png") }),
  ]);
}

/** One Tab stop for a group of elements, arrow keys between them; `go(index)` is called when the keys move the focus. */
function arrows(group, items, { back, forward, go = () => {} }) {
  items.forEach((item, i) => (item.tabIndex = i === 0 ? 0 : -1));
  group.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = items.indexOf(event.target.closest("[data-stop]"));
    const to = { [back]: at - 1, [forward]: at + 1, Home: 0, End: items.length - 1 }[event.key];
    if (at < 0 || to === undefined || !items[to]) return;
    event.preventDefault();
    items[at].tabIndex = -1;
    items[to].tabIndex = 0;
    items[to].focus();
    go(to);
  });
}

/** Gives `canvas` one pixel for each of the screen's; returns its context in CSS pixels. */
function sized(canvas, width, height) {
  const ratio = Math.min(window.devicePixelRatio || 1, 3);
  if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.globalAlpha = 1;
  context.clearRect(0, 0, width, height);
  return context;
}

const strokeWidth = (weight, scale) => (0.5 + 7.5 * weight) * scale;
const strokeOpacity = (weight) => 0.15 + 0.85 * weight;

/** The opacity of the strip behind a token: a weight of 1 still leaves the token readable. */
const shade = (weight) => Math.min(weight, 1) * 0.55;

/** A CSS background of one strip for each [colour, weight]. */
function strips(parts) {
  const step = 100 / parts.length;
  const stops = parts.map(([colour, weight], n) => {
    const alpha = Math.round(shade(weight) * 255).toString(16).padStart(2, "0");
    return `${colour}${alpha} ${(n * step).toFixed(2)}% ${((n + 1) * step).toFixed(2)}%`;
  });
  return `linear-gradient(to right, ${stops.join(", ")})`;
}

/** A coloured patch for each head: a click toggles it, a double-click or Shift + Enter leaves it alone.
 * Heads that share the keys of one key head, which their names say in brackets, stand together. */
function headPatches({ heads, colours, numbered }, toggle, isolate) {
  const keys = heads.map((name) => name.split(" (")[1] ?? "");
  const apart = (head) => (head && keys[head] !== keys[head - 1] ? "; margin-inline-start: 0.6em" : "");
  const patches = heads.map((name, head) =>
    make("button", {
      type: "button", class: "head", "data-stop": true, "aria-label": name,
      style: `--colour: ${colours[head]}${apart(head)}`,
      title: `${name}: click to show or hide, double-click for this head alone`,
      text: numbered.heads ? `${head + 1}` : name,
      onclick: () => toggle(head),
      ondblclick: () => isolate(head),
      onkeydown: (event) => event.key === "Enter" && event.shiftKey && (event.preventDefault(), isolate(head)),
    }),
  );
  const group = make("div", { class: "group heads", role: "group", "aria-label": "Heads" }, patches);
  arrows(group, patches, { back: "ArrowLeft", forward: "ArrowRight" });
  return { group, patches };
}

/** The edge of a box, inside it. */
function paintFrame(painter, { x, y, width, height }, thick, colour) {
  for (const side of [y, y + height - thick]) painter.rect({ x, y: side, width, height: thick, colour });
  for (const side of [x, x + width - thick]) painter.rect({ x: side, y, width: thick, height, colour });
}

/** Text in lines of at most `width` pixels, broken at spaces. */
function wrapped(text, width, font) {
  const context = make("canvas").getContext("2d");
  context.font = font;
  const lines = [];
  for (const word of text.split(" ")) {
    const longer = lines.length ? `${lines.at(-1)} ${word}` : word;
    if (lines.length && context.measureText(longer).width <= width) lines[lines.length - 1] = longer;
    else lines.push(word);
  }
  return lines;
}
