// Panels of connected texts. Panels of one group show the same position: they meet in a channel, whenever each is mounted.

const SETTLED = 400; // milliseconds after the last change until the server is told, for the address
const PACE = 6; // characters a second at normal speed
const SPEEDS = [0.5, 1, 2, 4];

/** Channels by group, for every script on the page. */
const channels = (window[Symbol.for("saccade connectivity")] ??= new Map());

/** What the panels of a group have in common: position, pin, pointer and playing. */
class Channel {
  constructor(group) {
    Object.assign(this, { group, position: -1, pinned: false, pointed: -1, playing: false, speed: 1, startId: null, actor: null });
    this.panels = new Set();
  }

  static join(panel, group) {
    if (!channels.has(group)) channels.set(group, new Channel(group));
    const channel = channels.get(group);
    for (const other of channel.panels) if (!other.root.isConnected) channel.leave(other); // gone without a word
    channels.set(group, channel);
    channel.panels.add(panel);
    return channel;
  }

  leave(panel) {
    this.panels.delete(panel);
    if (this.panels.size) return;
    clearTimeout(this.timer);
    cancelAnimationFrame(this.frame);
    Object.assign(this, { frame: null, playing: false, startId: null });
    if (channels.get(this.group) === this) channels.delete(this.group);
  }

  /** Takes Python's view over when it means it: once for all panels of the group. */
  start({ position, pinned }, startId) {
    if (startId === this.startId) return;
    clearTimeout(this.timer);
    Object.assign(this, { startId, position, pinned: pinned && position >= 0, pointed: -1, playing: false });
    this.sent = this.plain();
    this.draw();
  }

  plain() {
    return JSON.stringify({ position: this.position, pinned: this.pinned });
  }

  /** Tells the server once the reader has settled: it writes the address. Nothing on screen waits for it. */
  settle(actor) {
    this.actor = actor;
    clearTimeout(this.timer);
    if (!this.playing) this.timer = setTimeout(() => this.flush(), SETTLED);
  }

  /** Says what is still to be said; the panel that was acted on speaks. */
  flush() {
    if (!this.timer) return;
    clearTimeout(this.timer);
    this.timer = null;
    const plain = this.plain();
    if (this.playing || plain === this.sent) return;
    this.sent = plain;
    // with the time, so that a position one panel has told before is news after another panel's
    const speaker = this.panels.has(this.actor) ? this.actor : [...this.panels][0];
    speaker.setStateValue("view", { ...JSON.parse(plain), start_id: this.startId, at: Date.now() });
  }

  /** Everything that happens until the next frame is painted once. */
  draw() {
    this.frame ??= requestAnimationFrame((now) => this.paint(now));
  }

  paint(now) {
    this.frame = null;
    if (this.playing) this.advance(now);
    for (const panel of this.panels) panel.update();
    if (this.playing) this.draw();
  }

  // ---- what the reader does ----------------------------------------------------------------------------------------------

  /** The pointer is over a character, or over none for −1. */
  point(i) {
    if (this.playing || i === this.pointed) return;
    this.pointed = i;
    if (!this.pinned && i >= 0) this.position = i;
    this.draw();
  }

  /** A click: pins a character, or lets go of it. */
  pin(i, actor) {
    const same = this.pinned && this.position === i;
    this.playing = false;
    this.change({ position: i, pinned: !same, pointed: -1 }, actor);
  }

  change(part, actor) {
    Object.assign(this, part);
    this.settle(actor);
    this.draw();
  }

  go(position, actor) {
    this.playing = false;
    this.change({ position: Math.max(0, Math.min(position, actor.length - 1)), pointed: -1 }, actor);
  }

  unpin(actor) {
    if (this.pinned) this.change({ pinned: false }, actor);
  }

  toggle(actor) {
    if (this.playing) return this.pause(actor);
    const end = this.longest - 1;
    this.playing = true;
    this.last = performance.now();
    this.change({ position: this.position < 0 || this.position >= end ? 0 : this.position, pointed: -1 }, actor);
  }

  pause(actor) {
    this.playing = false;
    this.change({}, actor);
  }

  get longest() {
    return Math.max(...[...this.panels].map(({ length }) => length));
  }

