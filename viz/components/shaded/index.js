// A running text whose tokens are shaded; one listener for all of them. Python puts shared.js in front of this text.

const SETTLED = 250; // milliseconds after the last press until Python is told: several words are one change
const HEADER_ROOM = 64; // pixels at the window's top that the app's own header may cover
const clamped = (value, low, high) => Math.max(low, Math.min(value, high));

class Shaded extends ShadedFigure {
  constructor(parentElement) {
    super();
    this.root = make("div", { class: "shaded" });
    this.legend = make("div", { class: "legends" });
    this.sheet = make("div", {
      class: "sheet", dir: "auto",
      onpointerover: (event) => event.pointerType !== "touch" && this.point(this.indexOf(event)),
      onpointerleave: () => this.point(-1),
      onclick: (event) => this.act(this.indexOf(event)),
      onmousedown: (event) => event.detail > 1 && event.preventDefault(), // a second click is a click, it selects nothing
      onfocusin: (event) => this.focused(this.indexOf(event)),
      onfocusout: () => this.point(-1),
      onkeydown: (event) => this.key(event),
    });
    this.tip = make("div", { class: "tip", hidden: true, "aria-hidden": "true", dir: "auto" });
    this.spoken = make("div", { class: "unseen", role: "status", "aria-live": "polite" });
    const bar = make("div", { class: "bar" }, [this.legend, saveButtons((format) => this.save(format))]);
    this.root.append(bar, this.sheet, this.tip, this.spoken);
    this.root.onpointerleave = () => this.settle(0); // whatever is clicked next must find the tokens as they are
    this.root.addEventListener("focusout", (event) => this.root.contains(event.relatedTarget) || this.settle(0));
    parentElement.append(this.root);
    this.spans = []; // of each token its element, and the last node that belongs to it
    this.ends = [];
    this.built = [];
    this.pressed = new Set();
    this.stop = 0; // the token that Tab reaches
    this.pointed = -1;
  }

  /** Takes what Python sent; the same again changes nothing, a longer text keeps the elements that it begins with. */
  show(data, setStateValue, setTriggerValue) {
    Object.assign(this, { setStateValue, setTriggerValue });
    const { header, arrays } = unpack(data);
    if (header.version === this.version) return;
    Object.assign(this, { version: header.version, header, arrays });
    const { mode, pressed, start_id, blank } = header;
    if (start_id !== this.startId || mode !== "toggle" || mode !== this.mode) {
      clearTimeout(this.timer);
      this.pressed = new Set(pressed);
      this.sent = this.plain();
    }
    this.startId = start_id;
    this.mode = mode;
    dress(this.root, header);
    this.root.dataset.mode = mode;
    this.root.classList.toggle("reveals", mode === "toggle" && blank.reveal);
    this.root.style.setProperty("--blank", blank.colour);
    this.root.style.setProperty("--blank-ink", blank.ink);
    this.sheet.setAttribute("role", mode === "look" ? "list" : "group");
    this.sheet.setAttribute("aria-label", header.name);
    this.build();
    this.buildLegend();
    this.spans.forEach((_, i) => this.dressToken(i));
    this.fitBlanks([...this.pressed]);
    this.point(-1);
  }

  close() {
    clearTimeout(this.timer);
  }

  // ---- the page's elements ---------------------------------------------------------------------------------------------

  /** Elements from the first token on that is another than before. */
  build() {
    const { texts, labels, groups, mode } = this.header;
    const wanted = texts.map((text, i) => `${mode}\u0000${this.special(i)}\u0000${labels[i]}\u0000${text}`);
    let same = 0;
    while (same < wanted.length && wanted[same] === this.built[same]) same++;
    const held = this.indexOf({ target: this.root.getRootNode().activeElement });
    if (same === 0) this.sheet.replaceChildren();
    else while (this.sheet.lastChild !== this.ends[same - 1]) this.sheet.lastChild.remove();
    this.spans.length = same;
    this.ends.length = same;
    const fresh = document.createDocumentFragment();
    for (let i = same; i < wanted.length; i++) fresh.append(...this.buildToken(i));
    this.sheet.append(fresh);
    this.built = wanted;
    this.stopAt(clamped(this.stop, 0, Math.max(0, wanted.length - 1)));
    if (held >= same) this.spans[this.stop]?.focus({ preventScroll: true });
    this.sheet.classList.toggle("grouped", groups.length > 0);
  }

