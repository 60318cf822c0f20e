// A picture as SVG text: lines over labelled axes, or a canvas as it is.

import { label, ticks } from "./canvas.js";
import { ink } from "./colours.js";

const WIDTH = 720;
const HEIGHT = 420;
const BOX = { x: 64, y: 16, w: 640, h: 350 };

/** @param {string} text @returns {string} */
function safe(text) {
  return text.replace(/[&<>"]/g, (c) => ({ "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;" })[c] ?? c);
}

/**
 * @param {{ h: ArrayLike<number>, v: ArrayLike<number>, count: number, colour: string, dots?: boolean }[]} lines
 * @param {string} h name of the horizontal axis @param {string} v name of the vertical one
 * @returns {string}
 */
export function chart(lines, h, v) {
  let [left, right, low, high] = [Infinity, -Infinity, Infinity, -Infinity];
  for (const own of lines) {
    for (let k = 0; k < own.count; k += 1) {
      if (!Number.isFinite(own.v[k])) continue;
      left = Math.min(left, own.h[k]);
      right = Math.max(right, own.h[k]);
      low = Math.min(low, own.v[k]);
      high = Math.max(high, own.v[k]);
    }
  }
  if (!(right > left)) [left, right] = [(left || 0) - 1, (left || 0) + 1];
  if (!(high > low)) [low, high] = [(low || 0) - 1, (low || 0) + 1];
  const x = (/** @type {number} */ value) => (BOX.x + (BOX.w * (value - left)) / (right - left)).toFixed(2);
  const y = (/** @type {number} */ value) => (BOX.y + BOX.h * (1 - (value - low) / (high - low))).toFixed(2);
  const parts = [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" font-family="sans-serif" font-size="12">`,
    `<rect width="${WIDTH}" height="${HEIGHT}" fill="${ink("card")}"/>`,
  ];
  for (const value of ticks(left, right, 8)) {
    parts.push(`<path d="M${x(value)} ${BOX.y}V${BOX.y + BOX.h}" stroke="${ink("grid")}"/>`);
    parts.push(`<text x="${x(value)}" y="${BOX.y + BOX.h + 16}" text-anchor="middle" fill="${ink("soft")}">${label(value)}</text>`);
  }
  for (const value of ticks(low, high, 8)) {
    parts.push(`<path d="M${BOX.x} ${y(value)}H${BOX.x + BOX.w}" stroke="${ink("grid")}"/>`);
    parts.push(`<text x="${BOX.x - 6}" y="${y(value)}" dy="4" text-anchor="end" fill="${ink("soft")}">${label(value)}</text>`);
  }
  for (const own of lines) {
    const points = [];
    for (let k = 0; k < own.count; k += 1) if (Number.isFinite(own.v[k])) points.push(`${x(own.h[k])},${y(own.v[k])}`);
    if (own.dots) for (const point of points) parts.push(`<circle cx="${point.split(",")[0]}" cy="${point.split(",")[1]}" r="3" fill="${own.colour}"/>`);
    else if (points.length) parts.push(`<polyline fill="none" stroke="${own.colour}" stroke-width="1.3" points="${points.join(" ")}"/>`);
  }
  parts.push(`<text x="${BOX.x + BOX.w / 2}" y="${HEIGHT - 10}" text-anchor="middle" fill="${ink("ink")}">${safe(h)}</text>`);
  parts.push(`<text transform="translate(16 ${BOX.y + BOX.h / 2}) rotate(-90)" text-anchor="middle" fill="${ink("ink")}">${safe(v)}</text></svg>`);
  return parts.join("\n");
}

/** @param {HTMLCanvasElement} canvas @returns {string} */
export function picture(canvas) {
  const { width, height } = canvas;
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}"><image width="${width}" height="${height}" href="${canvas.toDataURL("image/png")}"/></svg>`;
}
