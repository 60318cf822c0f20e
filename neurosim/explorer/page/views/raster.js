// A raster of events: a mark for each sample in which a unit has sent.

import { Plane, Sheet } from "../canvas.js";
import { ink } from "../colours.js";
import { picture } from "../svg.js";
import { compact } from "./network.js";

/** @typedef {import("../main.js").App} App */

export class Raster {
  /** @param {App} app @param {HTMLElement} plot @param {HTMLElement} tools @param {HTMLElement} caption */
  constructor(app, plot, tools, caption) {
    this.app = app;
    this.sheet = new Sheet(plot, "raster of events, one row per unit");
    this.caption = caption;
    this.tools = tools;
  }

  draw() {
    const pen = this.sheet.begin();
    const { samples, model } = this.app;
    const counts = samples.series.events_x;
    if (!counts) {
      this.caption.textContent = model.events ? "waiting for events …" : "Messages of this model are dense: every unit sends x and δ at every step.";
      pen.fillStyle = ink("soft");
      pen.textAlign = "center";
      pen.textBaseline = "middle";
      pen.fillText("no events: dense messages", this.sheet.width / 2, this.sheet.height / 2);
      return;
    }
    const first = samples.times[0];
    const last = samples.times[Math.max(samples.count - 1, 0)];
    const plane = new Plane(this.sheet, [first, last > first ? last : first + 1e-3, samples.width, 0], "time (s)", "unit, inputs above");
    plane.axes();
    const tall = Math.max(1, plane.box.h / samples.width - 0.5);
    plane.within(() => {
      for (let unit = 0; unit < samples.width; unit += 1) {
        pen.fillStyle = this.app.colour(unit);
        const forward = counts[unit];
        const backward = samples.series.events_delta?.[unit];
        for (let k = 1; k < samples.count; k += 1) {
          const sent = forward[k] > forward[k - 1] || (backward && backward[k] > backward[k - 1]);
          if (sent) pen.fillRect(plane.h(samples.times[k]) - 0.7, plane.v(unit + 0.75), 1.6, tall);
        }
      }
    });
    const { operations, dense_operations: dense } = this.app.lastMeasures;
    if (operations !== undefined) {
      const times = operations > 0 ? `${(dense / operations).toPrecision(3)} times fewer` : "none";
      this.caption.textContent = `${compact(operations)} synaptic operations per second; dense messages need ${compact(dense)}: ${times}`;
    }
  }

  canvas() {
    return this.sheet.element;
  }

  svg() {
    return picture(this.sheet.element);
  }

  table() {
    const { samples } = this.app;
    const counts = samples.series.events_x ?? [];
    const rows = [];
    for (let unit = 0; unit < counts.length; unit += 1) {
      for (let k = 1; k < samples.count; k += 1) {
        if (counts[unit][k] > counts[unit][k - 1]) rows.push([samples.times[k], this.app.unitName(unit)]);
      }
    }
    return { columns: ["time (s)", "unit that sent x"], rows };
  }
}
