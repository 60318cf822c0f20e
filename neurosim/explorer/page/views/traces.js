// Outputs x and multipliers λ over time, one line per unit; a kept run in grey behind.

import uPlot from "../vendor/uPlot.js";
import { category, ink } from "../colours.js";
import { chart } from "../svg.js";

/** @typedef {import("../main.js").App} App */

const NEAR = 0.25; // pixels
const NAMES = /** @type {Record<string, string>} */ ({ x: "x (1)", lam: "λ (1)" });

export class Traces {
  /** @param {App} app @param {HTMLElement} plot @param {HTMLElement} tools */
  constructor(app, plot, tools) {
    this.app = app;
    this.plot = plot;
    this.tools = tools;
    /** @type {Set<string>} */
    this.hidden = new Set();
    this.panels = ["x", "lam"].map((variable) => {
      const host = document.createElement("div");
      host.className = "panel";
      plot.append(host);
      return { variable, host, chart: /** @type {uPlot | null} */ (null), key: "" };
    });
    this.layOut();
  }

  layOut() {
    this.tools.replaceChildren();
    this.app.model.neurons.forEach((name, place) => {
      const button = document.createElement("button");
      button.setAttribute("aria-pressed", String(!this.hidden.has(name)));
      button.title = `Show or hide ${name}`;
      button.innerHTML = `<span class="swatch" style="background:${category(place)}"></span>`;
      button.append(name);
      button.onclick = () => {
        if (this.hidden.has(name)) this.hidden.delete(name);
        else this.hidden.add(name);
        button.setAttribute("aria-pressed", String(!this.hidden.has(name)));
        this.draw();
      };
      this.tools.append(button);
    });
  }

  /** @returns {number[]} numbers of the units that are drawn */
  shown() {
    const found = [];
    for (let unit = 0; unit < this.app.samples.width; unit += 1) {
      const own = this.app.units[unit];
      const moves = own && this.app.model.neurons.includes(own.population);
      if (moves && !this.hidden.has(own.population)) found.push(unit);
    }
    return found;
  }

  draw() {
    const { samples } = this.app;
    const units = this.shown();
    const half = Math.floor(this.plot.clientHeight / 2);
    this.panels.forEach((panel, place) => {
      panel.host.style.cssText = `position:absolute;left:0;right:0;top:${place * half}px;height:${half}px`;
      if (!(panel.variable in samples.series)) return;
      const key = [units.join(), document.documentElement.dataset.theme, this.app.chosen, panel.variable].join("|");
      if (key !== panel.key) this.make(panel, units, half);
      panel.key = key;
      const made = /** @type {uPlot} */ (panel.chart);
      const width = this.plot.clientWidth;
      if (made.width !== width || made.height !== half) made.setSize({ width, height: half });
      const data = [samples.times.subarray(0, samples.count)];
      for (const unit of units) data.push(/** @type {any} */ (samples.series[panel.variable][unit].subarray(0, samples.count)));
      made.setData(/** @type {any} */ (data));
    });
  }

  /** @param {{ variable: string, host: HTMLElement, chart: uPlot | null }} panel @param {number[]} units @param {number} height */
  make(panel, units, height) {
    panel.chart?.destroy();
    const soft = ink("soft");
    const grid = { stroke: ink("grid"), width: 1 };
    const axis = { stroke: soft, grid, ticks: { show: false }, font: '11px system-ui, "DejaVu Sans", sans-serif', labelFont: '11px system-ui, "DejaVu Sans", sans-serif', labelSize: 14, gap: 3 };
    const series = units.map(() => ({ paths: () => null, points: { show: false } }));
    const last = panel.variable === "lam";
    panel.chart = new uPlot(
      /** @type {any} */ ({
        width: Math.max(this.plot.clientWidth, 50),
        height: Math.max(height, 50),
        legend: { show: false },
        cursor: { drag: { x: false, y: false }, points: { show: false } },
        scales: { x: { time: false }, y: { range: (/** @type {any} */ u, /** @type {number} */ low, /** @type {number} */ high) => padded(low, high) } },
        axes: [
          { ...axis, label: last ? "time (s)" : "", size: last ? 24 : 18, labelSize: last ? 14 : 0, space: 70 },
          { ...axis, label: NAMES[panel.variable], size: 44, space: 28, values: written },
        ],
        series: [{}, ...series],
        hooks: {
          drawClear: [(/** @type {uPlot} */ u) => this.reference(u, panel.variable, units)],
          draw: [(/** @type {uPlot} */ u) => this.lines(u, panel.variable, units)],
        },
        padding: [8, 12, 0, 0],
      }),
      /** @type {any} */ ([[], ...units.map(() => [])]),
      panel.host,
    );
    panel.chart.root.setAttribute("role", "img");
    panel.chart.root.setAttribute("aria-label", `${panel.variable} of ${units.length} units over time`);
  }

  /**
   * Draw the lines. uPlot makes a path and a clip of each; one path per colour takes half the time.
   * @param {uPlot} u @param {string} variable @param {number[]} units
   */
  lines(u, variable, units) {
    const { samples } = this.app;
    const chosen = this.app.chosenNumber();
    /** @type {Map<string, number[]>} */
    const byColour = new Map();
    for (const unit of units) {
      if (unit === chosen) continue;
      const colour = this.app.colour(unit);
      const own = byColour.get(colour);
      if (own) own.push(unit);
      else byColour.set(colour, [unit]);
    }
    const pen = u.ctx;
    pen.save();
    pen.beginPath();
    pen.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    pen.clip();
    pen.lineWidth = devicePixelRatio;
    pen.globalAlpha = chosen >= 0 ? 0.25 : units.length > 60 ? 0.75 : 0.95;
    for (const [colour, own] of byColour) stroke(u, samples, variable, own, colour);
    if (units.includes(chosen)) {
      pen.lineWidth = 2.5 * devicePixelRatio;
      pen.globalAlpha = 0.95;
      stroke(u, samples, variable, [chosen], this.app.colour(chosen));
    }
    pen.restore();
  }

