// A recurrent decoder, step by step: the reader scrubs, plays and points; Python hears of the step once they settle.
// Steps count from 0 here, and from 1 on the screen.

const PACE = 1400; // milliseconds from one step to the next, playing
const SETTLED = 400; // milliseconds after the last change until the server is told
const PLAY = "Play";
const NO_MOTION = "Your system asks for no motion: go step by step";

class Steps extends StepsFigure {
  constructor(parentElement) {
    super();
    this.root = make("div", { class: "steps" });
    parentElement.append(this.root);
    this.resized = new ResizeObserver(() => this.arrange());
    this.calm = window.matchMedia("(prefers-reduced-motion: reduce)");
    this.oncalm = () => (this.pause(), this.update());
    this.calm.addEventListener("change", this.oncalm);
    this.told = []; // steps the server was told that it has not sent back yet
    this.root.onkeydown = (event) => this.shortcut(event);
    this.playing = null; // the timer
    this.pointed = -1; // the source token that is asked about
    this.step = 0;
  }

  /** Takes what Python sent. Its step counts for another sentence, or if it is news: not one that it was just told. */
  show(data, setStateValue) {
    this.setStateValue = setStateValue;
    const { header, arrays } = unpack(data);
    if (header.version === this.header?.version) return;
    const before = this.header;
    const same = before?.id === header.id;
    const echo = this.told.indexOf(header.step);
    if (!same) this.told = [];
    else if (echo >= 0) this.told.splice(0, echo + 1);
    if (!same || (echo < 0 && header.step !== before.step)) {
      this.pause();
      clearTimeout(this.timer);
      this.step = header.step;
    }
    if (header.numbers !== before?.numbers) this.numbers = header.numbers;
    if (!same) this.pointed = -1;
    const drawn = ({ version, step, numbers, ...content }) => JSON.stringify(content);
    const sameArrays = () => Object.keys(arrays).every((name) => arrays[name].every((n, i) => Object.is(n, this.arrays[name][i])));
    const known = same && drawn(before) === drawn(header) && sameArrays();
    Object.assign(this, { header, arrays });
    if (known) return this.update();
    this.shades = signedPalette(header.diverging);
    dress(this.root, header);
    this.build();
    this.arrange();
    this.reveal();
  }

  close() {
    this.pause();
    clearTimeout(this.timer);
    this.resized.disconnect();
    this.calm.removeEventListener("change", this.oncalm);
  }

  get last() {
    return this.header.read.length - 1;
  }

  // ---- the page's elements -----------------------------------------------------------------------------------------------

  build() {
    this.place = null;
    this.numbersBox = make("input", { type: "checkbox", onchange: () => ((this.numbers = this.numbersBox.checked), this.update()) });
    this.label = make("strong");
    this.details = make("span");
    this.root.replaceChildren(
      this.buildTransport(),
      make("div", { class: "status", role: "status", "aria-live": "polite", "aria-atomic": "true" }, [this.label, this.details]),
      this.buildOutput(),
      this.buildFigure(),
      this.buildLegend(),
    );
  }

  buildTransport() {
    const button = (kind, name, key, onclick, children = []) =>
      make("button", { type: "button", class: `quiet ${kind}`, "aria-label": name, title: `${name} (${key})`, onclick }, [make("span", { class: `icon ${kind}`, "aria-hidden": "true" }), ...children]);
    this.back = button("back", "Step back", "left arrow key", () => this.go(this.step - 1));
    this.playText = make("span");
    this.playButton = button("play", PLAY, "Space", () => this.toggle(), [this.playText]);
    this.forward = button("forward", "Step forward", "right arrow key", () => this.go(this.step + 1));
    this.slider = make("input", { type: "range", min: 0, max: this.last, step: 1, "aria-label": "Step", oninput: () => this.go(+this.slider.value) });
    return make("div", { class: "bar transport", role: "group", "aria-label": "Steps of the decoder" }, [
      this.back, this.playButton, this.forward, this.slider,
      make("label", { class: "check" }, [this.numbersBox, "numbers"]),
      saveButtons((format) => this.save(format)),
    ]);
  }

  /** The output so far; what is still to come is there too, and paler. */
  buildOutput() {
    this.words = this.header.predicted.map(({ label, title, special }, step) =>
      make("button", { type: "button", class: special ? "word special" : "word", "data-stop": true, title: `step ${step + 1}: ${title}`, onclick: () => this.go(step) }, [make("bdi", { text: label })]));
    this.output = make("div", { class: "output", role: "group", "aria-label": "Output, word by word" }, this.words);
    arrows(this.output, this.words, { back: "ArrowLeft", forward: "ArrowRight", go: (step) => this.go(step) });
    return this.output;
  }

  buildFigure() {
    this.canvas = make("canvas", { role: "img" });
    this.room = make("div", { class: "room" });
    this.scroll = make("div", {
      class: "scroll", tabindex: -1, onscroll: () => this.draw(),
      onpointermove: (event) => this.point(this.under(event)),
      onpointerdown: (event) => this.point(this.under(event)),
      onpointerleave: (event) => event.pointerType === "mouse" && this.point(-1),
    }, [this.room]);
    const name = "Decoder at work: arrow keys left and right step, up and down choose a source token, Space plays";
    this.figure = make("div", { class: "figure", tabindex: 0, role: "group", "aria-label": name }, [this.canvas, this.scroll]);
    this.resized.disconnect();
    this.resized.observe(this.figure);
    return this.figure;
  }

