// Drawing the line diagram: on the screen, in words, and into files.

const NEAR = 4; // pixels from a line at which the mouse points at it
const POOLED = { sum: "sum of", max: "largest of", norm: "norm over" };

class LineFigure extends LineWeights {
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
    Object.assign(this.slider, mass ? { min: 1, max: 100, step: 1 } : { min: 0, max: header.wording.share ? 50 : 100, step: 1 });
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
    const { wording } = header;
    if (!this.loaded) return `Fetching ${header.layers[state.layer]} …`;
    if (!heads.length) return "No head is shown: click a coloured patch.";
    const which = heads.length === 1 ? header.heads[heads[0]] : `mean of ${heads.length} heads`;
    const hidden = this.hiddenMass(picked.query);
    if (!picked.query && !picked.key) {
      const { level, candidates, mass, total } = this.all;
      const drawn = level.length < candidates ? `The ${level.length.toLocaleString("en")} strongest of ${candidates.toLocaleString("en")} lines` : count(candidates, "line");
      const rule = state.by === "mass" ? `that carry ${percent(state.mass)} of each row` : `with ${wording.unit} ≥ ${state.least.toFixed(2)}`;
      return `${drawn} ${rule}${wording.share && `: ${percent(total ? mass / total : 0)} ${wording.share}`}${hidden}`;
    }
    const names = (side) => [...picked[side]].sort((a, b) => a - b).map((i) => isolated(header.tokens[side][i].title)).join(" + ");
    if (picked.query && picked.key) {
      const pair = heads.map((head) => {
        const rows = [...picked.query].map((q) => this.pool("key", [...picked.key].map((k) => this.weight(head, q, k))));
        return `${header.heads[head]} ${number(this.pool("query", rows), header.digits)}`;
      });
      const together = wording.rows === wording.columns ? ", summed" : ", put together";
      return `${names("query")} → ${names("key")}${picked.query.size + picked.key.size > 2 ? together : ""}: ${pair.join(" · ")}`;
    }
    const side = picked.query ? "query" : "key";
    const other = picked.query ? "key" : "query";
    const best = this.sums(other, picked)
      .map((sums, i) => [sums.reduce((a, b) => a + b, 0) / sums.length, i])
      .sort(([a], [b]) => b - a)
      .slice(0, 3)
      .filter(([sum]) => sum >= 0.005)
      .map(([sum, i]) => `${isolated(header.tokens[other][i].label)} ${number(sum, header.digits)}`);
    const how = POOLED[side === "query" ? wording.rows : wording.columns];
    const several = picked[side].size > 1 ? `${how} ${picked[side].size} tokens, ` : "";
    const verb = side === "query" ? wording.looks : wording.looked;
    return `${names(side)} ${verb} ${best.join(" · ") || "nothing much"} (${several}${which})${hidden}`;
  }

  /** What hidden tokens took from the shown rows before they were hidden. */
  hiddenMass(rows) {
    if (!this.removed || !this.heads.length || !this.loaded) return "";
    const [Q] = this.size;
    const some = rows ? [...rows] : Array.from({ length: Q }, (_, i) => i);
    let sum = 0;
    for (const head of this.heads) {
      for (const q of some) sum += this.removed[(this.state.layer * this.header.heads.length + head) * Q + q];
    }
    const share = percent(sum / Math.max(this.heads.length * some.length, 1));
    return ` · hidden tokens took ${share}`;
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
