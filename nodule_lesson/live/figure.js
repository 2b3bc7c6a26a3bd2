// What every live figure is made of: labelled controls, pixel fields, line plots, and the property
// `state`. live.py writes the root element with the controls' specification; `mount` brings it to
// life. Nothing here knows any mathematics of the lesson.

import { contour } from "./contour.js";
import { minus, pretty, ticks } from "./format.js";

// Colours between which values of a field are interpolated: names in figure.css, without --lf-.
const COLOUR_MAPS = {
  signed: ["negative", "zero", "positive"],
  share: ["low", "middle", "high"],
  pale: ["low", "middle"],
  grey: ["black", "white"],
};

// Call build(ui) for each root element of that name that is not yet alive. `build` lays out its
// views with ui.field, ui.plot and ui.readouts, then calls ui.run.
export function mount(name, build) {
  document.querySelectorAll(`[data-live-figure="${name}"]:not(.is-live)`).forEach((root) => {
    build(new Interface(root, name));
    root.classList.add("is-live");
  });
}

// The same for a figure that needs a file of its own, which is loaded when the reader asks for it:
// until then its still stands there with a button and a note. build(ui, given) gets what load gives;
// an error's message is shown, and the button stays.
export function mountOnClick(name, { button: text, note, load }, build) {
  document.querySelectorAll(`[data-live-figure="${name}"]:not(.is-live)`).forEach((root) => {
    const button = element("button", { type: "button" }, text);
    const said = element("span", { role: "status" }, note);
    const start = element("div", { class: "lf-foot lf-start" }, button, said);
    root.querySelector(".lf-still").after(start);
    button.addEventListener("click", async () => {
      const byKeyboard = button.matches(":focus-visible");
      button.disabled = true;
      said.textContent = "It is loading …";
      try {
        const given = await load();
        start.remove();
        build(new Interface(root, name), given);
        root.classList.add("is-live");
        if (byKeyboard) root.querySelector("select, input").focus();
      } catch (error) {
        said.textContent = error.message;
        button.disabled = false;
        throw error; // an error of ours belongs into the console as well
      }
    });
  });
}

// Load a script of this site, also from a folder, where browsers refuse to read files otherwise. Gives
// its element once it has run. The address is seen from the site's root.
export function loadScript(address) {
  const script = element("script", { src: `${document.documentElement.dataset.content_root ?? "../"}${address}` });
  return new Promise((resolve, reject) => {
    script.addEventListener("load", () => resolve(script));
    script.addEventListener("error", () => reject(new Error(`The file ${address} of this site did not arrive.`)));
    document.head.append(script);
  });
}

function element(tag, attributes = {}, ...children) {
  const node = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
  node.append(...children);
  return node;
}

// Counted on the document: every figure of a page comes with its own copy of this file.
function freshId() {
  document.liveFigureParts = (document.liveFigureParts ?? 0) + 1;
  return `live-figure-part-${document.liveFigureParts}`;
}

class Interface {
  constructor(root, name) {
    this.root = root;
    this.name = name;
    this.options = JSON.parse(root.dataset.options);
    this.defaults = {};
    this.controls = {};
    this.colours = {};
    this.views = root.appendChild(element("div", { class: "lf-views" }));
    this.panel = root.appendChild(element("div", { class: "lf-controls" }));
    this.foot = root.appendChild(element("div", { class: "lf-foot" }));
    root.prepend(this.views, this.panel, this.foot);
    for (const spec of JSON.parse(root.dataset.controls)) {
      this.defaults[spec.name] = spec.value;
      this.controls[spec.name] = spec.options ? this.choice(spec) : this.slider(spec);
      this.controls[spec.name].set(spec.value);
    }
    this.fromAddress();
    const reset = element("button", { type: "button" }, "Reset");
    reset.addEventListener("click", () => {
      Object.entries(this.defaults).forEach(([key, value]) => this.controls[key].set(value));
      this.onReset?.();
      this.update();
    });
    this.link = element("a", { class: "lf-link", href: "#" }, "Link to this setting");
    this.foot.append(reset, this.link);
    Object.defineProperty(root, "state", {
      get: () => ({ figure: name, parameters: this.parameters, ...this.result }),
    });
    // Colours of canvases are read from the page; draw again when the reader changes its theme.
    new MutationObserver(() => {
      this.colours = {};
      this.update();
    }).observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
  }

