// A translation being made: first the encoder layer by layer, then the output token by token, each with its lines.
// Column a: the source as it enters; b: as the encoder leaves it; c: the output, which grows. Steps count from 0.

const GROWING = 400; // milliseconds in which a step's lines grow, at normal speed
const RESTING = 800; // milliseconds from then to the next step
const SETTLED = 400; // milliseconds after the last change until the server is told, for the address
const MOST_LINES = 12_000; // of one step; the strongest are kept
const FAINT = 0.14; // of the lines of finished tokens, where they are kept
const FAN = 2.4; // pixels from one head's lines to the next's, so that none covers another
const quoted = (text) => `“${isolated(text)}”`;
const chance = (share) => (share < 0.005 ? "<1 %" : percent(share));

class Playback {
  constructor(parentElement) {
    this.root = make("div", { class: "playback" });
    parentElement.append(this.root);
    this.resized = new ResizeObserver(() => this.draw());
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.playing = false;
    this.progress = 1; // how far this step's lines have grown
    this.left = null; // the step whose lines fade meanwhile
    this.pointed = null; // the token whose lines alone are drawn: {name of the column, i}
  }

  /** Takes what Python sent; the same again changes nothing, and a view is taken over only when Python means it. */
  show(data, setStateValue) {
    this.setStateValue = setStateValue;
    const { header, arrays } = unpack(data);
    const { start, start_id, version, arrays: _, ...content } = header;
    const moved = start_id !== this.startId || !this.state;
    this.startId = start_id;
    const text = JSON.stringify(content);
    const sameArrays = (name) => this.arrays[name].length === arrays[name].length && arrays[name].every((n, i) => n === this.arrays[name][i]);
    if (!moved && text === this.text && Object.keys(arrays).every(sameArrays)) return; // its own view came back
    Object.assign(this, { header, arrays, text });
    this.found = new Map();
    this.layers = header.maps.encoder ? header.maps.encoder.layers.length : 0;
    this.steps = this.layers + header.output.length - 1;
    const widest = Object.values(header.maps).reduce((a, b) => (b.heads.length > a.heads.length ? b : a));
    this.patches = widest;
    if (moved) {
      this.playing = false;
      this.state = { keep: false, speed: 1, ...this.state, ...start, heads: new Set(widest.heads.keys()) };
    }
    this.fit();
    this.sent = JSON.stringify(this.plain());
    this.progress = 1;
    this.pointed = null;
    dress(this.root, header);
    this.build();
    this.update();
  }

  /** Another sentence may have fewer steps, another model fewer layers or heads. */
  fit() {
    const { state } = this;
    const last = this.decoderLayers.length - 1;
    state.step = Math.max(0, Math.min(state.step, this.steps - 1));
    if (state.layer !== null) state.layer = state.layer < 0 ? last : Math.min(state.layer, last);
    state.heads = new Set([...state.heads].filter((head) => head < this.patches.heads.length));
  }

  get decoderLayers() {
    return (this.header.maps.cross ?? this.header.maps.decoder).layers;
  }

  plain() {
    const { step, layer, least } = this.state;
    return { step, layer, least };
  }

  /** Tells the server once the reader has settled: it writes the address. Nothing on screen waits for it. */
  settle() {
    clearTimeout(this.timer);
    if (this.playing) return;
    this.timer = setTimeout(() => {
      const plain = JSON.stringify(this.plain());
      if (plain === this.sent || this.playing) return;
      this.sent = plain;
      this.setStateValue("view", { ...this.plain(), start_id: this.startId });
    }, SETTLED);
  }

  close() {
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    this.frame = null;
    this.resized.disconnect();
  }

  // ---- weights -------------------------------------------------------------------------------------------------------

  /** The weight in [0, 1] of one head of a layer, or of the mean of all layers for null. */
  weight(kind, layer, head, query, key) {
    const { layers, heads, queries, keys, levels } = this.header.maps[kind];
    const at = (l) => this.arrays[kind][((l * heads.length + head) * queries + query) * keys + key] / levels;
    if (layer !== null) return at(layer);
    return layers.reduce((sum, _, l) => sum + at(l), 0) / layers.length;
  }

