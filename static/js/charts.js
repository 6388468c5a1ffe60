// Draws the charts of a page with uPlot in the place of the server's SVG: values under the pointer, one crosshair in all
// of them, a logarithmic scale where one is offered, and a stretch of time picked by dragging. What a value is called
// is read from the table behind the chart, so both always say the same.

import uPlot from "../vendor/uplot/uPlot.esm.js";
import { stand } from "./limits.js";
import { laneOf, linesOf, renew, untitled } from "./marks.js";

/** @import { Met } from "./marks.js" */

/**
 * What cockpit/dashboard/plots.py writes: times in seconds since 1970, ticks as [place or value, text].
 * @typedef {object} Numbers
 * @property {number[]} x  the start of each step
 * @property {number} step  seconds
 * @property {{key: string, area: boolean, values: (number | null)[]}[]} series
 * @property {[place: number, text: string, minor: boolean][]} xTicks
 * @property {[value: number, text: string][]} yTicks
 * @property {[value: number, text: string][] | null} logTicks
 * @property {boolean} bars  the first series stands as bars
 * @property {number[]} partial  the bars that hold less than a whole step
 * @property {number[]} limits  the thresholds that have a line
 *
 * @typedef {Numbers & Met} Plot
 */

/**
 * @typedef {object} Kept  a chart on the page
 * @property {Plot} plot
 * @property {boolean} log
 * @property {HTMLElement} frame
 * @property {HTMLElement} figure
 * @property {uPlot} drawn
 * @property {HTMLElement} tip
 * @property {SVGElement} marks
 * @property {SVGElement} limits
 */

const NARROW = 416; // pixels, as in charts.css
const HALF_LETTER = 3.2; // pixels
const AXIS = 22; // pixels: the words under a plot
const GAP = 7; // pixels between them
const LEAST_DRAG = 8; // pixels: less was a click

export class Charts {
  /**
   * @param {object} options
   * @param {string} options.group  charts of one group share their crosshair
   * @param {(from: Date, to: Date) => void} options.onZoom  called with the ends of a dragged stretch, on whole steps
   */
  constructor({ group, onZoom }) {
    this.group = group;
    this.onZoom = onZoom;
    /** @type {Map<string, Kept>} */
    this.kept = new Map();
    this.sizes = new ResizeObserver((entries) => {
      for (const entry of entries) this.#fit(/** @type {HTMLElement} */ (entry.target));
    });
    this.scheme = matchMedia("(prefers-color-scheme: dark)");
    this.repaint = () => this.kept.forEach(({ drawn }) => drawn.redraw(false));
    this.scheme.addEventListener("change", this.repaint);
    document.addEventListener("change", this.repaint); // the choice of light or dark
    document.fonts?.ready.then(this.repaint);
  }

  /**
   * Draws every chart in `root`, taking over those drawn before: same name, same canvas, new numbers.
   * @param {ParentNode} root
   */
  draw(root) {
    for (const figure of /** @type {NodeListOf<HTMLElement>} */ (root.querySelectorAll("figure[data-plot]"))) this.#one(figure);
    for (const [name, { frame }] of this.kept) if (!frame.isConnected) this.#forget(name);
  }

  stop() {
    for (const name of this.kept.keys()) this.#forget(name);
    this.scheme.removeEventListener("change", this.repaint);
    document.removeEventListener("change", this.repaint);
  }

  /** @param {HTMLElement} figure */
  #one(figure) {
    const name = figure.dataset.chart ?? "";
    const frame = /** @type {HTMLElement} */ (figure.querySelector(".chart-frame"));
    if (frame.classList.contains("chart-frame--live")) return;
    /** @type {Plot} */
    const plot = JSON.parse(figure.dataset.plot ?? "");
    const before = this.kept.get(name);
    const label = described(figure);
    const marks = /** @type {SVGElement} */ (frame.querySelector(".chart-marks"));
    const limits = /** @type {SVGElement} */ (frame.querySelector(".chart-limits"));
    if (before && plot.x.length > 0 && shape(before.plot) === shape(plot)) {
      Object.assign(before, { plot, figure });
      frame.replaceWith(before.frame);
      before.drawn.over.setAttribute("aria-label", label);
      this.#tools(before);
      renew(before.marks, marks);
      before.limits.replaceChildren(...limits.childNodes);
      /** @type {uPlot.Axis} */ (before.drawn.axes[0]).gap = GAP + laneOf(plot);
      before.drawn.setData(columns(before));
      return;
    }
    const log = before?.log ?? false;
    this.#forget(name);
    if (plot.x.length === 0) return;
    frame.replaceChildren(untitled(marks), limits);
    frame.classList.add("chart-frame--live");
    const tip = element("div", "tip");
    tip.hidden = true;
    tip.setAttribute("role", "status");
    const kept = /** @type {Kept} */ ({ plot, log, frame, figure, tip, marks, limits });
    kept.drawn = new uPlot(this.#options(kept, label), columns(kept), frame);
    this.kept.set(name, kept);
    this.#tools(kept);
    this.sizes.observe(frame);
  }

