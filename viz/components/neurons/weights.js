// The numbers of a row: what each dimension adds to each key's logit, in which order, and on which scale.

const MINUS = "\u2212";

/** A number in three digits with a real minus sign; 0 for what rounds to it. */
function digits(value) {
  if (!Number.isFinite(value)) return value > 0 ? "∞" : value < 0 ? `${MINUS}∞` : "–";
  const size = Math.abs(value);
  if (size < 5e-4) return "0";
  const text = size >= 999.5 ? Math.round(size).toLocaleString("en") : size >= 0.01 ? size.toPrecision(3) : size.toFixed(4);
  return (value < 0 ? MINUS : "") + text;
}

/** 255 colours in equal steps, mixed between the theme's: the middle one stands for 0. */
function signedPalette(shades) {
  const channel = (hex, c) => parseInt(hex.slice(c, c + 2), 16);
  return Array.from({ length: 255 }, (_, level) => {
    const place = (level / 254) * (shades.length - 1);
    const at = Math.min(Math.floor(place), shades.length - 2);
    const mixed = [1, 3, 5].map((c) => Math.round(channel(shades[at], c) + (channel(shades[at + 1], c) - channel(shades[at], c)) * (place - at)));
    return `#${mixed.map((part) => part.toString(16).padStart(2, "0")).join("")}`;
  });
}

class NeuronsWeights {
  /** Products and running sums of every listed key; scales are the same for all keys, so that keys can be compared. */
  compute() {
    const { query, keys, allowed } = this.arrays;
    const [width, total] = [query.length, allowed.length];
    this.width = width;
    this.products = new Float32Array(keys.length);
    this.scores = new Float32Array(total);
    const largest = { query: 0, key: 0, product: 0 };
    for (let d = 0; d < width; d++) largest.query = Math.max(largest.query, Math.abs(query[d]));
    for (let k = 0; k < total; k++) {
      let sum = 0;
      for (let d = 0; d < width; d++) {
        const product = query[d] * keys[k * width + d] * this.header.scaling;
        this.products[k * width + d] = product;
        sum += product;
        largest.key = Math.max(largest.key, Math.abs(keys[k * width + d]));
        largest.product = Math.max(largest.product, Math.abs(product));
      }
      this.scores[k] = sum;
    }
    this.largest = largest;
    this.sort();
  }

  /** The order of the dimensions: as they are, or the chosen key's largest contributions first. */
  sort() {
    this.order = Array.from({ length: this.width }, (_, d) => d);
    const size = (d) => Math.abs(this.product(this.key, d));
    if (this.sorted) this.order.sort((a, b) => size(b) - size(a) || a - b);
    this.sumRange = [0, 0];
    for (let k = 0; k < this.scores.length; k++) {
      for (const sum of this.running(k)) this.sumRange = [Math.min(this.sumRange[0], sum), Math.max(this.sumRange[1], sum)];
    }
  }

  product(k, d) {
    return this.products[k * this.width + d];
  }

  /** The sums of a key's products in the order shown. */
  running(k) {
    let sum = 0;
    return this.order.map((d) => (sum += this.product(k, d)));
  }

  shade(value, largest) {
    const share = largest ? value / largest : 0;
    return this.shades[127 + Math.round(127 * Math.max(-1, Math.min(share, 1)))];
  }

  /** "Σ q⊙k × 0.177 = 3.21, + bias 0.40 = logit 3.61 → softmax → weight 45.2 %". */
  equation(k) {
    const { bias, capped, logits, allowed } = this.arrays;
    const { has, weights, scaling } = this.header;
    const sum = `Σ q⊙k × ${digits(scaling)} = ${digits(this.scores[k])}`;
    if (!allowed[k]) return `${sum}, but masked: this position may not look there → weight 0 %`;
    const added = (name, value) => `, ${value < 0 ? MINUS : "+"} ${name} ${digits(Math.abs(value))}`;
    const more = `${has.bias ? added("bias", bias[k]) : ""}${has.cap ? added("cap", capped[k]) : ""}`;
    return `${sum}${more} = logit${more ? ` ${digits(logits[k])}` : ""} → softmax → weight ${weights[k]}`;
  }

  /** One dimension of one key, in words. */
  dimension(k, d) {
    const { query, keys } = this.arrays;
    const at = this.order.indexOf(d);
    const sum = this.running(k)[at];
    const product = `q ${digits(query[d])} × k ${digits(keys[k * this.width + d])} × ${digits(this.header.scaling)} = ${digits(this.product(k, d))}`;
    return [`dimension ${d + 1}`, product, `sum so far ${digits(sum)}`];
  }
}
