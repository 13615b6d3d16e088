"""The virtual board behind sshd: what a client of OpenSSH finds there, and what its tests may do to it."""

from __future__ import annotations

import errno
import json
import os
import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from .cable import Cable
from .conftest import starting_ssh_boards
from .ssh_board import ALIAS, SECONDS, SshBoard, start_ssh_board
from .sshd import make_key
from .userland import Userland

SshBoards = Callable[[str], SshBoard]

SILENCE = 0.3
"""How long nothing must come; too short could only hide a failure, never make one."""

FAILED = 255
"""The exit status of ``ssh`` when it has no connection, or no longer."""

HWCAP_AES, HWCAP_ATOMICS, HWCAP_ASIMDDP = 1 << 3, 1 << 8, 1 << 20
"""Linux, arch/arm64/include/uapi/asm/hwcap.h."""

ASK_PYTHON = (
    "import ctypes, json, os, platform, sys; "
    "print(json.dumps([platform.machine(), sys.version_info[:2], os.cpu_count(), ctypes.CDLL(None).getauxval(16)]))"
)

ANSWER_ONCE = """
import platform, socket
with socket.create_server(("127.0.0.1", 0)) as server:
    print(server.getsockname()[1], flush=True)
    client, _ = server.accept()
    with client:
        client.sendall(platform.machine().encode())
"""


@pytest.fixture(scope="module")
def ssh_boards(userland: Userland, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SshBoards]:
    """Boards of these tests' own: on those that others share there is intbert's runtime, and sensors."""
    with starting_ssh_boards(userland, tmp_path_factory) as board:
        yield board


@pytest.fixture
def board(ssh_boards: SshBoards) -> SshBoard:
    """A Raspberry Pi 4."""
    return ssh_boards("cortex-a72")


