// The merged story of all members. A line can be clicked: the picture goes back to its moment.

import { clock } from "./words.js";
import { eventWords } from "./picture.js";
import { html, setClass, syncChildren } from "./dom.js";

const SHOWN = 300; // lines
const KINDS = [
  ["election", "elections"],
  ["action", "actions"],
  ["request", "puts and gets"],
  ["problem", "problems"],
  ["event", "the rest"],
];
const SIGNS = { election: "☑", action: "⚡", request: "⇄", problem: "⚠", event: "·" };

const kindOf = (event) => (event.kind === "request" ? "request" : event.category);

export class Story {
  #items = new WeakMap();
  #drawn = "";

  constructor(list, filters, names, playback) {
    this.list = list;
    this.playback = playback;
    this.members = new Set(names);
    this.kinds = new Set(KINDS.map(([kind]) => kind));
    this.filterVersion = 0;
    filters.replaceChildren(
      ...names.map((name) => this.#filter(name, name, this.members)),
      ...KINDS.map(([kind, words]) => this.#filter(kind, `${SIGNS[kind]} ${words}`, this.kinds)),
    );
  }

  update(history) {
    const { playback } = this;
    const current = playback.live ? null : history.eventAt(playback.time);
    const state = `${history.version} ${this.filterVersion} ${playback.time}`;
    if (state === this.#drawn) return;
    this.#drawn = state;
    const atEnd = this.list.scrollTop + this.list.clientHeight >= this.list.scrollHeight - 30;
    const wanted = history.events.filter((event) => this.members.has(event.member) && this.kinds.has(kindOf(event)));
    const end = playback.live ? wanted.length : wanted.findLastIndex((event) => event.time <= playback.time) + 60;
    const shown = wanted.slice(Math.max(0, end - SHOWN), Math.max(end, 0));
    const items = shown.map((event) => this.#item(event));
    shown.forEach((event, index) => {
      const future = !playback.live && event.time > playback.time;
      setClass(items[index], `${kindOf(event)}${future ? " future" : ""}${event === current ? " current" : ""}`);
      items[index].firstChild.setAttribute("aria-current", event === current ? "step" : "false");
    });
    syncChildren(this.list, items);
    if (playback.live && atEnd) this.list.scrollTop = this.list.scrollHeight;
    else if (current) this.#reveal(current);
  }

  #reveal(event) {
    const item = this.#items.get(event);
    if (!item?.isConnected) return;
    const top = item.offsetTop;
    const { scrollTop, clientHeight } = this.list;
    if (top < scrollTop || top > scrollTop + clientHeight - 60) this.list.scrollTop = top - clientHeight / 2;
  }

  #item(event) {
    const known = this.#items.get(event);
    if (known) return known;
    const kind = kindOf(event);
    const item = html("li", {},
      html("button", { type: "button", title: "Show this moment", onclick: () => this.playback.goTo(event.time) },
        html("time", {}, clock(event.time)),
        html("span", { class: "who" }, event.member),
        html("span", { class: "sign", "aria-hidden": "true" }, SIGNS[kind]),
        html("span", { class: "what" }, ...withReason(event))));
    this.#items.set(event, item);
    return item;
  }

  #filter(value, words, set) {
    const box = html("input", { type: "checkbox", checked: true, onchange: () => {
      if (box.checked) set.add(value);
      else set.delete(value);
      this.filterVersion += 1;
      this.playback.changed();
    } });
    return html("label", {}, box, ` ${words}`);
  }
}

// The reason of a refused vote or of a change, behind the colon, is what one looks for.
function withReason(event) {
  const words = eventWords(event);
  const colon = words.indexOf(": ");
  if (event.category !== "election" || colon < 0) return [words];
  return [words.slice(0, colon + 2), html("em", {}, words.slice(colon + 2))];
}
