"""Ports and last words: what a person reads when something cannot start."""

import socket
from pathlib import Path

import pytest

from sandbox.command import StartError, claim_port, free_ports, last_line


def test_free_ports_are_all_different() -> None:
    ports = free_ports(20)

    assert len(set(ports)) == 20


def test_a_free_port_can_be_claimed() -> None:
    (port,) = free_ports(1)

    assert claim_port(port, "orders") == port


def test_a_taken_port_is_one_clear_line() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(StartError) as caught:
            claim_port(port, "orders")

    assert str(caught.value) == f"port {port} for orders is not free: Address already in use"


def test_last_words_skip_blank_lines(tmp_path: Path) -> None:
    (tmp_path / "log").write_text("starting\n  no database  \n\n\n")

    assert last_line(tmp_path / "log") == "no database"
    assert last_line(tmp_path / "absent") == f"nothing in {tmp_path / 'absent'}"
