// The points of a map as they come from the server (see the API: …/points and …/marks), and finding them by
// place: all arithmetic on typed arrays, a million of them in milliseconds.
const UNKNOWN = 65535;

function tag(view) {
  return String.fromCharCode(view.getUint8(0), view.getUint8(1), view.getUint8(2), view.getUint8(3));
}

export function readPoints(buffer) {
  const view = new DataView(buffer);
  if (buffer.byteLength < 16 || tag(view) !== "TMP1") throw new Error("not a file of points");
  const n = view.getUint32(4, true);
  if (buffer.byteLength !== 16 + 8 * n) throw new Error("a file of points that was cut off");
  const first = Number(view.getBigInt64(8, true));
  return {
    n,
    first,
    offset: new Uint32Array(buffer, 16, n),
    x: new Uint16Array(buffer, 16 + 4 * n, n),
    y: new Uint16Array(buffer, 16 + 6 * n, n),
  };
}

export function readMarks(buffer, n) {
  const view = new DataView(buffer);
  if (buffer.byteLength !== 8 + 6 * n || tag(view) !== "TMF1" || view.getUint32(4, true) !== n) throw new Error("not the marks of this map");
  return {
    class: new Uint16Array(buffer, 8, n),
    cluster: new Uint16Array(buffer, 8 + 2 * n, n),
    suspicion: new Uint8Array(buffer, 8 + 4 * n, n),
    status: new Uint8Array(buffer, 8 + 5 * n, n),
  };
}

export const unknown = (value) => value === UNKNOWN;

// The same points and marks in an order in which any beginning of it is an even sample of all: steps of the golden
// section round the whole. A map too large to be drawn at every frame is drawn by its beginning while it moves.
export function scattered(points, marks) {
  const { n } = points;
  const divisor = (a, b) => (b ? divisor(b, a % b) : a);
  let stride = Math.max(1, Math.round(n * 0.6180339887498949));
  while (divisor(stride, n) > 1) stride++;
  const ordered = (values) => {
    const out = new values.constructor(n);
    for (let i = 0, from = 0; i < n; i++, from = (from + stride) % n) out[i] = values[from];
    return out;
  };
  const all = (of) => Object.fromEntries(Object.entries(of).map(([key, value]) => [key, ArrayBuffer.isView(value) ? ordered(value) : value]));
  return [all(points), all(marks)];
}

// Points by cells of a grid over the map, so that what is under the pointer is found at once.
export class Cells {
  static SIDE = 256;

  constructor({ n, x, y }) {
    const side = Cells.SIDE;
    this.points = { x, y };
    this.start = new Uint32Array(side * side + 1);
    const cell = (i) => (y[i] >> 8) * side + (x[i] >> 8);
    for (let i = 0; i < n; i++) this.start[cell(i) + 1]++;
    for (let c = 0; c < side * side; c++) this.start[c + 1] += this.start[c];
    const at = this.start.slice();
    this.order = new Uint32Array(n);
    for (let i = 0; i < n; i++) this.order[at[cell(i)]++] = i;
  }

  // Calls back with every point of the cells that touch the rectangle; some lie outside of it.
  within(left, top, right, bottom, each) {
    const clamp = (v) => Math.max(0, Math.min(Cells.SIDE - 1, Math.floor(v / 256)));
    const [c0, c1, r0, r1] = [clamp(left), clamp(right), clamp(top), clamp(bottom)];
    for (let r = r0; r <= r1; r++) {
      const end = this.start[r * Cells.SIDE + c1 + 1];
      for (let k = this.start[r * Cells.SIDE + c0]; k < end; k++) each(this.order[k]);
    }
  }

  // The point nearest to a place, not farther than `reach`; -1 where there is none.
  nearest(px, py, reach) {
    const { x, y } = this.points;
    let best = -1;
    let closest = reach * reach;
    this.within(px - reach, py - reach, px + reach, py + reach, (i) => {
      const d = (x[i] - px) ** 2 + (y[i] - py) ** 2;
      if (d <= closest) {
        closest = d;
        best = i;
      }
    });
    return best;
  }
}
