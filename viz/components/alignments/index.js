// Aligned panels side by side: pointing at a word marks it in all of them, a click or Enter pins it.

const SETTLED = 300; // milliseconds after the last pin until the server is told, for the address
const HEADER_ROOM = 64; // pixels at the window's top that the app's own header may cover

const LABELS = ["rows", "above", "right"]; // canvases of words, each with one above it for what is marked
const samePick = (one, other) => one?.panel === other?.panel && one?.source === other?.source && one?.row === other?.row;

class Alignments extends AlignmentWeights {
  constructor(parentElement) {
    super();
    this.root = make("div", { class: "alignments" });
    this.heading = make("div", { class: "title", role: "heading", "aria-level": 3, dir: "auto" });
    this.unpin = make("button", { type: "button", class: "quiet", text: "Clear pin", onclick: () => this.pinAt(null) });
    this.compare = make("div", { class: "compared" });
    this.legend = make("canvas", { class: "legend", role: "img" });
    this.readout = make("div", { class: "readout", role: "status", "aria-live": "polite", dir: "auto" });
    this.grid = make("div", { class: "panels" });
    this.tipTitle = make("div", { class: "title" });
    this.tipAt = make("div", { class: "note" });
    this.tipValues = make("div", { class: "values" });
    this.tip = make("div", { class: "tip", hidden: true, "aria-hidden": "true" }, [this.tipTitle, this.tipAt, this.tipValues]);
    const bar = make("div", { class: "bar" }, [this.heading, this.unpin, saveButtons((format) => this.save(format))]);
    this.root.append(bar, this.compare, this.legend, this.readout, this.grid, this.tip);
    this.root.addEventListener("keydown", (event) => this.escape(event));
    this.root.addEventListener("pointerleave", () => this.settle(0)); // whatever is clicked next must find the pin as it is
    parentElement.append(this.root);
    this.views = [];
    this.pointed = null;
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.root);
  }

  /** Takes what Python sent; the same again changes nothing, and a pin is taken over only when Python means it. */
  show(data, setStateValue) {
    this.setStateValue = setStateValue;
    const { header, arrays } = unpack(data);
    if (header.version === this.version) return;
    this.version = header.version;
    this.take(header, arrays.weights);
    if (header.start_id !== this.startId) {
      this.pin = this.there(header.start) ? header.start : null;
      this.sent = JSON.stringify(this.plain());
    }
    this.startId = header.start_id;
    if (!this.there(this.pin)) this.pin = null;
    this.pointed = null;
    dress(this.root, header);
    this.heading.textContent = header.title;
    this.heading.hidden = !header.title;
    this.compare.textContent = this.compared();
    this.build();
    this.stale = true;
    this.draw();
  }

  close() {
    clearTimeout(this.timer);
    this.resized.disconnect();
  }

  plain() {
    return this.pin ?? { source: null, row: null, panel: 0 };
  }

  /** Tells the server once the reader has settled: it writes the address. Nothing on screen waits for it. */
  settle(delay = SETTLED) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const plain = JSON.stringify(this.plain());
      if (plain === this.sent) return;
      this.sent = plain;
      this.setStateValue("pinned", { ...this.plain(), start_id: this.startId }); // the same pin of another sentence is news
    }, delay);
  }

  // ---- the page's elements ---------------------------------------------------------------------------------------------

  /** New elements; the keys stay where they are in each panel. */
  build() {
    const before = this.views;
    const focused = before.findIndex(({ body }) => body === this.root.getRootNode().activeElement);
    this.views = this.panels.map((panel, i) => this.buildPanel(panel, i, before[i]?.active));
    this.grid.replaceChildren(...this.views.map(({ panel }) => panel));
    this.views[focused]?.body.focus({ preventScroll: true });
  }

  buildPanel({ name, note, detail, map, rows }, number, active) {
    const canvas = (part) => make("canvas", { class: part, "aria-hidden": "true" });
    const parts = ["rows", "above", "right", "under", "over", "rows marks", "above marks", "right marks"];
    const view = { number, ...Object.fromEntries(parts.map((part) => [part, canvas(part)])) };
    const lines = this.header.view === "lines";
    view.cell = make("div", { class: "cell", id: `alignment-${number}`, role: map && !lines ? "gridcell" : "option" });
    view.line = map && !lines ? make("div", { role: "row" }, [view.cell]) : view.cell;
    view.sheet = make("div", { class: "sheet" }, [view.under, view.over, view.line]);
    view.corner = make("div", { class: "corner" });
    view.space = make("div", { class: "space" }, [view.corner, view.sheet, ...LABELS.flatMap((part) => [view[part], view[`${part} marks`]])]);
    const size = map ? `${count(rows.length, "output word")} × ${count(this.header.source.length, "source word")}` : `${note}. ${count(rows.length, "output word")}`;
    view.body = make("div", {
      class: "body", tabindex: 0, role: map && !lines ? "grid" : "listbox", "aria-activedescendant": view.cell.id,
      "aria-label": `${name}: ${this.header.wording.noun}, ${size}. Arrow keys move, Enter pins, Escape clears.`,
      onpointermove: (event) => event.pointerType !== "touch" && this.point(this.at(view, event)),
      onpointerleave: () => this.point(null),
      onfocus: () => this.refresh(),
      onblur: () => this.refresh(),
      onclick: (event) => this.click(this.at(view, event)),
      onkeydown: (event) => this.key(view, event),
      onscroll: () => this.point(null),
    }, [view.space]);
    view.active = this.fitted(active, { map, rows: rows.length });
    const text = [[note, map && note], [detail, detail]].map(([text, shown]) => make("div", { class: "note", text, hidden: !shown, dir: "auto" }));
    const heading = make("div", { class: "heading", role: "heading", "aria-level": 4, text: name, dir: "auto" });
    view.panel = make("div", { class: "panel", role: "group", "aria-label": name }, [heading, make("div", { class: "notes" }, text), view.body]);
    return view;
  }

  /** Where the keys may be in a panel: on a cell or a label of a heatmap, on a word of lines or of a mere list. */
  fitted(active, { map, rows }) {
    const { source, view } = this.header;
    if (!map) return { row: within(active?.row ?? 0, [0, rows - 1]), source: null };
    const row = active?.row === null ? null : within(active?.row ?? 0, [0, rows - 1]);
    const column = active?.source === null ? null : within(active?.source ?? 0, [0, source.length - 1]);
    if (view === "lines") return row === null ? { row, source: column } : { row, source: null };
    return row === null && column === null ? { row: 0, source: 0 } : { row, source: column };
  }

  // ---- what the reader does ----------------------------------------------------------------------------------------------

  /** What is under the pointer: a cell, a row's label or a source label; null where nothing is. */
  at({ number, sheet, rows, above, under, right }, event) {
    const { pitch, angle } = this.size;
    const part = event.target;
    const box = sheet.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const row = Math.floor(y / pitch);
    const lean = part === above && angle ? (-y * cosine(angle)) / sine(angle) : 0; // labels climb to the right
    const column = Math.floor((x - lean) / pitch);
    const found = (place) => (this.there({ source: null, row: null, ...place, panel: number }) ? { source: null, row: null, ...place, panel: number } : null);
    if (part === rows) return found({ row });
    if (part === right) return found({ source: row });
    if (part === above) return column < 0 ? null : found({ source: column });
    if (part === under && this.header.view === "heatmap" && this.panels[number].map) return found({ row, source: column });
    return null;
  }

  point(pick) {
    if (samePick(pick, this.pointed) || (!pick && !this.pointed)) return;
    this.pointed = pick;
    if (pick) this.quiet = false;
    this.annotate();
  }

  refresh() {
    this.quiet = false;
    this.annotate();
  }

  click(pick) {
    if (!pick) return;
    const view = this.views[pick.panel];
    view.active = this.fitted(pick, { map: this.panels[pick.panel].map, rows: this.panels[pick.panel].rows.length });
    this.pinAt(pick);
  }

  /** Pins, or unpins what is pinned already; null clears. */
  pinAt(pick) {
    this.pin = pick && !samePick(pick, this.pin) ? { source: pick.source, row: pick.row, panel: pick.panel } : null;
    this.annotate();
    this.settle();
  }

  escape(event) {
    if (event.key !== "Escape" || (!this.pin && this.tip.hidden)) return;
    this.quiet = true; // until the next move
    this.pinAt(null);
    event.preventDefault();
  }

  key(view, event) {
    if (event.altKey || event.metaKey) return;
    const panel = this.panels[view.number];
    if (!panel.map && !panel.rows.length) return;
    const to = panel.map && this.header.view === "heatmap" ? this.walkCells(view.active, panel, event) : this.walkWords(view.active, panel, event);
    if (to) {
      view.active = to;
      this.pointed = null;
      this.quiet = false;
      this.annotate();
      view.cell.scrollIntoView({ block: "nearest", inline: "nearest" });
    } else if (event.key === "Enter" || event.key === " ") this.pinAt({ ...view.active, panel: view.number });
    else return;
    event.preventDefault();
  }

  /** Where a key leads from a cell of a heatmap; left of the first column are the rows' labels, above the first row the source's. */
  walkCells({ row, source }, { rows }, { key, ctrlKey: far }) {
    const last = [rows.length - 1, this.header.source.length - 1];
    const [r, s] = [row ?? -1, source ?? -1];
    const to = {
      ArrowUp: [r - 1, s], ArrowDown: [r + 1, s], ArrowLeft: [r, s - 1], ArrowRight: [r, s + 1],
      PageUp: [0, s], PageDown: [last[0], s], Home: [far ? 0 : r, 0], End: [far ? last[0] : r, last[1]],
    }[key];
    if (!to) return null;
    const [toRow, toSource] = to.map((place, i) => within(place, [-1, last[i]]));
    if (toRow < 0 && toSource < 0) return { row, source };
    return { row: toRow < 0 ? null : toRow, source: toSource < 0 ? null : toSource };
  }

  /** Where a key leads from a word of the lines or of a list: up and down its side, across to the other. */
  walkWords({ row, source }, { rows, map }, { key }) {
    const columns = map ? this.header.source.length : 0;
    const left = row !== null;
    const [at, last] = left ? [row, rows.length - 1] : [source, columns - 1];
    const steps = { ArrowUp: at - 1, ArrowDown: at + 1, Home: 0, PageUp: 0, End: last, PageDown: last };
    if (key in steps) {
      const to = within(steps[key], [0, last]);
      return left ? { row: to, source: null } : { row: null, source: to };
    }
    if (key === "ArrowRight" && left && columns) return { row: null, source: Math.min(at, columns - 1) };
    if (key === "ArrowLeft" && !left && rows.length) return { row: Math.min(at, rows.length - 1), source: null };
    return null;
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------------

  /** Lays out, and paints where anything has changed. */
  draw() {
    const room = this.root.clientWidth;
    if (!this.header || !this.root.isConnected || !room) return;
    const name = [room, Math.min(window.devicePixelRatio || 1, 3)].join();
    if (name === this.drawnName && !this.stale) return;
    this.drawnName = name;
    this.stale = false;
    this.size = measured(this.header, room);
    this.root.style.setProperty("--per", this.size.per);
    const legend = legendOf(this.header, this.size, room);
    legend.paint(new CanvasPainter(sized(this.legend, legend.width, legend.height)), 0, 0);
    this.legend.setAttribute("aria-label", `Legend: ${legend.words}`);
    this.views.forEach((view) => this.lay(view));
    this.annotate();
  }

  /** The sizes of a panel's elements, and what no pointing changes. */
  lay(view) {
    const { header, size } = this;
    const place = size.panels[view.number];
    const panel = this.panels[view.number];
    view.drawn = ""; // its labels and marks
    const shown = { rows: place.aside, above: panel.map && header.view === "heatmap", right: panel.map && header.view === "lines" };
    for (const part of LABELS) view[part].hidden = view[`${part} marks`].hidden = !shown[part];
    view.over.hidden = !panel.map;
    this.label(view, UNMARKED);
    view.panel.style.width = `${Math.max(Math.min(place.whole, size.share), Math.min(NARROWEST * header.scale, size.share))}px`;
    view.body.classList.toggle("scrolls", place.whole > size.share);
    view.body.style.scrollPaddingLeft = `${place.aside}px`;
    view.space.style.gridTemplateColumns = `${place.aside}px ${place.width}px ${place.right + place.overhang}px`;
    view.space.style.gridTemplateRows = `${size.above}px ${place.height}px`;
    const painter = new CanvasPainter(sized(view.under, place.width, place.height));
    if (!panel.map) paintAbsence(painter, header, size, panel, { x: 0, y: 0, width: place.width, height: place.height });
    else if (header.view === "lines") paintLines(painter, header, size, panel, { x: 0, y: 0 });
    else paintCells(painter, header, size, panel, { x: 0, y: 0 });
  }

  /** The pick to speak of: what is pointed at, else what the keys have reached; `pinned` stands in for both. */
  current() {
    if (this.pointed) return this.pointed;
    const view = this.quiet ? null : this.views.find(({ body }) => body.matches(":focus-visible"));
    const pick = view && { ...view.active, panel: view.number };
    return this.there(pick) ? pick : null;
  }

  /** A panel's marks: what is pointed at, what is pinned, the shades of words and, in the lines view, the lines left. */
  look(number, pick) {
    const [picks, pins] = [pick, this.pin].map((one) => this.linked(one, number));
    const shown = [picks, pins].find(({ source, row }) => source !== null || row !== null);
    const lines = this.header.view === "lines" && this.panels[number].map;
    return { picks, pins, only: lines && shown ? shown : null, shares: lines && shown ? this.shares(number, shown) : {} };
  }

  /** Marks, the line of text and the tip. */
  annotate() {
    if (!this.size) return;
    const pick = this.current();
    for (const view of this.views) this.mark(view, this.look(view.number, pick));
    const text = pick ? this.sentence(pick) : this.pin ? `Pinned: ${this.sentence(this.pin)}` : "Point at a word or a cell to read it in every panel; click or press Enter to pin it.";
    if (this.readout.textContent !== text) this.readout.textContent = text;
    this.unpin.hidden = !this.pin;
    this.tip.hidden = !pick || Boolean(this.quiet);
    if (!this.tip.hidden) this.explain(pick);
  }

  /** Paints a panel's labels and marks anew where they are others than before. */
  mark(view, look) {
    this.describe(view);
    const name = JSON.stringify([look.picks, look.pins]);
    if (name === view.drawn) return;
    view.drawn = name;
    this.label(view, { ...look, marksAlone: true });
    const { header, size } = this;
    const panel = this.panels[view.number];
    if (!panel.map) return;
    const { width, height } = size.panels[view.number];
    const over = new CanvasPainter(sized(view.over, width, height));
    if (header.view === "heatmap") paintMarks(over, header, size, panel, { x: 0, y: 0 }, look);
    else view.under.style.opacity = look.only ? FADED : 1;
    if (look.only) paintLines(over, header, size, panel, { x: 0, y: 0 }, { only: look.only });
  }

  /** Paints a panel's words; only those that are marked, above the others, where the look says so. */
  label(view, look) {
    const { header, size } = this;
    const { aside, width, height, right, overhang } = size.panels[view.number];
    const painter = (part, ...sides) => new CanvasPainter(sized(view[look.marksAlone ? `${part} marks` : part], ...sides));
    if (!view.rows.hidden) paintRows(painter("rows", aside, height), header, size, this.panels[view.number], { x: aside, y: 0 }, look);
    if (!view.above.hidden) paintAbove(painter("above", width + overhang, size.above), header, size, { x: 0, y: size.above }, look);
    if (!view.right.hidden) paintSources(painter("right", right, height), header, size, { x: 0, y: 0 }, look);
  }

  /** Where a pick is in its panel, in pixels from the sheet's corner. */
  boxOf({ panel, row, source }) {
    const { pitch, above } = this.size;
    const { aside, width } = this.size.panels[panel];
    if (row !== null && source !== null) return { x: source * pitch, y: row * pitch, width: pitch, height: pitch };
    if (row !== null) return { x: -aside, y: row * pitch, width: aside, height: pitch };
    if (this.header.view === "lines") return { x: width, y: source * pitch, width: pitch * 2, height: pitch };
    return { x: source * pitch, y: -above, width: pitch, height: above };
  }

  /** The one cell of a panel that assistive technology sees stands where the keys are. */
  describe({ number, active, cell, line }) {
    const pick = { ...active, panel: number };
    if (!this.there(pick)) return;
    const { rows, weight } = this.panels[number];
    const { row, source } = pick;
    const words = [row === null ? "" : rows[row].label, source === null ? "" : this.header.source[source].label].filter(Boolean);
    const value = row !== null && source !== null ? `: ${percent(weight(row, source))}` : "";
    cell.setAttribute("aria-label", `${words.map(isolated).join(", ")}${value}`);
    cell.setAttribute("aria-selected", samePick(pick, this.pin));
    if (line !== cell) line.setAttribute("aria-rowindex", (row ?? -1) + 2);
    const box = this.boxOf(pick);
    Object.assign(cell.style, { left: `${box.x}px`, top: `${box.y}px`, width: `${box.width}px`, height: `${box.height}px` });
  }

  /** The tip stands above what it speaks of, or below where there is no room: never over it, never beyond the component. */
  explain(pick) {
    const { title, at, values } = this.facts(pick);
    this.tipTitle.textContent = title;
    this.tipAt.textContent = at;
    this.tipAt.hidden = !at;
    const several = values.length > 1 || pick.row === null || pick.source === null;
    this.tipValues.replaceChildren(...(several ? values : []).flatMap(({ own, name, label, weight }) => [
      make("span", { class: own && values.length > 1 ? "own" : "", text: name, dir: "auto" }),
      make("span", { class: "weight" }, [make("span", { style: `width: ${Math.round(within(weight, [0, 1]) * 100)}%` })]),
      make("span", { class: "number", text: `${percent(weight)}${label ? ` ${isolated(label)}` : ""}` }),
    ]));
    const [root, sheet] = [this.root, this.views[pick.panel].sheet].map((element) => element.getBoundingClientRect());
    const box = this.boxOf(pick);
    const [x, y, margin] = [sheet.left - root.left + box.x, sheet.top - root.top + box.y, 8];
    const { offsetWidth: width, offsetHeight: height } = this.tip;
    const over = y - height - margin;
    const down = over >= HEADER_ROOM - root.top ? over : y + box.height + margin;
    this.tip.style.transform = `translate(${within(x + box.width / 2 - width / 2, [0, root.width - width])}px, ${down}px)`;
  }

  // ---- files ---------------------------------------------------------------------------------------------------------------

  /** All panels with title, labels, gold links, pins and legend, beside each other as on the screen. */
  save(format) {
    const { header, size, panels } = this;
    const looks = panels.map((_, i) => this.look(i, null));
    const { width, height, paint } = pictureOf(header, size, panels, looks, this.pin ? this.sentence(this.pin) : "");
    save(format, header.file_name, width, height, header.theme.background, paint);
  }
}

export default function render({ data, parentElement, setStateValue }) {
  mount(parentElement, () => new Alignments(parentElement)).show(data, setStateValue);
  return () => unmount(parentElement);
}
