"""The Maintenance service: status, hashes, alarms, defragmentation, leadership, downgrades."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.api.guard import Guard
from miniraft.errors import NO_LEADER, NO_OLDER_VERSION, UNKNOWN_METHOD
from miniraft.pb.rpc_pb2 import (
    AlarmMember,
    AlarmRequest,
    AlarmResponse,
    DefragmentRequest,
    DefragmentResponse,
    DowngradeInfo,
    DowngradeRequest,
    DowngradeResponse,
    HashKVRequest,
    HashKVResponse,
    HashRequest,
    HashResponse,
    MoveLeaderRequest,
    MoveLeaderResponse,
    StatusRequest,
    StatusResponse,
)
from miniraft.server.proposal import RequestKind
from miniraft.server.versions import check_downgrade
from miniraft.version import SERVER_VERSION, STORAGE_VERSION

if TYPE_CHECKING:
    from miniraft.api.call import Call, UnaryHandler
    from miniraft.api.response_header import HeaderWriter
    from miniraft.server.service import Service


class MaintenanceApi:
    """Handlers of `etcdserverpb.Maintenance`."""

    def __init__(self, service: Service, headers: HeaderWriter) -> None:
        self._service = service
        self._headers = headers
        self._guard = Guard(service)

    def unary(self) -> dict[str, UnaryHandler]:
        """Returns the handlers by path."""
        return {
            "/etcdserverpb.Maintenance/Alarm": self.alarm,
            "/etcdserverpb.Maintenance/Defragment": self.defragment,
            "/etcdserverpb.Maintenance/Downgrade": self.downgrade,
            "/etcdserverpb.Maintenance/Hash": self.hash,
            "/etcdserverpb.Maintenance/HashKV": self.hash_kv,
            "/etcdserverpb.Maintenance/MoveLeader": self.move_leader,
            "/etcdserverpb.Maintenance/Status": self.status,
        }

    async def status(self, call: Call, raw: bytes) -> bytes:
        """Answers the member's figures; works without a leader, and says so in `errors`."""
        StatusRequest.FromString(raw)
        await self._guard.require_user(call)
        status = self._service.status()
        errors = list(status.errors)
        if not status.leader and NO_LEADER.message not in errors:
            errors.append(NO_LEADER.message)
        return StatusResponse(
            header=self._headers.message(),
            version=SERVER_VERSION,
            dbSize=status.db_size_bytes,
            leader=status.leader,
            raftIndex=status.commit_index,
            raftTerm=status.term,
            raftAppliedIndex=status.applied_index,
            errors=errors,
            dbSizeInUse=status.db_size_in_use_bytes,
            isLearner=status.is_learner,
            storageVersion=STORAGE_VERSION,
            dbSizeQuota=self._service.limits.effective_quota_bytes,
            downgradeInfo=DowngradeInfo(),
        ).SerializeToString()

    async def hash_kv(self, call: Call, raw: bytes) -> bytes:
        """Hashes the keyspace at a revision, to compare members with each other."""
        request = HashKVRequest.FromString(raw)
        await self._guard.require_root(call)
        value, compact_revision, hash_revision = await call.wait_on(
            self._service.administration.hash_kv(request.revision)
        )
        return HashKVResponse(
            header=self._headers.message(),
            hash=value,
            compact_revision=compact_revision,
            hash_revision=hash_revision,
        ).SerializeToString()

    async def alarm(self, call: Call, raw: bytes) -> bytes:
        """Lists the alarms raised (of every member, whichever is named), raises or disarms one."""
        request = AlarmRequest.FromString(raw)
        if request.action == AlarmRequest.GET:
            await self._guard.require_user(call)
            await call.wait_on(self._service.read_index())
            found = [alarm for alarm in self._service.alarms() if request.alarm in (0, alarm[1])]
        elif request.action in (AlarmRequest.ACTIVATE, AlarmRequest.DEACTIVATE):
            await self._guard.require_root(call)
            found = await call.wait_on(self._service.propose(RequestKind.ALARM, raw))
        else:
            found = []  # etcd lets it pass as well
        alarms = [
            AlarmMember(memberID=member_id, alarm=alarm)  # type: ignore[arg-type]  # an AlarmType's number
            for member_id, alarm in found
        ]
        return AlarmResponse(header=self._headers.message(), alarms=alarms).SerializeToString()

    async def defragment(self, call: Call, raw: bytes) -> bytes:
        """Gives unused space back to the file system. The answer has no header, as etcd's."""
        DefragmentRequest.FromString(raw)
        await self._guard.require_root(call)
        await call.wait_on(self._service.administration.defragment())
        return DefragmentResponse().SerializeToString()

    async def hash(self, call: Call, raw: bytes) -> bytes:
        """Hashes everything stored; to be compared only between equal versions."""
        HashRequest.FromString(raw)
        await self._guard.require_root(call)
        value = await call.wait_on(self._service.administration.hash_store())
        return HashResponse(header=self._headers.message(), hash=value).SerializeToString()

    async def downgrade(self, call: Call, raw: bytes) -> bytes:
        """Refuses a downgrade, for there is nothing to go back to: see "What differs" in the guide.

        What etcd finds wrong is answered as etcd does; so is giving up a downgrade that is none.
        """
        request = DowngradeRequest.FromString(raw)
        await self._guard.require_root(call)
        service = self._service
        if request.action in (DowngradeRequest.VALIDATE, DowngradeRequest.ENABLE):
            await call.wait_on(service.read_index())
            check_downgrade(request.version, service.cluster_version)
            raise NO_OLDER_VERSION.fresh()
        if request.action != DowngradeRequest.CANCEL:
            raise UNKNOWN_METHOD.fresh()
        version = service.cluster_version.rpartition(".")[0]
        return DowngradeResponse(header=self._headers.message(), version=version).SerializeToString()

    async def move_leader(self, call: Call, raw: bytes) -> bytes:
        """Hands leadership to another member. The answer has no header, as etcd's."""
        request = MoveLeaderRequest.FromString(raw)
        await self._guard.require_root(call)
        await call.wait_on(self._service.transfer_leadership(request.targetID))
        return MoveLeaderResponse().SerializeToString()
