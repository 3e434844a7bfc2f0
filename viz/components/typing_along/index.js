// A text box, and below it what each network suggests for the word being typed. Python puts shared.js in front.
// Streamlit calls the script anew with every answer; the box is made once, so that focus, caret and undo stay.

const GATHERED = 40; // milliseconds in which what is typed makes one question
const PATIENT = 300; // milliseconds without an answer until the suggestions are marked as those of an older text
const LOST = 10_000; // milliseconds until a question without an answer is asked once more
const PAUSED = 900; // milliseconds of rest until a screen reader is told the suggestions
const SUGGESTED = 3;
const chance = (share) => (share > 0 && share < 0.005 ? "<1 %" : percent(share));

/** Whether a character is a letter of a word that the networks read, or vanishes inside one: "é", "’", an accent. */
function inWord(character) {
  if (/^['’‘ʼʾʿ\p{M}\p{Cf}]$/u.test(character)) return true;
  return /[a-zæœøđðħıłŧþß]/.test(character.normalize("NFKD").toLowerCase());
}

/** Where the letters of the last word begin; the text's end after a space. */
function wordStart(text) {
  let start = text.length;
  for (const character of [...text].reverse()) {
    if (!inWord(character)) break;
    start -= character.length;
  }
  return start;
}

class TypingAlong {
  constructor(parentElement) {
    this.root = make("div", { class: "typing" });
    parentElement.append(this.root);
    this.serial = 0; // of the last question
    this.asked = ""; // its text
    this.waiting = false; // for its answer
    this.build();
  }

  /** Takes an answer. The box's text is taken over only when Python means it. */
  show(data, setStateValue) {
    this.setStateValue = setStateValue;
    const { header, arrays } = unpack(data);
    if (header.version === this.version) return;
    this.version = header.version;
    this.header = header;
    this.box.maxLength = header.limit;
    dress(this.root, header);
    if (header.start_id !== this.startId) this.start();
    else if (header.serial >= this.serial) this.answered();
    else if (!this.waiting) this.repeat(); // Python has forgotten what was typed: the connection was made anew
    const names = JSON.stringify(header.networks.map(({ name }) => name));
    if (names !== this.names) this.buildBlocks();
    this.names = names;
    let offset = 0;
    header.networks.forEach((network, i) => {
      this.fill(this.blocks[i], network, arrays.shades.subarray(offset, (offset += this.letters(network).length)));
    });
    this.note();
    this.count();
    this.follow();
  }

  /** Takes Python's text over, with the answer to it. */
  start() {
    const { text, serial, start_id } = this.header;
    this.startId = start_id;
    this.box.value = text;
    this.asked = this.box.value;
    this.serial = Math.max(this.serial, serial);
    this.answered();
    this.grow();
  }

  close() {
    [this.gathering, this.losing, this.patience, this.pausing].forEach(clearTimeout);
  }

  // ---- questions and answers: never more than one question on its way ----------------------------------------------------

  /** Something was typed. The timer is not set back by more of it: a key held down would never be heard. */
  typed() {
    this.again = false;
    this.grow();
    this.count();
    this.follow();
    this.gathering ??= setTimeout(() => this.ask(), GATHERED);
  }

  ask() {
    clearTimeout(this.gathering);
    this.gathering = null;
    if (this.waiting || (this.box.value === this.asked && !this.again)) return;
    this.asked = this.box.value;
    this.serial += 1;
    this.waiting = true;
    this.losing = setTimeout(() => this.lose(), LOST);
    this.setStateValue("typed", { text: this.asked, serial: this.serial, start_id: this.startId });
  }

  /** The last question's answer is here, so the newest text can go. */
  answered() {
    this.waiting = false;
    this.again = false;
    clearTimeout(this.losing);
    if (this.box.value !== this.asked) this.ask();
  }

  /** No answer: the connection broke, or the page's run did. Once more, but not for ever. */
  lose() {
    this.waiting = false;
    if (!this.again) this.repeat();
    else if (this.box.value !== this.asked) this.ask();
  }

  repeat() {
    this.again = true;
    this.ask();
  }

  get behind() {
    return this.waiting || this.box.value !== this.asked;
  }

  /** Marks suggestions of an older text, unless their answer is about to come; nothing flickers while one types. */
  follow() {
    clearTimeout(this.pausing);
    if (!this.behind) {
      clearTimeout(this.patience);
      this.patience = null;
      this.mark(false);
      this.pausing = setTimeout(() => this.speak(), PAUSED);
    } else this.patience ??= setTimeout(() => this.mark(true), PATIENT);
  }

  mark(behind) {
    this.root.classList.toggle("behind", behind);
    this.rows.setAttribute("aria-busy", behind);
    this.late.textContent = behind ? "catching up …" : "";
  }

  // ---- the page's elements -----------------------------------------------------------------------------------------------

  build() {
    this.box = make("textarea", {
      rows: 2, spellcheck: "false", autocomplete: "off", autocapitalize: "off", autocorrect: "off",
      "aria-label": "Your text", "aria-describedby": "keys", placeholder: "Type here …",
      oninput: () => this.typed(),
      onfocus: () => (this.walked = false),
      onkeydown: (event) => this.leave(event),
    });
    this.paper = make("div", { class: "paper" }, [this.box]); // as high as its text
    this.read = make("div", { class: "changes" });
    this.late = make("span", { class: "late", "aria-hidden": "true" });
    this.counter = make("span", { class: "count" });
    this.rows = make("div", { class: "networks" });
    this.spoken = make("div", { class: "unseen", role: "status", "aria-live": "polite", "aria-atomic": "true" });
    this.root.append(
      this.paper,
      make("div", { class: "under" }, [this.read, make("div", { class: "state" }, [this.late, this.counter])]),
      this.rows,
      make("div", { class: "legend", text: "The brighter a character, the more the first suggestion rests on it; rows are not comparable. The word so far is underlined." }),
      make("div", { class: "hint", id: "keys", text: "Alt + 1, 2, 3 insert the first network’s words. Arrow down from the end of the text leads to all of them; Enter inserts, Esc goes back." }),
      this.spoken,
    );
    this.blocks = [];
    this.root.addEventListener("keydown", (event) => this.shortcut(event));
    this.root.addEventListener("focusout", (event) => {
      if (this.root.contains(event.relatedTarget)) return;
      this.walked = false;
      if (this.gathering) this.ask(); // whatever is clicked next must find the text as it is
    });
  }

  buildBlocks() {
    const held = this.rows.contains(this.focused);
    this.blocks = this.header.networks.map(({ name }, network) => {
      const letters = make("span", { class: "letters" });
      const strip = make("div", { class: "strip", role: "img" }, [letters]);
      const words = [...Array(SUGGESTED).keys()].map((rank) => this.buildWord(network, rank));
      const group = make("div", { class: "words", role: "group", "aria-label": `Suggestions of ${isolated(name)}` }, words.map(({ button }) => button));
      const element = make("div", { class: "network" }, [make("div", { class: "name", dir: "auto", title: name, text: name }), strip, group]);
      return { element, strip, letters, words };
    });
    this.rows.replaceChildren(...this.blocks.map(({ element }) => element));
    if (held) this.box.focus();
  }

  buildWord(network, rank) {
    const word = make("span", { class: "word" });
    const share = make("span", { class: "share" });
    const button = make("button", {
      type: "button", class: "suggestion", tabindex: rank ? -1 : 0,
      onclick: () => this.insert(network, rank),
      onkeydown: (event) => this.walk(event, network, rank),
      onmousedown: (event) => event.preventDefault(), // the box keeps the focus, and a phone its keyboard
    }, [word, share]);
    return { button, word, share };
  }

  letters({ text }) {
    return [...text];
  }

  /** A block with another answer; its elements stay, and with them focus and height. */
  fill(block, network, shades) {
    const { colours } = this.header;
    const { name, suggestions, start, cut, text } = network;
    const characters = this.letters(network);
    const { letters, strip, words } = block;
    while (letters.childElementCount < characters.length) letters.append(make("span"));
    while (letters.childElementCount > characters.length) letters.lastChild.remove();
    characters.forEach((character, i) => {
      const span = letters.children[i];
      if (span.textContent !== character) span.textContent = character;
      span.style.background = colours[shades[i]];
      span.className = i >= start && character !== " " ? "typing-now" : "";
    });
    const best = suggestions[0]?.[0];
    const told = best === undefined ? `${isolated(name)} suggests nothing` : `What “${isolated(best)}” of ${isolated(name)} rests on: the brighter, the more`;
    strip.setAttribute("aria-label", `${told}. Text read: ${text}`);
    strip.title = told;
    strip.classList.toggle("cut", cut || letters.scrollWidth > strip.clientWidth + 1);
    words.forEach(({ button, word, share }, rank) => {
      const [says, p] = suggestions[rank] ?? ["", 0];
      const there = rank < suggestions.length;
      button.setAttribute("aria-disabled", !there); // not disabled: that would take the focus away
      if (!there && button.tabIndex === 0) [button.tabIndex, words[0].button.tabIndex] = [-1, 0];
      word.textContent = says;
      share.textContent = there ? chance(p) : "";
      button.style.setProperty("--share", `${(100 * p).toFixed(1)}%`);
      button.title = there ? `Insert “${isolated(says)}” (${chance(p)})` : "";
      button.setAttribute("aria-label", there ? `${isolated(says)}, ${chance(p)}` : "no suggestion");
    });
  }

  /** What the networks read otherwise than it is typed. */
  note() {
    const { changes } = this.header;
    const text = changes.length ? `Read as: ${changes.join(" · ")}` : "";
    if (this.read.textContent !== text) this.read.textContent = text;
    this.read.title = text;
  }

  count() {
    const { length } = this.box.value;
    const { limit } = this.header;
    this.counter.textContent = `${length.toLocaleString("en")} / ${limit.toLocaleString("en")}`;
    this.counter.classList.toggle("full", length >= limit);
  }

  grow() {
    this.paper.dataset.text = this.box.value;
  }

  get focused() {
    return this.root.getRootNode().activeElement;
  }

  /** The suggestions that a reader would see on looking up. */
  speak() {
    const said = this.header.networks.map(({ name, suggestions }) => `${isolated(name)}: ${suggestions.map(([word, p]) => `${isolated(word)} ${chance(p)}`).join(", ")}`);
    if (this.root.contains(this.focused)) this.spoken.textContent = said.join("; ");
  }

  // ---- inserting and walking ---------------------------------------------------------------------------------------------

  /** The word in place of its letters typed so far, and a space. It goes to the text's end, which the networks read. */
  insert(network, rank) {
    const [word] = this.header.networks[network]?.suggestions[rank] ?? [];
    if (word === undefined) return;
    const { box } = this;
    const start = wordStart(box.value);
    const before = this.header.text;
    this.walked = false;
    box.focus();
    if (box.value.slice(0, start) !== before.slice(0, wordStart(before))) {
      this.spoken.textContent = "One moment: these words were suggested for an older text.";
      return;
    }
    if (start + word.length + 1 > this.header.limit) {
      this.spoken.textContent = `No room for “${isolated(word)}”: the box takes ${count(this.header.limit, "character")}.`;
      return;
    }
    box.setSelectionRange(start, box.value.length);
    // The old command is the only one that the reader can undo.
    if (!document.execCommand("insertText", false, `${word} `)) {
      box.setRangeText(`${word} `, start, box.value.length, "end");
      this.typed();
    }
    box.scrollTop = box.scrollHeight;
  }

  shortcut(event) {
    const rank = ["Digit1", "Digit2", "Digit3"].indexOf(event.code);
    if (rank < 0 || !event.altKey || event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    this.insert(0, rank);
  }

  /** Arrow down from the end of the text. */
  leave(event) {
    if (event.key !== "ArrowDown" || modified(event) || event.isComposing) return;
    const { selectionStart, value } = this.box;
    if (selectionStart === value.length) this.step(event, 0, 0);
  }

  /** Keys on a suggestion. Tab inserts where the arrow keys have led to it; where Tab itself has, it leads on. */
  walk(event, network, rank) {
    if (event.key.length === 1 && event.key !== " " && !event.ctrlKey && !event.metaKey && !event.altKey) {
      this.box.focus(); // a letter goes on with the text, and Streamlit does not take "r" and "c" for commands
      event.stopPropagation();
      return;
    }
    if (modified(event)) return;
    const to = {
      ArrowLeft: [network, rank - 1],
      ArrowRight: [network, rank + 1],
      ArrowUp: [network - 1, rank],
      ArrowDown: [network + 1, rank],
      Home: [network, 0],
      End: [network, this.header.networks[network].suggestions.length - 1],
    }[event.key];
    const back = event.key === "Escape" || (event.key === "ArrowUp" && network === 0);
    if (back) this.box.focus();
    else if (to) return this.step(event, ...to);
    else if (event.key === "Enter" || (event.key === "Tab" && this.walked)) this.insert(network, rank);
    else return;
    this.walked = false;
    event.preventDefault();
  }

  step(event, network, rank) {
    event.preventDefault();
    const words = this.blocks[network]?.words;
    const reached = words?.[rank]?.button;
    if (!reached || rank >= this.header.networks[network].suggestions.length) return;
    words.forEach(({ button }) => (button.tabIndex = -1));
    reached.tabIndex = 0;
    reached.focus();
    this.walked = true;
  }
}

const modified = (event) => event.ctrlKey || event.metaKey || event.altKey || event.shiftKey;

export default function render({ data, parentElement, setStateValue }) {
  mount(parentElement, () => new TypingAlong(parentElement)).show(data, setStateValue);
  return () => unmount(parentElement);
}
