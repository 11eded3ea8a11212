// Puts and gets through a member of one's choice, with the line that does the same in a terminal.

import { byId, html, setText } from "./dom.js";
import { etcdctlLine } from "./words.js";
import { post } from "./connection.js";

const KEPT = 4; // answers

export class Ask {
  constructor(cluster) {
    this.cluster = cluster;
    this.answers = byId("answers");
    const names = [...cluster.members.keys()];
    const chosen = byId("target").value;
    byId("target").replaceChildren(
      html("option", { value: "any" }, "any that takes it"),
      ...names.map((name) => html("option", { value: name }, name)),
    );
    if (names.includes(chosen)) byId("target").value = chosen;
    byId("ask").oninput = () => this.#drawLines();
    byId("ask").onsubmit = (event) => {
      event.preventDefault();
      this.send(this.#request("put"));
    };
    byId("get").onclick = () => this.send(this.#request("get"));
    byId("writer").onclick = () => this.write(byId("writer").getAttribute("aria-pressed") !== "true");
    this.#drawLines();
  }

  // The writer is the server's, so that every page shows the same counts.
  updateWriter(writer) {
    const { on, member, acknowledged, refused } = writer;
    this.writer = writer;
    byId("writer").setAttribute("aria-pressed", String(on));
    setText(byId("writer"), on ? "stop writing" : "write once a second");
    const whom = member && member !== "any" ? ` (to ${member})` : "";
    setText(byId("written"), acknowledged + refused ? `acknowledged ${acknowledged}, refused ${refused}${whom}` : "");
  }

  updateTargets(moment) {
    for (const member of moment.members) {
      const option = [...byId("target").options].find((each) => each.value === member.name);
      const leads = member === moment.leader ? " (leader)" : member.status === "running" ? "" : ` (${member.state})`;
      setText(option, member.name + leads);
    }
  }

  write(on) {
    return post("/writer", { on, member: byId("target").value });
  }

  async send(request) {
    const line = etcdctlLine(request, this.cluster);
    const place = html("span", { class: "waiting" }, "waiting for the answer …");
    const item = html("li", {}, html("code", {}, line), place);
    this.answers.prepend(item);
    while (this.answers.children.length > KEPT) this.answers.lastElementChild.remove();
    const answer = await post("/key", request);
    const words = answer.text ?? answer.message;
    const how = answer.took_ms === undefined ? "" : ` ${answer.member}, ${answer.took_ms} ms${answer.detail ? `, ${answer.detail}` : ""}`;
    item.className = answer.ok ? "ok" : "refused";
    place.className = "";
    place.replaceChildren(html("b", {}, answer.ok ? `✓ ${words}` : `✗ ${words}`), html("small", {}, how));
    return answer;
  }

  #request(operation) {
    return {
      operation,
      key: byId("key").value,
      value: byId("value").value,
      member: byId("target").value,
      serializable: operation === "get" && byId("consistency").value === "s",
    };
  }

  #drawLines() {
    setText(byId("ask-put"), etcdctlLine(this.#request("put"), this.cluster));
    setText(byId("ask-get"), etcdctlLine(this.#request("get"), this.cluster));
  }
}
