// Drawing the tree: one routine for the screen and for files. Edges first, then boxes, then what stays on top.

const LEAST_TYPE = 5; // pixels below which text is left out
const BACK = 900; // milliseconds in which the best path lights up, from its end to its start
const DASH = [5, 4];
const ZOOMS = [0.05, 3]; // least and most

// What the tree adds to the two painters: a box with round corners, and an edge that ends in a straight piece.
Object.assign(CanvasPainter.prototype, {
  box({ x, y, width, height, round, fill, tint = null, colour, thick, dash = null }) {
    const c = this.context;
    c.beginPath();
    c.roundRect(x, y, width, height, round);
    for (const [style, opacity] of [[fill, 1], ...(tint ? [tint] : [])]) {
      if (!style) continue;
      c.globalAlpha = opacity;
      c.fillStyle = style;
      c.fill();
    }
    c.globalAlpha = 1;
    c.strokeStyle = colour;
    c.lineWidth = thick;
    c.setLineDash(dash ?? []);
    c.stroke();
  },
  edge({ x1, y1, x2, y2, tail, colour, thick, opacity = 1, dash = null }) {
    const c = this.context;
    const [bend, middle] = [x2 - tail, (x1 + x2 - tail) / 2];
    c.globalAlpha = opacity;
    c.strokeStyle = colour;
    c.lineWidth = thick;
    c.lineCap = "butt";
    c.setLineDash(dash ?? []);
    c.beginPath();
    c.moveTo(x1, y1);
    c.bezierCurveTo(middle, y1, middle, y2, bend, y2);
    c.lineTo(x2, y2);
    c.stroke();
  },
});
Object.assign(SvgPainter.prototype, {
  box({ x, y, width, height, round, fill, tint = null, colour, thick, dash = null, name = "", title = "" }) {
    const place = { x, y, width, height, rx: round };
    const stroke = { stroke: colour, "stroke-width": thick, "stroke-dasharray": dash ? dash.join(" ") : null };
    this.add("rect", { class: name || null, ...place, fill: fill ?? "none", ...stroke }, title ? `<title>${SvgPainter.escape(title)}</title>` : "");
    if (tint) this.add("rect", { ...place, fill: tint[0], "fill-opacity": tint[1] });
  },
  edge({ x1, y1, x2, y2, tail, colour, thick, opacity = 1, dash = null, name = "" }) {
    const [bend, middle] = [x2 - tail, (x1 + x2 - tail) / 2];
    const d = `M${[x1, y1].map(tidy)}C${[middle, y1, middle, y2, bend, y2].map(tidy)}H${tidy(x2)}`;
    const look = { stroke: colour, "stroke-width": thick, "stroke-opacity": opacity, "stroke-dasharray": dash ? dash.join(" ") : null };
    this.add("path", { class: name || null, d, fill: "none", ...look });
  },
});
const tidy = (value) => +value.toFixed(2);

/** A sign of what became of a node, about (x, y): colour is not the only one. */
function paintSign(painter, kind, x, y, size, colour) {
  const thick = Math.max(1, size * 0.17);
  const line = (x1, y1, x2, y2, width = thick) => painter.line({ x1: x + x1 * size, y1: y + y1 * size, x2: x + x2 * size, y2: y + y2 * size, colour, width });
  if (kind === "finished") {
    line(-0.42, 0.02, -0.12, 0.34);
    line(-0.12, 0.34, 0.44, -0.36);
  } else if (kind === "cut") {
    for (const at of [-0.38, 0, 0.38]) line(at, 0.1, at + 0.001, 0.1, size * 0.24);
  } else if (kind === "forced") {
    line(0, 0, -0.3, 0.46, thick * 0.8);
    line(0.1, -0.18, 0.101, -0.18, size * 0.52);
  }
}

