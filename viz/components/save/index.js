// Two buttons that save the Plotly figure of a container as it is drawn. Python puts shared.js in front of this text.

const SVG = "http://www.w3.org/2000/svg";
const XLINK = "http://www.w3.org/1999/xlink";

/** The figure of the container with this key, or null. */
function figureIn(container) {
  const name = container.trim().replace(/[^a-zA-Z0-9_-]/g, "-"); // as Streamlit makes a class name of a key
  return document.querySelector(`.st-key-${CSS.escape(name)} .js-plotly-plot`);
}

/** The colour behind the figure. */
function paperOf(layer) {
  const colour = getComputedStyle(layer).backgroundColor;
  const clear = !colour || colour === "transparent" || /,\s*0\)$/.test(colour);
  return clear ? getComputedStyle(document.body).backgroundColor : colour;
}

/** Makes a copied layer independent of the page: no hover, no drag areas, no style sheets, no addresses. */
function cleaned(layer) {
  const copy = layer.cloneNode(true);
  for (const gone of copy.querySelectorAll(".hoverlayer, .draglayer, .zoomlayer")) gone.remove();
  for (const text of copy.querySelectorAll("text")) {
    text.removeAttribute("data-unformatted");
    text.removeAttribute("data-math");
    if (text.style.visibility === "hidden" || text.style.display === "none") text.remove();
  }
  for (const crisp of copy.querySelectorAll(".crisp")) crisp.setAttribute("shape-rendering", "crispEdges");
  // Under a <base> address Plotly writes references with that address: url(http://…#clip).
  for (const element of copy.querySelectorAll("*")) {
    for (const { name, value } of [...element.attributes]) {
      if (value.includes("url(")) element.setAttribute(name, value.replace(/url\((["']?)[^#"')]*#/g, "url($1#"));
    }
  }
  return copy;
}

/** The figure's layers as one SVG element that needs nothing else; its size is that on the page. */
function standalone(figure) {
  const layers = [...figure.querySelectorAll("svg.main-svg")];
  if (!layers.length) return null;
  const [width, height] = ["width", "height"].map(
    (side) => parseFloat(layers[0].getAttribute(side)) || layers[0].getBoundingClientRect()[side],
  );
  const picture = document.createElementNS(SVG, "svg");
  picture.setAttributeNS("http://www.w3.org/2000/xmlns/", "xmlns:xlink", XLINK);
  const paper = document.createElementNS(SVG, "rect");
  for (const element of [picture, paper]) {
    element.setAttribute("width", width);
    element.setAttribute("height", height);
  }
  picture.setAttribute("viewBox", `0 0 ${width} ${height}`);
  paper.setAttribute("fill", paperOf(layers[0]));
  picture.append(paper);
  for (const layer of layers) picture.append(...cleaned(layer).childNodes);
  const text = new XMLSerializer().serializeToString(picture);
  // Characters that XML 1.0 does not allow at all would make the whole file unreadable.
  return { text: text.replace(/[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]/g, "\ufffd"), width, height };
}

/** The picture as PNG, each of its pixels two or more of the file's, or null where the browser cannot. */
async function rasterised({ text, width, height }) {
  const zoom = Math.min(Math.max(2, window.devicePixelRatio || 1), LONGEST / Math.max(width, height));
  const address = URL.createObjectURL(new Blob([text], { type: "image/svg+xml" }));
  try {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = make("canvas", { width: Math.round(width * zoom), height: Math.round(height * zoom) });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    return await new Promise((resolve) => canvas.toBlob(resolve, "image/png"));
  } finally {
    URL.revokeObjectURL(address);
  }
}

/** Saves the figure; returns what to tell the reader, "" where the file says it all. */
async function savePlot({ container, name }, format) {
  const figure = figureIn(container);
  const picture = figure && standalone(figure);
  if (!picture) return "There is no figure to save yet.";
  if (format === "svg") {
    download(new Blob([picture.text], { type: "image/svg+xml" }), `${name}.svg`);
    return "";
  }
  const blob = await rasterised(picture).catch(() => null);
  if (!blob) return "This browser could not draw the PNG. Save the SVG instead.";
  download(blob, `${name}.png`);
  return "";
}

/** The buttons and the place for a message, built once; `place.data` is what Python sent last. */
function built(parentElement) {
  const place = { data: null };
  const said = make("span", { class: "said", role: "status" });
  const buttons = saveButtons(async (format) => {
    said.textContent = ""; // the same message again is a new one
    said.textContent = await savePlot(place.data, format);
  });
  for (const button of buttons.querySelectorAll("button")) button.setAttribute("aria-label", button.title);
  parentElement.append(make("div", { class: "place" }, [buttons, said]));
  return place;
}

export default function ({ data, parentElement }) {
  mount(parentElement, () => built(parentElement)).data = data;
}
