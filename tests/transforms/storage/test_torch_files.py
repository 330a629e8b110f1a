"""PyTorch's files give their tensors, and nothing that they hold is run."""

import contextlib
import io
import pickle
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from corpusvec.transforms.storage import safetensors_files, torch_files, torch_pickles
from tests.torch_writer import in_zip, named, number, pickled, tensor, text, write

GOLDEN = Path(__file__).parents[2] / "golden" / "torch"
ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.arange(4, dtype=np.float16),
}
RUN: list[str] = []  # what a pickle made run: nothing, ever
unhurried = settings(deadline=None, max_examples=300)


def canary(*arguments):
    RUN.append("called")


class Trap:
    """An object whose pickle calls a function."""

    def __init__(self, function, *arguments):
        self.made_of = function, arguments

    def __reduce__(self):
        return self.made_of


@pytest.fixture(autouse=True)
def nothing_runs():
    RUN.clear()
    modules = set(sys.modules)
    yield
    assert RUN == []
    assert not {"torch", "antigravity", "this"} & (set(sys.modules) - modules)


def read(file: Path) -> dict[str, np.ndarray]:
    with torch_files.opened(file) as tensors:
        for key in tensors.keys():  # noqa: SIM118  (as the safetensors library has it)
            found = tensors.get_tensor(key)
            assert list(found.shape) == tensors.get_slice(key).get_shape()
        return {key: tensors.get_tensor(key) for key in tensors.keys()}  # noqa: SIM118


@pytest.mark.parametrize("name", ["zip", "legacy"])
def test_tensors_are_those_that_pytorch_wrote(name):
    found = read(GOLDEN / f"{name}.bin")
    with np.load(GOLDEN / "tensors.npz") as golden:
        assert set(found) == set(golden)
        for key, expected in golden.items():
            assert found[key].shape == expected.shape
            np.testing.assert_array_equal(found[key].astype(np.float32), expected)
    assert {"half": "float16", "bfloat16": "bfloat16", "numbers": "int64"}.items() <= {
        key: value.dtype.name for key, value in found.items()
    }.items()


def test_tensors_are_copies_that_outlive_the_file(tmp_path):
    write(tmp_path / "w.bin", ARRAYS)
    found = read(tmp_path / "w.bin")
    (tmp_path / "w.bin").unlink()
    found["a"][:] = 1
    np.testing.assert_array_equal(found["b"], ARRAYS["b"])


def test_integers_are_no_weights():
    with (
        safetensors_files.opened(GOLDEN / "zip.bin") as tensors,
        pytest.raises(ValueError, match=r"zip\.bin: numbers is of type I64; weights are read as"),
    ):
        safetensors_files.check_type(tensors, "numbers", GOLDEN / "zip.bin")


CALLS = [
    (print, "x"),
    (eval, "__import__('antigravity')"),
    (exec, "import this"),
    (__import__, "this"),
    (getattr, ARRAYS, "clear"),
    (canary, 1),
    (io.open, "/nowhere"),
]


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("call", CALLS, ids=[call[0].__name__ for call in CALLS])
def test_what_a_pickle_calls_is_refused_by_name(call, protocol, tmp_path):
    trapped = pickle.dumps({"a": Trap(*call)}, protocol)
    in_zip(tmp_path / "w.bin", trapped, {})
    with pytest.raises(ValueError, match=r"w\.bin: ") as error:
        read(tmp_path / "w.bin")
    if protocol in (1, 2):
        name = call[0].__name__
        assert f"{name}, which a file of tensors does not need" in str(error.value)
    legacy = tmp_path / "legacy.bin"
    legacy.write_bytes(trapped)
    with pytest.raises(ValueError, match=r"legacy\.bin: "):
        read(legacy)


BEFORE = b"\x80\x02"
A = tensor(np.arange(6, dtype=np.float32).reshape(2, 3), "0")
MADE = {
    "build of a class": BEFORE + named("torch._utils", "_rebuild_tensor_v2") + b"}b.",
    "call of a text": BEFORE + text("print") + b")R.",
    "call of a storage": BEFORE + named("torch", "FloatStorage") + b")R.",
    "object": BEFORE + named("collections", "OrderedDict") + b")\x81.",
    "extension": BEFORE + b"\x82\x01.",
    "instance": BEFORE + b"(ios\nsystem\n.",
    "attribute by a dot": BEFORE + named("torch._utils", "_rebuild_tensor_v2.__globals__") + b".",
    "function of torch": BEFORE + named("torch", "load") + b".",
    "storage of another name": BEFORE + b"(" + text("module") + b"NNNNtQ.",
    "storage of a text": BEFORE + text("storage") + b"Q.",
    "storage too short": BEFORE + b"(" + text("storage") + b"tQ.",
    "a list": BEFORE + b"].",
    "a tensor alone": BEFORE + A + b".",
    "keys that are tuples": BEFORE + b"})" + b"Ns.",
    "append to a dictionary": BEFORE + b"}Na.",
    "item of a list": BEFORE + b"]" + text("a") + b"Ns.",
    "no end": BEFORE + b"}",
    "nothing on the stack": BEFORE + b".",
    "memory that is empty": BEFORE + b"h\x07.",
    "no mark": BEFORE + b"t.",
    "nothing": b"",
    "no pickle": b"weights",
}


