// Thumbnails of all heads, one row for each layer: pointing shows one larger, a click or Enter gives it to Python.

const GAPS = [4, 6]; // pixels between thumbnails, small and large ones: the outline has its place there
const SMALL = 60; // pixels for a thumbnail and its gap
const SIDES = [18, 160]; // least and most pixels of a thumbnail's width
const ASPECT = [0.5, 1.5]; // least and most height of a thumbnail of width 1: long maps stay readable
const LARGER = 4; // the preview's size over the thumbnail's
const PREVIEW = [192, 384]; // least and most pixels of its width, where there is room
const TEXT_ONLY = 64; // pixels below which it shows nothing but text
const MOST_PATTERNS = 12; // buttons that highlight, for the most frequent patterns
const DIMMED = 0.85; // how much of the background lies over a head that is not highlighted

const within = (value, [least, most]) => Math.min(Math.max(value, least), Math.max(least, most));
const colour = (hex) => [1, 3, 5].map((at) => parseInt(hex.slice(at, at + 2), 16));
const inMemory = ([r, g, b]) => ((255 << 24) | (b << 16) | (g << 8) | r) >>> 0; // as ImageData lays a pixel out
/** "previous token" of "previous token 0.82". */
const patternName = (text) => text.replace(/\s+[-+−]?[\d.,]+\s*%?$/, "").trim();
const ROOMY = 16; // heads that have room for more than a number above them
/** "3" of "head 3", "3 · k1" of "head 3 (key head 1)" where there is room; other names as they are. */
const brief = (names, noun) => {
  const pattern = new RegExp(`^${noun} (\\d+)(?: \\(key head (\\d+)\\))?$`);
  if (!names.every((name) => pattern.test(name))) return null;
  const parts = names.map((name) => name.match(pattern));
  return parts.map(([, number, key]) => (key && names.length <= ROOMY ? `${number} · k${key}` : number));
};

class Grid {
  constructor(parentElement) {
    this.root = make("div", { class: "grid" });
    parentElement.append(this.root);
    this.scratch = make("canvas");
    this.marked = new Set();
    this.shade = "weight";
    this.resized = new ResizeObserver(() => this.draw());
  }

  /** Takes what Python sent; the same again changes nothing, other colours or another choice keep the elements. */
  show(data, setTriggerValue) {
    this.setTriggerValue = setTriggerValue;
    const { header, arrays } = unpack(data);
    if (header.version === this.version) return;
    this.version = header.version;
    this.header = header;
    Object.assign(this, { weights: arrays.weights, peaks: arrays.peaks, masked: arrays.masked ?? null });
    this.chosen = header.chosen;
    this.names = header.patterns.map((row) => row.map(patternName));
    dress(this.root, header);
    const { layers, heads, patterns, headings, title, scale } = header;
    const elements = JSON.stringify([layers, heads, patterns, headings, title, scale, Boolean(this.masked)]);
    if (elements !== this.elements) this.rebuild();
    this.elements = elements;
    this.stale = true;
    this.shadeLegend();
    this.draw();
  }

  rebuild() {
    const focused = this.sheet && this.sheet.getRootNode().activeElement === this.sheet;
    this.active = this.chosen ?? [0, 0];
    this.pointed = null;
    this.build();
    if (focused) this.sheet.focus();
  }

  close() {
    this.resized.disconnect();
  }

  // ---- the page's elements ---------------------------------------------------------------------------------------------

  build() {
    this.root.replaceChildren(
      make("div", { class: "bar" }, [
        this.buildHighlights(),
        this.buildShade(),
        saveButtons((format) => this.save(format)),
      ]),
      (this.status = make("div", { class: "status", role: "status", "aria-live": "polite" })),
      this.buildFigure(),
      this.buildPreview(),
    );
    this.resized.disconnect();
    this.resized.observe(this.root);
  }

