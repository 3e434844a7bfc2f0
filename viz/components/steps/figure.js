// Drawing one step of a recurrent decoder: on the screen and into files.
// From the bottom up: source, annotations, scores, weights, their weighted sum; beside it, or above it, the decoder.

/** An SVG path, filled, or stroked where it has a width: canvas and recorder read the same text. */
function paintPath(painter, d, { colour, opacity = 1, width = 0, kind = null }) {
  const c = painter.context;
  if (!c) return painter.add("path", width ? { class: kind, d, fill: "none", stroke: colour, "stroke-width": width, "stroke-opacity": opacity } : { class: kind, d, fill: colour, "fill-opacity": opacity });
  c.globalAlpha = opacity;
  c.setLineDash([]);
  c.lineCap = "butt";
  if (width) Object.assign(c, { strokeStyle: colour, lineWidth: width }).stroke(new Path2D(d));
  else Object.assign(c, { fillStyle: colour }).fill(new Path2D(d));
}

/** A line through points, [x, y] each, with a head at the last. */
function paintArrow(painter, points, { colour, scale, width = 1.5 }) {
  const [[x0, y0], [x, y]] = points.slice(-2);
  const [long, half] = [7 * scale, 3.5 * scale];
  const length = Math.hypot(x - x0, y - y0) || 1;
  const [dx, dy] = [(x - x0) / length, (y - y0) / length];
  const [bx, by] = [x - dx * long, y - dy * long];
  const path = (all) => all.map(([px, py], n) => `${n ? "L" : "M"}${px.toFixed(1)} ${py.toFixed(1)}`).join("");
  paintPath(painter, path([...points.slice(0, -1), [bx, by]]), { colour, width: width * scale });
  paintPath(painter, `${path([[x, y], [bx - dy * half, by + dx * half], [bx + dy * half, by - dx * half]])}Z`, { colour });
}

/** Draws with the figure's own corner at a point of the file. */
function paintShifted(painter, left, above, draw) {
  if (painter.context) painter.context.translate(left, above);
  else painter.parts.push(`<g transform="translate(${left} ${above})">`);
  draw();
  if (painter.context) painter.context.translate(-left, -above);
  else painter.parts.push("</g>");
}

class StepsFigure extends StepsWeights {
  // ---- the picture -------------------------------------------------------------------------------------------------------

  /** The one routine that draws, on the screen and into files. `clip(draw)` keeps the source inside its box. */
  paint(painter, place, { scrolled = 0, clip = (draw) => draw() } = {}) {
    const sum = place.decoder.sum ?? place.source.x + place.source.width / 2;
    const columns = this.lefts(place, scrolled).map((x, s) => ({ s, x, width: place.widths[s], middle: x + place.widths[s] / 2 }));
    clip(() => {
      const seen = columns.filter(({ x, width }) => x + width > place.source.x && x < place.source.x + place.source.width);
      for (const column of seen) this.paintColumn(painter, place, column);
      if (this.looks) this.paintFlow(painter, place, columns, sum);
      else this.paintEnds(painter, place, columns, sum);
      if (this.looks) for (const column of seen) this.paintNumbers(painter, place, column);
    });
    this.paintSum(painter, place, sum);
    this.paintHeadings(painter, place, sum);
    this.paintDecoder(painter, place, sum);
  }

  /** Cells of a vector, from the top down, in a frame. */
  paintStrip(painter, array, row, x, y, { width = 18, height = STRIP, frame = null } = {}) {
    const { theme, scale: k, strips } = this.header;
    const { cells } = array === "states" ? strips.states : strips.source;
    const box = { x: x - (width * k) / 2, y, width: width * k, height: height * k };
    for (let cell = 0; cell < cells; cell++) {
      painter.rect({ ...box, y: y + (cell * box.height) / cells, height: box.height / cells + 0.3, colour: this.shades[this.arrays[array][row * cells + cell]] });
    }
    paintFrame(painter, { x: box.x - k, y: y - k, width: box.width + 2 * k, height: box.height + 2 * k }, k, frame ?? theme.muted);
  }

  text(painter, text, x, y, more = {}) {
    const { theme, scale } = this.header;
    painter.text({ x, y, text, colour: theme.muted, size: theme.small_size * scale, font: theme.font, ...more });
  }