  /** Lines of a step, weakest first: {kind, head, query, key, weight}. */
  edges(step) {
    const { layer, least, heads } = this.state;
    const name = [step, layer, least, ...heads].join();
    if (this.found.has(name)) return this.found.get(name);
    const found = [];
    if (step < this.layers) {
      for (let query = 0; query < this.header.maps.encoder.queries; query++) this.collect(found, "encoder", step, query);
    } else {
      for (const kind of ["cross", "decoder"]) this.collect(found, kind, layer, step - this.layers);
    }
    found.sort((a, b) => a.weight - b.weight);
    found.candidates = found.length;
    if (found.length > MOST_LINES) found.splice(0, found.length - MOST_LINES);
    this.found.set(name, found);
    return found;
  }

  collect(found, kind, layer, query) {
    const map = this.header.maps[kind];
    if (!map) return;
    const cut = this.state.least - 0.5 / map.levels; // weights were rounded on their way
    const keys = kind === "decoder" ? query + 1 : map.keys;
    for (const head of this.headsOf(kind)) {
      for (let key = 0; key < keys; key++) {
        const weight = this.weight(kind, layer, head, query, key);
        if (weight > 0 && weight >= cut) found.push({ kind, head, query, key, weight });
      }
    }
  }

  /** Whether a line belongs to the token pointed at. */
  touches({ kind, query, key }) {
    if (!this.pointed) return true;
    const { name, i } = this.pointed;
    if (kind === "encoder") return name === "b" ? query === i : name === "a" ? key === i : true;
    return name === "a" || (name === "c" && i === query + 1) || (name === (kind === "cross" ? "b" : "c") && key === i);
  }

  headsOf(kind) {
    return [...this.state.heads].filter((head) => head < this.header.maps[kind].heads.length).sort((a, b) => a - b);
  }

  /** What the decoding step looks at on one side: for each position the weight of each shown head; null without. */
  looks(kind) {
    const t = this.state.step - this.layers;
    const map = this.header.maps[kind];
    if (t < 0 || !map) return null;
    const keys = kind === "decoder" ? t + 1 : map.keys;
    return Array.from({ length: keys }, (_, key) => this.headsOf(kind).map((head) => [map.colours[head], this.weight(kind, this.state.layer, head, t, key)]));
  }

  // ---- the page's elements ---------------------------------------------------------------------------------------------

  build() {
    this.root.replaceChildren(
      this.buildTransport(),
      this.buildChoices(),
      (this.status = make("div", { class: "status", role: "status", "aria-live": "polite", "aria-atomic": "true" }, [
        (this.label = make("strong")),
        (this.details = make("span")),
      ])),
      this.buildFigure(),
    );
    this.root.onkeydown = (event) => this.shortcut(event);
  }

  buildTransport() {
    const button = (kind, name, key, onclick, children = []) =>
      make("button", { type: "button", class: `quiet ${kind}`, "aria-label": name, title: `${name} (${key})`, onclick }, [make("span", { class: `icon ${kind}`, "aria-hidden": "true" }), ...children]);
    this.restart = button("restart", "Restart", "Home", () => this.go(0));
    this.back = button("back", "Step back", "left arrow key", () => this.stepBy(-1));
    this.playText = make("span");
    this.playButton = button("play", "Play", "Space", () => this.toggle(), [this.playText]);
    this.forward = button("forward", "Step forward", "right arrow key", () => this.stepBy(1));
    this.scrubber = make("input", {
      type: "range", min: 0, max: this.steps - 1, step: 1, "aria-label": "Step",
      oninput: () => this.go(+this.scrubber.value, { grow: false }),
    });
    const speed = make("select", { "aria-label": "Speed", title: "Speed", onchange: () => (this.state.speed = +speed.value) },
      [0.5, 1, 2].map((pace) => make("option", { value: pace, text: `${pace}×`, selected: pace === this.state.speed })));
    return make("div", { class: "bar transport", role: "group", "aria-label": "Playing" }, [
      this.restart, this.back, this.playButton, this.forward, this.scrubber, speed, saveButtons((format) => this.save(format)),
    ]);
  }

