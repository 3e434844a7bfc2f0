// How tokens make up a running text, and what is said of each. Positions count from 0.

const SPECIAL = -1;
const UNKNOWN = 255;
const quoted = (text) => `“${isolated(text)}”`;
/** Spaces and line breaks as signs. */
const visible = (text) => text.replace(/\n/g, "⏎").replace(/\t/g, "⇥").replace(/ /g, "␣");
/** A value in few digits, with a real minus. */
function valued(value) {
  if (!Number.isFinite(value)) return Number.isNaN(value) ? "no value" : value < 0 ? "−∞" : "∞";
  const size = Math.abs(value);
  const text = size >= 1000 ? Math.round(value).toLocaleString("en") : value.toFixed(size >= 100 ? 1 : size >= 0.01 || size === 0 ? 2 : 4);
  return text.replace("-", "−");
}

class ShadedTokens {
  get length() {
    return this.header.texts.length;
  }

  special(i) {
    return this.header.groups[i] === SPECIAL;
  }

  /** What stands for a token in the text: the gap before it, then its kind and its lines. */
  parts(i) {
    const { labels, texts } = this.header;
    const text = texts[i];
    if (this.special(i) || text === "") return { gap: "", kind: "chip", lines: [labels[i]] };
    if (!text.trim()) return { gap: "", kind: text.includes("\n") ? "break" : "space", lines: text.split("\n") };
    const body = text.replace(/^[ \t]+/, "");
    return { gap: i ? text.slice(0, text.length - body.length) : "", kind: "word", lines: body.split("\n") };
  }

  /** The token for people: “street”. */
  named(i) {
    const { labels, texts } = this.header;
    const text = this.special(i) ? "" : texts[i];
    return quoted(text.trim() || (text ? visible(text) : labels[i]));
  }

  /** The hover line. */
  title(i) {
    const { titles, legend } = this.header;
    if (titles[i]) return titles[i];
    const value = legend ? valued(this.arrays.values[i]) : "";
    return [this.named(i), value && (legend.title ? `${legend.title}: ${value}` : value), this.grouped(i)].filter(Boolean).join(" · ");
  }

  grouped(i) {
    return this.header.group_names[this.header.groups[i]] ?? "";
  }

  /** [colour, ink] of a token's shade, or null. */
  shade(i) {
    const level = this.arrays.levels?.[i] ?? UNKNOWN;
    return level === UNKNOWN ? null : this.header.shades[level];
  }

  unknown(i) {
    return this.arrays.levels?.[i] === UNKNOWN;
  }

  /** What the legend tells beside the scale: [class, text, colour]. */
  keys() {
    const { groups: used, group_names, group_colours, legend, blank, mode } = this.header;
    const groups = group_colours.map((colour, n) => ["line", group_names[n] ?? "", colour, n]).filter(([, name, , n]) => name && used.includes(n));
    return [
      ...groups,
      ...(legend?.unknown ? [["dots", "no value"]] : []),
      ...(mode === "toggle" && blank.label ? [["blank", blank.label, blank.colour]] : []),
    ];
  }
}
