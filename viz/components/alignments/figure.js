// Alignments: where everything stands, and the routines that draw it on screens and into files.

const CELL = [12, 30]; // least and most pixels of a cell, times the scale
const COMFORTABLE = 14; // pixels of a cell from which one more panel stands beside the others, times the scale
const NUMBERED = 22; // the same where cells hold numbers
const SLANTED_FROM = 18; // pixels of a cell from which source labels lean, else they stand upright
const SLANT = 60; // degrees
const TYPE = 11; // least pixels of a label's type, times the scale
const NUMBER_TYPE = 9.5; // least pixels of a number in a cell
const MIDDLE = [90, 220]; // least and most pixels from output to source in the lines view, times the scale
const LINE_ROW = 24; // pixels of a row in the lines view, times the scale
const BETWEEN = 28; // pixels from one panel to the next
const NARROWEST = 150; // pixels for a panel's heading, times the scale
const NO_MAP = [190, 150, 90]; // width, least height and least width of the box in a map's place, times the scale
const LEAST = { all: 0.05, picked: 0.005 }; // weights that get a line
const FADED = 0.15; // opacity of what is not picked
const RAMP = [150, 12]; // the colour scale, times the scale

const within = (value, [least, most]) => Math.min(Math.max(value, least), Math.max(least, most));
const sine = (degrees) => Math.sin((degrees * Math.PI) / 180);
const cosine = (degrees) => sine(90 - degrees);

const ruler = make("canvas").getContext("2d");
function widthOf(text, font) {
  ruler.font = font;
  return ruler.measureText(text).width;
}

