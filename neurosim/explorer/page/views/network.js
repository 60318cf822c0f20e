// The network: units coloured by x or λ, synapses, events as they travel; click a unit to choose it.

import { Sheet, dot, line } from "../canvas.js";
import { category, diverging, ink } from "../colours.js";
import { picture } from "../svg.js";

/** @typedef {import("../main.js").App} App */

const MOST_ROWS = 24; // units of a column; more stand in several columns

export class NetworkView {
  /** @param {App} app @param {HTMLElement} plot @param {HTMLElement} tools @param {HTMLElement} caption */
  constructor(app, plot, tools, caption) {
    this.app = app;
    this.sheet = new Sheet(plot, "the network; arrow keys choose a unit");
    this.caption = caption;
    this.variable = "x";
    const menu = document.createElement("select");
    menu.setAttribute("aria-label", "colour by");
    menu.append(new Option("colour: x", "x"), new Option("colour: λ", "lam"));
    menu.onchange = () => {
      this.variable = menu.value;
      this.draw();
    };
    tools.append(menu);
    const canvas = this.sheet.element;
    canvas.tabIndex = 0;
    canvas.onclick = (event) => this.choose(event);
    canvas.onkeydown = (event) => this.key(event);
    /** @type {{ unit: number, x: number, y: number }[]} */
    this.places = [];
  }

  /** Lay out all units of populations with a state. */
  layOut() {
    const { neurons } = this.app.model;
    const inputs = this.app.model.populations.filter((own) => own.clamped && !neurons.includes(own.name));
    const columns = [...inputs.map((own) => own.name), ...neurons];
    const { width, height } = this.sheet;
    const gap = width / columns.length;
    this.places = [];
    /** @type {Record<string, { x: number, y: number }[]>} */
    this.columns = {};
    columns.forEach((name, column) => {
      const size = this.app.model.populations.find((own) => own.name === name)?.size ?? 0;
      const own = [];
      const lanes = Math.min(Math.ceil(size / MOST_ROWS), Math.max(1, Math.floor((gap - 20) / 7)));
      const rows = Math.ceil(size / lanes);
      const step = Math.min((height - 52) / rows, 30);
      const lane = lanes > 1 ? Math.min((gap - 16) / lanes, step) : 0;
      for (let k = 0; k < size; k += 1) {
        const x = (column + 0.5) * gap + ((k % lanes) - (lanes - 1) / 2) * lane;
        const y = height / 2 + 8 + (Math.floor(k / lanes) - (rows - 1) / 2) * step;
        own.push({ x, y });
      }
      /** @type {any} */ (this.columns)[name] = own;
    });
    this.app.units.forEach((own, unit) => {
      const place = /** @type {any} */ (this.columns)[own.population]?.[own.index];
      if (place) this.places.push({ unit, ...place });
    });
    const dense = Math.max(...Object.values(this.columns).map((own) => own.length));
    this.radius = Math.max(1.6, Math.min(9, (height - 52) / Math.min(dense, MOST_ROWS) / 2.4));
  }