@contextmanager
def started(command: list[str]) -> Iterator[subprocess.Popen[str]]:
    """A program with pipes to it, killed at the end."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, bufsize=1
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def sleeper(board: SshBoard, number: int) -> Iterator[subprocess.Popen[str]]:
    """An ssh whose command sleeps on the board for ``number`` seconds."""
    with started([*board.client("ssh"), ALIAS, f"exec sleep {number}"]) as client:
        wait_until(lambda: sleeps(board, number))
        yield client


def sleeps(board: SshBoard, number: int) -> bool:
    return ("sleep", str(number)) in [process.argv for process in board.processes()]


def wait_until(happened: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not happened():
        assert time.monotonic() < deadline, f"it did not happen within {SECONDS} s"
        time.sleep(0.02)


def succeed(board: SshBoard, command: str) -> str:
    """What ``command`` prints on the board; fails the test when it fails."""
    done = board.run(command)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize(
    ("cpu", "has", "lacks"),
    [
        pytest.param("cortex-a72", HWCAP_AES, HWCAP_ATOMICS | HWCAP_ASIMDDP, id="rpi4-cortex-a72"),
        pytest.param("cortex-a76", HWCAP_ATOMICS | HWCAP_ASIMDDP, 0, id="rpi5-cortex-a76"),
    ],
)
def test_python_of_a_login_runs_on_the_boards_cpu(ssh_boards: SshBoards, cpu: str, has: int, lacks: int) -> None:
    machine, version, cores, hwcap = json.loads(succeed(ssh_boards(cpu), f"python3 -c '{ASK_PYTHON}'"))
    assert (machine, version, cores) == ("aarch64", [3, 11], 4)
    assert hwcap & has == has
    assert not hwcap & lacks


@pytest.mark.parametrize(
    ("cpu", "model", "part"),
    [
        pytest.param("cortex-a72", "Raspberry Pi 4 Model B", "0xd08", id="rpi4"),
        pytest.param("cortex-a76", "Raspberry Pi 5 Model B", "0xd0b", id="rpi5"),
    ],
)
def test_linux_names_the_hardware(ssh_boards: SshBoards, cpu: str, model: str, part: str) -> None:
    told = succeed(ssh_boards(cpu), "cat /proc/cpuinfo; cat /sys/firmware/devicetree/base/model")
    assert told.count(f"CPU part\t: {part}\n") == 4
    assert told.count(model) == 2


def test_login_has_an_account_a_home_and_the_usual_programs(board: SshBoard) -> None:
    told = succeed(board, "id -un; pwd; uname -m; . /etc/os-release; echo $ID; getconf GNU_LIBC_VERSION; ldd --version")
    user, home, machine, system, glibc, ldd, *_ = told.splitlines()
    assert (user, home, machine, system) == ("pi", "/home/pi", "aarch64", "debian")
    assert glibc.split()[1] in ldd


def test_environment_of_a_login_has_nothing_of_this_machine(board: SshBoard) -> None:
    variables = dict(line.split("=", 1) for line in succeed(board, "env").splitlines())
    assert variables["PATH"] == "/usr/local/bin:/usr/bin:/bin"
    assert (variables["HOME"], variables["USER"]) == ("/home/pi", "pi")
    assert not [name for name in variables if name.startswith(("SSH_", "PYTHON", "PYTEST", "VIRTUAL_ENV"))]


def test_shell_without_a_command_reads_its_standard_input(board: SshBoard) -> None:
    done = subprocess.run(
        [*board.client("ssh", "-T"), ALIAS], input="uname -m\nexit 7\n", capture_output=True, text=True, timeout=SECONDS
    )
    assert (done.returncode, done.stdout) == (7, "aarch64\n")


def test_virtual_environment_can_be_made_and_the_system_not_changed(board: SshBoard) -> None:
    succeed(board, "python3 -m venv --without-pip environment")
    assert succeed(board, "environment/bin/python -c 'import sys; print(sys.prefix)'") == "/home/pi/environment\n"
    succeed(board, "rm -r environment")
    assert "Read-only file system" in board.run("touch /usr/bin/anything").stderr


def test_sftp_writes_to_the_boards_home_and_reads_from_it(board: SshBoard, tmp_path: Path) -> None:
    data = os.urandom(100_000)
    (tmp_path / "sent").write_bytes(data)
    commands = f"put {tmp_path}/sent arrived\nget arrived {tmp_path}/returned\nget /etc/hostname {tmp_path}/hostname\n"
    sftp = [*board.client("sftp", "-b", "-"), ALIAS]
    subprocess.run(sftp, input=commands, text=True, capture_output=True, check=True, timeout=SECONDS)
    assert (board.home / "arrived").read_bytes() == data
    assert (tmp_path / "returned").read_bytes() == data
    assert (tmp_path / "hostname").read_text() == "raspberrypi\n"
    (board.home / "arrived").unlink()


def test_port_forward_reaches_a_server_on_the_boards_loopback(board: SshBoard) -> None:
    (board.home / "answer.py").write_text(ANSWER_ONCE)
    with started([*board.client("ssh"), ALIAS, "exec python3 answer.py"]) as server:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        assert board.listening_ports() == {("127.0.0.1", port)}
        forward = [*board.client("ssh", "-W", f"127.0.0.1:{port}"), ALIAS]
        answer = subprocess.run(forward, capture_output=True, text=True, timeout=SECONDS, check=True).stdout
        assert answer == "aarch64"
        assert server.wait(SECONDS) == 0
    assert board.listening_ports() == set()
    (board.home / "answer.py").unlink()


def test_wrong_key_is_refused(board: SshBoard, tmp_path: Path) -> None:
    make_key(tmp_path / "key")
    assert_refused(board, ["-i", str(tmp_path / "key"), "-o", "BatchMode=yes"])


def test_wrong_password_is_refused(board: SshBoard, tmp_path: Path) -> None:
    asker = tmp_path / "askpass"
    asker.write_text(f"#!/bin/sh\necho asked >>{tmp_path}/asked\necho raspberry\n")
    asker.chmod(0o755)
    options = ["-o", "PubkeyAuthentication=no", "-o", "NumberOfPasswordPrompts=1"]
    assert_refused(board, options, SSH_ASKPASS=str(asker), SSH_ASKPASS_REQUIRE="force")
    assert (tmp_path / "asked").read_text() == "asked\n"


def assert_refused(board: SshBoard, options: list[str], **environment: str) -> None:
    known = ["-o", f"UserKnownHostsFile={board.known_hosts}", "-o", "IdentitiesOnly=yes"]
    done = subprocess.run(
        ["ssh", "-F", "/dev/null", *known, *options, "-p", str(board.port), board.address, "true"],
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    assert done.returncode == FAILED
    assert "Permission denied (publickey,password)" in done.stderr


def test_changed_host_key_is_refused_until_it_is_trusted(board: SshBoard) -> None:
    board.change_host_key()
    done = board.run("true")
    assert done.returncode == FAILED
    assert "Host key verification failed" in done.stderr
    board.trust_host_key()
    succeed(board, "true")


def test_sensors_are_files_that_change_while_the_board_runs(board: SshBoard) -> None:
    sensor = board.sys / "class" / "thermal" / "thermal_zone0" / "temp"
    sensor.parent.mkdir(parents=True)
    sensor.write_text("48312\n")
    with started(
        [*board.client("ssh"), ALIAS, "cd /sys/class/thermal/thermal_zone0; cat temp; read go; cat temp"]
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        assert client.stdout.readline() == "48312\n"
        sensor.write_text("81000\n")
        client.stdin.write("go\n")
        assert client.stdout.readline() == "81000\n"
    sensor.unlink()


def test_two_boards_share_neither_files_nor_processes_nor_fate(ssh_boards: SshBoards) -> None:
    first, second = ssh_boards("cortex-a72"), ssh_boards("cortex-a76")
    succeed(first, "echo first >mine; echo first >/tmp/mine")
    assert first.port != second.port
    assert (first.home / "mine").read_text() == "first\n"
    assert second.run("cat mine || cat /tmp/mine").returncode == 1
    with sleeper(first, 1001) as client:
        assert second.processes() == []
        second.reboot()
        assert client.poll() is None
        assert sleeps(first, 1001)
    first.reboot()  # ends what a killed client leaves
    (first.home / "mine").unlink()


def test_reboot_kills_everything_and_comes_back_with_the_same_keys_and_home(board: SshBoard) -> None:
    succeed(board, "echo kept >file; echo lost >/tmp/file")
    port = board.port
    with sleeper(board, 1002) as client:
        before = board.processes()
        board.reboot()
        assert client.wait(SECONDS) == FAILED
    assert not [process for process in before if psutil.pid_exists(process.pid)]
    assert board.processes() == []
    assert board.port == port
    assert succeed(board, "cat file; ls /tmp") == "kept\n"
    (board.home / "file").unlink()


def test_board_that_is_off_refuses_connections(board: SshBoard) -> None:
    board.power_off()
    try:
        assert board.processes() == []
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", board.port), timeout=SECONDS)
    finally:
        board.power_on()
    succeed(board, "true")


def test_killed_sessions_end_the_clients_and_leave_their_commands(board: SshBoard) -> None:
    with sleeper(board, 1003) as client:
        board.kill_sessions()
        assert client.wait(SECONDS) == FAILED
        assert sleeps(board, 1003)
    board.reboot()


def test_disk_fills_up_and_is_as_before_afterwards(board: SshBoard) -> None:
    (board.home / "kept").write_text("kept")
    with board.limit_disk(1 << 20) as home:
        done = board.run("cat kept; dd if=/dev/zero of=big bs=1024 count=2048")
        assert done.returncode == 1
        assert done.stdout == "kept"
        assert os.strerror(errno.ENOSPC) in done.stderr
        assert (home / "big").stat().st_size == 1 << 20
    assert succeed(board, "ls") == "kept\n"
    succeed(board, "dd if=/dev/zero of=kept bs=1024 count=2048; rm kept")


def test_reboot_ends_the_limit_of_the_disk(board: SshBoard) -> None:
    with board.limit_disk(1 << 20):
        board.reboot()
        succeed(board, "dd if=/dev/zero of=big bs=1024 count=2048")
    assert (board.home / "big").stat().st_size == 1 << 21
    succeed(board, "rm big")


def test_cable_holds_a_session_back_and_cuts_it(board: SshBoard) -> None:
    with (
        Cable(("127.0.0.1", board.port)) as cable,
        started([*board.client("ssh", cable=cable.port), ALIAS, "exec cat"]) as client,
    ):
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write("one\n")
        assert client.stdout.readline() == "one\n"
        cable.freeze()
        client.stdin.write("two\n")
        assert select.select([client.stdout], [], [], SILENCE)[0] == []
        cable.thaw()
        assert client.stdout.readline() == "two\n"
        cable.cut()
        assert client.wait(SECONDS) == FAILED
    wait_until(lambda: board.processes() == [])


def test_cable_is_cut_in_the_middle_of_an_upload(board: SshBoard, tmp_path: Path) -> None:
    (tmp_path / "sent").write_bytes(os.urandom(1 << 20))
    with Cable(("127.0.0.1", board.port)) as cable:
        cable.cut_after(1 << 19)
        sftp = [*board.client("sftp", "-b", "-", cable=cable.port), ALIAS]
        done = subprocess.run(
            sftp, input=f"put {tmp_path}/sent half\n", text=True, capture_output=True, timeout=SECONDS
        )
        assert done.returncode != 0
        assert cable.to_server == 1 << 19
    wait_until(lambda: board.processes() == [])
    assert 0 < (board.home / "half").stat().st_size < 1 << 20
    (board.home / "half").unlink()


def test_stopped_board_leaves_nothing_running(userland: Userland, tmp_path: Path) -> None:
    board = start_ssh_board(userland, "cortex-a72", tmp_path)
    try:
        with sleeper(board, 1004):
            assert len(board.left_behind()) > 3
            board.stop()
            board.stop()  # once more changes nothing
    finally:
        board.stop()
    assert board.left_behind() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", board.port), timeout=SECONDS)
