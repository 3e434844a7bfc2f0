// The line diagram: left the positions that look, right where they look, one line per (query, key, head).

const SCROLL_FROM = 4_000; // pixels of height from which the figure scrolls inside its own frame
const SETTLED = 400; // milliseconds after the last change until the server is told, for the address
const SIDES = ["query", "key"];

class Lines extends LineFigure {
  constructor(parentElement) {
    super();
    this.root = make("div", { class: "lines" });
    parentElement.append(this.root);
    this.resized = new ResizeObserver(() => this.draw());
  }

  /** Takes what Python sent; the same again changes nothing, and a view is taken over only when Python means it. */
  show(data, setStateValue) {
    this.setStateValue = setStateValue;
    const { header, arrays } = unpack(data);
    if (header.version === this.version) return;
    this.version = header.version;
    this.header = header;
    this.weights = arrays.weights;
    this.removed = arrays.removed ?? null;
    const moved = header.start_id !== this.startId;
    this.startId = header.start_id;
    if (moved || !this.state) this.state = this.fresh(header.start);
    this.fit();
    this.hover = null;
    if (moved) this.sent = JSON.stringify(this.plain());
    dress(this.root, header);
    this.build();
    this.update();
  }

  fresh(start) {
    return { ...start, heads: new Set(start.heads), query: new Set(start.query), key: new Set(start.key) };
  }

  /** Another sentence or map may have fewer layers, heads or tokens than the view was made for. */
  fit() {
    const { header, state } = this;
    state.layer = Math.min(state.layer, header.layers.length - 1);
    state.heads = new Set([...state.heads].filter((head) => head < header.heads.length));
    for (const side of SIDES) state[side] = new Set([...state[side]].filter((i) => i < header.tokens[side].length));
  }

  plain() {
    const list = (set) => [...set].sort((a, b) => a - b);
    const { layer, heads, query, key, by, least, mass } = this.state;
    return { layer, heads: list(heads), query: list(query), key: list(key), by, least, mass };
  }

