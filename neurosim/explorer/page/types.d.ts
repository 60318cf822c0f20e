/** What the server sends, and what the parts of the page share. */
export interface Control {
  key: string; group: string; label: string; symbol: string; unit: string;
  low: number; high: number; log: boolean; value: number; text: string;
}
export interface Population { name: string; size: number; clamped: boolean; free: boolean; activation: string; }
export interface Projection { pre: string; post: string; weights?: number[][]; }
export interface TourStep { text: string; command: Command | null; }
export interface Tour { name: string; title: string; views: string[]; steps: TourStep[]; }
export type Command = { type: string; [key: string]: unknown };
export interface Settings {
  controls: Control[]; patterns: number[]; plastic: boolean; held: Record<string, number[]>;
  journal: string[]; dt: number;
}
export interface Model extends Settings {
  name: string; title: string; playback: boolean; populations: Population[]; projections: Projection[];
  neurons: string[]; recorded: string[]; rows: number; models: string[]; tours: Tour[]; presets: string[]; tour: string | null;
  steps: number; method: string; events: boolean;
}
export interface Header {
  t: number; step: number; stands_for: number; playing: boolean; epoch: number; version: number; done: number;
  notice: { kind: string; text: string } | null; measures: Record<string, number>; speed: number;
  samples: number; width: number; variables: string[];
}
export interface Frame extends Header { times: Float64Array; values: Record<string, Float32Array>; }
export interface Unit { population: string; index: number; }
export interface View {
  name: string; title: string; host: HTMLElement; plot: HTMLElement;
  start?(): void; frame?(frame: Frame): void; draw(): void; answer?(message: any): void;
  table(): { columns: string[]; rows: (number | string)[][] };
  canvas(): HTMLCanvasElement; svg(): string; resize?(): void; themed?(): void;
}
export interface Series { times: Float64Array; count: number; }
