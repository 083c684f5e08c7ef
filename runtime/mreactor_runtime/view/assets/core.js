// What all scripts of the pages share: packed numbers, elements, and the data that scripts hand in.
"use strict";
const mreactor = {
  // Data scripts call these; the page's own script reads `given` when all have run.
  given: {},
  mesh(value) { mreactor.given.mesh = value; },
  clip(value) { mreactor.given.clip = value; },
  run(value) { mreactor.given.run = value; },

  // Base64 of little-endian whole numbers -> a typed array.
  unpack(text, Type) {
    const letters = atob(text), bytes = new Uint8Array(letters.length);
    for (let i = 0; i < letters.length; i++) bytes[i] = letters.charCodeAt(i);
    return new Type(bytes.buffer);
  },

  // An element with properties, and what is in it; text is never read as HTML.
  element(tag, properties = {}, ...inside) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name.startsWith("aria-") || name === "role" || name === "for") made.setAttribute(name, value);
      else if (name === "style") for (const [key, text] of Object.entries(value)) made.style.setProperty(key, text);
      else made[name] = value;
    }
    made.append(...inside);
    return made;
  },

  clamp: (x, low, high) => Math.min(Math.max(x, low), high),

  // Seconds as 1:02.3, or 1:02 without tenths.
  clockTime(seconds, tenths = true) {
    const all = tenths ? Math.round(seconds * 10) / 10 : Math.floor(seconds);
    const minutes = Math.floor(all / 60), rest = all - 60 * minutes;
    return `${minutes}:${(tenths ? rest.toFixed(1) : String(rest)).padStart(tenths ? 4 : 2, "0")}`;
  },

  colour: (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim(),
};

mreactor.labels = {
  AU1: "inner brow raiser", AU2: "outer brow raiser", AU4: "brow lowerer", AU6: "cheek raiser",
  AU7: "lid tightener", AU9: "nose wrinkler", AU10: "upper lip raiser", AU12: "lip corner puller",
  AU14: "dimpler", AU15: "lip corner depressor", AU17: "chin raiser", AU23: "lip tightener",
  AU24: "lip pressor", AU25: "lips part", AU26: "jaw drop",
  valence: "negative to positive", arousal: "calm to excited",
};
