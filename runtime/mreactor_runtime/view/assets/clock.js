// The time of the page: that of the speaker's sound, or a silent clock where there is none.
"use strict";
mreactor.Clock = class extends EventTarget {
  // `media`: an audio or video element, or null. `seconds`: of the clip.
  constructor(media, seconds) {
    super();
    Object.assign(this, { media: null, seconds, _time: 0, _since: null, _speed: 1 });
    if (!media) return;
    this.media = media;
    media.preservesPitch = true;
    for (const name of ["play", "pause", "seeked", "ratechange", "ended"])
      media.addEventListener(name, () => this._tell());
  }

  // The sound cannot be played: go on in silence from here.
  silence() {
    this._time = this.media ? this.media.currentTime || this._time : this._time;
    this.media = null;
    this._tell();
  }

  get playing() { return this.media ? !this.media.paused && !this.media.ended : this._since !== null; }

  get time() {
    if (this.media) return Math.min(this._waiting ?? this.media.currentTime, this.seconds);
    if (this._since === null) return this._time;
    const now = this._time + this._speed * (performance.now() - this._since) / 1000;
    if (now < this.seconds) return now;
    [this._time, this._since] = [this.seconds, null];
    queueMicrotask(() => this._tell());
    return this.seconds;
  }

  get speed() { return this.media ? this.media.playbackRate : this._speed; }

  set speed(value) {
    this._time = this.time;
    if (this._since !== null) this._since = performance.now();
    this._speed = value;
    if (this.media) this.media.playbackRate = value;
    else this._tell();
  }

  async play() {
    if (this.time >= this.seconds - 0.02) this.seek(0);
    if (this.media) {
      try { await this.media.play(); } catch (error) { if (error.name !== "AbortError") this.silence(); }
    } else if (this._since === null) {
      this._since = performance.now();
      this._tell();
    }
  }

  pause() {
    if (this.media) return this.media.pause();
    [this._time, this._since] = [this.time, null];
    this._tell();
  }

  toggle() { return this.playing ? this.pause() : this.play(); }

  seek(seconds) {
    const time = mreactor.clamp(seconds, 0, this.seconds);
    this._time = time;
    if (this._since !== null) this._since = performance.now();
    if (this.media && this.media.readyState < 1) {
      if (this._waiting === undefined)
        this.media.addEventListener("loadedmetadata", () => {
          [this.media.currentTime, this._waiting] = [this._waiting, undefined];
        }, { once: true });
      this._waiting = time;
    } else if (this.media) this.media.currentTime = time;
    this._tell();
  }

  _tell() { this.dispatchEvent(new Event("change")); }
};