  /** A token's element between its gap and, where it ends a line, the break. */
  buildToken(i) {
    const { gap, kind, lines } = this.parts(i);
    const acts = this.header.mode === "pick" || (this.header.mode === "toggle" && !this.special(i));
    const span = make("span", { class: `token ${kind}`, role: acts ? "button" : this.header.mode === "look" ? "listitem" : "note", tabindex: -1 });
    span.index = i;
    const after = [];
    if (kind === "break") {
      span.textContent = lines[0];
      for (let n = 1; n < lines.length; n++) after.push(make("br"), document.createTextNode(lines[n]));
      span.setAttribute("aria-label", "line break");
    } else if (kind === "space") {
      span.textContent = lines[0];
      span.setAttribute("aria-label", "space");
    } else lines.forEach((line, n) => span.append(...(n ? [make("span", { class: "pilcrow" }), make("br")] : []), line));
    if (kind === "chip") after.push(make("wbr"));
    const nodes = [...(gap ? [document.createTextNode(gap)] : kind === "chip" ? [make("wbr")] : []), span, ...after];
    this.spans[i] = span;
    this.ends[i] = nodes.at(-1);
    return nodes;
  }

  buildLegend() {
    const { legend, shades } = this.header;
    const parts = [];
    if (legend) {
      const ramp = make("span", { class: "ramp", style: `background: linear-gradient(to right, ${shades.map(([colour]) => colour).join(", ")})` });
      const ticks = make("span", { class: "ticks" }, legend.ticks.map((tick) => make("span", { text: tick })));
      parts.push(make("span", { class: "scale" }, [make("span", { text: legend.title }), make("span", { class: "ramped" }, [ramp, ticks])]));
    }
    for (const [kind, words, colour, n] of this.keys()) {
      const look = kind === "line" ? `border-bottom: 3px ${n % 2 ? "dashed" : "solid"} ${colour}` : kind === "blank" ? `background: ${colour}` : null;
      parts.push(make("span", { class: "key" }, [make("span", { class: `sample ${kind}`, style: look }), make("span", { text: words, dir: "auto" })]));
    }
    this.legend.replaceChildren(...parts);
  }

  /** A token's look: its shade, or the blank where it is masked. */
  dressToken(i) {
    const { mode, groups, group_colours, blank } = this.header;
    const span = this.spans[i];
    const pressed = this.pressed.has(i);
    const masked = mode === "toggle" && pressed;
    const [colour, ink] = (!masked && this.shade(i)) || ["", ""];
    span.style.background = colour;
    span.style.color = ink;
    const line = group_colours[groups[i]];
    span.style.borderBottom = line ? `3px ${groups[i] % 2 ? "dashed" : "solid"} ${line}` : "";
    span.classList.toggle("special", this.special(i));
    span.classList.toggle("unknown", this.unknown(i) && !masked);
    span.classList.toggle("masked", masked);
    span.classList.toggle("chosen", pressed && !masked);
    if (mode === "toggle" && !this.special(i)) span.setAttribute("aria-pressed", pressed);
    if (mode !== "toggle" && pressed) span.setAttribute("aria-current", "true");
    else span.removeAttribute("aria-current");
    if (masked && blank.reveal) span.dataset.word = this.header.texts[i].trim();
    else delete span.dataset.word;
    if (!masked) delete span.dataset.blank;
  }

  /** The blank's name stands in every box that is wide enough for it. */
  fitBlanks(tokens) {
    const { mode, blank, theme, scale } = this.header;
    if (mode !== "toggle" || !blank.label) return;
    const context = make("canvas").getContext("2d");
    context.font = `${theme.font_size * scale * 0.88}px ${theme.font}`;
    const needed = context.measureText(blank.label).width;
    const wide = tokens.map((i) => this.spans[i].offsetWidth >= needed); // all are measured before any is changed
    tokens.forEach((i, n) => wide[n] && (this.spans[i].dataset.blank = blank.label));
  }

  // ---- what the reader does ----------------------------------------------------------------------------------------------

  indexOf({ target }) {
    return target?.closest?.(".token")?.index ?? -1;
  }