  /** Tells the server once the reader has settled: it writes the address. Nothing on screen waits for it. */
  settle(delay = SETTLED) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const plain = JSON.stringify(this.plain());
      if (plain === this.sent) return;
      this.sent = plain;
      // with the name of the start, so that the same view of another sentence is news to the server
      this.setStateValue("view", { ...this.plain(), start_id: this.startId });
    }, delay);
  }

  close() {
    clearTimeout(this.timer);
    this.resized.disconnect();
  }

  // ---- the page's elements ---------------------------------------------------------------------------------------------

  build() {
    const { header } = this;
    this.layerButtons = header.layers.map((name, layer) =>
      make("button", {
        type: "button", role: "radio", class: "layer", "data-stop": true, "aria-label": name, title: name,
        text: header.numbered.layers ? `${layer + 1}` : name,
        onclick: () => this.change({ layer }),
      }),
    );
    const { group: heads, patches } = headPatches(header, (head) => this.toggle(head), (head) => this.change({ heads: new Set([head]) }));
    this.headButtons = patches;
    const layers = make("div", { class: "group", role: "radiogroup", "aria-label": "Layer" }, this.layerButtons);
    arrows(layers, this.layerButtons, { back: "ArrowLeft", forward: "ArrowRight", go: (layer) => this.change({ layer }) });
    const everyHead = () => new Set(header.heads.keys());
    this.root.replaceChildren(
      make("div", { class: "bar", hidden: header.controls === "none" }, [
        make("span", { class: "field", hidden: header.layers.length < 2 }, [make("span", { class: "name", text: "Layer" }), layers]),
        make("span", { class: "field", hidden: header.heads.length < 2 }, [
          make("span", { class: "name", text: "Heads" }),
          heads,
          make("button", { type: "button", class: "quiet", text: "all", onclick: () => this.change({ heads: everyHead() }) }),
          make("button", { type: "button", class: "quiet", text: "none", onclick: () => this.change({ heads: new Set() }) }),
        ]),
        this.buildThreshold(header.controls !== "all"),
        (this.unpin = make("button", { type: "button", class: "quiet", text: "Clear pins", onclick: () => this.change({ query: new Set(), key: new Set() }) })),
        header.controls === "all" ? saveButtons((format) => this.save(format)) : "",
      ]),
      (this.status = make("div", { class: "status", role: "status", "aria-live": "polite" })),
      this.buildFigure(),
    );
    this.root.onkeydown = (event) => this.shortcut(event);
    this.root.onpointerleave = () => this.settle(0); // whatever is clicked next must find the view as it is
  }

  buildThreshold(hidden) {
    const { state } = this;
    this.by = make("select", { "aria-label": "Which lines are drawn", onchange: () => this.change({ by: this.by.value }) }, [
      make("option", { value: "weight", text: `${this.header.wording.unit} at least` }),
      make("option", { value: "mass", text: "strongest that carry" }),
    ]);
    this.slider = make("input", {
      type: "range", "aria-label": "Threshold",
      oninput: () => this.change(state.by === "mass" ? { mass: +this.slider.value / 100 } : { least: +this.slider.value / 100 }),
    });
    this.reading = make("span", { class: "reading" });
    return make("span", { class: "field", hidden }, [make("span", { class: "name", text: "Lines" }), this.by, this.slider, this.reading]);
  }

  buildFigure() {
    const { header } = this;
    this.cells = {};
    this.marks = {};
    const column = (side, heading) => {
      this.marks[side] = [];
      this.cells[side] = header.tokens[side].map(({ label, title, special }, i) => {
        const mark = make("span", { class: "value", "aria-hidden": "true" });
        this.marks[side].push(mark);
        const name = make("span", { class: "label", text: label });
        return make("div", {
          class: special ? "token special" : "token", role: "option", "data-stop": true, "data-i": i, title,
          "aria-label": title, "aria-selected": "false", tabindex: i === 0 && side === "query" ? 0 : -1,
        }, side === "query" ? [name, mark] : [mark, name]);
      });
      const list = make("div", { class: `column ${side}`, role: "listbox", "aria-multiselectable": "true", "aria-label": heading }, this.cells[side]);
      list.addEventListener("pointerover", (event) => this.point(event));
      list.addEventListener("pointerleave", () => this.leave());
      list.addEventListener("focusin", (event) => this.point(event));
      list.addEventListener("focusout", () => this.leave());
      list.addEventListener("click", (event) => this.pin(event.target.closest(".token")));
      list.addEventListener("keydown", (event) => this.walk(event, side));
      return list;
    };
    const [left, right] = header.headings;
    this.under = make("canvas", { class: "under", role: "img" });
    this.over = make("canvas", { class: "over", "aria-hidden": "true" });
    this.tip = make("div", { class: "tip", hidden: true });
    const sheet = make("div", { class: "sheet" }, [this.under, this.over, this.tip]);
    this.middle = make("div", { class: "middle" }, [sheet]);
    this.middle.addEventListener("pointermove", (event) => this.pointAtLine(event));
    this.middle.addEventListener("pointerleave", () => (this.tip.hidden = true));
    this.figure = make("div", { class: "figure" }, [
      make("div", { class: "heading query", text: left }),
      make("div", { class: "heading" }),
      make("div", { class: "heading key", text: right }),
      column("query", left),
      this.middle,
      column("key", right),
    ]);
    const tall = Math.max(...this.size) * header.row * header.scale > SCROLL_FROM;
    this.figure.classList.toggle("tall", tall);
    this.figure.addEventListener("scroll", () => this.draw());
    this.resized.disconnect();
    this.resized.observe(this.figure);
    return this.figure;
  }

  // ---- what the reader does ----------------------------------------------------------------------------------------------

  change(part) {
    Object.assign(this.state, part);
    this.update();
    this.settle(this.loaded ? SETTLED : 0); // a layer that was not sent has to be asked for
  }

  toggle(head) {
    const heads = new Set(this.state.heads);
    if (!heads.delete(head)) heads.add(head);
    this.change({ heads });
  }

  point(event) {
    const token = event.target.closest(".token");
    if (!token) return;
    const side = token.parentElement.classList.contains("query") ? "query" : "key";
    const i = +token.dataset.i;
    if (this.hover?.side === side && this.hover.i === i) return;
    this.hover = { side, i };
    this.mark();
  }

  leave() {
    if (!this.hover) return;
    this.hover = null;
    this.mark();
  }

  pin(token) {
    if (!token) return;
    const side = token.parentElement.classList.contains("query") ? "query" : "key";
    const pins = new Set(this.state[side]);
    if (!pins.delete(+token.dataset.i)) pins.add(+token.dataset.i);
    this.change({ [side]: pins });
  }

  walk(event, side) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const token = event.target.closest(".token");
    const at = +token.dataset.i;
    const other = side === "query" ? "key" : "query";
    const reach = { ArrowUp: [side, at - 1], ArrowDown: [side, at + 1], Home: [side, 0], End: [side, this.cells[side].length - 1] };
    if ((event.key === "ArrowLeft" && side === "key") || (event.key === "ArrowRight" && side === "query")) {
      reach[event.key] = [other, Math.min(at, this.cells[other].length - 1)];
    }
    if (event.key === "Enter" || event.key === " ") this.pin(token);
    else if (!reach[event.key]) return;
    else {
      const next = this.cells[reach[event.key][0]][reach[event.key][1]];
      if (next) {
        for (const cell of [...this.cells.query, ...this.cells.key]) cell.tabIndex = -1;
        next.tabIndex = 0;
        next.focus();
      }
    }
    event.preventDefault();
  }

  /** Keys that work anywhere in the diagram. */
  shortcut(event) {
    const elsewhere = event.target.matches("input, select") || this.header.controls === "none";
    if (event.ctrlKey || event.metaKey || event.altKey || elsewhere) return;
    const { layers, heads } = this.header;
    const { layer } = this.state;
    if (event.key === "[" && layer > 0) this.change({ layer: layer - 1 });
    else if (event.key === "]" && layer < layers.length - 1) this.change({ layer: layer + 1 });
    else if (event.key === "a") this.change({ heads: new Set(heads.keys()) });
    else if (event.key === "Escape") this.change({ query: new Set(), key: new Set() });
    else if (/^[1-9]$/.test(event.key) && +event.key <= heads.length) this.toggle(+event.key - 1);
    else return;
    event.preventDefault();
  }
}

export default function render({ data, parentElement, setStateValue }) {
  mount(parentElement, () => new Lines(parentElement)).show(data, setStateValue);
  return () => unmount(parentElement);
}
