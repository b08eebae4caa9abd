"""Evaluation and search are bit for bit the same on 1 and 8 devices, and in 1 and 2 processes."""

import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

PROGRAM = Path(__file__).with_name("evaluation_shares.py")


def start(out, *options):
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(out), *map(str, options)], stderr=subprocess.PIPE, text=True
    )


def finish(*running):
    for one in running:
        _, error = one.communicate(timeout=300)
        assert one.returncode == 0, error


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    path = tmp_path_factory.mktemp("alone") / "found.npz"
    finish(start(path, 1))
    return np.load(path)


def same(found, expected):
    assert set(found) == set(expected) and len(found) > 10
    for name in set(expected) - {"devices"}:
        assert found[name].dtype == expected[name].dtype and found[name].tobytes() == expected[name].tobytes(), name


def test_eight_devices_equal_one(alone, tmp_path):
    finish(start(tmp_path / "found.npz", 8))
    found = np.load(tmp_path / "found.npz")
    assert found["devices"].tolist() == [8, 1]
    same(found, alone)


def test_two_processes_equal_one(alone, tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    finish(*(start(tmp_path / f"{place}.npz", 2, port, place, 2) for place in range(2)))
    for place in range(2):
        found = np.load(tmp_path / f"{place}.npz")
        assert found["devices"].tolist() == [2, 2]
        same(found, alone)


def test_selection_on_the_device_equals_selection_on_the_host(alone):
    assert alone["device distances"].tobytes() == alone["distances"].tobytes()
    assert alone["device rows"].tobytes() == alone["rows"].tobytes()
