// What to try, as data. Each step says what to do, what to expect and why; `seen` looks whether it came.
//
// `c` is what the scenario knows: `leader` and `term` when it began, `others` (the rest), `all`,
// `answer` (the last put or get of it), `begun` (its time), and `now` (the present moment).

const kill = (member) => ({ command: "kill", member });
const pause = (member) => ({ command: "pause", member });
const resume = (member) => ({ command: "resume", member });
const restart = (member) => ({ command: "restart", member });
const put = (key, value, member = "any") => ({ operation: "put", key, value, member, serializable: false });
const get = (key, member = "any", serializable = false) => ({ operation: "get", key, value: "", member, serializable });
const write = (on) => ({ write: on });

const list = (names) => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);
const of = (moment, name) => moment.members.find((member) => member.name === name);
const leads = ({ leader }) => `${leader.name} leads in term ${leader.term}`;

// What several steps wait for.
const anotherLeader = (moment, c) => moment.leader && moment.leader.term > c.term && leads(moment);
const everybodyFollows = (moment) =>
  moment.leader && moment.alive === moment.total
  && moment.members.every((member) => member.leader === moment.leader.name) && `all follow ${moment.leader.name}`;
const acknowledged = (_moment, c) => c.answer?.ok && `acknowledged: ${c.answer.detail}`;
const refused = (_moment, c) => c.answer && !c.answer.ok && `refused: ${c.answer.text}`;
const answers = (value) => (_moment, c) => c.answer?.ok && c.answer.text === value && `the answer is ${value}`;

