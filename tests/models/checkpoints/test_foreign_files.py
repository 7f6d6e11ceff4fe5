"""Is a file that holds no weights called what it is, with what to do?"""

import collections
import gzip
import pickle
import sys
import tarfile
import types
import warnings
import zipfile

import numpy as np
import pytest
import torch
from torch import nn

from interpret_kit.errors import BadWeights
from interpret_kit.models.checkpoints.weights import read_weights

WEIGHTS = {"weight": torch.ones(2, 2)}


def scripted(file):
    with warnings.catch_warnings():  # torch means to drop TorchScript, and people have it
        warnings.simplefilter("ignore")
        torch.jit.save(torch.jit.script(nn.Linear(2, 2)), file)


def exported(file):
    torch.export.save(torch.export.export(nn.Linear(2, 2), (torch.zeros(1, 2),)), file)


def arrays(file):
    with file.open("wb") as opened:
        np.savez(opened, a=np.ones(2))


def zipped(file):
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("run/weights.pth", b"x")


def tarred(file):
    inside = file.with_name("inside")
    inside.write_bytes(b"x")
    with tarfile.open(file, "w") as archive:
        archive.add(inside, "inside")


def cut(file, **how):
    torch.save(WEIGHTS, file, **how)
    file.write_bytes(file.read_bytes()[:-40])


def quantised(file):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layer = torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)
    torch.save({"fc.weight": layer, "fc.scale": torch.tensor(0.1)}, file)


def written(content):
    return lambda file: file.write_bytes(content)


FILES = {
    "empty": (written(b""), r"is empty \(0 bytes\); copy or download it again"),
    "text": (written(b"Not found\n"), "is a text file, not weights; it begins with 'Not found'"),
    "json": (written(b'{"error": "no"}'), """it begins with '{"error": "no"}'"""),
    "utf-8": (written("é".encode() * 300), "is a text file, not weights; it begins with 'éé"),
    "lfs": (
        written(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"),
        "is a Git LFS pointer, not the weights; fetch them: git lfs pull",
    ),
    "html": (written(b"\n<!DOCTYPE html>\n<html>"), "is an HTML page, not the weights behind"),
    "hdf5": (written(b"\x89HDF\r\n\x1a\n"), "is an HDF5 file"),
    "gzip": (lambda file: file.write_bytes(gzip.compress(b"x")), r"is compressed \(gzip\); unpack"),
    "tar": (tarred, "is a tar archive; unpack it"),
    "zip": (zipped, r"is a ZIP archive \(run/weights\.pth\); unpack it"),
    "npz": (arrays, "archive of NumPy arrays"),
    "scripted": (scripted, r"is TorchScript, .*ik\.Classifier\(torch\.jit\.load\('.*w\.pth'\), s"),
    "exported": (exported, r"is an exported program, .*torch\.export\.load\('.*'\)\.module\(\)"),
    "module": (
        lambda file: torch.save(nn.Sequential(nn.Conv2d(1, 1, 1)), file),
        r"is a whole network \(torch\.nn\.\S+Sequential\) and so contains code, which is never run",
    ),
    "old module": (
        lambda file: torch.save(nn.ReLU(), file, _use_new_zipfile_serialization=False),
        r"is a whole network \(torch\.nn\.\S+ReLU\).* save network\.state_dict\(\)",
    ),
    "pickle": (
        lambda file: file.write_bytes(pickle.dumps(WEIGHTS)),
        r"is a plain Python pickle and .*, which is never run; save network\.state_dict\(\)",
    ),
    "old pickle": (
        lambda file: file.write_bytes(pickle.dumps(WEIGHTS, protocol=2)),
        "is a plain Python pickle",
    ),
    "cut": (
        cut,
        "is not a file of weights, or it is damaged or truncated; copy or download it again",
    ),
    "old cut": (
        lambda file: cut(file, _use_new_zipfile_serialization=False),
        "it is damaged or truncated",
    ),
    "noise": (written(bytes(range(128, 256)) * 9), "it is damaged or truncated"),
    "quantised": (quantised, r"weights of a quantised network \(fc\.weight\)"),
    "optimizer": (
        lambda file: torch.save({"optimizer": {"state": WEIGHTS}, "epoch": 3}, file),
        "holds no state_dict .*, but the keys optimizer, epoch; save",
    ),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_holds_no_weights_is_called_what_it_is(tmp_path, kind):
    write, message = FILES[kind]
    write(tmp_path / "w.pth")
    with pytest.raises(BadWeights, match=message) as raised:
        read_weights(tmp_path / "w.pth")
    assert str(raised.value).startswith(str(tmp_path / "w.pth"))
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("content", [b"", b"half", b"\x10\0\0\0\0\0\0\0 not a header"])
def test_a_broken_safetensors_file_says_so(tmp_path, content):
    (tmp_path / "w.safetensors").write_bytes(content)
    with pytest.raises(BadWeights, match=r"is not a safetensors file: it is (not|empty|a text)"):
        read_weights(tmp_path / "w.safetensors")


@pytest.mark.parametrize("new", [True, False])
def test_the_types_that_are_not_read_are_named(tmp_path, monkeypatch, new):
    module = types.ModuleType("omegaconf")
    module.DictConfig = type("DictConfig", (dict,), {"__module__": "omegaconf"})
    monkeypatch.setitem(sys.modules, "omegaconf", module)
    stored = {"state_dict": WEIGHTS, "hyper": module.DictConfig(), "lr": collections.deque()}
    torch.save(stored, tmp_path / "w.ckpt", _use_new_zipfile_serialization=new)
    named = r"omegaconf\.DictConfig, collections\.deque" if new else r"omegaconf\.DictConfig"
    with pytest.raises(BadWeights, match=rf"code, which is never run \({named}\); save its state"):
        read_weights(tmp_path / "w.ckpt")