  /** One button for each pattern that some head has, the most frequent first. */
  buildHighlights() {
    const counts = new Map();
    for (const name of this.names.flat()) if (name) counts.set(name, (counts.get(name) ?? 0) + 1);
    const frequent = [...counts].sort(([, a], [, b]) => b - a).slice(0, MOST_PATTERNS);
    this.marked = new Set(frequent.map(([name]) => name).filter((name) => this.marked.has(name)));
    const buttons = frequent.map(([name, n]) =>
      make("button", {
        type: "button", class: "pattern", "data-stop": true, text: `${name} ${n}`, "aria-pressed": this.marked.has(name),
        "aria-label": `Highlight ${name}: ${count(n, "head")}`,
        onclick: (event) => {
          if (!this.marked.delete(name)) this.marked.add(name);
          event.target.setAttribute("aria-pressed", this.marked.has(name));
          this.stale = true;
          this.draw();
        },
      }),
    );
    const group = make("span", { class: "group", role: "group", "aria-label": "Highlight heads by pattern" }, buttons);
    arrows(group, buttons, { back: "ArrowLeft", forward: "ArrowRight" });
    return make("span", { class: "field", hidden: buttons.length < 2 }, [make("span", { class: "name", text: "Highlight" }), group]);
  }

  buildShade() {
    const choose = (event) => {
      this.shade = event.target.value;
      this.stale = true;
      this.shadeLegend();
      this.draw();
    };
    const select = make("select", { "aria-label": "What a shade means", onchange: choose }, [
      make("option", { value: "weight", text: "weight" }),
      make("option", { value: "share", text: "share of largest", title: "each head by its own largest weight" }),
    ]);
    select.value = this.shade;
    this.ramp = make("span", { class: "ramp" });
    this.swatch = make("span", { class: "swatch" });
    const masked = make("span", { class: "legend", hidden: !this.masked }, [this.swatch, "masked"]);
    return make("span", { class: "field" }, [
      make("span", { class: "name", text: "Shade" }), select, make("span", { class: "legend" }, ["0", this.ramp, "1"]), masked,
    ]);
  }

  shadeLegend() {
    const { sequential, mask } = this.header;
    this.ramp.style.backgroundImage = `linear-gradient(to right, ${sequential.join(", ")})`;
    this.swatch.style.backgroundColor = mask;
  }

  buildFigure() {
    const { layers, heads, title } = this.header;
    const [rows, columns] = [brief(layers, "layer"), brief(heads, "head")];
    const label = (text, i, names) => make("span", { class: "label", text, title: names[i] });
    this.rowLabels = (rows ?? layers).map((text, i) => label(text, i, layers));
    this.columnLabels = (columns ?? heads).map((text, i) => label(text, i, heads));
    this.longest = columns ? Math.max(...columns.map((text) => text.length)) : 0;
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.outline = make("div", { class: "outline pointed", role: "gridcell", id: "cell", hidden: true });
    this.mark = make("div", { class: "outline chosen", hidden: true, "aria-hidden": "true" });
    this.row = make("div", { role: "row" }, [this.outline]);
    this.sheet = make("div", {
      class: "sheet", role: "grid", tabindex: 0, "aria-rowcount": layers.length, "aria-colcount": heads.length,
      "aria-label": `${title}, ${count(layers.length, "layer")} × ${count(heads.length, "head")}. Arrow keys move, Enter opens.`,
      onpointermove: (event) => event.pointerType !== "touch" && this.point(this.at(event)),
      onpointerleave: () => this.point(null),
      onfocus: () => this.draw(),
      onblur: () => this.draw(),
      onclick: (event) => this.pick(this.at(event)),
      onkeydown: (event) => this.key(event),
    }, [this.canvas, this.mark, this.row]);
    this.corner = make("div", { class: "corner", text: rows ? "layer" : "" });
    this.aside = make("div", { class: "layers", "aria-hidden": "true" }, this.rowLabels);
    const above = make("div", { class: "heads", "aria-hidden": "true" }, this.columnLabels);
    const caption = make("div", { class: "caption", "aria-hidden": "true", text: columns ? "head" : "" });
    this.figure = make("div", { class: "figure" }, [this.corner, make("div", { class: "top" }, [caption, above]), this.aside, this.sheet]);
    this.frame = make("div", { class: "frame", onscroll: () => this.scrolled() }, [this.figure]);
    return this.frame;
  }

