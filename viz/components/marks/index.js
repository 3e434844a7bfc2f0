// Texts word by word: the active role goes to the word that is clicked. Python puts shared.js in front of this text.

const SETTLED = 250; // milliseconds after the last change until Python is told: a span of words is one change
const DIFFERS = "differs between the texts";

class Marks {
  constructor(parentElement) {
    this.root = make("div", { class: "marks" });
    parentElement.append(this.root);
    this.active = 0;
    this.root.onkeydown = (event) => this.shortcut(event);
    this.root.onpointerleave = () => this.settle(0); // whatever is clicked next must find the marks as they are
    this.root.onfocusout = (event) => this.root.contains(event.relatedTarget) || this.settle(0);
  }

  /** Takes what Python sent; the same again changes nothing, and marks are taken over only when Python means it. */
  show(data, setStateValue) {
    this.setStateValue = setStateValue;
    const { header } = unpack(data);
    if (header.version === this.version) return;
    this.version = header.version;
    this.header = header;
    if (header.start_id !== this.startId) this.start();
    dress(this.root, header);
    const elements = JSON.stringify([header.roles, header.texts.map(({ marks, ...rest }) => rest)]);
    if (elements !== this.elements) this.build(); // other colours or marks keep the elements, and with them the focus
    this.elements = elements;
    this.update();
  }

  /** Takes Python's marks over. */
  start() {
    const { texts, roles, start_id } = this.header;
    clearTimeout(this.timer);
    this.startId = start_id;
    this.roleOf = texts.map(({ words, marks }) => words.map((_, i) => roles.findIndex(({ id }) => marks[id]?.includes(i))));
    this.active = Math.min(this.active, roles.length - 1);
    this.sent = JSON.stringify(this.plain());
  }

  /** For each text the words of each role that may be marked in it. */
  plain() {
    const { texts, roles } = this.header;
    const indices = (text, role) => [...this.roleOf[text].keys()].filter((i) => this.roleOf[text][i] === role);
    return texts.map(({ marks }, text) =>
      Object.fromEntries(roles.flatMap(({ id }, role) => (id in marks ? [[id, indices(text, role)]] : []))),
    );
  }

