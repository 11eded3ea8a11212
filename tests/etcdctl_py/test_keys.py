"""put, get, del, txn and compaction: equal to the real etcdctl's on the same history."""

import pytest

from tests.support.etcdctl import run_ours

FORMATS = ("simple", "json", "fields", "protobuf")
ODD_VALUES = (
    b"plain",
    b"a b",
    b"q\"u\\o'te",
    b"line\nbreak\ttab",
    b"\xff\xfe<&>\xc3\xa9\xe2\x80\xa8",
    b"\x01\x7f",
)


@pytest.mark.parametrize("output", FORMATS)
def test_a_life_of_a_key_in_every_format(twins, output):
    for words in (
        ("put", "life", "one"),
        ("put", "life", "two", "--prev-kv"),
        ("put", "--prev-kv", "life", "--", "-3"),
        ("get", "life"),
        ("get", "life", "--rev", "2"),
        ("get", "nothing"),
        ("get", "life", "--consistency", "s"),
        ("put", "life", "--ignore-value"),
        ("put", "life", "four", "--ignore-lease"),
        ("del", "nothing"),
        ("del", "life", "--prev-kv"),
        ("del", "--prefix", "life"),
    ):
        twins.compare(*words, "-w", output)


@pytest.mark.parametrize("output", FORMATS)
def test_odd_bytes_pass_unharmed(twins, output):
    for index, value in enumerate(ODD_VALUES):
        key = b"odd%d/" % index + value
        twins.compare("put", key, value)
        twins.compare("get", key, "-w", output)
        twins.compare("get", key, "-w", output, "--hex")
        twins.compare("put", key, value + b"!", "--prev-kv", "-w", output, "--hex")
    twins.compare("del", "odd", "--prefix", "--prev-kv", "-w", output)


def test_a_value_from_standard_input_is_stored_whole(twins):
    value = bytes(range(256)) * 300 + b"\n\n"
    twins.compare("put", "stdin", stdin=value)
    ours = twins.compare("get", "stdin", "--print-value-only")
    assert ours.out == value + b"\n"
    twins.compare("put", "empty", stdin=b"")


def test_ranges_and_their_order(twins):
    for key, value in (("r/a", "3"), ("r/b", "1"), ("r/c", "2"), ("r/b", "9")):
        twins.compare("put", key, value)
    for words in (
        ("get", "r/", "--prefix"),
        ("get", "r/a", "r/c"),
        ("get", "--prefix", "--keys-only", "r/"),
        ("get", "r/", "--prefix", "--print-value-only"),
        ("get", "r/", "--prefix", "--keys-only", "--print-value-only"),
        ("get", "r/b", "--from-key", "--limit", "2"),
        ("get", "", "--prefix", "--limit=1"),
        ("get", "", "--from-key", "--limit=1"),
        ("get", "r/", "--prefix", "--limit", "2", "-w", "fields"),
        ("get", "r/", "--prefix", "--limit", "2", "-w", "json"),
        ("get", "r/", "--prefix", "--count-only", "-w", "fields"),
        ("get", "r/", "--prefix=false"),
        ("get", b"r/\xff", "--prefix"),
        ("get", b"\xff\xff", "--prefix"),
        ("get", "r/a", "r/b", "r/c"),
        ("put", "r/z", "1", "2"),
        *(
            ("get", "r/", "--prefix", f"--sort-by={target}", f"--order={order}")
            for target in ("", "create", "KEY", "Modify", "VALUE", "VERSION")
            for order in ("", "ASCEND", "descend")
        ),
    ):
        twins.compare(*words)
    twins.compare("del", "r/a", "r/c", "--range")
    twins.compare("get", "r/", "--prefix")
    twins.compare("del", "r/", "--from-key")


def test_a_delete_of_two_keys_is_a_range_and_says_so(twins):
    for key in ("two/a", "two/b", "two/c"):
        twins.compare("put", key, "x")
    ours = twins.compare("del", "two/a", "two/c")
    assert ours.out == b"2\n"
    assert "--range" in ours.error_text
    twins.compare("del", "two/c")


