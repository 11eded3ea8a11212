"""Scripts: what is done to a cluster, and the story that follows, in one readable text.

A line that begins with `$` is a command; the lines below it, up to the next command, an empty
line or a comment, are what it brought about. Commands:

    members 1 2 3 [learners 4] [joining 5] [check-quorum off] [pre-vote off] [max-append-bytes N]
    log M: TERM TERM ...     before the members start: M's log (and its current term, the last)
    start                    after `log` lines
    timeout M                M hears nothing until its election timeout passes
    tick N [M ...]           N heartbeat intervals pass (for M ...), everything is delivered
    deliver                  everything is delivered until nothing moves
    deliver S>R              only what S has sent to R so far is delivered
    drop [S>R]               what is under way (from S to R) is lost
    cut M ... / heal         nothing passes between M ... and the others / all links work again
    propose M a b ...        clients ask M to append
    read M                   a client of M wants a linearizable read
    change M WHAT X          M proposes: add-voter, add-learner, promote, remove
    transfer M X             M is asked to hand leadership over to X
    unreachable M X          M's transport has lost messages to X
    disconnected M X         X has closed its connection to M
    crash M / restart M      M loses what is not on its disk / starts from its disk
    hold-disk M / sync M     M's writes stay under way / those become durable
    release-disk M           M's writes become durable at once again
    checkpoint M / compact M M's state machine is made durable / its log is cut behind that
    quietly COMMAND          without telling
    status                   what everybody is
    logs                     the terms of everybody's entries
    stores                   what everybody has applied
"""

from __future__ import annotations

import shlex

from miniraft.raft import observation
from miniraft.raft.message import MessageKind, RejectReason
from miniraft.raft.state import ConfigChangeKind, ConfigState
from tests.raft.harness import Cluster, entries_of

CHANGES = {
    "add-voter": ConfigChangeKind.ADD_VOTER,
    "add-learner": ConfigChangeKind.ADD_LEARNER,
    "promote": ConfigChangeKind.PROMOTE,
    "remove": ConfigChangeKind.REMOVE,
}


