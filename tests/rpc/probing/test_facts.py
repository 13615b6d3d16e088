"""Facts: through JSON and back, and what cannot be."""

from __future__ import annotations

import json

import pytest
from intbert.errors import DeviceError
from intbert.rpc.probing import BoardFacts, parse_report

from .reports import BOARDS, jetson_orin, report_of


@pytest.mark.parametrize("board", BOARDS)
def test_facts_come_back_from_json(board):
    facts = parse_report(report_of(BOARDS[board]()))
    assert BoardFacts.from_json(json.loads(json.dumps(facts.to_json()))) == facts


def test_facts_that_were_kept_before_drivers_were_asked_for_their_release():
    facts = parse_report(report_of(jetson_orin()))
    document = json.loads(json.dumps(facts.to_json()))
    assert facts.cuda is not None
    assert document["cuda"].pop("driver_release") is None
    assert BoardFacts.from_json(document) == facts


@pytest.mark.parametrize("document", [None, [], "facts", 3, {}, {1, 2}], ids=repr)
def test_what_is_no_document_of_facts(document):
    with pytest.raises(DeviceError, match="facts"):
        BoardFacts.from_json(document)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (["cores"], "4", "facts.cores: Input should be a valid integer"),
        (["cores"], 0, "0 cores"),
        (["cores"], True, "facts.cores"),
        (["memory_mb"], -5, "-5 MB of memory"),
        (["free_mb"], float("nan"), "facts.free_mb"),
        (["bits"], 16, "bits is 16"),
        (["home"], "", "no printable text"),
        (["home"], "pi", "no absolute path"),
        (["model"], "\x1b[2J", r"'\\x1b\[2J' is no printable text"),
        (["sensors"], ["a\nb"], "no printable text"),
        (["arch"], "riscv64", "dotprod, neon, which riscv64 does not have"),
        (["features"], ["avx2"], "avx2, which aarch64 does not have"),
        (["features"], ["dotprod"], "lacks what dotprod imply"),
        (["libc_version"], [2], "facts.libc_version"),
        (["pythons", 0, "path"], "python3", "'python3' of a Python is not absolute"),
        (["pythons", 0, "version"], [3, "11", 2], "facts.pythons.0.version.1"),
        (["core_kinds", 0, "count"], 0, "0 cores of implementer"),
        (["core_kinds", 0, "implementer"], 256, "implementer 256"),
        (["cuda", "sm"], [8], "facts.cuda.sm"),
    ],
    ids=str,
)
def test_nonsense_in_one_field(path, value, message):
    document = json.loads(json.dumps(parse_report(report_of(jetson_orin())).to_json()))
    *way, last = path
    inner = document
    for step in way:
        inner = inner[step]
    inner[last] = value
    with pytest.raises(DeviceError, match=message) as raised:
        BoardFacts.from_json(document)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("field", ["cores", "pythons", "cuda"])
def test_a_field_that_is_missing(field):
    document = parse_report(report_of(jetson_orin())).to_json()
    del document[field]
    with pytest.raises(DeviceError, match=rf"facts\.{field}: Field required; `intbert device probe` writes it anew"):
        BoardFacts.from_json(document)
