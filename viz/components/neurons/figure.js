// Drawing one key: strips of q and k, bars of their product, and the running sum that ends at the logit.

const MOST_SAVED = 64; // keys that a saved picture shows whole; of more, those in view

class NeuronsFigure extends NeuronsWeights {
  /** Where everything is, in pixels, for a figure of a width. */
  layout(width) {
    const { scale, theme } = this.header;
    const small = theme.small_size * scale;
    const left = Math.min(9 * small, Math.max(width * 0.22, 7 * small)); // room for names and numbers, however narrow
    const right = Math.min(5.4 * small, Math.max(width * 0.16, 4.8 * small));
    const box = (y, height) => ({ x: left, y, width: width - left - right, height });
    const strip = 30 * scale;
    const axis = 1.7 * small;
    const query = box(axis, strip);
    const key = box(query.y + strip + 8 * scale, strip);
    const product = box(key.y + strip + 16 * scale, 92 * scale);
    const sum = box(product.y + product.height + 18 * scale, 122 * scale);
    return { width, height: sum.y + sum.height + 8 * scale, small, left, right, query, key, product, sum };
  }

  /** All of it, on any painter. */
  paint(painter, width) {
    const place = this.layout(width);
    this.paintAxis(painter, place);
    this.paintStrip(painter, place, place.query, "q", this.header.query.label, this.largest.query, (d) => this.arrays.query[d]);
    const key = this.header.keys[this.key];
    this.paintStrip(painter, place, place.key, "k", key.label, this.largest.key, (d) => this.arrays.keys[this.key * this.width + d]);
    this.paintProducts(painter, place);
    this.paintSum(painter, place);
    if (this.pointed >= 0) this.paintPointed(painter, place);
  }

  write(painter, x, y, text, look = {}) {
    const { theme, scale } = this.header;
    painter.text({ x, y, text, colour: theme.muted, size: theme.small_size * scale, font: theme.font, ...look });
  }

  /** What a row of the figure is called: a symbol, and below or behind it what it belongs to. */
  paintName(painter, { left, small }, y, symbol, more) {
    const { theme, scale } = this.header;
    this.write(painter, left - 10, y - (more ? 0.55 * small : 0), symbol, { align: "right", weight: "bold", colour: theme.text, size: small * 1.05 });
    if (more) this.write(painter, left - 10, y + 0.65 * small, this.fitted(more, left - 12), { align: "right" });
  }

  /** A small text, without its end where it is wider than there is room. */
  fitted(text, room) {
    const { theme, scale } = this.header;
    this.ruler ??= make("canvas").getContext("2d");
    this.ruler.font = `${theme.small_size * scale}px ${theme.font}`;
    const wide = (one) => this.ruler.measureText(one).width > room;
    if (!wide(text)) return text;
    const letters = [...text];
    while (letters.length && wide(`${letters.join("")}…`)) letters.pop();
    return `${letters.join("")}…`;
  }

  paintAxis(painter, { query, small }) {
    const y = 0.7 * small;
    if (this.sorted) {
      this.write(painter, query.x, y, "largest contributions first");
      return;
    }
    const step = [1, 2, 4, 8, 16, 32, 64, 128].find((one) => (one * query.width) / this.width >= 3.2 * small) ?? 256;
    for (let d = 0; d < this.width; d++) {
      if (d === 0 || (d + 1) % step === 0) this.write(painter, query.x + ((d + 0.5) * query.width) / this.width, y, `${d + 1}`, { align: "center" });
    }
  }

  paintStrip(painter, place, box, symbol, label, largest, value) {
    const { theme } = this.header;
    const step = box.width / this.width;
    this.order.forEach((d, at) => {
      painter.rect({ x: box.x + at * step, y: box.y, width: step + 0.3, height: box.height, colour: this.shade(value(d), largest) });
    });
    paintFrame(painter, box, 1, theme.faint);
    this.paintName(painter, place, box.y + box.height / 2, symbol, label);
    this.write(painter, box.x + box.width + 8, box.y + box.height / 2, `±${digits(largest)}`);
  }

  paintProducts(painter, place) {
    const { theme } = this.header;
    const box = place.product;
    const values = this.order.map((d) => this.product(this.key, d));
    const [low, high] = [-this.largest.product, this.largest.product];
    const y = (value) => box.y + box.height * (1 - (value - low) / (high - low || 1));
    const step = box.width / this.width;
    const gap = step > 5 ? 1 : 0;
    values.forEach((value, at) => {
      const [top, bottom] = [Math.min(y(value), y(0)), Math.max(y(value), y(0))];
      painter.rect({ x: box.x + at * step, y: top, width: Math.max(step - gap, 0.6), height: bottom - top, colour: this.signed(value) });
    });
    painter.line({ x1: box.x, y1: y(0), x2: box.x + box.width, y2: y(0), colour: theme.muted, width: 1 });
    this.paintName(painter, place, y(0), "q ⊙ k", "× scaling");
    this.write(painter, box.x + box.width + 8, box.y + 0.5 * place.small, `+${digits(high)}`);
    this.write(painter, box.x + box.width + 8, y(0), "0");
    this.write(painter, box.x + box.width + 8, box.y + box.height - 0.5 * place.small, digits(low));
  }