  buildChoices() {
    const { heads } = this.patches;
    const alone = (head) => this.change({ heads: new Set([head]) });
    const { group, patches } = headPatches(this.patches, (head) => this.toggleHead(head), alone);
    this.headButtons = patches;
    const layers = this.decoderLayers;
    this.layerSelect = make("select", {
      "aria-label": "Decoder layer",
      onchange: () => this.change({ layer: this.layerSelect.value === "mean" ? null : +this.layerSelect.value }),
    }, [...layers.map((name, layer) => make("option", { value: layer, text: name })), make("option", { value: "mean", text: "mean of layers" })]);
    this.slider = make("input", { type: "range", min: 0, max: 50, step: 1, "aria-label": "Least weight of a line", oninput: () => this.change({ least: +this.slider.value / 100 }) });
    this.reading = make("span", { class: "reading" });
    this.keep = make("input", { type: "checkbox", onchange: () => this.change({ keep: this.keep.checked }) });
    const field = (name, children, hidden = false) => make("span", { class: "field", hidden }, [make("span", { class: "name", text: name }), ...children]);
    return make("div", { class: "bar" }, [
      field("Heads", [
        group,
        make("button", { type: "button", class: "quiet", text: "all", onclick: () => this.change({ heads: new Set(heads.keys()) }) }),
        make("button", { type: "button", class: "quiet", text: "none", onclick: () => this.change({ heads: new Set() }) }),
      ], heads.length < 2),
      field("Decoder", [this.layerSelect], layers.length < 2),
      make("label", { class: "check" }, [this.keep, "keep lines"]),
      field("Weight ≥", [this.slider, this.reading]),
    ]);
  }

  buildFigure() {
    const { header } = this;
    const { encoder, cross, decoder } = header.maps;
    const token = ({ label, title, special }) =>
      make("div", { class: special ? "token special" : "token", role: "listitem", title }, [make("span", { class: "label", text: label })]);
    const cells = (list) => list.map(token);
    this.cells = { a: encoder ? cells(header.source) : [], b: cells(header.source), c: cells(header.output) };
    this.chances = header.probabilities.map(chance);
    this.cells.c.forEach((cell, row) => {
      cell.append(make("span", { class: "chance", text: row ? this.chances[row - 1] : "" }));
      if (row) cell.addEventListener("click", () => this.go(this.layers + row - 1, { grow: false }));
    });
    this.headings = { a: encoder ? "source" : "", ab: encoder ? "encoder attention" : "", b: header.source.length ? "source" : "", bc: cross ? "cross-attention" : "", c: "output", lane: decoder ? "self-attention" : "" };
    this.heads = Object.fromEntries(Object.entries(this.headings).map(([name, text]) => [name, make("div", { class: `heading ${name}`, text })]));
    this.columns = Object.fromEntries(
      Object.entries({ a: "Source as it enters", b: "Source as the encoder leaves it", c: "Output" })
        .map(([name, text]) => [name, make("div", { class: `column ${name}`, role: "list", "aria-label": text }, this.cells[name])]),
    );
    for (const [name, column] of Object.entries(this.columns)) {
      column.addEventListener("pointerover", (event) => this.point(name, this.cells[name].indexOf(event.target.closest(".token"))));
      column.addEventListener("pointerleave", () => this.point(name, -1));
    }
    this.canvas = make("canvas", { role: "img" });
    this.figure = make("div", { class: "figure", tabindex: 0, role: "group", "aria-label": `${header.title}: Space plays, arrow keys left and right step, up and down choose a source token` }, [
      ...Object.values(this.heads), ...Object.values(this.columns), make("div", { class: "sheet" }, [this.canvas]),
    ]);
    if (!encoder) this.figure.style.setProperty("--ab", "0px");
    if (!header.source.length) this.figure.style.setProperty("--bc", "0px");
    if (!decoder) this.figure.style.setProperty("--lane", "0px");
    this.figure.addEventListener("scroll", () => this.draw());
    this.resized.disconnect();
    this.resized.observe(this.figure);
    return this.figure;
  }

  // ---- what the reader does ----------------------------------------------------------------------------------------------

  change(part) {
    Object.assign(this.state, part);
    this.found.clear();
    this.update();
    this.settle();
  }

