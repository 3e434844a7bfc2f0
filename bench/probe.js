// What the benchmark of diagrams puts into a page before the page's own scripts: when a diagram is painted, when
// pointing at it has shown, and how many elements there are. Python puts the diagram's name and shape in.

(() => {
  const frames = (n, then) => (n ? requestAnimationFrame(() => frames(n - 1, then)) : then());
  const shadows = () => [...document.querySelectorAll("*")].flatMap((e) => e.shadowRoot ?? []);
  const middles = (elements) => [...elements].map((e) => e.getBoundingClientRect()).map((b) => [b.x + b.width / 2, b.y + b.height / 2]);
  const inked = (canvas) => {
    const { width, height } = canvas;
    return canvas.getContext("2d").getImageData(0, 0, width, height).data.some((value) => value);
  };
  let root = document; // the component's own, once it is there

  /** Whether one of a kind's targets is there without scrolling. */
  const visible = ([x, y]) => root.elementFromPoint(x, y)?.closest(kind.target);
  const ours = (selector) => {
    if (root !== document && !root.host.isConnected) root = document;
    if (root === document) root = shadows().find((shadow) => shadow.querySelector(selector)) ?? document;
    return root.querySelector(selector);
  };
  // ready: there, checked on every frame; inked: not blank, checked afterwards; target: what holds the points; points:
  // middles of what can be pointed at; shows: whether the display has changed to the i-th of them; path: their order.
  const kinds = {
    lines: {
      target: ".token",
      ready: () => ours(".lines canvas.under")?.style.height,
      inked: () => inked(ours(".lines canvas.under")),
      points: () => middles(root.querySelectorAll(".column.query .token")),
      shows: (i) => root.querySelector(`.column.query .token[data-i="${i}"]`).classList.contains("picked"),
    },
    "head view": {
      target: "#left",
      ready: () => document.querySelector("#attention line"),
      inked: () => document.querySelectorAll("#attention line").length > 0,
      points: () => middles(document.querySelectorAll("#left .background")),
      shows: (i) => document.querySelectorAll("#left .background")[i].style.opacity === "1",
    },
    grid: {
      target: ".sheet",
      ready: () => ours(".grid .sheet canvas")?.style.height,
      inked: () => inked(ours(".grid .sheet canvas")),
      points: () => {
        const box = root.querySelector(".sheet").getBoundingClientRect();
        const [rows, columns] = SHAPE;
        const at = (i) => [box.x + ((i % columns) + 0.5) * (box.width / columns), box.y + (Math.floor(i / columns) + 0.5) * (box.height / rows)];
        return Array.from({ length: rows * columns }, (_, i) => at(i));
      },
      shows: (i) => {
        const panel = root.querySelector(".preview");
        const [, columns] = SHAPE;
        const name = `layer ${Math.floor(i / columns) + 1}, head ${(i % columns) + 1}`;
        return !panel.hidden && panel.querySelector(".title").textContent === name;
      },
    },
    "model view": {
      target: "#vis svg",
      ready: () => document.querySelector("#vis svg line"),
      inked: () => document.querySelectorAll("#vis svg line").length > 0,
      points: () => middles(document.querySelectorAll(".attn_background")),
      // Leftwards in the first row: a click opens a panel that covers what is on the right, or else on the left.
      path: (points) => {
        const [, columns] = SHAPE;
        const right = document.querySelector("#vis svg").getBoundingClientRect().right;
        return points.filter(([i, x]) => i < columns && x + 400 < right).reverse();
      },
      shows: (i) => {
        const [, columns] = SHAPE;
        return document.querySelector("text.detail")?.textContent === `Layer ${Math.floor(i / columns)}, Head ${i % columns}`;
      },
    },
  };
  const SHAPE = [LAYERS, HEADS];
  const kind = kinds["KIND"];

  const bench = (window.bench = {
    painted: null,
    shown: null,
    error: null,
    /** Notes when the diagram is painted, in milliseconds after `start`. */
    watch(start) {
      bench.painted = null;
      const check = () => {
        if (!kind.ready()) requestAnimationFrame(check);
        else frames(2, () => (bench.painted = performance.now() - start));
      };
      requestAnimationFrame(check);
    },
    /** Notes the same after the next click. */
    watchClick() {
      document.addEventListener("click", (event) => bench.watch(event.timeStamp), { once: true, capture: true });
    },
    inked: () => kind.inked(),
    /** Numbers and places to point at in turn, those in sight without scrolling; back and forth unless `kind` says how. */
    path() {
      const points = kind.points().map((point, i) => [i, ...point]).filter(([, ...point]) => visible(point));
      return kind.path ? kind.path(points) : [...points, ...points.slice(1, -1).reverse()];
    },
    /** Notes how long after the next event of a type the display has changed to point i; all handlers ran by then. */
    watchPoint(i, type) {
      bench.shown = null;
      const noticed = (event) => {
        const check = () => {
          if (!kind.shows(i)) requestAnimationFrame(check);
          else frames(2, () => (bench.shown = performance.now() - event.timeStamp));
        };
        check();
      };
      window.addEventListener(type, noticed, { once: true });
    },
    /** Elements of the page, those in open shadow roots included. */
    nodes(from = document) {
      const all = [...from.querySelectorAll("*")];
      return all.reduce((sum, e) => sum + (e.shadowRoot ? bench.nodes(e.shadowRoot) : 0), all.length);
    },
  });
  const harmless = /^ResizeObserver loop/; // a size that changed once more within a frame
  addEventListener("error", ({ message }) => harmless.test(message) || (bench.error ??= message || "a script did not load"), true);
  addEventListener("unhandledrejection", (event) => (bench.error ??= String(event.reason)));
  bench.watch(0);
})();