  buildPreview() {
    this.title = make("div", { class: "title" });
    this.pattern = make("div");
    this.hint = make("div", { class: "hint" });
    this.large = make("canvas");
    this.preview = make("div", { class: "tip preview", hidden: true, "aria-hidden": "true" }, [this.title, this.pattern, this.large, this.hint]);
    return this.preview;
  }

  // ---- what the reader does ----------------------------------------------------------------------------------------------

  /** The (layer, head) under the pointer. */
  at(event) {
    const box = this.sheet.getBoundingClientRect();
    const { pitch, down } = this.size;
    const { layers, heads } = this.header;
    const index = (offset, step, n) => within(Math.floor(offset / step), [0, n - 1]);
    return [index(event.clientY - box.top, down, layers.length), index(event.clientX - box.left, pitch, heads.length)];
  }

  point(place) {
    if (String(place) === String(this.pointed)) return;
    this.pointed = place;
    this.quiet = false;
    this.annotate();
  }

  /** Tells Python at once; the outline does not wait for the answer. */
  pick(place) {
    const [layer, head] = place;
    this.active = this.chosen = place;
    this.annotate();
    this.setTriggerValue("picked", { layer, head });
  }

  key(event) {
    if (event.altKey || event.metaKey) return;
    const [layer, head] = this.active;
    const last = [this.header.layers.length - 1, this.header.heads.length - 1];
    const far = event.ctrlKey;
    const to = {
      ArrowUp: [layer - 1, head], ArrowDown: [layer + 1, head], ArrowLeft: [layer, head - 1], ArrowRight: [layer, head + 1],
      PageUp: [0, head], PageDown: [last[0], head], Home: [far ? 0 : layer, 0], End: [far ? last[0] : layer, last[1]],
    }[event.key];
    if (to) {
      this.active = to.map((place, i) => within(place, [0, last[i]]));
      this.pointed = null;
      this.quiet = false;
      this.annotate();
      this.reveal();
    } else if (event.key === "Enter" || event.key === " ") this.pick(this.active);
    else if (event.key === "Escape") {
      this.quiet = true; // until the next move
      this.annotate();
    } else return;
    event.preventDefault();
  }

