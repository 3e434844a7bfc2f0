// The weights of aligned panels: what is marked in each when one is pointed at, and what is said of it.

const NAMED = 3; // words that a sentence names
const WORTH_NAMING = 0.005;
const NOTHING = Object.freeze({ source: null, row: null });

class AlignmentWeights {
  /** Takes the panels from what Python sent: each with its rows and `weight(row, source)`. */
  take(header, weights) {
    const columns = header.source.length;
    let from = 0;
    this.header = header;
    this.panels = header.panels.map((panel) => {
      const start = from;
      if (panel.map) from += panel.rows.length * columns;
      return { ...panel, weight: (row, source) => (panel.map ? weights[start + row * columns + source] / header.levels : 0) };
    });
  }

  /** Whether a pick (source, row, panel) or a pin is there. */
  there(pick) {
    const panel = pick && this.panels[pick.panel];
    if (!panel || (pick.source === null && pick.row === null)) return false;
    return (pick.row === null || pick.row < panel.rows.length) && (pick.source === null || pick.source < this.header.source.length);
  }

  /** What a pick marks in a panel: source words everywhere, a row where rows are the same, else in its own panel. */
  linked(pick, panel) {
    if (!this.there(pick)) return NOTHING;
    const row = (panel === pick.panel || this.header.same_rows) && this.panels[panel].rows.length ? pick.row : null;
    return { source: this.panels[panel].map ? pick.source : null, row };
  }

  /** The weights of a picked row or column of a panel, to shade the words at the other side; none for a cell. */
  shares(panel, { source, row }) {
    const { rows, weight } = this.panels[panel];
    if (row !== null && source === null) return { source: this.header.source.map((_, k) => weight(row, k)) };
    if (source !== null && row === null) return { row: rows.map((_, at) => weight(at, source)) };
    return {};
  }

  /** Labels and weights of the most looked-at source words of a row, or of the rows that look most at a source word. */
  best(panel, { source, row }) {
    const { rows, weight } = this.panels[panel];
    const all = row === null ? rows.map(({ label }, at) => [label, weight(at, source)]) : this.header.source.map(({ label }, k) => [label, weight(row, k)]);
    return all.sort(([, one], [, other]) => other - one).slice(0, NAMED).filter(([, weight]) => weight >= WORTH_NAMING);
  }

  /** "Area 71 %, Economic 12 %". */
  listed(found) {
    return found.map(([label, weight]) => `${isolated(label)} ${percent(weight)}`).join(", ") || "nothing much";
  }

  /** The panels with a map that a pick speaks of, by number, its own first. */
  spokenOf({ panel, row }) {
    const all = [panel, ...this.panels.keys()].filter((one, i, list) => list.indexOf(one) === i && this.panels[one].map);
    return row === null || this.header.same_rows ? all : all.filter((one) => one === panel);
  }

  /** What is said of a pick: 'output word “zone” looks at: Area 71 %, Economic 12 %', and what other panels have there. */
  sentence(pick) {
    const { source, row, panel } = pick;
    const { wording } = this.header;
    const own = this.panels[panel];
    const others = this.spokenOf(pick).filter((one) => one !== panel);
    const named = this.panels.length > 1 ? `${isolated(own.name)} · ` : "";
    const column = source === null ? "" : `“${isolated(this.header.source[source].label)}”`;
    const also = (say) => (others.length ? ` · ${others.map((one) => `${isolated(this.panels[one].name)}: ${say(one)}`).join(" · ")}` : "");
    if (row === null) {
      const mine = own.map ? `: ${this.listed(this.best(panel, pick))}` : "";
      return `${named}source word ${column} ${wording.looked}${mine}${also((one) => this.listed(this.best(one, pick).slice(0, 1)))}`;
    }
    const word = `${named}output word “${isolated(own.rows[row].label)}”`;
    const best = (one) => this.listed(this.best(one, { row, source: null }).slice(0, 1));
    if (!own.map) return `${word} · ${isolated(own.note)}${also(best)}`;
    const looks = `${word} ${wording.looks}: ${this.listed(this.best(panel, { row, source: null }))}`;
    if (source === null) return `${looks}${also(best)}`;
    return `${looks} · at ${column}: ${percent(own.weight(row, source))}${also((one) => percent(this.panels[one].weight(row, source)))}`;
  }

  /** The tip's title and, for each panel that a pick speaks of, its name, a word where one is the best, and a weight. */
  facts(pick) {
    const { source, row, panel } = pick;
    const own = this.panels[panel];
    const column = source === null ? "" : this.header.source[source].title;
    const cell = row !== null && source !== null;
    const value = cell && own.map ? `: ${percent(own.weight(row, source))}` : "";
    const title = row === null ? column : `${own.rows[row].title}${value}`;
    const values = this.spokenOf(pick).sort((one, other) => one - other).map((one) => {
      const [[label, weight] = ["", 0]] = cell ? [["", this.panels[one].weight(row, source)]] : this.best(one, pick);
      return { own: one === panel, name: this.panels[one].name, label, weight };
    });
    return { title, at: cell ? `${this.header.wording.looks} ${column}` : "", values };
  }

  /** Whether rows can be compared, and what rows and columns are. */
  compared() {
    const lines = this.header.view === "lines";
    const axes = `${lines ? "Left" : "Rows"}: ${this.header.rows_are}; ${lines ? "right" : "columns"}: source token.`;
    if (this.panels.length < 2) return axes;
    const same = this.header.same_rows
      ? "All panels have the same output words, so that rows can be compared."
      : "Each panel has its own output words: only source words can be compared from panel to panel.";
    return `${same} ${axes}`;
  }
}