  /** Strong enough to be seen as a thin bar: blue above 0, orange below. */
  signed(value) {
    return this.header.diverging[value < 0 ? 1 : this.header.diverging.length - 2];
  }

  paintSum(painter, place) {
    const { theme, scale } = this.header;
    const box = place.sum;
    const [low, high] = this.sumRange;
    const inner = 0.06 * box.height;
    const y = (value) => box.y + inner + (box.height - 2 * inner) * (1 - (value - low) / (high - low || 1));
    const step = box.width / this.width;
    const sums = this.running(this.key);
    painter.line({ x1: box.x, y1: y(0), x2: box.x + box.width, y2: y(0), colour: theme.muted, width: 1 });
    let before = 0;
    sums.forEach((sum, at) => {
      const x = box.x + at * step;
      const look = { colour: theme.accent, width: 2.2 * scale };
      const [from, to] = [Math.round(x), Math.round(x + step)]; // whole pixels: no seams between them
      painter.rect({ x: from, y: Math.min(y(sum), y(0)), width: to - from, height: Math.abs(y(sum) - y(0)), colour: theme.accent, opacity: 0.14 });
      painter.line({ x1: x, y1: y(before), x2: x, y2: y(sum), ...look });
      painter.line({ x1: x, y1: y(sum), x2: x + step, y2: y(sum), ...look });
      before = sum;
    });
    const end = box.x + box.width;
    painter.rect({ x: end - 4 * scale, y: y(before) - 4 * scale, width: 8 * scale, height: 8 * scale, colour: theme.accent });
    this.paintName(painter, place, y(0), "sum", "running");
    this.write(painter, end + 10, y(before), digits(before), { weight: "bold", colour: theme.text, size: place.small * 1.15 });
    if (Math.abs(y(0) - y(before)) > 1.2 * place.small) this.write(painter, end + 10, y(0), "0");
  }

  paintPointed(painter, { query, sum }) {
    const { theme } = this.header;
    const step = query.width / this.width;
    const x = query.x + this.order.indexOf(this.pointed) * step;
    paintFrame(painter, { x: x - 1, y: query.y - 2, width: Math.max(step, 2) + 2, height: sum.y + sum.height - query.y + 4 }, 1.5, theme.text);
  }

  /** The dimension under a point of the figure; −1 beside it. */
  dimensionAt(x, width) {
    const { query } = this.layout(width);
    const at = Math.floor(((x - query.x) / query.width) * this.width);
    return at >= 0 && at < this.width ? this.order[at] : -1;
  }

  // ---- a row of all keys -------------------------------------------------------------------------------------------------

  /** A key's products as one line of pixels. */
  paintHeat(canvas, value, largest) {
    if (canvas.width !== this.width) canvas.width = this.width;
    const context = canvas.getContext("2d");
    this.order.forEach((d, at) => {
      context.fillStyle = this.shade(value(d), largest);
      context.fillRect(at, 0, 1, 1);
    });
  }

  /** Points of a key's running sum in a box of 100 × 24, and where 0 is. */
  spark(k) {
    const [low, high] = this.sumRange;
    const y = (value) => 2 + 20 * (1 - (value - low) / (high - low || 1));
    const points = [0, ...this.running(k)].map((sum, at) => `${((100 * at) / this.width).toFixed(2)},${y(sum).toFixed(2)}`);
    return { points: points.join(" "), zero: y(0) };
  }

  // ---- a saved picture: the list, and the figure beside or below it ----------------------------------------------------------

  /** The keys of a saved picture: all where there are few, else those in view. */
  savedRows() {
    const all = this.rows.map((_, k) => k);
    if (all.length <= MOST_SAVED) return all;
    const { top, bottom } = this.list.getBoundingClientRect();
    return all.filter((k) => {
      const box = this.rows[k].element.getBoundingClientRect();
      return box.bottom > top + 1 && box.top < bottom - 1;
    });
  }

  savedHeight(shown) {
    const { theme, scale, row } = this.header;
    const list = (shown.length + 1) * row * scale;
    const beside = this.mode === "one" && this.beside() ? this.layout(this.panel.clientWidth).height : 0;
    const below = this.mode === "one" && !this.beside() ? this.layout(this.panel.clientWidth).height + 16 : 0;
    return Math.ceil(32 + 6.4 * theme.small_size * scale + Math.max(list, beside) + below);
  }