  toggleHead(head) {
    const heads = new Set(this.state.heads);
    if (!heads.delete(head)) heads.add(head);
    this.change({ heads });
  }

  /** Draws the lines of one token alone; of all for -1. */
  point(name, i) {
    if (i < 0 ? !this.pointed : this.pointed?.name === name && this.pointed.i === i) return;
    this.pointed = i < 0 ? null : { name, i };
    this.update();
  }

  /** The same by keyboard, for the source while it is encoded. */
  walk(by) {
    const i = Math.max(0, Math.min((this.pointed?.name === "b" ? this.pointed.i : by > 0 ? -1 : this.cells.b.length) + by, this.cells.b.length - 1));
    this.point("b", i);
    this.reveal(i);
  }

  /** By hand: playing ends. */
  stepBy(by) {
    this.pause();
    this.go(this.state.step + by);
  }

  /** Shows a step. Its lines grow where it is the next one; elsewhere, and for readers who want no motion, they stand. */
  go(step, { grow = true } = {}) {
    const from = this.state.step;
    if (!grow) this.pause();
    this.state.step = Math.max(0, Math.min(step, this.steps - 1));
    const moves = grow && this.state.step === from + 1 && !this.calm.matches;
    this.left = moves ? from : null;
    if (from < this.layers !== this.state.step < this.layers) this.pointed = null;
    this.progress = moves ? 0 : 1;
    this.started = performance.now();
    this.update();
    this.follow(from);
    this.run();
    this.settle();
  }

  toggle() {
    if (this.playing) return this.pause();
    this.playing = true;
    if (this.state.step === this.steps - 1) this.go(0);
    this.started = performance.now() - GROWING / this.state.speed; // this step has been seen
    this.update();
    this.run();
  }

  pause() {
    if (!this.playing) return;
    this.playing = false;
    this.update();
    this.settle();
  }

  run() {
    if (!this.frame) this.frame = requestAnimationFrame((now) => this.tick(now));
  }

  tick(now) {
    this.frame = null;
    if (!this.root.isConnected) return;
    const passed = (now - this.started) * this.state.speed;
    if (this.progress < 1) {
      this.progress = Math.max(0, Math.min(1, passed / GROWING));
      this.draw();
    }
    if (this.playing && passed >= GROWING + RESTING) {
      if (this.state.step < this.steps - 1) this.go(this.state.step + 1);
      if (this.state.step === this.steps - 1) this.pause();
    }
    if (this.playing || this.progress < 1) this.run();
  }

  /** Keeps the token that is being written in sight. */
  follow(from) {
    const t = this.state.step - this.layers;
    if (t >= 0) this.reveal(t + 1);
    else if (from >= this.layers) this.reveal(0);
  }

  reveal(row) {
    const { figure, rowHeight } = this;
    const room = figure.clientHeight - rowHeight;
    const y = (row + 0.5) * rowHeight;
    if (y > figure.scrollTop + 0.2 * room && y < figure.scrollTop + 0.8 * room) return;
    figure.scrollTo({ top: y - room / 2, behavior: this.calm.matches ? "auto" : "smooth" });
  }

  /** Keys that work anywhere in the figure, but for what has its own use of them. */
  shortcut(event) {
    const { target, key } = event;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches("select") || (target.matches("input") && (target !== this.scrubber || key !== " "))) return;
    const own = target.matches("button");
    if (key === " " && !own) this.toggle();
    else if (key === "ArrowLeft" && !target.closest(".heads")) this.stepBy(-1);
    else if (key === "ArrowRight" && !target.closest(".heads")) this.stepBy(1);
    else if (key === "Home" && !target.closest(".heads")) this.go(0);
    else if (key === "End" && !target.closest(".heads")) this.go(this.steps - 1, { grow: false });
    else if (key === "ArrowUp" && target === this.figure && this.state.step < this.layers) this.walk(-1);
    else if (key === "ArrowDown" && target === this.figure && this.state.step < this.layers) this.walk(1);
    else if (key === "Escape" && this.pointed) this.point("b", -1);
    else if (/^[1-9]$/.test(key) && +key <= this.headButtons.length) this.toggleHead(+key - 1);
    else return;
    event.preventDefault();
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------------

