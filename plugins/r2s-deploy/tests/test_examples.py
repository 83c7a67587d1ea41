"""`examples.npz` is arrays of the contract's shapes and dtypes, or is refused with a sentence."""

import io
import pickle
import shutil
import warnings
import zipfile

import numpy as np
import pytest

from r2s_deploy import bundle as bundles
from r2s_deploy import examples
from r2s_deploy.errors import BundleError

HEADER = b"\x93NUMPY\x01\x00"


def npy(shape, descr="<f4", data=b""):
    text = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {shape}, }}\n"
    return HEADER + len(text).to_bytes(2, "little") + text.encode() + data


def zipped(*entries, good):
    """The arrays of a good file with others in their place or beside them."""
    names = [name for name, _ in entries]
    out = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        warnings.simplefilter("ignore")  # the same name twice
        for name, array in good.items():
            if f"{name}.npy" not in names:
                own = io.BytesIO()
                np.save(own, array)
                archive.writestr(f"{name}.npy", own.getvalue())
        for name, data in entries:
            archive.writestr(name, data)
    return out.getvalue()


class Trap:
    def __reduce__(self):
        return (pytest.fail, ("code of a bundle ran",))


def saved(good, **changes):
    out = io.BytesIO()
    np.savez(out, **{**good, **changes})
    return out.getvalue()


def patched(data, at, value):
    """Bytes `at` of the first entry and of its line in the directory changed."""
    data, line = bytearray(data), data.rfind(b"PK\x01\x02")
    data[at], data[line + at + 2] = value, value
    return bytes(data)


def flipped(data):
    return bytes(b ^ 0x5A if 60 <= i < 400 else b for i, b in enumerate(data))


ACTION = "action.npy"
CASES = {
    "objects": (lambda g: saved(g, action=np.array([Trap()], object)), "cannot be read|contract"),
    "pickle": (lambda g: pickle.dumps(Trap()), "cannot be read: File is not a zip file"),
    "pickle entry": (lambda g: zipped((ACTION, pickle.dumps(Trap())), good=g), "cannot be read"),
    "text entry": (lambda g: zipped(("a.txt", b"hi"), good=g), "contract says"),
    "empty entry": (lambda g: zipped((ACTION, b""), good=g), "cannot be read"),
    "twice": (lambda g: zipped((ACTION, b""), (ACTION, b"x"), good=g), "contract says"),
    "10^12": (lambda g: zipped((ACTION, npy("(10**12, 5)")), good=g), "cannot be read"),
    "10^12 numbers": (
        lambda g: zipped((ACTION, npy("(1000000000000, 5)")), good=g), "N from 1 to"),
    "negative": (lambda g: zipped((ACTION, npy("(-1, 5)")), good=g), "N from 1"),
    "short": (lambda g: zipped((ACTION, npy("(3, 5)")), good=g), "another size than its header"),
    "deep header": (
        lambda g: zipped((ACTION, HEADER + b"\x28\x23" + b"(" * 9000), good=g), "cannot be read"),
    "version 3": (lambda g: zipped((ACTION, b"\x93NUMPY\x03\x00" + bytes(9)), good=g), "version"),
    "encrypted": (lambda g: patched(saved(g), 6, 1), "cannot be read: File .* is encrypted"),
    "method 99": (lambda g: patched(saved(g), 8, 99), "cannot be read: That compression method"),
    "lzma": (lambda g: patched(saved(g), 8, 14), "cannot be read"),
    "bzip": (lambda g: patched(saved(g), 8, 12), "cannot be read"),
    "damaged": (lambda g: flipped(zipped(good=g)), "cannot be read"),
    "texts": (lambda g: saved(g, action=np.full((256, 5), "a")), "is <U1"),
    "complex": (lambda g: saved(g, action=g["action"].astype(complex)), "is complex128"),
    "dates": (lambda g: saved(g, action=np.zeros((256, 5), "M8[s]")), "is datetime64"),
    "rows of fields": (lambda g: saved(g, action=np.zeros((256, 5), [("a", "f4")])), "contract"),
    "doubles": (lambda g: saved(g, policy=g["policy"].astype(float)), "policy is float64"),
    "whole": (lambda g: saved(g, policy=g["policy"].astype(int)), "policy is int64"),
    "not finite": (lambda g: saved(g, action=g["action"] * np.nan), "not finite"),
    "none": (lambda g: {k: x[:0] for k, x in g.items()}, "N from 1"),
    "fewer": (lambda g: saved(g, action=g["action"][:3]), "another number of inputs"),
    "scalar": (lambda g: saved(g, action=np.float32(1)), "action is float32"),
    "extra": (lambda g: saved(g, x=g["action"]), "contract says"),
}  # fmt: skip


@pytest.fixture
def mine(bundle_dir, tmp_path):
    """A loaded bundle, of which the examples may be replaced."""
    return bundles.load(shutil.copytree(bundle_dir, tmp_path / "mine"))


@pytest.mark.parametrize("case", CASES)
def test_examples_that_are_none_are_refused(mine, case):
    made, says = CASES[case]
    path = mine.path / bundles.EXAMPLES
    data = made(dict(np.load(path)))
    path.write_bytes(data if isinstance(data, bytes) else saved(data))
    with pytest.raises(BundleError, match=says) as error:
        examples.read(mine)
    assert str(error.value).isprintable()


def test_columns_first_is_read_too(mine):
    path = mine.path / bundles.EXAMPLES
    good = dict(np.load(path))
    path.write_bytes(saved(good, action=np.asfortranarray(good["action"])))
    for name, array in examples.read(mine).items():
        np.testing.assert_array_equal(array, good[name])
