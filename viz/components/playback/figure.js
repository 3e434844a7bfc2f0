// Drawing the playback: on the screen, in words, and into files.

const FAINT = 0.14; // of the lines of finished tokens, where they are kept
const FAN = 2.4; // pixels from one head's lines to the next's, so that none covers another

class PlaybackFigure extends PlaybackWeights {
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
    look("decoder", header.output, header.written);
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
        if (classList.contains("read")) paintFrame(painter, box, 1.5, theme.accent);
        const y = above + (i + 0.5) * row;
        painter.text({ x, y, text: label, colour: special || resting ? theme.muted : theme.text, size, font, align, style: special ? "italic" : "normal" });
        if (name === "c" && i) painter.text({ x: box.x + box.width - 4, y, text: this.chances[i - 1], colour: theme.muted, size: size * 0.8, font, align: "right" });
      });
    }
  }
}
