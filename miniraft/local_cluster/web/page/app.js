// Puts the page together: what the server tells goes into the history, a moment of it is drawn.

import { Ask } from "./ask.js";
import { Guide } from "./guide.js";
import { History } from "./history.js";
import { Logs } from "./logs.js";
import { Members } from "./members.js";
import { Picture } from "./picture.js";
import { Playback } from "./playback.js";
import { Story } from "./story.js";
import { Timeline } from "./timeline.js";
import { byId, setClass, setText } from "./dom.js";
import { clock, leaderWords, quorumWords } from "./words.js";
import { connect, post } from "./connection.js";

const TICK_MS = 250; // while live, the timeline moves

let views = null; // made when the server has said what the cluster consists of
let connected = false;
let asked = false;

const playback = new Playback(draw);

// Many changes at once are drawn once.
function draw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    if (views) drawMoment();
  });
}

function drawMoment() {
  const { history } = views;
  const now = Date.now();
  const present = history.at(Infinity);
  const moment = playback.live ? present : history.at(playback.time);
  const usable = playback.live && connected;
  drawHeader(moment);
  views.picture.update(moment, history.eventAt(playback.shown), playback.time ?? now);
  views.members.update(moment, usable);
  views.timeline.update(history, now);
  views.story.update(history);
  views.logs.update(moment);
  views.ask.updateTargets(present);
  views.guide.update(present, history, usable);
}

function drawHeader(moment) {
  setText(byId("leads"), leaderWords(moment));
  setClass(byId("leads"), moment.leader ? "good" : "bad");
  setText(byId("quorum-words"), quorumWords(moment));
  setClass(byId("quorum"), moment.canLose >= 0 ? "good" : "bad");
  const pips = Array.from({ length: moment.total }, (_, place) => (place < moment.alive ? "●" : "○"));
  setText(byId("pips"), pips.join(""));
  const mode = !connected ? "✕ not connected: does miniraft cluster still run?"
    : playback.live ? "● live" : `◷ ${clock(playback.time)}, the past`;
  setText(byId("mode"), mode);
  setClass(byId("mode"), !connected ? "bad" : playback.live ? "live" : "past");
  document.body.classList.toggle("past", !playback.live);
  byId("live").disabled = playback.live;
  setText(byId("play"), playback.playing ? "❚❚ pause" : "▶ play");
}

async function act(command, name) {
  setText(byId("said"), `${command} ${name} …`);
  const answer = await post("/member", { command, member: name });
  setText(byId("said"), answer.message);
  setClass(byId("said"), answer.ok ? "" : "bad");
  return answer;
}

function begin(message) {
  const cluster = {
    members: new Map(message.members.map((member) => [member.name, member])),
    arguments: message.arguments,
  };
  const names = [...cluster.members.keys()];
  const same = JSON.stringify([message.members, message.arguments]);
  if (views && views.same !== same) location.reload(); // another cluster runs there now
  const history = new History(names, message.sinceMs);
  playback.history = history;
  document.title = `miniraft cluster: ${message.folder}`;
  const ask = views?.ask ?? new Ask(cluster);
  views = {
    same,
    history,
    picture: views?.picture ?? new Picture(byId("picture"), byId("picture-words"), byId("caption")),
    members: views?.members ?? new Members(byId("members"), byId("lines"), cluster, act),
    timeline: views?.timeline ?? new Timeline(byId("lanes"), byId("scrub"), playback),
    story: views?.story ?? new Story(byId("story"), byId("filters"), names, playback),
    logs: views?.logs ?? new Logs(byId("logs")),
    ask,
    guide: views?.guide ?? new Guide(byId("guide"), byId("scenario"), cluster, { act, ask }),
  };
}

function take(message) {
  views.history.add(message.records);
  views.ask.updateWriter(message.writer);
  draw();
}

connect({
  hello(message) {
    connected = true;
    begin(message);
    take(message);
  },
  news: take,
  lost() {
    connected = false;
    setText(byId("mode"), "✕ not connected: does miniraft cluster still run?");
    setClass(byId("mode"), "bad");
    draw();
  },
});

byId("back").onclick = () => playback.back();
byId("forward").onclick = () => playback.forward();
byId("hold").onclick = () => playback.hold();
byId("play").onclick = () => (playback.playing ? playback.hold() : playback.play());
byId("live").onclick = () => playback.goLive();
byId("pace").onchange = (event) => playback.setPace(event.target.value);
byId("span").onchange = (event) => playback.setSpan(Number(event.target.value));
new ResizeObserver(draw).observe(byId("lanes"));
setInterval(() => {
  if (playback.live) draw();
}, TICK_MS);
