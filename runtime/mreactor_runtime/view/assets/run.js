// The page of a run: its clips in a table that is searched, sorted, filtered and turned in pages.
"use strict";
{
  const { element, clockTime } = mreactor;
  const PAGE = 100; // rows
  const STATUSES = { done: "done", failed: "failed", unreadable: "cannot be shown" };
  const number = (digits) => (x) => (x === undefined ? "" : x.toFixed(digits));
  // Key of a row, heading, how it is shown, and whether it is words.
  const COLUMNS = [
    ["id", "Clip", null, true],
    ["status", "Status", (x) => STATUSES[x], true],
    ["seconds", "Length", (x) => (x === undefined ? "" : clockTime(x))],
    ["reactions", "Reactions", (x) => x ?? ""],
    ["streams", "Streams used", (x) => (x ? x.join(", ") || "none" : ""), true],
    ["frdiv", "FRDiv", number(4)],
    ["frvar", "FRVar", number(4)],
    ["subjects", "Priors", null, true],
  ];
  const at = (id) => document.getElementById(id);
  // What stands between backticks is code.
  const prose = (text) => text.split("`").map((part, i) => (i % 2 ? element("code", {}, part) : part));

  class Run {
    constructor({ title, facts, notes, rows }) {
      this.rows = rows;
      for (const row of rows)
        row.text = [row.id, STATUSES[row.status], row.problem, row.remedy, ...(row.subjects ?? []), ...(row.streams ?? [])].join(" ").toLowerCase();
      this.state = { search: "", status: "", sort: "id", down: false, page: 0 };
      document.title = `${title} - mreactor`;
      at("title").textContent = title;
      at("facts").append(...this._facts(facts).map((text) => element("li", {}, text)));
      at("notes").append(...notes.map((text) => element("p", { className: "note" }, ...prose(text))));
      this._form();
      this._follow();
      addEventListener("hashchange", () => this._follow());
    }

    _facts(facts) {
      const count = (status) => this.rows.filter((row) => row.status === status).length;
      const told = Object.entries(STATUSES).map(([status, text]) => [count(status), text]).filter(([n]) => n);
      return [
        ...told.map(([n, text]) => `${n} ${text}`),
        facts.model && `model ${facts.model}${facts.sha256 ? ` (${facts.sha256})` : ""}`,
        Number.isInteger(facts.seed) && `seed ${facts.seed}`,
        facts.engine && `${facts.engine}${facts.dtype ? ` in ${facts.dtype}` : ""}${facts.device ? ` on ${facts.device}` : ""}`,
        facts.seconds && `made in ${clockTime(facts.seconds, false)}`,
        facts.started, facts.versions && `mreactor ${facts.versions}`,
      ].filter(Boolean);
    }

    _form() {
      const { state } = this;
      this.search = element("input", { type: "search", placeholder: "Search names, subjects, errors", "aria-label": "Search",
        oninput: () => this._set({ search: this.search.value, page: 0 }) });
      this.status = element("select", { "aria-label": "Status", onchange: () => this._set({ status: this.status.value, page: 0 }) },
        element("option", { value: "" }, "any status"),
        ...Object.entries(STATUSES).map(([value, text]) => element("option", { value }, text)));
      at("search").append(this.search, this.status);
      at("search").addEventListener("submit", (event) => event.preventDefault());
      document.addEventListener("keydown", (event) => {
        if (event.key === "/" && event.target !== this.search) { event.preventDefault(); this.search.focus(); }
      });
      const heads = COLUMNS.map(([key, title, , words]) => {
        const button = element("button", { type: "button", onclick: () => this._set({ sort: key, down: state.sort === key && !state.down, page: 0 }) }, title);
        return element("th", { scope: "col", className: words ? "words" : "" }, button);
      });
      this.heads = heads;
      this.body = element("tbody");
      at("clips").append(element("caption", { className: "sr" }, "The clips of the run"), element("thead", {}, element("tr", {}, ...heads)), this.body);
    }

    _set(changes) {
      Object.assign(this.state, changes);
      const hash = new URLSearchParams(Object.entries(this.state).filter(([, value]) => value).map(([key, value]) => [key, String(value)]));
      try { history.replaceState(null, "", `#${hash}`); } catch { /* the link then keeps no search */ }
      this._show();
    }

    _follow() {
      const asked = new URLSearchParams(location.hash.slice(1)), { state } = this;
      state.search = asked.get("search") ?? "";
      state.status = asked.get("status") in STATUSES ? asked.get("status") : "";
      if (COLUMNS.some(([key]) => key === asked.get("sort"))) state.sort = asked.get("sort");
      state.down = asked.get("down") === "true";
      state.page = Math.max(0, Math.floor(Number(asked.get("page")) || 0));
      [this.search.value, this.status.value] = [state.search, state.status];
      this._show();
    }

    _chosen() {
      const { search, status, sort, down } = this.state, words = search.toLowerCase().split(/\s+/).filter(Boolean);
      const rows = this.rows.filter((row) => (!status || row.status === status) && words.every((word) => row.text.includes(word)));
      const key = (row) => (Array.isArray(row[sort]) ? row[sort].join() : row[sort]);
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (x === undefined || y === undefined || x === null || y === null) return (x == null) - (y == null);
        return (down ? -1 : 1) * (typeof x === "number" ? x - y : x < y ? -1 : x > y ? 1 : 0);
      };
      return rows.sort(order);
    }

    _show() {
      const rows = this._chosen(), { state } = this, pages = Math.max(1, Math.ceil(rows.length / PAGE));
      state.page = Math.min(state.page, pages - 1);
      this.heads.forEach((head, i) => {
        if (COLUMNS[i][0] === state.sort) head.setAttribute("aria-sort", state.down ? "descending" : "ascending");
        else head.removeAttribute("aria-sort");
      });
      at("count").textContent = rows.length === this.rows.length ? `${rows.length} clips` : `${rows.length} of ${this.rows.length} clips`;
      this.body.replaceChildren(...rows.slice(state.page * PAGE, (state.page + 1) * PAGE).map((row) => this._row(row)));
      const turn = (text, page) => element("button", { type: "button", disabled: page < 0 || page >= pages, onclick: () => this._set({ page }) }, text);
      at("pages").replaceChildren(...(pages > 1 ? [turn("Before", state.page - 1), ` Page ${state.page + 1} of ${pages} `, turn("Next", state.page + 1)] : []));
    }

    _row(row) {
      const name = row.page ? element("a", { href: row.page }, row.id) : row.id;
      if (row.problem !== undefined) {
        const remedy = row.remedy ? element("span", { className: "remedy" }, row.remedy) : "";
        return element("tr", { className: "failed-row" }, element("th", { scope: "row", className: "words" }, name),
          element("td", { className: "words" }, STATUSES[row.status]), element("td", { className: "words why", colSpan: COLUMNS.length - 2 }, row.problem, remedy));
      }
      const cells = COLUMNS.slice(1).map(([key, , show, words]) => {
        const inside = key === "subjects" ? this._subjects(row) : [show(row[key])];
        return element("td", { className: key === "subjects" ? "priors" : words ? "words" : "" }, ...inside);
      });
      if (row.notes?.length) cells[0].append(element("span", { className: "has-notes", title: row.notes.join("\n"), "aria-label": `, ${row.notes.length} notes` }, ` +${row.notes.length}`));
      return element("tr", {}, element("th", { scope: "row", className: "words" }, name), ...cells);
    }

    _subjects({ subjects, more }) {
      return [...subjects.map((text) => element("span", { className: "chip" }, text)), ...(more ? [` +${more}`] : [])];
    }
  }

  addEventListener("DOMContentLoaded", () => { mreactor.page = new Run(mreactor.given.run); });
}