  /** Whether the figure stands beside the list, and not below it. */
  beside() {
    return this.panel.getBoundingClientRect().left > this.list.getBoundingClientRect().left + 10;
  }

  paintAll(painter, width, pad, shown) {
    const { theme, scale, name, row } = this.header;
    const small = theme.small_size * scale;
    this.write(painter, pad, pad + small / 2, name, { weight: "bold", colour: theme.text });
    const pair = this.equationOf.firstChild.textContent;
    this.write(painter, pad, pad + 2.2 * small, `${pair}:  ${this.equation(this.key)}`, { colour: theme.text });
    const top = pad + 4 * small;
    const side = this.list.getBoundingClientRect();
    const frame = this.root.getBoundingClientRect();
    const left = pad + side.left - frame.left;
    this.paintList(painter, left, top, shown);
    if (this.mode === "all") return;
    const panel = this.panel.getBoundingClientRect();
    const y = this.beside() ? top : top + (shown.length + 1) * row * scale + 16;
    const moved = shifted(painter, pad + panel.left - frame.left, y);
    const pointed = this.pointed;
    this.pointed = -1;
    this.paint(moved, panel.width);
    this.pointed = pointed;
  }

  paintList(painter, left, top, shown) {
    const { theme, scale, row, weights, keys } = this.header;
    const { shares, allowed, logits } = this.arrays;
    const line = row * scale;
    const columns = (element) => [...element.children].map((part) => ({ x: part.getBoundingClientRect().left - element.getBoundingClientRect().left + left, width: part.getBoundingClientRect().width }));
    const [labelAt, barAt, weightAt, heatAt, sparkAt, logitAt] = columns(this.top);
    const end = (at) => at.x + at.width;
    const head = top + line / 2;
    if (this.mode === "all") this.paintCells(painter, heatAt, head, line * 0.7, (d) => this.shade(this.arrays.query[d], this.largest.query));
    this.write(painter, labelAt.x, head, this.mode === "all" ? "q" : "key");
    this.write(painter, barAt.x, head, "0");
    this.write(painter, end(barAt), head, this.header.reach_text, { align: "right" });
    this.write(painter, end(weightAt), head, "weight", { align: "right" });
    if (this.mode === "all") this.write(painter, sparkAt.x, head, "running sum");
    this.write(painter, end(logitAt), head, "logit", { align: "right" });
    shown.forEach((k, n) => {
      const y = top + (n + 1.5) * line;
      if (k === this.key) painter.rect({ x: left, y: y - line / 2, width: 4, height: line, colour: theme.accent });
      const look = { colour: keys[k].special ? theme.muted : theme.text, size: theme.font_size * scale, style: keys[k].special ? "italic" : "normal", weight: k === this.key ? "bold" : "normal" };
      this.write(painter, labelAt.x, y, keys[k].label, look);
      painter.rect({ x: barAt.x, y: y - line / 2, width: 1, height: line, colour: theme.muted });
      painter.rect({ x: barAt.x, y: y - line * 0.3, width: barAt.width * shares[k], height: line * 0.6, colour: theme.accent });
      this.write(painter, end(weightAt), y, weights[k], { align: "right" });
      this.write(painter, end(logitAt), y, allowed[k] ? digits(logits[k]) : "masked", { align: "right", colour: theme.text });
      if (this.mode !== "all") return;
      this.paintCells(painter, heatAt, y, line * 0.7, (d) => this.shade(this.product(k, d), this.largest.product));
      this.paintSpark(painter, sparkAt, y, line, k);
    });
  }

  paintCells(painter, at, y, height, colour) {
    const step = at.width / this.width;
    this.order.forEach((d, n) => painter.rect({ x: at.x + n * step, y: y - height / 2, width: step + 0.3, height, colour: colour(d) }));
  }

  paintSpark(painter, at, y, line, k) {
    const points = this.spark(k).points.split(" ").map((point) => point.split(",").map(Number));
    const place = ([x, value]) => [at.x + (at.width * x) / 100, y - line / 2 + (line * value) / 24];
    for (let n = 1; n < points.length; n++) {
      const [[x1, y1], [x2, y2]] = [place(points[n - 1]), place(points[n])];
      painter.line({ x1, y1, x2, y2, colour: this.header.theme.accent, width: 1.6 });
    }
  }
}

/** The painter with everything moved to the right and down. */
function shifted(painter, right, down) {
  return {
    rect: (box) => painter.rect({ ...box, x: box.x + right, y: box.y + down }),
    text: (text) => painter.text({ ...text, x: text.x + right, y: text.y + down }),
    line: (line) => painter.line({ ...line, x1: line.x1 + right, x2: line.x2 + right, y1: line.y1 + down, y2: line.y2 + down }),
  };
}
