// The record of a search: its nodes, where they stand, what is shown of them at a moment, and its words.
// Moments count from 0, the empty prefix; then each step has two, "expand" and "keep"; the last one backtracks.

const LETTER = 15; // pixels of a label's type, times the scale
const FIGURES = 12; // of scores and log-probabilities
const PITCH = 47; // from one rank to the next
const BOX = 38; // height of a box
const INSIDE = 8; // from a box's edge to its text
const SIGNS = 17; // of the strip for signs inside a box
const CURVES = [34, 74]; // least and most width in which edges bend
const HEAD = 26; // of the steps' numbers, which stay on top
const TITLE = 30; // of a tree's title
const NOTE = 18; // of the line that says where greedy search leaves
const PAD = 10;
const SLACK = 2; // by which a pointer may miss a box
const LONGEST_TEXT = 180; // characters of the text so far in the readout; its end is kept

const minus = (value, digits) => value.toFixed(digits).replace(/^-(?=0\.?0*$)/, "").replace("-", "−");
const chance = (logprob) => {
  const share = 100 * Math.exp(logprob);
  return share < 0.05 ? "<0.1 %" : share > 99.95 && share < 100 ? ">99.9 %" : `${share.toFixed(1)} %`;
};
const quoted = (text) => `“${isolated(text)}”`;
const prefixes = (n) => `${n} ${n === 1 ? "prefix" : "prefixes"}`;
const within = (value, least, most) => Math.max(least, Math.min(most, value));

const ruler = make("canvas").getContext("2d");
function widthOf(text, font) {
  ruler.font = font;
  return ruler.measureText(text).width;
}

class BeamRecord {
  /** Takes the record apart: trees of nodes, each node with its parent, its children and its row. */
  read(header, arrays) {
    let first = 0;
    this.trees = header.trees.map((described, number) => {
      const tree = { ...described, number, nodes: [], steps: [], captions: [] };
      for (let i = 0; i < described.nodes; i++) tree.nodes.push(this.node(header, arrays, tree, first, i));
      first += described.nodes;
      for (const node of tree.nodes) (tree.steps[node.step] ??= []).push(node);
      tree.steps[0] = [];
      for (const nodes of tree.steps) this.order(nodes);
      for (const node of tree.nodes) node.children.sort((a, b) => a.row - b.row);
      tree.last = Math.max(0, tree.steps.length - 1);
      tree.best = tree.hypotheses.length ? this.path(tree.nodes[tree.hypotheses[0].node]) : [];
      tree.best.forEach((node, i) => (node.best = i + 1)); // from 1, its place on the path
      for (const i of tree.greedy) tree.nodes[i].greedy = true;
      for (const found of tree.hypotheses) tree.nodes[found.node].hypothesis = found;
      tree.sampled = tree.nodes.some((node) => node.count > 1);
      tree.total = (tree.steps[1] ?? []).reduce((sum, node) => sum + node.count, 0);
      tree.rows = { all: 1, few: 1 };
      for (const nodes of tree.steps) {
        tree.rows.all = Math.max(tree.rows.all, nodes.length);
        tree.rows.few = Math.max(tree.rows.few, nodes.filter((node) => node.state !== "pruned").length);
      }
      return tree;
    });
    this.last = Math.max(...this.trees.map((tree) => tree.last));
  }

  node(header, arrays, tree, first, i) {
    const at = first + i;
    const parent = arrays.parent[at] ? tree.nodes[arrays.parent[at] - 1] : null;
    const numbers = Object.fromEntries(["step", "count", "logprob", "score", "rank"].map((name) => [name, arrays[name][at]]));
    const node = { ...header.tokens[arrays.token[at]], ...numbers, tree, i, parent, children: [], row: 0, best: 0, greedy: false };
    node.state = header.states[arrays.state[at]];
    node.reason = header.reasons[arrays.reason[at]];
    node.score_text = minus(node.score, 2);
    node.logprob_text = minus(node.logprob, 2);
    parent?.children.push(node);
    return node;
  }

  /** Rows of a step: what lives on or has ended, by rank, then what was pruned, by rank. */
  order(nodes) {
    nodes.sort((a, b) => (a.state === "pruned") - (b.state === "pruned") || a.rank - b.rank || a.i - b.i);
    nodes.forEach((node, row) => (node.row = row));
  }

  path(node) {
    const nodes = [];
    for (let at = node; at; at = at.parent) nodes.unshift(at);
    return nodes;
  }

  // ---- moments --------------------------------------------------------------------------------------------------------

  get end() {
    return 2 * this.last + 1;
  }

  /** The moment of a view, as far as there is one. */
  momentOf({ step, phase }) {
    if (step < 0) return this.end;
    const shown = Math.min(step, this.last);
    return shown && 2 * shown - (phase === "expand" && step <= this.last ? 1 : 0);
  }

