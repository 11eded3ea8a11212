// The newest log indexes, member by member: applied, committed, or not known there as committed.

import { html } from "./dom.js";

const COLUMNS = 20;
const CELLS = {
  applied: ["■", "applied"],
  committed: ["◧", "committed, not applied"],
  unknown: ["·", "not known there as committed"],
};

export class Logs {
  #drawn = "";

  constructor(table) {
    this.table = table;
  }

  update(moment) {
    const rows = moment.members.map(({ name, said, answers }) => ({ name, said, answers }));
    const newest = Math.max(0, ...rows.map(({ said }) => said?.committed ?? 0));
    const state = JSON.stringify(rows.map(({ said, answers }) => [said?.committed, said?.applied, answers]));
    if (state === this.#drawn) return;
    this.#drawn = state;
    const first = Math.max(1, newest - COLUMNS + 1);
    const indexes = Array.from({ length: newest - first + 1 }, (_, place) => first + place);
    this.table.replaceChildren(
      html("thead", {}, html("tr", {}, html("th", { scope: "col" }, "index"),
        ...indexes.map((index) => html("th", { scope: "col" }, String(index))))),
      html("tbody", {}, ...rows.map((row) => line(row, indexes))),
    );
  }
}

function line({ name, said, answers }, indexes) {
  const cells = indexes.map((index) => {
    const kind = !said || index > said.committed ? "unknown" : index > said.applied ? "committed" : "applied";
    const [sign, words] = CELLS[kind];
    return html("td", { class: `cell ${kind}`, title: `${name}, index ${index}: ${words}`, "aria-label": words }, sign);
  });
  const note = answers ? "" : said ? "as it said last" : "no answer yet";
  return html("tr", { class: answers ? "" : "old" }, html("th", { scope: "row" }, name, html("small", {}, note)), ...cells);
}