@pytest.mark.parametrize(
    "words",
    [
        ("put",),
        ("put", "key"),
        ("put", "", "value"),
        ("put", "key", "value", "--ignore-value"),
        ("put", "key", "value", "--lease", "zz"),
        ("put", "key", "value", "--lease", "7b"),
        ("put", "key", "value", "--lease=1", "--ignore-lease"),
        ("put", "missing", "value", "--ignore-lease"),
        ("put", "missing", "--ignore-value"),
        ("get",),
        ("get", "--prefix", "--from-key", "a"),
        ("get", "--prefix", "a", "b"),
        ("get", "--from-key", "a", "b"),
        ("get", "a", "--sort-by", "size"),
        ("get", "a", "--order", "up"),
        ("get", "a", "--consistency", "x"),
        ("get", "a", "--rev", "999999"),
        ("get", "a", "--count-only"),
        ("get", "a", "--print-value-only", "-w", "json"),
        ("get", "a", "--keys-only", "--count-only", "-w", "fields"),
        ("get", "a", "-w", "xml"),
        ("get", "a", "-w", "table"),
        ("del",),
        ("del", "a", "b", "c"),
        ("del", "--prefix", "--from-key", "a"),
        ("del", "--prefix", "a", "b"),
        ("compaction",),
        ("compaction", "1", "2"),
        ("compaction", "one"),
        ("compaction", "999999"),
        ("compaction", "--", "-5"),
    ],
    ids=" ".join,
)
def test_errors_end_in_the_same_line_with_the_same_code(twins, words):
    ours = twins.compare(*words)
    assert ours.code != 0
    assert ours.last_error.startswith("Error: ")


def test_a_format_that_cannot_show_the_answer_is_refused_before_anything_is_written(twins):
    ours = run_ours("--endpoints", twins.second, "put", "unwritten", "x", "-w", "table")
    assert ours.code == 4
    assert run_ours("--endpoints", twins.second, "get", "unwritten").out == b""


@pytest.mark.parametrize("flag", ["--keys-only", "--prefix", "--from-key"])
def test_get_without_a_key_lists_all_keys(server, flag):
    run_ours("--endpoints", server, "put", "one", "1")
    run_ours("--endpoints", server, "put", "two", "2")
    without_key = run_ours("--endpoints", server, "get", flag)
    assert without_key.code == 0
    assert b"one\n" in without_key.out
    assert (
        without_key.out
        == run_ours(
            "--endpoints", server, "get", "", "--prefix", flag if flag == "--keys-only" else "--prefix"
        ).out
    )


def test_compaction(twins):
    for value in "123":
        twins.compare("put", "compacted", value)
    ours = twins.compare("get", "compacted", "-w", "fields")
    revision = (
        next(line for line in ours.out.splitlines() if line.startswith(b'"Revision"')).split()[-1].decode()
    )
    twins.compare("compaction", revision)
    twins.compare("compaction", revision)
    twins.compare("get", "compacted", "--rev", str(int(revision) - 1))
    twins.compare("put", "compacted", "4")
    twins.compare("compaction", str(int(revision) + 1), "--physical")


def test_the_revision_filters_of_newer_etcdctl(server):
    def get(*flags):
        return run_ours("--endpoints", server, "get", "filter/", "--prefix", "--keys-only", *flags).out

    def revision():
        out = run_ours("--endpoints", server, "get", "x", "-w", "fields").out
        return int(next(line for line in out.splitlines() if line.startswith(b'"Revision"')).split()[-1])

    run_ours("--endpoints", server, "put", "filter/1", "a")
    first = revision()
    run_ours("--endpoints", server, "put", "filter/2", "a")
    run_ours("--endpoints", server, "put", "filter/1", "b")
    assert get("--min-mod-rev", str(first + 2)) == b"filter/1\n\n"
    assert get("--max-create-rev", str(first)) == b"filter/1\n\n"
    assert get("--min-create-rev", str(first + 1)) == b"filter/2\n\n"
    assert get("--max-mod-rev", str(first + 1)) == b"filter/2\n\n"


def test_a_large_answer_has_no_limit(server):
    for index in range(6):
        run_ours("--endpoints", server, "put", f"large/{index}", stdin=b"x" * 1_000_000)
    ours = run_ours("--endpoints", server, "get", "large/", "--prefix", "--print-value-only")
    assert ours.out == (b"x" * 1_000_000 + b"\n") * 6
