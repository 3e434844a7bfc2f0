// What one step of a recurrent decoder says, and where it stands in the figure.

const PANEL = 440; // pixels of the decoder beside the source
const GAP = 44; // between the two
const WIDE = 820; // from here on they stand side by side
const STRIP = 72; // height of a vector's strip
const HEADING = 20; // height of a row's heading
const BAR = 50; // height of a weight of 1
const SCORE = 60; // height of all scores from the lowest to the highest
const FLOW = 24; // width of the weighted sum's strip, and of all that flows into it
const SCROLLBAR = 15; // pixels below a source that is too long for its box
const LEAST = 0.004; // a weight below that has no flow: it would be a tenth of a pixel
const GUTTER = 14; // left of the source where the decoder stands above it: the query's way

const quoted = (text) => `“${isolated(text)}”`;
const chance = (share) => (share > 0 && share < 0.005 ? "<1 %" : percent(share));
const subscript = (n) => [...String(n)].map((digit) => "₀₁₂₃₄₅₆₇₈₉"[digit]).join("");
/** A score in few digits, with a real minus. */
function scored(score) {
  if (!Number.isFinite(score)) return score < 0 ? "−∞" : score > 0 ? "∞" : "–";
  const text = score.toFixed(Math.abs(score) < 10 ? 2 : Math.abs(score) < 1000 ? 1 : 0);
  return (Number(text) === 0 ? text.replace("-", "") : text).replace("-", "−");
}

