// Rows of tokens with a bar before and a bar after; a click or Enter takes one. Python puts shared.js in front.

const TWICE = 600; // milliseconds in which a second click on a row is the first one's
const quoted = (text) => `“${isolated(text)}”`;

class Choices {
  constructor(parentElement) {
    this.root = make("div", { class: "choices" });
    this.top = make("div", { class: "line top", "aria-hidden": "true" });
    this.list = make("div", {
      class: "rows", role: "listbox",
      onclick: (event) => this.take(this.indexOf(event)),
      onkeydown: (event) => this.key(event),
      onfocusin: (event) => this.stopAt(this.indexOf(event)),
    });
    this.total = make("div", { class: "total" });
    this.keysOf = make("div", { class: "legends", "aria-hidden": "true" });
    const bar = make("div", { class: "bar" }, [this.keysOf, saveButtons((format) => this.save(format))]);
    this.root.append(bar, this.top, this.list, this.total);
    parentElement.append(this.root);
    this.rows = [];
    this.stop = 0; // the row that Tab reaches
  }

  /** Takes what Python sent; rows keep their elements, so that the focus stays where the keys are. */
  show(data, setTriggerValue) {
    this.setTriggerValue = setTriggerValue;
    const { header } = unpack(data);
    if (header.version === this.version) return;
    const other = header.start_id !== this.header?.start_id;
    Object.assign(this, { version: header.version, header });
    dress(this.root, header);
    const { name, places, shows, total } = header;
    this.root.classList.toggle("counted", shows.count);
    this.root.classList.toggle("changed", shows.after);
    this.root.style.setProperty("--places", places);
    this.list.setAttribute("aria-label", name);
    this.total.textContent = total;
    this.writeTop();
    const inside = this.list.contains(this.root.getRootNode().activeElement);
    this.fill();
    if (other) this.stop = header.chosen ?? 0;
    this.stopAt(Math.max(0, Math.min(this.stop, this.rows.length - 1)));
    if (inside) this.rows[this.stop]?.element.focus({ preventScroll: true });
  }

  // ---- the page's elements ---------------------------------------------------------------------------------------------

  writeTop() {
    const { columns, reach, shows } = this.header;
    const range = make("span", { class: "range" }, [make("span", { text: "0" }), make("span", { text: reach })]);
    const title = (part) => make("span", { class: `number ${part}`, text: columns[part], title: columns[part] });
    this.top.replaceChildren(make("span", { class: "label", text: columns.label }), range, title("before"), title("after"), title("count"));
    const key = (kind, text) => make("span", { class: "key" }, [make("span", { class: `sample ${kind}` }), make("span", { text })]);
    this.keysOf.replaceChildren(...(shows.after ? [key("before", columns.before), key("after", columns.after)] : []));
  }

  fill() {
    const { rows } = this.header;
    while (this.rows.length > rows.length) this.rows.pop().element.remove();
    while (this.rows.length < rows.length) {
      this.rows.push(this.buildRow(this.rows.length));
      this.list.append(this.rows.at(-1).element);
    }
    rows.forEach((row, i) => this.fillRow(this.rows[i], row, i));
  }

  buildRow(i) {
    const part = (name, children = []) => make("span", { class: name }, children);
    const parts = { label: part("label"), before: part("bar before"), after: part("bar after") };
    const numbers = { before: part("number before"), after: part("number after"), count: part("number count") };
    const track = part("track", [parts.before, parts.after]);
    const element = make("div", { class: "line row", role: "option", tabindex: -1 }, [parts.label, track, numbers.before, numbers.after, numbers.count]);
    element.index = i;
    return { element, numbers, track, ...parts };
  }

  fillRow({ element, label, before, after, numbers }, row, i) {
    const { chosen, columns } = this.header;
    const signs = row.shown.split(/([␣⏎⇥]+)/).filter(Boolean);
    label.replaceChildren(make("span", { class: "shown", dir: "auto" }, signs.map((text) => make("span", { class: /[␣⏎⇥]/.test(text) ? "sign" : null, text }))));
    const [old, now = old] = row.bars;
    before.style.width = `${100 * old}%`;
    after.style.width = `${100 * now}%`;
    for (const part of ["before", "after", "count"]) numbers[part].textContent = row[part];
    element.classList.toggle("cut", row.after !== "" && now === 0);
    element.setAttribute("aria-selected", i === chosen);
    const said = ["before", "after", "count"].filter((part) => row[part]).map((part) => `${columns[part]}: ${row[part]}`);
    element.setAttribute("aria-label", `${isolated(row.title)}, ${said.join(", ")}`);
    element.title = `${quoted(row.title)} · ${said.join(" · ")}`;
  }

  // ---- what the reader does ----------------------------------------------------------------------------------------------

  indexOf({ target }) {
    return target?.closest?.(".row")?.index ?? -1;
  }

  stopAt(i) {
    if (i < 0) return;
    if (this.rows[this.stop]) this.rows[this.stop].element.tabIndex = -1;
    this.stop = i;
    if (this.rows[i]) this.rows[i].element.tabIndex = 0;
  }

