"""The Maintenance service, as far as it is built: status, hashes, alarms, leadership."""

from __future__ import annotations

from typing import TYPE_CHECKING

from miniraft.errors import NO_LEADER, Code, EtcdError
from miniraft.pb.rpc_pb2 import (
    AlarmMember,
    AlarmRequest,
    AlarmResponse,
    DowngradeInfo,
    HashKVRequest,
    HashKVResponse,
    MoveLeaderRequest,
    MoveLeaderResponse,
    StatusRequest,
    StatusResponse,
)
from miniraft.version import SERVER_VERSION, STORAGE_VERSION

if TYPE_CHECKING:
    from miniraft.api.call import Call, UnaryHandler
    from miniraft.api.response_header import HeaderWriter
    from miniraft.server.service import Service

_ALARM_CHANGES_UNIMPLEMENTED = EtcdError(
    Code.UNIMPLEMENTED, "raising and disarming alarms is not implemented by this server: only GET is"
)


class MaintenanceApi:
    """Handlers of `etcdserverpb.Maintenance`."""

    def __init__(self, service: Service, headers: HeaderWriter) -> None:
        self._service = service
        self._headers = headers

    def unary(self) -> dict[str, UnaryHandler]:
        """Returns the handlers by path."""
        return {
            "/etcdserverpb.Maintenance/Alarm": self.alarm,
            "/etcdserverpb.Maintenance/HashKV": self.hash_kv,
            "/etcdserverpb.Maintenance/MoveLeader": self.move_leader,
            "/etcdserverpb.Maintenance/Status": self.status,
        }

    async def status(self, _call: Call, raw: bytes) -> bytes:
        """Answers the member's figures; works without a leader, and says so in `errors`."""
        StatusRequest.FromString(raw)
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

    async def hash_kv(self, _call: Call, raw: bytes) -> bytes:
        """Hashes the keyspace at a revision, to compare members with each other."""
        request = HashKVRequest.FromString(raw)
        value, compact_revision, hash_revision = self._service.hash_kv(request.revision)
        return HashKVResponse(
            header=self._headers.message(),
            hash=value,
            compact_revision=compact_revision,
            hash_revision=hash_revision,
        ).SerializeToString()

    async def alarm(self, _call: Call, raw: bytes) -> bytes:
        """Lists the alarms raised; of every type and member unless asked for one."""
        request = AlarmRequest.FromString(raw)
        if request.action != AlarmRequest.GET:
            raise _ALARM_CHANGES_UNIMPLEMENTED.fresh()
        alarms = [
            AlarmMember(memberID=member_id, alarm=alarm)  # type: ignore[arg-type]  # an AlarmType's number
            for member_id, alarm in self._service.alarms()
            if request.alarm in (0, alarm)
        ]
        return AlarmResponse(header=self._headers.message(), alarms=alarms).SerializeToString()

    async def move_leader(self, call: Call, raw: bytes) -> bytes:
        """Hands leadership to another member. The answer has no header, as etcd's."""
        request = MoveLeaderRequest.FromString(raw)
        await call.wait_on(self._service.transfer_leadership(request.targetID))
        return MoveLeaderResponse().SerializeToString()