  get parameters() {
    return Object.fromEntries(
      Object.entries(this.controls).map(([key, control]) => [key, control.get()]));
  }

  // --- controls ---

  row(spec, input, ...more) {
    const id = freshId();
    input.id = id;
    // Else JupyterLab would handle the arrow keys itself.
    input.setAttribute("data-lm-suppress-shortcuts", "true");
    const head = element("div", { class: "lf-head" }, element("label", { for: id }, spec.label));
    if (spec.help) {
      const help = element("span", { class: "lf-help", id: `${id}-help` }, spec.help);
      input.setAttribute("aria-describedby", help.id);
      head.append(help);
    }
    this.panel.append(element("div", { class: "lf-control" }, head, input, ...more));
    input.addEventListener("input", () => this.update());
  }

  slider(spec) {
    const { minimum, maximum, step } = spec;
    const digits = Math.max(0, Math.ceil(-Math.log10(step) - 1e-9));
    const input = element("input", { type: "range", min: minimum, max: maximum, step });
    const output = element("output", {});
    const show = () => (output.textContent = minus(Number(input.value).toFixed(digits)));
    this.row(spec, input, output);
    input.addEventListener("input", show);
    return {
      get: () => Number(input.value),
      set: (value) => {
        input.value = value;
        show();
      },
    };
  }

  choice(spec) {
    const input = element("select", {},
      ...spec.options.map((name) => element("option", { value: name }, name)));
    this.row(spec, input);
    return {
      get: () => input.value,
      set: (value) => { if (spec.options.includes(value)) input.value = value; },
    };
  }

  // A line under the figure that screen readers read when it changes: say(text).
  status() {
    const line = element("p", { class: "lf-status", role: "status" });
    this.foot.after(line);
    return (text) => (line.textContent = text);
  }

  button(text, action) {
    const node = element("button", { type: "button" }, text);
    node.addEventListener("click", action);
    this.foot.insertBefore(node, this.link);
    return node;
  }

  // --- the address of a setting: ?figure=std_explorer&sigma=2... ---

  get key() {
    const same = [...document.querySelectorAll(`[data-live-figure="${this.name}"]`)];
    const index = same.indexOf(this.root);
    return index > 0 ? `${this.name}.${index}` : this.name;
  }

  fromAddress() {
    const query = new URLSearchParams(location.search);
    this.address = query.get("figure") === this.key ? query : new URLSearchParams();
    for (const [key, control] of Object.entries(this.controls)) {
      const text = this.address.get(key);
      if (text === null) continue;
      const value = typeof control.get() === "number" ? Number(text) : text;
      if (!Number.isNaN(value)) control.set(value);
    }
    if (this.address.has("figure")) {
      // Now, and again when images and fonts above have got their final size.
      const show = () => this.root.scrollIntoView({ block: "center" });
      requestAnimationFrame(show);
      addEventListener("load", show, { once: true });
    }
  }

  // --- updates ---

  // compute(parameters) draws the figure and returns {input, field, height, width}; it is called now
  // and at every change. slow() draws a frame later what would delay the rest, such as an energy
  // over many steps.
  run(compute, slow = null) {
    Object.assign(this, { compute, slow });
    this.update();
  }