  /** Scrolls to the head that the keys have reached: the frame sideways, the page up or down. */
  reveal() {
    const left = this.active[1] * this.size.pitch;
    this.frame.scrollLeft = within(this.frame.scrollLeft, [left + this.size.pitch - this.room(), left]);
    this.outline.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  /** What was pointed at has moved away under the pointer. */
  scrolled() {
    this.pointed = null;
    this.annotate();
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------------

  /** As large as fits the width; the frame scrolls sideways where even the smallest do not fit. */
  measure() {
    const { layers, heads, theme, scale, tokens } = this.header;
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    const aspect = within(tokens[0] / Math.max(tokens[1], 1), ASPECT);
    const gap = this.room() / heads.length < SMALL ? GAPS[0] : GAPS[1];
    const least = Math.max(SIDES[0], Math.ceil(this.longest * theme.small_size * scale * 0.6));
    const tallest = (LONGEST / ratio / layers.length - gap) / aspect;
    const fit = Math.floor(this.room() / heads.length) - gap;
    const width = Math.max(Math.min(within(fit, [least, SIDES[1]]), Math.floor(tallest)), 1);
    const height = Math.max(Math.round(width * aspect), 1);
    this.size = { width, height, pitch: width + gap, down: height + gap, gap, aspect, ratio };
    this.size.across = this.size.pitch * heads.length;
    this.size.along = this.size.down * layers.length;
  }

  room() {
    return this.root.clientWidth - Math.max(this.aside.offsetWidth, this.corner.offsetWidth);
  }

  /** Lays out, and paints the thumbnails where anything about them has changed. */
  draw() {
    if (!this.header.cells.every(Boolean)) return; // no token is left: nothing to draw
    if (!this.root.isConnected || !this.root.clientWidth) return;
    this.measure();
    const { width, height, across, along, pitch, down, gap, ratio } = this.size;
    const name = [width, height, gap, ratio].join();
    if (name !== this.drawnName || this.stale) {
      const set = (property, value) => this.figure.style.setProperty(property, `${value}px`);
      Object.entries({ "--wide": width, "--high": height, "--pitch": pitch, "--down": down, "--gap": gap }).forEach(([k, v]) => set(k, v));
      this.frame.classList.toggle("scrolls", across > this.room());
      this.paint(new CanvasPainter(sized(this.canvas, across, along)), { sharp: ratio });
    }
    this.drawnName = name;
    this.stale = false;
    this.annotate();
  }

  /** The one routine that draws the thumbnails, on the screen and into files. `sharp`: pixels of the device for one, Infinity in SVG. */
  paint(painter, { left = 0, above = 0, sharp }) {
    const { layers, heads, theme } = this.header;
    const { width, height, pitch, down, gap } = this.size;
    layers.forEach((_, layer) => heads.forEach((_, head) => {
      const [x, y] = [left + head * pitch + gap / 2, above + layer * down + gap / 2];
      painter.rect({ x: x - 1, y: y - 1, width: width + 2, height: height + 2, colour: theme.faint });
      const picture = this.picture(this.scratch, layer, head, width * sharp, height * sharp);
      painter.image({ x, y, width, height, canvas: picture });
      if (this.marked.size && !this.marked.has(this.names[layer][head])) {
        painter.rect({ x: x - 1, y: y - 1, width: width + 2, height: height + 2, colour: theme.background, opacity: DIMMED });
      }
    }));
  }

  /** One head's map on a canvas, a pixel for each cell; for fewer pixels than cells, the maximum of each block. */
  picture(canvas, layer, head, wide = Infinity, high = Infinity) {
    const [rows, columns] = this.header.cells;
    const [down, across] = [Math.min(rows, Math.max(Math.floor(high), 1)), Math.min(columns, Math.max(Math.floor(wide), 1))];
    const shades = this.shades(this.peaks[layer * this.header.heads.length + head]);
    const base = (layer * this.header.heads.length + head) * rows * columns;
    if (canvas.width !== across || canvas.height !== down) Object.assign(canvas, { width: across, height: down });
    const context = canvas.getContext("2d", { willReadFrequently: true });
    const image = context.createImageData(across, down);
    const pixels = new Uint32Array(image.data.buffer);
    const start = (i, blocks, length) => Math.floor((i * length) / blocks);
    for (let i = 0, at = 0; i < down; i++) {
      const [top, bottom] = [start(i, down, rows), start(i + 1, down, rows)];
      for (let j = 0; j < across; j++, at++) {
        const right = start(j + 1, across, columns);
        let [level, masked] = [0, true];
        for (let q = top; q < bottom; q++) {
          for (let k = start(j, across, columns); k < right; k++) {
            level = Math.max(level, this.weights[base + q * columns + k]);
            masked &&= Boolean(this.masked?.[q * columns + k]);
          }
        }
        pixels[at] = masked ? shades.mask : shades[level];
      }
    }
    context.putImageData(image, 0, 0);
    return canvas;
  }

  /** The pixel for each level of a head whose largest weight is `peak`, and the one for masked cells. */
  shades(peak) {
    const { sequential, mask, levels, theme } = this.header;
    if (this.rampName !== theme.name + sequential) {
      const steps = sequential.map(colour);
      this.scale = Array.from({ length: levels + 1 }, (_, level) => {
        const place = (level / levels) * (steps.length - 1);
        const at = Math.min(Math.floor(place), steps.length - 2);
        return inMemory(steps[at].map((from, c) => Math.round(from + (steps[at + 1][c] - from) * (place - at))));
      });
      this.rampName = theme.name + sequential;
    }
    const whole = this.shade === "share" ? 1 : peak;
    const shades = this.scale.map((_, level) => this.scale[Math.round(level * whole)]);
    shades.mask = inMemory(colour(mask));
    return shades;
  }

  // ---- what is pointed at ---------------------------------------------------------------------------------------------------

  /** The head to speak of: the one under the pointer, else the one that the keys have reached. */
  current() {
    return this.pointed ?? (this.sheet.matches(":focus-visible") ? this.active : null);
  }

  name([layer, head]) {
    const pattern = this.header.patterns[layer][head];
    return `${this.header.layers[layer]}, ${this.header.heads[head]}${pattern ? `: ${pattern}` : ""}`;
  }

  /** Outlines, labels, the line of text and the preview. */
  annotate() {
    const place = this.current();
    this.outlineAt(this.outline, place);
    this.outlineAt(this.mark, this.chosen);
    this.rowLabels.forEach((label, layer) => label.classList.toggle("here", place?.[0] === layer));
    this.columnLabels.forEach((label, head) => label.classList.toggle("here", place?.[1] === head));
    this.describe(this.active);
    const text = place ? this.name(place) : this.summary();
    if (this.status.textContent !== text) this.status.textContent = text;
    this.preview.hidden = !place || Boolean(this.quiet);
    if (!this.preview.hidden) this.enlarge(place);
  }

  outlineAt(outline, place) {
    outline.hidden = !place;
    if (!place) return;
    const { pitch, down } = this.size;
    outline.style.transform = `translate(${place[1] * pitch}px, ${place[0] * down}px)`;
  }

  /** The one cell that assistive technology sees stands where the keys are. */
  describe([layer, head]) {
    this.row.setAttribute("aria-rowindex", layer + 1);
    this.outline.setAttribute("aria-colindex", head + 1);
    this.outline.setAttribute("aria-label", this.name([layer, head]));
    this.outline.setAttribute("aria-selected", String([layer, head]) === String(this.chosen));
    this.sheet.setAttribute("aria-activedescendant", "cell");
  }

  summary() {
    if (this.chosen) return `Open: ${this.name(this.chosen)}`;
    const { layers, heads, cells, tokens, headings: [rows, columns] } = this.header;
    const pooled = String(cells) === String(tokens) ? "" : ` Each of the ${cells.join(" × ")} cells is the maximum of several tokens.`;
    const axes = `Rows: ${rows}; columns: ${columns}.${pooled}`;
    return `${count(layers.length, "layer")} × ${count(heads.length, "head")}. Point at one to see it larger, click to open it. ${axes}`;
  }

  /** The head beside its thumbnail, larger: on the wider side, never over the thumbnail, never beyond the component. */
  enlarge(place) {
    const { layers, heads, patterns } = this.header;
    const [layer, head] = place;
    const { width, height, pitch, down, gap, aspect } = this.size;
    const [root, sheet] = [this.root.getBoundingClientRect(), this.sheet.getBoundingClientRect()];
    this.title.textContent = `${layers[layer]}, ${heads[head]}`;
    this.pattern.textContent = patterns[layer][head];
    const largest = this.peaks[layer * heads.length + head].toFixed(2);
    this.hint.textContent = `largest weight ${largest} · click to open`;
    const left = sheet.left - root.left + head * pitch + gap / 2;
    const top = sheet.top - root.top + layer * down + gap / 2;
    const margin = 10;
    const sides = { left: left - margin, right: root.width - left - width - margin };
    const edges = 18; // the panel's padding and border
    const wanted = within(LARGER * width, PREVIEW);
    const side = sides.right >= wanted + edges || sides.right >= sides.left ? "right" : "left";
    const room = Math.floor(Math.min(sides[side], wanted + edges));
    this.preview.style.width = `${Math.min(room, PREVIEW[0] + edges)}px`; // its least, so that the text is at its tallest
    this.large.hidden = true;
    const across = Math.floor(Math.min(wanted, room - edges, (root.height - this.preview.offsetHeight - 8) / aspect));
    this.large.hidden = across < Math.max(TEXT_ONLY, width * 1.25); // hardly larger than the thumbnail
    Object.assign(this.large.style, { width: `${across}px`, height: `${Math.round(across * aspect)}px` });
    if (!this.large.hidden) this.picture(this.large, layer, head);
    const panel = Math.min(room, Math.max(this.large.hidden ? 0 : across, PREVIEW[0]) + edges);
    this.preview.style.width = `${panel}px`;
    const lowest = Math.min(root.height, window.innerHeight - root.top) - this.preview.offsetHeight;
    const x = side === "right" ? left + width + margin : left - margin - panel;
    this.preview.style.transform = `translate(${x}px, ${within(top, [0, lowest])}px)`;
  }

  // ---- files ---------------------------------------------------------------------------------------------------------------

  /** All thumbnails with title, labels and scale, highlighted and outlined as they are on the screen. */
  save(format) {
    if (!this.header.cells.every(Boolean)) return;
    const { header, size } = this;
    const { theme, scale } = header;
    const [small, big, font, pad] = [theme.small_size * scale, theme.title_size * scale, theme.font, 16];
    const left = pad + this.aside.offsetWidth;
    const above = pad + big * 1.5 + small * 4.4;
    const lines = [`${header.title}: all heads`, `rows: ${header.headings[0]}; columns: ${header.headings[1]}${this.marked.size ? `; highlighted: ${[...this.marked].join(", ")}` : ""}`];
    const ruler = make("canvas").getContext("2d");
    const long = lines.map((line, i) => ((ruler.font = `${i ? "" : "bold "}${i ? small : big}px ${font}`), ruler.measureText(line).width));
    const [width, height] = [Math.ceil(Math.max(left + size.across, pad + Math.max(...long)) + pad), Math.ceil(above + size.along + small * (this.masked ? 4 : 2.4) + pad)];
    save(format, header.file_name, width, height, theme.background, (painter) => {
      const write = (text, x, y, more = {}) => painter.text({ x, y, text, colour: theme.muted, size: small, font, ...more });
      write(lines[0], pad, pad + big * 0.6, { colour: theme.text, size: big, weight: "bold" });
      write(lines[1], pad, pad + big * 1.5 + small * 0.5);
      this.rowLabels.forEach((label, i) => write(label.textContent, left - 6, above + (i + 0.5) * size.down, { align: "right" }));
      this.columnLabels.forEach((label, i) => write(label.textContent, left + (i + 0.5) * size.pitch, above - small * 0.7, { align: "center" }));
      if (this.longest) write("head", left + size.gap / 2, above - small * 2.1);
      if (this.corner.textContent) write("layer", left - 6, above - small * 0.7, { align: "right" });
      this.paint(painter, { left, above, sharp: format === "svg" ? Infinity : Math.max(2, size.ratio) });
      if (this.chosen) this.paintOutline(painter, left + this.chosen[1] * size.pitch, above + this.chosen[0] * size.down);
      this.paintLegend(painter, write, left + size.gap / 2, above + size.along + small * 1.6);
    });
  }

  paintOutline(painter, x, y) {
    const { pitch, down } = this.size;
    const line = (x1, y1, x2, y2) => painter.line({ x1, y1, x2, y2, colour: this.header.theme.accent, width: 3 });
    const [right, bottom] = [x + pitch - 1, y + down - 1];
    line(x + 1, y + 1, right, y + 1);
    line(right, y + 1, right, bottom);
    line(right, bottom, x + 1, bottom);
    line(x + 1, bottom, x + 1, y + 1);
  }

  paintLegend(painter, write, x, y) {
    const { sequential, mask, theme } = this.header;
    const ramp = make("canvas", { width: 320, height: 48 });
    const context = ramp.getContext("2d");
    context.fillStyle = context.createLinearGradient(0, 0, ramp.width, 0);
    sequential.forEach((step, i) => context.fillStyle.addColorStop(i / (sequential.length - 1), step));
    context.fillRect(0, 0, ramp.width, ramp.height);
    const meaning = this.shade === "share" ? "share of each head's largest weight" : "weight";
    painter.rect({ x: x - 1, y: y - 7, width: 82, height: 14, colour: theme.muted });
    painter.image({ x, y: y - 6, width: 80, height: 12, canvas: ramp });
    write(`0 to 1: ${meaning}`, x + 90, y);
    if (!this.masked) return;
    const below = y + theme.small_size * this.header.scale * 1.6;
    painter.rect({ x, y: below - 6, width: 12, height: 12, colour: mask });
    write("masked", x + 20, below);
  }
}

export default function render({ data, parentElement, setTriggerValue }) {
  mount(parentElement, () => new Grid(parentElement)).show(data, setTriggerValue);
  return () => unmount(parentElement);
}
