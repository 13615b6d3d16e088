"""The runtime on a toy library whose every answer is known."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from intbert.compiler.artifact import Bucket
from intbert.compiler.model import HeadKind
from intbert.compiler.runtime import Model, load
from intbert.compiler.runtime import threads as runtime_threads
from intbert.compiler.runtime.inputs import fitting_length, plan
from intbert.compiler.runtime.threads import Threads, default_threads
from intbert.errors import ArtifactError, InputError

from .toy_artifact import BUCKETS, WORDS, build_toy, expected


@pytest.fixture(scope="module")
def model(toy: Path) -> Model:
    return load(toy)


@pytest.fixture(scope="module")
def token_model(token_toy: Path) -> Model:
    return load(token_toy)


def rows(shape: tuple[int, int], seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(seed)
    mask = random.integers(0, 2, shape)
    mask[:, 0] = 1
    return random.integers(0, len(WORDS), shape), mask, random.integers(0, 2, shape)


@pytest.mark.parametrize("batch", [1, 2, 4, 5, 11])
@pytest.mark.parametrize("length", [1, 7, 8, 9, 16])
def test_run(model, token_model, batch, length):
    ids, mask, types = rows((batch, length))
    np.testing.assert_array_equal(model.run(ids, mask, types), expected(ids, mask, types, per_token=False))
    np.testing.assert_array_equal(token_model.run(ids, mask, types), expected(ids, mask, types, per_token=True))


def test_calls_leave_nothing_behind(model):
    """A short input after a long one, and fewer rows after more, in the same buffers."""
    for shape in ((4, 8), (3, 2), (1, 16), (1, 9)):
        ids, mask, types = rows(shape, seed=sum(shape))
        np.testing.assert_array_equal(model.run(ids, mask, types), expected(ids, mask, types, per_token=False))


def test_results_stay_as_they_are(model):
    first = model.run([[3]])
    kept = first.copy()
    model.run([[4]])
    np.testing.assert_array_equal(first, kept)


def encode(text: str) -> list[int]:
    return [1, *map(WORDS.index, text.split()), 2]


def test_text(model):
    texts = ["one", "two three four five one two", "", "three four five one two three four five", "two"]
    outputs = model(texts)
    assert outputs.dtype == np.float32
    for text, output in zip(texts, outputs, strict=True):
        ids = np.array([encode(text)])
        np.testing.assert_array_equal(
            output, expected(ids, np.ones_like(ids), np.zeros_like(ids), per_token=False)[0] * 0.5
        )


def test_pairs_number_their_sentences(model):
    ids = np.array([[1, 3, 2, 4, 5, 2]])
    types = np.array([[0, 0, 0, 1, 1, 1]])
    np.testing.assert_array_equal(
        model([("one", "two three")]), expected(ids, np.ones_like(ids), types, per_token=False) * 0.5
    )


def test_token_heads_crop_padding(token_model):
    outputs = token_model(["one two", "one", "one two three four five one two three"])
    assert outputs.shape == (3, 10, 4)
    ids = np.array([encode("one two")])
    np.testing.assert_array_equal(
        outputs[0, :4], expected(ids, np.ones_like(ids), np.zeros_like(ids), per_token=True)[0] * 0.5
    )
    assert not outputs[0, 4:].any()
    assert not outputs[1, 3:].any()


def test_truncate(model):
    text = " ".join(["one", "two"] * 20)
    with pytest.raises(InputError, match=r"text 1 has 42 tokens.*largest bucket holds 16"):
        model(["one", text])
    np.testing.assert_array_equal(model(["one", text], truncate=True), model(["one", " ".join(["one", "two"] * 7)]))


def test_scale_per_channel(tmp_path):
    scale = (0.5, 1.0, 2.0, 0.125)
    model = load(build_toy(tmp_path / "toy", scale=scale))
    np.testing.assert_array_equal(model(["one"]), (model.run_texts(["one"]) * np.array(scale)).astype("f"))
    np.testing.assert_array_equal(model.output_scale, scale)


def test_normalized(tmp_path):
    model = load(build_toy(tmp_path / "toy", normalize=True))
    integers = model.run_texts(["one two", "five"]).astype(np.float64)
    unit = integers / np.linalg.norm(integers, axis=1, keepdims=True)
    np.testing.assert_allclose(model(["one two", "five"]), unit, rtol=1e-6)
    assert not model.to_float(np.zeros((1, 4), np.int32)).any()


def test_no_tokenizer(tmp_path):
    model = load(build_toy(tmp_path / "toy", tokenizer=False))
    assert model.run([[1, 2]]).shape == (1, 4)
    with pytest.raises(InputError, match="has no tokenizer; call run"):
        model(["one"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[8]],), "input_ids holds 8; the vocabulary are 0 to 7"),
        (([[-1]],), "input_ids holds -1"),
        (([[1]], None, [[2]]), "token_type_ids holds 2"),
        (([[1]], [[2]]), "attention_mask holds 2"),
        (([[1, 2], [1, 2]], [[1, 0], [0, 0]]), "attention_mask: row 1 has no token"),
        (([1, 2],), r"shape \(2,\); it must be \[batch, length\]"),
        (([[]],), "neither of them 0"),
        (([[1], [1, 2]],), "ragged"),
        (([[1.0]],), "dtype float64; it must be an integer"),
        (([[1, 2]], [[1]]), r"attention_mask has shape \(1, 1\)"),
        (([[1] * 17],), "17 tokens, the artifact's largest bucket holds 16"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_tokens(model, arguments, message):
    with pytest.raises(InputError, match=message):
        model.run(*arguments)


@pytest.mark.parametrize(
    ("texts", "message"),
    [
        ("one", "a single string"),
        ([], "no text"),
        ([1], "text 0 is 1"),
        (["one", ("a", "b", "c")], "text 1 is"),
        (["\ud800"], "surrogate"),
    ],
    ids=["string", "nothing", "number", "triple", "surrogate"],
)
def test_bad_texts(model, texts, message):
    with pytest.raises(InputError, match=message):
        model(texts)


def test_library_without_a_bucket(toy_copy):
    from .test_artifact import alter

    alter(toy_copy, lambda d: d["buckets"].append({"length": 32, "batch": 1}))
    with pytest.raises(ArtifactError, match="has no main_b1_t32"):
        load(toy_copy).run([[1] * 20])


def test_replaced_artifact_is_the_new_one(toy, token_toy, tmp_path):
    """The dynamic loader remembers a library by its path."""
    path = tmp_path / "artifact"
    shutil.copytree(toy, path)
    before = load(path)
    assert before.run([[1, 2]]).shape == (1, 4)
    shutil.rmtree(path)
    shutil.copytree(token_toy, path)
    assert load(path).run([[1, 2]]).shape == (1, 2, 4)
    assert before.run([[1, 2]]).shape == (1, 4)


@given(
    st.sets(st.builds(Bucket, st.integers(1, 64), st.integers(1, 9)), min_size=1, max_size=6),
    st.lists(st.integers(1, 64), min_size=1, max_size=40),
)
def test_plan_places_every_row_once(buckets, lengths):
    longest = max(bucket.length for bucket in buckets)
    lengths = [min(length, longest) for length in lengths]
    placed = []
    for bucket, chosen in plan(list(buckets), lengths):
        assert bucket in buckets
        assert 1 <= len(chosen) <= bucket.batch
        for row in chosen:
            assert bucket.length == fitting_length(list(buckets), lengths[row])
        placed += chosen
    assert sorted(placed) == list(range(len(lengths)))


def test_plan_fills_large_batches_first():
    assert [(b.batch, len(chosen)) for b, chosen in plan(BUCKETS, [3] * 6)] == [(4, 4), (1, 1), (1, 1)]
    assert [(b.batch, len(chosen)) for b, chosen in plan([Bucket(8, 4)], [3] * 6)] == [(4, 4), (4, 2)]


def tvm_threads(count: int) -> int:
    from intbert.compiler.runtime.library import tvm_runtime

    return Threads(count).run(tvm_runtime().get_global_func("runtime.NumThreads"))


def test_threads_hold_in_any_order():
    """TVM's pools never grow: more threads than the caller's pool has must come from elsewhere."""
    counts = [2, 1, 3, 2, 1]
    assert [tvm_threads(count) for count in counts] == counts


def test_threads_hold_in_every_calling_thread(model):
    found = {}

    def call(count: int) -> None:
        found[count] = tvm_threads(count)

    callers = [threading.Thread(target=call, args=(count,)) for count in (1, 2, 3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert found == {1: 1, 2: 2, 3: 3}


def test_threads_that_work(toy):
    """Counted from outside: the threads of a process after one inference."""
    code = (
        "import json, os, sys, intbert\n"
        "model = intbert.load(sys.argv[1], threads=int(sys.argv[2]))\n"
        "before = len(os.listdir('/proc/self/task'))\n"
        "model.run([[1, 2]])\n"
        "print(json.dumps([model.threads, len(os.listdir('/proc/self/task')) - before]))\n"
    )
    for count in (1, 3):
        done = subprocess.run(
            [sys.executable, "-c", code, str(toy), str(count)], capture_output=True, text=True, check=True
        )
        assert json.loads(done.stdout) == [count, count - 1]


def test_affinity_of_the_caller_stays(model):
    before = os.sched_getaffinity(0)
    model.run([[1, 2]])
    assert os.sched_getaffinity(0) == before


@pytest.mark.parametrize("threads", [0, -1])
def test_too_few_threads(toy, threads):
    with pytest.raises(InputError, match=f"threads is {threads}; it must be at least 1"):
        load(toy, threads=threads)


def test_default_threads_are_physical_cores(monkeypatch, tmp_path):
    (tmp_path / "0").write_text("0-1\n", encoding="ascii")
    (tmp_path / "1").write_text("0-1\n", encoding="ascii")
    monkeypatch.setattr(runtime_threads, "_SIBLINGS", f"{tmp_path}/{{}}")
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 5})
    assert default_threads() == 2


def test_shared_by_threads(model):
    """Calls from several threads take turns: every one gets its own answer."""
    wrong = []

    def call(word: int) -> None:
        ids = np.full((1, 8), word)
        want = expected(ids, np.ones_like(ids), np.zeros_like(ids), per_token=False)
        wrong.extend(1 for _ in range(200) if not np.array_equal(model.run(ids), want))

    callers = [threading.Thread(target=call, args=(word,)) for word in range(3, 7)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


HEAVY = ("torch", "transformers", "tvm", "pydantic", "scipy", "typer", "rich")


def test_process_loads_nothing_heavy(toy):
    code = (
        "import json, sys, intbert\n"
        "intbert.load(sys.argv[1])(['one'])\n"
        "from intbert.compiler.measure import peak_rss_mb\n"
        f"print(json.dumps([[name for name in {HEAVY!r} if name in sys.modules], peak_rss_mb()]))\n"
    )
    done = subprocess.run([sys.executable, "-c", code, str(toy)], capture_output=True, text=True, check=True)
    heavy, peak = json.loads(done.stdout)
    assert heavy == []
    assert peak < 64  # MiB; the toy's own weights are nothing


def test_hashlib_is_whole_afterwards(toy):
    """The runtime keeps OpenSSL out of its own imports, not out of the program's."""
    code = (
        "import sys, intbert\n"
        "intbert.load(sys.argv[1])\n"
        "assert '_hashlib' not in sys.modules\n"
        "import hashlib\n"
        "assert '_hashlib' in sys.modules\n"
        "hashlib.pbkdf2_hmac('sha256', b'password', b'salt', 1)\n"
    )
    subprocess.run([sys.executable, "-c", code, str(toy)], check=True)


def test_compiler_can_follow_the_runtime(toy):
    """One process may run an artifact, then load the compiler; torch too."""
    code = (
        "import sys, intbert\n"
        "model = intbert.load(sys.argv[1])\n"
        "first = model.run([[1, 2]]).tolist()\n"
        "import torch, tvm\n"
        "assert torch.from_numpy(model.run([[1, 2]])).tolist() == first\n"
        "assert tvm.target.Target('llvm').kind.name == 'llvm'\n"
    )
    subprocess.run([sys.executable, "-c", code, str(toy)], check=True)


def test_heads_for_tokens_are_known(token_model, model):
    assert token_model.manifest.output.per_token
    assert not model.manifest.output.per_token
    assert token_model.manifest.output.kind is HeadKind.NONE
