// Draws heads with WebGL 2, all on one canvas, each in its own rectangle.
"use strict";
{
  // Light on a place whose normal is n, and what it reflects; z points to the camera.
  const LIGHT = `
  vec3 light(vec3 n) {
    float lit = clamp(.8 * dot(n, vec3(.352, .553, .755)) + .2, 0., 1.), edge = 1. - clamp(n.z, 0., 1.);
    float fill = clamp(dot(n, vec3(-.843, .105, .527)), 0., 1.);
    return vec3(.72, .68, .64) * lit + vec3(.12, .14, .17) * fill + vec3(.20, .22, .26) * edge * edge * edge * lit
      + mix(vec3(.22, .19, .18), vec3(.31, .33, .36), .5 + .5 * n.y);
  }
  float shine(vec3 n) {
    float s = clamp(dot(n, vec3(.188, .295, .937)), 0., 1.);
    s *= s; s *= s; s *= s; s *= s;
    return s * s;
  }`;
  const VERTEX = `
  layout(location=0) in vec3 place; layout(location=1) in vec3 across;
  layout(location=2) in vec3 resting; layout(location=3) in vec2 kind; layout(location=4) in vec3 tint;
  uniform mat3 turn; uniform vec4 camera;
  out vec3 rest; out vec3 normal; out vec3 shade; out vec2 of; out float low;
  ${LIGHT}
  const vec3 pivot = vec3(0., -.06, -.02);
  void main() {
    float neck = smoothstep(-.14, -.06, resting.y + .55 * max(resting.z - .02, 0.));
    vec3 turned = mix(place, pivot + turn * (place - pivot), neck);
    normal = mix(across, turn * across, neck);
    rest = resting; of = kind; shade = tint; low = smoothstep(-.165, -.135, turned.y);
    #ifdef SIMPLE
    vec3 n = normalize(normal);
    normal = tint * light(n);
    #endif
    vec3 seen = turned + vec3(0., camera.z, -1.);
    gl_Position = vec4(camera.x * seen.x, camera.y * seen.y, (-seen.z - 1.) * 2. * -seen.z, -seen.z);
  }`;
  // The colours' places are those of mreactor_ref/head/picture.py.
  const FRAGMENT = `
  precision highp float;
  in vec3 rest; in vec3 normal; in vec3 shade; in vec2 of; in float low;
  uniform vec3 skin, hair, shirt, iris;
  out vec4 colour;
  float soft(float distance, float width) { return clamp(.5 + distance / width, 0., 1.); }
  ${LIGHT}
  #ifdef SIMPLE
  #define strands(p) hair
  #else
  vec3 strands(vec3 p) {
    float round = atan(p.x, p.z + .1);
    return hair * (.9 + .10 * sin(round * 173. + 9. * sin(p.y * 90.)) * sin(round * 61. - p.y * 210.));
  }
  #endif
  void main() {
    float x = abs(rest.x), y = rest.y, z = rest.z, gloss = .10;
    vec3 c = skin;
    #ifndef SIMPLE
    c *= shade;
    #endif
    if (of.x < .5) {
      if (z > .04 && y > .024 && y < .042) {
        float peak = (x - .0356) * 66.67, arch = .0360 - .00225 * peak * peak;
        float brow = soft(x - .013, .003) * soft(.050 - x, .006) * soft(.0033 - abs(y - arch), .0022);
        if (brow > 0.) c = mix(c, strands(rest), .82 * brow);
      } else if (z > .07 && y < -.035) {
        float bow = max(0., 1. - x * x / .00070225);
        float lip = step(x, .0265) * soft(-.0537 + .0095 * bow - y, .0012) * soft(y + .0537 + .0115 * bow, .0014);
        c = mix(c, mix(skin, vec3(.62, .36, .34), .45) * vec3(.92, .70, .68), lip); gloss = mix(gloss, .28, lip);
      } else if (y < -.08) {
        float below = -.115 - y - .25 * z, cloth = soft(below, .002);
        c = mix(c, shirt * (1. - .35 * smoothstep(.006, 0., abs(below - .006))), cloth);
        gloss *= 1. - cloth;
      } else {
        float hairy = soft(y - .072 + .9 * max(0., .045 - z), .011) * (1. - soft(x - .0735, .001) * step(y, .035));
        if (hairy > 0.) { c = mix(c, strands(rest), hairy); gloss = mix(gloss, .16, hairy); }
      }
      c = mix(c, vec3(.20, .06, .06), of.y); gloss *= 1. - of.y;
    } else if (of.x < 1.5) {
      float r = length(vec2(x - .030, y - .014)), facing = step(.07, z);
      c = vec3(.86, .84, .82) * (1. - .35 * smoothstep(.004, .013, r));
      vec3 ring = iris * (1. + .9 * smoothstep(.0025, .0055, r)) * (1. - .6 * smoothstep(.0050, .0060, r));
      c = mix(c, ring, facing * soft(.0059 - r, .0008));
      c = mix(c, vec3(.02), facing * soft(.0026 - r, .0008)); gloss = .55;
    } else c = of.x < 2.5 ? vec3(.90, .88, .82) : vec3(.70, .33, .33);
    #ifdef SIMPLE
    c *= normal;
    #else
    vec3 n = normalize(normal);
    float glint = shine(n);
    c = c * light(n) + gloss * (of.x > .5 && of.x < 1.5 ? glint * glint * glint : glint);
    #endif
    colour = vec4(clamp(c, 0., 1.) * low, low);
  }`;

  // Blush, the sockets of the eyes and the shadow of the chin: soft enough to be the vertices' own.
  function shades(face) {
    const out = new Float32Array(3 * face.count).fill(1), { rest } = face;
    const near = (x, y, z, [a, b, c], size) => Math.exp(-((x - a) ** 2 + (y - b) ** 2 + (z - c) ** 2) / size ** 2);
    const ramp = (x, from, to) => { const t = mreactor.clamp((x - from) / (to - from), 0, 1); return t * t * (3 - 2 * t); };
    for (let v = 0; v < face.count; v++) {
      if (face.parts[v]) continue;
      const x = Math.abs(rest[3 * v]), y = rest[3 * v + 1], z = rest[3 * v + 2];
      const blush = 0.55 * near(x, y, z, [0.045, -0.012, 0.075], 0.022) + 0.45 * near(x, y, z, [0, -0.006, 0.115], 0.014);
      const dark = (1 - 0.3 * near(x, y, z, [0.030, 0.014, 0.083], 0.016)) * (1 - 0.38 * ramp(y, -0.055, -0.095) * ramp(z, 0.055, 0));
      [1.05, 0.80, 0.76].forEach((c, i) => { out[3 * v + i] = dark * (1 + blush * (c - 1)); });
    }
    return out;
  }

  function program(gl, simple) {
    const made = gl.createProgram();
    for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX], [gl.FRAGMENT_SHADER, FRAGMENT]]) {
      const shader = gl.createShader(kind);
      gl.shaderSource(shader, `#version 300 es\n${simple ? "#define SIMPLE\n" : ""}${text}`);
      gl.compileShader(shader);
      gl.attachShader(made, shader);
    }
    gl.linkProgram(made);
    if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
    return made;
  }

  // Whether the processor draws, for want of a graphics card.
  function drawnByProcessor() {
    const gl = document.createElement("canvas").getContext("webgl2");
    if (!gl) return false;
    const about = gl.getExtension("WEBGL_debug_renderer_info");
    const name = gl.getParameter(about ? about.UNMASKED_RENDERER_WEBGL : gl.RENDERER);
    gl.getExtension("WEBGL_lose_context")?.loseContext();
    return /swiftshader|llvmpipe|softpipe|software|basic render/i.test(name);
  }

  mreactor.WebglHeads = class {
    // `canvas` covers the rectangles of all heads. Throws where there is no WebGL 2.
    constructor(canvas, face) {
      const simple = drawnByProcessor(); // then fewer triangles, light for each vertex, no smooth edges
      const gl = canvas.getContext("webgl2", { alpha: true, antialias: !simple, powerPreference: "low-power" });
      if (!gl) throw new Error("no WebGL 2");
      const triangles = simple ? face.coarse : face.triangles;
      this.front = simple ? new Uint16Array(triangles.length) : null;
      Object.assign(this, { canvas, gl, face, simple, triangles, posed: new Float32Array(6 * face.count) });
      this.restore();
    }

    restore() {
      const { gl, face } = this, used = program(gl, this.simple);
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
      for (const [place, size, values] of [[2, 3, face.rest], [3, 2, kind], [4, 3, shades(face)]]) {
        gl.bindBuffer(gl.ARRAY_BUFFER, gl.createBuffer());
        gl.bufferData(gl.ARRAY_BUFFER, values, gl.STATIC_DRAW);
        gl.enableVertexAttribArray(place);
        gl.vertexAttribPointer(place, size, gl.FLOAT, false, 0, 0);
      }
      gl.bindBuffer(gl.ELEMENT_ARRAY_BUFFER, gl.createBuffer());
      gl.bufferData(gl.ELEMENT_ARRAY_BUFFER, this.triangles, gl.STATIC_DRAW);
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
        const turn = mreactor.turn(head.turn);
        const count = face.pose(head.weights, posed, this.triangles, this.front, turn) || this.triangles.length;
        gl.bufferSubData(gl.ARRAY_BUFFER, 0, posed);
        if (this.front) gl.bufferSubData(gl.ELEMENT_ARRAY_BUFFER, 0, this.front, 0, count);
        const zoom = 6.3 * Math.min(1, wide / high / 0.86);
        gl.uniformMatrix3fv(places.turn, true, turn);
        gl.uniform4f(places.camera, zoom * high / wide, zoom, 0.018, 0);
        for (const name of ["skin", "hair", "shirt", "iris"]) gl.uniform3fv(places[name], head.look[name]);
        gl.drawElements(gl.TRIANGLES, count, gl.UNSIGNED_SHORT, 0);
      }
    }
  };
}