class BeamFigure extends BeamRecord {
  /** How a node and the edge to it look at a moment. */
  look(node, moment, lit) {
    const { theme, finished } = this.header;
    const { unit, pen: scale } = this.drawn;
    const plain = { colour: theme.muted, ink: theme.text, thick: 1.2 * scale, edge: theme.muted, wide: 1.2 * scale, opacity: 1, dash: null, tint: null, sign: "", weight: "normal" };
    const share = node.tree.sampled ? node.count / node.tree.total : 0;
    if (share) plain.wide = Math.max(1, (0.7 + 11 * share) * unit);
    if (this.undecided(node, moment)) return { ...plain, opacity: 0.75, name: "candidate" };
    const known = {
      kept: { colour: theme.text, edge: theme.text, opacity: share ? 0.6 : 0.75 },
      pruned: { ink: theme.muted, thick: scale, wide: scale, dash: DASH.map((part) => part * scale), opacity: 0.5 },
      finished: { colour: finished, edge: finished, thick: 2 * scale, wide: share ? plain.wide : 1.6 * scale, tint: [finished, 0.16], sign: "finished" },
      cut: { sign: "cut", colour: theme.text, edge: theme.text },
      forced: { sign: "forced", thick: 0.8 * scale, wide: 0.8 * scale },
    }[node.state];
    const look = { ...plain, ...known, name: node.state };
    if (!this.lit(node, moment, lit)) return look;
    const strong = { edge: theme.accent, wide: Math.max(look.wide, 4 * scale), opacity: 1, dash: null, weight: "bold", name: `${node.state} best` };
    if (node.state === "forced") strong.wide = 2 * scale;
    return { ...look, ...strong, ...(node.state === "finished" ? {} : { colour: theme.accent, thick: 2.5 * scale }) };
  }

  /** Whether a node of the best path has lit up: from the end to the start. */
  lit(node, moment, lit) {
    return node.best > 0 && moment >= this.end && node.tree.best.length - node.best < lit * node.tree.best.length;
  }

  /** The one routine that draws the tree. `left` and `top` are what is scrolled away, `width` and `height` what is seen. */
  paint(painter, { layout, left = 0, top = 0, width = layout.width, height = layout.height, moment = this.moment, lit = this.progress, screen = true, captions = [] }) {
    this.drawn = layout;
    const shown = [];
    const inside = (box) => box.x + box.width > left && box.x < left + width && box.y + box.height > top && box.y < top + height;
    const pointed = new Set(screen && this.pointed ? this.path(this.pointed) : []);
    const ranked = [[], [], [], []]; // pruned, the others, the best path, what is pointed at: later ones lie above
    for (const { tree, top: above } of layout.bands) {
      for (const node of tree.nodes) {
        if (!this.seen(node, moment)) continue;
        const box = this.boxOf(node, layout);
        const from = node.parent ? this.boxOf(node.parent, layout) : this.rootBox(layout, above);
        const span = { x: from.x, width: box.x + box.width - from.x, y: Math.min(from.y, box.y), height: Math.abs(from.y - box.y) + box.height };
        if (!inside(span)) continue;
        const look = this.look(node, moment, lit);
        const entry = { node, box, from, look, seen: inside(box) };
        ranked[pointed.has(node) ? 3 : look.weight === "bold" ? 2 : look.dash ? 0 : 1].push(entry);
        shown.push(entry);
      }
    }
    const moved = (box) => ({ ...box, x: box.x - left, y: box.y - top, middle: box.middle - top });
    ranked.forEach((entries, rank) => entries.forEach((entry) => this.paintEdge(painter, moved(entry.from), moved(entry.box), entry, rank === 3, layout)));
    for (const band of layout.bands) this.paintRoot(painter, moved(this.rootBox(layout, band.top)), layout);
    for (const entry of shown) if (entry.seen) this.paintNode(painter, moved(entry.box), entry, { layout, screen, pointed: pointed.has(entry.node) });
    this.paintWords(painter, { layout, left, top, width, moment, captions });
    return shown.length;
  }

  rootBox(layout, top) {
    const { x, width } = layout.columns[0];
    const middle = top + (PITCH * layout.unit) / 2;
    return { x, width, height: BOX * layout.unit, y: middle - (BOX * layout.unit) / 2, middle };
  }

