// The phase plane of two variables: the way of the state, and arrows that say where it is driven.

import { Plane, Sheet, dot, line } from "../canvas.js";
import { category, ink } from "../colours.js";
import { chart } from "../svg.js";

/** @typedef {import("../main.js").App} App */

const ARROWS = 13;

export class Phase {
  /** @param {App} app @param {HTMLElement} plot @param {HTMLElement} tools @param {HTMLElement} caption */
  constructor(app, plot, tools, caption) {
    this.app = app;
    this.sheet = new Sheet(plot, "phase plane of two variables");
    this.tools = tools;
    /** @type {HTMLSelectElement[]} */
    this.menus = [];
    /** @type {any} */
    this.found = null;
    this.asked = 0;
    this.bounds = /** @type {[number, number, number, number] | null} */ (null);
    caption.textContent = app.model.playback ? "the way of the state" : "Arrows are the rates of change through the present state. Click to start from a point.";
    this.sheet.element.onclick = (event) => this.place(event);
    this.layOut();
  }

  layOut() {
    this.tools.replaceChildren();
    this.menus = [];
    const units = this.app.units.map((own, place) => ({ ...own, place }));
    const moving = units.filter((own) => this.app.model.neurons.includes(own.population)).slice(0, 400);
    const first = moving[0]?.place ?? 0;
    [["h", "x", first], ["v", "lam", first]].forEach(([axis, variable, unit]) => {
      const menu = document.createElement("select");
      menu.setAttribute("aria-label", axis === "h" ? "horizontal axis" : "vertical axis");
      for (const name of ["x", "lam"]) {
        if (!(name in this.app.samples.series) && this.app.samples.width) continue;
        for (const own of moving) menu.append(new Option(`${name === "lam" ? "λ" : "x"} ${own.population}[${own.index}]`, `${name}:${own.place}`));
      }
      menu.value = `${variable}:${unit}`;
      menu.onchange = () => {
        this.found = null;
        this.bounds = null;
        this.draw();
      };
      this.menus.push(menu);
      this.tools.append(menu);
    });
  }

  /** @param {number} axis @returns {{ variable: string, unit: number }} */
  axis(axis) {
    const [variable, unit] = (this.menus[axis].value || "x:0").split(":");
    return { variable, unit: Number(unit) };
  }

  /** @returns {Float32Array[]} the two series */
  series() {
    return [0, 1].map((k) => {
      const { variable, unit } = this.axis(k);
      return this.app.samples.series[variable]?.[unit] ?? new Float32Array(0);
    });
  }

  fitBounds() {
    const { count } = this.app.samples;
    const found = this.series().map((own) => {
      let [low, high] = [Infinity, -Infinity];
      for (let k = 0; k < count; k += 1) {
        low = Math.min(low, own[k]);
        high = Math.max(high, own[k]);
      }
      if (!Number.isFinite(low)) [low, high] = [-1, 1];
      const pad = Math.max(0.25 * (high - low), 0.02 + 0.02 * Math.abs(high));
      return [low - pad, high + pad];
    });
    const [l, r] = found[0];
    const [b, t] = found[1];
    const old = this.bounds;
    const inside = old && l + 0.1 * (r - l) >= old[0] && r - 0.1 * (r - l) <= old[1] && b + 0.1 * (t - b) >= old[2] && t - 0.1 * (t - b) <= old[3];
    const wide = old && (old[1] - old[0] > 3 * (r - l) || old[3] - old[2] > 3 * (t - b));
    if (!inside || wide) this.bounds = /** @type {[number, number, number, number]} */ ([l, r, b, t]);
  }

  draw() {
    if (!this.app.samples.count) return;
    this.fitBounds();
    const now = performance.now();
    if (!this.app.model.playback && now - this.asked > 250 && this.bounds) {
      this.asked = now;
      const [left, right, bottom, top] = this.bounds;
      const axes = [0, 1].map((k) => {
        const { variable, unit } = this.axis(k);
        return [variable, this.app.units[unit].population, this.app.units[unit].index];
      });
      this.app.send({ type: "field", h: axes[0], v: axes[1], low: [left, bottom], high: [right, top], count: ARROWS });
    }
    this.paint();
  }

