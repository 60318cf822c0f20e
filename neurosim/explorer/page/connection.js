// The WebSocket to the server: commands go out, frames and answers come in; it reconnects after a loss.

/** @typedef {import("./types").Frame} Frame @typedef {import("./types").Command} Command */

const token = new URLSearchParams(location.search).get("token") ?? "";
const decoder = new TextDecoder();

/** @param {ArrayBuffer} buffer @returns {Frame} */
export function unpack(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const header = JSON.parse(decoder.decode(new Uint8Array(buffer, 4, length)));
  let place = 4 + length;
  const times = new Float64Array(buffer, place, header.samples);
  place += 8 * header.samples;
  /** @type {Record<string, Float32Array>} */
  const values = {};
  for (const name of header.variables) {
    values[name] = new Float32Array(buffer, place, header.samples * header.width);
    place += 4 * header.samples * header.width;
  }
  return { ...header, times, values };
}

export class Connection {
  /**
   * @param {(frame: Frame) => void} onFrame
   * @param {(message: any) => void} onMessage
   * @param {(open: boolean) => void} onState
   */
  constructor(onFrame, onMessage, onState) {
    this.onFrame = onFrame;
    this.onMessage = onMessage;
    this.onState = onState;
    this.number = 0; // of the last command
    this.wait = 250; // ms until the next attempt
    this.connect();
  }

  connect() {
    this.socket = new WebSocket(`ws://${location.host}/socket?token=${encodeURIComponent(token)}`);
    this.socket.binaryType = "arraybuffer";
    this.socket.onopen = () => {
      this.wait = 250;
      this.onState(true);
    };
    this.socket.onmessage = (event) => {
      if (typeof event.data === "string") this.onMessage(JSON.parse(event.data));
      else this.onFrame(unpack(event.data));
    };
    this.socket.onclose = () => {
      this.onState(false);
      setTimeout(() => this.connect(), this.wait);
      this.wait = Math.min(2 * this.wait, 4000);
    };
  }

  /** @param {Command} command @returns {number} its number */
  send(command) {
    this.number += 1;
    if (this.socket?.readyState === WebSocket.OPEN) {
      this.socket.send(JSON.stringify({ ...command, id: this.number }));
    }
    return this.number;
  }

  /** Ask for the next frame. */
  ready() {
    if (this.socket?.readyState === WebSocket.OPEN) this.socket.send('{"type":"ready"}');
  }
}

/** @param {string} path @returns {string} */
export function withToken(path) {
  return `${path}?token=${encodeURIComponent(token)}`;
}