  /** Tells Python, each time anew: the same row may well be the next step's too. */
  take(i) {
    if (i < 0) return;
    const { start, start_id } = this.header;
    const now = Date.now();
    const last = this.last;
    if (last && last.i === i && last.start_id === start_id && now - last.now < TWICE) return;
    this.last = { i, start_id, now };
    this.setTriggerValue("taken", { taken: i, start, start_id, nonce: now });
  }

  key(event) {
    const i = this.indexOf(event);
    if (i < 0 || event.ctrlKey || event.metaKey || event.altKey) return;
    const last = this.rows.length - 1;
    const to = { ArrowUp: i - 1, ArrowDown: i + 1, Home: 0, End: last }[event.key];
    if (to !== undefined) this.rows[Math.max(0, Math.min(to, last))].element.focus();
    else if ((event.key === "Enter" || event.key === " ") && !event.repeat) this.take(i);
    else if (event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
  }

  // ---- files ---------------------------------------------------------------------------------------------------------------

  /** The rows as they stand on the screen. */
  save(format) {
    const { theme, scale, file_name, name } = this.header;
    const [pad, small] = [16, theme.small_size * scale];
    const origin = this.top.getBoundingClientRect();
    const width = Math.ceil(origin.width + 2 * pad);
    const top = Math.round(pad + 3.6 * small);
    const bottom = top + this.list.getBoundingClientRect().bottom - origin.top;
    const below = wrapped(this.total.textContent, origin.width, `${small}px ${theme.font}`).filter(Boolean);
    const shift = { left: origin.left - pad, top: origin.top - top };
    save(format, file_name, width, Math.ceil(bottom + 1.4 * small * below.length + pad), theme.background, (painter) => {
      const text = (x, y, words, look = {}) => painter.text({ x, y, text: words, colour: theme.muted, size: small, font: theme.font, ...look });
      text(pad, pad + small / 2, name, { weight: "bold", colour: theme.text });
      this.paintKeys(painter, pad, pad + 2.2 * small, text);
      this.paintCells(painter, this.top, shift);
      for (const row of this.rows) this.paintRow(painter, row, shift);
      below.forEach((line, n) => text(pad, bottom + (n + 0.7) * 1.4 * small, line));
    });
  }

  paintKeys(painter, left, y, text) {
    let x = left;
    for (const key of this.keysOf.children) {
      const [sample, words] = [...key.children].map((part) => part.getBoundingClientRect());
      this.paintBar(painter, { x, y: y - sample.height / 2, width: sample.width, height: sample.height }, key.firstChild.classList.contains("before"));
      text(x + sample.width + 6, y, key.lastChild.textContent);
      x += sample.width + words.width + 24;
    }
  }

  paintRow(painter, { element, before, after }, shift) {
    const { theme, shows } = this.header;
    const box = (part) => {
      const { left, top, width, height } = part.getBoundingClientRect();
      return { x: left - shift.left, y: top - shift.top, width, height };
    };
    if (element.getAttribute("aria-selected") === "true") painter.rect({ ...box(element), width: 4, colour: theme.accent });
    this.paintBar(painter, box(after), false);
    if (shows.after) this.paintBar(painter, box(before), true);
    this.paintCells(painter, element, shift);
  }

  paintBar(painter, box, outline) {
    const { theme } = this.header;
    if (!outline) painter.rect({ ...box, colour: theme.accent });
    else if (box.width >= 3) paintFrame(painter, box, 1.5, theme.text);
    else painter.rect({ ...box, colour: theme.text });
  }

  /** The texts of a line; a long label is cut where the screen cuts it. */
  paintCells(painter, line, shift) {
    const walker = document.createTreeWalker(line, NodeFilter.SHOW_TEXT);
    const range = document.createRange();
    for (let node = walker.nextNode(); node; node = walker.nextNode()) {
      range.selectNodeContents(node);
      const box = range.getBoundingClientRect();
      if (!box.width) continue;
      const cell = node.parentElement.closest(".label, .number, .range").getBoundingClientRect();
      const style = getComputedStyle(node.parentElement);
      const room = cell.right - box.left;
      let text = node.data;
      if (box.width > room + 1) text = room > 0 ? `${text.slice(0, Math.max(0, Math.floor((text.length * room) / box.width) - 1))}…` : "";
      const look = { colour: this.ink(style), size: parseFloat(style.fontSize), font: this.header.theme.font, weight: +style.fontWeight > 500 ? "bold" : "normal" };
      if (text) painter.text({ x: box.left - shift.left, y: (box.top + box.bottom) / 2 - shift.top, text, ...look });
    }
  }

  ink({ color }) {
    const [red, green, blue] = color.match(/\d+/g).map(Number);
    return `#${[red, green, blue].map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  }
}

export default function render({ data, parentElement, setTriggerValue }) {
  mount(parentElement, () => new Choices(parentElement)).show(data, setTriggerValue);
  return () => unmount(parentElement);
}
