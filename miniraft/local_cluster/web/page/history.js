// What the server told, kept so that any moment can be asked for. No drawing here.
//
// For each member there are three tracks, each in the order of its times: its process, its answers
// to "how are you", and what its log says of elections. They come in at different delays; a moment
// is put together from the newest of each before it.

// Index of the last record at or before a time, or -1.
function lastAt(track, time) {
  let low = 0;
  let high = track.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (track[middle].time <= time) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

function insert(track, record) {
  let place = track.length;
  while (place > 0 && track[place - 1].time > record.time) place -= 1;
  track.splice(place, 0, record);
}

class MemberTracks {
  process = [];
  answer = [];
  raft = [];

  at(time) {
    const process = this.process[lastAt(this.process, time)];
    if (!process) return { status: "unknown", state: "", role: "", term: 0, leader: "" };
    const answerIndex = lastAt(this.answer, time);
    const ofProcess = (record, when) => (record && when >= process.started ? record : undefined);
    const answer = ofProcess(this.answer[answerIndex], this.answer[answerIndex]?.asked);
    const raftIndex = lastAt(this.raft, time);
    const raft = ofProcess(this.raft[raftIndex], this.raft[raftIndex]?.time);
    const alive = process.state === "running" || process.state === "paused";
    return {
      status: alive ? process.state : "down",
      state: process.state,
      pid: process.pid,
      answers: process.state === "running" && Boolean(answer?.answer),
      said: this.#lastSaid(answerIndex),
      moved: raft?.time, // when it last took part in an election
      cast: raft?.cast,
      received: raft?.received,
      ...part(raft, answer),
    };
  }

  // The times at which the member's part or its process may have changed.
  turns() {
    const times = [...this.process, ...this.raft].map((record) => record.time);
    let before;
    for (const { time, answer } of this.answer) {
      const now = answer && `${answer.term} ${answer.leader} ${answer.learner}`;
      if (now !== before) times.push(time);
      before = now;
    }
    return times.sort((one, other) => one - other);
  }

  #lastSaid(index) {
    for (let place = index; place >= 0; place -= 1) {
      if (this.answer[place].answer) return this.answer[place].answer;
    }
    return null;
  }
}

// Role, term and leader, by the log or by the answer, whichever is surely the newer.
function part(raft, answer) {
  const said = answer?.answer;
  const standing = raft?.role === "candidate" || raft?.role === "pre-candidate";
  if (!said || (raft?.role && raft.time > answer.asked)) {
    return { role: raft?.role ?? "", term: raft?.term || said?.term || 0, leader: raft?.leader ?? "" };
  }
  let role = said.learner ? "learner" : "follower";
  if (said.leads) role = "leader";
  else if (!said.leader && standing) role = raft.role;
  return { role, term: said.term, leader: said.leader };
}

export class History {
  constructor(names, since) {
    this.names = names;
    this.since = since; // nothing is known of what was before
    this.events = []; // what can be stepped through: the story, and what the page asked
    this.requests = []; // all of them, the writer's too
    this.version = 0;
    this.turned = 0; // grows when a band of the timeline may have changed
    this.begin = Infinity;
    this.tracks = new Map(names.map((name) => [name, new MemberTracks()]));
  }

  add(records) {
    for (const record of records) this.#add(record);
    this.version += 1;
  }

  #add(record) {
    const tracks = this.tracks.get(record.member);
    this.begin = Math.min(this.begin, Math.max(record.time, this.since));
    if (record.kind === "happening") insert(this.events, record);
    else if (record.kind === "request") {
      insert(this.requests, record);
      if (!record.writer) insert(this.events, record);
    } else if (tracks) {
      insert(tracks[record.kind], record);
      this.turned += 1;
    }
  }

  // The whole cluster at a time.
  at(time) {
    const members = this.names.map((name) => ({ name, ...this.tracks.get(name).at(time) }));
    const voters = members.filter((member) => member.role !== "learner");
    const alive = voters.filter((member) => member.answers).length;
    const quorum = Math.floor(voters.length / 2) + 1;
    const leaders = members.filter((member) => member.status === "running" && member.role === "leader");
    const leader = leaders.sort((one, other) => other.term - one.term)[0] ?? null;
    const term = Math.max(0, ...members.map((member) => member.term));
    const total = voters.length;
    return { time, members, alive, total, quorum, canLose: alive - quorum, leader, term };
  }

  // For how long a member was what: [{from, until, status, role, term}], the last without an end.
  bands(name) {
    const tracks = this.tracks.get(name);
    const bands = [];
    for (const from of tracks.turns()) {
      const { status, role, term, state } = tracks.at(from);
      const last = bands.at(-1);
      if (last && last.status === status && last.role === role && last.term === term) continue;
      if (last) last.until = from;
      bands.push({ from, until: Infinity, status, role, term, state });
    }
    return bands.filter((band) => band.until > band.from);
  }

  eventAt(time) {
    return this.events[lastAt(this.events, time)] ?? null;
  }

  eventBefore(time) {
    const events = this.events;
    let index = lastAt(events, time);
    while (index >= 0 && events[index].time >= time) index -= 1;
    return events[index] ?? null;
  }

  eventAfter(time) {
    return this.events[lastAt(this.events, time) + 1] ?? null;
  }
}
