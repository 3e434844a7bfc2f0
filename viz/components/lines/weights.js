// The weights of the line diagram: which of them are lines, and what they sum to.

const MOST_LINES = 30_000; // drawn at once; the strongest are kept and the count says so

class LineWeights {
  get size() {
    return [this.header.tokens.query.length, this.header.tokens.key.length];
  }

  /** Where the weights of a head of the shown layer start; null where the layer was not sent. */
  base(head) {
    const [Q, K] = this.size;
    const layer = this.state.layer - this.header.first_layer;
    if (layer < 0 || layer >= this.header.layers_sent) return null;
    return (layer * this.header.heads.length + head) * Q * K;
  }

  get loaded() {
    return this.base(0) !== null;
  }

  weight(head, query, key) {
    const base = this.base(head);
    return base === null ? 0 : this.weights[base + query * this.size[1] + key] / this.header.levels;
  }

  get heads() {
    return [...this.state.heads].sort((a, b) => a - b);
  }

  /** The least level that gets a line, for each shown head and row. */
  cuts() {
    const { by, least, mass, layer } = this.state;
    const { levels, version } = this.header;
    const name = [version, layer, this.heads, by, least, mass].join();
    if (name === this.cutsName) return this.cutsFound;
    const [Q, K] = this.size;
    this.cutsName = name;
    this.cutsFound = new Map();
    for (const head of this.heads) {
      const cut = new Float64Array(Q).fill(Math.max(least * levels - 0.5, 1e-9));
      if (by === "mass" && this.loaded) {
        for (let q = 0; q < Q; q++) {
          const start = this.base(head) + q * K;
          const row = this.weights.slice(start, start + K).sort();
          const wanted = mass * row.reduce((sum, level) => sum + level, 0);
          let reached = 0;
          let i = K;
          while (i > 0 && reached < wanted) reached += row[--i];
          cut[q] = Math.max(i < K ? row[i] : levels + 1, 1e-9);
        }
      }
      this.cutsFound.set(head, cut);
    }
    return this.cutsFound;
  }

  /** Lines of the shown heads between given rows and columns (null: all), weakest first, the strongest `most`. */
  edges(rows, columns, most = MOST_LINES) {
    const [Q, K] = this.size;
    const found = { query: [], key: [], head: [], level: [], candidates: 0, mass: 0, total: 0 };
    if (!this.loaded) return found;
    const cuts = this.cuts();
    const all = (n) => Array.from({ length: n }, (_, i) => i);
    const [someRows, someColumns] = [rows ? [...rows] : all(Q), columns ? [...columns] : all(K)];
    const histogram = new Uint32Array(this.header.levels + 2);
    const visit = (line) => {
      for (const head of this.heads) {
        const cut = cuts.get(head);
        const base = this.base(head);
        for (const q of someRows) {
          for (const k of someColumns) {
            const level = this.weights[base + q * K + k];
            line(q, k, head, level, level > 0 && level >= cut[q]);
          }
        }
      }
    };
    visit((q, k, head, level, drawn) => {
      found.total += level;
      if (drawn) histogram[level]++;
    });
    let floor = this.header.levels + 1;
    let kept = 0;
    while (floor > 1 && kept + histogram[floor - 1] <= most) kept += histogram[--floor];
    found.candidates = histogram.reduce((sum, n) => sum + n, 0);
    const places = new Uint32Array(this.header.levels + 2); // counting sort: weak lines first, strong ones on top
    for (let level = floor, at = 0; level <= this.header.levels; at += histogram[level++]) places[level] = at;
    for (const field of ["query", "key", "head", "level"]) found[field] = new Uint32Array(kept);
    visit((q, k, head, level, drawn) => {
      if (!drawn || level < floor) return;
      const at = places[level]++;
      found.query[at] = q;
      found.key[at] = k;
      found.head[at] = head;
      found.level[at] = level;
      found.mass += level;
    });
    return found;
  }

  /** What is picked: rows and columns, each null where nothing is. Pointing counts before pins on its own side. */
  picked() {
    const { query, key } = this.state;
    const picked = { query: query.size ? query : null, key: key.size ? key : null };
    if (this.hover && this.hover.i < this.header.tokens[this.hover.side].length) {
      picked[this.hover.side] = new Set([this.hover.i]);
    }
    return picked;
  }

  /** Several numbers of one row (side "key") or column (side "query") as one: attention adds up, gradients do not. */
  pool(side, numbers) {
    const how = side === "key" ? this.header.wording.columns : this.header.wording.rows;
    if (how === "max") return Math.max(...numbers);
    if (how === "norm") return Math.hypot(...numbers);
    return numbers.reduce((sum, x) => sum + x, 0);
  }

  /** For each token of a side, for each shown head: its weights with what is picked on the other side, as one. */
  sums(side, picked) {
    const others = side === "key" ? picked.query : picked.key;
    const own = side === "key" ? picked.key : picked.query;
    if (!others) return null;
    return this.header.tokens[side].map((_, i) => {
      if (own && !own.has(i)) return null;
      return this.heads.map((head) =>
        this.pool(side === "key" ? "query" : "key", [...others].map((j) => (side === "key" ? this.weight(head, j, i) : this.weight(head, i, j)))),
      );
    });
  }
}