  paintColumn(painter, { rows, k }, { s, x, width, middle }) {
    const { theme, source } = this.header;
    const [pointed, half] = [this.pointed === s, Math.min(width * 0.3, 14 * k)];
    if (pointed) painter.rect({ x, y: (this.looks ? rows.weights - 12 * k : rows.notes - 4 * k), width, height: rows.end - (this.looks ? rows.weights - 12 * k : rows.notes - 4 * k), colour: theme.accent, opacity: 0.16 });
    if (this.looks) {
      const { zero, y } = this.scoreScale(rows, k);
      const end = y(this.score(s));
      painter.rect({ x, y: zero - 0.5, width, height: 1, colour: theme.muted });
      painter.rect({ x: middle - half, y: Math.min(zero, end), width: 2 * half, height: Math.abs(end - zero), colour: this.header.diverging[end > zero ? 1 : 5] });
      const tall = BAR * k * this.weight(s);
      painter.rect({ x, y: rows.weights + BAR * k - 0.5, width, height: 1, colour: theme.muted });
      painter.rect({ x: middle - half, y: rows.weights + BAR * k - tall, width: 2 * half, height: tall, colour: theme.accent });
    }
    this.paintStrip(painter, "annotations", s, middle, rows.notes);
    const { label, special } = source[s];
    const look = { colour: special ? theme.muted : theme.text, size: 0.94 * theme.font_size * k, align: "center", style: special ? "italic" : "normal", weight: pointed ? "bold" : "normal" };
    this.text(painter, label, middle, rows.labels + 14 * k, look);
  }

  /** Where a score's bar ends: one scale for all steps, so that steps can be compared. */
  scoreScale({ scores }, k) {
    const [low, high] = this.header.range;
    const y = (score) => scores + (SCORE * k * (high - (Number.isFinite(score) ? score : 0))) / (high - low || 1);
    return { y, zero: y(0) };
  }

  paintNumbers(painter, { rows, k }, { s, middle }) {
    if (!this.numbers && this.pointed !== s) return;
    const { theme } = this.header;
    const look = { align: "center", colour: theme.text, size: 0.88 * theme.small_size * k };
    const { zero, y } = this.scoreScale(rows, k);
    const end = y(this.score(s));
    this.text(painter, scored(this.score(s)), middle, end > zero ? end + 8 * k : end - 7 * k, look);
    this.text(painter, this.weight(s).toFixed(2), middle, rows.weights + BAR * k * (1 - this.weight(s)) - 7 * k, look);
  }

  /** What flows from each weight into the sum: as broad as the weight, all side by side as broad as the sum's strip. */
  paintFlow(painter, { rows, k }, columns, sum) {
    const bottom = rows.context + (STRIP + 1) * k;
    let from = sum - (FLOW * k) / 2;
    for (const { s, middle } of columns) {
      const weight = this.weight(s);
      const [wide, left] = [weight * FLOW * k, from];
      from += wide;
      if (weight < LEAST) continue;
      const top = rows.weights + BAR * k * (1 - weight);
      const turn = (top + bottom) / 2;
      const at = (...numbers) => numbers.map((n) => n.toFixed(3)).join(" ");
      const [near, far] = [middle - wide / 2, middle + wide / 2];
      const d = `M${at(near, top)}C${at(near, turn, left, turn, left, bottom)}L${at(left + wide, bottom)}C${at(left + wide, turn, far, turn, far, top)}Z`;
      const opacity = this.pointed < 0 ? 0.45 : this.pointed === s ? 0.85 : 0.14;
      paintPath(painter, d, { colour: this.header.theme.accent, opacity, kind: "flow" });
    }
  }

  /** Without attention two vectors are all that is kept: the forward network's at the end, the backward one's at the beginning. */
  paintEnds(painter, { rows, k }, columns, sum) {
    const { theme } = this.header;
    const bottom = rows.context + (STRIP + 10) * k;
    for (const [{ middle }, aside] of [[columns[0], -6], [columns.at(-1), 6]]) {
      paintArrow(painter, [[middle, rows.notes - 3 * k], [middle, rows.notes - 18 * k], [sum + aside * k, bottom + 14 * k], [sum + aside * k, bottom]], { colour: theme.accent, scale: k });
    }
  }

  paintSum(painter, { rows, k }, sum) {
    if (!this.looks) {
      const { theme } = this.header;
      const box = { x: sum - 22 * k, y: rows.context - 9 * k, width: 44 * k, height: (STRIP + 18) * k };
      painter.rect({ ...box, colour: theme.background });
      paintFrame(painter, box, 1.5 * k, theme.accent);
    }
    this.paintStrip(painter, "contexts", this.step, sum, rows.context, { width: FLOW });
  }

