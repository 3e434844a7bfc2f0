// One number for each head: how it is written, its colour, and the one routine that draws it on screens and into files.

const CELL = [34, 40]; // least and most pixels of a cell with its number, times the scale
const FEW = 10; // heads up to which cells keep that size and matrices wrap; with more, cells shrink first
const SMALLEST = 18; // pixels of a cell and its gap; below it the figure scrolls sideways
const GAP = 2; // pixels between cells
const TYPE = 10.5; // least pixels of a number's type
const BETWEEN = 28; // pixels from one matrix to the next
const NARROWEST = 144; // pixels for the heading of a matrix of few heads
const RAMP = [200, 12]; // the colour scale

const within = (value, [least, most]) => Math.min(Math.max(value, least), Math.max(least, most));

/** "+0.62", "−0.05"; without a plus where all values are positive, and no sign for what rounds to 0. */
function signed(value, digits, plus) {
  const text = Math.abs(value).toFixed(digits);
  if (!Number(text)) return text;
  return `${value < 0 ? "−" : plus ? "+" : ""}${text}`;
}

/** "+.62", "−.05", "+1.3", "−12": what fits into a cell. */
function brief(value, digits, plus) {
  const size = Math.abs(value);
  const fitting = Math.min(digits, size >= 9.95 ? 0 : size >= 0.995 ? 1 : 2);
  return signed(value, fitting, plus).replace(/^([+−]?)0\./, "$1.");
}

