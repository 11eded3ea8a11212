"""A member without data asks the others whether it had some before; what they learnt just now is no sign."""

import pytest

from miniraft.pb import peer_pb2
from miniraft.runtime.bootstrap import _refuse_second_life
from miniraft.server.bootstrap import BootstrapError

CLUSTER, MEMBER, LIFE = 11, 7, 1234


def description(life, *, published=True):
    reply = peer_pb2.DescribeReply(bootstrapped=True, cluster_id=CLUSTER, member_name="n2")
    urls = ["http://n1:2379"] if published else []
    reply.members.add(
        id=MEMBER, name="n1" if published else "", peer_urls=["http://n1:2380"], client_urls=urls, life=life
    )
    return reply


@pytest.mark.parametrize("life", [0, 99])
def test_a_peer_that_knows_an_earlier_life_is_believed(life):
    with pytest.raises(BootstrapError, match="has already been bootstrapped"):
        _refuse_second_life(CLUSTER, MEMBER, LIFE, description(life))


def test_a_peer_that_was_asked_late_knows_this_life():
    """It came up after the two others had begun, and heard of the member before it was asked."""
    _refuse_second_life(CLUSTER, MEMBER, LIFE, description(LIFE))
    _refuse_second_life(CLUSTER, MEMBER, LIFE, description(0, published=False))