  paintHeadings(painter, { rows, k, source, start, widths, stacked }, sum) {
    const { theme, formula } = this.header;
    const write = (name, formula, y, x = source.x) => {
      this.text(painter, name, x, y, { colour: theme.text });
      if (formula) this.text(painter, formula, x + this.measured(`${name}  `), y);
    };
    const heading = (y) => y - (HEADING / 2 + 2) * k;
    const beside = stacked ? [sum + 28 * k, rows.context + 12 * k] : [source.x, heading(rows.context)];
    if (this.looks) {
      write("weighted sum", "c = Σ α h", beside[1], beside[0]);
      write("softmax", "α", heading(rows.weights - 12 * k));
      write("score", formula, heading(rows.scores - 14 * k));
    } else {
      const x = stacked ? sum + 30 * k : Math.max(source.x + 90 * k, sum - 30 * k);
      const room = stacked ? source.x + source.width - x : Math.max(90 * k, x - source.x);
      const said = [["summary of the whole source", theme.text], ["the last state of either direction", theme.muted], ["the same at every step", theme.muted]];
      said
        .flatMap(([text, colour]) => wrapped(text, room, `${theme.small_size * k}px ${theme.font}`).map((line) => [line, colour]))
        .forEach(([line, colour], n) => this.text(painter, line, x, rows.context + (4 + 16 * n) * k, { colour, align: stacked ? "left" : "right" }));
    }
    write("annotations", "h", heading(rows.notes), this.looks ? source.x : source.x + start + widths[0]);
  }

  /** Pixels that small text takes. */
  measured(text) {
    const { theme, scale } = this.header;
    this.ruler ??= make("canvas").getContext("2d");
    this.ruler.font = `${theme.small_size * scale}px ${theme.font}`;
    return this.ruler.measureText(text).width;
  }

  paintDecoder(painter, { k, decoder }, sum) {
    const { theme, read } = this.header;
    const { query, cell, state, strips, joined, middle, token } = decoder;
    const line = { colour: theme.muted, scale: k };
    const box = { x: cell - 28 * k, y: middle - 16 * k, width: 56 * k, height: 32 * k };
    const [into, ...others] = decoder.gives(sum + (this.looks ? FLOW / 2 + 2 : 22) * k);
    for (const way of [into, ...others]) paintArrow(painter, way, { ...line, colour: theme.accent });
    if (this.looks) {
      paintArrow(painter, decoder.asks, line);
      this.text(painter, "query", decoder.ask.x, decoder.ask.y);
    }
    paintArrow(painter, [[query + 10 * k, middle], [box.x, middle]], line);
    paintArrow(painter, [[box.x + box.width, middle], [state - 10 * k, middle]], line);
    paintArrow(painter, [[state, strips - 2 * k], [state, joined + (STRIP + 3) * k]], line);
    paintArrow(painter, decoder.output, line);
    painter.rect({ ...box, colour: theme.faint });
    paintFrame(painter, box, k, theme.muted);
    this.text(painter, "GRU", cell, middle, { colour: theme.text, align: "center", weight: "bold" });
    this.paintStrip(painter, "states", this.step, query, strips);
    this.paintStrip(painter, "states", this.step + 1, state, strips);
    this.paintStrip(painter, "contexts", this.step, state, joined, { height: STRIP / 2, frame: theme.accent });
    this.paintStrip(painter, "states", this.step + 1, state, joined + (STRIP / 2 + 1) * k, { height: STRIP / 2 - 1 });
    const small = { colour: theme.text };
    this.text(painter, `s${subscript(this.step)}`, query - 14 * k, middle - (this.looks ? 12 * k : 0), { ...small, align: "right" });
    this.text(painter, `s${subscript(this.step + 1)}`, state + 14 * k, middle, small);
    this.text(painter, "c", state - 14 * k, joined + 28 * k, { ...small, align: "right" });
    this.text(painter, `s${subscript(this.step + 1)}`, state - 14 * k, joined + 54 * k, { ...small, align: "right" });
    this.text(painter, `reads ${quoted(read[this.step].label)}`, cell, token.y, { ...small, align: "center" });
    paintArrow(painter, token.up ? [[cell, token.y - 10 * k], [cell, middle + 17 * k]] : [[cell, token.y + 10 * k], [cell, middle - 17 * k]], line);
    this.paintOutputs(painter, k, decoder.bars);
  }

