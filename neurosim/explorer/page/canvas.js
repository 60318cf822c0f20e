// A canvas that follows its host's size, and a small plane with axes to draw in.

import { ink } from "./colours.js";

export class Sheet {
  /** @param {HTMLElement} host @param {string} label for screen readers */
  constructor(host, label) {
    this.element = document.createElement("canvas");
    this.element.className = "own";
    this.element.setAttribute("role", "img");
    this.element.setAttribute("aria-label", label);
    host.append(this.element);
    this.pen = /** @type {CanvasRenderingContext2D} */ (this.element.getContext("2d"));
    this.width = 0;
    this.height = 0;
  }

  /** Clear, at the present size in CSS pixels. @returns {CanvasRenderingContext2D} */
  begin() {
    const ratio = devicePixelRatio || 1;
    const width = this.element.clientWidth;
    const height = this.element.clientHeight;
    if (this.element.width !== Math.round(width * ratio) || this.element.height !== Math.round(height * ratio)) {
      this.element.width = Math.round(width * ratio);
      this.element.height = Math.round(height * ratio);
    }
    this.width = width;
    this.height = height;
    this.pen.setTransform(ratio, 0, 0, ratio, 0, 0);
    this.pen.clearRect(0, 0, width, height);
    this.pen.font = '11px system-ui, "DejaVu Sans", sans-serif';
    this.pen.lineWidth = 1;
    this.pen.globalAlpha = 1;
    return this.pen;
  }
}

/** @param {number} low @param {number} high @param {number} most @returns {number[]} round numbers in between */
export function ticks(low, high, most) {
  const span = high - low;
  if (!(span > 0)) return [low];
  const rough = span / most;
  const power = 10 ** Math.floor(Math.log10(rough));
  const unit = [1, 2, 5, 10].map((k) => k * power).find((step) => span / step <= most) ?? 10 * power;
  const found = [];
  for (let value = Math.ceil(low / unit) * unit; value <= high + 1e-9 * span; value += unit) found.push(value);
  return found;
}

/** @param {number} value @returns {string} */
export function label(value) {
  if (Math.abs(value) < 1e-12) return "0";
  const size = Math.abs(value);
  return size >= 1e4 || size < 1e-3 ? value.toExponential(0) : String(Number(value.toPrecision(3)));
}

/** A plane with axes on a sheet. */
export class Plane {
  /** @param {Sheet} sheet @param {[number, number, number, number]} bounds low and high of h, of v @param {string} h @param {string} v */
  constructor(sheet, bounds, h, v) {
    const [left, right, bottom, top] = bounds;
    this.left = left;
    this.right = right;
    this.bottom = bottom;
    this.top = top;
    this.sheet = sheet;
    this.box = { x: 56, y: 10, w: Math.max(sheet.width - 70, 10), h: Math.max(sheet.height - 48, 10) };
    this.names = [h, v];
  }

  /** @param {number} value @returns {number} */
  h(value) {
    return this.box.x + (this.box.w * (value - this.left)) / (this.right - this.left);
  }

  /** @param {number} value @returns {number} */
  v(value) {
    return this.box.y + this.box.h * (1 - (value - this.bottom) / (this.top - this.bottom));
  }

  /** @param {number} x @param {number} y pixels @returns {[number, number]} the values there */
  at(x, y) {
    const h = this.left + ((x - this.box.x) / this.box.w) * (this.right - this.left);
    const v = this.bottom + (1 - (y - this.box.y) / this.box.h) * (this.top - this.bottom);
    return [h, v];
  }

  axes() {
    const pen = this.sheet.pen;
    const { x, y, w, h } = this.box;
    pen.strokeStyle = ink("grid");
    pen.fillStyle = ink("soft");
    pen.textAlign = "center";
    pen.textBaseline = "top";
    for (const value of ticks(this.left, this.right, Math.max(2, w / 80))) {
      line(pen, this.h(value), y, this.h(value), y + h);
      pen.fillText(label(value), this.h(value), y + h + 4);
    }
    pen.textAlign = "right";
    pen.textBaseline = "middle";
    for (const value of ticks(Math.min(this.bottom, this.top), Math.max(this.bottom, this.top), Math.max(2, h / 40))) {
      line(pen, x, this.v(value), x + w, this.v(value));
      pen.fillText(label(value), x - 5, this.v(value));
    }
    pen.strokeStyle = ink("line");
    pen.strokeRect(x, y, w, h);
    pen.fillStyle = ink("ink");
    pen.textAlign = "center";
    pen.textBaseline = "bottom";
    pen.fillText(this.names[0], x + w / 2, this.sheet.height - 2);
    pen.save();
    pen.translate(11, y + h / 2);
    pen.rotate(-Math.PI / 2);
    pen.textBaseline = "middle";
    pen.fillText(this.names[1], 0, 0);
    pen.restore();
  }

  /** Draw only within the axes. @param {() => void} draw */
  within(draw) {
    const pen = this.sheet.pen;
    pen.save();
    pen.beginPath();
    pen.rect(this.box.x, this.box.y, this.box.w, this.box.h);
    pen.clip();
    draw();
    pen.restore();
  }
}

/** @param {CanvasRenderingContext2D} pen @param {number} x @param {number} y @param {number} u @param {number} v */
export function line(pen, x, y, u, v) {
  pen.beginPath();
  pen.moveTo(x, y);
  pen.lineTo(u, v);
  pen.stroke();
}

/** @param {CanvasRenderingContext2D} pen @param {number} x @param {number} y @param {number} r */
export function dot(pen, x, y, r) {
  pen.beginPath();
  pen.arc(x, y, r, 0, 2 * Math.PI);
  pen.fill();
}