  /** Draw the kept run. @param {uPlot} u @param {string} variable @param {number[]} units */
  reference(u, variable, units) {
    const kept = this.app.reference;
    if (!kept || !kept.series[variable]) return;
    const pen = u.ctx;
    pen.save();
    pen.beginPath();
    pen.rect(u.bbox.left, u.bbox.top, u.bbox.width, u.bbox.height);
    pen.clip();
    pen.lineWidth = devicePixelRatio;
    pen.globalAlpha = 0.7;
    const width = kept.series[variable].length;
    const own = units.filter((unit) => unit < width).slice(0, 64);
    stroke(u, kept, variable, own, ink("reference"));
    pen.restore();
  }

  themed() {
    this.layOut();
    for (const panel of this.panels) panel.key = "";
  }

  canvas() {
    const own = this.panels.map((panel) => panel.chart?.ctx.canvas).filter((found) => found !== undefined);
    const sheet = document.createElement("canvas");
    sheet.width = Math.max(...own.map((canvas) => canvas.width));
    sheet.height = own.reduce((sum, canvas) => sum + canvas.height, 0);
    const pen = /** @type {CanvasRenderingContext2D} */ (sheet.getContext("2d"));
    pen.fillStyle = ink("card");
    pen.fillRect(0, 0, sheet.width, sheet.height);
    let y = 0;
    for (const canvas of own) {
      pen.drawImage(canvas, 0, y);
      y += canvas.height;
    }
    return sheet;
  }

  svg() {
    const { samples } = this.app;
    const lines = this.shown().map((unit) => ({ h: samples.times, v: samples.series.x[unit], count: samples.count, colour: this.app.colour(unit) }));
    return chart(lines, "time (s)", "x (1)");
  }

  table() {
    const { samples } = this.app;
    const units = this.shown();
    const variables = Object.keys(samples.series);
    const columns = ["time (s)"];
    for (const variable of variables) for (const unit of units) columns.push(`${variable} ${this.app.unitName(unit)}`);
    const rows = [];
    for (let k = 0; k < samples.count; k += 1) {
      const row = [samples.times[k]];
      for (const variable of variables) for (const unit of units) row.push(samples.series[variable][unit][k]);
      rows.push(row);
    }
    return { columns, rows };
  }
}

/**
 * Draw the samples of units as one path; a value that is not finite leaves a gap. A sample that lies
 * within a quarter of a pixel of the line between its neighbours is left out, as the canvas pays for each.
 * @param {uPlot} u @param {import("../samples.js").Samples} samples @param {string} variable @param {number[]} units @param {string} colour
 */
function stroke(u, samples, variable, units, colour) {
  const { count } = samples;
  const left = u.valToPos(0, "x", true);
  const perSecond = u.valToPos(1, "x", true) - left;
  const bottom = u.valToPos(0, "y", true);
  const perOne = u.valToPos(1, "y", true) - bottom;
  const across = new Float64Array(count);
  for (let k = 0; k < count; k += 1) across[k] = left + perSecond * samples.times[k];
  const pen = u.ctx;
  pen.strokeStyle = colour;
  pen.beginPath();
  for (const unit of units) {
    const own = samples.series[variable][unit];
    let gap = true;
    let [x0, y0, x1, y1] = [0, 0, 0, 0]; // the last vertex, the last sample
    let [lowest, steepest] = [-Infinity, Infinity]; // slopes that pass near every sample since the vertex
    for (let k = 0; k < count; k += 1) {
      const x = across[k];
      const y = bottom + perOne * own[k];
      if (!Number.isFinite(y)) {
        if (!gap) pen.lineTo(x1, y1);
        gap = true;
        continue;
      }
      if (gap) {
        pen.moveTo(x, y);
        [x0, y0, lowest, steepest, gap] = [x, y, -Infinity, Infinity, false];
      } else {
        const slope = (y - y0) / (x - x0);
        if (slope < lowest || slope > steepest) {
          pen.lineTo(x1, y1);
          [x0, y0, lowest, steepest] = [x1, y1, -Infinity, Infinity];
        }
        lowest = Math.max(lowest, (y - y0 - NEAR) / (x - x0));
        steepest = Math.min(steepest, (y - y0 + NEAR) / (x - x0));
      }
      [x1, y1] = [x, y];
    }
    if (!gap) pen.lineTo(x1, y1);
  }
  pen.stroke();
}

/** @param {uPlot} _ @param {number[]} ticks @returns {string[]} */
function written(_, ticks) {
  const largest = Math.max(...ticks.map(Math.abs));
  const plain = largest >= 0.01 && largest < 10000;
  return ticks.map((tick) => (tick === 0 ? "0" : plain ? String(Number(tick.toPrecision(6))) : tick.toExponential(1)));
}

/** @param {number} low @param {number} high @returns {[number, number]} */
function padded(low, high) {
  if (!Number.isFinite(low) || !Number.isFinite(high)) return [-1, 1];
  const span = Math.max(high - low, 1e-9 + 1e-6 * Math.abs(high));
  return [low - 0.06 * span, high + 0.06 * span];
}
