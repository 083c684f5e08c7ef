// The page of a clip: puts the parts together, keeps its state, and draws while something moves.
"use strict";
{
  const { element, clamp, clockTime } = mreactor;
  const SPEEDS = [0.25, 0.5, 0.75, 1, 1.25, 1.5, 2];
  const FINE = Math.min(devicePixelRatio || 1, 2); // pixels of a picture for one of the page's
  const SIMPLE = 0.6; // the same, where the processor draws
  const SLOW = 34, SMALLEST = 0.4; // milliseconds a frame from which pictures get smaller, and how far
  const CAPTIONS = 150; // milliseconds between two captions
  const at = (id) => document.getElementById(id);

  class Page {
    constructor(clip, mesh) {
      this.clip = clip;
      this.seconds = clip.frames / clip.fps;
      this.face = new mreactor.Face(mesh);
      this.reactions = new mreactor.Reactions(clip, mesh.targets);
      this.state = { chosen: 0, pins: [], channels: ["AU12", "valence"].filter((name) => clip.names.includes(name)) };
      this.stage = at("stage");
      this.clock = new mreactor.Clock(this._media(), this.seconds);
      this.listeners = new mreactor.Listeners(at("listeners"), clip.reactions, this);
      this.transcript = new mreactor.Transcript(at("transcript"), clip, (time) => this.seek(time));
      this.charts = new mreactor.Charts(at("curves"), at("heat"), {
        reactions: this.reactions, seconds: this.seconds, seek: (time) => this.seek(time), toggle: (name) => this.toggle(name) });
      this.drawn = { frames: 0, milliseconds: 0, last: 0, said: 0 };
      this._canvas();
      this._controls();
      this._facts();
      mreactor.fillHelp(at("help"));
      mreactor.listenToKeys(this);
      this.clock.addEventListener("change", () => { this._playing(); this.redraw(); if (!this.clock.playing) this._link(); });
      addEventListener("hashchange", () => this._follow());
      new ResizeObserver(() => this._measure()).observe(this.stage);
      matchMedia("(prefers-color-scheme:dark)").addEventListener("change", () => { this.listeners.dress(); this.redraw(); });
      this._follow();
      this._measure();
      this._playing();
      requestAnimationFrame((now) => this._frame(now));
    }

    _media() {
      const { media } = this.clip, place = at("speaker");
      if (!media) {
        place.append(element("p", { className: "hint" }, "There is no sound: the heads move with a silent clock."));
        return null;
      }
      const made = element(media.video ? "video" : "audio", { src: media.src, preload: "auto", playsInline: true });
      made.setAttribute("aria-label", "The speaker");
      made.addEventListener("error", () => {
        this._trouble("The speaker's sound cannot be played or is not where it was: the heads move with a silent clock.");
        made.remove();
        this.stage.classList.remove("with-video");
        this.clock.silence();
        this._measure();
      });
      if (media.video) this.stage.classList.add("with-video");
      place.append(made);
      return made;
    }

    _canvas() {
      const canvas = at("heads");
      try {
        this.heads = mreactor.plain ? null : new mreactor.WebglHeads(canvas, this.face);
      } catch {
        this.heads = null;
      }
      this.plain = !this.heads;
      this.scale = this.heads?.simple ? SIMPLE : FINE;
      if (this.plain) {
        this.heads = new mreactor.CanvasHeads(canvas, this.face);
        at("note-list").append(element("li", {}, "This browser has no WebGL 2: heads are drawn simply, one at a time."));
        return;
      }
      canvas.addEventListener("webglcontextlost", (event) => event.preventDefault());
      canvas.addEventListener("webglcontextrestored", () => { this.heads.restore(); this.redraw(); });
    }

    _controls() {
      const button = (text, label, onclick) => element("button", { type: "button", "aria-label": label, title: label, onclick }, text);
      this.play = button("", "Play", () => this.clock.toggle());
      this.play.className = "play";
      this.slider = element("input", { type: "range", min: 0, max: this.seconds, step: 1 / this.clip.fps, value: 0, "aria-label": "Time",
        oninput: () => this.seek(Number(this.slider.value)) });
      this.time = element("span", { className: "clock" });
      this.speed = element("select", { "aria-label": "Speed", onchange: () => { this.clock.speed = Number(this.speed.value); this._link(); } },
        ...SPEEDS.map((x) => element("option", { value: x, selected: x === 1 }, `${x}\u00d7`)));
      at("controls").append(this.play, button("\u2039", "A frame back", () => this.step(-1)), button("\u203a", "A frame on", () => this.step(1)),
        this.slider, this.time, this.speed, button("Link", "Copy a link to this moment", () => this.copy()), button("?", "Keys", () => this.help()));
    }

    _facts() {
      const { clip } = this, items = [
        `${clockTime(this.seconds)} at ${clip.fps} frames a second`,
        `${clip.reactions} reactions`,
        clip.streams ? `from ${clip.streams.join(", ") || "nothing"}` : "",
        `FRDiv ${clip.frdiv.toFixed(4)}`, `FRVar ${clip.frvar.toFixed(4)}`,
      ];
      at("facts").append(...items.filter(Boolean).map((text) => element("li", {}, text)));
      at("note-list").prepend(...clip.notes.map((text) => element("li", {}, text)));
      this.stage.classList.toggle("no-priors", !clip.priors.some((row) => row.length));
      at("notes").hidden = !at("note-list").children.length;
      at("heat-hint").textContent = "Press a channel to see its curve; press the map to go there.";
    }

    _trouble(text) { Object.assign(at("trouble"), { textContent: text, hidden: false }); }
    _tell(text) { at("told").textContent = text; }

    _measure() {
      const box = this.stage.getBoundingClientRect();
      [this.width, this.height] = [box.width, box.height];
      this.listeners.measure(this.stage);
      this.redraw();
    }

    redraw() { this.stale = true; }

    _frame(now) {
      requestAnimationFrame((next) => this._frame(next));
      const playing = this.clock.playing;
      if (!playing && !this.stale) { this.drawn.last = 0; return; }
      this.stale = false;
      if (playing && this.drawn.last) this._pace(now - this.drawn.last);
      this.drawn.last = playing ? now : 0;
      const time = this.clock.time;
      this.listeners.pose(this.reactions, time);
      this.heads.moving = playing;
      const scale = playing || this.plain ? this.scale : FINE; // what stands still may take its time
      this.heads.draw(this.listeners.cells.filter((cell) => cell.visible), this.width, this.height, scale);
      this.charts.at(time);
      this.transcript.at(time, playing);
      if (!playing || now - this.drawn.said > CAPTIONS) {
        this.drawn.said = now;
        this.time.textContent = `${clockTime(time)} / ${clockTime(this.seconds)}`;
        this.slider.value = time;
        this.listeners.tell(this.reactions, this.transcript, time);
        this.slider.setAttribute("aria-valuetext", `${clockTime(time)} of ${clockTime(this.seconds)}`);
      }
    }

    // Pictures get smaller where the machine does not keep up.
    _pace(milliseconds) {
      this.drawn.frames += 1;
      this.drawn.milliseconds += milliseconds;
      if (this.drawn.frames < 12) return;
      const mean = this.drawn.milliseconds / this.drawn.frames;
      this.rate = 1000 / mean;
      if (mean > SLOW && this.scale > SMALLEST && !this.plain) this.scale = Math.max(SMALLEST, 0.8 * this.scale);
      Object.assign(this.drawn, { frames: 0, milliseconds: 0 });
    }

    _playing() {
      const { playing } = this.clock, label = playing ? "Pause" : "Play";
      this.play.textContent = playing ? "\u275a\u275a" : "\u25b6\uFE0E";
      this.play.setAttribute("aria-label", label);
      this.play.title = label;
      this.speed.value = this.clock.speed;
    }

    seek(time) { this.clock.seek(time); this.redraw(); }
    step(frames) { this.clock.pause(); this.seek((Math.round(this.clock.time * this.clip.fps - 0.5) + frames + 0.5) / this.clip.fps); }
    faster(by) {
      this.clock.speed = SPEEDS[clamp(SPEEDS.indexOf(this.clock.speed) + by, 0, SPEEDS.length - 1)];
      this._playing();
      this._tell(`Speed ${this.clock.speed}`);
      this._link();
    }

    choose(k) {
      if (k < 0 || k >= this.clip.reactions) return;
      this.state.chosen = k;
      this._show(`Listener ${k + 1}`);
    }

    // Two are pinned at most: a third takes the place of the first.
    pin(k) {
      const { pins } = this.state;
      this.state.pins = pins.includes(k) ? pins.filter((x) => x !== k) : [...pins, k].slice(-2);
      this._show(`Pinned: ${this.state.pins.map((x) => x + 1).join(" and ") || "none"}`);
    }

    toggle(name) {
      const { channels } = this.state;
      this.state.channels = channels.includes(name) ? channels.filter((x) => x !== name) : [...channels, name];
      this._show(`Curves: ${this.state.channels.join(", ") || "none"}`);
    }

    _show(text, link = true) {
      this.listeners.show(this.state);
      this.transcript.choose(this.state.chosen);
      this.charts.show(this.state);
      this._measure();
      if (text) this._tell(text);
      if (link) this._link();
    }

    get hash() {
      const { chosen, pins, channels } = this.state, parts = [`t=${this.clock.time.toFixed(2)}`, `listener=${chosen + 1}`];
      if (pins.length) parts.push(`pin=${pins.map((k) => k + 1).join(",")}`);
      parts.push(`show=${channels.join(",")}`);
      if (this.clock.speed !== 1) parts.push(`speed=${this.clock.speed}`);
      return `#${parts.join("&")}`;
    }

    _link() {
      if (this.following) return;
      try { history.replaceState(null, "", this.hash); } catch { location.replace(this.hash); }
    }

    // Take the state from the link.
    _follow() {
      const asked = new URLSearchParams(location.hash.slice(1)), { state, clip } = this;
      const whole = (text) => Number(text) - 1, known = (k) => Number.isInteger(k) && k >= 0 && k < clip.reactions;
      this.following = true;
      if (known(whole(asked.get("listener")))) state.chosen = whole(asked.get("listener"));
      state.pins = (asked.get("pin") ?? "").split(",").map(whole).filter(known).slice(0, 2);
      if (asked.has("show")) state.channels = asked.get("show").split(",").filter((name) => clip.names.includes(name));
      if (SPEEDS.includes(Number(asked.get("speed")))) this.clock.speed = Number(asked.get("speed"));
      const time = Number(asked.get("t"));
      if (asked.has("t") && Number.isFinite(time) && Math.abs(time - this.clock.time) > 0.005) this.seek(time);
      this._show("", false);
      this.following = false;
    }

    async copy() {
      this._link();
      const link = location.href.split("#")[0] + this.hash;
      try {
        await navigator.clipboard.writeText(link);
        this._tell("Link copied");
      } catch {
        this._tell("The link is in the address bar");
      }
    }

    help() { at("help").showModal(); }
  }

  addEventListener("DOMContentLoaded", () => {
    const { clip, mesh } = mreactor.given;
    try {
      if (!clip || !mesh) throw new Error("its data are not beside it");
      mreactor.page = new Page(clip, mesh);
      requestAnimationFrame(() => { mreactor.readyAfter = performance.now(); }); // milliseconds, for measurements
    } catch (error) {
      Object.assign(at("trouble"), { textContent: `This clip cannot be shown: ${error.message}`, hidden: false });
    }
  });
}
