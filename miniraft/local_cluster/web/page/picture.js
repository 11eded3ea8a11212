// The members as nodes: who follows whom, and who voted for whom in the last election.

import { clock, leaderWords, quorumWords, roleWords, termClass } from "./words.js";
import { setText, svg } from "./dom.js";

const WIDTH = 520;
const OLD_MS = 15_000; // votes older than this are drawn faintly

export class Picture {
  constructor(drawing, words, caption) {
    this.drawing = drawing;
    this.words = words;
    this.caption = caption;
  }

  update(moment, event, now) {
    const { height, places } = layOut(moment.members);
    this.drawing.setAttribute("viewBox", `0 0 ${WIDTH} ${height}`);
    const follows = moment.members.filter((member) => member.leader && member.leader !== member.name);
    this.drawing.replaceChildren(
      arrowHeads(),
      ...follows.filter((member) => places.has(member.leader)).map((member) => followArrow(member, places)),
      ...votesOf(moment).map((vote) => voteArrow(vote, places, now)),
      ...moment.members.map((member) => node(member, places.get(member.name))),
    );
    setText(this.words, description(moment));
    setText(this.caption, event ? `${clock(event.time)}  ${event.member}  ${eventWords(event)}` : "");
  }
}

export function eventWords(event) {
  if (event.kind === "happening") return event.text;
  const asked = event.operation === "put" ? `put ${event.key} ${event.value}` : `get ${event.key}`;
  const how = event.serializable ? ", serializable" : "";
  return `asked to ${asked}${how}: ${event.ok ? event.text : `refused: ${event.text}`} (${event.tookMs} ms)`;
}

// The members on a ring, the first one on top.
function layOut(members) {
  const count = members.length;
  const few = count <= 3;
  const height = few ? 350 : 470;
  const size = few ? 50 : count <= 5 ? 46 : 40;
  const [wide, high] = count === 1 ? [0, 0] : few ? [152, 113] : [196, 172];
  const middle = height / 2 + (count === 3 ? 26 : -6);
  const places = new Map(
    members.map((member, index) => {
      const angle = (2 * Math.PI * index) / count - Math.PI / 2;
      const [x, y] = [WIDTH / 2 + wide * Math.cos(angle), middle + high * Math.sin(angle)];
      // Words beside a node go to the outside, where no arrow is.
      return [member.name, { x, y, size, beside: y < middle - 1 ? -size - 13 : size + 22 }];
    }),
  );
  return { height, places };
}

function arrowHeads() {
  const head = (name) =>
    svg("marker", { id: `head-${name}`, class: name, viewBox: "0 0 10 10", refX: 9, refY: 5,
      markerWidth: 7, markerHeight: 7, orient: "auto-start-reverse" }, svg("path", { d: "M0 0 10 5 0 10z" }));
  return svg("defs", {}, head("tip"), head("granted"), head("refused"));
}

// From the edge of one node to the edge of another, moved aside by `aside`.
function between(from, to, aside) {
  const length = Math.hypot(to.x - from.x, to.y - from.y) || 1;
  const along = { x: (to.x - from.x) / length, y: (to.y - from.y) / length };
  const side = { x: -along.y * aside, y: along.x * aside };
  const gap = 6;
  const start = { x: from.x + along.x * (from.size + gap) + side.x, y: from.y + along.y * (from.size + gap) + side.y };
  const end = { x: to.x - along.x * (to.size + gap) + side.x, y: to.y - along.y * (to.size + gap) + side.y };
  return { start, end, middle: { x: (start.x + end.x) / 2, y: (start.y + end.y) / 2 } };
}

function followArrow(member, places) {
  const { start, end } = between(places.get(member.name), places.get(member.leader), -7);
  const frozen = member.status !== "running";
  return svg("path", {
    class: `follows${frozen ? " frozen" : ""}`,
    d: `M${start.x} ${start.y}L${end.x} ${end.y}`,
    "marker-end": "url(#head-tip)",
  });
}