  update() {
    if (!this.compute) return;
    cancelAnimationFrame(this.refining); // of a curve that may have changed
    this.result = this.compute(this.parameters);
    const query = new URLSearchParams({ figure: this.key, ...this.parameters, ...this.extra?.() });
    this.link.href = `${location.pathname}?${query}`;
    if (this.slow && !this.waiting) {
      this.waiting = requestAnimationFrame(() => {
        this.waiting = 0;
        this.slow();
      });
    }
  }

  // Draw a curve of slow.js as far as it is computed within 8 ms, then more of it in each frame.
  refine(curve, draw) {
    draw(curve.work(8));
    if (!curve.complete) this.refining = requestAnimationFrame(() => this.refine(curve, draw));
  }

  colour(name) {
    // Reading a style makes the browser lay out the page, so each colour is read once per theme.
    return (this.colours[name] ??= getComputedStyle(this.root).getPropertyValue(`--lf-${name}`).trim());
  }

  // --- views ---

  view(title, node, classes = "") {
    const heading = element("div", { class: "lf-title" }, title);
    this.views.append(element("div", { class: `lf-view ${classes}` }, heading, node));
    return heading;
  }

  // A square field of n x n pixels with contour lines over it; values of another number change n.
  // Classes of its view: lf-half takes half the width of a telephone, lf-scan has line colours for a
  // black background. What was drawn last is not drawn again: an array whose numbers change must be a
  // new one.
  field(title, n, label, classes = "lf-half") {
    const canvas = element("canvas", { role: "img", "aria-label": label });
    const overlay = element("svg:svg", { "aria-hidden": "true", preserveAspectRatio: "none" });
    const box = element("div", { class: "lf-field" }, canvas, overlay);
    const heading = this.view(title, box, classes);
    const context = canvas.getContext("2d");
    let image, pixels, drawn = [], paths = [], key;
    const resize = (side) => {
      n = canvas.width = canvas.height = side;
      overlay.setAttribute("viewBox", `-0.5 -0.5 ${n} ${n}`);
      image = context.createImageData(n, n);
      pixels = new Uint32Array(image.data.buffer);
      paths = [];
    };
    resize(n);
    return {
      canvas,
      title: (text) => (heading.textContent = text),
      // Values from low to high become the colours of one of COLOUR_MAPS.
      draw: (values, colours, low, high) => {
        canvas.toggleAttribute("data-grey", colours === "grey"); // the same in both themes
        if (colours === "signed") {
          key ??= box.appendChild(element("div", { class: "lf-legend" },
            element("span", { class: "lf-key negative" }), element("span", { class: "lf-key positive" })));
          [low, high].forEach((end, i) => (key.children[i].textContent = pretty(end)));
        }
        if (values.length !== n * n) resize(Math.sqrt(values.length));
        const table = colourTable(COLOUR_MAPS[colours].map((name) => this.colour(name)));
        const wanted = [values, table, low, high], scale = 255 / (high - low);
        if (wanted.every((value, i) => value === drawn[i])) return;
        for (let i = 0; i < n * n; i++) {
          const t = (values[i] - low) * scale;
          pixels[i] = table[t < 0 ? 0 : t > 255 ? 255 : (t + 0.5) | 0];
        }
        context.putImageData(image, 0, 0);
        drawn = wanted;
      },
      // lines: [[segments or field, class], ...]
      contours: (lines) => {
        const next = lines.map(([line, kind]) => {
          const old = paths.find((path) => path.line === line && path.kind === kind);
          if (old) return old;
          const d = pathOf(Array.isArray(line) ? line : contour(line, n));
          return { line, kind, node: element("svg:path", { d, class: `lf-line ${kind}` }) };
        });
        if (next.length === paths.length && next.every((path, i) => path === paths[i])) return;
        overlay.replaceChildren(...next.map((path) => path.node));
        paths = next;
      },
    };
  }

