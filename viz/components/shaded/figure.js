// The text in files: drawn where it stands on the screen, in the same lines.

/** Where the text of an element stands, line by line: [{text, x, y}], x the left edge and y the middle, from `origin`. */
function textLines(element, origin) {
  const lines = [];
  const walker = document.createTreeWalker(element, NodeFilter.SHOW_TEXT);
  const range = document.createRange();
  const place = (box) => ({ x: box.left - origin.left, y: (box.top + box.bottom) / 2 - origin.top });
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    range.selectNodeContents(node);
    const boxes = range.getClientRects();
    if (boxes.length === 1) lines.push({ text: node.data, ...place(boxes[0]) });
    if (boxes.length < 2) continue;
    let last = null; // a word that is broken over lines: letter by letter
    for (let i = 0; i < node.data.length; i++) {
      range.setStart(node, i);
      range.setEnd(node, i + 1);
      const [box] = range.getClientRects();
      if (!box) continue;
      const at = place(box);
      if (last && Math.abs(last.y - at.y) < box.height / 2) last.text += node.data[i];
      else lines.push((last = { text: node.data[i], ...at }));
    }
  }
  return lines;
}

class ShadedFigure extends ShadedTokens {
  save(format) {
    const { theme, scale, file_name, name } = this.header;
    const [pad, small] = [16, theme.small_size * scale];
    const sheet = this.sheet.getBoundingClientRect();
    const reach = this.spans.reduce((right, span) => Math.max(right, span.getBoundingClientRect().right), sheet.left);
    const inner = Math.min(Math.max(reach - sheet.left + 4, 420 * scale), Math.max(sheet.width, 320));
    const top = pad + 1.8 * small;
    const bottom = top + sheet.height + 1.2 * small;
    const legend = this.legendPlaces(inner, small);
    const height = bottom + legend.height + pad;
    save(format, file_name, Math.ceil(inner + 2 * pad), Math.ceil(height), theme.background, (painter) => {
      painter.text({ x: pad, y: pad + small / 2, text: name, colour: theme.text, size: small, font: theme.font, weight: "bold" });
      this.spans.forEach((span, i) => this.paintToken(painter, span, i, { left: sheet.left - pad, top: sheet.top - top }));
      if (legend.scale) this.paintScale(painter, pad, bottom, small);
      for (const { key, x, y } of legend.keys) this.paintKey(painter, key, pad + x, bottom + y, small);
    });
  }

  paintToken(painter, span, i, origin) {
    const { theme, mode, blank, group_colours, groups } = this.header;
    const style = getComputedStyle(span);
    const size = parseFloat(style.fontSize);
    const pressed = this.pressed.has(i);
    const masked = mode === "toggle" && pressed;
    const shade = masked ? [blank.colour, blank.ink] : this.shade(i);
    const boxes = [...span.getClientRects()].filter(({ width }) => width > 0.5);
    const line = group_colours[groups[i]];
    for (const { left, top, width, height } of boxes) {
      const box = { x: left - origin.left, y: top - origin.top, width, height: height - (line ? 3 : 0) };
      if (shade) painter.rect({ ...box, colour: shade[0] });
      if (line) painter.line({ x1: box.x, x2: box.x + width, y1: box.y + height - 1.5, y2: box.y + height - 1.5, colour: line, width: 3, dash: groups[i] % 2 ? [4, 3] : [1, 0] });
      if (this.unknown(i) && !masked) painter.line({ x1: box.x, x2: box.x + width, y1: box.y + box.height - 1, y2: box.y + box.height - 1, colour: theme.muted, width: 1.5, dash: [1.5, 2.5] });
      if (pressed && !masked) paintFrame(painter, box, 2, theme.text);
    }
    const look = { font: theme.font, colour: shade?.[1] ?? (this.special(i) ? theme.muted : theme.text), size, style: this.special(i) ? "italic" : "normal" };
    const [first] = boxes;
    if (!first) return;
    const middle = { x: first.left - origin.left + first.width / 2, align: "center" };
    const y = first.top - origin.top + (first.height - (line ? 3 : 0)) / 2;
    const mark = span.classList.contains("break") ? "¶" : span.classList.contains("space") ? "·" : "";
    if (mark) painter.text({ ...look, ...middle, y, text: mark });
    else if (!masked) for (const part of textLines(span, origin)) painter.text({ ...look, ...part });
    else {
      if (span.dataset.blank) painter.text({ ...look, ...middle, y, text: span.dataset.blank, size: 0.8 * size });
      if (span.dataset.word) this.paintStruck(painter, { ...middle, y: first.bottom - origin.top + 0.5 * 0.72 * size + 2, text: span.dataset.word, size: 0.72 * size, font: theme.font, colour: theme.muted });
    }
  }

  paintStruck(painter, look) {
    painter.text(look);
    const context = make("canvas").getContext("2d");
    context.font = `${look.size}px ${look.font}`;
    const half = context.measureText(look.text).width / 2;
    painter.line({ x1: look.x - half, x2: look.x + half, y1: look.y, y2: look.y, colour: look.colour, width: 1 });
  }

  /** Where scale and keys stand below the text: side by side, in as many lines as they need. */
  legendPlaces(width, small) {
    const { legend, theme } = this.header;
    const context = make("canvas").getContext("2d");
    context.font = `${small}px ${theme.font}`;
    let [x, y] = legend ? [small * 17.5, small * (legend.title ? 1.5 : 0)] : [0, 0];
    const keys = this.keys().map((key) => {
      const wide = 3.5 * small + context.measureText(key[1]).width;
      if (x > 0 && x + wide > width) [x, y] = [0, y + small * (legend && y < 2 * small ? 3 : 1.5)];
      x += wide;
      return { key, x: x - wide, y };
    });
    const last = keys.at(-1)?.y ?? 0;
    return { scale: Boolean(legend), keys, height: Math.max(legend ? (legend.title ? 3.6 : 2.1) * small : 0, keys.length ? last + small : 0) };
  }

  /** What the values are, the colours, and below them the numbers. */
  paintScale(painter, x, above, small) {
    const { theme, legend, shades } = this.header;
    const text = (at, y, words, align = "left") => painter.text({ x: at, y, text: words, colour: theme.muted, size: small, font: theme.font, align });
    if (legend.title) text(x, above, legend.title);
    const y = above + (legend.title ? 1.5 * small : 0);
    const step = (small * 15) / shades.length;
    shades.forEach(([colour], n) => painter.rect({ x: x + n * step, y: y - small / 2, width: step + 0.5, height: small, colour }));
    paintFrame(painter, { x, y: y - small / 2, width: small * 15 + 0.5, height: small }, 1, theme.muted);
    ["left", "center", "right"].forEach((align, n) => text(x + n * small * 7.5, y + 1.4 * small, legend.ticks[n], align));
  }

  paintKey(painter, [kind, words, colour, n], x, y, small) {
    const { theme } = this.header;
    const dash = kind === "dots" ? [1.5, 2.5] : n % 2 ? [4, 3] : [1, 0];
    if (kind === "blank") painter.rect({ x, y: y - small / 2, width: 2 * small, height: small, colour });
    else painter.line({ x1: x, x2: x + 2 * small, y1: y, y2: y, colour: colour ?? theme.muted, width: kind === "line" ? 3 : 1.5, dash });
    painter.text({ x: x + 2.5 * small, y, text: words, colour: theme.muted, size: small, font: theme.font });
  }
}
