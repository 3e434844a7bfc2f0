// The weights of the playback: the lines of each step.

const MOST_LINES = 12_000; // of one step; the strongest are kept

class PlaybackWeights {
  /** The weight in [0, 1] of one head of a layer, or of the mean of all layers for null. */
  weight(kind, layer, head, query, key) {
    const { layers, heads, queries, keys, levels } = this.header.maps[kind];
    const at = (l) => this.arrays[kind][((l * heads.length + head) * queries + query) * keys + key] / levels;
    if (layer !== null) return at(layer);
    return layers.reduce((sum, _, l) => sum + at(l), 0) / layers.length;
  }

  /** Lines of a step, weakest first: {kind, head, query, key, weight}. */
  edges(step) {
    const { layer, least, heads } = this.state;
    const name = [step, layer, least, ...heads].join();
    if (this.found.has(name)) return this.found.get(name);
    const found = [];
    if (step < this.layers) {
      for (let query = 0; query < this.header.maps.encoder.queries; query++) this.collect(found, "encoder", step, query);
    } else {
      for (const kind of ["cross", "decoder"]) this.collect(found, kind, layer, step - this.layers);
    }
    found.sort((a, b) => a.weight - b.weight);
    found.candidates = found.length;
    if (found.length > MOST_LINES) found.splice(0, found.length - MOST_LINES);
    this.found.set(name, found);
    return found;
  }

  collect(found, kind, layer, query) {
    const map = this.header.maps[kind];
    if (!map) return;
    const cut = this.state.least - 0.5 / map.levels; // weights were rounded on their way
    const keys = kind === "decoder" ? query + 1 : map.keys;
    for (const head of this.headsOf(kind)) {
      for (let key = 0; key < keys; key++) {
        const weight = this.weight(kind, layer, head, query, key);
        if (weight > 0 && weight >= cut) found.push({ kind, head, query, key, weight });
      }
    }
  }

  /** Whether a line belongs to the token pointed at. */
  touches({ kind, query, key }) {
    if (!this.pointed) return true;
    const { name, i } = this.pointed;
    if (kind === "encoder") return name === "b" ? query === i : name === "a" ? key === i : true;
    return name === "a" || (name === "c" && i === query + 1) || (name === (kind === "cross" ? "b" : "c") && key === i);
  }

  headsOf(kind) {
    return [...this.state.heads].filter((head) => head < this.header.maps[kind].heads.length).sort((a, b) => a - b);
  }

  /** What the decoding step looks at on one side: for each position the weight of each shown head; null without. */
  looks(kind) {
    const t = this.state.step - this.layers;
    const map = this.header.maps[kind];
    if (t < 0 || !map) return null;
    const keys = kind === "decoder" ? t + 1 : map.keys;
    return Array.from({ length: keys }, (_, key) => this.headsOf(kind).map((head) => [map.colours[head], this.weight(kind, this.state.layer, head, t, key)]));
  }
}