  /** The most probable tokens: bars behind their names. */
  paintOutputs(painter, k, { x, y, width }) {
    const { theme, alternatives, chosen, predicted } = this.header;
    this.text(painter, `predicts ${quoted(predicted[this.step].label)}`, x, y - (HEADING / 2 + 2) * k, { colour: theme.text });
    alternatives[this.step].forEach(([label, share], n) => {
      const row = { x, y: y + n * 24 * k, width, height: 21 * k };
      const mine = chosen[this.step] === n;
      painter.rect({ ...row, colour: theme.faint, opacity: 0.6 });
      painter.rect({ ...row, width: width * share, colour: theme.accent, opacity: mine ? 0.55 : 0.3 });
      if (mine) {
        paintFrame(painter, row, 1.5 * k, theme.accent);
        this.text(painter, "✓", x - 14 * k, row.y + row.height / 2, { colour: theme.accent, weight: "bold" });
      }
      const look = { colour: theme.text, weight: mine ? "bold" : "normal" };
      this.text(painter, label, x + 6 * k, row.y + row.height / 2, look);
      if (this.numbers) this.text(painter, share.toFixed(3), x + width - 5 * k, row.y + row.height / 2, { ...look, align: "right" });
    });
    if (chosen[this.step] < 0) this.text(painter, "which is not among these", x, y + (alternatives[this.step].length * 24 + 8) * k);
  }

  // ---- on the screen and into files --------------------------------------------------------------------------------------

  /** Lays the figure out anew for the room it has. */
  arrange() {
    if (!this.figure?.clientWidth) return;
    this.place = this.layout(this.figure.clientWidth);
    const { source, content, rows, decoder, height } = this.place;
    const long = content > source.width + 0.5;
    const top = decoder.sum === null ? 0 : rows.context;
    Object.assign(this.scroll.style, { left: `${source.x}px`, top: `${top}px`, width: `${source.width}px`, height: `${height - top + (long ? SCROLLBAR : 0)}px` });
    Object.assign(this.room.style, { width: `${Math.max(content, source.width)}px`, height: `${height - top}px` });
    this.scroll.classList.toggle("long", long);
    this.figure.style.height = `${height + (long ? SCROLLBAR : 0)}px`;
    this.update();
  }

  draw() {
    this.frame ??= requestAnimationFrame(() => {
      this.frame = null;
      if (!this.place || !this.figure.isConnected) return;
      const { width, height, source } = this.place;
      const context = sized(this.canvas, Math.ceil(width), Math.ceil(height));
      const clip = (draw) => {
        context.save();
        context.beginPath();
        context.rect(source.x, 0, source.width, height);
        context.clip();
        draw();
        context.restore();
      };
      this.paint(new CanvasPainter(context), this.place, { scrolled: this.scroll.scrollLeft, clip });
    });
  }

  /** The step as it stands, with the whole source, however long. */
  save(format) {
    const { theme, scale: k, file_name } = this.header;
    const [pad, size, small, font] = [16, theme.font_size * k, theme.small_size * k, theme.font];
    const place = this.layout(this.figure.clientWidth, true);
    const width = place.width + 2 * pad;
    const lines = (text) => wrapped(text, place.width, `${small}px ${font}`);
    const written = this.header.predicted.slice(0, this.step + 1).map(({ label }) => isolated(label)).join(" ");
    const head = [...lines(this.details.textContent), ...lines(`Output so far: ${written}`)];
    const foot = lines(this.legend().join(" · "));
    const above = pad + 1.7 * size + head.length * 1.4 * small + 0.6 * size;
    const below = above + place.height + 0.4 * size;
    save(format, `${file_name}-${this.step + 1}`, width, below + foot.length * 1.4 * small + pad, theme.background, (painter) => {
      const rows = (texts, y) => texts.forEach((text, n) => painter.text({ x: pad, y: y + (n + 0.5) * 1.4 * small, text, colour: theme.muted, size: small, font }));
      painter.text({ x: pad, y: pad + 0.7 * size, text: this.label.textContent, colour: theme.text, size, font, weight: "bold" });
      rows(head, pad + 1.7 * size);
      rows(foot, below);
      paintShifted(painter, pad, above, () => this.paint(painter, place));
    });
  }
}