  paintRoot(painter, box, { unit }) {
    const { theme } = this.header;
    const right = box.x + box.width - 3 * unit;
    painter.line({ x1: right - 0.01, y1: box.middle, x2: right, y2: box.middle, colour: theme.text, width: Math.max(3, 9 * unit) });
    if (FIGURES * unit < LEAST_TYPE) return;
    painter.text({ x: right - 9 * unit, y: box.middle, text: "start", colour: theme.muted, size: FIGURES * unit, font: theme.font, align: "right", style: "italic" });
  }

  paintEdge(painter, from, box, { node, look }, pointed, { unit, pen, columns }) {
    const { theme } = this.header;
    const tail = columns[node.step].tail;
    const ends = { x1: from.x + from.width, y1: from.middle, x2: box.x, y2: box.middle, tail };
    const strong = pointed && look.weight !== "bold" ? { colour: theme.text, thick: Math.max(look.wide, 2.5 * pen), opacity: 1 } : {};
    painter.edge({ ...ends, colour: look.edge, thick: look.wide, opacity: look.opacity, dash: look.dash, name: `edge ${look.name}`, ...strong });
    const size = (FIGURES - 1) * unit;
    if (size < LEAST_TYPE) return;
    const rise = Math.max(look.wide / 2, 1) + size * 0.62;
    painter.text({ x: box.x - 8 * unit, y: box.middle - rise, text: node.logprob_text, colour: look.ink, size, font: theme.font, align: "right" });
  }

  paintNode(painter, box, { node, look }, { layout, screen, pointed }) {
    const { theme, greedy } = this.header;
    const { unit, pen: scale } = layout;
    const { x, y, width, height } = box;
    const title = `${node.title ?? node.label}: ${this.fate(node, this.moment)}`;
    const round = Math.min(6 * unit, height / 2);
    if (screen && this.chosenNode === node) ring(painter, box, 3 * scale, 3 * scale, theme.text, round);
    if (screen && this.focused && this.active === node) ring(painter, box, 6 * scale, 2 * scale, theme.accent, round);
    const thick = pointed ? Math.max(look.thick, 2 * scale) : look.thick;
    const colour = pointed && look.weight !== "bold" && node.state !== "finished" ? theme.text : look.colour;
    painter.box({ x, y, width, height, round, fill: theme.background, tint: look.tint, colour, thick, dash: look.dash, name: `node ${look.name}`, title });
    if (node.greedy) {
      const line = y + height * 0.53;
      const end = x + INSIDE * unit + (unit * LETTER < LEAST_TYPE ? width / 2 : this.labelWidth(node, look, unit));
      painter.line({ x1: x + INSIDE * unit, y1: line, x2: end, y2: line, colour: greedy, width: Math.max(1, 2 * unit), dash: [2 * unit, 2 * unit] });
    }
    if (LETTER * unit < LEAST_TYPE) return;
    const text = { x: x + INSIDE * unit, font: theme.font, colour: look.ink };
    const style = node.special ? "italic" : "normal";
    painter.text({ ...text, y: y + height * 0.31, text: node.label, size: LETTER * unit, weight: look.weight, style });
    painter.text({ ...text, y: y + height * 0.75, text: this.scoreLine(node), size: FIGURES * unit, colour: theme.muted === look.ink ? theme.muted : theme.text });
    const aside = x + width - (SIGNS / 2 + 1) * unit;
    if (look.sign) paintSign(painter, look.sign, aside, y + height * 0.31, 11 * unit, look.sign === "finished" ? look.colour : theme.text);
    if (node.greedy) painter.text({ ...text, x: aside, y: y + height * 0.73, text: "g", size: 13 * unit, align: "center", weight: "bold", style: "italic", colour: theme.text });
  }

  labelWidth(node, look, unit) {
    return unit * widthOf(node.label, `${node.special ? "italic" : "normal"} ${look.weight} ${LETTER}px ${this.header.theme.font}`);
  }

