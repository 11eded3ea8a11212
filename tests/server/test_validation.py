import pytest

from miniraft.errors import EtcdError
from miniraft.pb import rpc_pb2 as rpc
from miniraft.server import validation
from tests.mvcc.helpers import delete_operation, put_operation, range_operation, txn_operation


def refusal(check, *arguments):
    """Returns the message a check raises, or None."""
    try:
        check(*arguments)
    except EtcdError as error:
        return error.message.removeprefix("etcdserver: ")
    return None


def txn_refusal(success=(), failure=(), compare=(), limit=128):
    request = rpc.TxnRequest(success=success, failure=failure, compare=compare)
    return refusal(validation.check_txn, request, limit)


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, "key is not provided"),
        ({"sort_order": 9}, "key is not provided"),
        ({"key": b"k", "sort_order": 3}, "invalid sort option"),
        ({"key": b"k", "sort_target": 5}, "invalid sort option"),
        ({"key": b"k", "sort_target": -1}, "invalid sort option"),
        ({"key": b"k", "sort_order": 2, "sort_target": 4}, None),
    ],
)
def test_range(request_, expected):
    request = rpc.RangeRequest(**request_)
    assert refusal(validation.check_range, request) == expected
    assert txn_refusal([rpc.RequestOp(request_range=request)]) == expected


BOTH_IGNORED = {"key": b"k", "ignore_value": True, "ignore_lease": True}


@pytest.mark.parametrize(
    ("request_", "expected"),
    [
        ({}, "key is not provided"),
        ({"ignore_value": True, "value": b"v"}, "key is not provided"),
        ({"key": b"k", "ignore_value": True, "value": b"v"}, "value is provided"),
        ({**BOTH_IGNORED, "value": b"v", "lease": 1}, "value is provided"),
        ({"key": b"k", "ignore_lease": True, "lease": 1}, "lease is provided"),
        ({"key": b"k", "ignore_lease": True, "lease": -1}, "lease is provided"),
        (BOTH_IGNORED, None),
        ({"key": b"k", "value": b"v", "lease": 1}, None),
    ],
)
def test_put(request_, expected):
    request = rpc.PutRequest(**request_)
    assert refusal(validation.check_put, request) == expected
    assert txn_refusal(failure=[rpc.RequestOp(request_put=request)]) == expected


def test_delete_range():
    assert refusal(validation.check_delete_range, rpc.DeleteRangeRequest()) == "key is not provided"
    assert refusal(validation.check_delete_range, rpc.DeleteRangeRequest(key=b"k", range_end=b"a")) is None
    assert txn_refusal([delete_operation(b"")]) == "key is not provided"


def test_each_error_is_raised_anew():
    errors = []
    for _ in range(2):
        with pytest.raises(EtcdError) as caught:
            validation.check_put(rpc.PutRequest())
        errors.append(caught.value)
    assert errors[0] is not errors[1]


@pytest.mark.parametrize("list_name", ["success", "failure", "compare"])
def test_each_list_is_bounded(list_name):
    item = rpc.Compare(key=b"k") if list_name == "compare" else range_operation(b"k")
    assert txn_refusal(**{list_name: [item] * 4}, limit=4) is None
    assert txn_refusal(**{list_name: [item] * 5}, limit=4) == "too many operations in txn request"


def test_a_nested_txn_gets_what_the_longest_outer_list_leaves():
    inner = txn_operation(failure=[range_operation(b"k")] * 2)
    assert txn_refusal([inner], [range_operation(b"k")] * 2, limit=4) is None
    assert txn_refusal([inner], [range_operation(b"k")] * 3, limit=4) == "too many operations in txn request"
    assert txn_refusal([txn_operation()], limit=1) is None


def test_order_of_checks_in_a_txn():
    no_key, odd = put_operation(b""), rpc.RequestOp()
    twice = [put_operation(b"k"), put_operation(b"k")]
    assert txn_refusal([odd], compare=[rpc.Compare()]) == "key is not provided"
    assert txn_refusal([odd, no_key]) == "key not found"
    assert txn_refusal([no_key, odd]) == "key is not provided"
    assert txn_refusal(twice, [odd]) == "key not found"
    assert txn_refusal(twice) == txn_refusal((), twice) == "duplicate key given in txn request"


PUT_K = put_operation(b"k")
THREE_OVERLAPPING_DELETES = [
    delete_operation(b"b", b"d"),
    delete_operation(b"a", b"z"),
    delete_operation(b"c", b"e"),
]


