// Draws a cloud of coloured points: by WebGL, or, where there is none, pixel by pixel on a plain canvas. Both
// take positions once, colours when they change, and a view for every frame.

const VERTEX = `
attribute vec2 place; attribute vec4 colour;
uniform vec4 view; uniform float size;
varying vec4 shade;
void main() { gl_Position = vec4(place * view.xy + view.zw, 0.0, 1.0); gl_PointSize = size; shade = colour; }`;
const FRAGMENT = `
precision mediump float;
varying vec4 shade; uniform float round;
void main() {
  vec2 d = gl_PointCoord - 0.5;
  if (round > 0.5 && dot(d, d) > 0.25) discard;
  gl_FragColor = shade;
}`;

// Pixels across a point: more where there are few or the view is close.
const pointSize = (n, scale, fit) => Math.max(1.5, Math.min(9, (n > 200000 ? 1.6 : n > 20000 ? 2.4 : 4.5) * Math.sqrt(scale / fit)));

export function renderer(canvas, n) {
  const gl = canvas.getContext("webgl", { antialias: false, alpha: true, preserveDrawingBuffer: false, powerPreference: "high-performance" });
  return gl ? byWebGl(canvas, gl, n) : byPixels(canvas, canvas.getContext("2d"), n);
}

function byWebGl(canvas, gl, n) {
  const shader = (kind, source) => {
    const made = gl.createShader(kind);
    gl.shaderSource(made, source);
    gl.compileShader(made);
    return made;
  };
  let program, view, size, round, places, colours, kept;
  const prepare = () => {
    program = gl.createProgram();
    gl.attachShader(program, shader(gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, shader(gl.FRAGMENT_SHADER, FRAGMENT));
    gl.linkProgram(program);
    gl.useProgram(program);
    [view, size, round] = ["view", "size", "round"].map((name) => gl.getUniformLocation(program, name));
    [places, colours] = [gl.createBuffer(), gl.createBuffer()];
  };
  const attribute = (name, buffer, width, type, whole) => {
    const at = gl.getAttribLocation(program, name);
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.enableVertexAttribArray(at);
    gl.vertexAttribPointer(at, width, type, whole, 0, 0);
  };
  const fill = (buffer, data, usage) => {
    gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
    gl.bufferData(gl.ARRAY_BUFFER, data, usage);
  };
  const self = {
    kind: "webgl",
    place(x, y) {
      const both = new Uint16Array(2 * n);
      for (let i = 0; i < n; i++) {
        both[2 * i] = x[i];
        both[2 * i + 1] = y[i];
      }
      kept = { both };
      fill(places, both, gl.STATIC_DRAW);
    },
    paint(rgba) {
      kept.rgba = rgba;
      fill(colours, rgba, gl.DYNAMIC_DRAW);
    },
    draw({ left, top, scale, fit }, width, height, ratio, m) {
      gl.viewport(0, 0, width * ratio, height * ratio);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT);
      attribute("place", places, 2, gl.UNSIGNED_SHORT, false);
      attribute("colour", colours, 4, gl.UNSIGNED_BYTE, true);
      const [sx, sy] = [(2 * scale) / width, (2 * scale) / height];
      gl.uniform4f(view, sx, -sy, -1 - left * sx, 1 + top * sy);
      const across = pointSize(n, scale, fit) * ratio;
      gl.uniform1f(size, across);
      gl.uniform1f(round, across > 3 ? 1 : 0);
      gl.drawArrays(gl.POINTS, 0, m);
    },
    // set by whoever draws: called when the picture has to be drawn anew
    again: () => {},
  };
  prepare();
  canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
  canvas.addEventListener("webglcontextrestored", () => {
    prepare();
    fill(places, kept.both, gl.STATIC_DRAW);
    fill(colours, kept.rgba, gl.DYNAMIC_DRAW);
    self.again();
  });
  return self;
}

function byPixels(canvas, context, n) {
  let x, y, colours;
  return {
    kind: "2d",
    place(xs, ys) {
      [x, y] = [xs, ys];
    },
    paint(rgba) {
      colours = new Uint32Array(rgba.buffer, rgba.byteOffset, n);
    },
    draw({ left, top, scale, fit }, width, height, ratio, m) {
      const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
      const picture = context.createImageData(w, h);
      const pixels = new Uint32Array(picture.data.buffer);
      const zoom = scale * ratio;
      const across = Math.max(1, Math.round(pointSize(n, scale, fit) * ratio));
      const half = across >> 1;
      for (let i = 0; i < m; i++) {
        const px = ((x[i] - left) * zoom - half) | 0;
        const py = ((y[i] - top) * zoom - half) | 0;
        if (px < 0 || py < 0 || px + across > w || py + across > h) continue;
        for (let r = py; r < py + across; r++) pixels.fill(colours[i], r * w + px, r * w + px + across);
      }
      context.putImageData(picture, 0, 0);
    },
    again: () => {},
  };
}