  /** As many characters on as the time since the last one allows; few at once, even after the page was out of sight. */
  advance(now) {
    const each = 1000 / (PACE * this.speed);
    const steps = Math.min(Math.floor((now - this.last) / each), 3);
    if (steps < 1) return;
    this.last = Math.max(this.last + steps * each, now - each);
    this.position = Math.min(this.position + steps, this.longest - 1);
    if (this.position < this.longest - 1) return;
    this.playing = false;
    this.settle(this.actor);
  }
}

class Panel extends ConnectedFigure {
  constructor(parentElement) {
    super();
    this.root = make("div", { class: "connectivity" });
    parentElement.append(this.root);
    this.resized = new ResizeObserver(() => this.arrange());
    this.root.onkeydown = (event) => this.shortcut(event);
    this.root.onpointerleave = () => this.channel?.flush(); // whatever is clicked next must find the view as it is
  }

  /** Takes what Python sent; the same again changes nothing but for the view, which is taken over when Python means it. */
  show(data, setStateValue) {
    this.setStateValue = setStateValue;
    const { header, arrays } = unpack(data);
    const { start, start_id, version, ...content } = header;
    const text = JSON.stringify(content);
    const sameArrays = (name) => arrays[name].every((n, i) => n === this.arrays[name][i]); // of the same size, by the header
    const known = text === this.text && Object.keys(arrays).every(sameArrays);
    if (!known) Object.assign(this, { header, arrays, text });
    if (header.group !== this.channel?.group) this.channel?.leave(this);
    this.channel = Channel.join(this, header.group);
    this.channel.start(start, start_id);
    if (known) return;
    this.colours = palette(header);
    dress(this.root, header);
    this.root.style.setProperty("--hatch", header.hatch);
    this.root.style.setProperty("--ramp", `linear-gradient(to right, ${header.shades.join(", ")})`);
    this.position = this.place = null; // nothing is said or drawn yet
    this.build();
    this.update();
    this.arrange();
    this.channel.draw(); // the others' transport may have another length now
  }

  close() {
    this.resized.disconnect();
    this.channel?.leave(this);
  }

  // ---- the page's elements ---------------------------------------------------------------------------------------------

  build() {
    const focused = this.root.getRootNode().activeElement;
    const held = Boolean(focused) && focused === this.sheet;
    const { header } = this;
    this.suggested = Array.from({ length: header.suggested }, () => {
      const [word, chance] = [make("span", { class: "guess" }), make("span", { class: "chance" })];
      return { word, chance, place: make("span", { class: "suggestion" }, [word, chance]) };
    });
    this.root.replaceChildren(
      header.controls ? this.buildTransport() : "",
      make("div", { class: "head" }, [
        make("strong", { text: header.name }),
        make("span", { class: "subtitle", text: header.subtitle }),
        saveButtons((format) => this.save(format)),
      ]),
      make("div", { class: "line" }, [
        make("span", { class: "reading" }, [(this.reads = make("span")), (this.wanted = make("strong"))]),
        make("span", { class: "suggestions" }, this.suggested.map(({ place }) => place)),
      ]),
      this.buildSheet(),
      (this.captionLine = make("div", { class: header.window ? "caption longer" : "caption" })),
      ...(header.controls ? [this.buildLegend()] : []), // once for all linked panels
    );
    if (held) this.sheet.focus({ preventScroll: true });
  }

  buildLegend() {
    return make("div", { class: "legend" }, [
      make("span", { class: "scale" }, [make("span", { text: "0" }), make("span", { class: "ramp" }), make("span", { text: LARGEST })]),
      make("span", { text: NOTE }),
    ]);
  }

  /** One slider for assistive technology: its value is the position, and says what is read and suggested there. */
  buildSheet() {
    this.sheet = make("div", {
      class: "sheet", tabindex: 0, role: "slider", "aria-label": `${this.header.name}: character whose suggestion is explained`,
      "aria-valuemin": 0, "aria-valuemax": this.length, "aria-keyshortcuts": "ArrowLeft ArrowRight Home End Enter Escape Space",
      onpointermove: (event) => this.channel.point(this.under(event)),
      onpointerleave: () => this.channel.point(-1),
      onclick: (event) => this.under(event) >= 0 && this.channel.pin(this.under(event), this),
    }, [(this.canvas = make("canvas"))]);
    this.resized.disconnect();
    this.resized.observe(this.sheet);
    return this.sheet;
  }