  update() {
    const { state, layers } = this;
    const t = state.step - layers;
    this.headButtons.forEach((button, head) => button.setAttribute("aria-pressed", state.heads.has(head)));
    this.layerSelect.value = state.layer ?? "mean";
    this.slider.value = Math.round(state.least * 100);
    this.reading.textContent = state.least.toFixed(2);
    this.keep.checked = state.keep;
    this.back.disabled = state.step === 0;
    this.forward.disabled = state.step === this.steps - 1;
    this.playText.textContent = this.playing ? "Pause" : "Play";
    this.playButton.setAttribute("aria-label", this.playText.textContent);
    this.playButton.firstChild.className = `icon ${this.playing ? "pause" : "play"}`;
    this.markTokens(t);
    const encoded = t < 0 ? `after layer ${state.step + 1}` : "encoded";
    this.heads.b.textContent = layers ? encoded : this.headings.b;
    for (const name of ["ab"]) this.heads[name].classList.toggle("now", t < 0);
    for (const name of ["bc", "lane"]) this.heads[name].classList.toggle("now", t >= 0);
    this.say();
    this.draw();
  }

  markTokens(t) {
    this.cells.c.forEach((cell, row) => {
      cell.classList.toggle("coming", row > Math.max(t + 1, 0));
      cell.classList.toggle("now", row > 0 && row === t + 1);
      cell.classList.toggle("read", t >= 0 && row === t);
    });
    this.columns.a.classList.toggle("rest", t >= 0);
    const looks = { b: this.looks("cross"), c: this.looks("decoder") };
    for (const name of ["b", "c"]) {
      this.cells[name].forEach((cell, i) => (cell.style.backgroundImage = looks[name]?.[i]?.length ? strips(looks[name][i]) : ""));
    }
    for (const name of ["a", "b", "c"]) {
      this.cells[name].forEach((cell, i) => cell.classList.toggle("pointed", this.pointed?.name === name && this.pointed.i === i));
    }
  }

  say() {
    const label = this.stepLabel();
    const details = this.stepDetails();
    this.scrubber.value = this.state.step;
    this.scrubber.setAttribute("aria-valuetext", label);
    if (this.label.textContent !== label) this.label.textContent = label;
    if (this.details.textContent !== details) this.details.textContent = details;
    this.canvas.setAttribute("aria-label", `${label}. ${details}`);
  }

  stepLabel() {
    const { header, layers, state } = this;
    const t = state.step - layers;
    if (t < 0) return `encoder layer ${state.step + 1} of ${layers}`;
    const [read, written] = [header.output[t].label, header.output[t + 1].label];
    return `step ${t + 1} of ${header.output.length - 1}: reads ${quoted(read)} → predicts ${quoted(written)}`;
  }

  stepDetails() {
    const { header, layers, state } = this;
    const t = state.step - layers;
    const lines = this.edges(state.step);
    const listed = (some, most) => some.slice(-most).reverse().map((line) => this.lineTitle(line, quoted));
    if (this.pointed) {
      const some = lines.filter((line) => this.touches(line));
      return [`${count(some.length, "line")} with weight ≥ ${state.least.toFixed(2)}`, ...listed(some, 4)].join(" · ");
    }
    const drawn = lines.length < lines.candidates ? `the ${lines.length.toLocaleString("en")} strongest of ${lines.candidates.toLocaleString("en")} lines` : count(lines.length, "line");
    const rule = state.heads.size ? `${drawn} with weight ≥ ${state.least.toFixed(2)}` : "no head is shown";
    if (t < 0) return [`Each source token looks at the source: ${rule}`, ...listed(lines, 3)].join(" · ");
    const others = (header.alternatives[t] ?? []).map(([label, share]) => `${quoted(label)} ${chance(share)}`);
    const parts = [`${quoted(header.output[t + 1].label)} ${this.chances[t]}${others.length ? `, else ${others.join(", ")}` : ""}`];
    const look = (kind, tokens, where) => {
      const best = this.strongest(kind, tokens);
      if (best) parts.push(`looks at ${best} in the ${where}`);
    };
    look("cross", header.source, "source");
    look("decoder", header.output, "output");
    const layer = state.layer === null ? "mean of layers" : this.decoderLayers[state.layer];
    return [...parts, `${rule} (${layer})`].join(" · ");
  }

