// Drawing a panel: on the screen line by line, and into files as it stands there.

const AFTER = -1; // a character after the chosen one, which cannot have influenced it
const PLAIN = -2; // a character of which nothing can be said: the row has no target
const FAR = -3; // a character too far back to have reached the chosen one
const NARROW = 0.72; // of a letter's width, for a space
const NOTE = "each row is divided by its own largest influence: rows and panels are not comparable";
const LARGEST = "the row's largest influence";

/** "#rrggbb" for each level: `shades` are equal steps apart, and mixed in between. */
function palette({ shades, levels }) {
  const channel = (hex, c) => parseInt(hex.slice(c, c + 2), 16);
  return Array.from({ length: levels + 1 }, (_, level) => {
    const place = (level / levels) * (shades.length - 1);
    const at = Math.min(Math.floor(place), shades.length - 2);
    const mixed = [1, 3, 5].map((c) => Math.round(channel(shades[at], c) + (channel(shades[at + 1], c) - channel(shades[at], c)) * (place - at)));
    return `#${mixed.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  });
}

class ConnectedFigure extends ConnectedRows {
  /** Where each character stands in a sheet of that width: lines break before a space; a word longer than a line, within it. */
  layout(width) {
    const { text } = this.header;
    const { fontFamily: font, fontSize } = getComputedStyle(this.sheet);
    const size = parseFloat(fontSize);
    const wide = monospace(size, font);
    const widthOf = (i) => (text[i] === " " ? NARROW : 1) * wide;
    const place = { font, size, wide, tall: Math.round(1.6 * size), pitch: Math.round(1.8 * size), x: new Float32Array(text.length + 1), starts: [0], line: new Uint16Array(text.length) };
    let x = 0;
    const breakAt = (i) => (place.starts.push(i), (x = 0));
    for (let i = 0; i < text.length; i++) {
      if (i === 0 || text[i] === " ") {
        const next = text.indexOf(" ", i + 1);
        const whole = widthOf(i) + ((next < 0 ? text.length : next) - i - 1) * wide;
        if (x > 0 && x + whole > width) breakAt(i);
      }
      if (x > 0 && x + widthOf(i) > width) breakAt(i);
      place.x[i] = x;
      place.line[i] = place.starts.length - 1;
      x += widthOf(i);
    }
    return { ...place, widthOf, width, height: place.starts.length * place.pitch };
  }

  /** Lays the text out anew and draws all of it. */
  arrange() {
    const width = this.sheet.clientWidth;
    if (!width) return;
    this.place = this.layout(width);
    this.sheet.style.height = `${this.place.height}px`;
    this.context = sized(this.canvas, width, this.place.height);
    this.drawn = null;
    this.update();
  }

  /** The character at a point of the sheet, −1 for none. */
  at(x, y) {
    if (!this.place) return -1;
    const { starts, pitch, x: left, widthOf } = this.place;
    const line = Math.floor(y / pitch);
    if (line < 0 || line >= starts.length || x < 0) return -1;
    const end = starts[line + 1] ?? this.length;
    for (let i = starts[line]; i < end; i++) if (x < left[i] + widthOf(i)) return i;
    return -1;
  }

  /** How each character looks at a position: a level, or AFTER, PLAIN or FAR. */
  looks(position) {
    const looks = new Int16Array(this.length);
    if (position < 0) return looks;
    const far = this.reach(position);
    if (this.word("targets", position)) looks.set(this.row(position));
    else looks.fill(PLAIN, 0, position + 1);
    if (looks[0] !== PLAIN) looks.fill(FAR, 0, far);
    return looks.fill(AFTER, position + 1);
  }

  /** Draws the lines that look otherwise than before; the others stay as they are. */
  shade(position, pointed) {
    if (!this.place) return;
    const { line, starts, pitch, width } = this.place;
    const marks = { chosen: position, pointed: pointed <= position ? pointed : -1 };
    const looks = this.looks(position);
    const before = this.drawn;
    const changed = new Set(before ? [] : starts.keys());
    if (before) {
      for (let i = 0; i < this.length; i++) if (looks[i] !== before.looks[i]) changed.add(line[i]);
      for (const i of [before.chosen, before.pointed, marks.chosen, marks.pointed]) if (i >= 0) changed.add(line[i]);
    }
    this.drawn = { looks, ...marks };
    const painter = new CanvasPainter(this.context);
    for (const n of changed) {
      this.context.clearRect(0, n * pitch, width, pitch);
      this.paintLine(painter, n, {});
    }
  }

  /** The one routine that draws characters, on the screen and into files: one line of the text. */
  paintLine(painter, n, { left = 0, above = 0, byLetter = false }) {
    const { theme, text } = this.header;
    const { starts, pitch, tall, size, font, x, widthOf } = this.place;
    const { looks, chosen, pointed } = this.drawn;
    const [start, end] = [starts[n], starts[n + 1] ?? this.length];
    const y = above + n * pitch;
    const box = (from, to) => {
      const [near, far] = [Math.round(x[from]), Math.round(x[to] + widthOf(to))]; // whole pixels, so that no seam shows between boxes
      return { x: left + near, y, width: far - near, height: tall };
    };
    const ink = (look) => (look >= 0 ? "#ffffff" : look === PLAIN ? theme.text : theme.muted);
    const runs = (same, draw) => {
      for (let i = start, from = start; i < end; i++) {
        if (i + 1 < end && same(i, i + 1)) continue;
        draw(from, i);
        from = i + 1;
      }
    };
    runs((i, j) => looks[i] === looks[j], (from, to) => {
      if (looks[from] >= 0) painter.rect({ ...box(from, to), colour: this.colours[looks[from]] });
      if (looks[from] === FAR) paintHatch(painter, box(from, to), this.header.hatch);
    });
    const letter = (i) => text[i] !== " ";
    runs((i, j) => !byLetter && letter(i) && letter(j) && ink(looks[i]) === ink(looks[j]), (from, to) => {
      if (letter(from)) painter.text({ x: left + x[from], y: y + tall / 2, text: text.slice(from, to + 1), colour: ink(looks[from]), size, font });
    });
    if (chosen >= start && chosen < end) {
      painter.rect({ ...box(chosen, chosen), y: y + tall - Math.round(size * 0.32), height: Math.round(size * 0.17), colour: ink(looks[chosen]) });
    }
    if (pointed >= start && pointed < end) paintFrame(painter, box(pointed, pointed), 2, theme.text);
  }

  update() {
    if (!this.channel) return;
    const { pinned, pointed } = this.channel;
    const position = Math.min(this.channel.position, this.length - 1);
    this.shade(position, pinned ? pointed : -1);
    if (position !== this.position) this.say(position);
    this.position = position;
    const caption = this.caption(position, pinned, pinned ? pointed : -1);
    if (this.captionLine.textContent !== caption) this.captionLine.textContent = caption;
    this.sheet.setAttribute("aria-valuenow", position + 1);
    this.sheet.setAttribute("aria-valuetext", this.spoken(position, pinned));
    if (this.header.controls) this.updateTransport(position);
  }

  /** The line above the text: what was read, what it is to become, and what is suggested. */
  say(position) {
    const none = position < 0;
    const wanted = none ? "" : this.word("desired", position);
    this.reads.textContent = none ? "" : `reads ${quoted(this.read(position))} → `;
    this.wanted.textContent = none ? "" : wanted || this.missing(position);
    this.wanted.classList.toggle("none", !wanted);
    const words = none ? [] : this.suggestions(position);
    this.suggested.forEach(({ place, word, chance }, rank) => {
      const [name, probability] = words[rank] ?? ["", 0];
      const right = Boolean(name) && name === wanted;
      place.classList.toggle("right", right);
      place.title = name;
      word.textContent = name;
      chance.textContent = name ? `${right ? "✓ " : ""}${share(probability)}` : "";
    });
  }

  spoken(position, pinned) {
    if (position < 0) return "no character is chosen";
    const wanted = this.word("desired", position);
    const words = this.suggestions(position).map(([word, probability]) => `${word} ${share(probability)}`);
    const becomes = `reads ${quoted(this.read(position))}, the word is ${wanted || this.missing(position)}`;
    return [`character ${position + 1} of ${this.length}${pinned ? ", pinned" : ""}`, becomes, `suggested: ${words.join(", ")}`].join("; ");
  }

  // ---- files ---------------------------------------------------------------------------------------------------------------

  /** The panel as it stands: its line, its text in the same lines, its caption and legend. */
  save(format) {
    const { theme, scale, file_name } = this.header;
    const sizes = { small: theme.small_size * scale, normal: theme.font_size * scale };
    const pad = 16;
    const inner = Math.max(this.place.width, 420 * scale);
    const lines = this.written(inner, sizes);
    const top = Math.round(pad + lines.above.length * sizes.normal * 1.5 + 6);
    const bottom = top + this.place.height + 8;
    const height = bottom + (lines.below.length + 1.2) * sizes.small * 1.4 + pad;
    save(format, file_name, Math.ceil(inner + 2 * pad), Math.ceil(height), theme.background, (painter) => {
      lines.above.forEach((line, n) => painter.text({ ...line, x: pad, y: pad + (n + 0.5) * sizes.normal * 1.5 }));
      for (const n of this.place.starts.keys()) this.paintLine(painter, n, { left: pad, above: top, byLetter: true });
      lines.below.forEach((line, n) => painter.text({ ...line, x: pad, y: bottom + (n + 0.5) * sizes.small * 1.4 }));
      this.paintRamp(painter, pad, bottom + (lines.below.length + 0.6) * sizes.small * 1.4, sizes.small);
    });
  }

  /** What a file says above and below the text, in lines of at most `width` pixels. */
  written(width, { small, normal }) {
    const { theme, name, subtitle } = this.header;
    const { font } = theme;
    const broken = (text, look) => wrapped(text, width, `${look.weight ?? "normal"} ${look.size}px ${font}`).map((line) => ({ ...look, font, text: line }));
    const words = this.suggested.map(({ word, chance }) => `${word.textContent} ${chance.textContent}`).filter((text) => text.trim());
    const said = [`${this.reads.textContent}${this.wanted.textContent}`, ...words].filter(Boolean).join("   ");
    const { chosen, pointed } = this.drawn;
    const caption = this.caption(chosen, this.channel.pinned, pointed, false);
    return {
      above: [
        ...broken([name, subtitle].filter(Boolean).join(" · "), { size: normal, colour: theme.text, weight: "bold" }),
        ...(said ? broken(said, { size: normal, colour: theme.text }) : []),
      ],
      below: [caption, NOTE].filter(Boolean).flatMap((text) => broken(text, { size: small, colour: theme.muted })),
    };
  }

  paintRamp(painter, x, y, small) {
    const { theme } = this.header;
    const { font } = theme;
    const [width, start, end] = [Math.round(small * 9), Math.round(x + small), this.header.levels];
    const text = (at, words) => painter.text({ x: at, y, text: words, colour: theme.muted, size: small, font });
    text(x, "0");
    for (let n = 0; n < width; n++) {
      painter.rect({ x: start + n, y: y - small * 0.45, width: 1, height: small * 0.9, colour: this.colours[Math.round((n / (width - 1)) * end)] });
    }
    text(x + small * 1.5 + width, LARGEST);
  }
}

/** The width of a letter of a monospaced font, in pixels. */
function monospace(size, font) {
  const context = make("canvas").getContext("2d");
  context.font = `${size}px ${font}`;
  return context.measureText("m".repeat(50)).width / 50;
}

/** Strokes across a box that nothing can have come from. */
function paintHatch(painter, { x, y, width, height }, colour) {
  const apart = 6;
  for (let reach = apart; reach < width + height; reach += apart) {
    const [near, far] = [Math.max(0, reach - height), Math.min(width, reach)];
    painter.line({ x1: x + near, y1: y + reach - near, x2: x + far, y2: y + reach - far, colour, width: 1, opacity: 0.55 });
  }
}