  viewOf(moment) {
    if (moment >= this.end) return { step: -1, phase: "keep" };
    return { step: Math.ceil(moment / 2), phase: moment % 2 ? "expand" : "keep" };
  }

  /** How many steps are shown at a moment. */
  shownAt(moment) {
    return Math.min(Math.ceil(moment / 2), this.last);
  }

  /** Whether a node's fate is not known yet: its step has just been computed. */
  undecided(node, moment) {
    return moment < this.end && moment % 2 === 1 && node.step === this.shownAt(moment) && node.state !== "forced";
  }

  seen(node, moment) {
    return node.step <= this.shownAt(moment) && (this.state.pruned || node.state !== "pruned");
  }

  // ---- words ----------------------------------------------------------------------------------------------------------

  /** What happens to one tree at a moment. */
  caption(tree, moment) {
    const step = this.shownAt(moment);
    if (moment >= this.end) return this.backtracking(tree);
    if (!step) return "Start: the empty prefix";
    if (step > tree.last) return `Ended at step ${tree.last}: ${tree.stopped}`;
    const nodes = tree.steps[step];
    const forced = nodes.filter((node) => node.state === "forced");
    if (forced.length) return `Step ${step}: ${forced.map((node) => quoted(node.title ?? node.label)).join(", ")} is forced`;
    const from = prefixes(step === 1 ? 1 : tree.steps[step - 1].filter((node) => node.state === "kept" || node.state === "forced").length);
    if (moment % 2) {
      const hidden = this.state.pruned ? 0 : nodes.filter((node) => node.state === "pruned").length;
      const aside = hidden ? `, ${hidden} of them hidden` : "";
      if (!tree.sampled) return `Step ${step}: ${from}, ${count(nodes.length, "candidate")} looked at${aside}`;
      const drawn = nodes.reduce((sum, node) => sum + node.count, 0);
      return `Step ${step}: ${from}, ${count(drawn, "token")} drawn, ${nodes.length} different`;
    }
    const of = (state) => nodes.filter((node) => node.state === state);
    const kept = of("kept").length;
    const live = tree.sampled
      ? `${prefixes(kept)} ${kept === 1 ? "goes" : "go"} on`
      : kept > 1 ? `the best ${kept} are kept` : kept ? "the best one is kept" : "none is kept";
    const parts = [live];
    if (of("pruned").length) parts.push(`${of("pruned").length} pruned`);
    const ended = [`Step ${step}: ${parts.join(", ")}`];
    for (const [state, word] of [["finished", "finished"], ["cut", "cut at the length limit"]]) {
      const texts = of(state).map((node) => quoted(node.hypothesis ? node.hypothesis.text : this.textOf(node)));
      if (texts.length) ended.push(`${texts.length} ${word}: ${texts.join(", ")}`);
    }
    return ended.join(" · ");
  }

  /** Whether nobody searched: a reader took the tokens, and none of them was ranked or kept. */
  taken(tree) {
    return !tree.stopped && !tree.hypotheses.length;
  }

  backtracking(tree) {
    const [best] = tree.hypotheses;
    if (this.taken(tree)) return "All steps";
    const stopped = `The ${tree.sampled ? "draw" : "search"} stopped: ${tree.stopped}.`;
    if (!best) return `${stopped} No hypothesis was finished`;
    const from = tree.sampled ? "most probable sample" : "best hypothesis";
    return `${stopped} Backtrack from the ${from}: ${quoted(best.text)}, final score ${minus(best.final, 3)}`;
  }

  /** The text up to a node: written out where every token's text is known, else its labels. */
  textOf(node) {
    const nodes = this.path(node).filter((one) => !one.special);
    const written = nodes.every((one) => one.piece !== undefined);
    const text = written ? nodes.map((one) => one.piece).join("").trim() : nodes.map((one) => one.title ?? one.label).join(" | ");
    return text.length > LONGEST_TEXT ? `…${text.slice(-LONGEST_TEXT)}` : text;
  }

  /** What became of a node, in words. */
  fate(node, moment) {
    if (this.undecided(node, moment)) return "not decided yet";
    const word = { finished: "finished", cut: "cut", kept: "kept", pruned: "pruned", forced: "forced" }[node.state];
    const found = node.hypothesis;
    const place = !found ? "" : found.rank < 0 ? "pushed out by better ones" : `hypothesis ${found.rank + 1}`;
    const final = found ? `final score ${minus(found.final, 3)}` : "";
    const reason = node.reason === word ? "" : node.reason;
    const said = [reason, place, final].filter(Boolean).join(", ");
    return said ? `${word}: ${said}` : word;
  }

