// The modes of the saddle point in the complex plane, with the stability region of the integrator.

import { Plane, Sheet, dot } from "../canvas.js";
import { category, ink } from "../colours.js";
import { chart } from "../svg.js";

/** @typedef {import("../main.js").App} App */

/** |growth per step| of each method at z = λ dt. @type {Record<string, ((re: number, im: number) => number) | undefined>} */
const GROWTH = {
  euler: (re, im) => Math.hypot(1 + re, im),
  heun: (re, im) => polynomial(re, im, [1, 1, 0.5]),
  rk4: (re, im) => polynomial(re, im, [1, 1, 0.5, 1 / 6, 1 / 24]),
};

/** @param {number} re @param {number} im @param {number[]} factors @returns {number} */
function polynomial(re, im, factors) {
  let [x, y] = [0, 0];
  for (const factor of [...factors].reverse()) [x, y] = [x * re - y * im + factor, x * im + y * re];
  return Math.hypot(x, y);
}

export class Spectrum {
  /** @param {App} app @param {HTMLElement} plot @param {HTMLElement} tools @param {HTMLElement} caption */
  constructor(app, plot, tools, caption) {
    this.app = app;
    this.sheet = new Sheet(plot, "modes of the saddle point in the complex plane");
    this.caption = caption;
    /** @type {any} */
    this.found = null;
    this.version = -1;
    this.asked = 0;
    this.pending = false; // an answer has not come yet
    caption.textContent = "computing the modes …";
    this.tools = tools;
  }

  draw() {
    const now = performance.now();
    const stale = this.version !== this.app.version || (this.app.model.plastic && now - this.asked > 2000);
    // not before the first frame, which would wait for it
    if (stale && this.app.drawn && !this.pending && now - this.asked > 150) {
      this.pending = true;
      this.version = this.app.version;
      this.asked = now;
      this.app.send({ type: "spectrum" });
    }
    this.paint();
  }

  /** @param {any} message */
  answer(message) {
    if (message.type !== "spectrum") return;
    this.pending = false;
    this.found = message;
    this.caption.textContent = message.text;
    this.caption.title = message.text;
    this.paint();
  }

  /** @param {string} text */
  refused(text) {
    this.pending = false;
    this.caption.textContent = text;
  }

  paint() {
    const pen = this.sheet.begin();
    if (!this.found) return;
    const { re, im, dt, method } = this.found;
    const reach = Math.max(...im.map(Math.abs), 1) * 1.15;
    const left = Math.min(...re, -0.1 * reach);
    const right = Math.max(...re, 0);
    const pad = 0.12 * (right - left);
    const plane = new Plane(this.sheet, [left - pad, right + pad, -reach, reach], "decay (left) or growth (right), Re (1/s)", "Im (1/s)");
    const growth = GROWTH[method];
    if (growth) this.region(plane, (x, y) => growth(x * dt, y * dt) <= 1);
    plane.axes();
    pen.strokeStyle = ink("soft");
    pen.setLineDash([4, 3]);
    pen.beginPath();
    pen.moveTo(plane.h(0), plane.box.y);
    pen.lineTo(plane.h(0), plane.box.y + plane.box.h);
    pen.stroke();
    pen.setLineDash([]);
    plane.within(() => {
      for (let k = re.length - 1; k >= 0; k -= 1) {
        const grows = re[k] > 1e-9 * reach;
        pen.fillStyle = grows ? category(1) : category(0);
        pen.globalAlpha = 0.85;
        dot(pen, plane.h(re[k]), plane.v(im[k]), k < 2 ? 5 : 3.2);
        if (k < 2) {
          pen.strokeStyle = ink("ink");
          pen.stroke();
        }
      }
      pen.globalAlpha = 1;
    });
    if (growth) {
      pen.fillStyle = ink("soft");
      pen.textAlign = "left";
      pen.textBaseline = "top";
      pen.fillText(`shaded: dt = ${Number((1000 * dt).toPrecision(3))} ms is stable (${method})`, plane.box.x + 6, plane.box.y + 5);
    }
  }

  /** @param {Plane} plane @param {(x: number, y: number) => boolean} inside */
  region(plane, inside) {
    const pen = this.sheet.pen;
    pen.fillStyle = category(2);
    pen.globalAlpha = 0.13;
    const cell = 4;
    for (let y = plane.box.y; y < plane.box.y + plane.box.h; y += cell) {
      let start = -1;
      for (let x = plane.box.x; x <= plane.box.x + plane.box.w; x += cell) {
        const [h, v] = plane.at(x + cell / 2, y + cell / 2);
        const within = x + cell <= plane.box.x + plane.box.w && inside(h, v);
        if (within && start < 0) start = x;
        if (!within && start >= 0) {
          pen.fillRect(start, y, x - start, cell);
          start = -1;
        }
      }
    }
    pen.globalAlpha = 1;
  }

  canvas() {
    return this.sheet.element;
  }

  svg() {
    const { re, im } = this.found ?? { re: [], im: [] };
    return chart([{ h: re, v: im, count: re.length, colour: category(0), dots: true }], "Re (1/s)", "Im (1/s)");
  }

  table() {
    const { re, im } = this.found ?? { re: [], im: [] };
    return { columns: ["real (1/s)", "imaginary (1/s)"], rows: re.map((/** @type {number} */ value, /** @type {number} */ k) => [value, im[k]]) };
  }
}