// The votes of the newest round: [{from, to, granted, preVote, reason, time}].
function votesOf(moment) {
  const rounds = [];
  for (const { name, moved, cast, received } of moment.members) {
    for (const vote of cast?.votes ?? []) rounds.push({ ...vote, ...roundOf(cast, moved), from: name, to: vote.member });
    for (const vote of received?.votes ?? []) rounds.push({ ...vote, ...roundOf(received, moved), from: vote.member, to: name });
  }
  const known = moment.leader ? rounds.filter((vote) => vote.term <= moment.leader.term) : rounds;
  const newest = Math.max(0, ...known.map((vote) => vote.order));
  const drawn = new Map();
  for (const vote of known) {
    if (vote.order === newest && vote.from !== vote.to) drawn.set(`${vote.from} ${vote.to}`, vote);
  }
  return [...drawn.values()];
}

function roundOf({ term, preVote }, time) {
  return { term, preVote, time, order: term * 2 + (preVote ? 0 : 1) };
}

function voteArrow(vote, places, now) {
  const from = places.get(vote.from);
  const to = places.get(vote.to);
  if (!from || !to) return null;
  const { start, end, middle } = between(from, to, 12);
  const kind = vote.granted ? "granted" : "refused";
  const words = `${vote.granted ? "✓" : "✗"} ${vote.preVote ? "pre-vote" : "vote"}`;
  const width = words.length * 7.4 + 12;
  return svg("g", { class: `ballot${now - vote.time > OLD_MS ? " old" : ""}` },
    svg("title", {}, vote.granted ? `${vote.from} gave ${vote.to} its vote for term ${vote.term}`
      : `${vote.from} refused ${vote.to} its vote for term ${vote.term}: ${vote.reason}`),
    svg("path", {
      class: `vote ${kind}${vote.preVote ? " pre" : ""}`,
      d: `M${start.x} ${start.y}L${end.x} ${end.y}`,
      "marker-end": `url(#head-${kind})`,
    }),
    svg("rect", { class: `tag ${kind}`, x: middle.x - width / 2, y: middle.y - 10, width, height: 20, rx: 10 }),
    svg("text", { class: `tag ${kind}`, x: middle.x, y: middle.y + 4.5 }, words),
  );
}

const SIGNS = { leader: "★", down: "✕", paused: "❚❚" };

function node(member, { x, y, size, beside }) {
  const { status, role } = member;
  const what = status === "running" ? role || "starting" : status;
  const sign = SIGNS[status] ?? SIGNS[role];
  const words = `${sign ? `${sign} ` : ""}${roleWords(member)}`;
  const letter = Math.min(size * 0.26, (size * 2.7) / words.length); // so that the words stay within the ring
  return svg("g", { class: `node ${what} ${termClass(member.term)}`, transform: `translate(${x} ${y})` },
    what === "leader" ? svg("circle", { class: "halo", r: size + 6 }) : null,
    what === "learner" ? svg("rect", { class: "body", x: -size, y: -size, width: 2 * size, height: 2 * size, rx: 10 })
      : svg("circle", { class: "body", r: size }),
    svg("text", { class: "name", y: -size * 0.28, "font-size": size * 0.42 }, member.name),
    svg("text", { class: "role", y: size * 0.12, "font-size": letter }, words),
    svg("text", { class: "term", y: size * 0.48, "font-size": size * 0.25 }, member.term ? `term ${member.term}` : ""),
    svg("text", { class: "beside", y: beside, "font-size": 12.5 }, besides(member)),
  );
}

function besides(member) {
  const { status, role, received } = member;
  if (status === "down") return "";
  if (status === "paused") return role ? `frozen as ${role}` : "";
  const votes = received?.votes.filter((vote) => vote.granted).length ?? 0;
  if (role === "candidate" || role === "pre-candidate") {
    return received?.needed ? `${votes} of ${received.needed} ${received.preVote ? "pre-votes" : "votes"}` : "";
  }
  if (role === "leader" && received?.term === member.term) return `elected with ${votes} vote${votes === 1 ? "" : "s"}`;
  return member.answers ? "" : "no answer";
}

function description(moment) {
  const each = moment.members.map((member) => {
    const leader = member.leader && member.leader !== member.name ? ` of ${member.leader}` : "";
    return `${member.name} is ${roleWords(member)}${leader}`;
  });
  return `${leaderWords(moment)}; ${quorumWords(moment)}. ${each.join("; ")}.`;
}
