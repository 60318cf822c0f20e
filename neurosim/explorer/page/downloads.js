// Save what is shown as a file of the browser.

/** @param {string | Blob} content @param {string} name @param {string} kind */
export function save(content, name, kind = "text/plain") {
  const blob = typeof content === "string" ? new Blob([content], { type: kind }) : content;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** @param {{ columns: string[], rows: (number | string)[][] }} table @returns {string} */
export function csv(table) {
  const cell = (/** @type {number | string} */ value) => {
    const text = String(value);
    return /[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return [table.columns, ...table.rows].map((row) => row.map(cell).join(",")).join("\n") + "\n";
}