/** "#rrggbb" for each number of a cell, 0 to 254: `shades` are equal steps apart, and mixed in between. */
function signedPalette(shades) {
  const channel = (hex, c) => parseInt(hex.slice(c, c + 2), 16);
  return Array.from({ length: 255 }, (_, level) => {
    const place = (level / 254) * (shades.length - 1);
    const at = Math.min(Math.floor(place), shades.length - 2);
    const mixed = [1, 3, 5].map((c) => Math.round(channel(shades[at], c) + (channel(shades[at + 1], c) - channel(shades[at], c)) * (place - at)));
    return `#${mixed.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  });
}

class StepsWeights {
  get looks() {
    return this.header.attention !== "none";
  }

  weight(s, t = this.step) {
    return this.arrays.weights[t * this.header.source.length + s];
  }

  score(s, t = this.step) {
    return this.arrays.scores[t * this.header.source.length + s];
  }

  // ---- where everything stands -------------------------------------------------------------------------------------------

  /** Widths of the source's columns: what their labels and numbers need. */
  naturalWidths() {
    const { theme, scale, source } = this.header;
    const context = make("canvas").getContext("2d");
    context.font = `${0.94 * theme.font_size * scale}px ${theme.font}`;
    return source.map(({ label }) => Math.max(46 * scale, context.measureText(label).width + 12 * scale));
  }

  /** Places for a figure of that width; `whole`: as wide as the source needs, for a file. */
  layout(room, whole = false) {
    const k = this.header.scale;
    const stacked = room < WIDE * k;
    const natural = this.naturalWidths();
    const needed = natural.reduce((sum, width) => sum + width, 0);
    const beside = stacked ? GUTTER * k : (PANEL + GAP) * k;
    const wanted = Math.max(needed * 1.7, 400 * k) + beside;
    const width = whole ? Math.max(needed + beside, Math.min(room, wanted)) : stacked ? room : Math.min(room, wanted);
    const space = width - beside;
    const stretch = Math.max(1, Math.min(space / needed, 1.7));
    const widths = natural.map((w) => w * stretch);
    const content = needed * stretch;
    const source = { x: stacked ? GUTTER * k : 0, width: space };
    const place = { k, stacked, width, widths, content, source, start: Math.max(0, (space - content) / 2) };
    const top = stacked ? 352 * k : 0;
    const rows = this.rows(top, k);
    return { ...place, rows, height: rows.end, decoder: stacked ? this.above(width, rows, k) : this.aside(space + GAP * k, rows, k) };
  }

  /** Upper edges of the rows. */
  rows(top, k) {
    const context = top + HEADING * k;
    const below = context + STRIP * k + (this.looks ? 58 : 62) * k; // the room of what flows
    const weights = below + (HEADING + 12) * k;
    const scores = weights + (BAR + HEADING + 26) * k;
    const notes = (this.looks ? scores + (SCORE + 18) * k : below) + HEADING * k;
    const labels = notes + (STRIP + 4) * k;
    return { context, weights, scores, notes, labels, end: labels + 30 * k };
  }

  /** The decoder to the right of the source. */
  aside(x, { context, notes, labels, scores }, k) {
    const [query, cell, state] = [x + 34 * k, x + 120 * k, x + 210 * k];
    const middle = notes + (STRIP * k) / 2;
    const inlet = context + (STRIP * k) / 4;
    const edge = x - GAP * k + 6 * k;
    return {
      query, cell, state, strips: notes, joined: context, token: { y: labels + 12 * k, up: true },
      bars: { x: x + 262 * k, y: context, width: (PANEL - 262) * k },
      output: [[state + 9 * k, context + (STRIP * k) / 2], [x + 242 * k, context + (STRIP * k) / 2]],
      asks: [[query, notes], [query, scores + (SCORE / 2) * k], [edge, scores + (SCORE / 2) * k]], ask: { x: query + 6 * k, y: scores + (SCORE / 2 + 14) * k },
      gives: (cx) => [[[cx, inlet], [state - 9 * k, inlet]], [[cell, inlet], [cell, middle - 17 * k]]],
      middle, sum: null,
    };
  }

  /** The decoder above the source. */
  above(width, { context, scores }, k) {
    const [query, cell, state] = [0.13, 0.42, 0.7].map((share) => share * Math.min(width, 520 * k));
    const bars = HEADING * k;
    const joined = bars + (5 * 24 + 18 + 10) * k;
    const strips = joined + (STRIP + 20) * k;
    const [middle, inlet, turn] = [strips + (STRIP * k) / 2, joined + (STRIP * k) / 4, strips + (STRIP + 12) * k];
    const right = state + 62 * k;
    return {
      query, cell, state, strips, joined, token: { y: joined + 50 * k, up: false },
      bars: { x: 20 * k, y: bars, width: Math.min(width, 520 * k) - 20 * k },
      output: [[state, joined], [state, bars + (5 * 24 + 16) * k]],
      asks: [[query - 9 * k, middle], [4 * k, middle], [4 * k, scores + (SCORE / 2) * k], [GUTTER * k + 2 * k, scores + (SCORE / 2) * k]], ask: { x: 8 * k, y: strips + (STRIP + 11) * k },
      gives: () => [[[cell, context], [cell, middle + 17 * k]], [[cell, turn], [right, turn], [right, inlet], [state + 9 * k, inlet]]],
      middle, sum: cell,
    };
  }

  /** Left edge of a column in the figure. */
  lefts({ source, start, widths }, scrolled) {
    let x = source.x + start - scrolled;
    return widths.map((width) => (x += width) - width);
  }

  // ---- what it says ------------------------------------------------------------------------------------------------------

  legend() {
    const { strips, attention } = this.header;
    const strip = ({ width, cells, largest }) => `${width} numbers${cells < width ? ` as ${cells} means` : ""}, strongest colour ±${largest.toFixed(2)}`;
    const keys = attention === "none" ? [] : ["k: h projected to the width of s"];
    return [`h and c: ${strip(strips.source)}`, `s, the decoder's state: ${strip(strips.states)}`, ...keys, "predicted from c, the new s and the token read"];
  }

  stepLabel() {
    const { read, predicted } = this.header;
    return `step ${this.step + 1} of ${read.length}: reads ${quoted(read[this.step].label)} → predicts ${quoted(predicted[this.step].label)}`;
  }

  stepDetails() {
    const { source, alternatives, chosen } = this.header;
    const { pointed } = this;
    if (pointed >= 0) {
      const numbers = this.looks ? `score e ${scored(this.score(pointed))}, weight α ${this.weight(pointed).toFixed(3)}` : "part of the summary, as every token is";
      return `${quoted(source[pointed].label)}, source token ${pointed + 1} of ${source.length}: ${numbers}`;
    }
    const best = alternatives[this.step].slice(0, 3).map(([label, share]) => `${quoted(label)} ${chance(share)}`);
    const other = chosen[this.step] < 0 ? ", not what is predicted here" : "";
    return [this.looked(), ...(best.length ? [`most probable: ${best.join(", ")}${other}`] : [])].join(" · ");
  }

  looked() {
    if (!this.looks) return "looks at one summary of the whole source, the same at every step";
    const ranked = [...this.header.source.keys()].sort((a, b) => this.weight(b) - this.weight(a));
    const some = ranked.slice(0, 3).filter((s, n) => n === 0 || this.weight(s) >= 0.05);
    return `looks at ${some.map((s) => `${quoted(this.header.source[s].label)} ${this.weight(s).toFixed(2)}`).join(", ")}`;
  }
}
