// The last samples of every unit, as typed arrays that a plot reads without copying.

/** @typedef {import("./types").Frame} Frame */

export const LENGTH = 1000;

export class Samples {
  constructor() {
    this.times = new Float64Array(LENGTH);
    this.count = 0;
    this.width = 0;
    /** @type {Record<string, Float32Array[]>} */
    this.series = {};
  }

  clear() {
    this.count = 0;
  }

  /** @param {Frame} frame */
  append(frame) {
    const { samples, width, variables } = frame;
    if (!samples) return;
    const fits = this.width === width && variables.every((name) => name in this.series);
    if (!fits) this.layOut(width, variables);
    const kept = Math.min(this.count, LENGTH - samples);
    const first = this.count - kept;
    if (first > 0) {
      this.times.copyWithin(0, first, this.count);
      for (const name of variables) for (const own of this.series[name]) own.copyWithin(0, first, this.count);
    }
    this.times.set(frame.times, kept);
    for (const name of variables) {
      const rows = frame.values[name];
      for (let unit = 0; unit < width; unit += 1) {
        const own = this.series[name][unit];
        for (let k = 0, place = unit; k < samples; k += 1, place += width) own[kept + k] = rows[place];
      }
    }
    this.count = kept + samples;
  }

  /** @param {number} width @param {string[]} variables */
  layOut(width, variables) {
    this.width = width;
    this.count = 0;
    this.series = {};
    for (const name of variables) {
      this.series[name] = Array.from({ length: width }, () => new Float32Array(LENGTH));
    }
  }

  /** @param {string} variable @param {number} unit @returns {number} the present value */
  last(variable, unit) {
    const own = this.series[variable]?.[unit];
    return own && this.count ? own[this.count - 1] : NaN;
  }

  /** @returns {Samples} a copy, to compare with */
  copy() {
    const twin = new Samples();
    twin.times = this.times.slice();
    twin.count = this.count;
    twin.width = this.width;
    for (const [name, own] of Object.entries(this.series)) twin.series[name] = own.map((values) => values.slice());
    return twin;
  }
}