  buildTransport() {
    const button = (kind, name, key, onclick, children = []) =>
      make("button", { type: "button", class: `quiet ${kind}`, "aria-label": name, title: `${name} (${key})`, onclick }, [make("span", { class: `icon ${kind}`, "aria-hidden": "true" }), ...children]);
    this.playText = make("span");
    this.playButton = button("play", "Play", "Space", () => this.channel.toggle(this), [this.playText]);
    this.speed = make("select", { "aria-label": "Speed", title: "Speed", onchange: () => (this.channel.speed = +this.speed.value) },
      SPEEDS.map((pace) => make("option", { value: pace, text: `${pace}×` })));
    this.pinButton = make("button", { type: "button", class: "quiet pin", onclick: () => this.channel.pin(Math.max(0, this.channel.position), this) });
    this.where = make("span", { class: "where" });
    return make("div", { class: "bar transport", role: "group", "aria-label": "Playing" }, [
      button("back", "One character back", "left arrow key", () => this.step(-1)),
      this.playButton,
      button("forward", "One character on", "right arrow key", () => this.step(1)),
      this.speed, this.where, this.pinButton,
      make("span", { class: "hint", text: "← → moves by a character, with Shift by a word; Space plays; Enter pins, Esc lets go" }),
    ]);
  }

  updateTransport(position) {
    const { playing, pinned, speed } = this.channel;
    const name = playing ? "Pause" : "Play";
    if (this.playText.textContent !== name) {
      this.playText.textContent = name;
      this.playButton.setAttribute("aria-label", name);
      this.playButton.firstChild.className = `icon ${name.toLowerCase()}`;
    }
    this.where.textContent = `${position < 0 ? "–" : position + 1} of ${this.length}`;
    this.pinButton.textContent = pinned ? "Pinned" : "Pin";
    this.pinButton.setAttribute("aria-pressed", pinned);
    this.pinButton.title = pinned ? "Let go of this position (Esc)" : "Keep this position when the pointer moves on (Enter)";
    this.speed.value = speed;
  }

  // ---- what the reader does ----------------------------------------------------------------------------------------------

  /** The character under the pointer, −1 for none. */
  under({ clientX, clientY }) {
    const { left, top } = this.sheet.getBoundingClientRect();
    return this.at(clientX - left, clientY - top);
  }

  step(by) {
    const { position } = this.channel;
    if (position < 0) return this.channel.go(by > 0 ? 0 : this.length - 1, this);
    this.channel.go(Math.min(position, this.length - 1) + by, this);
  }

  stepWord(by) {
    const position = Math.min(this.channel.position, this.length - 1);
    if (position < 0) return this.step(by);
    this.channel.go(this.wordBeside(position, by), this);
  }

  /** Keys that work anywhere in the panel, but for what has its own use of them. */
  shortcut(event) {
    const { target, key } = event;
    if (event.defaultPrevented || event.metaKey || event.altKey || target.matches("select")) return;
    const word = event.ctrlKey || event.shiftKey;
    const own = target.matches("button");
    if (key === "ArrowLeft") word ? this.stepWord(-1) : this.step(-1);
    else if (key === "ArrowRight") word ? this.stepWord(1) : this.step(1);
    else if (word) return;
    else if (key === "Home") this.channel.go(0, this);
    else if (key === "End") this.channel.go(this.length - 1, this);
    else if (key === "Escape" && this.channel.pinned) this.channel.unpin(this);
    else if (key === " " && !own && !event.repeat) this.channel.toggle(this);
    else if (key === "Enter" && !own && this.channel.position >= 0) this.channel.pin(Math.min(this.channel.position, this.length - 1), this);
    else return;
    event.preventDefault();
  }
}

export default function render({ data, parentElement, setStateValue }) {
  mount(parentElement, () => new Panel(parentElement)).show(data, setStateValue);
  return () => unmount(parentElement);
}
