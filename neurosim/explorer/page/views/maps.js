// The shown input and the weights onto each unit that receives from it, as images.

import { Sheet } from "../canvas.js";
import { diverging, ink } from "../colours.js";
import { picture } from "../svg.js";

/** @typedef {import("../main.js").App} App */

export class Maps {
  /** @param {App} app @param {HTMLElement} plot @param {HTMLElement} tools @param {HTMLElement} caption */
  constructor(app, plot, tools, caption) {
    this.app = app;
    this.sheet = new Sheet(plot, "input and feature maps as images");
    this.caption = caption;
    /** @type {{ inputs: any[], maps: any[] }} */
    this.found = { inputs: [], maps: [] };
    this.version = -1;
    this.asked = 0;
    this.tools = tools;
  }

  draw() {
    const now = performance.now();
    const stale = this.version !== this.app.version || this.app.model.plastic;
    if (stale && now - this.asked > 500 && !this.app.model.playback) {
      this.version = this.app.version;
      this.asked = now;
      this.app.send({ type: "maps" });
    }
    const pen = this.sheet.begin();
    const all = [...this.found.inputs, ...this.found.maps];
    if (!all.length) {
      this.caption.textContent = this.app.model.playback ? "a saved run has no maps to show" : "";
      return;
    }
    const { width, height } = this.sheet;
    const columns = Math.ceil(Math.sqrt((all.length * width) / Math.max(height, 1)));
    const rows = Math.ceil(all.length / columns);
    const cell = Math.min(width / columns, height / rows);
    all.forEach((own, k) => {
      const x = (k % columns) * cell + (width - columns * cell) / 2 + 4;
      const y = Math.floor(k / columns) * cell + 4;
      this.image(pen, own, x, y, cell - 8);
    });
    this.caption.textContent = `input, then weights onto ${this.found.maps.length} units: blue negative, orange positive, each scaled by its largest`;
  }

  /** @param {CanvasRenderingContext2D} pen @param {{ name: string, values: number[] }} own @param {number} x @param {number} y @param {number} size */
  image(pen, own, x, y, size) {
    const count = own.values.length;
    const side = Math.ceil(Math.sqrt(count));
    const across = side * side === count ? side : count <= 12 ? count : side;
    const down = Math.ceil(count / across);
    const room = size > 44 ? 14 : 0;
    const pixel = Math.min(size / across, (size - room) / down);
    const most = Math.max(...own.values.map(Math.abs), 1e-9);
    own.values.forEach((value, k) => {
      pen.fillStyle = diverging(value / most);
      pen.fillRect(x + (k % across) * pixel, y + room + Math.floor(k / across) * pixel, pixel + 0.3, pixel + 0.3);
    });
    pen.strokeStyle = ink("line");
    pen.strokeRect(x, y + room, across * pixel, down * pixel);
    if (!room) return;
    pen.fillStyle = ink("soft");
    pen.textAlign = "left";
    pen.textBaseline = "top";
    pen.fillText(own.name, x, y, size);
  }

  /** @param {any} message */
  answer(message) {
    if (message.type === "maps") this.found = message;
  }

  canvas() {
    return this.sheet.element;
  }

  svg() {
    return picture(this.sheet.element);
  }

  table() {
    const rows = [...this.found.inputs, ...this.found.maps].map((own) => [own.name, ...own.values]);
    return { columns: ["name", "values"], rows };
  }
}