  /** The two positions that the step looks at most, by the mean over the shown heads. */
  strongest(kind, tokens) {
    return (this.looks(kind) ?? [])
      .map((weights, i) => [weights.reduce((sum, [, weight]) => sum + weight, 0) / weights.length, i])
      .filter(([mean]) => mean >= 0.005)
      .sort(([a], [b]) => b - a)
      .slice(0, 2)
      .map(([mean, i]) => `${quoted(tokens[i].label)} ${mean.toFixed(2)}`)
      .join(", ");
  }

  get rowHeight() {
    return this.header.row * this.header.scale;
  }

  get rows() {
    return Math.max(this.header.source.length, this.header.output.length);
  }

  /** Left and right edge of each column, and where the outer lane ends. */
  places() {
    const edges = ({ offsetLeft, offsetWidth }) => [offsetLeft, offsetLeft + offsetWidth];
    const { a, b, c } = this.columns;
    return { a: edges(a), b: edges(b), c: edges(c), lane: this.heads.lane.offsetWidth };
  }

  draw() {
    if (!this.figure?.isConnected) return;
    const { figure } = this;
    const height = Math.min(figure.clientHeight - this.rowHeight, this.rows * this.rowHeight);
    const painter = new CanvasPainter(sized(this.canvas, figure.clientWidth, height));
    this.paint(painter, { top: figure.scrollTop, height });
  }

  /** The one routine that draws lines, on the screen and into files: what fades, what is kept, then this step's. */
  paint(painter, { top = 0, height = Infinity, left = 0, above = 0, progress = this.progress, titles = false }) {
    const { step, keep } = this.state;
    const view = { top, height, left, above, titles, places: this.places() };
    const kept = (s) => (keep && s >= this.layers ? FAINT : 0);
    for (let s = keep ? this.layers : step; s < step; s++) {
      if (s !== this.left || progress === 1) this.stroke(painter, this.edges(s), { ...view, opacity: FAINT });
    }
    if (progress < 1 && this.left !== null) {
      this.stroke(painter, this.edges(this.left), { ...view, opacity: Math.max(1 - progress, kept(this.left)) });
    }
    this.stroke(painter, this.edges(step), { ...view, grown: 1 - (1 - progress) ** 2 });
  }

  stroke(painter, edges, { top, height, left, above, places, titles, opacity = 1, grown = 1 }) {
    const { maps, scale } = this.header;
    const row = this.rowHeight;
    for (const edge of edges) {
      if (!this.touches(edge)) continue;
      const { kind, head, query, key, weight } = edge;
      const { colours, dashes, heads } = maps[kind];
      const fan = (head - (heads.length - 1) / 2) * Math.min(FAN * scale, (0.7 * row) / heads.length);
      const y1 = ((kind === "encoder" ? query : query + 1) + 0.5) * row + fan - top;
      const y2 = y1 + ((key + 0.5) * row + fan - top - y1) * grown;
      if (Math.max(y1, y2) < 0 || Math.min(y1, y2) > height) continue;
      const [x1, x2, curve] = this.ends(kind, places, Math.abs(query + 1 - key) * row);
      painter.line({
        x1: left + x1, y1: above + y1, x2: left + x1 + (x2 - x1) * grown, y2: above + y2, curve: curve * grown,
        colour: colours[head], width: strokeWidth(weight, scale) * 0.7, opacity: strokeOpacity(weight) * opacity, dash: dashes[head],
        title: titles && this.lineTitle(edge),
      });
    }
  }

  /** Where a line starts and ends, and how far it bends outwards: the longer, the further, within the lane. */
  ends(kind, { a, b, c, lane }, distance) {
    if (kind === "encoder") return [b[0] - 2, a[1] + 2, 0];
    if (kind === "cross") return [c[0] - 2, b[1] + 2, 0];
    return [c[1] + 2, c[1] + 2, (lane - 8) * 1.33 * (1 - Math.exp(-distance / (5 * this.rowHeight)))];
  }

