// A guided tour: a text beside the page that says what to drag and what to look for.

/** @typedef {import("./types").Tour} Tour @typedef {import("./types").Command} Command */

export class Guide {
  /** @param {(command: Command) => void} send @param {() => void} onClose */
  constructor(send, onClose) {
    this.send = send;
    this.host = /** @type {HTMLElement} */ (document.getElementById("guide"));
    const close = /** @type {HTMLElement} */ (document.getElementById("guide-close"));
    close.onclick = () => {
      this.hide();
      onClose();
    };
  }

  hide() {
    this.host.hidden = true;
  }

  /** @param {Tour} tour */
  show(tour) {
    const title = /** @type {HTMLElement} */ (document.getElementById("guide-title"));
    const list = /** @type {HTMLElement} */ (document.getElementById("guide-steps"));
    title.textContent = tour.title;
    list.replaceChildren();
    for (const step of tour.steps) {
      const item = document.createElement("li");
      const text = document.createElement("p");
      text.textContent = step.text;
      item.append(text);
      const { command } = step;
      if (command) {
        const button = document.createElement("button");
        button.textContent = named(command);
        button.onclick = () => {
          this.send(command);
          item.classList.add("done");
        };
        item.append(button);
      }
      list.append(item);
    }
    this.host.hidden = false;
  }
}

/** @param {Command} command @returns {string} what the button says */
function named(command) {
  if (command.type === "set") return `Set ${String(command.key).split(".").pop()} to ${command.value}`;
  if (command.type === "kick") return "Kick";
  if (command.type === "plastic") return command.on ? "Let weights move" : "Fix the weights";
  if (command.type === "show") return `Show pattern ${command.pattern}`;
  if (command.type === "reset") return "Restart";
  return command.type;
}