  /** Tells Python once the reader has settled. Nothing here waits for it. */
  settle(delay = SETTLED) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => {
      const plain = JSON.stringify(this.plain());
      if (plain === this.sent) return;
      this.sent = plain;
      // with the time, so that the same marks after another start are news to Python
      this.setStateValue("marks", { texts: this.plain(), start_id: this.startId, at: Date.now() });
    }, delay);
  }

  close() {
    clearTimeout(this.timer);
  }

  // ---- the page's elements ---------------------------------------------------------------------------------------------

  build() {
    const { texts } = this.header;
    this.stops = texts.map(() => 0); // the word of each text that Tab reaches
    this.words = [];
    this.gaps = [];
    this.root.replaceChildren(
      make("div", { class: "bar" }, [this.buildRoles(), make("span", { class: "hint", text: "Choose a role, then click its words." })]),
      make("div", { class: "texts" }, texts.flatMap((text, at) => this.buildText(text, at))),
      (this.status = make("div", { class: "status", role: "status", "aria-live": "polite" })),
    );
  }

  buildRoles() {
    const { roles } = this.header;
    this.chips = roles.map(({ name, badge, colour, ink }, role) =>
      make("button", {
        type: "button", role: "radio", class: "chip", "aria-label": name, style: `--role: ${colour}; --ink: ${ink}`,
        title: role < 9 ? `${name}: key ${role + 1}` : name,
        onclick: () => this.choose(role),
        onkeydown: (event) => {
          const to = reached(event, role, roles.length, ["ArrowLeft", "ArrowUp"], ["ArrowRight", "ArrowDown"]);
          if (to === null) return;
          this.choose(to);
          this.chips[to].focus();
        },
      }, badge === name ? [make("span", { text: name })] : [make("span", { class: "sign", text: badge }), make("span", { text: name })]),
    );
    return make("div", { class: "group", role: "radiogroup", "aria-label": "Role" }, this.chips);
  }

  /** The text's name and its words. A word is inline, not a <button>: only so do words of two directions keep their order. */
  buildText({ name, words, spaces, differs, lang }, at) {
    this.words[at] = words.map((word, i) =>
      make("span", {
        role: "button", text: word, title: differs.includes(i) ? DIFFERS : null,
        class: ["word", differs.includes(i) && "differs", i && !spaces[i] && "tight", i + 1 < words.length && !spaces[i + 1] && "held"].filter(Boolean).join(" "),
        onclick: () => this.mark(at, i),
        onmousedown: (event) => event.detail > 1 && event.preventDefault(), // a second click is a click, it selects nothing
        onkeydown: (event) => this.key(event, at, i),
        onfocus: () => this.stop(at, i),
      }),
    );
    this.gaps[at] = words.map((_, i) => make("span", { class: "gap", text: i && spaces[i] ? " " : "", "aria-hidden": "true" }));
    const line = words.flatMap((_, i) => [this.gaps[at][i], this.words[at][i]]);
    return [
      make("div", { class: "name", dir: "auto", text: name }),
      make("div", { class: "text", role: "group", "aria-label": name, dir: "auto", lang }, line),
    ];
  }

  // ---- what the reader does ----------------------------------------------------------------------------------------------

  choose(role) {
    if (role === this.active) return;
    this.active = role;
    this.update();
    this.status.textContent = `${this.header.roles[role].name} is chosen.`;
  }

  allowed(at) {
    return this.header.roles[this.active].id in this.header.texts[at].marks;
  }

  /** The word leaves the active role, joins the role's word beside it, or takes the place of all the role's words. */
  mark(at, i) {
    this.stop(at, i);
    const { roles, texts } = this.header;
    const { active } = this;
    const where = texts.length > 1 ? `${isolated(texts[at].name)}: ` : "";
    if (!this.allowed(at)) {
      this.status.textContent = `${where}${roles[active].name} cannot be marked here.`;
      return;
    }
    const now = this.roleOf[at];
    const before = now[i];
    if (before === active) now[i] = -1;
    else {
      const beside = now[i - 1] === active || now[i + 1] === active;
      if (!beside) now.forEach((role, j) => role === active && (now[j] = -1));
      now[i] = active;
    }
    this.update();
    const changed = before < 0 || before === active ? [active] : [active, before];
    this.status.textContent = `${where}${changed.map((role) => this.told(at, role)).join("; ")}.`;
    this.settle();
  }

  /** "A is “the street”" */
  told(at, role) {
    const { words, spaces } = this.header.texts[at];
    const its = this.roleOf[at];
    let said = "";
    words.forEach((word, i) => {
      if (its[i] !== role) return;
      const apart = its[i - 1] !== role && said ? " … " : "";
      said += (apart || (said && spaces[i] ? " " : "")) + word;
    });
    const { name } = this.header.roles[role];
    return said ? `${name} is “${isolated(said)}”` : `${name} is not marked`;
  }

  /** Tab will come back to this word. */
  stop(at, i) {
    this.words[at][this.stops[at]].tabIndex = -1;
    this.stops[at] = i;
    this.words[at][i].tabIndex = 0;
  }

  key(event, at, i) {
    const rtl = getComputedStyle(event.currentTarget.parentElement).direction === "rtl";
    const [back, forward] = rtl ? ["ArrowRight", "ArrowLeft"] : ["ArrowLeft", "ArrowRight"];
    if ((event.key === "Enter" || event.key === " ") && !modified(event)) {
      event.preventDefault();
      if (!event.repeat) this.mark(at, i);
      return;
    }
    const to = reached(event, i, this.words[at].length, [back], [forward]);
    if (to !== null) this.words[at][to].focus();
  }

  /** 1 to 9 choose a role anywhere in the component. */
  shortcut(event) {
    if (modified(event) || !/^[1-9]$/.test(event.key) || +event.key > this.chips.length) return;
    this.choose(+event.key - 1);
    event.preventDefault();
  }

  // ---- what is shown --------------------------------------------------------------------------------------------------

  update() {
    const { roles, texts } = this.header;
    this.root.style.setProperty("--active", roles[this.active].colour);
    this.chips.forEach((chip, role) => {
      chip.setAttribute("aria-checked", role === this.active);
      chip.tabIndex = role === this.active ? 0 : -1;
    });
    texts.forEach(({ words }, at) => words.forEach((word, i) => this.updateWord(at, i, word)));
  }

  updateWord(at, i, word) {
    const its = this.roleOf[at];
    const role = this.header.roles[its[i]] ?? null;
    const [element, gap] = [this.words[at][i], this.gaps[at][i]];
    const [joined, continued] = [role && its[i - 1] === its[i], role && its[i + 1] === its[i]].map(Boolean);
    for (const [name, on] of Object.entries({ marked: Boolean(role), joined, continued })) element.classList.toggle(name, on);
    gap.classList.toggle("marked", joined);
    for (const part of [element, gap]) {
      part.style.setProperty("--role", role?.colour ?? "transparent");
      part.style.setProperty("--ink", role?.ink ?? "inherit");
    }
    if (role && !joined) element.dataset.badge = role.badge;
    else delete element.dataset.badge;
    element.tabIndex = i === this.stops[at] ? 0 : -1;
    element.setAttribute("aria-pressed", Boolean(role));
    element.setAttribute("aria-label", role ? `${word}, ${role.name}` : word);
    element.setAttribute("aria-disabled", !this.allowed(at));
  }
}

const modified = (event) => event.ctrlKey || event.metaKey || event.altKey;

/** The index that a key moves the focus to, or null; the key is then used up. */
function reached(event, at, length, back, forward) {
  if (modified(event)) return null;
  const to = back.includes(event.key) ? at - 1 : forward.includes(event.key) ? at + 1 : { Home: 0, End: length - 1 }[event.key];
  if (to === undefined) return null;
  event.preventDefault();
  return Math.min(Math.max(to, 0), length - 1);
}

export default function render({ data, parentElement, setStateValue }) {
  mount(parentElement, () => new Marks(parentElement)).show(data, setStateValue);
  return () => unmount(parentElement);
}