  draw() {
    const pen = this.sheet.begin();
    this.layOut();
    this.synapses(pen);
    const { samples } = this.app;
    let most = 1e-9;
    for (const { unit } of this.places) most = Math.max(most, Math.abs(samples.last(this.variable, unit)) || 0);
    const radius = this.radius ?? 3;
    for (const own of this.app.model.populations.filter((found) => found.clamped)) {
      pen.fillStyle = ink("line");
      for (const place of this.columns?.[own.name] ?? []) dot(pen, place.x, place.y, Math.min(radius, 4));
    }
    for (const { unit, x, y } of this.places) {
      if (!Number.isFinite(samples.last(this.variable, unit))) continue;
      pen.fillStyle = diverging(samples.last(this.variable, unit) / most);
      dot(pen, x, y, radius);
      pen.strokeStyle = ink("soft");
      pen.lineWidth = 0.6;
      pen.stroke();
      const sent = this.app.sent(unit);
      if (sent) {
        pen.strokeStyle = category(1);
        pen.lineWidth = 2;
        pen.beginPath();
        pen.arc(x, y, radius + 2.5, 0, 2 * Math.PI);
        pen.stroke();
      }
      const { population, index } = this.app.units[unit];
      if (this.app.model.held[population]?.includes(index)) {
        pen.strokeStyle = ink("ink");
        pen.lineWidth = 2;
        pen.strokeRect(x - radius - 2, y - radius - 2, 2 * radius + 4, 2 * radius + 4);
      }
      if (unit === this.app.chosenNumber()) {
        pen.strokeStyle = ink("main");
        pen.lineWidth = 2.5;
        pen.beginPath();
        pen.arc(x, y, radius + 4, 0, 2 * Math.PI);
        pen.stroke();
      }
    }
    pen.fillStyle = ink("soft");
    pen.textAlign = "center";
    pen.textBaseline = "top";
    const names = Object.keys(this.columns ?? {});
    names.forEach((name, column) => pen.fillText(name, ((column + 0.5) * this.sheet.width) / names.length, 6));
    const symbol = this.variable === "x" ? "x" : "λ";
    const rate = this.app.lastMeasures.operations;
    const cost = rate === undefined ? "" : ` · ${compact(rate)} operations/s, dense ${compact(this.app.lastMeasures.dense_operations)}`;
    this.caption.textContent = `${symbol} from ${-Number(most.toPrecision(2))} (blue) to ${Number(most.toPrecision(2))} (orange)${cost}`;
  }

  /** @param {CanvasRenderingContext2D} pen */
  synapses(pen) {
    for (const q of this.app.model.projections) {
      const from = this.columns?.[q.pre] ?? [];
      const to = this.columns?.[q.post] ?? [];
      if (!q.weights || !from.length || !to.length) {
        if (from.length && to.length) {
          pen.strokeStyle = ink("line");
          pen.lineWidth = 6;
          line(pen, mean(from, "x") + 12, mean(from, "y"), mean(to, "x") - 12, mean(to, "y"));
        }
        continue;
      }
      let most = 1e-9;
      for (const row of q.weights) for (const w of row) most = Math.max(most, Math.abs(w));
      pen.lineWidth = 1;
      q.weights.forEach((row, post) =>
        row.forEach((w, pre) => {
          const share = Math.abs(w) / most;
          if (share < 0.08 || !from[pre] || !to[post]) return;
          pen.strokeStyle = w < 0 ? category(0) : category(1);
          pen.globalAlpha = 0.06 + 0.3 * share * share;
          line(pen, from[pre].x, from[pre].y, to[post].x, to[post].y);
        }),
      );
      pen.globalAlpha = 1;
    }
  }

  /** @param {MouseEvent} event */
  choose(event) {
    const box = this.sheet.element.getBoundingClientRect();
    let [best, nearest] = [-1, 20];
    for (const { unit, x, y } of this.places) {
      const distance = Math.hypot(x - (event.clientX - box.left), y - (event.clientY - box.top));
      if (distance < nearest) [best, nearest] = [unit, distance];
    }
    this.app.choose(best === this.app.chosenNumber() ? -1 : best);
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const step = /** @type {Record<string, number>} */ ({ ArrowDown: 1, ArrowRight: 1, ArrowUp: -1, ArrowLeft: -1 })[event.key];
    if (!step) return;
    event.preventDefault();
    const count = this.app.units.length;
    this.app.choose((this.app.chosenNumber() + step + count) % count);
  }

  canvas() {
    return this.sheet.element;
  }

  svg() {
    return picture(this.sheet.element);
  }

  table() {
    const { samples } = this.app;
    const rows = this.app.units.map((own, unit) => [own.population, own.index, samples.last("x", unit), samples.last("lam", unit)]);
    return { columns: ["population", "unit", "x", "lambda"], rows };
  }
}

/** @param {{ x: number, y: number }[]} places @param {"x" | "y"} axis @returns {number} */
function mean(places, axis) {
  return places.reduce((sum, place) => sum + place[axis], 0) / places.length;
}

/** @param {number} value @returns {string} */
export function compact(value) {
  return new Intl.NumberFormat("en", { notation: "compact", maximumSignificantDigits: 3 }).format(value);
}
