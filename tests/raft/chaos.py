"""A cluster under a seeded storm: messages are dropped, doubled and reordered, writes become
durable late, members crash and lose what was not, logs are cut, members come and go. Then the
weather clears, and the cluster has to get on with it.
"""

from __future__ import annotations

import random

from miniraft.raft.interface import ProposalDropped
from miniraft.raft.message import MessageKind
from tests.raft.checkers import Checkers, Violation
from tests.raft.harness import Cluster

ACTIONS = {  # how often, relative to each other
    "deliver": 500,
    "sync": 120,
    "apply": 60,
    "tick": 100,
    "propose": 20,
    "read": 15,
    "drop": 6,
    "double": 4,
    "checkpoint": 8,
    "compact": 8,
    "crash": 3,
    "restart": 15,
    "partition": 2,
    "heal": 2,
    "transfer": 2,
    "change": 4,
    "campaign": 2,
}


MEMBERSHIPS = (  # voters, learners, and members that run but have to be added
    ((1, 2, 3), (4,), (5,)),
    ((1, 2, 3), (4,), (5,)),
    ((1, 2, 3, 4, 5), (), ()),
    ((1,), (2,), (3, 4, 5)),
)
FAULTS = ("drop", "double", "crash", "partition", "campaign")


class Storm:
    """One run, determined by its seed."""

    def __init__(self, seed, **settings):
        self.random = random.Random(seed)
        plain = self.random.random() < 0.3
        options = {
            "pre_vote": not plain,
            "check_quorum": not plain or self.random.random() < 0.3,
            "max_append_bytes": self.random.choice([1, 60, 1000]),
            "max_inflight_appends": self.random.choice([1, 3, 256]),
            "election_ticks": 5,
        }
        voters, learners, joining = self.random.choice(MEMBERSHIPS)
        self.cluster = Cluster(voters, learners, seed=seed, extra=joining, **(options | settings))
        self.checkers = Checkers()
        self.counter = 0
        for host in self.cluster.hosts.values():
            host.auto_sync = host.auto_apply = False
            self.checkers.attach(host)

    def run(self, steps=3000):
        roughness = self.random.choice([1, 2, 5])
        weights = [weight * (roughness if name in FAULTS else 1) for name, weight in ACTIONS.items()]
        for name in self.random.choices(list(ACTIONS), weights, k=steps):
            getattr(self, "do_" + name)()
            self._settle_hosts()
        self._calm()

    def _settle_hosts(self):
        for host in self.cluster.hosts.values():
            if host.alive:
                host.run()
            for message in host.sent:
                self.checkers.sent(host, message)
            self.cluster.collect(host)

    def _any(self, alive=True):
        hosts = [host for host in self.cluster.hosts.values() if host.alive is alive]
        return self.random.choice(hosts) if hosts else None

    # Events --------------------------------------------------------------------------------
    def do_deliver(self):
        if self.cluster.queue:
            furthest = len(self.cluster.queue) if self.random.random() < 0.1 else 1
            self.cluster.deliver_one(self.random.randrange(furthest))

    def do_double(self):
        if self.cluster.queue:
            self.cluster.queue.append(self.random.choice(self.cluster.queue))

    def do_drop(self):
        if self.cluster.queue:
            at = self.random.randrange(len(self.cluster.queue))
            message = self.cluster.queue[at]
            del self.cluster.queue[at]
            sender = self.cluster.hosts[message.sender]
            if sender.alive and message.kind == MessageKind.SNAPSHOT:
                sender.raft.report_snapshot(message.receiver, False)
            if sender.alive and self.random.random() < 0.3:
                sender.raft.report_unreachable(message.receiver)

    def do_sync(self):
        host = self._any()
        if host:
            host.sync(1)

    def do_apply(self):
        host = self._any()
        if host:
            host.apply(self.random.randint(1, 3))

    def do_tick(self):
        host = self._any()
        if host:
            host.raft.tick()

    def do_campaign(self):
        host = self._any()
        if host:
            host.raft.campaign()

    def do_propose(self):
        host = self._any()
        if host:
            payloads = [f"{self.counter}.{number}".encode() for number in range(self.random.randint(1, 4))]
            self.counter += 1
            try:
                host.raft.propose(payloads)
            except ProposalDropped:
                return

    def do_change(self):
        host = self._any()
        if host:
            kind = self.random.choice([0, 1, 2, 4])
            try:
                host.raft.propose_config_change(f"{kind} {self.random.randint(1, 5)}".encode())
            except ProposalDropped:
                return

    def do_read(self):
        host = self._any()
        if host:
            self.counter += 1
            self.checkers.read_asked(self.counter, self.cluster.hosts.values())
            host.raft.read_index(self.counter)

    def do_transfer(self):
        host = self._any()
        if host:
            host.raft.transfer_leadership(self.random.randint(1, 5))

    def do_checkpoint(self):
        host = self._any()
        if host:
            host.checkpoint()

    def do_compact(self):
        host = self._any()
        if host:
            host.compact(keep=self.random.randint(0, 2))

    def do_crash(self):
        host = self._any()
        if host:
            host.crash(synced_writes=self.random.randint(0, 2))

    def do_restart(self):
        host = self._any(alive=False)
        if host:
            host.start()

    def do_partition(self):
        self.cluster.cut(*self.random.sample(range(1, 6), self.random.randint(1, 2)))

    def do_heal(self):
        self.cluster.heal()

    # Liveness ------------------------------------------------------------------------------
    def _calm(self):
        """From now on nothing fails: a leader must emerge, and bring everybody to the same state."""
        cluster = self.cluster
        cluster.heal()
        for host in cluster.hosts.values():
            if not host.alive:
                host.start()
            host.auto_sync = host.auto_apply = True
            host.sync()
            host.apply()
        for attempt in range(200):
            for host in cluster.hosts.values():
                host.raft.tick()
            self._deliver_all()
            if attempt % 5 == 0 and cluster.leader():
                try:
                    cluster[cluster.leader()].propose([f"calm {attempt}".encode()])
                except ProposalDropped:
                    continue
            if self._agree():
                return
        raise Violation("liveness: no agreement in 200 ticks of calm")

    def _deliver_all(self):
        self._settle_hosts()
        for _ in range(5000):
            if not self.cluster.queue:
                return
            self.cluster.deliver_one()
            self._settle_hosts()
        raise Violation("liveness: the members never stop sending")

    def _agree(self):
        leader = self.cluster.leader()
        if not leader:
            return False
        members = self.cluster[leader]._node.members()
        stores = [self.cluster.hosts[member].store for member in members]
        return b"calm" in b"".join(stores[0].data) and all(store == stores[0] for store in stores)