  /** Titles, the line about greedy search, and the steps' numbers, which all keep their size and stay in sight. */
  paintWords(painter, { layout, left, top, width, moment, captions }) {
    const { theme, scale, greedy } = this.header;
    const [small, size, font] = [theme.small_size * scale, theme.font_size * scale, theme.font];
    const step = this.shownAt(moment);
    layout.bands.forEach(({ tree, title, note }, i) => {
      const y = title - top;
      if (i) painter.line({ x1: 0, y1: y - 18 * scale, x2: width, y2: y - 18 * scale, colour: theme.faint, width: 1 });
      painter.text({ x: PAD * scale, y, text: tree.title, colour: theme.text, size, font, weight: "bold" });
      if (captions[i]) painter.text({ x: PAD * scale + this.titleRoom(tree), y, text: captions[i], colour: theme.muted, size: small, font });
      if (!this.noted(tree) || step < tree.left || !layout.columns[tree.left]) return;
      const x = layout.columns[tree.left].x - left;
      painter.text({ x: x + INSIDE * scale, y: note - top, text: "greedy leaves here", colour: theme.text, size: small, font, style: "italic" });
      painter.line({ x1: x, y1: note - top - 7 * scale, x2: x, y2: note - top + 10 * scale, colour: greedy, width: 2 * scale, dash: [2 * scale, 2 * scale] });
    });
    painter.rect({ x: 0, y: 0, width, height: HEAD * scale - 2, colour: theme.background });
    painter.line({ x1: 0, y1: HEAD * scale - 2, x2: width, y2: HEAD * scale - 2, colour: theme.faint, width: 1 });
    this.paintNumbers(painter, { layout, left, step, size: small, done: moment >= this.end });
  }

  /** As many of the steps' numbers as do not touch. */
  paintNumbers(painter, { layout, left, step, size, done }) {
    const { theme, scale } = this.header;
    const y = (HEAD * scale) / 2 - 1;
    let free = -Infinity;
    layout.columns.forEach((column, n) => {
      const now = n === step && !done;
      const text = n ? `${n}` : "step";
      const middle = n ? column.x + column.width / 2 : column.x + 14 * scale;
      const room = size * (n ? 0.9 : 1.4);
      if (middle - room < free && !now) return;
      if (now && middle - room < free) painter.rect({ x: middle - room - left, y: 0, width: 2 * room, height: HEAD * scale - 3, colour: theme.background });
      free = middle + room;
      painter.text({ x: middle - left, y, text, colour: now ? theme.accent : theme.muted, size, font: theme.font, align: "center", weight: now ? "bold" : "normal" });
    });
  }

  titleRoom(tree) {
    const { theme, scale } = this.header;
    return widthOf(tree.title, `bold ${theme.font_size * scale}px ${theme.font}`) + 14 * scale;
  }

  // ---- words and elements ------------------------------------------------------------------------------------------

  /** The element that stands for the node that the keys have reached. */
  placeItem(layout) {
    const node = this.active && this.seen(this.active, this.moment) ? this.active : null;
    this.item.hidden = !node;
    if (!node) {
      this.frame.removeAttribute("aria-activedescendant");
      return;
    }
    const { x, y, width, height } = this.boxOf(node, layout);
    Object.assign(this.item.style, { left: `${x}px`, top: `${y}px`, width: `${width}px`, height: `${height}px` });
    const ranks = this.row(node);
    const said = { "aria-label": this.sentence(node), "aria-level": node.step, "aria-setsize": ranks.length, "aria-posinset": ranks.indexOf(node) + 1 };
    for (const [name, value] of Object.entries({ ...said, "aria-selected": this.chosenNode === node })) this.item.setAttribute(name, value);
    this.frame.setAttribute("aria-activedescendant", "node");
  }

  sentence(node) {
    const { name, numbers, place, text } = this.facts(node, this.moment);
    return [name, ...numbers, ...place, `so far: ${text}`].join(" · ");
  }

