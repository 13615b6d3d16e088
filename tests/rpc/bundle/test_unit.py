"""The systemd unit, as systemd itself reads it."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from intbert.errors import DeviceError
from intbert.rpc.bundle.unit import check_service_name, unit_text

FOLDERS = ["/home/pi/bert", "/srv/a b", "/srv/\"$(id)\" 'x' \\n %h ${HOME} ; é"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_systemd_accepts_it(folder: str, tmp_path: Path) -> None:
    """Every line of it: an unknown key, or a path that cannot be read, gets a warning."""
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("there is no systemd-analyze")
    unit = tmp_path / "toy.service"
    unit.write_text(unit_text("toy", folder))
    environment = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path), "HOME": str(tmp_path)}
    command = [analyze, "--user", "verify", unit]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        (FOLDERS[0], '"/home/pi/bert/serve"'),
        (FOLDERS[1], '"/srv/a b/serve"'),
        (FOLDERS[2], '"/srv/\\"$$(id)\\" \'x\' \\\\n %%h $${HOME} ; é/serve"'),
    ],
)
def test_the_path_is_quoted_as_systemd_wants_it(folder: str, words: str) -> None:
    """systemd.syntax(7): backslashes and quotes are escaped; systemd.unit(5): %%; systemd.service(5): $$."""
    assert f"ExecStart=/bin/sh {words}\n" in unit_text("toy", folder)


@pytest.mark.parametrize("key", ["Type=notify", "NoNewPrivileges=yes", "PrivateNetwork=yes", "WantedBy=default.target"])
def test_what_it_asks_for(key: str) -> None:
    assert key in unit_text("toy", "/srv").splitlines()


@pytest.mark.parametrize("name", ["", "-x", ".", "../x", "a b", "a@b", "x.service", "a\n", "$(id)", "x" * 65, "é"])
def test_names_that_no_service_can_have(name: str) -> None:
    with pytest.raises(DeviceError, match="no service can be called"):
        check_service_name(name)
