// A beam search as a tree, step by step: scrub or play, point at a node to read it, choose one.

const PHASE = 700; // milliseconds that each phase is shown while playing
const SETTLED = 400; // milliseconds after the last change until the server is told, for the address
const ZOOM_STEP = 1.25; // of a button or key
const STILL = 4; // pixels a pointer may move and still click

class Beam extends BeamFigure {
  constructor(parentElement) {
    super();
    this.root = make("div", { class: "beam" });
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.playing = false;
    this.progress = 1; // how much of the best path has lit up
    this.zoom = 1;
    this.fitted = false; // whether the zoom follows the room there is
    this.hovered = null; // the node under the pointer
    this.active = null; // the node that the keys have reached
    this.keyed = false; // whether keys have moved since the pointer was pressed
    this.build();
    parentElement.append(this.root);
    this.resized = new ResizeObserver(() => this.header && this.draw());
    this.resized.observe(this.frame);
  }

  /** Takes what Python sent; the same again changes nothing, and a view is taken over only when Python means it. */
  show(data, setStateValue) {
    this.setStateValue = setStateValue;
    const { header, arrays } = unpack(data);
    if (header.version === this.version) return;
    this.version = header.version;
    const { start, start_id, version, ...content } = header;
    const moved = start_id !== this.startId || !this.state;
    this.startId = start_id;
    const text = JSON.stringify(content);
    const sameArrays = (name) => this.arrays[name].length === arrays[name].length && arrays[name].every((n, i) => n === this.arrays[name][i]);
    if (!moved && text === this.text && Object.keys(arrays).every(sameArrays)) return; // its own view came back
    const active = this.active && [this.active.tree.number, this.active.i];
    Object.assign(this, { header, arrays, text, widths: null, hovered: null, plan: null });
    this.read(header, arrays);
    if (moved) {
      this.pause();
      this.state = { ...start };
      this.progress = 1;
    }
    this.fitState();
    this.active = this.chosenNode ?? (moved ? null : this.found(active));
    this.sent = JSON.stringify(this.plain());
    dress(this.root, header);
    this.fill();
    this.update();
    if (moved && this.chosenNode) this.reveal(this.chosenNode);
  }

  /** Other trees may have fewer steps or nodes than the view was made for. */
  fitState() {
    Object.assign(this.state, this.viewOf(this.momentOf(this.state)));
    if (!this.chosenNode) this.state.node = null;
  }

  found(place) {
    return (place && this.trees[place[0]]?.nodes[place[1]]) ?? null;
  }

  get chosenNode() {
    return this.found(this.state.node);
  }

  get moment() {
    return this.momentOf(this.state);
  }

  /** What is spoken of: the node under the pointer, else the one that the keys have reached, else the chosen one. */
  get pointed() {
    const node = this.hovered ?? (this.focused ? this.active : null) ?? this.chosenNode;
    return node && this.seen(node, this.moment) ? node : null;
  }

  get focused() {
    return this.frame.matches(":focus-visible") || (this.keyed && this.frame.matches(":focus"));
  }

  plain() {
    const { step, phase, node, pruned } = this.state;
    return { step, phase, node, pruned };
  }

  /** Tells the server: at once where a node was chosen, else once the reader has settled. */
  settle(delay = SETTLED) {
    clearTimeout(this.timer);
    if (this.playing) return;
    const tell = () => {
      const plain = JSON.stringify(this.plain());
      if (plain === this.sent || this.playing) return;
      this.sent = plain;
      this.setStateValue("view", { ...this.plain(), start_id: this.startId });
    };
    if (delay) this.timer = setTimeout(tell, delay);
    else tell();
  }

  close() {
    clearTimeout(this.timer);
    clearTimeout(this.next);
    cancelAnimationFrame(this.animation);
    this.resized.disconnect();
  }

  // ---- the page's elements ---------------------------------------------------------------------------------------------