  buildLegend() {
    const ramp = make("span", { class: "ramp", style: `background: linear-gradient(to right, ${this.header.diverging.join(", ")})` });
    return make("div", { class: "legend" }, [
      make("span", { class: "scale" }, [make("span", { text: "−" }), ramp, make("span", { text: "+" })]),
      ...this.legend().map((text) => make("span", { text })),
    ]);
  }

  // ---- showing it --------------------------------------------------------------------------------------------------------

  update() {
    const [label, details] = [this.stepLabel(), this.stepDetails()];
    this.slider.value = this.step;
    this.slider.setAttribute("aria-valuetext", label);
    this.numbersBox.checked = this.numbers;
    this.back.disabled = this.step === 0;
    this.forward.disabled = this.step === this.last;
    const name = this.playing ? "Pause" : PLAY;
    this.playText.textContent = name;
    this.playButton.setAttribute("aria-label", name);
    this.playButton.disabled = this.calm.matches;
    this.playButton.title = this.calm.matches ? NO_MOTION : `${name} (Space)`;
    this.playButton.firstChild.className = `icon ${name.toLowerCase()}`;
    if (this.label.textContent !== label) this.label.textContent = label;
    if (this.details.textContent !== details) this.details.textContent = details;
    this.canvas.setAttribute("aria-label", `${label}. ${details}`);
    this.words.forEach((word, step) => {
      word.classList.toggle("coming", step > this.step);
      word.tabIndex = step === this.step ? 0 : -1;
      if (step === this.step) word.setAttribute("aria-current", "step");
      else word.removeAttribute("aria-current");
    });
    this.draw();
  }

  // ---- what the reader does ----------------------------------------------------------------------------------------------

  /** Goes to a step, as far as there are any; by hand, playing ends. */
  go(step, { played = false } = {}) {
    if (!played) this.pause();
    this.step = Math.max(0, Math.min(step, this.last));
    this.update();
    this.reveal();
    this.settle();
  }

  toggle() {
    if (this.playing) return this.pause();
    if (this.calm.matches) return;
    const on = () => {
      if (!this.root.isConnected) return this.pause();
      this.go(this.step + 1, { played: true });
      if (this.step === this.last) this.pause();
    };
    this.playing = setInterval(on, PACE);
    if (this.step === this.last) this.go(0, { played: true });
    this.update();
  }

  pause() {
    if (!this.playing) return;
    clearInterval(this.playing);
    this.playing = null;
    this.update();
    this.settle();
  }

  /** Tells the server once the reader has settled. Nothing on the screen waits for it. */
  settle() {
    clearTimeout(this.timer);
    if (this.playing) return;
    this.timer = setTimeout(() => {
      const known = this.told.at(-1) ?? this.header.step;
      if (this.step === known) return;
      this.told.push(this.step);
      this.setStateValue("step", { step: this.step, id: this.header.id });
    }, SETTLED);
  }

  /** The source token under the pointer, −1 for none. */
  under({ clientX }) {
    if (!this.place) return -1;
    const x = clientX - this.figure.getBoundingClientRect().left;
    return this.lefts(this.place, this.scroll.scrollLeft).findIndex((left, s) => x >= left && x < left + this.place.widths[s]);
  }

  /** Asks about a source token; about none for −1. */
  point(s) {
    if (s === this.pointed) return;
    this.pointed = s;
    this.update();
  }

  /** The same by keyboard. */
  walk(by) {
    const count = this.header.source.length;
    this.point(this.pointed < 0 ? (by > 0 ? 0 : count - 1) : Math.max(0, Math.min(this.pointed + by, count - 1)));
    this.bring(this.pointed);
  }

  /** Keeps the word that is made and the source token that counts most in sight. */
  reveal() {
    const { offsetTop: top, offsetHeight } = this.words[this.step];
    const { output } = this;
    if (top < output.scrollTop || top + offsetHeight > output.scrollTop + output.clientHeight) output.scrollTop = top - output.clientHeight / 2;
    if (!this.looks || this.pointed >= 0) return;
    const weights = [...this.header.source.keys()].map((s) => this.weight(s));
    this.bring(weights.indexOf(Math.max(...weights)));
  }

  /** Scrolls a source token into its box. */
  bring(s) {
    if (!this.place || !this.header.source[s]) return;
    const { source, widths } = this.place;
    const left = this.lefts(this.place, this.scroll.scrollLeft)[s];
    if (left >= source.x && left + widths[s] <= source.x + source.width) return;
    const by = left - source.x - (source.width - widths[s]) / 2;
    const far = Math.abs(by) > source.width; // a long way would only blur past
    this.scroll.scrollTo({ left: this.scroll.scrollLeft + by, behavior: this.calm.matches || far ? "instant" : "smooth" });
  }

  /** Keys that work anywhere in the component, but for what has its own use of them. */
  shortcut(event) {
    const { target, key } = event;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (target.matches("input") && (target !== this.slider || key !== " ")) return;
    if (key === " " && !target.matches("button")) this.toggle();
    else if (key === "ArrowLeft") this.go(this.step - 1);
    else if (key === "ArrowRight") this.go(this.step + 1);
    else if (key === "Home") this.go(0);
    else if (key === "End") this.go(this.last);
    else if (key === "ArrowUp" && target === this.figure) this.walk(-1);
    else if (key === "ArrowDown" && target === this.figure) this.walk(1);
    else if (key === "Escape" && this.pointed >= 0) this.point(-1);
    else return;
    event.preventDefault();
  }
}

export default function render({ data, parentElement, setStateValue }) {
  mount(parentElement, () => new Steps(parentElement)).show(data, setStateValue);
  return () => unmount(parentElement);
}
