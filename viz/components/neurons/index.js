// The neurons of a head: a list of keys with their weights, and of one key or of all what each dimension adds.

const SETTLED = 250; // milliseconds after the last change of key until Python is told: it writes the address

class Neurons extends NeuronsFigure {
  constructor(parentElement) {
    super();
    this.root = make("div", { class: "neurons" });
    this.sortBox = make("input", { type: "checkbox", onchange: () => this.change(() => (this.sorted = this.sortBox.checked)) });
    this.modes = ["one", "all"].map((mode) =>
      make("button", { type: "button", class: "quiet mode", text: mode === "one" ? "One key" : "All keys", onclick: () => this.change(() => (this.mode = mode)) }));
    this.title = make("span", { class: "title" });
    this.signs = make("span", { class: "signs", "aria-hidden": "true" }, ["below", "above"].map((side) =>
      make("span", { class: "field" }, [make("span", { class: `sample ${side}` }), make("span", { text: `${side} 0` })])));
    const bar = make("div", { class: "bar" }, [
      this.title,
      make("span", { class: "group", role: "group", "aria-label": "Keys whose dimensions are shown" }, this.modes),
      make("label", { class: "check", title: "Dimensions in the order of what they add to the chosen key's logit, the largest first" }, [this.sortBox, "Sort dimensions by contribution"]),
      this.signs,
      saveButtons((format) => this.save(format)),
    ]);
    this.buildList();
    this.canvas = make("canvas");
    this.figure = make("div", {
      class: "figure", tabindex: 0, role: "slider", "aria-valuemin": 1, "aria-orientation": "horizontal",
      onpointermove: (event) => this.point(this.dimensionAt(event.offsetX, this.canvas.clientWidth)),
      onpointerdown: (event) => this.point(this.dimensionAt(event.offsetX, this.canvas.clientWidth)),
      onpointerleave: () => this.point(-1),
      onkeydown: (event) => this.figureKey(event),
      onblur: () => this.point(-1),
    }, [this.canvas]);
    this.equationOf = make("div", { class: "equation" });
    this.readout = make("div", { class: "readout" });
    this.spoken = make("div", { class: "unseen", role: "status", "aria-live": "polite" });
    this.panel = make("div", { class: "panel" }, [this.figure]);
    this.body = make("div", { class: "body" }, [make("div", { class: "side" }, [this.top, this.list]), this.panel]);
    this.note = make("div", { class: "note" });
    this.root.append(bar, this.body, this.equationOf, this.readout, this.note, this.spoken);
    parentElement.append(this.root);
    this.root.onpointerleave = () => this.flush();
    this.root.addEventListener("focusout", (event) => this.root.contains(event.relatedTarget) || this.flush());
    this.resized = new ResizeObserver(() => this.draw());
    this.resized.observe(this.panel);
    Object.assign(this, { mode: "one", sorted: false, key: 0, pointed: -1, rows: [] });
  }

  buildList() {
    this.top = make("div", { class: "line top", "aria-hidden": "true" });
    this.list = make("div", {
      class: "keys", role: "listbox",
      onclick: (event) => this.take(this.rowOf(event)),
      onkeydown: (event) => this.listKey(event),
      onpointermove: (event) => this.pointHeat(event),
      onpointerleave: () => this.point(-1),
    });
  }

  /** Takes what Python sent; its key counts only for another row, else the reader's own stays. */
  show(data, setTriggerValue) {
    this.setTriggerValue = setTriggerValue;
    const { header, arrays } = unpack(data);
    if (header.version === this.version) return;
    const position = this.header?.keys[this.key]?.position;
    const other = header.start_id !== this.header?.start_id;
    if (other) clearTimeout(this.timer), (this.timer = null);
    Object.assign(this, { version: header.version, header, arrays, pointed: -1 });
    const kept = other ? -1 : header.keys.findIndex((key) => key.position === position);
    this.key = kept >= 0 ? kept : header.key;
    this.shades = signedPalette(header.diverging);
    dress(this.root, header);
    this.root.style.setProperty("--mask", header.mask);
    this.root.style.setProperty("--below", this.signed(-1));
    this.root.style.setProperty("--above", this.signed(1));
    this.compute();
    this.title.textContent = header.name;
    this.note.textContent = header.note;
    this.note.hidden = !header.note;
    this.list.setAttribute("aria-label", `Keys of ${isolated(header.query.title)}`);
    this.figure.setAttribute("aria-valuemax", this.width);
    this.fill();
    this.update();
    this.hidden = other; // until the list has its height
    this.draw();
  }

