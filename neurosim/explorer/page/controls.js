// Controls made from what the server says can be set: a slider, the value typed, a line that explains it.

/** @typedef {import("./types").Control} Control */

const FINE = 1000; // steps of a slider

/** @param {number} value @returns {string} */
export function short(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const rounded = Number(value.toPrecision(4));
  return size > 0 && (size < 1e-3 || size >= 1e5) ? rounded.toExponential().replace("e+", "e") : String(rounded);
}

/** @param {Control} control @returns {{ scale: number, unit: string }} how it is written */
function written(control) {
  if (control.unit === "s") return { scale: 1000, unit: "ms" };
  return { scale: 1, unit: control.unit === "1" ? "" : control.unit };
}

/** @param {Control} control @param {number} place 0 to FINE @returns {number} */
function valueAt(control, place) {
  const share = place / FINE;
  if (control.log) return control.low * (control.high / control.low) ** share;
  return control.low + (control.high - control.low) * share;
}

/** @param {Control} control @param {number} value @returns {number} */
function placeOf(control, value) {
  if (control.log) return (FINE * Math.log(value / control.low)) / Math.log(control.high / control.low);
  return (FINE * (value - control.low)) / (control.high - control.low || 1);
}

export class Controls {
  /**
   * @param {HTMLElement} host
   * @param {(key: string, value: number | string) => void} onSet
   */
  constructor(host, onSet) {
    this.host = host;
    this.onSet = onSet;
    /** @type {Map<string, { control: Control, slider: HTMLInputElement, text: HTMLInputElement, error: HTMLElement }>} */
    this.rows = new Map();
    this.signature = "";
  }

  /** @param {Control[]} controls @param {string[]} presets @param {(name: string) => void} onPreset */
  show(controls, presets, onPreset) {
    const signature = controls.map((control) => control.key).join();
    if (signature !== this.signature) this.build(controls, presets, onPreset);
    this.signature = signature;
    for (const control of controls) this.write(control);
  }

  /** @param {Control[]} controls @param {string[]} presets @param {(name: string) => void} onPreset */
  build(controls, presets, onPreset) {
    this.host.replaceChildren();
    this.rows.clear();
    /** @type {Map<string, HTMLElement>} */
    const groups = new Map();
    for (const control of controls) {
      let group = groups.get(control.group);
      if (!group) {
        const made = document.createElement("details");
        made.className = "card";
        made.open = control.group === "flow" || control.group === "messages" || control.group === "imperfections";
        const title = document.createElement("summary");
        title.textContent = control.group;
        made.append(title);
        if (control.group === "flow" && presets.length) made.append(this.presetMenu(presets, onPreset));
        this.host.append(made);
        groups.set(control.group, made);
        group = made;
      }
      group.append(this.row(control));
    }
  }

  /** @param {string[]} presets @param {(name: string) => void} onPreset @returns {HTMLElement} */
  presetMenu(presets, onPreset) {
    const row = document.createElement("div");
    row.className = "row";
    const label = document.createElement("label");
    label.textContent = "Preset ";
    const menu = document.createElement("select");
    menu.id = "preset";
    menu.setAttribute("aria-label", "Preset of the flow");
    menu.append(new Option("choose …", ""));
    for (const name of presets) menu.append(new Option(name, name));
    menu.onchange = () => {
      if (menu.value) onPreset(menu.value);
      menu.value = "";
    };
    label.append(menu);
    row.append(label);
    return row;
  }

  /** @param {Control} control @returns {HTMLElement} */
  row(control) {
    const { unit } = written(control);
    const row = document.createElement("div");
    row.className = "control";
    row.dataset.key = control.key;
    const head = document.createElement("div");
    head.className = "head";
    const symbol = document.createElement("span");
    symbol.className = "symbol";
    symbol.textContent = control.symbol;
    symbol.title = control.key;
    const slider = document.createElement("input");
    slider.type = "range";
    slider.min = "0";
    slider.max = String(FINE);
    slider.setAttribute("aria-label", `${control.symbol} ${control.label}: ${control.text}`);
    const text = document.createElement("input");
    text.type = "text";
    text.inputMode = "decimal";
    text.spellcheck = false;
    text.setAttribute("aria-label", `${control.key}${unit ? `, in ${unit}` : ""}`);
    const mark = document.createElement("span");
    mark.className = "unit";
    mark.textContent = unit;
    head.append(symbol, slider, text, mark);
    const line = document.createElement("p");
    line.textContent = control.label ? `${control.label}: ${control.text}` : control.text;
    const error = document.createElement("p");
    error.className = "error";
    error.setAttribute("role", "alert");
    row.append(head, line, error);
    const entry = { control, slider, text, error };
    this.rows.set(control.key, entry);
    slider.oninput = () => {
      const value = Number(valueAt(entry.control, Number(slider.value)).toPrecision(4));
      text.value = short(value * written(entry.control).scale);
      slider.setAttribute("aria-valuetext", `${text.value} ${unit}`);
      this.onSet(control.key, value);
    };
    text.onchange = () => {
      const number = Number(text.value.trim().replace(",", "."));
      const plain = text.value.trim() !== "" && Number.isFinite(number);
      this.onSet(control.key, plain ? number / written(entry.control).scale : text.value);
    };
    return row;
  }

  /** @param {Control} control */
  write(control) {
    const row = this.rows.get(control.key);
    if (!row) return;
    row.control = control;
    const { scale, unit } = written(control);
    if (document.activeElement !== row.slider) row.slider.value = String(Math.round(placeOf(control, control.value)));
    if (document.activeElement !== row.text) row.text.value = short(control.value * scale);
    row.slider.setAttribute("aria-valuetext", `${short(control.value * scale)} ${unit}`);
    row.error.textContent = "";
  }

  /** @param {string} key @param {string} text @returns {boolean} whether the key has a control */
  refuse(key, text) {
    const row = this.rows.get(key);
    if (!row) return false;
    row.error.textContent = text;
    row.text.value = short(row.control.value * written(row.control).scale);
    row.slider.value = String(Math.round(placeOf(row.control, row.control.value)));
    return true;
  }
}