  /** @param {string} name */
  #forget(name) {
    const kept = this.kept.get(name);
    if (!kept) return;
    this.sizes.unobserve(kept.frame);
    kept.drawn.destroy();
    this.kept.delete(name);
  }

  /** @param {HTMLElement} frame */
  #fit(frame) {
    for (const { frame: each, drawn } of this.kept.values()) {
      if (each === frame && frame.clientWidth > 0) drawn.setSize({ width: frame.clientWidth, height: frame.clientHeight });
    }
  }

  /**
   * The button for a logarithmic scale, where there is one to offer.
   * @param {Kept} kept
   */
  #tools(kept) {
    if (!kept.plot.logTicks?.length) return;
    const button = /** @type {HTMLButtonElement} */ (element("button", "chart-scale"));
    button.type = "button";
    button.textContent = "Log scale";
    button.setAttribute("aria-pressed", String(kept.log));
    button.setAttribute("aria-label", `Log scale of ${kept.figure.querySelector("summary")?.textContent ?? "the chart"}`.replace(" as a table", ""));
    button.addEventListener("click", () => {
      kept.log = !kept.log;
      button.setAttribute("aria-pressed", String(kept.log));
      kept.drawn.setData(columns(kept));
    });
    (kept.figure.closest(".panel")?.querySelector(".panel-head") ?? kept.figure).append(button);
  }

  /**
   * @param {Kept} kept
   * @param {string} label
   * @returns {uPlot.Options}
   */
  #options(kept, label) {
    const ink = inks(kept);
    const quiet = () => ink("quiet");
    const font = `500 11px ${getComputedStyle(kept.frame).fontFamily}`;
    const narrow = () => kept.frame.clientWidth < NARROW;
    const ticks = () => ticksOf(kept);
    const x = () => span(kept.plot);
    return {
      width: kept.frame.clientWidth,
      height: kept.frame.clientHeight,
      padding: [6, 1, 0, 0],
      legend: { show: false },
      cursor: {
        y: false,
        sync: { key: this.group },
        drag: { x: true, y: false, setScale: false, dist: LEAST_DRAG },
        points: { size: 8, width: 2, stroke: (_, at) => ink(keyOf(kept, at)), fill: () => ink("surface") },
      },
      scales: {
        x: { time: false, range: x },
        y: {
          distr: 1,
          // One scale for both readings: in the logarithmic one, heights are logarithms (see columns).
          range: () => ends(kept),
        },
      },
      axes: [
        {
          font,
          stroke: quiet,
          size: () => AXIS + laneOf(kept.plot),
          gap: GAP + laneOf(kept.plot),
          grid: { show: false },
          ticks: { show: false },
          splits: () => kept.plot.xTicks.map(([place]) => x()[0] + place * (x()[1] - x()[0])),
          values: ({ over }) => kept.plot.xTicks.map(([place, text, minor]) => {
            const cut = (1 - place) * over.clientWidth < text.length * HALF_LETTER; // at the canvas' edge
            return cut || (minor && narrow()) ? "" : text;
          }),
        },
        {
          font,
          stroke: quiet,
          size: (_, words) => Math.max(narrow() ? 50 : 58, ...(words ?? []).map((text) => text.length * 2 * HALF_LETTER + 8)),
          gap: 8,
          grid: { stroke: () => ink("rule"), width: 1 },
          ticks: { show: false },
          splits: () => ticks().map(([value]) => height(kept, value)),
          values: () => ticks().map(([, text]) => text),
        },
      ],
      series: [{}, ...kept.plot.series.map((_, at) => series(kept, at, ink))],
      hooks: {
        ready: [(drawn) => this.#listen(kept, drawn, label)],
        draw: [({ over }) => lay(kept, over)],
        setCursor: [(drawn) => point(kept, drawn)],
        setSelect: [(drawn) => this.#selected(kept, drawn)],
      },
    };
  }

  /**
   * @param {Kept} kept
   * @param {uPlot} drawn
   * @param {string} label
   */
  #listen(kept, drawn, label) {
    const over = drawn.over;
    drawn.over.after(kept.tip); // not in it: what is inside an element that is read as one is not said
    over.tabIndex = 0;
    over.setAttribute("role", "application"); // so that arrow keys reach it
    over.setAttribute("aria-label", label);
    over.addEventListener("mouseenter", () => over.classList.add("pointed"));
    over.addEventListener("mouseleave", () => over.classList.remove("pointed"));
    kept.marks.addEventListener("mousemove", (event) => {
      const { left, width } = over.getBoundingClientRect();
      over.classList.add("pointed");
      drawn.setCursor({ left: Math.min(width - 1, Math.max(0, event.clientX - left)), top: 0 });
    });
    kept.marks.addEventListener("mouseleave", () => {
      over.classList.remove("pointed");
      drawn.setCursor({ left: -10, top: -10 });
    });
    over.addEventListener("focus", () => point(kept, drawn));
    // A refresh takes the canvas out and puts it back, focus and all: only who stays away has left.
    over.addEventListener("blur", () => queueMicrotask(() => over.matches(":focus") || drawn.setCursor({ left: -10, top: -10 })));
    over.addEventListener("keydown", (event) => {
      const last = kept.plot.x.length - 1;
      const now = drawn.cursor.idx ?? (event.key === "ArrowLeft" ? last + 1 : -1);
      const next = { ArrowLeft: now - 1, ArrowRight: now + 1, Home: 0, End: last }[event.key];
      if (next === undefined) return;
      event.preventDefault();
      const at = Math.min(last, Math.max(0, next));
      drawn.setCursor({ left: drawn.valToPos(middle(kept.plot, at), "x"), top: 0 });
    });
  }

  /**
   * @param {Kept} kept
   * @param {uPlot} drawn
   */
  #selected(kept, drawn) {
    const { left, width } = drawn.select;
    if (width < LEAST_DRAG) return;
    const { x, step } = kept.plot;
    const first = x[0] ?? 0;
    const [from, to] = [drawn.posToVal(left, "x"), drawn.posToVal(left + width, "x")];
    drawn.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
    const start = first + Math.max(0, Math.floor((from - first) / step)) * step;
    const end = first + Math.ceil((to - first) / step) * step;
    this.onZoom(new Date(start * 1000), new Date(end * 1000));
  }
}

