// The keys of the page of a clip, and their list.
"use strict";
{
  const { element } = mreactor;
  // Keys, what they do in words, and what they call.
  const KEYS = [
    [[" ", "k"], "play or pause", (page) => page.clock.toggle()],
    [["ArrowLeft"], "1 second back", (page) => page.seek(page.clock.time - 1)],
    [["ArrowRight"], "1 second on", (page) => page.seek(page.clock.time + 1)],
    [["J", "j"], "5 seconds back", (page) => page.seek(page.clock.time - 5)],
    [["L", "l"], "5 seconds on", (page) => page.seek(page.clock.time + 5)],
    [[","], "a frame back", (page) => page.step(-1)],
    [["."], "a frame on", (page) => page.step(1)],
    [["Home"], "to the start", (page) => page.seek(0)],
    [["End"], "to the end", (page) => page.seek(page.seconds)],
    [["["], "slower", (page) => page.faster(-1)],
    [["]"], "faster", (page) => page.faster(1)],
    [["n"], "next listener", (page) => page.choose(page.state.chosen + 1)],
    [["b"], "listener before", (page) => page.choose(page.state.chosen - 1)],
    [["p"], "pin or unpin the chosen listener", (page) => page.pin(page.state.chosen)],
    [["c"], "copy a link to this moment", (page) => page.copy()],
    [["?"], "this list", (page) => page.help()],
  ];
  const shown = { " ": "Space", ArrowLeft: "\u2190", ArrowRight: "\u2192" };

  mreactor.listenToKeys = (page) => {
    document.addEventListener("keydown", (event) => {
      if (event.ctrlKey || event.altKey || event.metaKey) return;
      const { target } = event;
      if (target.closest("input[type=range]") && /^(Arrow|Home|End|Page)/.test(event.key)) return;
      if (target.closest("select, dialog") || (event.key === " " && target.closest("button, summary, a"))) return;
      if (target.closest(".transcript") && /^(Home|End)$/.test(event.key)) return;
      const found = KEYS.find(([keys]) => keys.includes(event.key));
      const digit = /^[0-9]$/.test(event.key);
      if (!found && !digit) return;
      event.preventDefault();
      if (digit) page.choose((Number(event.key) + 9) % 10);
      else found[2](page);
    });
  };

  mreactor.fillHelp = (dialog) => {
    const rows = [...KEYS, [["1 ... 9, 0"], "choose listener 1 to 10"]].map(([keys, text]) =>
      element("tr", {}, element("td", {}, element("kbd", {}, shown[keys[0]] ?? keys.at(-1))), element("td", { className: "words" }, text)));
    const close = element("button", { type: "button", onclick: () => dialog.close() }, "Close");
    dialog.append(element("h2", { id: "help-title" }, "Keys"), element("table", {}, element("tbody", {}, ...rows)), close);
  };
}
