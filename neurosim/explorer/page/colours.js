// Colours that colour-blind readers can tell apart (Okabe & Ito), and a scale from blue over white to red.

const CATEGORIES = {
  light: ["#0072b2", "#d55e00", "#007a5a", "#9b4f83", "#8a6d00", "#5c5c5c", "#3a9bdc"],
  dark: ["#56b4e9", "#ff9a57", "#2fd0a3", "#e69fc8", "#f0e442", "#b8bec6", "#8fd0ff"],
};

/** @returns {"light" | "dark"} */
export function theme() {
  return document.documentElement.dataset.theme === "dark" ? "dark" : "light";
}

/** @param {number} place @returns {string} */
export function category(place) {
  const own = CATEGORIES[theme()];
  return own[place % own.length];
}

/** @param {string} name of a CSS variable @returns {string} */
export function ink(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/**
 * Colour of a value between -1 and 1: blue, neutral, orange-red.
 * @param {number} value @returns {string}
 */
export function diverging(value) {
  const v = Math.max(-1, Math.min(1, Number.isFinite(value) ? value : 0));
  const middle = theme() === "dark" ? [38, 46, 55] : [240, 242, 245];
  const end = v < 0 ? (theme() === "dark" ? [86, 180, 233] : [0, 98, 160]) : theme() === "dark" ? [255, 154, 87] : [205, 80, 0];
  const share = Math.sqrt(Math.abs(v));
  const mixed = middle.map((own, k) => Math.round(own + (end[k] - own) * share));
  return `rgb(${mixed.join(",")})`;
}
