// The line diagram: left the positions that look, right where they look, one line per (query, key, head).

const MOST_LINES = 30_000; // drawn at once; the strongest are kept and the count says so
const SCROLL_FROM = 4_000; // pixels of height from which the figure scrolls inside its own frame
const SETTLED = 400; // milliseconds after the last change until the server is told, for the address
const NEAR = 4; // pixels from a line at which the mouse points at it
const SIDES = ["query", "key"];

class Lines {
  constructor(parentElement) {
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

  // ---- weights -------------------------------------------------------------------------------------------------------

  get size() {
    return [this.header.tokens.query.length, this.header.tokens.key.length];
  }

  /** Where the weights of a head of the shown layer start; null where the layer was not sent. */
  base(head) {
    const [Q, K] = this.size;
    const layer = this.state.layer - this.header.first_layer;
    if (layer < 0 || layer >= this.header.layers_sent) return null;
    return (layer * this.header.heads.length + head) * Q * K;
  }

  get loaded() {
    return this.base(0) !== null;
  }

  weight(head, query, key) {
    const base = this.base(head);
    return base === null ? 0 : this.weights[base + query * this.size[1] + key] / this.header.levels;
  }

  get heads() {
    return [...this.state.heads].sort((a, b) => a - b);
  }

  /** The least level that gets a line, for each shown head and row. */
  cuts() {
    const { by, least, mass, layer } = this.state;
    const { levels, version } = this.header;
    const name = [version, layer, this.heads, by, least, mass].join();
    if (name === this.cutsName) return this.cutsFound;
    const [Q, K] = this.size;
    this.cutsName = name;
    this.cutsFound = new Map();
    for (const head of this.heads) {
      const cut = new Float64Array(Q).fill(Math.max(least * levels - 0.5, 1e-9));
      if (by === "mass" && this.loaded) {
        for (let q = 0; q < Q; q++) {
          const start = this.base(head) + q * K;
          const row = this.weights.slice(start, start + K).sort();
          const wanted = mass * row.reduce((sum, level) => sum + level, 0);
          let reached = 0;
          let i = K;
          while (i > 0 && reached < wanted) reached += row[--i];
          cut[q] = Math.max(i < K ? row[i] : levels + 1, 1e-9);
        }
      }
      this.cutsFound.set(head, cut);
    }
    return this.cutsFound;
  }

  /** Lines of the shown heads between given rows and columns (null: all), weakest first, the strongest `most`. */
  edges(rows, columns, most = MOST_LINES) {
    const [Q, K] = this.size;
    const found = { query: [], key: [], head: [], level: [], candidates: 0, mass: 0, total: 0 };
    if (!this.loaded) return found;
    const cuts = this.cuts();
    const all = (n) => Array.from({ length: n }, (_, i) => i);
    const [someRows, someColumns] = [rows ? [...rows] : all(Q), columns ? [...columns] : all(K)];
    const histogram = new Uint32Array(this.header.levels + 2);
    const visit = (line) => {
      for (const head of this.heads) {
        const cut = cuts.get(head);
        const base = this.base(head);
        for (const q of someRows) {
          for (const k of someColumns) {
            const level = this.weights[base + q * K + k];
            line(q, k, head, level, level > 0 && level >= cut[q]);
          }
        }
      }
    };
    visit((q, k, head, level, drawn) => {
      found.total += level;
      if (drawn) histogram[level]++;
    });
    let floor = this.header.levels + 1;
    let kept = 0;
    while (floor > 1 && kept + histogram[floor - 1] <= most) kept += histogram[--floor];
    found.candidates = histogram.reduce((sum, n) => sum + n, 0);
    const places = new Uint32Array(this.header.levels + 2); // counting sort: weak lines first, strong ones on top
    for (let level = floor, at = 0; level <= this.header.levels; at += histogram[level++]) places[level] = at;
    for (const field of ["query", "key", "head", "level"]) found[field] = new Uint32Array(kept);
    visit((q, k, head, level, drawn) => {
      if (!drawn || level < floor) return;
      const at = places[level]++;
      found.query[at] = q;
      found.key[at] = k;
      found.head[at] = head;
      found.level[at] = level;
      found.mass += level;
    });
    return found;
  }

  /** What is picked: rows and columns, each null where nothing is. Pointing counts before pins on its own side. */
  picked() {
    const { query, key } = this.state;
    const picked = { query: query.size ? query : null, key: key.size ? key : null };
    if (this.hover && this.hover.i < this.header.tokens[this.hover.side].length) {
      picked[this.hover.side] = new Set([this.hover.i]);
    }
    return picked;
  }

  /** For each token of a side, for each shown head: its weight summed over what is picked on the other side. */
  sums(side, picked) {
    const others = side === "key" ? picked.query : picked.key;
    const own = side === "key" ? picked.key : picked.query;
    if (!others) return null;
    return this.header.tokens[side].map((_, i) => {
      if (own && !own.has(i)) return null;
      return this.heads.map((head) =>
        [...others].reduce((sum, j) => sum + (side === "key" ? this.weight(head, j, i) : this.weight(head, i, j)), 0),
      );
    });
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
      make("option", { value: "weight", text: "weight at least" }),
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

  // ---- drawing ------------------------------------------------------------------------------------------------------------

  /** After a change of layer, heads, threshold or pins. */
  update() {
    const { state, header } = this;
    this.layerButtons.forEach((button, layer) => {
      button.setAttribute("aria-checked", layer === state.layer);
      button.tabIndex = layer === state.layer ? 0 : -1;
    });
    this.headButtons.forEach((button, head) => button.setAttribute("aria-pressed", state.heads.has(head)));
    const mass = state.by === "mass";
    this.by.value = state.by;
    Object.assign(this.slider, mass ? { min: 1, max: 100, step: 1 } : { min: 0, max: 50, step: 1 });
    this.slider.value = Math.round((mass ? state.mass : state.least) * 100);
    this.reading.textContent = mass ? `${this.slider.value} % of each row` : state.least.toFixed(2);
    this.unpin.hidden = !state.query.size && !state.key.size;
    const name = [header.version, state.layer, this.heads, state.by, state.least, state.mass].join();
    if (name !== this.allName) {
      this.all = this.edges(null, null);
      this.allName = name;
      this.stale = true;
    }
    this.mark();
  }

  /** After pointing or pinning: tokens' shades and numbers, then the lines. */
  mark() {
    const picked = this.picked();
    const { colours, digits } = this.header;
    const heads = this.heads;
    for (const side of SIDES) {
      const sums = this.sums(side, picked);
      this.cells[side].forEach((cell, i) => {
        const here = sums?.[i];
        cell.classList.toggle("picked", Boolean(picked[side]?.has(i)));
        cell.classList.toggle("pinned", this.state[side].has(i));
        cell.setAttribute("aria-selected", this.state[side].has(i));
        cell.style.backgroundImage = here ? strips(here.map((sum, n) => [colours[heads[n]], sum])) : "";
        const mean = here && here.length ? here.reduce((a, b) => a + b, 0) / here.length : 0;
        const text = mean >= 0.005 ? number(mean, digits) : "";
        if (this.marks[side][i].textContent !== text) this.marks[side][i].textContent = text;
      });
    }
    this.tip.hidden = true;
    this.shown = picked.query || picked.key ? this.edges(picked.query, picked.key) : null;
    this.say(picked);
    this.draw();
  }

  say(picked) {
    const text = this.message(picked);
    if (this.status.textContent !== text) this.status.textContent = text;
    this.under.setAttribute("aria-label", `${this.header.title}, ${this.header.layers[this.state.layer]}. ${text}`);
  }

  message(picked) {
    const { header, state, heads } = this;
    if (!this.loaded) return `Fetching ${header.layers[state.layer]} …`;
    if (!heads.length) return "No head is shown: click a coloured patch.";
    const which = heads.length === 1 ? header.heads[heads[0]] : `mean of ${heads.length} heads`;
    const hidden = this.hiddenMass(picked.query);
    if (!picked.query && !picked.key) {
      const { level, candidates, mass, total } = this.all;
      const drawn = level.length < candidates ? `The ${level.length.toLocaleString("en")} strongest of ${candidates.toLocaleString("en")} lines` : count(candidates, "line");
      const rule = state.by === "mass" ? `that carry ${percent(state.mass)} of each row` : `with weight ≥ ${state.least.toFixed(2)}`;
      return `${drawn} ${rule}: ${percent(total ? mass / total : 0)} of the attention${hidden}`;
    }
    const names = (side) => [...picked[side]].sort((a, b) => a - b).map((i) => isolated(header.tokens[side][i].title)).join(" + ");
    if (picked.query && picked.key) {
      const pair = heads.map((head) => {
        let sum = 0;
        for (const q of picked.query) for (const k of picked.key) sum += this.weight(head, q, k);
        return `${header.heads[head]} ${number(sum, header.digits)}`;
      });
      return `${names("query")} → ${names("key")}${picked.query.size + picked.key.size > 2 ? ", summed" : ""}: ${pair.join(" · ")}`;
    }
    const side = picked.query ? "query" : "key";
    const other = picked.query ? "key" : "query";
    const best = this.sums(other, picked)
      .map((sums, i) => [sums.reduce((a, b) => a + b, 0) / sums.length, i])
      .sort(([a], [b]) => b - a)
      .slice(0, 3)
      .filter(([sum]) => sum >= 0.005)
      .map(([sum, i]) => `${isolated(header.tokens[other][i].label)} ${number(sum, header.digits)}`);
    const several = picked[side].size > 1 ? `sum of ${picked[side].size} tokens, ` : "";
    const verb = side === "query" ? "looks at" : "is looked at by";
    return `${names(side)} ${verb} ${best.join(" · ") || "nothing much"} (${several}${which})${hidden}`;
  }

  /** What special tokens took from the shown rows before they were hidden. */
  hiddenMass(rows) {
    if (!this.removed || !this.heads.length || !this.loaded) return "";
    const [Q] = this.size;
    const some = rows ? [...rows] : Array.from({ length: Q }, (_, i) => i);
    let sum = 0;
    for (const head of this.heads) {
      for (const q of some) sum += this.removed[(this.state.layer * this.header.heads.length + head) * Q + q];
    }
    const share = percent(sum / Math.max(this.heads.length * some.length, 1));
    return ` · special tokens took ${share} before they were hidden`;
  }

  draw() {
    if (!this.figure?.isConnected) return;
    const tall = this.figure.classList.contains("tall");
    const width = this.middle.clientWidth;
    const rows = Math.max(...this.size) * this.rowHeight;
    const head = this.figure.querySelector(".heading").offsetHeight;
    const height = tall ? Math.min(this.figure.clientHeight - head, rows) : rows;
    const view = { width, top: tall ? this.figure.scrollTop : 0, height };
    const name = [width, height, view.top].join();
    if (this.stale || name !== this.drawnName) this.paint(new CanvasPainter(sized(this.under, width, height)), this.all, view);
    this.stale = false;
    this.drawnName = name;
    this.under.style.opacity = this.shown ? 0 : 1;
    const context = sized(this.over, width, height);
    if (this.shown) this.paint(new CanvasPainter(context), this.shown, view);
  }

  get rowHeight() {
    return this.header.row * this.header.scale;
  }

  /** Heads whose lines run between the same tokens lie beside each other: pixels by which a shown head is shifted. */
  offsets() {
    const room = 0.6 * this.rowHeight;
    return new Map(this.heads.map((head, n, all) => [head, ((n + 0.5) / all.length - 0.5) * room]));
  }

  /** The one routine that draws lines, on the screen and into files. `left` and `above` shift the picture. */
  paint(painter, edges, { width, top = 0, height = Infinity, left = 0, above = 0, titles = false }) {
    const { levels, colours, dashes, scale, tokens, heads, digits } = this.header;
    const row = this.rowHeight;
    const offsets = this.offsets();
    for (let n = 0; n < edges.level.length; n++) {
      const shift = offsets.get(edges.head[n]) - top;
      const y1 = (edges.query[n] + 0.5) * row + shift;
      const y2 = (edges.key[n] + 0.5) * row + shift;
      if (Math.max(y1, y2) < 0 || Math.min(y1, y2) > height) continue;
      const weight = edges.level[n] / levels;
      const head = edges.head[n];
      painter.line({
        x1: left + 2, y1: above + y1, x2: left + width - 2, y2: above + y2,
        colour: colours[head], width: strokeWidth(weight, scale), opacity: strokeOpacity(weight), dash: dashes[head],
        title: titles && `${tokens.query[edges.query[n]].label} → ${tokens.key[edges.key[n]].label}, ${heads[head]}, ${number(weight, digits)}`,
      });
    }
  }

  pointAtLine(event) {
    const box = this.under.getBoundingClientRect();
    const [x, y] = [event.clientX - box.left, event.clientY - box.top];
    const edges = this.shown ?? this.all;
    const top = this.figure.classList.contains("tall") ? this.figure.scrollTop : 0;
    const offsets = this.offsets();
    let found = -1;
    for (let n = edges.level.length - 1; n >= 0 && found < 0; n--) {
      const shift = offsets.get(edges.head[n]) - top;
      const from = (edges.query[n] + 0.5) * this.rowHeight + shift;
      const to = (edges.key[n] + 0.5) * this.rowHeight + shift;
      if (Math.abs(from + ((to - from) * x) / box.width - y) < NEAR) found = n;
    }
    this.tip.hidden = found < 0;
    if (found < 0) return;
    const { tokens, heads, levels, digits } = this.header;
    const [query, key] = [tokens.query[edges.query[found]], tokens.key[edges.key[found]]];
    this.tip.textContent = `${isolated(query.title)} → ${isolated(key.label)} · ${heads[edges.head[found]]} · ${number(edges.level[found] / levels, digits)}`;
    this.tip.style.transform = `translate(${x < box.width / 2 ? x + 12 : x - this.tip.offsetWidth - 12}px, ${y + 14}px)`;
  }

  // ---- files ---------------------------------------------------------------------------------------------------------------

  /** The whole figure as it stands: title, tokens with shades and numbers, and the lines that are on the screen. */
  save(format) {
    const { header } = this;
    const { theme, scale } = header;
    const [small, size, row] = [theme.small_size * scale, theme.font_size * scale, this.rowHeight];
    const wide = (side) => this.figure.querySelector(`.column.${side}`).offsetWidth;
    const [left, middle, right] = [wide("query"), this.middle.clientWidth, wide("key")];
    const pad = 16;
    const above = pad + theme.title_size * scale * 1.4 + small * 1.8 + row;
    const width = left + middle + right + 2 * pad;
    const height = above + Math.max(...this.size) * row + pad;
    const font = theme.font;
    save(format, header.file_name, width, height, theme.background, (painter) => {
      const title = `${header.title}, ${header.layers[this.state.layer]}: ${this.heads.map((h) => header.heads[h]).join(", ") || "no head"}`;
      painter.text({ x: pad, y: pad + theme.title_size * scale * 0.6, text: title, colour: theme.text, size: theme.title_size * scale, font, weight: "bold" });
      painter.text({ x: pad, y: pad + theme.title_size * scale * 1.4 + small * 0.6, text: this.status.textContent, colour: theme.muted, size: small, font });
      const ends = { query: [pad + left - 8, "right"], key: [pad + left + middle + 8, "left"] };
      const picked = this.picked();
      SIDES.forEach((side, s) => {
        const [x, align] = ends[side];
        painter.text({ x, y: above - row / 2, text: header.headings[s], colour: theme.muted, size: small, font, align });
        const sums = this.sums(side, picked);
        header.tokens[side].forEach(({ label, special }, i) => {
          const y = above + i * row;
          const start = side === "query" ? pad : pad + left + middle;
          const wideHere = side === "query" ? left : right;
          (sums?.[i] ?? []).forEach((sum, n, all) => painter.rect({
            x: start + (n * wideHere) / all.length, y: y + 1, width: wideHere / all.length, height: row - 2,
            colour: header.colours[this.heads[n]], opacity: shade(sum),
          }));
          if (picked[side]?.has(i)) painter.rect({ x: start, y: y + 1, width: wideHere, height: row - 2, colour: theme.accent, opacity: 0.2 });
          painter.text({ x, y: y + row / 2, text: label, colour: special ? theme.muted : theme.text, size, font, align, style: special ? "italic" : "normal" });
        });
      });
      this.paint(painter, this.shown ?? this.all, { width: middle, left: pad + left, above, titles: format === "svg" });
      SIDES.forEach((side) => this.marks[side].forEach((mark, i) => {
        const x = side === "query" ? pad + left + 4 : pad + left + middle - 4;
        if (mark.textContent) painter.text({ x, y: above + (i + 0.5) * row, text: mark.textContent, colour: theme.text, size: small, font, align: side === "query" ? "left" : "right", weight: "bold" });
      }));
    });
  }
}

export default function render({ data, parentElement, setStateValue }) {
  mount(parentElement, () => new Lines(parentElement)).show(data, setStateValue);
  return () => unmount(parentElement);
}
