// A translation being made: first the encoder layer by layer, then the output token by token, each with its lines.
// Column a: the source as it enters; b: as the encoder leaves it; c: the output, which grows. Steps count from 0.

const GROWING = 400; // milliseconds in which a step's lines grow, at normal speed
const RESTING = 800; // milliseconds from then to the next step
const SETTLED = 400; // milliseconds after the last change until the server is told, for the address
const quoted = (text) => `“${isolated(text)}”`;
const chance = (share) => (share === null ? "?" : share < 0.005 ? "<1 %" : percent(share)); // null: not known

class Playback extends PlaybackFigure {
  constructor(parentElement) {
    super();
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
    this.headings = { a: encoder ? "source" : "", ab: encoder ? "encoder attention" : "", b: header.source.length ? "source" : "", bc: cross ? "cross-attention" : "", c: header.written, lane: decoder ? "self-attention" : "" };
    this.heads = Object.fromEntries(Object.entries(this.headings).map(([name, text]) => [name, make("div", { class: `heading ${name}`, text })]));
    this.columns = Object.fromEntries(
      Object.entries({ a: "Source as it enters", b: "Source as the encoder leaves it", c: header.written === "text" ? "Text" : "Output" })
        .map(([name, text]) => [name, make("div", { class: `column ${name}`, role: "list", "aria-label": text }, this.cells[name])]),
    );
    for (const [name, column] of Object.entries(this.columns)) {
      column.addEventListener("pointerover", (event) => this.point(name, this.cells[name].indexOf(event.target.closest(".token"))));
      column.addEventListener("pointerleave", () => this.point(name, -1));
    }
    this.canvas = make("canvas", { role: "img" });
    this.figure = make("div", { class: "figure", tabindex: 0, role: "group", "aria-label": `${header.title}: Space plays, arrow keys left and right step${header.source.length ? ", up and down choose a source token" : ""}` }, [
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
}

export default function render({ data, parentElement, setStateValue }) {
  mount(parentElement, () => new Playback(parentElement)).show(data, setStateValue);
  return () => unmount(parentElement);
}
