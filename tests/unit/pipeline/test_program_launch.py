# SPDX-FileCopyrightText: Stackway contributors
# SPDX-License-Identifier: Apache-2.0
"""What comes on standard input is the environment's line and then the program's input: neither takes from the other."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.programs import launch


class Input:
    """Standard input, for as long as a test lasts."""

    def __init__(self, file: Path) -> None:
        self.file, self.kept = file, os.dup(0)

    def put(self, content: bytes) -> None:
        self.file.write_bytes(content)
        handle = os.open(self.file, os.O_RDONLY)
        os.dup2(handle, 0)
        os.close(handle)

    def close(self) -> None:
        os.dup2(self.kept, 0)
        os.close(self.kept)


@pytest.fixture(scope="module")
def stdin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Input]:
    found = Input(tmp_path_factory.mktemp("input") / "bytes")
    yield found
    found.close()


def given_on(file: Path, size: int) -> bytes:
    """Return what the program gets."""
    launch.give(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), size)
    return file.read_bytes()


@given(head=st.binary(max_size=20).filter(lambda head: b"\n" not in head), rest=st.binary(max_size=50))
def test_line_is_read_to_its_end_and_no_further(stdin: Input, head: bytes, rest: bytes) -> None:
    stdin.put(head + b"\n" + rest)
    assert launch.line() == head + b"\n"
    assert os.read(0, 100) == rest


@pytest.mark.parametrize("content", [b"", b'{"environment": {}'])
def test_input_without_a_line_is_an_error(stdin: Input, content: bytes) -> None:
    stdin.put(content)
    with pytest.raises(SystemExit, match="no environment"):
        launch.line()


@pytest.mark.parametrize("size", [0, 1, launch.PIECE - 1, launch.PIECE, 3 * launch.PIECE + 7])
def test_program_gets_so_many_bytes_and_no_more(stdin: Input, size: int, tmp_path: Path) -> None:
    content = bytes(number % 251 for number in range(size))
    stdin.put(content + b"not the program's")
    assert given_on(tmp_path / "out", size) == content
    assert os.read(0, 100) == b"not the program's"


def test_input_that_ends_early_is_given_as_far_as_it_goes(stdin: Input, tmp_path: Path) -> None:
    stdin.put(b"abc")
    assert given_on(tmp_path / "out", 100) == b"abc"


def test_program_that_ends_without_reading_is_no_error(stdin: Input) -> None:
    stdin.put(b"x" * 10)
    reads, writes = os.pipe()
    os.close(reads)
    launch.give(writes, 10)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(writes)
