// The head's mesh, and its places and normals under the weights of the targets.
"use strict";
mreactor.Face = class {
  constructor(mesh) {
    this.targets = mesh.targets;
    this.triangles = mreactor.unpack(mesh.triangles, Uint16Array);
    this.coarse = mreactor.unpack(mesh.coarse, Uint16Array);
    this.parts = mreactor.unpack(mesh.parts, Uint8Array);
    this.mouth = mreactor.unpack(mesh.mouth, Uint8Array);
    this.colours = mreactor.unpack(mesh.colours, Uint8Array);
    this.rest = Float32Array.from(mreactor.unpack(mesh.vertices, Int16Array), (x) => x * mesh.step);
    this.moved = mreactor.unpack(mesh.moved, Uint16Array);
    this.added = Float32Array.from(mreactor.unpack(mesh.added, Int16Array), (x) => x * mesh.step);
    this.starts = [0];
    for (const count of mesh.counts) this.starts.push(this.starts.at(-1) + count);
    this.count = this.rest.length / 3;
  }

  // Fill `posed`, six numbers a vertex: place and normal (of any length), under weights (52).
  // With `front`, it takes the corners of those triangles that a head turned by the matrix `m` does
  // not turn away; the answer is how many numbers it then has.
  pose(weights, posed, triangles = this.triangles, front = null, m = null) {
    const { rest, moved, added, starts, count } = this;
    let seen = 0;
    for (let v = 0, i = 0, j = 0; v < count; v++, i += 3, j += 6) {
      posed[j] = rest[i]; posed[j + 1] = rest[i + 1]; posed[j + 2] = rest[i + 2];
      posed[j + 3] = posed[j + 4] = posed[j + 5] = 0;
    }
    for (let k = 0; k < weights.length; k++) {
      const w = weights[k];
      if (w < 1e-3) continue;
      for (let n = starts[k], end = starts[k + 1]; n < end; n++) {
        const j = 6 * moved[n];
        posed[j] += w * added[3 * n]; posed[j + 1] += w * added[3 * n + 1]; posed[j + 2] += w * added[3 * n + 2];
      }
    }
    for (let t = 0; t < triangles.length; t += 3) {
      const a = 6 * triangles[t], b = 6 * triangles[t + 1], c = 6 * triangles[t + 2];
      const ux = posed[b] - posed[a], uy = posed[b + 1] - posed[a + 1], uz = posed[b + 2] - posed[a + 2];
      const vx = posed[c] - posed[a], vy = posed[c + 1] - posed[a + 1], vz = posed[c + 2] - posed[a + 2];
      const x = uy * vz - uz * vy, y = uz * vx - ux * vz, z = ux * vy - uy * vx;
      posed[a + 3] += x; posed[a + 4] += y; posed[a + 5] += z;
      posed[b + 3] += x; posed[b + 4] += y; posed[b + 5] += z;
      posed[c + 3] += x; posed[c + 4] += y; posed[c + 5] += z;
      if (!front) continue;
      const slack = 0.2 * (Math.abs(x) + Math.abs(y) + Math.abs(z)); // perspective, and a neck that turns less
      if (m[6] * x + m[7] * y + m[8] * z <= -slack) continue;
      front[seen++] = triangles[t]; front[seen++] = triangles[t + 1]; front[seen++] = triangles[t + 2];
    }
    return seen;
  }
};

// How a head is turned, row by row: roll about z, then pitch about x, then yaw about y, as in
// head/turn.py. Pitch down, yaw to its own left, roll with the left ear down are positive; radians.
mreactor.turn = ([pitch, yaw, roll]) => {
  const a = Math.cos(pitch), b = Math.cos(yaw), c = Math.cos(roll);
  const d = Math.sin(pitch), e = Math.sin(yaw), f = Math.sin(roll);
  return [
    b * c - e * d * f, b * f + e * d * c, e * a,
    -a * f, a * c, -d,
    -e * c - b * d * f, -e * f + b * d * c, b * a,
  ];
};

// The reactions of a clip at any time, between frames linearly; a frame stands for its middle.
mreactor.Reactions = class {
  constructor(clip, targets) {
    Object.assign(this, { count: clip.reactions, frames: clip.frames, fps: clip.fps, names: clip.names });
    this.places = clip.shapes.places;
    this.targets = targets.length;
    this.shapes = { step: clip.shapes.step, data: mreactor.unpack(clip.shapes.data, Uint8Array) };
    this.turns = { step: clip.angles.step, data: mreactor.unpack(clip.angles.data, Int16Array) };
    this.values = { step: clip.attributes.step, data: mreactor.unpack(clip.attributes.data, Int8Array) };
  }

  _at(table, width, reaction, time, out, places) {
    const place = mreactor.clamp(time * this.fps - 0.5, 0, this.frames - 1);
    const first = Math.floor(place), share = place - first;
    const a = (reaction * this.frames + first) * width;
    const b = (reaction * this.frames + Math.min(first + 1, this.frames - 1)) * width;
    for (let i = 0; i < width; i++) {
      const value = (1 - share) * table.data[a + i] + share * table.data[b + i];
      out[places ? places[i] : i] = value * table.step;
    }
    return out;
  }

  weights(reaction, time, out = new Float32Array(this.targets)) {
    return this._at(this.shapes, this.places.length, reaction, time, out, this.places);
  }

  angles(reaction, time, out = new Float32Array(3)) {
    return this._at(this.turns, 3, reaction, time, out);
  }

  attributes(reaction, time, out = new Float32Array(this.names.length)) {
    return this._at(this.values, this.names.length, reaction, time, out);
  }

  // One channel of one frame.
  value(reaction, frame, channel) {
    return this.values.step * this.values.data[(reaction * this.frames + frame) * this.names.length + channel];
  }
};