  /** The readout below, and the tip beside what is pointed at. */
  annotate() {
    const { pointed } = this;
    const said = pointed ? `${pointed === this.hovered || pointed !== this.chosenNode ? "" : "Chosen: "}${this.sentence(pointed)}` : "Point at a node to read it, click or press Enter to choose it.";
    if (this.readout.textContent !== said) this.readout.textContent = said;
    const node = this.hovered;
    this.tip.hidden = !node;
    this.space.classList.toggle("over", Boolean(node));
    if (!node) return;
    const { name, numbers, place } = this.facts(node, this.moment);
    this.tipName.textContent = `${name} ${numbers.join(" · ")}`;
    this.tipPlace.textContent = place.join(" · ");
    const box = this.boxOf(node, this.planned());
    const [frame, root] = [this.frame.getBoundingClientRect(), this.root.getBoundingClientRect()];
    const at = { x: frame.left - root.left + box.x - this.frame.scrollLeft, y: frame.top - root.top + box.y - this.frame.scrollTop };
    const below = at.y + box.height + 10;
    const high = this.tip.offsetHeight;
    const y = below + high < frame.bottom - root.top + 40 ? below : at.y - high - 10;
    this.tip.style.transform = `translate(${within(at.x, 0, Math.max(0, root.width - this.tip.offsetWidth))}px, ${y}px)`;
  }

  // ---- zoom and place -----------------------------------------------------------------------------------------------------

  /** Keeps a step's column in sight, with room for the next one. */
  follow(step, behavior = this.calm.matches ? "auto" : "smooth") {
    const { frame } = this;
    const { columns } = this.planned();
    const column = columns[within(step, 0, columns.length - 1)];
    const [from, to] = [column.x - column.tail - 8, column.x + column.width + 12];
    if (from >= frame.scrollLeft && to <= frame.scrollLeft + frame.clientWidth) return;
    frame.scrollTo({ left: Math.max(0, Math.min(from, to - 0.75 * frame.clientWidth)), behavior });
  }

  reveal(node) {
    const { frame } = this;
    const { x, y, width, height } = this.boxOf(node, this.planned());
    const top = HEAD * this.header.scale;
    const into = (start, size, from, room, before, after) => (start - before < from ? start - before : start + size + after > from + room ? start + size + after - room : from);
    const left = into(x, width, frame.scrollLeft, frame.clientWidth, 60, 24);
    frame.scrollTo({ left, top: into(y, height, frame.scrollTop, frame.clientHeight, top + 12, 12), behavior: "auto" });
  }

  fitting() {
    const { frame, whole } = this;
    const rows = whole.bands.reduce((sum, band) => sum + band.bottom - band.top, 0);
    const pads = 2 * PAD * this.header.scale;
    const [wide, high] = [(frame.clientWidth - pads - 1) / (whole.width - pads), (frame.clientHeight - (whole.height - rows) - 1) / rows];
    return within(Math.min(wide, high), ZOOMS[0], 1.5);
  }

  fit() {
    this.fitted = true;
    this.hovered = null;
    this.update();
  }

  /** Zooms about a place in the frame: the pointer, else the node spoken of, else the middle. */
  zoomBy(factor, at = null) {
    const { frame } = this;
    const before = this.planned();
    const node = this.active ?? this.chosenNode;
    const [width, height] = [frame.clientWidth, frame.clientHeight];
    const box = node && this.boxOf(node, before);
    const place = at ?? (box ? { x: box.x + box.width / 2 - frame.scrollLeft, y: box.middle - frame.scrollTop } : null);
    const inside = place && place.x > 0 && place.x < width && place.y > 0 && place.y < height;
    const { x, y } = inside ? place : { x: width / 2, y: height / 2 };
    const [across, down] = [(frame.scrollLeft + x) / before.width, (frame.scrollTop + y) / before.height];
    this.fitted = false;
    this.zoom = within(this.zoom * factor, ...ZOOMS);
    this.hovered = null;
    this.update();
    const after = this.planned();
    frame.scrollTo({ left: across * after.width - x, top: down * after.height - y, behavior: "auto" });
  }