/** @param {Plot} plot  what must be equal for a canvas to be used again */
function shape(plot) {
  return JSON.stringify([plot.bars, plot.series.map(({ key, area }) => [key, area])]);
}

/**
 * @param {Plot} plot
 * @returns {[number, number]}
 */
function span(plot) {
  const first = plot.x[0] ?? 0;
  return [first, first + plot.x.length * plot.step];
}

/**
 * @param {Plot} plot
 * @param {number} at
 */
function middle(plot, at) {
  return (plot.x[at] ?? 0) + plot.step / 2;
}

/**
 * Where a value stands on the vertical scale.
 * @param {Kept} kept
 * @param {number} value
 */
function height(kept, value) {
  return kept.log && kept.plot.logTicks?.length ? Math.log10(value) : value;
}

/** @param {Kept} kept */
function ticksOf(kept) {
  return (kept.log && kept.plot.logTicks) || kept.plot.yTicks;
}

/**
 * The heights at which the vertical scale begins and ends.
 * @param {Kept} kept
 * @returns {[number, number]}
 */
function ends(kept) {
  const ticks = ticksOf(kept);
  return [height(kept, ticks[0]?.[0] ?? 0), height(kept, ticks.at(-1)?.[0] ?? 1)];
}

/**
 * @param {Kept} kept
 * @returns {uPlot.AlignedData}
 */
function columns(kept) {
  const { plot } = kept;
  const log = kept.log && Boolean(plot.logTicks?.length);
  const heights = plot.series.map(({ values }) =>
    values.map((value) => (value === null || (log && value <= 0) ? null : height(kept, value))),
  );
  return [plot.x.map((_, at) => middle(plot, at)), ...heights];
}

/**
 * @param {Kept} kept
 * @param {number} at  uPlot's number of a series, in which 0 is the time
 */
function keyOf(kept, at) {
  return kept.plot.series[at - 1]?.key ?? "quiet";
}

/**
 * @param {Kept} kept
 * @param {number} at
 * @param {(key: string, share?: number) => string} ink
 * @returns {uPlot.Series}
 */
