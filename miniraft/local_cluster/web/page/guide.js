// Leads through a scenario: the step to do, the shell lines it stands for, and whether what was
// expected has been seen.

import { clusterLine, etcdctlLine, plainLine } from "./words.js";
import { html, setText } from "./dom.js";
import { scenarios } from "./scenarios.js";

export class Guide {
  constructor(place, chooser, cluster, { act, ask }) {
    this.cluster = cluster;
    this.act = act;
    this.ask = ask;
    this.about = html("p");
    this.list = html("ol", { class: "steps" });
    // A scenario begins with all members up: who is to be killed or asked depends on who leads.
    this.repair = html("div", { class: "repair" },
      html("p", {}, "It begins with all members up and a leader."),
      html("button", { type: "button", class: "do", onclick: () => this.#bringAllBack() }, "bring all back"));
    const again = html("button", { type: "button", onclick: () => this.#choose(this.scenario) }, "from the beginning");
    place.replaceChildren(this.about, this.repair, this.list, html("div", { class: "buttons" }, again));
    const fitting = scenarios.filter((scenario) => cluster.members.size >= scenario.needs);
    chooser.replaceChildren(...fitting.map((scenario, index) => html("option", { value: index }, scenario.title)));
    chooser.onchange = () => this.#choose(fitting[chooser.value]);
    this.#choose(fitting[0]);
  }

  #choose(scenario) {
    this.scenario = scenario;
    this.known = null; // what the scenario knows; made when its first step is done
    this.steps = scenario.steps.map((step, index) => new StepView(step, index + 1, () => this.#run(index)));
    setText(this.about, scenario.about);
    this.list.replaceChildren(...this.steps.map((step) => step.root));
    if (this.present) this.update(this.present, this.history, this.usable);
  }

  update(present, history, usable) {
    Object.assign(this, { present, history, usable });
    const ready = Boolean(this.known) || (present.alive === present.total && Boolean(present.leader));
    this.repair.hidden = ready;
    this.list.hidden = !ready;
    this.repair.lastChild.disabled = !usable;
    if (!ready) return;
    const known = { ...(this.known ?? this.#look()), now: present, writer: this.ask.writer, story: history.events };
    const next = this.steps.findIndex((step) => step.state === "to do" || step.state === "running");
    this.steps.forEach((step, index) => step.update(known, this.cluster, index === next, usable));
  }

  // The roles that members have in a scenario, by who leads now.
  #look() {
    const { members, leader, term, quorum } = this.present;
    const all = members.map((member) => member.name);
    const others = all.filter((name) => name !== leader.name);
    const victims = others.slice(0, all.length - quorum + 1);
    return { leader: leader.name, term, all, others, victims, begun: Date.now() };
  }

  async #run(index) {
    this.known ??= this.#look();
    const { known } = this;
    const step = this.steps[index];
    known.answer = undefined;
    step.state = "running";
    this.update(this.present, this.history, this.usable);
    for (const what of step.step.run({ ...known, now: this.present })) {
      if (what.command) await this.act(what.command, what.member);
      else if (what.operation) known.answer = await this.ask.send(what);
      else await this.ask.write(what.write);
    }
    step.state = "done";
    this.update(this.present, this.history, this.usable);
  }

  async #bringAllBack() {
    for (const { name, status } of this.present.members) {
      if (status === "paused") await this.act("resume", name);
      else if (status !== "running") await this.act("restart", name);
    }
  }
}

class StepView {
  constructor(step, number, run) {
    this.step = step;
    this.state = "to do"; // then running, then done, then seen
    this.say = html("span");
    this.lines = html("div", { class: "line" });
    this.button = html("button", { type: "button", class: "do", onclick: run }, "do it");
    this.seen = html("p", { class: "seen", role: "status" });
    this.root = html("li", {},
      html("div", { class: "bar" }, html("b", { class: "number" }, String(number)), this.say, this.button),
      html("div", { class: "more" },
        this.lines,
        html("p", {}, html("b", {}, "Expect: "), step.expect),
        step.why ? html("p", {}, html("b", {}, "Why: "), step.why) : null,
        this.seen));
  }

  update(known, cluster, next, usable) {
    const { step } = this;
    if (this.state === "to do") {
      setText(this.say, step.say(known));
      this.#drawLines(step.run(known), known, cluster);
    }
    if (this.state === "done") {
      const found = step.seen ? step.seen(known.now, known) : "done";
      if (found) {
        this.state = "seen";
        setText(this.seen, `✓ ${found}`);
      } else setText(this.seen, "… not seen yet");
    }
    this.button.disabled = !next || !usable || this.state !== "to do";
    setText(this.button, this.state === "running" ? "…" : this.state === "to do" ? "do it" : "done");
    this.root.className = `${this.state.replace(" ", "-")}${next ? " next" : ""}`;
  }

  #drawLines(actions, known, cluster) {
    const lines = actions.map((what) => shellLine(what, known.now, cluster));
    if (this.lines.textContent === lines.join("")) return;
    this.lines.replaceChildren(...lines.map((line) => html("code", {}, line)));
  }
}

function shellLine(what, moment, cluster) {
  if (what.operation) return etcdctlLine(what, cluster);
  if (!what.command) {
    return what.write ? "while sleep 1; do etcdctl-py put counter $((n+=1)); done" : "Ctrl-C";
  }
  const member = moment.members.find((each) => each.name === what.member);
  const plain = what.command === "restart" ? null : plainLine(what.command, member, cluster);
  const line = clusterLine(what.command, what.member, cluster);
  return plain ? `${plain}   # or ${line}` : line;
}