  // Curves over an axis. draw(curves, marks, ranges): curves are {x, y, kind, label}, marks
  // {x, y, kind}, or {x, kind} for an upright line; ranges may set x and y, [low, high], and xTicks
  // and yTicks, [[place, text], ...]. With `full`, the plot takes a row of its own.
  plot(title, { x: xLabel, y: yLabel, label, xRange = null, yRange = null, full = false }) {
    const height = 240;
    const svg = element("svg:svg", { role: "img", "aria-label": label, class: "lf-plot", height });
    const heading = this.view(title, svg, full ? "lf-full" : "");
    const legend = heading.parentNode.appendChild(element("div", { class: "lf-legend" }));
    const clip = freshId();
    let drawn, measured = 0;
    // One unit is one pixel at every width, so that text keeps its size on a telephone.
    new ResizeObserver(() => {
      measured = svg.clientWidth;
      if (drawn) plot.draw(...drawn);
    }).observe(svg);
    const plot = {
      title: (text) => (heading.textContent = text),
      draw: (curves, marks = [], ranges = {}) => {
        drawn = [curves, marks, ranges];
        const width = measured || svg.clientWidth || 360;
        const box = { left: 52, right: width - 14, top: 10, bottom: height - 40 };
        svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
        const [x0, x1] = ranges.x ?? xRange ?? extent(curves.map((curve) => curve.x));
        const [y0, y1] = ranges.y ?? yRange ?? extent(curves.map((curve) => curve.y), 0.06);
        const px = (x) => box.left + ((x - x0) / (x1 - x0)) * (box.right - box.left);
        const py = (y) => box.bottom - ((y - y0) / (y1 - y0)) * (box.bottom - box.top);
        const nodes = [element("svg:clipPath", { id: clip }, element("svg:rect", {
          x: box.left, y: box.top, width: box.right - box.left, height: box.bottom - box.top }))];
        const text = (content, attributes) =>
          element("svg:text", { class: "lf-text", ...attributes }, content);
        const ticksOf = (wanted, low, high) =>
          wanted?.filter(([tick]) => low <= tick && tick <= high)
          ?? ticks(low, high).map((tick) => [tick, pretty(tick)]);
        for (const [tick, name] of ticksOf(ranges.xTicks, x0, x1)) {
          nodes.push(
            element("svg:path", { d: `M${px(tick)} ${box.top}V${box.bottom}`, class: "lf-grid" }),
            text(name, { x: px(tick), y: box.bottom + 16, "text-anchor": "middle" }));
        }
        for (const [tick, name] of ticksOf(ranges.yTicks, y0, y1)) {
          nodes.push(
            element("svg:path", { d: `M${box.left} ${py(tick)}H${box.right}`, class: "lf-grid" }),
            text(name, { x: box.left - 6, y: py(tick) + 4, "text-anchor": "end" }));
        }
        const middle = (box.top + box.bottom) / 2;
        nodes.push(
          text(xLabel, {
            x: (box.left + box.right) / 2, y: height - 6, "text-anchor": "middle" }),
          text(yLabel, { "text-anchor": "middle", transform: `translate(12 ${middle}) rotate(-90)` }));
        for (const { x, y, kind } of curves) {
          const points = Array.from(y, (value, i) => `${px(x[i])} ${py(value)}`);
          nodes.push(element("svg:path", {
            d: `M${points.join("L")}`, class: `lf-line ${kind}`, "clip-path": `url(#${clip})` }));
        }
        for (const { x, y, kind } of marks) {
          const mark = y === undefined
            ? element("svg:path", { d: `M${px(x)} ${box.top}V${box.bottom}`, class: `lf-line ${kind}` })
            : element("svg:circle", { cx: px(x), cy: py(y), r: 5, class: `lf-mark ${kind}` });
          mark.setAttribute("clip-path", `url(#${clip})`);
          nodes.push(mark);
        }
        svg.replaceChildren(...nodes);
        legend.replaceChildren(...[...curves, ...marks].filter((curve) => curve.label).map(
          (curve) => element("span", { class: `lf-key ${curve.kind}` }, curve.label)));
      },
    };
    return plot;
  }

