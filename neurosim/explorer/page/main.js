// The page: connects, keeps the last samples, builds controls and views from the model, draws each frame.

import { category, ink } from "./colours.js";
import { Connection, withToken } from "./connection.js";
import { Controls, short } from "./controls.js";
import { csv, save } from "./downloads.js";
import { Samples } from "./samples.js";
import { Guide } from "./tour.js";
import { Fit, FitSamples } from "./views/fit.js";
import { Maps } from "./views/maps.js";
import { NetworkView } from "./views/network.js";
import { Phase } from "./views/phase.js";
import { Raster } from "./views/raster.js";
import { Spectrum } from "./views/spectrum.js";
import { Traces } from "./views/traces.js";

/** @typedef {import("./types").Frame} Frame @typedef {import("./types").Model} Model @typedef {import("./types").Command} Command @typedef {import("./types").Unit} Unit */

/** @type {[string, string, any][]} name, title, class */
const VIEWS = [
  ["traces", "Traces", Traces],
  ["spectrum", "Spectrum", Spectrum],
  ["phase", "Phase plane", Phase],
  ["fit", "Fit and agreement", Fit],
  ["network", "Network", NetworkView],
  ["maps", "Input and maps", Maps],
  ["raster", "Events", Raster],
];

/** @param {string} id @returns {any} */
const by = (id) => document.getElementById(id);