class Story:
    """Runs a script and returns it with what happened."""

    def __init__(self):
        self.cluster = None
        self.lines = []
        self.quiet = False
        self.logs = {}
        self.pending = None
        self.reads = 0

    def run(self, text):
        written = []
        skipping = False
        for line in text.splitlines():
            if line.startswith("$ "):
                self.lines = []
                self.command(line[2:])
                written += [line, *self.lines]
                skipping = True
            elif not line or line.startswith("#"):
                written.append(line)
                skipping = False
            elif not skipping:
                raise ValueError(f"not a command, a comment or what a command brought about: {line!r}")
        return "\n".join(written) + "\n"

    def tell(self, line):
        if not self.quiet:
            self.lines.append(line)

    def command(self, line):
        name, *words = shlex.split(line)
        if name == "quietly":
            self.quiet = True
            self.command(line.split(maxsplit=1)[1])
            self.quiet = False
            return
        getattr(self, "do_" + name.replace("-", "_"))(*words)
        if self.cluster:
            self.run_members()

    # Setting up ------------------------------------------------------------------------------
    def do_members(self, *words):
        groups = {"voters": [], "learners": [], "joining": []}
        settings, current = {}, "voters"
        words = list(words)
        while words:
            word = words.pop(0)
            if word in groups:
                current = word
            elif word in ("check-quorum", "pre-vote"):
                settings[word.replace("-", "_")] = words.pop(0) == "on"
            elif word == "max-append-bytes":
                settings["max_append_bytes"] = int(words.pop(0))
            else:
                groups[current].append(int(word))
        self.pending = (groups, settings)
        self.logs = {}
        self.cluster = None
        self.quiet_start = True

    def do_log(self, member, *terms):
        self.logs[int(member.rstrip(":"))] = [int(term) for term in terms]

    def do_start(self):
        groups, settings = self.pending
        logs = {member: entries_of(*terms) for member, terms in self.logs.items()}
        terms = {member: terms[-1] for member, terms in self.logs.items()}
        self.cluster = Cluster(
            groups["voters"], groups["learners"], logs=logs, terms=terms, extra=groups["joining"], **settings
        )
        self.cluster.on_deliver = self.tell_message
        for host in self.cluster.hosts.values():
            host.listener = self.tell_ready

    # Time and network ------------------------------------------------------------------------
    def run_members(self):
        self.cluster.run()

    def do_timeout(self, member):
        raft = self.cluster[int(member)]
        term, role = raft.term, raft.role
        for _ in range(100):
            raft.tick()
            if (raft.term, raft.role) != (term, role) or raft.has_ready():
                return
        raise AssertionError(f"member {member} does not time out")

    def do_tick(self, count, *members):
        self.cluster.tick(int(count), [int(member) for member in members])

    def do_deliver(self, link=None):
        if link is None:
            self.cluster.settle()
            return
        sender, receiver = map(int, link.split(">"))
        for message in self._taken(lambda m: (m.sender, m.receiver) == (sender, receiver)):
            self.cluster.hand_over(message)

    def do_drop(self, link=None):
        sender, receiver = map(int, link.split(">")) if link else (None, None)
        lost = self._taken(lambda m: link is None or (m.sender, m.receiver) == (sender, receiver))
        for message in lost:
            self.tell(f"lost: {describe(getattr(message, 'message', message))}")

    def _taken(self, chosen):
        queue = self.cluster.queue
        taken = [message for message in queue if chosen(message)]
        kept = [message for message in queue if not chosen(message)]
        queue.clear()
        queue.extend(kept)
        return taken

    def do_cut(self, *members):
        self.cluster.cut(*map(int, members))

    def do_heal(self):
        self.cluster.heal()

    # Requests --------------------------------------------------------------------------------
    def _try(self, member, ask):
        try:
            ask()
        except Exception as error:  # noqa: BLE001 (its text is part of the story)
            self.tell(f"n{member}: refused: {error}")

    def do_propose(self, member, *payloads):
        raft = self.cluster[int(member)]
        self._try(member, lambda: raft.propose([payload.encode() for payload in payloads]))

    def do_read(self, member):
        self.reads += 1
        self.cluster[int(member)].read_index(self.reads)

    def do_change(self, member, what, target):
        raft = self.cluster[int(member)]
        payload = f"{CHANGES[what]} {target}".encode()
        self._try(member, lambda: raft.propose_config_change(payload))

    def do_transfer(self, member, target):
        self.cluster[int(member)].transfer_leadership(int(target))

    def do_unreachable(self, member, target):
        self.cluster[int(member)].report_unreachable(int(target))

    def do_disconnected(self, member, target):
        self.cluster[int(member)].report_disconnected(int(target))

    # Members ---------------------------------------------------------------------------------
    def do_crash(self, member):
        self.cluster.hosts[int(member)].crash()

    def do_restart(self, member):
        host = self.cluster.hosts[int(member)]
        host.auto_sync = True
        host.start()

    def do_hold_disk(self, member):
        self.cluster.hosts[int(member)].auto_sync = False

    def do_sync(self, member):
        self.cluster.hosts[int(member)].sync()

    def do_release_disk(self, member):
        self.cluster.hosts[int(member)].auto_sync = True
        self.do_sync(member)

    def do_checkpoint(self, member):
        self.cluster.hosts[int(member)].checkpoint()

    def do_compact(self, member):
        self.cluster.hosts[int(member)].compact()

    # Looking ---------------------------------------------------------------------------------
    def do_status(self):
        for member, host in self.cluster.hosts.items():
            if not host.alive:
                self.tell(f"n{member}: down")
                continue
            raft = host.raft
            self.tell(
                f"n{member}: {raft.role}, term {raft.term}, leader {name_of(raft.leader)}, "
                f"log {raft.first_index}..{raft.last_index}, durable {raft.durable}, "
                f"committed {raft.committed}, applied {raft.applied}, {describe_config(raft.config)}"
            )
            for view in raft.progress():
                if view.member_id != member:
                    kind = "learner " if view.is_learner else ""
                    self.tell(
                        f"    {kind}n{view.member_id}: {view.state}, match {view.match}, next {view.next}, "
                        f"in flight {view.inflight}"
                    )

    def do_logs(self):
        for member, host in self.cluster.hosts.items():
            committed = host.raft.committed
            terms = [f"{term}{'' if at <= committed else '?'}" for at, term in enumerate(host.log_terms(), 1)]
            self.tell(f"n{member}: {' '.join(terms)}")

    def do_stores(self):
        for member, host in self.cluster.hosts.items():
            self.tell(f"n{member}: {b' '.join(host.store.data).decode()}")

    # Telling ---------------------------------------------------------------------------------
    def tell_message(self, message):
        self.tell(describe(message))

    def tell_ready(self, host, ready):
        name = f"n{host.member_id}"
        for seen in ready.observations:
            self.tell(f"{name}: {describe_observation(seen)}")
        for read in ready.read_states:
            outcome = "failed" if read.index < 0 else f"may be served once {read.index} is applied"
            self.tell(f"{name}: read {read.context} {outcome}")
        if ready.snapshot:
            self.tell(f"{name}: installs snapshot at {position(ready.snapshot.index, ready.snapshot.term)}")
        if ready.committed:
            entries = ", ".join(describe_entry(entry) for entry in ready.committed)
            self.tell(f"{name}: applies {entries}")


def name_of(member):
    return f"n{member}" if member else "nobody"