  /** All elements, once: what Python sends later changes their texts, so that the focus stays where it is. */
  build() {
    const button = (name, keys, attributes, children = []) => make("button", { type: "button", "aria-label": name, title: `${name} (${keys})`, ...attributes }, children);
    const icon = (kind) => make("span", { class: `icon ${kind}`, "aria-hidden": "true" });
    this.back = button("Step back", "left arrow key on the slider", { class: "quiet", onclick: () => this.stepBy(-1) }, [icon("back")]);
    this.playText = make("span");
    this.playButton = button("Play", "Space", { class: "quiet play", onclick: () => this.toggle() }, [icon("play"), this.playText]);
    this.forward = button("Step forward", "right arrow key on the slider", { class: "quiet", onclick: () => this.stepBy(1) }, [icon("forward")]);
    this.scrubber = make("input", { type: "range", min: 0, step: 1, "aria-label": "Step", oninput: () => this.scrub(+this.scrubber.value) });
    this.prune = make("input", { type: "checkbox", onchange: () => this.change({ pruned: this.prune.checked }) });
    const zooms = make("span", { class: "group zooms", role: "group", "aria-label": "Zoom" }, [
      button("Zoom out", "minus key", { class: "quiet", text: "−", onclick: () => this.zoomBy(1 / ZOOM_STEP) }),
      button("Show the whole tree", "0 key", { class: "quiet", text: "fit", onclick: () => this.fit() }),
      button("Zoom in", "plus key", { class: "quiet", text: "+", onclick: () => this.zoomBy(ZOOM_STEP) }),
    ]);
    this.bar = make("div", { class: "bar transport", role: "group", "aria-label": "Playing" }, [
      this.back, this.playButton, this.forward, this.scrubber,
      make("label", { class: "check" }, [this.prune, "pruned"]), zooms, saveButtons((format) => this.save(format)),
    ]);
    this.spoken = make("div", { class: "caption", role: "status", "aria-live": "polite" });
    this.buildTree();
    this.legend = make("div", { class: "legend" });
    this.readout = make("div", { class: "status readout", role: "status", "aria-live": "polite", dir: "auto" });
    this.tipName = make("div", { class: "title" });
    this.tipPlace = make("div");
    this.tip = make("div", { class: "tip", hidden: true, "aria-hidden": "true" }, [this.tipName, this.tipPlace]);
    this.root.append(this.bar, this.spoken, this.frame, this.legend, this.readout, this.tip);
    this.root.addEventListener("keydown", (event) => this.shortcut(event));
  }

  buildTree() {
    this.canvas = make("canvas", { "aria-hidden": "true" });
    this.item = make("div", { class: "item", role: "treeitem", id: "node", hidden: true });
    this.space = make("div", {
      class: "space", role: "none",
      onpointerdown: (event) => this.grab(event),
      onpointermove: (event) => this.drag(event),
      onpointerup: () => this.release(),
      onpointercancel: () => this.release(),
      onpointerleave: () => this.point(null),
      onclick: (event) => this.click(event),
    }, [this.canvas, this.item]);
    this.frame = make("div", {
      class: "frame", role: "tree", tabindex: 0,
      onscroll: () => (this.hovered ? this.point(null) : this.draw()),
      onfocus: () => this.focus(),
      onblur: () => this.update(),
      onkeydown: (event) => this.walk(event),
    }, [this.space]);
    this.frame.addEventListener("wheel", (event) => this.wheel(event), { passive: false });
  }

  /** The texts and sizes of elements that stay. */
  fill() {
    const { header } = this;
    const names = this.trees.map((tree) => tree.title).join("; ");
    this.frame.setAttribute("aria-label", `${names}. Arrow keys left and right follow the tree, up and down the ranks; Enter chooses, Space plays, plus and minus zoom.`);
    this.bar.hidden = this.spoken.hidden = header.controls === "none";
    this.prune.parentElement.hidden = !this.trees.some(({ nodes }) => nodes.some(({ state }) => state === "pruned"));
    this.scrubber.max = this.end;
    this.lines = this.trees.map(() => make("div", { class: "line", dir: "auto" }));
    this.spoken.replaceChildren(...this.lines);
    this.spoken.classList.toggle("several", this.trees.length > 1);
    this.root.style.setProperty("--bands", this.trees.length);
    this.legend.replaceChildren(...this.keys().map(([kind, text]) => {
      const canvas = make("canvas", { "aria-hidden": "true" });
      this.paintKey(new CanvasPainter(sized(canvas, 28, 18)), kind, 0, 0);
      return make("span", { class: "key" }, [canvas, make("span", { text })]);
    }));
  }

