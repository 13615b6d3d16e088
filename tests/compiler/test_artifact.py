"""Everything that can be wrong with an artifact is found before its code is mapped."""

from __future__ import annotations

import hashlib
import io
import json
import sys
import tarfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from intbert.compiler import artifact
from intbert.compiler.artifact import Bucket, Manifest, Output, read_manifest
from intbert.compiler.hashing import file_sha256
from intbert.compiler.model import HeadKind
from intbert.compiler.runtime import load
from intbert.compiler.runtime import shapes as runtime_shapes
from intbert.errors import ArtifactError
from intbert.targets import features


@pytest.fixture
def never_mapped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fails the test when a library is opened."""

    def opened(*arguments: object) -> None:
        pytest.fail("the library was mapped before the check")

    monkeypatch.setattr(runtime_shapes, "tvm_runtime", opened)


def alter(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    path = folder / "manifest.json"
    document = json.loads(path.read_text(encoding="utf-8"))
    change(document)
    path.write_text(json.dumps(document), encoding="utf-8")


def test_manifest_survives_the_disk(toy):
    manifest = read_manifest(toy)
    assert Manifest.from_document(json.loads(json.dumps(manifest.to_document()))) == manifest
    assert set(manifest.files) == {"model.so", "tokenizer.json"}
    assert manifest.max_length == 16


@pytest.mark.parametrize("scale", [1 / 3, (0.1, 1e-9)], ids=["one", "per channel"])
def test_scales_survive_the_disk_exactly(toy, scale):
    manifest = replace(read_manifest(toy), output=Output(HeadKind.MEAN_POOLING, "int32", scale))
    assert Manifest.from_document(json.loads(json.dumps(manifest.to_document()))) == manifest


def test_writing_again_gives_the_same_bytes(toy_copy):
    before = (toy_copy / "manifest.json").read_bytes()
    artifact.write_manifest(read_manifest(toy_copy), toy_copy)
    assert (toy_copy / "manifest.json").read_bytes() == before


@pytest.mark.parametrize("known", [True, False], ids=["hashlib", "the interpreter's own"])
def test_sha256(tmp_path, monkeypatch, known):
    data = bytes(range(256)) * 5000
    (tmp_path / "file").write_bytes(data)
    expected = hashlib.sha256(data).hexdigest()
    if not known:
        monkeypatch.delitem(sys.modules, "hashlib")
    assert file_sha256(tmp_path / "file") == expected


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


@pytest.mark.usefixtures("never_mapped")
@pytest.mark.parametrize("name", ["model.so", "tokenizer.json"])
@pytest.mark.parametrize(
    ("damage", "message"),
    [(flip_a_byte, "SHA-256"), (truncate, "the manifest says"), (Path.unlink, "is missing")],
    ids=["flipped bit", "truncated", "missing"],
)
def test_damaged_file(toy_copy, name, damage, message):
    damage(toy_copy / name)
    with pytest.raises(ArtifactError, match=message) as caught:
        load(toy_copy)
    assert name in str(caught.value)
    assert "again" in str(caught.value)


@pytest.mark.usefixtures("never_mapped")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(schema_version=99), "schema version 99.*compile it again"),
        (lambda d: d.pop("schema_version"), "damaged manifest.json.*schema_version"),
        (lambda d: d.pop("buckets"), "damaged manifest.json.*buckets"),
        (lambda d: d.update(buckets=[]), "at least one bucket"),
        (lambda d: d.update(buckets=[{"length": 0, "batch": 1}]), "must be positive"),
        (lambda d: d.update(buckets=d["buckets"] * 2), "same bucket twice"),
        (lambda d: d.update(surprise=1), "damaged manifest.json.*surprise"),
        (lambda d: d["output"].update(kind="poetry"), "damaged manifest.json.*poetry"),
        (lambda d: d["output"].update(normalize=True, scale=[1.0, 2.0]), "one scale"),
        (lambda d: d["architecture"].update(hidden=0), "hidden"),
        (lambda d: d["files"].pop("model.so"), "does not list model.so"),
        (lambda d: d["files"].update({"../x": d["files"]["model.so"]}), "not a plain file name"),
        (lambda d: d["target"].update(arch="riscv64"), "is for riscv64 .*this machine is"),
        (lambda d: d["target"].update(features=["sve2", "warp"]), "lacks sve2, warp.*--target host"),
    ],
    ids=[
        "other schema", "no schema", "no buckets", "empty buckets", "empty bucket", "bucket twice",
        "unknown key", "unknown head", "normalized with many scales", "bad architecture",
        "library not listed", "path traversal", "other architecture", "other processor",
    ],
)  # fmt: skip
def test_altered_manifest(toy_copy, change, message):
    alter(toy_copy, change)
    with pytest.raises(ArtifactError, match=message) as caught:
        load(toy_copy)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\xff"], ids=["empty", "cut", "list", "null", "latin-1"])
def test_manifest_that_is_no_document(toy_copy, text):
    (toy_copy / "manifest.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ArtifactError, match=r"damaged manifest\.json"):
        load(toy_copy)


def test_amx_that_the_kernel_denies(toy_copy, monkeypatch):
    alter(toy_copy, lambda d: d["target"].update(features=["amx_int8"]))
    monkeypatch.setattr(features, "enable_amx", lambda: False)
    with pytest.raises(ArtifactError, match="needs AMX"):
        load(toy_copy)


def test_checks_come_in_order(toy_copy):
    alter(toy_copy, lambda d: d["target"].update(arch="riscv64", features=["warp"]))
    with pytest.raises(ArtifactError, match="riscv64"):
        load(toy_copy)
    truncate(toy_copy / "model.so")
    with pytest.raises(ArtifactError, match="bytes"):
        load(toy_copy)
    alter(toy_copy, lambda d: d.update(schema_version=0))
    with pytest.raises(ArtifactError, match="schema"):
        load(toy_copy)
    (toy_copy / "manifest.json").unlink()
    with pytest.raises(ArtifactError, match="is not an artifact: no manifest"):
        load(toy_copy)


def test_missing_path(tmp_path):
    with pytest.raises(ArtifactError, match="does not exist"):
        load(tmp_path / "nothing")


def test_tar(toy, tmp_path):
    path = tmp_path / "toy.tar"
    artifact.pack(toy, path)
    assert load(path)(["one"]).tolist() == load(toy)(["one"]).tolist()
    again = tmp_path / "again.tar"
    artifact.pack(toy, again)
    assert again.read_bytes() == path.read_bytes()
    assert artifact.artifact_bytes(path) == path.stat().st_size


@pytest.mark.parametrize("size", [0, 100, 2000, 20_000])
def test_truncated_tar(toy, tmp_path, size):
    path = tmp_path / "toy.tar"
    artifact.pack(toy, path)
    path.write_bytes(path.read_bytes()[:size])
    with pytest.raises(ArtifactError, match=r"is not an artifact|is missing|the manifest says|does not list"):
        load(path)


@pytest.mark.parametrize("absolute", [False, True], ids=["relative", "absolute"])
def test_tar_that_would_write_elsewhere(tmp_path, absolute):
    path = tmp_path / "evil.tar"
    name = str(tmp_path / "outside") if absolute else "../outside"
    with tarfile.open(path, "w") as archive:
        member = tarfile.TarInfo(name)
        member.size = 1
        archive.addfile(member, io.BytesIO(b"x"))
    with pytest.raises(ArtifactError):
        load(path)
    assert not (tmp_path / "outside").exists()


def test_bucket_names_its_function():
    assert Bucket(batch=8, length=32).function == "main_b8_t32"