  facts(node, moment) {
    const { tree } = node;
    const marks = [];
    if (tree.sampled) marks.push(`${node.count} of ${count(tree.total, "sample")}`);
    if (node.best && moment >= this.end) marks.push("on the best path");
    if (node.greedy) marks.push("on the greedy path");
    const sum = `${this.taken(tree) ? "sum so far" : "score"} ${minus(node.score, 3)}`;
    const numbers = [chance(node.logprob), `log-probability ${minus(node.logprob, 3)}`, sum];
    if (this.taken(tree)) return { name: quoted(node.title ?? node.label), numbers, place: [`step ${node.step}`], text: isolated(this.textOf(node)) };
    return {
      name: quoted(node.title ?? node.label),
      numbers,
      place: [`step ${node.step}`, `rank ${node.rank + 1}`, this.fate(node, moment), ...marks],
      text: isolated(this.textOf(node)),
    };
  }

  // ---- places ---------------------------------------------------------------------------------------------------------

  /** Where everything stands at a zoom: columns, trees and, in each node, x and y of its box's middle left. */
  layout(header, zoom, pruned) {
    const { scale } = header;
    const unit = scale * zoom;
    const columns = this.measured(header, pruned);
    const rows = Math.max(...this.trees.map((tree) => (pruned ? tree.rows.all : tree.rows.few)));
    const curve = within(CURVES[0] + 2.4 * rows, ...CURVES) * unit;
    const places = [{ x: PAD * scale, width: columns[0].width * unit, tail: 0 }];
    for (const { width, tail } of columns.slice(1)) {
      const { x, width: before } = places.at(-1);
      places.push({ x: x + before + curve + tail * unit, width: width * unit, tail: tail * unit });
    }
    let y = HEAD * scale;
    const bands = this.trees.map((tree) => {
      const note = this.noted(tree) ? NOTE * scale : 0;
      const top = y + TITLE * scale + note;
      const high = (pruned ? tree.rows.all : tree.rows.few) * PITCH * unit;
      const band = { tree, title: y + (TITLE * scale) / 2, note: y + TITLE * scale + note / 2, top, bottom: top + high };
      y = band.bottom + PAD * scale;
      return band;
    });
    const end = places.at(-1);
    const pen = scale * within(zoom, 0.5, 1); // of lines, thinner in a small tree
    return { zoom, pruned, unit, pen, columns: places, curve, bands, width: end.x + end.width + PAD * scale, height: y };
  }

  /** Whether a line over a tree says where greedy search leaves. */
  noted(tree) {
    return tree.left > 0 && tree.best.length > 0;
  }

  /** Widths of each step's boxes and of its log-probabilities, at a scale and a zoom of 1; measured once. */
  measured({ theme }, pruned) {
    this.widths ??= {};
    if (this.widths[pruned]) return this.widths[pruned];
    const columns = Array.from({ length: this.last + 1 }, () => ({ width: 46, tail: 0 }));
    for (const { nodes } of this.trees) {
      for (const node of nodes) {
        if (!pruned && node.state === "pruned") continue;
        const column = columns[node.step];
        const label = widthOf(node.label, `${node.special ? "italic " : ""}bold ${LETTER}px ${theme.font}`);
        const score = widthOf(this.scoreLine(node), `${FIGURES}px ${theme.font}`);
        column.width = Math.max(column.width, 2 * INSIDE + SIGNS + Math.ceil(Math.max(label, score)));
        column.tail = Math.max(column.tail, 11 + Math.ceil(widthOf(node.logprob_text, `${FIGURES - 1}px ${theme.font}`)));
      }
    }
    columns[0].width = 16 + Math.ceil(widthOf("start", `italic ${FIGURES}px ${theme.font}`));
    return (this.widths[pruned] = columns);
  }

  scoreLine(node) {
    return node.tree.sampled ? `${node.score_text} · ${node.count}×` : node.score_text;
  }

  boxOf(node, layout) {
    const column = layout.columns[node.step];
    const high = BOX * layout.unit;
    const y = layout.bands[node.tree.number].top + (node.row + 0.5) * PITCH * layout.unit;
    return { x: column.x, y: y - high / 2, width: column.width, height: high, middle: y };
  }

  /** The node at a place, within a few pixels. */
  nodeAt(x, y, layout) {
    for (const node of this.trees.flatMap((tree) => tree.nodes)) {
      const column = layout.columns[node.step];
      if (x < column.x - SLACK || x > column.x + column.width + SLACK || !this.seen(node, this.moment)) continue;
      const { middle, height } = this.boxOf(node, layout);
      if (Math.abs(y - middle) <= height / 2 + SLACK) return node;
    }
    return null;
  }
}