  // ---- drawing ------------------------------------------------------------------------------------------------------------

  update() {
    if (!this.header) return;
    const { moment, end } = this;
    this.back.disabled = moment === 0;
    this.forward.disabled = moment === end;
    this.playText.textContent = this.playing ? "Pause" : "Play";
    this.playButton.setAttribute("aria-label", this.playText.textContent);
    this.playButton.firstChild.className = `icon ${this.playing ? "pause" : "play"}`;
    this.prune.checked = this.state.pruned;
    const captions = this.trees.map((tree) => this.caption(tree, moment));
    this.scrubber.value = moment;
    this.scrubber.setAttribute("aria-valuetext", captions[0]);
    captions.forEach((text, i) => {
      const whole = captions.length > 1 ? `${this.trees[i].title} — ${text}` : text;
      if (this.lines[i].textContent !== whole) this.lines[i].textContent = whole;
    });
    this.annotate();
    this.draw();
  }

  /** Where everything stands now. */
  planned() {
    const { pruned } = this.state;
    if (this.plan?.zoom !== this.zoom || this.plan.pruned !== pruned) {
      this.plan = this.layout(this.header, this.zoom, pruned);
      this.whole = this.layout(this.header, 1, pruned);
    }
    return this.plan;
  }

  draw() {
    if (!this.header || !this.frame.isConnected || !this.frame.clientWidth) return;
    const { frame, space, root } = this;
    this.planned();
    root.style.setProperty("--high", `${Math.ceil(this.whole.height) + 16}px`); // whatever the zoom, the frame keeps its height
    if (this.fitted) this.zoom = this.fitting();
    const layout = this.planned();
    space.style.width = `${Math.ceil(layout.width)}px`;
    space.style.height = `${Math.ceil(layout.height)}px`;
    const [width, height] = [frame.clientWidth, frame.clientHeight];
    const painter = new CanvasPainter(sized(this.canvas, width, height));
    this.paint(painter, { layout, left: frame.scrollLeft, top: frame.scrollTop, width, height });
    this.placeItem(layout);
  }

  // ---- steps --------------------------------------------------------------------------------------------------------------

  change(part) {
    Object.assign(this.state, part);
    this.plan = null;
    this.hovered = null;
    this.update();
    this.settle();
  }

  go(moment, { light = false } = {}) {
    const from = this.moment;
    const to = within(moment, 0, this.end);
    this.change(this.viewOf(to));
    cancelAnimationFrame(this.animation);
    this.progress = 1;
    if (to === this.end && from === to - 1 && light && !this.calm.matches) this.lightUp();
    else if (from !== to && to < this.end) this.follow(this.shownAt(to));
    this.draw();
  }

  scrub(moment) {
    this.pause();
    this.go(moment);
  }

  stepBy(by) {
    this.pause();
    this.go(this.moment + by, { light: true });
  }

  toggle() {
    if (this.playing) {
      this.pause();
      return;
    }
    this.playing = true;
    if (this.moment === this.end) this.go(0);
    this.update();
    this.next = setTimeout(() => this.tick(), PHASE);
  }

  tick() {
    if (!this.playing || !this.root.isConnected) return;
    this.go(this.moment + 1, { light: true });
    if (this.moment === this.end) this.pause();
    else this.next = setTimeout(() => this.tick(), PHASE);
  }

  pause() {
    clearTimeout(this.next);
    if (!this.playing) return;
    this.playing = false;
    this.update();
    this.settle();
  }

  /** The best path lights up from its end to its start, followed if it leaves the frame. */
  lightUp() {
    const started = performance.now();
    this.progress = 0;
    const frame = (now) => {
      if (!this.root.isConnected) return;
      this.progress = within((now - started) / BACK, 0, 1);
      const { best } = this.trees[0];
      if (best.length) this.follow(Math.max(1, Math.ceil((1 - this.progress) * best.length)), "auto");
      this.draw();
      if (this.progress < 1) this.animation = requestAnimationFrame(frame);
    };
    this.animation = requestAnimationFrame(frame);
  }

  // ---- pointing, choosing, walking ---------------------------------------------------------------------------------------

