import gzip
import lzma
from pathlib import Path

import pytest

from simulator.replay.traces import InvalidTraceError, TraceRequest, block_hashes, read, unknown_blocks
from tests.support.fleet_replay import MOONCAKE

MOONCAKE_LINES = """
{"timestamp": 30, "input_length": 700, "output_length": 5, "hash_ids": [0, 2]}
{"timestamp": 0, "input_length": 600, "output_length": 3, "hash_ids": [0, 1]}
""".lstrip()
AZURE_ROWS = """TIMESTAMP,ContextTokens,GeneratedTokens
2023-11-16 18:17:03.9799600,4808,10
2023-11-16 18:17:04.0319601,3180,8
"""
CLIENT_ROWS = """arrival_s,client_id,input_tokens,output_tokens
0.0,7,13,199
1.5,c,36,137
"""


def written(directory: Path, text: str, name: str = "trace") -> Path:
    file = directory / name
    file.write_text(text)
    return file


def test_mooncake_lines_come_in_the_order_of_time(tmp_path: Path):
    assert [TraceRequest(0, 600, 3, (0, 1)), TraceRequest(30, 700, 5, (0, 2))] == read(
        written(tmp_path, MOONCAKE_LINES)
    )


def test_azure_rows_count_time_from_the_first(tmp_path: Path):
    assert [TraceRequest(0.0, 4808, 10), TraceRequest(52.0, 3180, 8)] == read(written(tmp_path, AZURE_ROWS))


def test_client_rows_name_their_user(tmp_path: Path):
    assert [TraceRequest(0.0, 13, 199, (), "7"), TraceRequest(1500.0, 36, 137, (), "c")] == read(
        written(tmp_path, CLIENT_ROWS)
    )


def test_a_line_may_name_its_user_and_need_not_know_its_blocks(tmp_path: Path):
    line = '{"timestamp": 1.5, "input_length": 9, "output_length": 2, "user": "u", "pod": "a"}'

    assert [TraceRequest(1.5, 9, 2, (), "u")] == read(written(tmp_path, line))


def test_packed_files_are_unpacked(tmp_path: Path):
    for name, pack in {"a.csv.gz": gzip.compress, "b.csv.xz": lzma.compress}.items():
        (tmp_path / name).write_bytes(pack(CLIENT_ROWS.encode()))

        assert 2 == len(read(tmp_path / name))


def test_the_whole_synthetic_trace_is_read():
    trace = read(MOONCAKE)

    assert (3_993, 1_022_025, 61_194_628) == (len(trace), trace[-1].timestamp, sum(r.input_length for r in trace))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "neither JSON lines nor a table"),
        ("a,b\n1,2\n", "neither JSON lines nor a table"),
        ('{"timestamp": 1}', "request 1: KeyError: 'input_length'"),
        (MOONCAKE_LINES + "{", "request 3: JSONDecodeError"),
        (MOONCAKE_LINES.replace("600", "0"), "request 2: ValueError: time is not negative"),
        (MOONCAKE_LINES.replace("30", "-1"), "request 1: ValueError: time is not negative"),
        (MOONCAKE_LINES.replace("30", '"x"'), "request 1: TypeError"),
        (CLIENT_ROWS.replace("36", "x"), "request 2: ValueError"),
        (AZURE_ROWS.replace(",8", ""), "request 2: TypeError"),
    ],
)
def test_the_error_for_a_file_that_is_no_trace_says_where(tmp_path: Path, text: str, why: str):
    with pytest.raises(InvalidTraceError, match=why):
        read(written(tmp_path, text))


def test_ids_become_blocks_of_the_engines_size_as_far_as_the_prompt_is_long():
    request = TraceRequest(0, 512 + 130, 1, (3, 9))

    assert [*range(24, 32), 72, 73] == block_hashes(request, 64)


def test_equal_ids_are_equal_blocks_and_others_are_not():
    one, other = (block_hashes(TraceRequest(0, 1024, 1, ids), 16) for ids in ((1, 2), (1, 3)))

    assert (one[:32], 0) == (other[:32], len(set(one[32:]) & set(other[32:])))


def test_unknown_blocks_are_different_for_each_request():
    one, other, known = unknown_blocks(0, 3), unknown_blocks(1, 3), block_hashes(TraceRequest(0, 1024, 1, (0, 1)), 16)

    assert 3 + 3 + 64 == len({*one, *other, *known})


def test_a_block_size_that_does_not_divide_an_id_is_refused():
    with pytest.raises(ValueError, match="block_tokens = 48, must divide 512"):
        block_hashes(TraceRequest(0, 1024, 1, (1, 2)), 48)