def position(index, term):
    return f"{index} (term {term})"


def describe_entry(entry):
    if entry.kind == 1:
        kind, member = map(int, entry.data.split())
        what = next(name for name, number in CHANGES.items() if number == kind)
        return f"{entry.index}={what} n{member}"
    return f"{entry.index}={entry.data.decode() or 'no-op'}"


def describe_config(config: ConfigState):
    text = "voters " + " ".join(map(str, config.voters))
    return text + (" learners " + " ".join(map(str, config.learners)) if config.learners else "")


def describe(message):  # noqa: C901 (one branch for each kind)
    kind = MessageKind(message.kind)
    text = f"n{message.sender} -> n{message.receiver}: {kind.name} term {message.term}"
    if kind == MessageKind.APPEND:
        text += f", after {position(message.index, message.log_term)}"
        if message.entries:
            text += ": " + ", ".join(describe_entry(entry) for entry in message.entries)
        text += f", commit {message.commit}"
    elif kind == MessageKind.APPEND_RESPONSE:
        if message.reject:
            text += f", rejects {message.index}: {RejectReason(message.reject_reason).name}"
            if message.reject_reason == RejectReason.LOG_MISMATCH:
                text += f", try {position(message.reject_hint, message.reject_hint_term)}"
        else:
            text += f", has {message.index}"
    elif kind in (MessageKind.VOTE, MessageKind.PRE_VOTE):
        text += f", log ends at {position(message.index, message.log_term)}"
        text += ", asked by the leader" if message.context else ""
    elif kind in (MessageKind.VOTE_RESPONSE, MessageKind.PRE_VOTE_RESPONSE):
        outcome = f"refused: {RejectReason(message.reject_reason).name}" if message.reject else "granted"
        text += f", vote for term {message.context} {outcome}"
    elif kind == MessageKind.HEARTBEAT:
        text += f", commit {message.commit}" + (f", read round {message.context}" if message.context else "")
    elif kind == MessageKind.HEARTBEAT_RESPONSE:
        text += f", read round {message.context}" if message.context else ""
    elif kind == MessageKind.SNAPSHOT:
        text += f", at {position(message.snapshot.index, message.snapshot.term)}"
    elif kind == MessageKind.PROPOSE:
        text += f": {b' '.join(entry.data for entry in message.entries).decode()}"
    elif kind == MessageKind.READ_INDEX:
        text += f", read {message.context}"
    elif kind == MessageKind.READ_INDEX_RESPONSE:
        text += f", read {message.context}" + (" refused" if message.reject else f" at {message.index}")
    elif kind == MessageKind.TRANSFER_LEADERSHIP:
        text += f", to n{message.context}"
    return text


def describe_observation(seen):  # noqa: C901 (one line for each kind)
    match seen:
        case observation.ElectionStarted(term, True, ticks, "disconnected"):
            return f"the leader's connection closed {ticks} ticks ago at most, pre-candidate for term {term}"
        case observation.ElectionStarted(term, True, ticks, _):
            return f"timeout after {ticks} ticks, pre-candidate for term {term}"
        case observation.ElectionStarted(term, False, ticks, "timeout" | "disconnected"):
            return f"candidate in term {term}, {ticks} ticks without a leader"
        case observation.ElectionStarted(term, False, _, _):
            return f"candidate in term {term}, asked by the leader"
        case observation.VoteCast(term, candidate, granted, pre_vote, reason):
            kind = "pre-vote" if pre_vote else "vote"
            outcome = "grants" if granted else "refuses"
            because = "" if granted else f": {RejectReason(reason).name}"
            return f"{outcome} n{candidate} its {kind} for term {term}{because}"
        case observation.VoteReceived(_, voter, granted, pre_vote, reason, yes, no, quorum):
            kind = "pre-vote" if pre_vote else "vote"
            outcome = "" if granted else f" refused ({RejectReason(reason).name})"
            return f"{kind} of n{voter}{outcome}, {yes} of {quorum} needed" + (
                f", {no} against" if no else ""
            )
        case observation.LeaderElected(term, ticks):
            return f"leader of term {term} after {ticks} ticks"
        case observation.LeaderChanged(term, leader, previous):
            return f"term {term}, follows {name_of(leader)} (before: {name_of(previous)})"
        case observation.SteppedDown(term, role, reason):
            return f"term {term}, {role} steps down: {reason}"
        case observation.LogTruncated(_, first, last):
            return f"removes entries {first}..{last}"
        case observation.SnapshotNeeded(follower, following, first):
            return f"n{follower} needs {following}, the log begins at {first}: snapshot"
        case observation.TransferStarted(_, target):
            return f"hands leadership over to n{target}"
        case observation.TransferAborted(_, target):
            return f"gives up handing over to n{target}"
    raise ValueError(f"no words for {seen}")
