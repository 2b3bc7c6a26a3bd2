// In the place of figure.js, without a page: runs a figure for each of data.settings and notes in
// `states` all that it would show, in `set` what it sets controls to by itself.
const states = [], set = {}, buttons = {}, listeners = {};

const anything = new Proxy(() => anything, { get: () => anything, set: () => true });

function mount(name, build) {
  let parameters = data.settings[0];
  const titled = (title, view) => ({
    canvas: anything,
    title: (text) => (states.at(-1).titles[title] = text),
    ...view,
  });
  const names = Object.keys(parameters);
  build({
    options: data.options,
    views: anything,
    address: new URLSearchParams(),
    get parameters() {
      return parameters;
    },
    controls: Object.fromEntries(
      names.map((key) => [key, { set: (value) => (states.at(-1).set[key] = set[key] = value) }])),
    panel: {
      children: names.map((key) => ({
        addEventListener: (kind, call, capture) => (listeners[key] = { kind, call, capture }),
      })),
    },
    field: (title) => titled(title, {
      draw: (values, colours) => (states.at(-1).fields[title] = { values, colours }),
      contours: (lines) => (states.at(-1).contours[title] = lines),
    }),
    plot: (title) => titled(title, {
      draw: (curves, marks, ranges) => (states.at(-1).plots[title] = { curves, marks, ranges }),
    }),
    readouts: () => (...texts) => (states.at(-1).texts = texts),
    button: (text, action) => {
      buttons[text] = action;
      return anything;
    },
    paint() {},
    drag() {},
    update() {},
    refine: (curve, draw) => draw(curve.work()),
    run: (compute, slow) => data.settings.forEach((setting) => {
      parameters = setting;
      states.push({ titles: {}, fields: {}, contours: {}, plots: {}, set: {} });
      Object.assign(states.at(-1), compute(setting));
      slow?.();
    }),
  });
}