  wheel(event) {
    if (!event.ctrlKey && !event.metaKey) return;
    event.preventDefault();
    const box = this.frame.getBoundingClientRect();
    this.zoomBy(Math.exp(-within(event.deltaY, -120, 120) * 0.002), { x: event.clientX - box.left, y: event.clientY - box.top });
  }

  /** The node at a pointer event, within a few pixels. */
  at(event) {
    const box = this.frame.getBoundingClientRect();
    const [left, top] = [event.clientX - box.left, event.clientY - box.top];
    if (top < HEAD * this.header.scale) return null; // the steps' numbers lie over it
    return this.nodeAt(left + this.frame.scrollLeft, top + this.frame.scrollTop, this.planned());
  }

  grab(event) {
    this.dragged = false;
    this.keyed = false;
    if (event.pointerType === "touch" || event.button !== 0) return; // fingers scroll by themselves
    this.held = { x: event.clientX, y: event.clientY, left: this.frame.scrollLeft, top: this.frame.scrollTop, pointer: event.pointerId };
  }

  drag(event) {
    const { held } = this;
    if (!held) {
      if (event.pointerType !== "touch") this.point(this.at(event));
      return;
    }
    const [x, y] = [event.clientX - held.x, event.clientY - held.y];
    if (!this.dragged && Math.hypot(x, y) <= STILL) return;
    if (!this.dragged) {
      this.dragged = true;
      this.space.setPointerCapture(held.pointer);
      this.space.classList.add("held");
      this.point(null);
    }
    this.frame.scrollTo({ left: held.left - x, top: held.top - y, behavior: "auto" });
  }

  release() {
    this.held = null;
    this.space.classList.remove("held");
  }

  click(event) {
    const node = this.dragged ? null : this.at(event);
    if (node) this.choose(node);
  }

  point(node) {
    if (node === this.hovered) return;
    this.hovered = node;
    this.annotate();
    this.draw();
  }

  /** Tells Python at once; the outline does not wait for the answer. */
  choose(node) {
    this.active = node;
    this.state.node = node && [node.tree.number, node.i];
    this.update();
    this.pause();
    this.settle(0);
  }

  /** Nodes of a step that are shown, in all trees, from top to bottom. */
  row({ step }) {
    return this.trees.flatMap((tree) => tree.steps[step] ?? []).filter((node) => this.seen(node, this.moment));
  }

  /** A node to begin with: the chosen one, else the first of the best path, else of the first step. */
  first() {
    const there = (node) => node && this.seen(node, this.moment);
    return [this.active, this.chosenNode, this.trees[0].best[0], ...(this.trees[0].steps[1] ?? [])].find(there) ?? null;
  }

  focus() {
    this.active = this.first();
    this.update();
  }

  /** Keys of the tree itself. */
  walk(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    this.keyed = true;
    const node = this.first();
    const there = (one) => (one && this.seen(one, this.moment) ? one : null);
    const ranks = node ? this.row(node) : [];
    const ends = (step) => node && (there(this.path(node)[step - 1]) ?? this.row({ step })[0]);
    const to = {
      ArrowLeft: () => node?.parent,
      ArrowRight: () => node?.children.find(there),
      ArrowUp: () => ranks[ranks.indexOf(node) - 1],
      ArrowDown: () => ranks[ranks.indexOf(node) + 1],
      Home: () => ends(1),
      End: () => ends(this.shownAt(this.moment)),
    }[event.key];
    if (to) {
      this.active = to() ?? node;
      this.hovered = null;
      this.update();
      if (this.active) this.reveal(this.active);
    } else if (event.key === "Enter" && node) this.choose(node);
    else if (event.key === "Escape" && this.state.node) this.choose(null);
    else return;
    event.preventDefault();
  }

  /** Keys that work anywhere in the component, but for what has its own use of them. */
  shortcut(event) {
    const { target, key } = event;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    const own = target.matches("button, input[type=checkbox]");
    if (key === " " && !own) this.toggle();
    else if (key === "+" || key === "=") this.zoomBy(ZOOM_STEP);
    else if (key === "-" || key === "−") this.zoomBy(1 / ZOOM_STEP);
    else if (key === "0") this.fit();
    else return;
    event.preventDefault();
  }
}

export default function render({ data, parentElement, setStateValue }) {
  mount(parentElement, () => new Beam(parentElement)).show(data, setStateValue);
  return () => unmount(parentElement);
}