@pytest.mark.parametrize(
    ("operations", "is_refused"),
    [
        ([PUT_K, PUT_K], True),
        ([PUT_K, put_operation(b"l")], False),
        ([PUT_K, delete_operation(b"k")], True),
        ([delete_operation(b"k"), PUT_K], True),
        ([delete_operation(b"a", b"k"), PUT_K], False),
        ([delete_operation(b"a", b"k\0"), PUT_K], True),
        ([delete_operation(b"l", b"z"), delete_operation(b"a", b"c"), PUT_K], False),
        ([delete_operation(b"l", b"z"), delete_operation(b"a", b"l"), PUT_K], True),
        ([*THREE_OVERLAPPING_DELETES, PUT_K], True),
        ([*THREE_OVERLAPPING_DELETES, put_operation(b"z")], False),
        ([delete_operation(b"k", b"a"), PUT_K], False),
        ([delete_operation(b"k", b"\0"), PUT_K], False),  # etcd does not see it
        ([delete_operation(b"a", b"z"), delete_operation(b"b", b"y")], False),
        ([range_operation(b"k"), PUT_K, range_operation(b"k")], False),
        ([txn_operation(success=[PUT_K], failure=[PUT_K])], False),
        ([txn_operation(success=[PUT_K, PUT_K])], True),
        ([txn_operation(failure=[PUT_K, delete_operation(b"k")])], True),
        ([txn_operation(success=[PUT_K]), txn_operation(failure=[PUT_K])], True),
        ([txn_operation(success=[PUT_K]), PUT_K], True),
        ([txn_operation(failure=[delete_operation(b"k")]), PUT_K], True),
        ([txn_operation(failure=[PUT_K]), delete_operation(b"k")], True),
        ([txn_operation(success=[delete_operation(b"k")], failure=[PUT_K])], False),
        # Beside each other the order counts.
        ([txn_operation(success=[delete_operation(b"k")]), txn_operation(success=[PUT_K])], True),
        ([txn_operation(success=[PUT_K]), txn_operation(success=[delete_operation(b"k")])], False),
        ([txn_operation(success=[txn_operation(failure=[PUT_K])]), PUT_K], True),
    ],
)
def test_overlaps(operations, is_refused):
    expected = "duplicate key given in txn request" if is_refused else None
    assert txn_refusal(operations) == expected
    assert txn_refusal(failure=operations) == expected
    assert txn_refusal([txn_operation(success=operations)]) == expected


def test_the_two_sides_do_not_disturb_each_other():
    assert txn_refusal([PUT_K], [PUT_K]) is None
    assert txn_refusal([PUT_K], [delete_operation(b"k")]) is None
    assert txn_refusal(compare=[rpc.Compare(key=b"k")] * 2) is None


def test_many_deletes_and_puts_are_checked_quickly():
    # 8000 of each: comparing all with all would take half a minute.
    operations = [delete_operation(b"d%05d" % number) for number in range(8000)]
    operations += [put_operation(b"p%05d" % number) for number in range(8000)]
    assert txn_refusal(operations, limit=20000) is None
    assert txn_refusal([*operations, delete_operation(b"p07000")], limit=20000) is not None


def test_read_only_and_serializable():
    read, local = range_operation(b"k"), range_operation(b"k", serializable=True)
    for success, failure, read_only, serializable in (
        ([], [], True, True),
        ([read], [local], True, False),
        ([local], [local], True, True),
        ([local], [PUT_K], False, False),
        ([delete_operation(b"k")], [], False, False),
        ([txn_operation(success=[local])], [], False, False),
    ):
        request = rpc.TxnRequest(success=success, failure=failure)
        assert validation.is_read_only(request) is read_only
        assert validation.is_serializable(request) is serializable


def test_costs():
    assert validation.put_cost(rpc.PutRequest(key=b"key", value=b"value")) == 264
    nested = txn_operation(success=[put_operation(b"a"), put_operation(b"b")], failure=[put_operation(b"cc")])
    request = rpc.TxnRequest(success=[put_operation(b"k", b"v")], failure=[nested, delete_operation(b"x")])
    assert validation.txn_cost(request) == 2 * 257
    assert validation.txn_cost(rpc.TxnRequest(success=[delete_operation(b"x"), range_operation(b"y")])) == 0