function series(kept, at, ink) {
  const { key, area } = /** @type {Plot["series"][number]} */ (kept.plot.series[at]);
  if (at === 0 && kept.plot.bars) {
    const fill = () => kept.plot.x.map((_, bar) => ink(key, kept.plot.partial.includes(bar) ? 0.45 : 1));
    return {
      fill: () => ink(key),
      points: { show: false },
      paths: uPlot.paths.bars?.({ size: [0.76, Infinity], disp: { fill: { unit: 3, values: fill } } }),
    };
  }
  const earlier = key === "earlier";
  return {
    stroke: () => ink(key),
    width: earlier ? 1.5 : Number.parseFloat(getComputedStyle(kept.frame).getPropertyValue("--line")) || 2,
    dash: earlier ? [5, 4] : [],
    cap: "round",
    fill: area ? () => ink(key, 0.13) : undefined,
    fillTo: () => height(kept, (kept.log && kept.plot.logTicks?.[0]?.[0]) || 0),
    spanGaps: false,
    // A value between two gaps has no line; it is drawn as a dot.
    points: { show: true, size: 4, fill: () => ink(key), filter: (drawn, number) => lone(drawn.data[number] ?? []) },
  };
}

/** @param {ArrayLike<number | null | undefined>} values */
function lone(values) {
  const found = [];
  for (let at = 0; at < values.length; at += 1) {
    if (values[at] != null && values[at - 1] == null && values[at + 1] == null) found.push(at);
  }
  return found;
}

/**
 * The theme's colours, as a canvas needs them: read from elements, since only those know light from dark.
 * @param {Kept} kept
 */
function inks(kept) {
  /** @type {Map<string, HTMLElement>} */
  const wells = new Map();
  return (/** @type {string} */ key, share = 1) => {
    let well = wells.get(key);
    if (!well) {
      well = element("i", `ink ${key}`);
      wells.set(key, well);
    }
    if (!well.isConnected) kept.frame.append(well);
    const colour = getComputedStyle(well).color;
    return share === 1 ? colour : colour.replace(/^rgb\((.*)\)$/, `rgba($1, ${share})`);
  };
}

/**
 * Shows the values under the cursor, in the words of the table's row.
 * @param {Kept} kept
 * @param {uPlot} drawn
 */
function point(kept, drawn) {
  const { tip, figure, plot } = kept;
  const at = drawn.cursor.idx;
  const over = drawn.over;
  const mine = over.classList.contains("pointed") || over.matches(":focus-visible");
  tip.hidden = at === null || at === undefined || !mine;
  if (tip.hidden || at == null) return;
  const names = [...figure.querySelectorAll("thead th")].map((cell) => cell.textContent);
  const cells = [...(figure.querySelectorAll("tbody tr")[at]?.children ?? [])].map((cell) => cell.textContent);
  const when = element("b", "");
  when.textContent = cells[0] ?? "";
  const lines = plot.series.map(({ key }, number) => {
    const line = element("span", "tip-line");
    const name = element("span", "");
    const value = element("b", "");
    name.textContent = names[number + 1] ?? "";
    value.textContent = cells[number + 1] ?? "";
    line.append(element("i", `swatch ${key}`), name, value);
    return line;
  });
  tip.replaceChildren(when, ...lines, ...linesOf(plot, at));
  const place = drawn.valToPos(middle(plot, at), "x");
  const left = place < over.clientWidth / 2 ? place + 14 : place - tip.offsetWidth - 14;
  const x = over.offsetLeft + Math.max(-40, Math.min(left, over.clientWidth - tip.offsetWidth));
  tip.style.transform = `translate(${x}px, ${over.offsetTop + 4}px)`;
}

/**
 * Puts the marks where the plot is, and each limit where its value is.
 * @param {Kept} kept
 * @param {HTMLElement} over
 */
function lay(kept, over) {
  const { left, top, width, height: tall } = over.style;
  for (const each of [kept.marks, kept.limits]) Object.assign(each.style, { left, top, width, height: tall });
  const [low, high] = ends(kept);
  stand(kept.limits, kept.plot.limits.map((value) => 1 - (height(kept, value) - low) / (high - low)));
}

/** @param {Element} figure */
function described(figure) {
  const words = [...figure.querySelectorAll(".chart-plane > title, .chart-plane > desc")].map((each) => each.textContent);
  return `${words.join(". ")} Arrow keys read it step by step.`;
}

/**
 * @param {string} kind
 * @param {string} className
 */
function element(kind, className) {
  const made = document.createElement(kind);
  if (className) made.className = className;
  return made;
}
