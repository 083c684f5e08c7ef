// Curves of chosen channels, and the heat map of all: drawn once, with a cursor that moves.
"use strict";
{
  const { element, clamp } = mreactor;
  const MOST_COLUMNS = 1500; // of the heat map and points of a curve: more are gathered
  const HEIGHT = 84; // of a curve, CSS pixels

  const isSigned = (name) => name === "valence" || name === "arousal";
  const title = (name) => (mreactor.labels[name] ? `${name} - ${mreactor.labels[name]}` : name);

  // The mean of a channel in each of some columns.
  function gathered(reactions, reaction, channel) {
    const columns = Math.min(reactions.frames, MOST_COLUMNS), out = new Float32Array(columns);
    for (let i = 0; i < columns; i++) {
      const first = Math.floor(i * reactions.frames / columns);
      const last = Math.max(first + 1, Math.floor((i + 1) * reactions.frames / columns));
      for (let f = first; f < last; f++) out[i] += reactions.value(reaction, f, channel) / (last - first);
    }
    return out;
  }

  // Seek where a plot is pressed or dragged.
  function seeking(plot, seconds, seek) {
    const to = (event) => {
      const box = plot.getBoundingClientRect();
      seek(seconds * clamp((event.clientX - box.left) / box.width, 0, 1));
    };
    plot.addEventListener("pointerdown", (event) => { plot.setPointerCapture(event.pointerId); to(event); });
    plot.addEventListener("pointermove", (event) => { if (event.buttons) to(event); });
  }

  function rgb(text) {
    const n = parseInt(text.slice(1).replace(/^(.)(.)(.)$/, "$1$1$2$2$3$3"), 16);
    return [n >> 16, (n >> 8) & 255, n & 255];
  }

  mreactor.Charts = class {
    // `page`: {reactions, seconds, seek, toggle} of the clip; toggle(name) takes a channel in or out.
    constructor(curves, heat, page) {
      Object.assign(this, { curves, page, plots: [] });
      this.legend = element("p", { className: "hint" });
      this.list = element("div");
      curves.append(this.legend, this.list);
      this.canvas = element("canvas", { className: "heat-map", role: "img" });
      this.cursor = element("div", { className: "cursor" });
      this.plot = element("div", { className: "plot-area" }, this.canvas, this.cursor);
      this.buttons = page.reactions.names.map((name) =>
        element("button", { type: "button", className: "channel", title: title(name), onclick: () => page.toggle(name) }, name));
      heat.append(element("div", { className: "channels", role: "group", "aria-label": "Channels with a curve" }, ...this.buttons), this.plot);
      seeking(this.plot, page.seconds, page.seek);
      matchMedia("(prefers-color-scheme:dark)").addEventListener("change", () => this.show(this.shown));
      new ResizeObserver(() => { if (this.shown) this._lines(); }).observe(this.list);
    }

    // `shown`: {chosen, pins, channels}.
    show(shown) {
      this.shown = shown;
      const { names } = this.page.reactions;
      this.buttons.forEach((button, i) => button.setAttribute("aria-pressed", shown.channels.includes(names[i])));
      this.legend.textContent =
        `Listener ${shown.chosen + 1} is the strong line${shown.pins.length ? ", pinned ones are clear" : ""}, the others are faint.`;
      this.plots = shown.channels.map((name) => {
        const canvas = element("canvas", { role: "img", "aria-label": `Curves of ${title(name)}, a line a listener` });
        const cursor = element("div", { className: "cursor" });
        const area = element("div", { className: "plot-area" }, canvas, cursor);
        seeking(area, this.page.seconds, this.page.seek);
        const figure = element("figure", {}, element("figcaption", {}, title(name)), area);
        return { name, canvas, cursor, figure };
      });
      this.list.replaceChildren(...this.plots.map((plot) => plot.figure));
      this._lines();
      this._heat();
    }

    _lines() {
      const { reactions } = this.page, { chosen, pins } = this.shown;
      const width = this.list.clientWidth, ratio = Math.min(devicePixelRatio || 1, 2);
      if (!width) return;
      for (const { name, canvas } of this.plots) {
        const channel = reactions.names.indexOf(name), low = isSigned(name) ? -1 : 0;
        Object.assign(canvas, { width: width * ratio, height: HEIGHT * ratio });
        const draw = canvas.getContext("2d");
        draw.scale(ratio, ratio);
        const y = (value) => HEIGHT - 4 - (HEIGHT - 8) * (value - low) / (1 - low);
        draw.strokeStyle = mreactor.colour("--faint");
        for (const value of [low, (low + 1) / 2, 1]) {
          draw.beginPath(); draw.moveTo(0, y(value)); draw.lineTo(width, y(value)); draw.stroke();
        }
        const strength = (k) => (k === chosen ? 2 : pins.includes(k) ? 1 : 0);
        const order = [...Array(reactions.count).keys()].sort((a, b) => strength(a) - strength(b));
        for (const k of order) {
          const values = gathered(reactions, k, channel);
          draw.strokeStyle = mreactor.colour(`--series${k % 10}`);
          draw.globalAlpha = [0.28, 0.9, 1][strength(k)];
          draw.lineWidth = [1, 1.5, 2.2][strength(k)];
          draw.beginPath();
          values.forEach((value, i) => draw.lineTo(width * (i + 0.5) / values.length, y(value)));
          draw.stroke();
        }
        draw.globalAlpha = 1;
      }
    }

    _heat() {
      const { reactions } = this.page, { chosen } = this.shown;
      const columns = Math.min(reactions.frames, MOST_COLUMNS), rows = reactions.names.length;
      Object.assign(this.canvas, { width: columns, height: rows });
      this.canvas.setAttribute("aria-label",
        `Heat map of the ${rows} channels of listener ${chosen + 1} over time; a darker or brighter cell is a larger value`);
      const [paper, high, below] = ["--paper", "--heat", "--mark"].map((name) => rgb(mreactor.colour(name)));
      const draw = this.canvas.getContext("2d"), image = draw.createImageData(columns, rows);
      for (let row = 0; row < rows; row++) {
        gathered(reactions, chosen, row).forEach((value, i) => {
          const to = value < 0 ? below : high, share = 0.06 + 0.94 * Math.min(1, Math.abs(value));
          for (let c = 0; c < 3; c++) image.data[4 * (row * columns + i) + c] = paper[c] + share * (to[c] - paper[c]);
          image.data[4 * (row * columns + i) + 3] = 255;
        });
      }
      draw.putImageData(image, 0, 0);
    }

    at(time) {
      const place = `translateX(${100 * time / this.page.seconds}%)`;
      for (const { cursor } of [this, ...this.plots]) cursor.style.transform = place;
    }
  };
}