/** Linear light of "#rrggbb", as WCAG 2.1 defines relative luminance. */
function luminance(hex) {
  const [r, g, b] = [1, 3, 5].map((at) => {
    const part = parseInt(hex.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

const contrast = (one, other) => {
  const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
  return (light + 0.05) / (dark + 0.05);
};

/** The colour of a value, "#rrggbb": beyond the limit that of the limit. */
function shadeOf(value, { colours, limit, diverging }) {
  const share = within(value / limit, [diverging ? -1 : 0, 1]);
  const place = (diverging ? (share + 1) / 2 : share) * (colours.length - 1);
  const at = Math.min(Math.floor(place), colours.length - 2);
  const channel = (hex, c) => parseInt(hex.slice(c, c + 2), 16);
  const mixed = [1, 3, 5].map((c) => Math.round(channel(colours[at], c) + (channel(colours[at + 1], c) - channel(colours[at], c)) * (place - at)));
  return `#${mixed.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

/** The theme's text or background colour, whichever reads better on `colour`. */
const inkOn = (colour, theme) => (contrast(theme.text, colour) >= contrast(theme.background, colour) ? theme.text : theme.background);

const ruler = make("canvas").getContext("2d");
function widthOf(text, font) {
  ruler.font = font;
  return ruler.measureText(text).width;
}

/** The legend's numbers from its lower to its upper end, with ≤ or ≥ where values lie beyond. */
function ticks({ limit, digits, diverging }, values) {
  const beyond = (sign) => values.some((value) => sign * value > limit * (1 + 1e-6));
  const upper = `${beyond(1) ? "≥ " : ""}${signed(limit, digits, diverging)}`;
  return diverging ? [`${beyond(-1) ? "≤ " : ""}${signed(-limit, digits, true)}`, "0", upper] : ["0", upper];
}

/** A dot with a rim in the background's colour: it is seen on every cell. */
function paintDot(painter, x, y, radius, theme) {
  const dot = (colour, width) => painter.line({ x1: x, y1: y, x2: x + 0.01, y2: y, colour, width });
  dot(theme.background, 2 * radius + Math.max(2, radius * 0.8));
  dot(theme.text, 2 * radius);
}

/** Strokes across a cell of which nothing is known. */
function paintHatch(painter, x, y, side, { hatch }) {
  const strokes = 3;
  for (let n = 1; n < 2 * strokes; n++) {
    const reach = (n * side) / strokes;
    const [near, far] = [Math.max(0, reach - side), Math.min(side, reach)];
    painter.line({ x1: x + near, y1: y + far, x2: x + far, y2: y + near, colour: hatch, width: 1 });
  }
}

/** The cells of one matrix: colours, numbers where `type` has room for them, dots and hatches. */
function paintCells(painter, header, table, { left, above, pitch, type }) {
  const { theme } = header;
  const side = pitch - GAP;
  for (let layer = 0, at = 0; layer < table.layers; layer++) {
    for (let head = 0; head < table.heads; head++, at++) {
      const [x, y] = [left + head * pitch + GAP / 2, above + layer * pitch + GAP / 2];
      const value = table.values[at];
      painter.rect({ x, y, width: side, height: side, colour: theme.faint });
      const inside = { x: x + 1, y: y + 1, width: side - 2, height: side - 2 };
      if (Number.isNaN(value)) {
        painter.rect({ ...inside, colour: theme.background });
        paintHatch(painter, x + 2, y + 2, side - 4, header);
      } else {
        const colour = shadeOf(value, header);
        painter.rect({ ...inside, colour });
        const text = { text: brief(value, header.digits, header.diverging), align: "center", size: type, font: theme.font };
        if (type) painter.text({ ...text, x: x + side / 2, y: y + side / 2, colour: inkOn(colour, theme) });
      }
      const radius = within(side * 0.075, [2, 6]);
      if (table.marked?.[at]) paintDot(painter, x + side - radius - 2.5, y + radius + 2.5, radius, theme);
    }
  }
}

/** The outline of the chosen cell, with a rim inside that parts it from every colour. */
function paintOutline(painter, x, y, pitch, theme) {
  const frame = (inset, colour, width) => {
    const [left, top, right, bottom] = [x + inset, y + inset, x + pitch - inset, y + pitch - inset];
    const line = (x1, y1, x2, y2) => painter.line({ x1, y1, x2, y2, colour, width });
    line(left, top, right, top);
    line(right, top, right, bottom);
    line(right, bottom, left, bottom);
    line(left, bottom, left, top);
  };
  frame(3.5, theme.background, 2);
  frame(1.5, theme.accent, 3);
}

/** Where everything stands in a saved picture: title, rows of matrices as on the screen, and the legend below. */
function pictureLayout(header, tables, { per, pitch, aside }) {
  const { theme, scale } = header;
  const [small, normal, big] = [theme.small_size * scale, theme.font_size * scale, theme.title_size * scale];
  const fonts = { small: `${small}px ${theme.font}`, name: `bold ${normal}px ${theme.font}`, big: `bold ${big}px ${theme.font}` };
  const widest = Math.max(...tables.map((table) => (table.empty ? 0 : aside + table.heads * pitch)));
  const panels = tables.map((table) => {
    const width = Math.max(table.empty ? 240 * scale : aside + table.heads * pitch, NARROWEST * scale);
    return { table, width, names: wrapped(table.name, width, fonts.name), said: wrapped(table.empty, width, fonts.small) };
  });
  const pad = 16;
  const columns = Array.from({ length: per }, (_, c) => Math.max(0, ...panels.filter((_, i) => i % per === c).map(({ width }) => width)));
  const across = columns.reduce((sum, width) => sum + width, 0) + BETWEEN * (per - 1);
  const wide = Math.max(across, 360 * scale, widest);
  const title = wrapped(header.quantity, wide, fonts.big);
  let y = pad + title.length * big * 1.3 + small * 0.6;
  for (let row = 0; row < panels.length; row += per) {
    const these = panels.slice(row, row + per);
    const names = Math.max(...these.map((panel) => panel.names.length)) * normal * 1.3;
    let x = pad;
    these.forEach((panel, c) => {
      Object.assign(panel, { x, below: y + names });
      x += columns[c] + BETWEEN;
    });
    const heights = these.map(({ table, said }) => (table.empty ? said.length * small * 1.4 : small * 2.9 + table.layers * pitch));
    y += names + Math.max(...heights) + small * 1.6;
  }
  return { small, normal, big, fonts, panels, pad, wide, title, legend: y };
}

/** The whole picture; `where` is from `pictureLayout`, `marks` are the legend's numbers and keys. */
function paintPicture(painter, header, where, { pitch, type, aside, chosen, marks }) {
  const { theme, scale } = header;
  const { small, normal, big, panels, pad, title } = where;
  const write = (text, x, y, more = {}) => painter.text({ x, y, text, colour: theme.muted, size: small, font: theme.font, ...more });
  title.forEach((line, i) => write(line, pad, pad + big * (0.65 + 1.3 * i), { colour: theme.text, size: big, weight: "bold" }));
  for (const { table, x, below, names, said } of panels) {
    names.forEach((line, i) => write(line, x, below - normal * (0.65 + 1.3 * (names.length - 1 - i)), { colour: theme.text, size: normal, weight: "bold" }));
    if (table.empty) {
      said.forEach((line, i) => write(line, x, below + small * (0.7 + 1.4 * i)));
      continue;
    }
    const [left, above] = [x + aside, below + small * 2.9];
    write("head", left + GAP, below + small * 0.75);
    write("layer", left - 6, below + small * 2.1, { align: "right" });
    for (let head = 0; head < table.heads; head++) write(`${head + 1}`, left + (head + 0.5) * pitch, below + small * 2.1, { align: "center" });
    for (let layer = 0; layer < table.layers; layer++) write(`${layer + 1}`, left - 6, above + (layer + 0.5) * pitch, { align: "right" });
    paintCells(painter, header, table, { left, above, pitch, type });
    if (chosen?.id === table.id) paintOutline(painter, left + chosen.head * pitch, above + chosen.layer * pitch, pitch, theme);
  }
  paintLegend(painter, header, where, write, { marks, ramp: RAMP.map((side) => side * scale) });
}

/** How wide the colour scale and the words at its ends are in a picture. */
function legendWidth(header, where) {
  const words = header.ends.reduce((sum, text) => sum + widthOf(text, where.fonts.small), 0);
  return words + RAMP[0] * header.scale + 40;
}

function paintLegend(painter, header, { legend, small, pad, fonts }, write, { marks, ramp: [width, height] }) {
  const { theme, colours, ends } = header;
  const ramp = make("canvas", { width: 320, height: 4 });
  const context = ramp.getContext("2d");
  context.fillStyle = context.createLinearGradient(0, 0, ramp.width, 0);
  colours.forEach((step, i) => context.fillStyle.addColorStop(i / (colours.length - 1), step));
  context.fillRect(0, 0, ramp.width, ramp.height);
  const numbers = marks.ticks;
  const half = widthOf(numbers[0], fonts.small) / 2; // the first number stands centred under the scale's end
  const left = pad + Math.max(half, ends[0] ? widthOf(ends[0], fonts.small) + 10 : 0);
  const middle = legend + height / 2;
  if (ends[0]) write(ends[0], left - 10, middle, { align: "right", colour: theme.text });
  painter.rect({ x: left - 1, y: legend - 1, width: width + 2, height: height + 2, colour: theme.muted });
  painter.image({ x: left, y: legend, width, height, canvas: ramp });
  if (ends[1]) write(ends[1], left + width + 10, middle, { colour: theme.text });
  numbers.forEach((text, i) => write(text, left + (width * i) / (numbers.length - 1), legend + height + small * 0.9, { align: "center" }));
  let y = legend + height + small * 2.7;
  for (const { kind, text } of marks.keys) {
    const side = small;
    if (kind === "dot") paintDot(painter, pad + side / 2, y, side * 0.25, theme);
    else {
      painter.rect({ x: pad, y: y - side / 2, width: side, height: side, colour: theme.faint });
      painter.rect({ x: pad + 1, y: y - side / 2 + 1, width: side - 2, height: side - 2, colour: theme.background });
      paintHatch(painter, pad + 2, y - side / 2 + 2, side - 4, header);
    }
    write(text, pad + side + 8, y);
    y += small * 1.6;
  }
}
