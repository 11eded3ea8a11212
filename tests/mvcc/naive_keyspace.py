"""The keyspace as simply as it can be written: a list of all writes, replayed for every read."""

from miniraft.errors import COMPACTED, FUTURE_REVISION, KEY_NOT_FOUND, LEASE_NOT_FOUND
from miniraft.pb import rpc_pb2 as rpc
from miniraft.pb.kv_pb2 import KeyValue


class NaiveKeyspace:
    """Answers with response messages. Takes requests that validation has passed."""

    def __init__(self, leases):
        self.writes = []  # (revision, key, KeyValue, or None for a delete)
        self.revision = 1
        self.compact_revision = -1
        self.leases = set(leases)

    def call(self, request):
        match type(request):
            case rpc.RangeRequest:
                return self.range(request, self.revision)
            case rpc.CompactionRequest:
                if request.revision <= self.compact_revision:
                    raise COMPACTED.fresh()
                if request.revision > self.revision:
                    raise FUTURE_REVISION.fresh()
                self.compact_revision = request.revision
                return rpc.CompactionResponse(header=rpc.ResponseHeader(revision=self.revision))
            case rpc.TxnRequest:
                paths = list(self.choose(request, self.state(self.revision)))
                self.check(request, iter(paths))
                return self.write(self.run, request, iter(paths))
            case rpc.PutRequest:
                if request.lease and request.lease not in self.leases:
                    raise LEASE_NOT_FOUND.fresh()
                self.check_key(request)
                return self.write(self.put, request)
            case rpc.DeleteRangeRequest:
                return self.write(self.delete, request)
        raise TypeError(type(request))

    def write(self, run, *arguments):
        response = run(*arguments)
        if any(revision > self.revision for revision, _, _ in self.writes):
            self.revision += 1
        response.header.revision = self.revision
        return response

    def state(self, revision):
        pairs = {}
        for written, key, pair in self.writes:
            if written <= revision:
                pairs.pop(key, None)
                if pair is not None:
                    pairs[key] = pair
        return dict(sorted(pairs.items()))

    def now(self):
        """The revision reads see in the midst of a write."""
        return max([self.revision, *(revision for revision, _, _ in self.writes)])

    @staticmethod
    def select(state, request):
        if not request.range_end:
            return [state[request.key]] if request.key in state else []
        return [
            pair
            for key, pair in state.items()
            if key >= request.key and (request.range_end == b"\0" or key < request.range_end)
        ]

    def range(self, request, current):
        revision = request.revision if request.revision > 0 else current
        if revision > current:
            raise FUTURE_REVISION.fresh()
        if revision < self.compact_revision:
            raise COMPACTED.fresh()
        pairs = self.select(self.state(revision), request)
        response = rpc.RangeResponse(header=rpc.ResponseHeader(revision=current), count=len(pairs))
        if request.count_only:
            return response
        limit = request.limit if request.limit > 0 else len(pairs)
        bounds = (
            request.min_mod_revision,
            request.max_mod_revision,
            request.min_create_revision,
            request.max_create_revision,
        )
        if request.sort_order == rpc.RangeRequest.NONE and not any(bounds):
            pairs = pairs[: limit + 1]
        for bound, name, sign in zip(bounds, ("mod", "mod", "create", "create"), (1, -1, 1, -1), strict=True):
            if bound:
                pairs = [pair for pair in pairs if sign * getattr(pair, name + "_revision") >= sign * bound]
        field = ("key", "version", "create_revision", "mod_revision", "value")[request.sort_target]
        pairs = sorted(
            pairs,
            key=lambda pair: getattr(pair, field),
            reverse=request.sort_order == rpc.RangeRequest.DESCEND,
        )
        response.more = len(pairs) > limit
        for pair in pairs[:limit]:
            copy = response.kvs.add()
            copy.CopyFrom(pair)
            if request.keys_only:
                copy.ClearField("value")
                if field != "value":
                    copy.ClearField("lease")
        return response

    def put(self, request):
        previous = self.state(self.now()).get(request.key)
        revision = self.revision + 1
        pair = KeyValue(
            key=request.key,
            create_revision=previous.create_revision if previous else revision,
            mod_revision=revision,
            version=previous.version + 1 if previous else 1,
            value=previous.value if request.ignore_value and previous else request.value,
            lease=previous.lease if request.ignore_lease and previous else request.lease,
        )
        self.writes.append((revision, request.key, pair))
        response = rpc.PutResponse(header=rpc.ResponseHeader(revision=revision))
        if request.prev_kv and previous:
            response.prev_kv.CopyFrom(previous)
        return response

    def delete(self, request):
        pairs = self.select(self.state(self.now()), request)
        for pair in pairs:
            self.writes.append((self.revision + 1, pair.key, None))
        return rpc.DeleteRangeResponse(
            header=rpc.ResponseHeader(revision=self.now()),
            deleted=len(pairs),
            prev_kvs=pairs if request.prev_kv else [],
        )

    def choose(self, txn, state):
        """Yields whether each txn on the path succeeds, outer ones first."""
        succeeded = all(self.holds(compare, state) for compare in txn.compare)
        yield succeeded
        for operation in txn.success if succeeded else txn.failure:
            if operation.HasField("request_txn"):
                yield from self.choose(operation.request_txn, state)

    def holds(self, compare, state):
        target = ("version", "create_revision", "mod_revision", "value", "lease")
        pairs = self.select(state, compare)
        if compare.target > 4:
            outcomes = [0]
        elif not pairs and compare.target == rpc.Compare.VALUE:
            return False
        else:
            name = target[compare.target]
            operand = getattr(compare, name)
            outcomes = [
                (actual > operand) - (actual < operand)
                for actual in (getattr(pair, name) for pair in pairs or [KeyValue()])
            ]
        wanted = {0: {0}, 1: {1}, 2: {-1}, 3: {1, -1}}.get(compare.result, {-1, 0, 1})
        return wanted.issuperset(outcomes)

    def check_key(self, request):
        if (request.ignore_value or request.ignore_lease) and request.key not in self.state(self.revision):
            raise KEY_NOT_FOUND.fresh()

    def check(self, txn, paths):
        for operation in txn.success if next(paths) else txn.failure:
            if operation.HasField("request_put"):
                self.check_key(operation.request_put)
                if operation.request_put.lease and operation.request_put.lease not in self.leases:
                    raise LEASE_NOT_FOUND.fresh()
            elif operation.HasField("request_range"):
                revision = operation.request_range.revision
                if revision > self.revision:
                    raise FUTURE_REVISION.fresh()
                if revision != 0 and revision < self.compact_revision:
                    raise COMPACTED.fresh()
            elif operation.HasField("request_txn"):
                self.check(operation.request_txn, paths)

    def run(self, txn, paths):
        succeeded = next(paths)
        response = rpc.TxnResponse(header=rpc.ResponseHeader(), succeeded=succeeded)
        for operation in txn.success if succeeded else txn.failure:
            part = response.responses.add()
            if operation.HasField("request_put"):
                part.response_put.CopyFrom(self.put(operation.request_put))
            elif operation.HasField("request_range"):
                part.response_range.CopyFrom(self.range(operation.request_range, self.now()))
            elif operation.HasField("request_delete_range"):
                part.response_delete_range.CopyFrom(self.delete(operation.request_delete_range))
            else:
                part.response_txn.CopyFrom(self.run(operation.request_txn, paths))
        return response
