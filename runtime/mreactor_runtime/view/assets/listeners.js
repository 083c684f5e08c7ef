// The listeners: a place for each head, its name, what it shows, and the buttons to choose and pin.
"use strict";
{
  const { element } = mreactor;
  // Looks tell listeners apart; the data say nothing of them. The shirt is the curve's colour.
  const SKINS = ["e3b097", "c98f6f", "8d5a3f", "f0c6ae", "b07a58", "6b4430", "d9a385", "a86f50", "ecbfa2", "7b4e38"];
  const HAIRS = ["3a281d", "1d1613", "15100e", "8a6136", "2a1c15", "120d0b", "5a3a22", "1f1713", "a57c4a", "17110f"];
  const IRISES = ["5b4028", "3d2817", "2c1c12", "5d7a8c", "46301d", "2a1a10", "68764a", "3a2616", "4f7186", "2e1d12"];
  const linear = (text) => [1, 3, 5].map((i) => parseInt(text.slice(i, i + 2), 16) / 255);

  mreactor.Listeners = class {
    // `page`: {choose(k), pin(k)}.
    constructor(place, count, page) {
      this.place = place;
      this.cells = [...Array(count).keys()].map((k) => {
        const face = element("div", { className: "face" });
        const shows = element("span", { className: "shows" }), subject = element("span", { className: "subject" });
        const choose = element("button", { type: "button", className: "choose", onclick: () => page.choose(k) },
          element("span", { className: "name" }, `Listener ${k + 1}`), shows, subject);
        const pin = element("button", { type: "button", className: "pin", "aria-label": `Pin listener ${k + 1}`, title: "Pin to compare", onclick: () => page.pin(k) }, "Pin");
        const item = element("li", { className: "listener", style: { "--own": `var(--series${k % 10})` } }, face, choose, pin);
        face.addEventListener("click", () => page.choose(k));
        return { k, item, face, choose, pin, shows, subject, weights: new Float32Array(52), turn: new Float32Array(3), look: {}, box: [0, 0, 0, 0], visible: true };
      });
      place.append(...this.cells.map((cell) => cell.item));
      this.dress();
      const seen = new IntersectionObserver((entries) => {
        for (const { target, isIntersecting } of entries)
          this.cells.find((cell) => cell.face === target).visible = isIntersecting;
        page.redraw();
      }, { rootMargin: "80px" });
      for (const cell of this.cells) seen.observe(cell.face);
    }

    dress() {
      for (const cell of this.cells) {
        const i = cell.k % 10;
        cell.look = { skin: linear(`#${SKINS[i]}`), hair: linear(`#${HAIRS[i]}`), iris: linear(`#${IRISES[i]}`), shirt: linear(mreactor.colour(`--series${i}`)) };
      }
    }

    // Where the faces are on the canvas that lies over the stage.
    measure(stage) {
      const origin = stage.getBoundingClientRect();
      for (const cell of this.cells) {
        const box = cell.face.getBoundingClientRect();
        cell.box = [box.left - origin.left, box.top - origin.top, box.width, box.height];
      }
    }

    show({ chosen, pins }) {
      this.place.className = `listeners pins${pins.length}`;
      for (const { k, item, choose, pin } of this.cells) {
        item.classList.toggle("chosen", k === chosen);
        item.classList.toggle("pinned", pins.includes(k));
        choose.setAttribute("aria-pressed", k === chosen);
        pin.setAttribute("aria-pressed", pins.includes(k));
      }
    }

    pose(reactions, time) {
      for (const cell of this.cells) {
        reactions.weights(cell.k, time, cell.weights);
        reactions.angles(cell.k, time, cell.turn);
      }
    }

    // What each shows, in words: its most probable expression, and the subject it reacts to.
    tell(reactions, transcript, time) {
      const first = reactions.names.indexOf("Neutral");
      for (const { k, shows, subject } of this.cells) {
        const values = reactions.attributes(k, time);
        let best = first;
        for (let i = first; i < values.length; i++) if (values[i] > values[best]) best = i;
        shows.textContent = `${reactions.names[best]} ${Math.round(100 * values[best])}%`;
        subject.textContent = transcript.subject(k, time);
      }
    }
  };
}