/** "#rrggbb" of a weight, between the theme's steps. */
function colourOf(weight, colours) {
  const place = within(weight, [0, 1]) * (colours.length - 1);
  const at = Math.min(Math.floor(place), colours.length - 2);
  const mixed = [1, 3, 5].map((c) => {
    const [from, to] = [colours[at], colours[at + 1]].map((hex) => parseInt(hex.slice(c, c + 2), 16));
    return Math.round(from + (to - from) * (place - at));
  });
  return `#${mixed.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
}

/** How light a colour looks, 0 to 1: enough to choose between dark and light ink. */
const lightness = (hex) => [1, 3, 5].reduce((sum, c, i) => sum + [0.299, 0.587, 0.114][i] * (parseInt(hex.slice(c, c + 2), 16) / 255), 0);
function inkOn(colour, theme) {
  const away = (ink) => Math.abs(lightness(ink) - lightness(colour));
  return away(theme.text) >= away(theme.background) ? theme.text : theme.background;
}

/** Calls `draw` with (x, y) as its origin and its x axis rising by so many degrees. */
function turned(painter, x, y, degrees, draw) {
  const svg = painter instanceof SvgPainter;
  if (svg) painter.parts.push(`<g transform="translate(${x.toFixed(2)} ${y.toFixed(2)}) rotate(${-degrees})">`);
  else {
    painter.context.save();
    painter.context.translate(x, y);
    painter.context.rotate((-degrees * Math.PI) / 180);
  }
  draw();
  if (svg) painter.parts.push("</g>");
  else painter.context.restore();
}

// ---- where everything stands ------------------------------------------------------------------------------------------

/** The sizes that all panels share, for so many pixels: as many panels beside each other as stay easy to read. */
function measured(header, room) {
  const { theme, scale, source, panels } = header;
  const small = theme.small_size * scale;
  const wide = (tokens) => Math.ceil(Math.max(0, ...tokens.map(({ label }) => widthOf(label, `bold ${small}px ${theme.font}`))));
  const aside = wide(panels.flatMap(({ rows }) => rows)) + 14;
  const share = (per) => Math.floor((room - BETWEEN * (per - 1)) / per);
  const find = header.view === "lines" ? linesSize : heatmapSize;
  const size = (per) => find(header, share(per) - aside, { small, widest: wide(source) });
  let per = panels.length;
  const roomy = (per) => panels.every(({ map }) => map) || share(per) - aside >= NO_MAP[2] * scale;
  while (per > 1 && !(size(per).fits && roomy(per))) per--;
  per = Math.ceil(panels.length / Math.ceil(panels.length / per)); // 3 + 2 panels rather than 4 + 1
  const found = { ...size(per), per, aside, small, share: share(per), room };
  return { ...found, panels: panels.map((panel) => panelSize(header, panel, found)) };
}

function heatmapSize({ theme, scale, source, numbers }, wide, { small, widest }) {
  const [least, most] = CELL.map((side) => Math.ceil(side * scale));
  const comfortable = (numbers ? NUMBERED : COMFORTABLE) * scale;
  const columns = Math.max(source.length, 1);
  const flat = Math.min(Math.floor((wide - 1) / columns), most);
  const widths = source.map(({ label }) => widthOf(label, `bold ${small}px ${theme.font}`));
  const beyond = (pitch) => Math.ceil(Math.max(0, ...widths.map((width, k) => (k + 0.7 - columns) * pitch + width * cosine(SLANT) + 8)));
  const found = (pitch, angle, above, overhang) => ({
    pitch, angle, above: Math.ceil(above), overhang, right: 0,
    type: within(pitch * 0.85, [TYPE * scale, small]), fits: pitch >= comfortable && wide >= (NARROWEST * scale) / 2,
  });
  if (widest + 8 <= flat) return found(flat, 0, small * 1.9, 0);
  let leaning = flat;
  while (leaning >= SLANTED_FROM * scale && leaning * columns + beyond(leaning) > wide) leaning--;
  if (leaning >= SLANTED_FROM * scale) return found(leaning, SLANT, widest * sine(SLANT) + small, beyond(leaning));
  return found(Math.max(flat, least), 90, widest + 12, 0);
}

function linesSize({ scale, source }, wide, { small, widest }) {
  const right = source.length ? widest + 14 : 0;
  const middle = Math.floor(wide - right);
  return {
    pitch: LINE_ROW * scale, type: small, angle: 0, above: 0, overhang: 0, right,
    middle: Math.round(within(middle, MIDDLE.map((side) => side * scale))), fits: middle >= MIDDLE[0] * scale * 1.4,
  };
}

/** The pixels of one panel: those of its map, and of all of it with labels. */
function panelSize(header, panel, size) {
  const { scale, source, view } = header;
  const rows = panel.rows.length;
  if (!panel.map) {
    const aside = rows ? size.aside : 0;
    const width = Math.min(NO_MAP[0] * scale, Math.max(size.share - aside, NO_MAP[2] * scale));
    return { aside, width, height: Math.max(rows * size.pitch, NO_MAP[1] * scale), right: 0, overhang: 0, whole: aside + width };
  }
  const [width, height] = view === "lines" ? [size.middle, Math.max(rows, source.length)] : [source.length * size.pitch, rows];
  const { aside, right, overhang } = size;
  return { aside, width, height: height * size.pitch, right, overhang, whole: aside + width + right + overhang };
}

// ---- labels ---------------------------------------------------------------------------------------------------------------

const UNMARKED = { picks: NOTHING, pins: NOTHING };

/** One label, with what is pointed at or pinned and its share behind it; `marksAlone`: nothing where there is none of these. */
function paintLabel(painter, header, { type }, { label, special }, { x = 0, y = 0, align = "left", picked, pinned, share = 0, marksAlone }) {
  const { theme } = header;
  const strong = picked || pinned;
  const marked = strong || share >= LEAST.picked;
  if (marksAlone && !marked) return;
  const text = { text: label, size: type, font: theme.font, align, weight: strong ? "bold" : "normal", style: special ? "italic" : "normal" };
  if (marked) {
    const width = widthOf(label, `${text.style} bold ${type}px ${theme.font}`) + 8;
    const box = { x: x - { left: 4, center: width / 2, right: width - 4 }[align], y: y - type * 0.68, width, height: type * 1.36 };
    painter.rect({ ...box, colour: theme.background }); // hides the plain label below
    painter.rect({ ...box, colour: theme.accent, opacity: shade(share) });
    if (picked) painter.rect({ ...box, colour: theme.accent, opacity: 0.22 });
    if (pinned) paintFrame(painter, box, 1.5, theme.accent);
  }
  painter.text({ ...text, x, y, colour: special && !picked ? theme.muted : theme.text });
}

/** Source labels above a heatmap whose top left corner is (x, y). */
function paintAbove(painter, header, size, { x, y }, { picks, pins, marksAlone }) {
  const { pitch, angle, type } = size;
  header.source.forEach((token, k) => {
    const look = { picked: picks.source === k, pinned: pins.source === k, marksAlone };
    const middle = x + (k + 0.5) * pitch;
    if (!angle) paintLabel(painter, header, size, token, { ...look, x: middle, y: y - type * 0.85, align: "center" });
    else if (!marksAlone || look.picked || look.pinned) {
      turned(painter, middle + (angle < 90 ? type * 0.12 : 0), y - 6, angle, () => paintLabel(painter, header, size, token, look));
    }
  });
}

/** Output labels at the left of a map; `x` is where they end. */
function paintRows(painter, header, size, panel, { x, y }, { picks, pins, shares, marksAlone }) {
  panel.rows.forEach((token, row) => {
    const look = { picked: picks.row === row, pinned: pins.row === row, share: shares?.row?.[row], marksAlone };
    paintLabel(painter, header, size, token, { ...look, x: x - 8, y: y + (row + 0.5) * size.pitch, align: "right" });
  });
}

/** Source labels at the right of a panel's lines; `x` is where they begin. */
function paintSources(painter, header, size, { x, y }, { picks, pins, shares, marksAlone }) {
  header.source.forEach((token, k) => {
    const look = { picked: picks.source === k, pinned: pins.source === k, share: shares?.source?.[k], marksAlone };
    paintLabel(painter, header, size, token, { ...look, x: x + 8, y: y + (k + 0.5) * size.pitch });
  });
}

// ---- maps -----------------------------------------------------------------------------------------------------------------

/** Type of numbers in cells; 0 where they do not fit. */
function numberType({ numbers, theme }, { pitch, small }) {
  const type = Math.min(small, (pitch - 3) / (widthOf("100", `100px ${theme.font}`) / 100));
  return numbers && type >= NUMBER_TYPE ? type : 0;
}

/** The cells of a heatmap with what is written on them and the gold links. */
function paintCells(painter, header, size, panel, { x, y }) {
  const { theme, colours, source, gold } = header;
  const { pitch } = size;
  const [width, height, columns] = [source.length * pitch, panel.rows.length * pitch, source.length];
  const type = numberType(header, size);
  const shades = Array.from({ length: 101 }, (_, n) => colourOf(n / 100, colours));
  painter.rect({ x, y, width, height, colour: theme.background });
  panel.rows.forEach((_, row) => {
    for (let k = 0; k < columns; k++) {
      const weight = panel.weight(row, k);
      const colour = shades[Math.round(within(weight, [0, 1]) * 100)];
      const cell = { x: x + k * pitch, y: y + row * pitch, width: pitch, height: pitch };
      if (weight >= 0.005) painter.rect({ ...cell, colour });
      const text = { text: `${Math.round(weight * 100)}`, size: type, font: theme.font, align: "center", colour: inkOn(colour, theme) };
      if (type && weight >= 0.005) painter.text({ ...text, x: cell.x + pitch / 2, y: cell.y + pitch / 2 });
    }
  });
  for (let k = 0; k <= columns; k++) painter.rect({ x: x + k * pitch - (k === columns), y, width: 1, height, colour: theme.faint });
  for (let row = 0; row <= panel.rows.length; row++) {
    painter.rect({ x, y: y + row * pitch - (row === panel.rows.length), width, height: 1, colour: theme.faint });
  }
  for (const sort of ["possible", "sure"]) {
    for (const [k, row] of gold?.[sort] ?? []) {
      if (row < panel.rows.length) paintGold(painter, header, { x: x + k * pitch, y: y + row * pitch, width: pitch + 1, height: pitch + 1 }, sort);
    }
  }
}

/** The outline of a gold link, with a rim inside and outside that parts it from every shade. */
function paintGold(painter, { theme, gold_colour: colour, scale }, { x, y, width, height }, sort) {
  const thick = 2 * Math.sqrt(scale);
  const corners = [[x, y], [x + width, y], [x + width, y + height], [x, y + height]].map(([a, b]) => [
    a + (a === x ? 2 : -2), b + (b === y ? 2 : -2),
  ]);
  const around = (look) => corners.forEach(([x1, y1], i) => {
    const [x2, y2] = corners[(i + 1) % 4];
    painter.line({ x1, y1, x2, y2, ...look });
  });
  around({ colour: theme.background, width: thick + 2 });
  const dash = Math.max((width - 4) / 5, 3); // three strokes a side
  around({ colour, width: thick, dash: sort === "possible" ? [dash, dash] : null });
}

/** The lines of a panel from its output (left, at `x`) to the source, weakest first; `only`: those of what is picked. */
function paintLines(painter, header, size, panel, { x, y }, { only = null, opacity = 1 } = {}) {
  const { theme, source, scale, gold, gold_colour } = header;
  const { pitch, middle } = size;
  const ends = (row, k) => ({ x1: x + 2, y1: y + (row + 0.5) * pitch, x2: x + middle - 2, y2: y + (k + 0.5) * pitch });
  const wanted = (row, k) => !only || ((only.row === null || only.row === row) && (only.source === null || only.source === k));
  const found = [];
  panel.rows.forEach((_, row) => source.forEach((_, k) => {
    const weight = panel.weight(row, k);
    if (weight >= (only ? LEAST.picked : LEAST.all) && wanted(row, k)) found.push([weight, row, k]);
  }));
  for (const [weight, row, k] of found.sort(([one], [other]) => one - other)) {
    const title = `${panel.rows[row].label} → ${source[k].label}, ${percent(weight)}`;
    painter.line({ ...ends(row, k), colour: theme.accent, width: strokeWidth(weight, scale), opacity: opacity * strokeOpacity(weight), title });
  }
  for (const sort of ["possible", "sure"]) {
    for (const [k, row] of gold?.[sort] ?? []) {
      if (row >= panel.rows.length || !wanted(row, k)) continue;
      painter.line({ ...ends(row, k), colour: gold_colour, width: 1.6 * scale, opacity, dash: sort === "possible" ? [5, 4] : null });
    }
  }
}

/** The box in the place of a map that there is not, with the note in it. */
function paintAbsence(painter, { theme, scale }, { small }, { note }, { x, y, width, height }) {
  const pad = 12 * scale;
  const dash = [5, 4];
  for (const edge of [0.5, height - 0.5]) painter.line({ x1: x, y1: y + edge, x2: x + width, y2: y + edge, colour: theme.muted, width: 1, dash });
  for (const edge of [0.5, width - 0.5]) painter.line({ x1: x + edge, y1: y, x2: x + edge, y2: y + height, colour: theme.muted, width: 1, dash });
  wrapped(note, width - 2 * pad, `${small}px ${theme.font}`).forEach((line, i) => {
    painter.text({ x: x + pad, y: y + pad + small * (0.7 + 1.4 * i), text: line, colour: theme.muted, size: small, font: theme.font });
  });
}

/** What is pointed at and pinned on a heatmap: its row, its column, their cell. */
function paintMarks(painter, header, { pitch }, panel, { x, y }, { picks, pins }) {
  const { theme } = header;
  const [width, height] = [header.source.length * pitch, panel.rows.length * pitch];
  const outline = ({ source, row }, colour) => {
    const boxes = [];
    if (source !== null) boxes.push({ x: x + source * pitch, y, width: pitch + 1, height });
    if (row !== null) boxes.push({ x, y: y + row * pitch, width, height: pitch + 1 });
    for (const box of boxes) {
      paintFrame(painter, { x: box.x - 1, y: box.y - 1, width: box.width + 2, height: box.height + 2 }, 1, theme.background);
      paintFrame(painter, box, 1.5, colour);
    }
    if (boxes.length > 1) paintFrame(painter, { x: x + source * pitch, y: y + row * pitch, width: pitch + 1, height: pitch + 1 }, 3, colour);
  };
  outline(pins, theme.accent);
  outline(picks, theme.text);
}

// ---- legend and picture ---------------------------------------------------------------------------------------------------

/** What the legend says, as parts that flow into rows: each with its width, its words and how it is drawn at (x, middle). */
function legendParts(header, { small }) {
  const { theme, scale, view, wording, colours, gold } = header;
  const font = `${small}px ${theme.font}`;
  const write = (painter, text, x, y, colour = theme.muted) => painter.text({ x, y, text, colour, size: small, font: theme.font });
  const caption = `${wording.scale}: `;
  const start = widthOf(`${caption}0 % `, font) + 4;
  const parts = [];
  if (view === "heatmap") {
    const [width, height] = RAMP.map((side) => side * scale);
    const paint = (painter, x, y) => {
      write(painter, `${caption}0 %`, x, y);
      painter.rect({ x: x + start - 1, y: y - height / 2 - 1, width: width + 2, height: height + 2, colour: theme.muted });
      for (let n = 0; n < 50; n++) { // each up to the end, so that no seam shows
        const from = (n * width) / 50;
        painter.rect({ x: x + start + from, y: y - height / 2, width: width - from, height, colour: colourOf((n + 0.5) / 50, colours) });
      }
      write(painter, "100 %", x + start + width + 8, y);
    };
    parts.push({ width: start + width + 8 + widthOf("100 %", font), paint, words: `${wording.scale} from 0 to 100 %` });
  } else {
    const steps = [0.05, 0.5, 1];
    const step = widthOf("100 %", font) + 44 * scale;
    const paint = (painter, x, y) => {
      write(painter, caption, x, y);
      steps.forEach((weight, n) => {
        const left = x + widthOf(caption, font) + 6 + n * step;
        painter.line({ x1: left, y1: y, x2: left + 26 * scale, y2: y, colour: theme.accent, width: strokeWidth(weight, scale), opacity: strokeOpacity(weight) });
        write(painter, percent(weight), left + 34 * scale, y);
      });
    };
    const words = `${wording.scale}: the thicker a line, the more, from ${percent(LEAST.all)}`;
    parts.push({ width: widthOf(caption, font) + 6 + steps.length * step, paint, words });
  }
  for (const [sort, words] of gold ? [["sure", "sure gold link"], ["possible", "possible gold link"]] : []) {
    if (!gold[sort].length) continue;
    const side = 16 * scale;
    const paint = (painter, x, y) => {
      if (view === "heatmap") paintGold(painter, header, { x, y: y - side / 2, width: side, height: side }, sort);
      else painter.line({ x1: x, y1: y, x2: x + side * 1.4, y2: y, colour: header.gold_colour, width: 1.6 * scale, dash: sort === "possible" ? [5, 4] : null });
      write(painter, words, x + side * 1.4 + 6, y, theme.text);
    };
    parts.push({ width: side * 1.4 + 6 + widthOf(words, font), paint, words });
  }
  return parts;
}

/** The legend in rows of at most `room` pixels: its size, and a routine that draws it at (x, y). */
function legendOf(header, size, room) {
  const parts = legendParts(header, size);
  const row = size.small * 1.7;
  let [x, line] = [0, 0];
  const places = parts.map(({ width }) => {
    if (x && x + width > room) [x, line] = [0, line + 1];
    const place = [x, (line + 0.5) * row];
    x += width + 22;
    return place;
  });
  const paint = (painter, left, top) => parts.forEach((part, i) => part.paint(painter, left + places[i][0], top + places[i][1]));
  const width = Math.ceil(Math.max(...parts.map((part, i) => places[i][0] + part.width)) + 2);
  return { width, height: Math.ceil((line + 1) * row), paint, words: parts.map(({ words }) => words).join("; ") };
}

/** Labels, map and marks of one panel whose top left corner is (x, y). */
function paintPanel(painter, header, size, panel, place, { x, y }, look) {
  const corner = { x: x + place.aside, y: y + size.above };
  paintRows(painter, header, size, panel, corner, look);
  if (!panel.map) {
    paintAbsence(painter, header, size, panel, { ...corner, width: place.width, height: place.height });
    return;
  }
  if (header.view === "lines") {
    paintLines(painter, header, size, panel, corner, look.only ? { opacity: FADED } : {});
    if (look.only) paintLines(painter, header, size, panel, corner, { only: look.only });
    paintSources(painter, header, size, { x: corner.x + place.width, y: corner.y }, look);
    return;
  }
  paintAbove(painter, header, size, corner, look);
  paintCells(painter, header, size, panel, corner);
  paintMarks(painter, header, size, panel, corner, look);
}

/** All panels as one picture: its size and a routine that draws it; `looks` are the panels' marks, `said` stands on top. */
function pictureOf(header, size, panels, looks, said) {
  const { theme, scale } = header;
  const { small, per } = size;
  const [normal, big, pad] = [theme.font_size * scale, theme.title_size * scale, 16];
  const fonts = { small: `${small}px ${theme.font}`, name: `bold ${normal}px ${theme.font}`, big: `bold ${big}px ${theme.font}` };
  const lines = (text, width, font) => (text ? wrapped(text, width, font) : []);
  const blocks = panels.map((panel, i) => {
    const width = Math.max(size.panels[i].whole, NARROWEST * scale);
    const below = [panel.map ? panel.note : "", panel.detail].flatMap((text) => lines(text, width, fonts.small));
    return { panel, place: size.panels[i], look: looks[i], width, names: lines(panel.name, width, fonts.name), below };
  });
  const columns = Array.from({ length: per }, (_, c) => Math.max(0, ...blocks.filter((_, i) => i % per === c).map(({ width }) => width)));
  const wide = Math.max(columns.reduce((sum, width) => sum + width, 0) + BETWEEN * (per - 1), 320 * scale);
  const titles = lines(header.title, wide, fonts.big);
  const sayings = lines(said, wide, fonts.small);
  const legend = legendOf(header, size, wide);
  let y = pad + titles.length * big * 1.3 + sayings.length * small * 1.4 + small * 0.6;
  const legendAt = y;
  y += legend.height + small;
  for (let from = 0; from < blocks.length; from += per) {
    const these = blocks.slice(from, from + per);
    const text = Math.max(...these.map(({ names, below }) => names.length * normal * 1.3 + below.length * small * 1.4)) + small * 0.5;
    let x = pad;
    these.forEach((block, c) => {
      Object.assign(block, { x, y, map: y + text });
      x += columns[c] + BETWEEN;
    });
    y += text + size.above + Math.max(...these.map(({ place }) => place.height)) + small * 1.5;
  }
  const paint = (painter) => {
    const write = (text, x, at, more = {}) => painter.text({ x, y: at, text, colour: theme.muted, size: small, font: theme.font, ...more });
    titles.forEach((line, i) => write(line, pad, pad + big * (0.65 + 1.3 * i), { colour: theme.text, size: big, weight: "bold" }));
    sayings.forEach((line, i) => write(line, pad, pad + titles.length * big * 1.3 + small * (0.7 + 1.4 * i)));
    legend.paint(painter, pad, legendAt);
    for (const { panel, place, look, names, below, x, y: top, map } of blocks) {
      names.forEach((line, i) => write(line, x, top + normal * (0.65 + 1.3 * i), { colour: theme.text, size: normal, weight: "bold" }));
      below.forEach((line, i) => write(line, x, top + names.length * normal * 1.3 + small * (0.7 + 1.4 * i)));
      paintPanel(painter, header, size, panel, place, { x, y: map }, look);
    }
  };
  return { width: Math.ceil(Math.max(wide, legend.width) + 2 * pad), height: Math.ceil(y + pad - small), paint };
}