  close() {
    clearTimeout(this.timer);
    this.resized.disconnect();
  }

  // ---- the list of keys --------------------------------------------------------------------------------------------------

  fill() {
    const { keys } = this.header;
    const inside = this.list.contains(this.root.getRootNode().activeElement);
    this.rows = keys.map((_, k) => this.buildRow(k));
    this.list.replaceChildren(...this.rows.map((row) => row.element));
    if (inside) this.rows[this.key].element.focus({ preventScroll: true });
  }

  buildRow(k) {
    const { keys, weights } = this.header;
    const { allowed, logits, shares } = this.arrays;
    const { label, title, special, position } = keys[k];
    const logit = allowed[k] ? digits(logits[k]) : "masked";
    const cell = (name, text = "") => make("span", { class: name, text });
    const bar = make("span", { class: "bar" });
    bar.style.width = `${100 * shares[k]}%`;
    const heat = make("canvas", { class: "heat", width: this.width, height: 1, "aria-hidden": "true" });
    const spark = make("span", { class: "spark", "aria-hidden": "true" });
    const element = make("div", {
      class: `line key${special ? " special" : ""}${allowed[k] ? "" : " masked"}`, role: "option", tabindex: -1,
      "aria-label": `${position + 1}: ${isolated(title)}, weight ${weights[k]}, logit ${logit}`,
      title: `${isolated(title)} · position ${position + 1} · weight ${weights[k]} · logit ${logit}`,
    }, [make("bdi", { class: "label", text: label }), make("span", { class: "track" }, [bar]), cell("number weight", weights[k]), heat, spark, cell("number logit", logit)]);
    element.index = k;
    return { element, heat, spark };
  }

  fillTop() {
    const { query, reach_text } = this.header;
    const heat = make("canvas", { class: "heat", width: this.width, height: 1 });
    this.top.replaceChildren(
      make("span", { class: "label", text: this.mode === "all" ? "q" : "key", title: `query: ${isolated(query.title)}` }),
      make("span", { class: "range" }, [make("span", { text: "0" }), make("span", { text: reach_text })]),
      make("span", { class: "number weight", text: "weight" }), heat,
      make("span", { class: "spark", text: "running sum" }), make("span", { class: "number logit", text: "logit" }),
    );
    if (this.mode === "all") this.paintHeat(heat, (d) => this.arrays.query[d], this.largest.query);
    this.topHeat = heat;
  }

  fillSpark({ spark }, k) {
    const svg = (tag, attributes) => {
      const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
      for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
      return element;
    };
    const { points, zero } = this.spark(k);
    const figure = svg("svg", { viewBox: "0 0 100 24", preserveAspectRatio: "none" });
    figure.append(svg("line", { x1: 0, x2: 100, y1: zero, y2: zero, class: "zero" }), svg("polyline", { points, class: "sum" }));
    spark.replaceChildren(figure);
  }

  // ---- what is shown -------------------------------------------------------------------------------------------------------

  change(change) {
    change();
    this.pointed = -1;
    this.update();
    this.reveal();
  }

  update() {
    const all = this.mode === "all";
    this.root.dataset.mode = this.mode;
    this.modes.forEach((button, n) => button.setAttribute("aria-pressed", (n === 1) === all));
    this.sort();
    this.fillTop();
    this.rows.forEach((row, k) => {
      const chosen = k === this.key;
      row.element.setAttribute("aria-selected", chosen);
      row.element.tabIndex = chosen ? 0 : -1;
      if (!all) return;
      this.paintHeat(row.heat, (d) => this.product(k, d), this.largest.product);
      this.fillSpark(row, k);
    });
    const { keys, query } = this.header;
    const key = isolated(keys[this.key].title);
    this.figure.setAttribute("aria-label", `Dimensions of the query ${isolated(query.title)} and the key ${key}: arrow keys left and right go through them`);
    this.writeEquation();
    this.draw();
  }

  writeEquation() {
    const { keys, query } = this.header;
    const pair = `${isolated(query.title)}${query.predicts ? " ·" : ""} looks at ${isolated(keys[this.key].title)}`;
    this.equationOf.replaceChildren(make("bdi", { class: "pair", text: pair }), make("span", { class: "sum", text: this.equation(this.key) }));
    this.say("");
  }