export class App {
  constructor() {
    this.samples = new Samples();
    this.fit = new FitSamples();
    /** @type {Samples | null} */
    this.reference = null;
    this.model = /** @type {Model} */ (/** @type {unknown} */ (null));
    /** @type {Unit[]} */
    this.units = [];
    this.chosen = "";
    this.version = 0;
    this.epoch = -1;
    /** @type {Record<string, number>} */
    this.lastMeasures = {};
    this.playing = true;
    /** @type {Map<string, any>} views by name */
    this.views = new Map();
    this.shown = stored("views", ["traces", "spectrum", "phase", "network"]);
    /** @type {Set<number>} units that have sent in the last frame */
    this.sending = new Set();
    this.drawn = 0; // frames so far
    this.started = performance.now();
    this.rates = /** @type {number[]} */ ([]);
    this.controls = new Controls(by("controls"), (key, value) => this.set(key, value));
    this.guide = new Guide((command) => this.send(command), () => this.resized());
    this.waiting = new Map(); // keys whose last value has not been sent yet
    this.link = linked();
    this.connection = new Connection(
      (frame) => this.frame(frame),
      (message) => this.message(message),
      (open) => this.state(open),
    );
    this.bind();
    dress(stored("theme", matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light"));
    addEventListener("resize", () => this.resized());
  }

  /** @param {Command} command @returns {number} */
  send(command) {
    return this.connection.send(command);
  }

  /** Send a value at once, but not more often than once a frame. @param {string} key @param {number | string} value */
  set(key, value) {
    const first = this.waiting.size === 0;
    this.waiting.set(key, value);
    if (first) {
      requestAnimationFrame(() => {
        for (const [own, last] of this.waiting) this.send({ type: "set", key: own, value: last });
        this.waiting.clear();
      });
    }
  }

  /** @param {boolean} open */
  state(open) {
    by("status").textContent = open ? "" : "no connection: the server has stopped, or is busy; trying again …";
    document.body.dataset.connected = String(open);
    if (open) this.epoch = -1;
  }

  // --- what comes in

  /** @param {any} message */
  message(message) {
    if (message.type === "model") this.open(message);
    else if (message.type === "settings") this.settings(message);
    else if (message.type === "error") this.refused(message);
    else if (message.type === "script") this.text("Python that repeats this session", message.text, "session.py");
    else if (message.type === "model_file") this.text("Model file", message.text, "model.toml");
    else for (const view of this.views.values()) view.answer?.(message);
  }

  /** @param {Model} model */
  open(model) {
    this.model = model;
    this.samples = new Samples();
    this.fit.clear();
    this.reference = null;
    this.chosen = "";
    by("keep").setAttribute("aria-pressed", "false");
    this.units = model.recorded.flatMap((population) => {
      const size = model.populations.find((own) => own.name === population)?.size ?? 0;
      return Array.from({ length: size }, (_, index) => ({ population, index }));
    });
    fill(by("model"), model.models, model.name);
    const tours = model.tours.map((tour) => /** @type {[string, string]} */ ([tour.name, tour.title]));
    fill(by("tour"), [["", "choose …"], ...tours], model.tour ?? "");
    for (const id of ["reset", "step", "play"]) by(id).disabled = false;
    for (const id of ["back", "pattern", "plastic", "kick", "link", "script", "model-file"]) by(id).disabled = model.playback;
    by("pattern").max = String(model.rows - 1);
    by("speed").value = String(Math.log10(model.steps));
    by("netcdf").href = withToken("download/run.nc");
    document.title = `${model.name} · neurosim explorer`;
    const tour = model.tours.find((own) => own.name === model.tour);
    if (tour) {
      this.shown = [...tour.views];
      this.guide.show(tour);
    } else this.guide.hide();
    this.settings(model);
    this.layOut();
    by("status").textContent = model.title;
    const { link } = this;
    this.link = null;
    if (link && link.model === model.name && !model.playback) this.send({ type: "restore", ...link });
    this.connection.ready();
  }

  /** @param {any} settings */
  settings(settings) {
    Object.assign(this.model, settings);
    this.controls.show(this.model.controls, this.model.presets, (name) => this.send({ type: "preset", name }));
    by("plastic").checked = this.model.plastic;
    if (document.activeElement !== by("pattern")) by("pattern").value = String(this.model.patterns[0]);
    by("pattern").disabled = this.model.playback || this.model.patterns.length > 1;
    by("release").disabled = !Object.keys(this.model.held).length;
    by("error-action").textContent = "";
    by("status").textContent = this.model.journal.at(-1) ?? this.model.title;
  }

  /** @param {{ about: string, text: string }} message */
  refused(message) {
    if (this.controls.refuse(message.about, message.text)) return;
    if (message.about === "spectrum") this.views.get("spectrum")?.refused(message.text);
    else if (message.about !== "field" && message.about !== "maps") by("error-action").textContent = message.text;
  }

  /** @param {Frame} frame */
  frame(frame) {
    if (frame.epoch !== this.epoch) {
      this.epoch = frame.epoch;
      this.samples.clear();
      this.fit.clear();
    }
    const before = this.counts();
    this.samples.append(frame);
    this.sending = this.sentSince(before);
    this.version = frame.version;
    this.lastMeasures = frame.measures;
    this.fit.append(frame.t, frame.measures);
    this.playing = frame.playing;
    this.done = frame.done;
    requestAnimationFrame(() => {
      this.draw(frame);
      this.connection.ready();
    });
  }

  counts() {
    const { samples } = this;
    if (!samples.series.events_x || !samples.count) return null;
    return this.units.map((_, unit) => samples.last("events_x", unit) + (samples.last("events_delta", unit) || 0));
  }

  /** @param {number[] | null} before @returns {Set<number>} */
  sentSince(before) {
    const now = this.counts();
    const found = new Set();
    if (before && now) now.forEach((count, unit) => count > before[unit] && found.add(unit));
    return found;
  }

  /** @param {Frame} frame */
  draw(frame) {
    for (const view of this.views.values()) view.draw();
    this.drawn += 1;
    const now = performance.now();
    this.rates.push(now);
    while (this.rates.length > 2 && now - this.rates[0] > 2000) this.rates.shift();
    const rate = (1000 * (this.rates.length - 1)) / (now - this.rates[0] || 1);
    by("rate").textContent = frame.playing ? `${Math.round(rate)} fps` : "paused";
    by("clock").textContent = `${frame.t.toFixed(3)} s`;
    by("play").textContent = frame.playing ? "Pause" : "Play";
    by("play").setAttribute("aria-pressed", String(frame.playing));
    if (document.activeElement !== by("speed")) by("speed").value = String(Math.log10(frame.speed));
    by("speed-text").textContent = `${frame.speed} step${frame.speed === 1 ? "" : "s"} a frame`;
    const span = short(1000 * frame.stands_for * this.model.dt);
    by("frame-note").textContent = `step ${frame.step} · a frame stands for ${frame.stands_for} steps, ${span} ms`;
    by("notice").hidden = !frame.notice;
    if (frame.notice) by("notice-text").textContent = frame.notice.text;
  }

  // --- units

  /** @param {number} unit @returns {string} */
  unitName(unit) {
    const { population, index } = this.units[unit];
    return `${population}[${index}]`;
  }

  /** @param {number} unit @returns {string} */
  colour(unit) {
    const place = this.model.neurons.indexOf(this.units[unit]?.population);
    return place < 0 ? ink("soft") : category(place); // of inputs, which send events too
  }

  /** @param {number} unit @returns {boolean} */
  sent(unit) {
    return this.sending.has(unit);
  }

  /** @returns {number} the number of the chosen unit, or -1 */
  chosenNumber() {
    return this.units.findIndex((_, unit) => this.unitName(unit) === this.chosen);
  }

  /** @param {number} unit */
  choose(unit) {
    this.chosen = unit < 0 ? "" : this.unitName(unit);
    by("unit-name").textContent = this.chosen || "no unit";
    by("clamp").disabled = !this.chosen || this.model.playback;
    for (const view of this.views.values()) view.draw();
  }

  /** @returns {Record<string, number[]> | undefined} */
  chosenUnits() {
    const unit = this.chosenNumber();
    if (unit < 0) return undefined;
    const { population, index } = this.units[unit];
    return { [population]: [index] };
  }

  // --- views

  layOut() {
    const tabs = by("tabs");
    tabs.replaceChildren();
    VIEWS.forEach(([name, title]) => {
      const button = document.createElement("button");
      button.textContent = title;
      button.dataset.view = name;
      button.setAttribute("aria-pressed", String(this.shown.includes(name)));
      button.onclick = () => this.toggle(name);
      tabs.append(button);
    });
    const host = by("views");
    host.replaceChildren();
    host.dataset.count = String(this.shown.length);
    this.views.clear();
    for (const name of this.shown) this.view(name, host);
    keepStored("views", this.shown);
    for (const view of this.views.values()) view.draw();
  }

  /** @param {string} name */
  toggle(name) {
    this.shown = this.shown.includes(name) ? this.shown.filter((own) => own !== name) : [...this.shown, name];
    this.layOut();
  }

  /** @param {string} name @param {number} by places */
  move(name, by) {
    const from = this.shown.indexOf(name);
    const to = Math.max(0, Math.min(this.shown.length - 1, from + by));
    this.shown.splice(to, 0, ...this.shown.splice(from, 1));
    this.layOut();
  }

  /** @param {string} name @param {HTMLElement} host */
  view(name, host) {
    const [, title, Kind] = /** @type {[string, string, any]} */ (VIEWS.find(([own]) => own === name));
    const card = document.createElement("article");
    card.className = "view";
    card.dataset.view = name;
    card.setAttribute("aria-label", title);
    const head = document.createElement("header");
    const heading = document.createElement("h2");
    heading.textContent = title;
    const tools = document.createElement("div");
    tools.className = "tools";
    head.append(heading, tools);
    const plot = document.createElement("div");
    plot.className = "plot";
    const caption = document.createElement("div");
    caption.className = "caption";
    card.append(head, plot);
    if (name !== "traces") card.append(caption);
    host.append(card);
    const view = new Kind(this, plot, tools, caption);
    this.views.set(name, view);
    /** @type {[string, string, () => void][]} */
    const buttons = [
      ["PNG", `Save ${title} as PNG`, () => view.canvas().toBlob((/** @type {Blob} */ blob) => save(blob, `${name}.png`))],
      ["SVG", `Save ${title} as SVG`, () => save(view.svg(), `${name}.svg`, "image/svg+xml")],
      ["CSV", `Save ${title} as CSV`, () => save(csv(view.table()), `${name}.csv`, "text/csv")],
      ["◀", `Move ${title} forward`, () => this.move(name, -1)],
      ["▶", `Move ${title} back`, () => this.move(name, 1)],
      ["×", `Hide ${title}`, () => this.toggle(name)],
    ];
    const group = document.createElement("div");
    group.className = "save";
    head.append(group);
    for (const [text, label, act] of buttons) {
      const button = document.createElement("button");
      button.textContent = text;
      button.title = label;
      button.setAttribute("aria-label", label);
      button.onclick = act;
      group.append(button);
    }
  }

  resized() {
    for (const view of this.views.values()) view.draw();
  }

  /** @param {string} title @param {string} text @param {string} file */
  text(title, text, file) {
    by("text-title").textContent = title;
    by("text-body").textContent = text;
    by("text-copy").textContent = "Copy";
    by("text-copy").onclick = async () => {
      await navigator.clipboard.writeText(text);
      by("text-copy").textContent = "Copied";
    };
    by("text-save").onclick = () => save(text, file);
    if (!by("text-dialog").open) by("text-dialog").showModal();
  }

  // --- buttons and keys

  bind() {
    by("play").onclick = () => this.send({ type: "play", on: !this.playing });
    by("step").onclick = () => this.send({ type: "step" });
    by("reset").onclick = () => this.send({ type: "reset" });
    by("back").onclick = () => this.send({ type: "rewind", seconds: 2 });
    by("notice-back").onclick = () => this.send({ type: "rewind", seconds: 2 });
    by("notice-reset").onclick = () => this.send({ type: "reset" });
    by("speed").oninput = () => this.send({ type: "speed", steps: Math.max(1, Math.round(10 ** Number(by("speed").value))) });
    by("model").onchange = () => this.send({ type: "open", model: by("model").value });
    by("tour").onchange = () => by("tour").value && this.send({ type: "open", tour: by("tour").value });
    by("pattern").onchange = () => this.send({ type: "show", pattern: Number(by("pattern").value) });
    by("plastic").onchange = () => this.send({ type: "plastic", on: by("plastic").checked });
    by("kick").onclick = () => this.kick();
    by("clamp").onclick = () => this.send({ type: "clamp", units: this.chosenUnits() });
    by("release").onclick = () => this.send({ type: "release" });
    by("keep").onclick = () => {
      this.reference = this.reference ? null : this.samples.copy();
      by("keep").setAttribute("aria-pressed", String(this.reference !== null));
      for (const view of this.views.values()) view.draw();
    };
    by("link").onclick = () => this.copyLink();
    by("script").onclick = () => this.send({ type: "script" });
    by("model-file").onclick = () => this.send({ type: "model" });
    by("help").onclick = () => by("keys").showModal();
    by("theme").onclick = () => {
      dress(document.documentElement.dataset.theme === "dark" ? "light" : "dark");
      for (const view of this.views.values()) {
        view.themed?.();
        view.draw();
      }
    };
    document.addEventListener("keydown", (event) => this.key(event));
  }

  kick() {
    this.send({ type: "kick", x: Number(by("kick-x").value), lam: Number(by("kick-lam").value), units: this.chosenUnits() });
  }

  /** @param {KeyboardEvent} event */
  key(event) {
    const target = /** @type {HTMLElement} */ (event.target);
    const types = target.matches('input:not([type="range"]):not([type="checkbox"]), select, textarea');
    if (types || event.ctrlKey || event.metaKey || event.altKey || document.querySelector("dialog[open]")) return;
    if (event.key === " " && target.matches("button, summary, input, a")) return;
    /** @type {Record<string, () => void>} */
    const keys = {
      " ": () => by("play").click(),
      ".": () => by("step").click(),
      r: () => by("reset").click(),
      b: () => by("back").click(),
      k: () => by("kick").click(),
      l: () => by("plastic").click(),
      "?": () => by("help").click(),
    };
    const view = VIEWS[Number(event.key) - 1];
    if (view) this.toggle(view[0]);
    else if (keys[event.key]) keys[event.key]();
    else return;
    event.preventDefault();
  }

  async copyLink() {
    const numbers = Object.fromEntries(this.model.controls.map((control) => [control.key, control.value]));
    const state = { model: this.model.name, numbers, patterns: this.model.patterns, plastic: this.model.plastic, views: this.shown };
    const url = new URL(location.href);
    url.hash = encodeURIComponent(JSON.stringify(state));
    history.replaceState(null, "", url);
    try {
      await navigator.clipboard.writeText(url.href);
      by("status").textContent = "link copied: it holds the model, all numbers and the views";
    } catch {
      by("status").textContent = "the address bar has the link now";
    }
  }
}

/** @param {string} theme */
function dress(theme) {
  document.documentElement.dataset.theme = theme;
  keepStored("theme", theme);
}

/** @param {HTMLSelectElement} menu @param {(string | [string, string])[]} entries @param {string} value */
function fill(menu, entries, value) {
  menu.replaceChildren();
  for (const entry of entries) {
    const [name, title] = typeof entry === "string" ? [entry, entry] : entry;
    menu.append(new Option(title, name));
  }
  if (value && ![...menu.options].some((own) => own.value === value)) menu.prepend(new Option(value, value));
  menu.value = value;
  menu.disabled = entries.length === 0;
}

/** @returns {any} the state that the address holds, or null */
function linked() {
  try {
    return location.hash.length > 1 ? JSON.parse(decodeURIComponent(location.hash.slice(1))) : null;
  } catch {
    return null;
  }
}

/** @template T @param {string} name @param {T} otherwise @returns {T} */
function stored(name, otherwise) {
  try {
    const found = localStorage.getItem(`neurosim.${name}`);
    const value = found === null ? otherwise : JSON.parse(found);
    if (name === "views") return value.filter((/** @type {string} */ own) => VIEWS.some(([known]) => known === own));
    return value;
  } catch {
    return otherwise;
  }
}

/** @param {string} name @param {unknown} value */
function keepStored(name, value) {
  try {
    localStorage.setItem(`neurosim.${name}`, JSON.stringify(value));
  } catch {
    // a page in a frame may not store anything
  }
}

/** @type {any} */ (window).explorer = new App();
