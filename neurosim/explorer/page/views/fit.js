// Loss, violation, agreement with backpropagation and accuracy over time.

import uPlot from "../vendor/uPlot.js";
import { category, ink } from "../colours.js";
import { short } from "../controls.js";
import { chart } from "../svg.js";

/** @typedef {import("../main.js").App} App */

const MOST = 2000;
/** @type {[string, string, boolean][]} name, label, logarithmic */
const KINDS = [
  ["loss", "loss", true],
  ["violation", "violation", true],
  ["error", "|λ − adjoint|", true],
  ["cosine", "cosine to the adjoint", false],
  ["accuracy", "accuracy", false],
];

export class Fit {
  /** @param {App} app @param {HTMLElement} plot @param {HTMLElement} tools @param {HTMLElement} caption */
  constructor(app, plot, tools, caption) {
    this.app = app;
    this.plot = plot;
    this.caption = caption;
    KINDS.forEach(([, label], place) => {
      const mark = document.createElement("span");
      mark.innerHTML = `<span class="swatch" style="background:${category(place)}"></span>`;
      mark.append(label);
      tools.append(mark);
    });
    this.tools = tools;
    this.key = "";
    /** @type {uPlot | null} */
    this.chart = null;
  }

  draw() {
    const key = [document.documentElement.dataset.theme, "fit"].join();
    if (key !== this.key) this.make();
    this.key = key;
    const made = /** @type {uPlot} */ (this.chart);
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (made.width !== width || made.height !== height) made.setSize({ width, height });
    const { fit } = this.app;
    made.setData(/** @type {any} */ ([fit.times, ...KINDS.map(([name, , log]) => log ? fit.values[name].map((value) => (value === null || value < 1e-16 ? null : value)) : fit.values[name])]));
    const now = this.app.lastMeasures;
    const parts = KINDS.filter(([name]) => name in now).map(([name, label]) => `${label} ${now[name] === null ? "–" : short(Number(now[name].toPrecision(3)))}`);
    this.caption.textContent = parts.join(" · ");
  }

  make() {
    this.chart?.destroy();
    const font = '11px system-ui, "DejaVu Sans", sans-serif';
    const axis = { stroke: ink("soft"), grid: { stroke: ink("grid"), width: 1 }, ticks: { show: false }, font, labelFont: font, labelSize: 14, gap: 3 };
    this.chart = new uPlot(
      /** @type {any} */ ({
        width: Math.max(this.plot.clientWidth, 50),
        height: Math.max(this.plot.clientHeight, 50),
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, points: { show: false } },
        scales: { x: { time: false }, log: { distr: 3, log: 10 }, share: { range: [-0.05, 1.05] } },
        axes: [
          { ...axis, label: "time (s)", size: 24, space: 70 },
          { ...axis, scale: "log", label: "loss, violation, error (1)", size: 50, splits: powers, values: (/** @type {any} */ u, /** @type {number[]} */ marks) => marks.map((value) => (value ? value.toExponential(0) : "")) },
          { ...axis, scale: "share", side: 1, label: "cosine, accuracy (1)", size: 34, grid: { show: false }, space: 30 },
        ],
        series: [{}, ...KINDS.map(([, label, log], place) => ({ label, stroke: category(place), width: 1.6, scale: log ? "log" : "share", points: { show: false }, dash: log ? [] : [6, 3] }))],
        padding: [10, 4, 0, 0],
      }),
      /** @type {any} */ ([[], ...KINDS.map(() => [])]),
      this.plot,
    );
    this.chart.root.setAttribute("role", "img");
    this.chart.root.setAttribute("aria-label", "loss, violation and agreement with backpropagation over time");
  }

  themed() {
    this.key = "";
    [...this.tools.querySelectorAll(".swatch")].forEach((mark, place) => /** @type {HTMLElement} */ (mark).style.setProperty("background", category(place)));
  }

  canvas() {
    return /** @type {uPlot} */ (this.chart).ctx.canvas;
  }

  svg() {
    const { fit } = this.app;
    const lines = KINDS.map(([name], place) => ({
      h: fit.times,
      v: fit.values[name].map((value) => (value === null ? NaN : value)),
      count: fit.times.length,
      colour: category(place),
    }));
    return chart(lines, "time (s)", "loss, violation, error, cosine, accuracy (1)");
  }

  table() {
    const { fit } = this.app;
    const rows = fit.times.map((time, k) => [time, ...KINDS.map(([name]) => fit.values[name][k] ?? "")]);
    return { columns: ["time (s)", ...KINDS.map(([name]) => name)], rows };
  }
}

/**
 * Powers of ten between the bounds, at most six.
 * @param {any} u @param {number} axis @param {number} low @param {number} high @returns {number[]}
 */
function powers(u, axis, low, high) {
  const first = Math.ceil(Math.log10(low) - 1e-9);
  const last = Math.floor(Math.log10(high) + 1e-9);
  const step = Math.max(1, Math.ceil((last - first + 1) / 6));
  const found = [];
  for (let power = first; power <= last; power += step) found.push(10 ** power);
  return found;
}

export class FitSamples {
  constructor() {
    /** @type {number[]} */
    this.times = [];
    /** @type {Record<string, (number | null)[]>} */
    this.values = {};
    this.clear();
  }

  clear() {
    this.times = [];
    this.values = Object.fromEntries(KINDS.map(([name]) => [name, []]));
  }

  /** @param {number} time @param {Record<string, number>} measures */
  append(time, measures) {
    if (this.times.length && time <= this.times[this.times.length - 1]) return;
    this.times.push(time);
    for (const [name] of KINDS) this.values[name].push(measures[name] ?? null);
    if (this.times.length < MOST) return;
    // every second sample of the older half
    const thin = (/** @type {any[]} */ own) => own.filter((_, k) => k > MOST / 2 || k % 2 === 0);
    this.times = thin(this.times);
    for (const [name] of KINDS) this.values[name] = thin(this.values[name]);
  }
}