  draw() {
    const width = this.panel.clientWidth;
    if (!this.header || this.mode === "all" || !width) return;
    const { height } = this.layout(width);
    this.root.classList.toggle("stacked", !this.beside());
    this.paint(new CanvasPainter(sized(this.canvas, width, height)), width);
    this.list.style.setProperty("--figure", `${height}px`);
    if (this.hidden) this.reveal();
  }

  /** The chosen key is in view; the page itself stays where it is. */
  reveal() {
    this.hidden = false;
    const row = this.rows[this.key].element;
    const [top, bottom] = [row.offsetTop, row.offsetTop + row.offsetHeight]; // within the list
    if (top < this.list.scrollTop) this.list.scrollTop = top;
    else if (bottom > this.list.scrollTop + this.list.clientHeight) this.list.scrollTop = bottom - this.list.clientHeight;
  }

  // ---- what the reader does --------------------------------------------------------------------------------------------------

  rowOf({ target }) {
    return target?.closest?.(".key")?.index ?? -1;
  }

  take(k, focus = false) {
    if (k < 0 || k >= this.rows.length) return;
    if (k !== this.key) {
      this.key = k;
      this.pointed = -1;
      this.update();
      clearTimeout(this.timer);
      this.timer = setTimeout(() => this.flush(), SETTLED);
    }
    if (focus) this.rows[k].element.focus({ preventScroll: true });
    this.reveal();
    this.spoken.textContent = this.equationOf.textContent;
  }

  flush() {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = null;
    this.setTriggerValue("picked", { picked: this.header.keys[this.key].position, start_id: this.header.start_id, nonce: Date.now() });
  }

  listKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const k = this.rowOf(event);
    const last = this.rows.length - 1;
    const to = { ArrowUp: k - 1, ArrowDown: k + 1, Home: 0, End: last, Enter: k, " ": k }[event.key];
    if (k < 0 || to === undefined) return;
    event.preventDefault();
    this.take(Math.max(0, Math.min(to, last)), true);
  }

  figureKey(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const at = this.order.indexOf(this.pointed);
    const last = this.width - 1;
    const to = { ArrowLeft: Math.max(at - 1, 0), ArrowRight: Math.min(at + 1, last), Home: 0, End: last }[event.key];
    if (event.key === "Escape") this.point(-1);
    else if (to !== undefined) this.point(this.order[to]);
    else return;
    event.preventDefault();
  }

  /** A dimension is pointed at, or none for −1. */
  point(d, k = this.key) {
    const same = d === this.pointed && k === this.pointedKey;
    if (same) return;
    Object.assign(this, { pointed: d, pointedKey: k });
    this.say(d < 0 ? "" : `${k === this.key ? "" : `${isolated(this.header.keys[k].title)} · `}${this.dimension(k, d).join(" · ")}`);
    this.draw();
  }

  pointHeat(event) {
    const k = this.rowOf(event);
    if (this.mode !== "all" || k < 0 || event.target !== this.rows[k].heat) return this.point(-1);
    const at = Math.floor((event.offsetX / event.target.clientWidth) * this.width);
    this.point(this.order[Math.max(0, Math.min(at, this.width - 1))], k);
  }

  say(text) {
    this.readout.textContent = text || "Point at a dimension, or reach it by the arrow keys, for its numbers.";
    this.readout.classList.toggle("idle", !text);
    this.figure.setAttribute("aria-valuenow", this.pointed < 0 ? 1 : this.pointed + 1);
    this.figure.setAttribute("aria-valuetext", text || this.equationOf.textContent);
  }

  // ---- files -------------------------------------------------------------------------------------------------------------------

  save(format) {
    const { theme, file_name } = this.header;
    const pad = 16;
    const width = Math.ceil(this.root.clientWidth + 2 * pad);
    const shown = this.savedRows();
    const height = this.savedHeight(shown);
    save(format, file_name, width, height, theme.background, (painter) => this.paintAll(painter, width, pad, shown));
  }
}

export default function render({ data, parentElement, setTriggerValue }) {
  mount(parentElement, () => new Neurons(parentElement)).show(data, setTriggerValue);
  return () => unmount(parentElement);
}
