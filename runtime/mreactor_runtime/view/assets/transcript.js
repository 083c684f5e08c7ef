// What is said, the spoken word marked, each utterance with the subjects and priors of listeners.
"use strict";
{
  const { element, clockTime } = mreactor;
  const figure = (x) => (x > 0 ? "+" : "") + x.toFixed(2);

  mreactor.Transcript = class {
    // `seek` is called with the start of what is pressed.
    constructor(place, clip, seek) {
      Object.assign(this, { place, clip, words: [], current: null, utterance: null });
      this.calm = matchMedia("(prefers-reduced-motion: reduce)").matches;
      this.rows = clip.utterances.map((utterance, i) => this._row(utterance, i, seek));
      if (!this.rows.length) place.append(element("p", { className: "hint" }, "No words are known of this clip."));
      place.append(...this.rows.map((row) => row.all));
    }

    _row({ words }, i, seek) {
      const spoken = words.map(([start, end, text]) => {
        const span = element("span", { className: "word" }, text);
        span.addEventListener("click", () => seek(start));
        this.words.push({ start, end, span, i });
        return span;
      });
      const start = words.length ? words[0][0] : 0;
      const time = element("button", { type: "button", className: "time", "aria-label": `Play from ${clockTime(start, false)}`,
        onclick: () => seek(start) }, clockTime(start, false));
      const text = element("p", { className: "words-said", lang: "" });
      spoken.forEach((span, n) => text.append(...(n ? [" ", span] : [span])));
      if (!words.length) text.append("(words are not known)");
      const prior = element("p", { className: "prior" }), others = this._others(i);
      return { all: element("div", { className: "utterance" }, time, element("div", {}, text, prior, ...others)), prior };
    }

    // The priors of all listeners, folded.
    _others(i) {
      const priors = this.clip.priors.map((row) => row[i]).filter(Boolean);
      if (!priors.length) return [];
      const items = priors.map((prior, k) => element("li", {}, `Listener ${k + 1}: ${this._text(prior)}`));
      return [element("details", {}, element("summary", {}, "What each listener takes from it"), element("ol", { className: "all-priors" }, ...items))];
    }

    _text({ subject, emotion, polarity, intensity }) {
      return `${subject} - ${emotion}, polarity ${figure(polarity)}, intensity ${intensity.toFixed(2)}`;
    }

    // The subject that a listener reacts to at this time; "" where there is none.
    subject(listener, time) {
      let said = -1;
      for (const word of this.words) if (word.start <= time) said = Math.max(said, word.i);
      return this.clip.priors[listener]?.[said]?.subject ?? "";
    }

    choose(listener) {
      this.rows.forEach(({ prior }, i) => {
        const found = this.clip.priors[listener]?.[i];
        prior.textContent = found ? `Listener ${listener + 1}: ${this._text(found)}` : "";
        prior.style.setProperty("--own", `var(--series${listener % 10})`);
      });
    }

    at(time, follow) {
      const word = this.words.find(({ start, end }) => start <= time && time < end);
      if (word === this.current) return;
      this.current?.span.classList.remove("spoken");
      this.current = word;
      if (!word) return;
      word.span.classList.add("spoken");
      if (this.utterance !== word.i) {
        if (this.utterance !== null) this.rows[this.utterance].all.classList.remove("said");
        this.utterance = word.i;
        const row = this.rows[word.i].all;
        row.classList.add("said");
        if (follow && !this.calm) this.place.scrollTop = row.offsetTop - this.place.clientHeight / 3;
      }
    }
  };
}
