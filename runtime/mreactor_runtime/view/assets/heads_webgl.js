// Draws heads with WebGL 2, all on one canvas, each in its own rectangle.
"use strict";
{
  const VERTEX = `#version 300 es
  layout(location=0) in vec3 place; layout(location=1) in vec3 across;
  layout(location=2) in vec3 resting; layout(location=3) in vec2 kind;
  uniform mat3 turn; uniform vec4 camera;
  out vec3 rest; out vec3 normal; out vec2 of; out float low;
  const vec3 pivot = vec3(0., -.06, -.02);
  void main() {
    float neck = smoothstep(-.14, -.06, resting.y + .55 * max(resting.z - .02, 0.));
    vec3 turned = mix(place, pivot + turn * (place - pivot), neck);
    normal = mix(across, turn * across, neck);
    rest = resting; of = kind; low = turned.y;
    vec3 seen = turned + vec3(0., camera.z, -1.);
    gl_Position = vec4(camera.x * seen.x, camera.y * seen.y, (-seen.z - 1.) * 2. * -seen.z, -seen.z);
  }`;
  // The colours' places are those of mreactor_ref/head/picture.py.
  const FRAGMENT = `#version 300 es
  precision highp float;
  in vec3 rest; in vec3 normal; in vec2 of; in float low;
  uniform vec3 skin, hair, shirt, iris;
  out vec4 colour;
  float soft(float distance, float width) { return clamp(.5 + distance / width, 0., 1.); }
  void main() {
    float x = abs(rest.x), y = rest.y, z = rest.z;
    vec3 n = normalize(normal), c = skin; float gloss = .10, hairy = 0.;
    if (of.x < .5) {
      vec3 blush = vec3(1.05, .80, .76);
      c *= mix(vec3(1), blush, .55 * exp(-pow(distance(vec3(x, y, z), vec3(.045, -.012, .075)) / .022, 2.)));
      c *= mix(vec3(1), blush, .45 * exp(-pow(distance(rest, vec3(0, -.006, .115)) / .014, 2.)));
      c *= 1. - .30 * exp(-pow(distance(vec3(x, y, z), vec3(.030, .014, .083)) / .016, 2.));
      float bow = max(0., 1. - pow(x / .0265, 2.)), front = step(.07, z) * step(x, .0265);
      float lip = front * soft(-.0537 + .0095 * bow - y, .0012) * soft(y + .0537 + .0115 * bow, .0014);
      c = mix(c, skin * vec3(.86, .58, .56), lip); gloss = mix(gloss, .28, lip);
      float arch = .0310 + .005 * sin((x - .012) / .036 * 2.4);
      float brow = soft(x - .013, .003) * soft(.050 - x, .006) * soft(.0033 - abs(y - arch), .0022) * step(.04, z);
      float line = .072 - .9 * max(0., .045 - z);
      float ear = soft(x - .0735, .001) * step(y, .035);
      hairy = soft(y - line + .0012 * sin(x * 900.) , .006) * (1. - ear);
      float strand = .82 + .18 * sin(atan(rest.x, z + .1) * 260. + 14. * sin(y * 70.));
      c = mix(c, hair * strand, max(hairy, .82 * brow)); gloss = mix(gloss, .16, hairy);
      float cloth = soft(-.115 - y - .25 * z, .002);
      c = mix(c, shirt * (1. - .35 * smoothstep(.006, 0., abs(-.121 - y - .25 * z))), cloth);
      gloss *= 1. - cloth;
      c = mix(c, vec3(.20, .06, .06), of.y); gloss *= 1. - of.y;
    } else if (of.x < 1.5) {
      float r = length(vec2(x - .030, y - .014)), facing = step(.07, z);
      c = vec3(.86, .84, .82) * (1. - .35 * smoothstep(.004, .013, r));
      vec3 ring = iris * (1. + .9 * smoothstep(.0025, .0055, r)) * (1. - .6 * smoothstep(.0050, .0060, r));
      c = mix(c, ring, facing * soft(.0059 - r, .0008));
      c = mix(c, vec3(.02), facing * soft(.0026 - r, .0008)); gloss = .55;
    } else if (of.x < 2.5) { c = vec3(.90, .88, .82); gloss = .3; }
    else { c = vec3(.70, .33, .33); }
    vec3 key = normalize(vec3(.35, .55, .75)), halfway = normalize(key + vec3(0, 0, 1));
    float lit = clamp((dot(n, key) + .25) / 1.25, 0., 1.), fill = clamp(dot(n, normalize(vec3(-.8, .1, .5))), 0., 1.);
    float sky = .5 + .5 * n.y, edge = pow(1. - clamp(n.z, 0., 1.), 3.);
    float under = 1. - .38 * smoothstep(-.055, -.095, y) * smoothstep(.055, .0, z) * step(of.x, .5);
    vec3 light = vec3(.92, .88, .84) * lit * under + vec3(.16, .18, .22) * fill + mix(vec3(.20, .16, .15), vec3(.27, .29, .32), sky) * under;
    c = c * light + vec3(gloss * pow(clamp(dot(n, halfway), 0., 1.), of.x > .5 && of.x < 1.5 ? 90. : 26.))
      + vec3(.10, .11, .13) * edge * lit;
    float shown = smoothstep(-.165, -.135, low);
    colour = vec4(pow(clamp(c, 0., 1.), vec3(.92)) * shown, shown);
  }`;

  function program(gl) {
    const made = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, text);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
    return made;
  }

  mreactor.WebglHeads = class {
    // `canvas` covers the rectangles of all heads. Throws where there is no WebGL 2.
    constructor(canvas, face) {
      const gl = canvas.getContext("webgl2", { alpha: true, antialias: true, powerPreference: "low-power" });
      if (!gl) throw new Error("no WebGL 2");
      Object.assign(this, { canvas, gl, face, posed: new Float32Array(6 * face.count) });
      this.restore();
    }

    restore() {
      const { gl, face } = this, used = program(gl);
      gl.useProgram(used);
      this.places = Object.fromEntries(
        ["turn", "camera", "skin", "hair", "shirt", "iris"].map((name) => [name, gl.getUniformLocation(used, name)]));
      this.buffer = gl.createBuffer();
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
      gl.bufferData(gl.ARRAY_BUFFER, this.posed.byteLength, gl.STREAM_DRAW);
      for (const [place, start] of [[0, 0], [1, 12]]) {
        gl.enableVertexAttribArray(place);
        gl.vertexAttribPointer(place, 3, gl.FLOAT, false, 24, start);
      }
      const kind = new Float32Array(2 * face.count);
      for (let v = 0; v < face.count; v++) { kind[2 * v] = face.parts[v]; kind[2 * v + 1] = face.mouth[v]; }
      for (const [place, size, values] of [[2, 3, face.rest], [3, 2, kind]]) {
        gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
        gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
        gl.enableVertexAttribArray(place);
        gl.vertexAttribPointer(place, size, gl.FLOAT, false, 0, 0);
      }
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, face.triangles, gl.STATIC_DRAW);
      gl.enable(gl.DEPTH_TEST);
      gl.enable(gl.CULL_FACE);
      gl.enable(gl.SCISSOR_TEST);
    }

    // Draw {weights, turn, look, box: [left, top, width, height] of the canvas in CSS pixels} each.
    draw(heads, width, height, scale) {
      const { gl, canvas, face, posed, places } = this;
      const w = Math.round(width * scale), h = Math.round(height * scale);
      if (canvas.width !== w || canvas.height !== h) { canvas.width = w; canvas.height = h; }
      gl.scissor(0, 0, w, h);
      gl.clearColor(0, 0, 0, 0);
      gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
      gl.bindBuffer(gl.ARRAY_BUFFER, this.buffer);
      for (const head of heads) {
        const [left, top, wide, high] = head.box.map((x) => Math.round(x * scale));
        if (wide < 2 || high < 2) continue;
        gl.viewport(left, h - top - high, wide, high);
        gl.scissor(left, h - top - high, wide, high);
        face.pose(head.weights, posed);
        gl.bufferSubData(gl.ARRAY_BUFFER, 0, posed);
        const zoom = 6.3 * Math.min(1, wide / high / 0.86);
        gl.uniformMatrix3fv(places.turn, true, mreactor.turn(head.turn));
        gl.uniform4f(places.camera, zoom * high / wide, zoom, 0.018, 0);
        for (const name of ["skin", "hair", "shirt", "iris"]) gl.uniform3fv(places[name], head.look[name]);
        gl.drawElements(gl.TRIANGLES, face.triangles.length, gl.UNSIGNED_SHORT, 0);
      }
    }
  };
}
