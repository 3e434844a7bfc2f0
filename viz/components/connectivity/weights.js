// What a panel knows of its text: the influences on each position, its suggestions and its words. Positions count from 0.

const quoted = (text) => `“${isolated(text)}”`;
const share = (part) => (part > 0 && part < 0.005 ? "<1 %" : percent(part));

class ConnectedRows {
  get length() {
    return this.header.text.length;
  }

  /** The influences on a position, of the characters up to it: whole numbers, `levels` for the largest. */
  row(position) {
    const before = (position * (position + 1)) / 2;
    return this.arrays.influence.subarray(before, before + position + 1);
  }

  /** A word at a position, "" for none: of "desired" or "targets". */
  word(kind, position) {
    return this.header.words[this.arrays[kind][position]];
  }

  suggestions(position) {
    const { words, suggested } = this.header;
    return Array.from({ length: suggested }, (_, rank) => position * suggested + rank)
      .map((at) => [words[this.arrays.suggestions[at]], this.arrays.probabilities[at]])
      .filter(([word]) => word);
  }

  /** The first character that can have reached a position. */
  reach(position) {
    return this.arrays.first[position];
  }

  /** Where a position's word begins: at the space before it. */
  wordStart(position) {
    return Math.max(0, this.header.text.lastIndexOf(" ", position));
  }

  /** The position one word on or back; back from within a word is its beginning. */
  wordBeside(position, by) {
    if (by < 0) return this.wordStart(position) < position ? this.wordStart(position) : this.wordStart(Math.max(0, position - 1));
    const next = this.header.text.indexOf(" ", position + 1);
    return next < 0 ? this.length - 1 : next;
  }

  /** What of its word a position has read: "…gram"; at a space, which tells nothing of the word after it, the one before. */
  read(position) {
    const { text } = this.header;
    const space = text[position] === " ";
    const start = space && position ? this.wordStart(position - 1) : this.wordStart(position);
    const letters = text.slice(start, position + 1).trim();
    return `${start ? "…" : ""}${letters}${space ? "␣" : ""}`;
  }

  /** Why a position has no word: it may be one that its text does not finish. */
  missing(position) {
    const last = this.header.text.indexOf(" ", position + 1) < 0;
    return `outside the vocabulary${last ? " or unfinished" : ""}`;
  }

  named(position) {
    const letter = this.header.text[position];
    return letter === " " ? "the space" : quoted(letter);
  }

  /** What the shading says, or why there is none; of one earlier character where `pointed` is not −1. Files have no hints. */
  caption(position, pinned, pointed, hints = true) {
    if (position < 0) return hints ? "Point at a character to see what its suggestion rests on; click to pin it." : "";
    const target = this.word("targets", position);
    const place = `${position + 1}`;
    if (!target) return `no target here: the word is ${this.missing(position)}`;
    const far = this.reach(position);
    const influence = this.row(position);
    if (pointed >= 0 && pointed <= position) {
      const what = `influence of ${this.named(pointed)} at ${pointed + 1} on ${quoted(target)} at ${place}`;
      if (pointed < far) return `${what}: none, ${this.tooFar()}`;
      const part = influence[pointed] / this.header.levels;
      return `${what}: ${part < 0.005 ? "<1 %" : percent(part)} of the row's largest`;
    }
    const parts = [`${pinned && hints ? "pinned: " : ""}influence of each character on ${quoted(target)} at ${place}`];
    if (!influence.some(Boolean)) parts.push("none has any");
    else if (hints) parts.push(pinned ? "point at an earlier one to read its share" : "click to pin");
    if (far) parts.push(`hatched: ${this.tooFar()}`);
    return parts.join(" · ");
  }

  tooFar() {
    return `too far back, ${count(this.header.window, "character")} at most are read`;
  }
}