export const scenarios = [
  {
    title: "Kill the leader",
    needs: 3,
    about: "A leader dies without a word. How long can nobody write, and who decides who is next?",
    steps: [
      {
        say: () => "Write once a second, so that the outage can be counted.",
        run: () => [write(true)],
        expect: "Green dots in the timeline, one a second.",
        seen: (_moment, c) => c.writer.acknowledged > 1 && `${c.writer.acknowledged} writes acknowledged`,
      },
      {
        say: (c) => `Kill the leader, ${c.leader}.`,
        run: (c) => [kill(c.leader)],
        expect: "Another member leads in the next term, mostly within half a second. At most a write or two is refused.",
        why: "The system closes the dead leader's connections. Whoever sees that first asks for pre-votes, then "
          + "for votes, and leads when a majority, itself included, has given them.",
        seen: anotherLeader,
      },
      {
        say: (c) => `Bring ${c.leader} back.`,
        run: (c) => [restart(c.leader)],
        expect: "It follows the new leader and takes over what it missed. It does not lead again.",
        why: "The leader of the higher term is the leader; no member has a right to lead.",
        seen: everybodyFollows,
      },
      {
        say: () => "Stop writing and compare the counts.",
        run: () => [write(false)],
        expect: "Step back through the election on the timeline: the story says who voted for whom.",
      },
    ],
  },
  {
    title: "Lose the quorum",
    needs: 3,
    about: "With fewer members than a majority nothing can be decided. What still works?",
    steps: [
      {
        say: () => "Write something while all is well.",
        run: () => [put("colour", "blue")],
        expect: "OK: a majority has it on disk.",
        seen: acknowledged,
      },
      {
        say: (c) => `Kill ${list(c.victims)}: ${c.all.length - c.victims.length} of ${c.all.length} is no majority.`,
        run: (c) => c.victims.map(kill),
        expect: "The quorum is lost. Within an election timeout nobody leads any more.",
        why: "A leader that hears from no majority steps down: another one might have been elected meanwhile.",
        seen: (moment) => moment.canLose < 0 && !moment.leader && "no leader",
      },
      {
        say: (c) => `Write through ${c.leader}.`,
        run: (c) => [put("colour", "red", c.leader)],
        expect: "No answer within five seconds.",
        why: "An entry counts once a majority has it on disk, and there is none.",
        seen: refused,
      },
      {
        say: (c) => `Read from ${c.leader} alone, serializable.`,
        run: (c) => [get("colour", c.leader, true)],
        expect: "blue.",
        why: "A serializable read asks nobody else. So it works without a quorum, and may be out of date.",
        seen: answers("blue"),
      },
      {
        say: (c) => `Bring one back: ${c.victims[0]}.`,
        run: (c) => [restart(c.victims[0])],
        expect: "A majority again: they elect a leader.",
        seen: (moment) => moment.leader && leads(moment),
      },
      {
        say: () => "Write again.",
        run: () => [put("colour", "red")],
        expect: "OK.",
        seen: acknowledged,
      },
      {
        say: (c) => `Bring back the rest: ${list(c.victims.slice(1))}.`,
        run: (c) => c.victims.slice(1).map(restart),
        expect: "All follow.",
        seen: everybodyFollows,
      },
    ],
  },
  {
    title: "A paused leader",
    needs: 3,
    about: "A process that hangs is worse than one that dies: its connections stay open.",
    steps: [
      {
        say: (c) => `Freeze the leader, ${c.leader}.`,
        run: (c) => [pause(c.leader)],
        expect: "For an election timeout nothing happens; then another member leads.",
        why: "Nothing was closed, so only the leader's silence tells. Each member waits a random time, so that "
          + "mostly one stands before the others do.",
        seen: anotherLeader,
      },
      {
        say: (c) => `Ask the frozen ${c.leader} to write.`,
        run: (c) => [put("colour", "ice", c.leader)],
        expect: "No answer within five seconds. The picture shows it frozen as leader of the old term.",
        why: "The system still takes connections for it. Clients give up by their own clock.",
        seen: refused,
      },
      {
        say: (c) => `Let ${c.leader} go on.`,
        run: (c) => [resume(c.leader)],
        expect: "It wakes as a leader of an old term, hears of the higher one, and steps down.",
        why: "Every message carries its term. Two may think that they lead, but never in the same term, and "
          + "only the newer one reaches a majority.",
        seen: (moment, c) => of(moment, c.leader).role === "follower" && of(moment, c.leader).term > c.term
          && `${c.leader} follows ${of(moment, c.leader).leader}`,
      },
    ],
  },
  {
    title: "A write that reached a minority",
    needs: 3,
    about: "A leader takes a write into its log and dies before anybody else has it. Is it lost?",
    steps: [
      {
        say: () => "Write something that all have.",
        run: () => [put("colour", "blue")],
        expect: "OK.",
        seen: acknowledged,
      },
      {
        say: (c) => `Freeze ${list(c.others)}, and write through the leader, ${c.leader}, at once.`,
        run: (c) => [...c.others.map(pause), put("colour", "lost", c.leader)],
        expect: "No answer within five seconds: the entry is in one log of several, so it is not committed.",
        why: "No answer is not a no: had the others woken in time, the write would have been carried out.",
        seen: refused,
      },
      {
        say: () => "Kill all of them. What was sent to the frozen ones dies unread with them.",
        run: (c) => [...c.others, c.leader].map(kill),
        expect: "Nothing runs.",
        seen: (moment) => moment.alive === 0 && "none alive",
      },
      {
        say: (c) => `Bring back ${list(c.others)}, but not ${c.leader}.`,
        run: (c) => c.others.map(restart),
        expect: "They elect a leader among themselves.",
        why: "None of them ever had the entry, and together they are a majority.",
        seen: anotherLeader,
      },
      {
        say: () => "Read.",
        run: () => [get("colour")],
        expect: "blue: the unanswered write did not happen.",
        seen: answers("blue"),
      },
      {
        say: (c) => `Bring ${c.leader} back.`,
        run: (c) => [restart(c.leader)],
        expect: "The story says that it dropped an entry, never committed, for the leader's.",
        why: "Where logs differ, the leader's counts; only what was never committed can differ.",
        seen: (_moment, c) => c.story.find((event) => event.time > c.begun && event.text.startsWith("dropped entries"))?.text,
      },
    ],
  },
  {
    title: "A stale serializable read",
    needs: 3,
    about: "A member that was cut off answers from what it has. Who asks it that way can read the past.",
    steps: [
      {
        say: () => "Write something that all have.",
        run: () => [put("colour", "old")],
        expect: "OK.",
        seen: acknowledged,
      },
      {
        say: (c) => `Freeze the leader, ${c.leader}.`,
        run: (c) => [pause(c.leader)],
        expect: "After an election timeout another member leads.",
        seen: anotherLeader,
      },
      {
        say: (c) => `Write through the new leader${c.now.leader ? `, ${c.now.leader.name}` : ""}.`,
        run: (c) => [put("colour", "new", c.now.leader?.name ?? c.others[0])],
        expect: "OK: a majority has it, only the frozen member does not.",
        seen: acknowledged,
      },
      {
        say: (c) => `Kill ${list(c.others)}, and let ${c.leader} go on, alone.`,
        run: (c) => [...c.others.map(kill), resume(c.leader)],
        expect: `It steps down and finds nobody to vote for it.`,
        seen: (moment, c) => moment.alive === 1 && of(moment, c.leader).answers && "alone, without a leader",
      },
      {
        say: (c) => `Read from ${c.leader}, serializable.`,
        run: (c) => [get("colour", c.leader, true)],
        expect: "old, though “new” was acknowledged: a stale read.",
        why: "Serializable means: whatever this member has. It asks nobody whether that is the newest.",
        seen: answers("old"),
      },
      {
        say: (c) => `Read from ${c.leader}, linearizable.`,
        run: (c) => [get("colour", c.leader)],
        expect: "No answer within five seconds.",
        why: "A linearizable read needs a leader that a majority confirms at that moment. Rather no answer than an old one.",
        seen: refused,
      },
      {
        say: (c) => `Bring ${list(c.others)} back.`,
        run: (c) => c.others.map(restart),
        expect: "They elect one of themselves: their logs are ahead, so they refuse their votes to the member that lags.",
        seen: everybodyFollows,
      },
      {
        say: (c) => `Read from ${c.leader} again, serializable.`,
        run: (c) => [get("colour", c.leader, true)],
        expect: "new: it caught up.",
        seen: answers("new"),
      },
    ],
  },
  {
    title: "Restart everything",
    needs: 1,
    about: "The power fails for all members at once. What of the data?",
    steps: [
      {
        say: () => "Write something.",
        run: () => [put("kept", "yes")],
        expect: "OK.",
        seen: acknowledged,
      },
      {
        say: () => "Kill all members.",
        run: (c) => c.all.map(kill),
        expect: "None alive.",
        seen: (moment) => moment.alive === 0 && "none alive",
      },
      {
        say: () => "Start them again.",
        run: (c) => c.all.map(restart),
        expect: "They read their logs, and elect a leader in a higher term.",
        why: "Term, vote and entries are on disk before anybody is told of them.",
        seen: (moment, c) => anotherLeader(moment, c) && everybodyFollows(moment),
      },
      {
        say: () => "Read.",
        run: () => [get("kept")],
        expect: "yes.",
        seen: answers("yes"),
      },
    ],
  },
];
