// Draws heads without WebGL: triangles on a plain canvas from back to front, one head a call.
"use strict";
const SKIN = [0.83, 0.62, 0.52]; // of the colours that come with the triangles
mreactor.CanvasHeads = class {
  constructor(canvas, face) {
    this.context = canvas.getContext("2d");
    if (!this.context) throw new Error("no canvas");
    Object.assign(this, { canvas, face, posed: new Float32Array(6 * face.count), next: 0 });
  }

  draw(heads, width, height, scale) {
    const { canvas, context } = this, w = Math.round(width * scale), h = Math.round(height * scale);
    const all = canvas.width !== w || canvas.height !== h;
    if (all) { canvas.width = w; canvas.height = h; }
    const chosen = all || !this.moving ? heads : [heads[this.next++ % heads.length]];
    for (const head of chosen) this._head(head, head.box.map((x) => x * scale), context);
  }

  _head({ weights, turn, look }, [left, top, wide, high], context) {
    const { face, posed } = this, m = mreactor.turn(turn);
    face.pose(weights, posed);
    const places = new Float32Array(3 * face.count), zoom = 3.15 * high * Math.min(1, wide / high / 0.86);
    for (let v = 0; v < face.count; v++) {
      const x = posed[6 * v], y = posed[6 * v + 1], z = posed[6 * v + 2];
      const far = 1 - (m[6] * x + m[7] * y + m[8] * z);
      places[3 * v] = left + wide / 2 + zoom * (m[0] * x + m[1] * y + m[2] * z) / far;
      places[3 * v + 1] = top + high / 2 - zoom * (m[3] * x + m[4] * y + m[5] * z + 0.018) / far;
      places[3 * v + 2] = far;
    }
    const seen = [];
    for (let t = 0; t < face.triangles.length; t += 3) {
      const [a, b, c] = [3 * face.triangles[t], 3 * face.triangles[t + 1], 3 * face.triangles[t + 2]];
      const area = (places[b] - places[a]) * (places[c + 1] - places[a + 1]) - (places[c] - places[a]) * (places[b + 1] - places[a + 1]);
      if (area < 0) seen.push([places[a + 2] + places[b + 2] + places[c + 2], a, b, c, t / 3]);
    }
    seen.sort((p, q) => q[0] - p[0]);
    context.save();
    context.beginPath();
    context.rect(left, top, wide, high);
    context.clip();
    context.clearRect(left, top, wide, high);
    context.lineWidth = 0.7;
    for (const [, a, b, c, t] of seen) {
      const n = [3, 4, 5].map((i) => posed[2 * a + i] + posed[2 * b + i] + posed[2 * c + i]);
      const lit = 0.62 + 0.38 * Math.max(0, (0.25 * n[0] + 0.55 * n[1] + 0.8 * n[2]) / Math.hypot(...n));
      const cloth = face.rest[a + 1] + 0.25 * face.rest[a + 2] < -0.112;
      const own = face.colours.subarray(3 * t, 3 * t + 3), skin = face.parts[a / 3] === 0;
      const of = [0, 1, 2].map((i) => (cloth ? 255 * look.shirt[i] : skin ? own[i] * look.skin[i] / SKIN[i] : own[i]));
      context.fillStyle = context.strokeStyle = `rgb(${lit * of[0] | 0},${lit * of[1] | 0},${lit * of[2] | 0})`;
      context.beginPath();
      context.moveTo(places[a], places[a + 1]);
      context.lineTo(places[b], places[b + 1]);
      context.lineTo(places[c], places[c + 1]);
      context.fill();
      context.stroke();
    }
    context.restore();
  }
};