  /** @param {any} message */
  answer(message) {
    if (message.type === "field") this.found = message;
  }

  /** @returns {string[]} */
  names() {
    return [0, 1].map((k) => this.menus[k].selectedOptions[0]?.textContent ?? "");
  }

  paint() {
    const pen = this.sheet.begin();
    if (!this.bounds) return;
    const [h, v] = this.names();
    const plane = new Plane(this.sheet, this.bounds, `${h} (1)`, `${v} (1)`);
    this.plane = plane;
    plane.axes();
    const [one, other] = this.series();
    const { count } = this.app.samples;
    plane.within(() => {
      if (this.found) this.arrows(plane);
      pen.strokeStyle = category(0);
      pen.lineWidth = 1.6;
      pen.lineJoin = "round";
      pen.beginPath();
      for (let k = 0; k < count; k += 1) pen.lineTo(plane.h(one[k]), plane.v(other[k]));
      pen.stroke();
      if (!count) return;
      pen.fillStyle = category(1);
      dot(pen, plane.h(one[count - 1]), plane.v(other[count - 1]), 5);
    });
  }

  /** @param {Plane} plane */
  arrows(plane) {
    const pen = this.sheet.pen;
    const { h, v, dh, dv } = this.found;
    const scaleH = plane.box.w / (plane.right - plane.left);
    const scaleV = plane.box.h / (plane.top - plane.bottom);
    const sizes = dh.map((/** @type {number} */ value, /** @type {number} */ k) => Math.hypot(value * scaleH, dv[k] * scaleV));
    const most = Math.max(...sizes, 1e-12);
    const length = (0.75 * Math.min(plane.box.w, plane.box.h)) / ARROWS;
    pen.strokeStyle = ink("soft");
    pen.fillStyle = ink("soft");
    pen.lineWidth = 1.1;
    for (let k = 0; k < h.length; k += 1) {
      const size = sizes[k] || 1e-12;
      const reach = length * Math.max(0.25, Math.sqrt(size / most));
      const x = plane.h(h[k]);
      const y = plane.v(v[k]);
      const dx = ((dh[k] * scaleH) / size) * reach;
      const dy = ((-dv[k] * scaleV) / size) * reach;
      pen.globalAlpha = 0.25 + 0.6 * Math.sqrt(size / most);
      line(pen, x - dx / 2, y - dy / 2, x + dx / 2, y + dy / 2);
      dot(pen, x + dx / 2, y + dy / 2, 1.8);
    }
    pen.globalAlpha = 1;
  }

  /** @param {MouseEvent} event */
  place(event) {
    if (!this.plane || this.app.model.playback) return;
    const box = this.sheet.element.getBoundingClientRect();
    const values = this.plane.at(event.clientX - box.left, event.clientY - box.top);
    /** @type {Record<string, Record<string, Record<number, number>>>} */
    const given = {};
    values.forEach((value, k) => {
      const { variable, unit } = this.axis(k);
      const { population, index } = this.app.units[unit];
      ((given[variable] ??= {})[population] ??= {})[index] = value;
    });
    this.app.send({ type: "place", ...given });
  }

  canvas() {
    return this.sheet.element;
  }

  svg() {
    const [one, other] = this.series();
    const [h, v] = this.names();
    return chart([{ h: one, v: other, count: this.app.samples.count, colour: category(0) }], h, v);
  }

  table() {
    const [one, other] = this.series();
    const rows = [];
    for (let k = 0; k < this.app.samples.count; k += 1) rows.push([this.app.samples.times[k], one[k], other[k]]);
    return { columns: ["time (s)", ...this.names()], rows };
  }
}
