// Layers × heads matrices side by side: pointing reads a cell, a click or Enter gives its head to Python.

const HEADER_ROOM = 64; // pixels at the window's top that the app's own header may cover
const same = (one, other) => one?.id === other?.id && one?.layer === other?.layer && one?.head === other?.head;

class Matrices {
  constructor(parentElement) {
    this.root = make("div", { class: "matrix" });
    this.heading = make("div", { class: "quantity", role: "heading", "aria-level": 3, dir: "auto" });
    this.legend = make("div", { class: "legends" });
    this.panels = make("div", { class: "panels" });
    this.frame = make("div", { class: "frame", onscroll: () => this.point(null) }, [this.panels]);
    this.readout = make("div", { class: "readout", dir: "auto" });
    this.ghost = make("div", { class: "readout ghost", "aria-hidden": "true" });
    this.tipName = make("div", { class: "title" });
    this.tipNote = make("div", { class: "note" });
    this.tip = make("div", { class: "tip", hidden: true, "aria-hidden": "true" }, [this.tipName, this.tipNote]);
    const bar = make("div", { class: "bar" }, [this.heading, saveButtons((format) => this.save(format))]);
    this.root.append(bar, this.legend, this.frame, this.readout, this.ghost, this.tip);
    parentElement.append(this.root);
    this.views = [];
    this.pointed = null;
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.root);
  }

  /** Takes what Python sent; the same again changes nothing, other values or another choice keep the elements. */
  show(data, setTriggerValue) {
    this.setTriggerValue = setTriggerValue;
    const { header, arrays } = unpack(data);
    if (header.version === this.version) return;
    this.version = header.version;
    this.header = header;
    let at = 0;
    this.tables = header.matrices.map((one) => {
      const [from, to] = [at, (at += one.layers * one.heads)];
      return { ...one, values: arrays.values.subarray(from, to), marked: arrays.marked?.subarray(from, to) };
    });
    const [id, layer, head] = header.chosen ?? [];
    this.chosen = header.chosen && { id, layer, head };
    dress(this.root, header);
    this.heading.textContent = header.quantity;
    const elements = JSON.stringify(header.matrices.map((one) => [one.id, one.layers, one.heads, Boolean(one.empty)]));
    if (elements !== this.elements) this.rebuild();
    this.elements = elements;
    this.follow();
    this.buildLegend();
    this.stale = true;
    this.draw();
  }

  close() {
    this.resized.disconnect();
  }

  // ---- the page's elements ---------------------------------------------------------------------------------------------

  /** New elements; the focus and what is pointed at stay on the same cell, where it still is. */
  rebuild() {
    const before = new Map(this.views.map((view) => [view.id, view]));
    const focused = this.views.find((view) => view.sheet && view.sheet === this.root.getRootNode().activeElement);
    this.views = this.tables.map((table, i) => this.buildPanel(table, `cell-${i}`, before.get(table.id)?.active));
    this.panels.replaceChildren(...this.views.map((view) => view.panel));
    if (!this.there(this.pointed)) this.pointed = null;
    this.views.find((view) => view.sheet && view.id === focused?.id)?.sheet.focus({ preventScroll: true });
  }

  buildPanel({ id, layers, heads, empty }, cell, active) {
    const view = { id, name: make("div", { class: "heading", dir: "auto" }) };
    if (empty) {
      view.empty = make("div", { class: "none", dir: "auto" });
      view.panel = make("div", { class: "panel", role: "group" }, [view.name, view.empty]);
      return view;
    }
    const labels = (n) => Array.from({ length: n }, (_, i) => make("span", { class: "label", text: i + 1 }));
    Object.assign(view, { rowLabels: labels(layers), columnLabels: labels(heads) });
    view.active = active ? [Math.min(active[0], layers - 1), Math.min(active[1], heads - 1)] : [0, 0];
    view.canvas = make("canvas", { "aria-hidden": "true" });
    view.cell = make("div", { class: "outline pointed", role: "gridcell", id: cell, hidden: true });
    view.mark = make("div", { class: "outline chosen", hidden: true, "aria-hidden": "true" });
    view.row = make("div", { role: "row" }, [view.cell]);
    view.sheet = make("div", {
      class: "sheet", role: "grid", tabindex: 0, "aria-rowcount": layers, "aria-colcount": heads, "aria-activedescendant": cell,
      onpointermove: (event) => event.pointerType !== "touch" && this.point(this.at(view, event)),
      onpointerleave: () => this.point(null),
      onfocus: () => this.focusMoved(),
      onblur: () => this.focusMoved(),
      onclick: (event) => this.pick(this.at(view, event)),
      onkeydown: (event) => this.key(view, event),
    }, [view.canvas, view.mark, view.row]);
    const hidden = { "aria-hidden": "true" };
    view.aside = make("div", { class: "layers", ...hidden }, view.rowLabels);
    view.corner = make("div", { class: "corner", text: "layer", ...hidden });
    const caption = make("div", { class: "caption", text: "head" });
    const top = make("div", { class: "top", ...hidden }, [caption, make("div", { class: "heads" }, view.columnLabels)]);
    const body = make("div", { class: "body" }, [view.corner, top, view.aside, view.sheet]);
    view.panel = make("div", { class: "panel" }, [view.name, body]);
    return view;
  }

  /** The texts of elements that stay, and the keys' place in a matrix that they have left. */
  follow() {
    this.views.forEach((view, i) => {
      const { name, layers, heads, empty } = this.tables[i];
      view.table = this.tables[i];
      view.name.textContent = name;
      if (empty) {
        view.empty.textContent = empty;
        return;
      }
      const size = `${count(layers, "layer")} × ${count(heads, "head")}`;
      view.sheet.setAttribute("aria-label", `${name}: ${this.header.quantity}, ${size}. Arrow keys move, Enter picks.`);
      if (this.chosen?.id === view.id && !view.sheet.matches(":focus")) view.active = [this.chosen.layer, this.chosen.head];
    });
  }

  buildLegend() {
    const { colours, ends, theme, hatch } = this.header;
    const marks = this.marks();
    const ramp = make("span", { class: "ramp", style: `background-image: linear-gradient(to right, ${colours.join(", ")})` });
    const numbers = make("span", { class: "ticks" }, marks.ticks.map((text) => make("span", { text })));
    const end = (text) => make("span", { class: "end", text, dir: "auto", hidden: !text });
    const scale = make("span", { class: "scale" }, [end(ends[0]), make("span", { class: "ramped" }, [ramp, numbers]), end(ends[1])]);
    const keys = marks.keys.map(({ kind, text }) => {
      const canvas = make("canvas", { "aria-hidden": "true" });
      const painter = new CanvasPainter(sized(canvas, 16, 16));
      if (kind === "dot") paintDot(painter, 8, 8, 4, theme);
      else {
        painter.rect({ x: 0, y: 0, width: 16, height: 16, colour: theme.faint });
        painter.rect({ x: 1, y: 1, width: 14, height: 14, colour: theme.background });
        paintHatch(painter, 2, 2, 12, { hatch });
      }
      return make("span", { class: "key" }, [canvas, make("span", { text, dir: "auto" })]);
    });
    this.legend.replaceChildren(scale, ...keys);
  }

  /** The legend's numbers, and its keys: what a dot means, and that a hatched cell is not measured. */
  marks() {
    const shown = this.tables.filter((table) => !table.empty);
    const values = shown.flatMap((table) => [...table.values]);
    const keys = [];
    if (this.header.marked_means && shown.some(({ marked }) => marked?.includes(1))) keys.push({ kind: "dot", text: this.header.marked_means });
    if (values.some(Number.isNaN)) keys.push({ kind: "hatch", text: "not measured" });
    return { ticks: ticks(this.header, values), keys };
  }

  // ---- what the reader does ----------------------------------------------------------------------------------------------

  /** The cell under the pointer. */
  at({ id, sheet, table }, event) {
    const box = sheet.getBoundingClientRect();
    const place = (offset, n) => within(Math.floor(offset / this.size.pitch), [0, n - 1]);
    return { id, layer: place(event.clientY - box.top, table.layers), head: place(event.clientX - box.left, table.heads) };
  }

  there(cell) {
    const table = cell && this.tables.find(({ id }) => id === cell.id);
    return Boolean(table && !table.empty && cell.layer < table.layers && cell.head < table.heads);
  }

  point(cell) {
    if (same(cell, this.pointed)) return;
    this.pointed = cell;
    this.quiet = false;
    this.annotate();
  }

  focusMoved() {
    this.quiet = false;
    this.annotate();
  }

  /** Tells Python at once; the outline does not wait for the answer. */
  pick(cell) {
    this.chosen = cell;
    this.views.find(({ id }) => id === cell.id).active = [cell.layer, cell.head];
    this.annotate();
    this.setTriggerValue("picked", { ...cell });
  }

  key(view, event) {
    if (event.altKey || event.metaKey) return;
    const [layer, head] = view.active;
    const last = [view.table.layers - 1, view.table.heads - 1];
    const far = event.ctrlKey;
    const to = {
      ArrowUp: [layer - 1, head], ArrowDown: [layer + 1, head], ArrowLeft: [layer, head - 1], ArrowRight: [layer, head + 1],
      PageUp: [0, head], PageDown: [last[0], head], Home: [far ? 0 : layer, 0], End: [far ? last[0] : layer, last[1]],
    }[event.key];
    if (to) {
      view.active = to.map((place, i) => within(place, [0, last[i]]));
      this.pointed = null;
      this.quiet = false;
      this.annotate();
      view.cell.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else if (event.key === "Enter" || event.key === " ") this.pick({ id: view.id, layer, head });
    else if (event.key === "Escape") {
      this.quiet = true; // until the next move
      this.annotate();
    } else return;
    event.preventDefault();
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------------

  /** As many matrices beside each other as the width has room for with cells of a good size. */
  measure() {
    const { header, tables } = this;
    const { theme, scale, digits, diverging } = header;
    const drawn = tables.filter((table) => !table.empty);
    const heads = Math.max(1, ...drawn.map((table) => table.heads));
    const aside = Math.max(0, ...this.views.map((view) => view.corner?.offsetWidth ?? 0));
    const small = theme.small_size * scale;
    const legible = Math.ceil(widthOf(String(heads), `${small}px ${theme.font}`)) + 1;
    const room = this.root.clientWidth;
    const fit = (per) => Math.floor(((room - BETWEEN * (per - 1)) / per - aside) / heads);
    const least = heads <= FEW ? CELL[0] * scale : Math.max(SMALLEST, legible);
    let per = tables.length;
    while (per > 1 && (fit(per) < least || fit(per) * heads + aside < NARROWEST)) per--;
    const pitch = within(fit(per), [Math.max(SMALLEST, legible), Math.round(CELL[1] * scale)]);
    const texts = drawn.flatMap(({ values }) => [...values].filter((value) => !Number.isNaN(value)).map((value) => brief(value, digits, diverging)));
    const widest = Math.max(...texts.map((text) => widthOf(text, `100px ${theme.font}`)), 1) / 100;
    const type = Math.min(small, (pitch - GAP - 5) / widest);
    const ratio = Math.min(window.devicePixelRatio || 1, 3);
    this.size = { per, pitch, aside, type: pitch >= CELL[0] && type >= TYPE ? type : 0, ratio, room };
  }

  /** Lays out, and paints where anything has changed. */
  draw() {
    if (!this.header || !this.root.isConnected || !this.root.clientWidth) return;
    this.measure();
    const { per, pitch, ratio, room } = this.size;
    const name = [per, pitch, ratio, room].join();
    if (name !== this.drawnName || this.stale) {
      this.root.style.setProperty("--per", per);
      this.root.style.setProperty("--pitch", `${pitch}px`);
      for (const { table, canvas } of this.views) {
        if (canvas) paintCells(new CanvasPainter(sized(canvas, table.heads * pitch, table.layers * pitch)), this.header, table, { left: 0, above: 0, ...this.size });
      }
      this.frame.classList.toggle("scrolls", this.panels.scrollWidth > room);
      this.reserve();
    }
    this.drawnName = name;
    this.stale = false;
    this.annotate();
  }

  /** The line below is as high as its longest text needs, so that nothing moves when it changes. */
  reserve() {
    const texts = [this.summary()];
    for (const { id, layers, heads, empty } of this.tables) {
      if (empty) continue;
      for (let layer = 0; layer < layers; layer++) for (let head = 0; head < heads; head++) texts.push(this.sentence({ id, layer, head }));
    }
    const longest = texts.sort((one, other) => other.length - one.length).slice(0, 3);
    const heights = longest.map((text) => ((this.ghost.textContent = text), this.ghost.offsetHeight));
    this.ghost.textContent = "";
    this.readout.style.height = `${Math.max(...heights)}px`;
  }

  // ---- what is pointed at ---------------------------------------------------------------------------------------------------

  /** The cell to speak of: the one under the pointer, else the one that the keys have reached. */
  current() {
    if (this.pointed) return this.pointed;
    const view = this.views.find(({ sheet }) => sheet?.matches(":focus-visible"));
    return view ? { id: view.id, layer: view.active[0], head: view.active[1] } : null;
  }

  /** What is known of a cell. */
  facts({ id, layer, head }) {
    const table = this.tables.find((one) => one.id === id);
    const at = layer * table.heads + head;
    const { digits, diverging, marked_means } = this.header;
    const measured = !Number.isNaN(table.values[at]);
    return {
      kind: table.name,
      place: `layer ${layer + 1}, head ${head + 1}`,
      value: measured ? signed(table.values[at], digits, diverging) : "not measured",
      more: [table.notes[layer]?.[head], table.marked?.[at] ? marked_means : ""].filter(Boolean),
    };
  }

  sentence(cell) {
    const { kind, place, value, more } = this.facts(cell);
    return [isolated(kind), place, `${isolated(this.header.quantity)}: ${value}`, ...more.map(isolated)].join(" · ");
  }

  summary() {
    if (this.there(this.chosen)) return `Picked: ${this.sentence(this.chosen)}`;
    return this.tables.every((table) => table.empty) ? "" : "Point at a cell to read it, click or press Enter to pick its head.";
  }

  /** Outlines, labels, the line of text and the tip. */
  annotate() {
    if (!this.size) return;
    const cell = this.current();
    for (const view of this.views) {
      if (!view.sheet) continue;
      const own = cell?.id === view.id ? cell : null;
      this.outlineAt(view.cell, own);
      this.outlineAt(view.mark, this.chosen?.id === view.id && this.there(this.chosen) ? this.chosen : null);
      view.rowLabels.forEach((label, layer) => label.classList.toggle("here", own?.layer === layer));
      view.columnLabels.forEach((label, head) => label.classList.toggle("here", own?.head === head));
      this.describe(view);
    }
    const text = cell ? this.sentence(cell) : this.summary();
    if (this.readout.textContent !== text) this.readout.textContent = text;
    this.tip.hidden = !cell || Boolean(this.quiet);
    if (!this.tip.hidden) this.explain(cell);
  }

  outlineAt(outline, cell) {
    outline.hidden = !cell;
    if (cell) outline.style.transform = `translate(${cell.head * this.size.pitch}px, ${cell.layer * this.size.pitch}px)`;
  }

  /** The one cell of a matrix that assistive technology sees stands where the keys are. */
  describe({ id, row, cell, active: [layer, head] }) {
    const { place, value, more } = this.facts({ id, layer, head });
    row.setAttribute("aria-rowindex", layer + 1);
    cell.setAttribute("aria-colindex", head + 1);
    cell.setAttribute("aria-label", `${place}: ${value}${more.length ? ` ${more.join(", ")}` : ""}`);
    cell.setAttribute("aria-selected", same(this.chosen, { id, layer, head }));
  }

  /** The tip stands above its cell, or below where there is no room: never over it, never beyond the component. */
  explain(cell) {
    const { place, value, more } = this.facts(cell);
    this.tipName.textContent = `${place}: ${value}`;
    this.tipNote.textContent = more.join(" · ");
    this.tipNote.hidden = !more.length;
    const [root, sheet] = [this.root, this.views.find(({ id }) => id === cell.id).sheet].map((element) => element.getBoundingClientRect());
    const { pitch } = this.size;
    const [x, y, margin] = [sheet.left - root.left + cell.head * pitch, sheet.top - root.top + cell.layer * pitch, 6];
    const { offsetWidth: width, offsetHeight: height } = this.tip;
    const above = y - height - margin;
    const down = above >= Math.max(0, HEADER_ROOM - root.top) ? above : y + pitch + margin;
    this.tip.style.transform = `translate(${within(x + pitch / 2 - width / 2, [0, root.width - width])}px, ${down}px)`;
  }

  // ---- files ---------------------------------------------------------------------------------------------------------------

  /** All matrices with title, numbers, dots, outline and legend, beside each other as on the screen. */
  save(format) {
    const { header, tables, size } = this;
    const { theme, file_name: name } = header;
    const marks = this.marks();
    const where = pictureLayout(header, tables, size);
    const words = marks.keys.map(({ text }) => widthOf(text, where.fonts.small) + where.small + 8);
    const width = Math.ceil(Math.max(where.wide, legendWidth(header, where), ...words) + 2 * where.pad);
    const height = Math.ceil(where.legend + RAMP[1] * header.scale + where.small * (2 + 1.6 * marks.keys.length) + where.pad);
    const chosen = this.there(this.chosen) ? this.chosen : null;
    save(format, name, width, height, theme.background, (painter) => paintPicture(painter, header, where, { ...size, chosen, marks }));
  }
}

export default function render({ data, parentElement, setTriggerValue }) {
  mount(parentElement, () => new Matrices(parentElement)).show(data, setTriggerValue);
  return () => unmount(parentElement);
}