  // ---- the legend -------------------------------------------------------------------------------------------------------

  /** What the signs mean, of those that the trees have. */
  keys() {
    const has = (state) => this.trees.some(({ nodes }) => nodes.some((node) => node.state === state));
    const sampled = this.trees.some((tree) => tree.sampled);
    return [
      ["kept", sampled ? "drawn" : "kept", has("kept") && !this.trees.every((tree) => this.taken(tree))],
      ["pruned", "pruned", has("pruned")],
      ["finished", "finished", has("finished")],
      ["cut", "cut at the limit", has("cut")],
      ["forced", "forced", has("forced")],
      ["best", sampled ? "most probable sample" : "best path", this.trees.some((tree) => tree.best.length)],
      ["greedy", "greedy path", this.trees.some((tree) => tree.greedy.length)],
    ].filter(([, , there]) => there);
  }

  paintKey(painter, kind, x, y) {
    const { theme, finished, greedy } = this.header;
    const box = { x: x + 1.5, y: y + 2, width: 25, height: 14, round: 3, fill: theme.background, colour: theme.text, thick: 1.2 };
    const looks = { pruned: { colour: theme.muted, thick: 1, dash: [4, 3] }, finished: { colour: finished, thick: 2, tint: [finished, 0.16] }, forced: { thick: 0.8, colour: theme.muted } };
    if (kind === "best") painter.line({ x1: x + 3, y1: y + 9, x2: x + 25, y2: y + 9, colour: theme.accent, width: 4 });
    else if (kind === "greedy") {
      painter.text({ x: x + 14, y: y + 7, text: "g", colour: theme.text, size: 13, font: theme.font, align: "center", weight: "bold", style: "italic" });
      painter.line({ x1: x + 4, y1: y + 16, x2: x + 25, y2: y + 16, colour: greedy, width: 2, dash: [2, 2] });
    } else {
      painter.box({ ...box, ...looks[kind] });
      paintSign(painter, kind, x + 14, y + 9, 10, kind === "finished" ? finished : theme.text);
    }
  }

  // ---- files --------------------------------------------------------------------------------------------------------------

  /** The whole tree as it stands, at its full size whatever the zoom, with its captions and the legend. */
  save(format) {
    const { theme, scale, file_name } = this.header;
    const layout = this.layout(this.header, 1, this.state.pruned);
    const captions = this.trees.map((tree) => this.caption(tree, this.moment));
    const [small, font] = [theme.small_size * scale, theme.font];
    const wide = (text) => widthOf(text, `${small}px ${font}`);
    const keys = this.keys();
    const legend = keys.reduce((sum, [, text]) => sum + 34 + wide(text) + 20, 2 * PAD);
    const spoken = this.trees.map((tree, i) => this.titleRoom(tree) + wide(captions[i]) + 3 * PAD * scale);
    const size = { width: Math.ceil(Math.max(layout.width, legend, ...spoken)), height: Math.ceil(layout.height) };
    const { step, phase } = this.viewOf(this.moment);
    const name = step < 0 ? file_name : `${file_name}-${step}-${phase}`;
    save(format, name, size.width, size.height + 24 + PAD, theme.background, (painter) => {
      this.paint(painter, { layout, ...size, lit: 1, screen: false, captions });
      let x = PAD;
      for (const [kind, text] of keys) {
        this.paintKey(painter, kind, x, size.height + 2);
        painter.text({ x: x + 34, y: size.height + 11, text, colour: theme.muted, size: small, font });
        x += 34 + wide(text) + 20;
      }
    });
    this.draw();
  }
}

/** An outline around a box. */
function ring(painter, { x, y, width, height }, away, thick, colour, round) {
  painter.box({ x: x - away, y: y - away, width: width + 2 * away, height: height + 2 * away, round: round + away, fill: null, colour, thick });
}