  /** Tab will come back to this token. */
  stopAt(i) {
    if (this.spans[this.stop]) this.spans[this.stop].tabIndex = -1;
    this.stop = i;
    if (this.spans[i]) this.spans[i].tabIndex = 0;
  }

  focused(i) {
    if (i < 0) return;
    this.stopAt(i);
    if (!this.spans[i].matches(":focus-visible")) return;
    this.point(i);
    this.spoken.textContent = this.title(i);
  }

  act(i) {
    if (i < 0) return;
    const { mode } = this.header;
    this.stopAt(i);
    if (mode === "look") this.point(i);
    else if (mode === "pick") this.setTriggerValue("picked", { picked: i, start_id: this.startId, at: Date.now() });
    else this.press(i);
  }

  press(i) {
    const { blank } = this.header;
    if (this.special(i)) {
      this.spoken.textContent = `${this.named(i)} stays as it is.`;
      return;
    }
    if (!this.pressed.delete(i)) this.pressed.add(i);
    this.dressToken(i);
    const now = this.pressed.has(i);
    if (now) this.fitBlanks([i]);
    this.spoken.textContent = `${this.named(i)} ${now ? `is masked${blank.label ? `: ${blank.label}` : ""}` : "is shown again"}.`;
    this.settle();
  }

  plain() {
    return [...this.pressed].sort((a, b) => a - b).join(" ");
  }

  /** Tells Python once the reader has settled. Nothing here waits for it. */
  settle(delay = SETTLED) {
    clearTimeout(this.timer);
    if (this.header.mode !== "toggle" || this.plain() === this.sent) return;
    this.timer = setTimeout(() => {
      this.sent = this.plain();
      // with the time, so that the same tokens after another start are news to Python
      this.setStateValue("pressed", { pressed: [...this.pressed].sort((a, b) => a - b), start_id: this.startId, at: Date.now() });
    }, delay);
  }

  key(event) {
    const i = this.indexOf(event);
    if (i < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "Escape") return this.point(-1);
    if (event.key === "Enter" || event.key === " ") {
      event.preventDefault();
      if (!event.repeat) this.act(i);
      return;
    }
    const on = getComputedStyle(this.sheet).direction === "rtl" ? -1 : 1;
    const beside = { ArrowLeft: i - on, ArrowRight: i + on, Home: 0, End: this.length - 1 }[event.key];
    const down = { ArrowUp: -1, ArrowDown: 1 }[event.key];
    if (beside === undefined && !down) return;
    event.preventDefault();
    this.spans[clamped(beside ?? this.across(i, down), 0, this.length - 1)].focus();
  }

  /** The token of the next line up or down that stands nearest below or above another. */
  across(i, down) {
    const box = (j) => this.spans[j].getBoundingClientRect();
    const { left, width, top, height } = box(i);
    let [nearest, distance, line] = [i, Infinity, null];
    for (let j = i + down; j >= 0 && j < this.length; j += down) {
      const at = box(j);
      if (line === null && Math.abs(at.top - top) > height / 2) line = at.top;
      if (line === null) continue;
      if (Math.abs(at.top - line) > height / 2) break;
      const far = Math.abs(at.left + at.width / 2 - left - width / 2);
      if (far < distance) [nearest, distance] = [j, far];
    }
    return nearest;
  }

  /** The hover line stands above its token, or below where there is no room: never over it, never beyond the component. */
  point(i) {
    this.pointed = i;
    this.tip.hidden = i < 0;
    if (i < 0) return;
    this.tip.textContent = this.title(i);
    const root = this.root.getBoundingClientRect();
    const [first] = this.spans[i].getClientRects();
    if (!first) return;
    const { offsetWidth: width, offsetHeight: height } = this.tip;
    const [x, y, margin] = [first.left - root.left + first.width / 2 - width / 2, first.top - root.top, 6];
    const below = this.spans[i].getBoundingClientRect().bottom - root.top + margin + (this.spans[i].dataset.word ? first.height * 0.6 : 0);
    const above = y - height - margin;
    this.tip.style.transform = `translate(${clamped(x, 0, Math.max(0, root.width - width))}px, ${above + root.top >= HEADER_ROOM ? above : below}px)`;
  }
}

export default function render({ data, parentElement, setStateValue, setTriggerValue }) {
  mount(parentElement, () => new Shaded(parentElement)).show(data, setStateValue, setTriggerValue);
  return () => unmount(parentElement);
}