@pytest.mark.parametrize("data", MADE.values(), ids=MADE)
def test_pickles_that_pytorch_does_not_write(data, tmp_path):
    in_zip(tmp_path / "w.bin", data, {"0": bytes(24)})
    with pytest.raises(ValueError, match=r"^[^\n]+w\.bin: [^\n]+$"):
        read(tmp_path / "w.bin")


SHAPES = {
    "larger than its storage": ((2, 4), (3, 1), 0),
    "behind its storage": ((2, 3), (3, 1), 1),
    "one number for all": ((10**6, 10**6), (0, 0), 0),
    "backwards": ((2, 3), (-3, 1), 5),
    "fewer strides": ((2, 3), (1,), 0),
    "negative": ((-2, -3), (3, 1), 0),
}


@pytest.mark.parametrize(("shape", "strides", "offset"), SHAPES.values(), ids=SHAPES)
def test_tensors_that_are_no_part_of_their_storage(shape, strides, offset, tmp_path):
    sizes = [b"(" + b"".join(map(number, values)) + b"t" for values in (shape, strides)]
    storage = text("storage") + named("torch", "FloatStorage") + text("0") + text("cpu") + number(6)
    made = named("torch._utils", "_rebuild_tensor") + b"((" + storage + b"tQ" + number(offset)
    data = BEFORE + b"}(" + text("a") + made + sizes[0] + sizes[1] + b"tRu."
    in_zip(tmp_path / "w.bin", data, {"0": bytes(24)})
    with pytest.raises(ValueError, match=r"w\.bin: has a tensor "):
        read(tmp_path / "w.bin")


def test_numbers_that_are_cut_off_missing_or_compressed(tmp_path):
    file = tmp_path / "w.bin"
    for storages in ({"0": bytes(20)}, {}):
        in_zip(file, pickled({"a": ARRAYS["a"]}), storages)
        with pytest.raises(
            ValueError, match=r"w\.bin: the numbers of a are cut off; copy it again"
        ):
            read(file)
    in_zip(file, pickled({"a": ARRAYS["a"]}), {"0": bytes(24)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match=r"w\.bin: its data\.pkl is larger .* or compressed"):
        read(file)


def test_a_file_that_is_cut_anywhere_is_refused_or_whole(tmp_path):
    for name in ("zip.bin", "legacy.bin"):
        data = (GOLDEN / name).read_bytes()
        whole = read(GOLDEN / name)
        for stop in range(0, len(data), 37):
            (tmp_path / "w.bin").write_bytes(data[:stop])
            try:
                found = read(tmp_path / "w.bin")
            except ValueError:
                continue
            assert {key: value.tobytes() for key, value in found.items()} == {
                key: value.tobytes() for key, value in whole.items()
            }


@unhurried
@given(
    st.binary(max_size=60)
    | st.lists(
        st.sampled_from(
            [
                b".",
                b"(",
                b"t",
                b"R",
                b"Q",
                b"b",
                b"}",
                b"]",
                b")",
                b"a",
                b"s",
                b"u",
                b"e",
                b"N",
                b"\x81",
                b"q\x00",
                b"h\x00",
                b"\x85",
                b"\x86",
                b"\x87",
                b"0",
                b"2",
                b"o",
                b"i",
                b"P0\n",
                b"\x93",
                b"\x94",
                b"\x95",
                b"\x92",
                named("os", "system"),
                named("tests.transforms.storage.test_torch_files", "canary"),
                named("builtins", "eval"),
                named("torch._utils", "_rebuild_tensor_v2"),
                named("torch", "FloatStorage"),
                named("collections", "OrderedDict"),
                text("storage"),
                number(7),
                A,
            ]
        )
    ).map(b"".join)
)
def test_no_pickle_runs_anything_or_raises_another_error(data):
    for stream in (data, BEFORE + data, BEFORE + b"}" + data + b"."):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("builtins.__import__", _refused_import(__import__))
            try:
                torch_pickles.run(io.BytesIO(stream))
            except torch_pickles.Refused:
                continue
    assert RUN == []


def _refused_import(original):
    def guarded(name, *arguments, **more):
        assert name in sys.modules, name
        return original(name, *arguments, **more)

    return guarded


@unhurried
@given(st.data())
def test_a_changed_byte_runs_nothing(data):
    whole = bytearray(pickled(ARRAYS))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(torch_pickles.Refused):
        torch_pickles.run(io.BytesIO(bytes(whole)))