  // Numbers in a row: readouts(["area", ...]) gives a function of the values' texts.
  readouts(labels) {
    const cells = labels.map(() => element("strong", {}));
    const list = element("div", { class: "lf-readouts" },
      ...labels.map((label, i) => element("div", {}, element("span", {}, label), cells[i])));
    this.views.after(list);
    return (...texts) => texts.forEach((text, i) => (cells[i].textContent = text));
  }

  // Follow the mouse or a finger from where it presses on a canvas. Both functions get its place, as
  // shares of the canvas to the right and downwards, and the event.
  drag(canvas, move, start = move) {
    const place = ({ clientX, clientY }) => {
      const box = canvas.getBoundingClientRect();
      return [(clientX - box.left) / box.width, (clientY - box.top) / box.height];
    };
    canvas.classList.add("lf-paintable");
    canvas.addEventListener("pointerdown", (event) => {
      if (event.button !== 0) return;
      canvas.setPointerCapture(event.pointerId);
      start(...place(event), event);
    });
    canvas.addEventListener("pointermove", (event) => {
      if (event.buttons & 1) move(...place(event), event);
    });
  }

  // Paint on a canvas by mouse, touch or keyboard: dab(x, y, erase) in pixels of an n x n field.
  paint(canvas, n, erasing, dab) {
    canvas.tabIndex = 0;
    canvas.setAttribute("data-lm-suppress-shortcuts", "true");
    const inside = (value) => Math.min(n - 1, Math.max(0, Math.floor(value)));
    this.drag(canvas, (x, y, event) =>
      dab(inside(n * x), inside(n * y), erasing() || event.shiftKey));
    const cursor = [n / 2, n / 2];
    const moves = { ArrowLeft: [-3, 0], ArrowRight: [3, 0], ArrowUp: [0, -3], ArrowDown: [0, 3] };
    canvas.addEventListener("keydown", (event) => {
      const move = moves[event.key];
      if (move) move.forEach((step, i) => (cursor[i] = inside(cursor[i] + step)));
      if (event.key === " " || (move && event.ctrlKey)) dab(...cursor, erasing() || event.shiftKey);
      if (move || event.key === " ") event.preventDefault();
      this.onCursor?.(cursor);
    });
  }
}

// --- colours and paths ----------------------------------------------------------------------------

// 256 colours between the given ones, each as one number: red, green, blue, opaque.
const colourTables = new Map();
function colourTable(colours) {
  const key = colours.join();
  if (!colourTables.has(key)) {
    const stops = colours.map((colour) => [1, 3, 5].map((i) => parseInt(colour.slice(i, i + 2), 16)));
    const table = new Uint8ClampedArray(4 * 256).fill(255);
    for (let i = 0; i < 256; i++) {
      const t = (i / 255) * (stops.length - 1), k = Math.min(stops.length - 2, Math.floor(t));
      for (let j = 0; j < 3; j++) {
        table[4 * i + j] = stops[k][j] + (t - k) * (stops[k + 1][j] - stops[k][j]);
      }
    }
    colourTables.set(key, new Uint32Array(table.buffer));
  }
  return colourTables.get(key);
}

// Segments as a path, to a hundredth of a pixel: long numbers take long to write and to read.
function pathOf(segments) {
  const short = (value) => Math.round(100 * value) / 100;
  return segments.map(([a, b, c, d]) =>
    `M${short(a)} ${short(b)}L${short(c)} ${short(d)}`).join("");
}

function extent(lists, margin = 0) {
  let [low, high] = [Infinity, -Infinity];
  for (const list of lists) {
    for (const value of list) {
      if (value < low) low = value;
      if (value > high) high = value;
    }
  }
  const room = (high - low || Math.abs(high) || 1) * margin;
  return [low - room, high === low ? high + (room || 1) : high + room];
}
