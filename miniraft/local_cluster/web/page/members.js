// One card for each member: what it says of itself, what can be done to it, and the shell lines for that.

import { clusterLine, plainLine, roleWords, size } from "./words.js";
import { html, setClass, setText } from "./dom.js";

const COMMANDS = [
  ["kill", "kill -9", "no goodbye, nothing flushed"],
  ["stop", "stop", "SIGTERM: a leader hands over first"],
  ["pause", "pause", "SIGSTOP: connections stay open, nothing answers"],
  ["resume", "resume", "SIGCONT: a paused member goes on"],
  ["restart", "restart", "started again on its data, stopped first if it runs"],
];
const FACTS = [
  ["revision", (said) => said.revision],
  ["applied", (said) => said.applied],
  ["commit", (said) => said.committed],
  ["db size", (said) => size(said.bytes)],
];

const alive = (member) => member.status === "running" || member.status === "paused";

function possible(command, member) {
  if (command === "restart") return member.status !== "unknown";
  if (command === "pause") return member.status === "running";
  if (command === "resume") return member.status === "paused";
  return alive(member);
}

export class Members {
  #shown = null; // the command and member whose lines are shown

  constructor(place, lines, cluster, act) {
    this.cluster = cluster;
    this.lines = lines;
    lines.replaceChildren(html("code"), html("code"));
    const show = (command, name) => {
      this.#shown = { command, name };
      this.#drawLines();
    };
    this.cards = [...cluster.members.keys()].map((name) => new Card(name, act, show));
    place.replaceChildren(...this.cards.map((card) => card.root));
  }

  update(moment, live) {
    this.moment = moment;
    moment.members.forEach((member, index) => this.cards[index].update(member, live));
    this.#drawLines();
  }

  #drawLines() {
    const { command, name } = this.#shown ?? { command: "kill", name: this.moment.members[0].name };
    const member = this.moment.members.find((each) => each.name === name);
    const [plain, cluster] = this.lines.children;
    setText(plain, plainLine(command, member, this.cluster) ?? "");
    setText(cluster, clusterLine(command, name, this.cluster));
  }
}

class Card {
  constructor(name, act, show) {
    this.badge = html("span", { class: "badge" });
    this.term = html("span", { class: "term" });
    this.pid = html("span", { class: "pid" });
    this.values = FACTS.map(() => html("dd"));
    this.facts = html("dl", {}, ...FACTS.map(([label], index) => html("div", {}, html("dt", {}, label), this.values[index])));
    this.buttons = COMMANDS.map(([command, label, words]) => {
      const lines = () => show(command, name);
      return html("button", { type: "button", title: words, "aria-label": `${label} ${name}`, "data-command": command,
        onclick: () => act(command, name), onfocus: lines, onmouseenter: lines }, label);
    });
    this.root = html("article", { "aria-label": name, "data-member": name },
      html("div", { class: "bar" }, html("h2", {}, name), this.badge, this.term, this.pid),
      this.facts,
      html("div", { class: "buttons" }, ...this.buttons),
    );
  }

  update(member, live) {
    const { status, said, answers } = member;
    setClass(this.root, `panel member ${status === "running" ? member.role || "starting" : status}`);
    setText(this.badge, (member.role === "leader" && status === "running" ? "★ " : "") + roleWords(member));
    setText(this.term, member.term ? `term ${member.term}` : "");
    setText(this.pid, member.pid ? `pid ${member.pid}` : "no process");
    FACTS.forEach(([, value], index) => setText(this.values[index], said ? String(value(said)) : "–"));
    setClass(this.facts, answers ? "" : "old");
    this.facts.title = answers ? "" : "what it said last";
    COMMANDS.forEach(([command], index) => {
      this.buttons[index].disabled = !live || !possible(command, member);
    });
  }
}