  lineTitle({ kind, head, query, key, weight }, dressed = (text) => text) {
    const { source, output, maps } = this.header;
    const [from, to] = kind === "encoder" ? [source[query], source[key]] : [output[query + 1], (kind === "cross" ? source : output)[key]];
    return `${dressed(from.label)} → ${dressed(to.label)} ${weight.toFixed(2)} (${maps[kind].heads[head]})`;
  }

  // ---- files ---------------------------------------------------------------------------------------------------------------

  /** The step as it stands: what it says, the tokens written so far and its lines, full-grown. */
  save(format) {
    const { theme, scale, file_name } = this.header;
    const [small, size, row, font, pad] = [theme.small_size * scale, theme.font_size * scale, this.rowHeight, theme.font, 16];
    const width = this.figure.clientWidth + 2 * pad;
    const lines = wrapped(this.details.textContent, width - 2 * pad, `${small}px ${font}`);
    const above = pad + size * 1.6 + lines.length * small * 1.4 + row;
    save(format, `${file_name}-${this.state.step + 1}`, width, above + this.rows * row + pad, theme.background, (painter) => {
      painter.text({ x: pad, y: pad + size * 0.6, text: this.label.textContent, colour: theme.text, size, font, weight: "bold" });
      lines.forEach((text, n) => painter.text({ x: pad, y: pad + size * 1.6 + (n + 0.4) * small * 1.4, text, colour: theme.muted, size: small, font }));
      this.paintTokens(painter, pad, above);
      this.paint(painter, { left: pad, above, progress: 1, titles: format === "svg" });
    });
  }

  paintTokens(painter, left, above) {
    const { header, cells, columns } = this;
    const { theme } = header;
    const [row, font, size] = [this.rowHeight, theme.font, parseFloat(getComputedStyle(this.figure).fontSize)];
    const looks = { b: this.looks("cross"), c: this.looks("decoder") };
    const at = ({ offsetLeft, offsetWidth }, align) => left + offsetLeft + { left: 6, center: offsetWidth / 2, right: offsetWidth - 6 }[align];
    const aligned = { a: "right", c: "left", lane: "left" };
    for (const [name, heading] of Object.entries(this.heads)) {
      if (getComputedStyle(heading).visibility === "hidden") continue; // no room for it
      const [align, weight] = [aligned[name] ?? "center", heading.classList.contains("now") ? "bold" : "normal"];
      painter.text({ x: at(heading, align), y: above - row / 2, text: heading.textContent, colour: theme.muted, size: size * 0.8, font, align, weight });
    }
    for (const name of ["a", "b", "c"]) {
      const { offsetLeft, offsetWidth } = columns[name];
      const align = aligned[name] ?? "center";
      const x = at(columns[name], align);
      const resting = columns[name].classList.contains("rest");
      cells[name].forEach(({ classList }, i) => {
        const { label, special } = (name === "c" ? header.output : header.source)[i];
        if (classList.contains("coming")) return;
        const box = { x: left + offsetLeft, y: above + i * row + 1, width: offsetWidth, height: row - 2 };
        const now = classList.contains("now");
        (looks[name]?.[i] ?? []).forEach(([colour, weight], n, all) =>
          painter.rect({ ...box, x: box.x + (n * box.width) / all.length, width: box.width / all.length, colour, opacity: shade(weight) }));
        if (now || classList.contains("pointed")) painter.rect({ ...box, colour: theme.accent, opacity: 0.22 });
        if (classList.contains("read")) frame(painter, box, 1.5, theme.accent);
        const y = above + (i + 0.5) * row;
        painter.text({ x, y, text: label, colour: special || resting ? theme.muted : theme.text, size, font, align, style: special ? "italic" : "normal" });
        if (name === "c" && i) painter.text({ x: box.x + box.width - 4, y, text: this.chances[i - 1], colour: theme.muted, size: size * 0.8, font, align: "right" });
      });
    }
  }
}

/** The edge of a box, inside it. */
function frame(painter, { x, y, width, height }, thick, colour) {
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

export default function render({ data, parentElement, setStateValue }) {
  mount(parentElement, () => new Playback(parentElement)).show(data, setStateValue);
  return () => unmount(parentElement);
}
