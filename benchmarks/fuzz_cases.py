"""Which files are mutated, how, and what may come of them?"""

from __future__ import annotations

import io
import json
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import safetensors.torch
import torch
from PIL import Image

from interpret_kit.analyses.ablation import Ablation
from interpret_kit.analyses.activations import Activations
from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.occlusion import Occlusion
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.data.decoding.decode import decode_rgb
from interpret_kit.data.decoding.formats import readable
from interpret_kit.data.image_set import ImageSet
from interpret_kit.data.load import load_images
from interpret_kit.data.loader import refuse_strip
from interpret_kit.models.checkpoints.tied_weights import save_weights
from interpret_kit.models.classifier import Classifier
from interpret_kit.models.loading.load import create, load_classifier
from interpret_kit.models.loading.recorded_runs import check_model, unfinished
from interpret_kit.results.load import load_result

ARCHITECTURE = "ikit_convnet"
ARGUMENTS = {"channels": (2, 3), "kernel": 3, "fc": (), "num_classes": 4, "size": (24, 24)}
CONFIG: dict[str, Any] = {
    "architecture": ARCHITECTURE,
    "arguments": ARGUMENTS,
    "size": (24, 24),
    "mean": (0.5, 0.5, 0.5),
    "std": (0.5, 0.5, 0.5),
    "crop": 1.0,
    "interpolation": "bilinear",
    "crop_mode": "center",
    "classes": ["ant", "bee", "cat", "dog"],
    "data": "photos",
    "seed": 0,
    "recipe": {"epochs": 3},
    "metrics": {"val_accuracy": 0.5},
    "finished": False,
}
EXTREME = (0, 1, 0x7F, 0x80, 0xFF)
VALUES = (None, -1, 0, 1, 1e400, 0.5, "", "x", [], {}, [None], [[1]], {"a": 1}, True, 10**30, -0.5)


class Kind(Protocol):
    """Files of one kind: one of them is mutated, then read, again and again."""

    def mutate(self, drawn: random.Random) -> None:
        """Write the next mutated file."""

    def read(self) -> str:
        """Read it; return what is wrong with what was read, or ""."""


def mutated(content: bytes, drawn: random.Random) -> bytes:
    """Change bits, bytes or integers, or cut, insert, repeat, exchange or blank a part."""
    held = bytearray(content)
    for _ in range(drawn.choice((1, 1, 1, 2, 4, 16))):
        if not held:
            break
        at, length = drawn.randrange(len(held)), drawn.choice((1, 2, 4, 8, 64, 512))
        kind = drawn.randrange(9)
        if kind == 0:
            held[at] ^= 1 << drawn.randrange(8)
        elif kind == 1:
            held[at] = drawn.choice(EXTREME)
        elif kind in {2, 3}:  # lengths and sizes: most are among the first bytes
            at = drawn.randrange(min(len(held), drawn.choice((64, 512, 1 << 20))))
            value = drawn.choice((0, 1, 0x7FFFFFFF, 0xFFFFFFFF, drawn.randrange(1 << 32)))
            held[at : at + 4] = struct.pack(drawn.choice("<>") + "I", value)
        elif kind == 4:
            del held[at:]
        elif kind == 5:
            del held[at : at + length]
        elif kind == 6:
            held[at:at] = held[at : at + length]
        elif kind == 7:
            held[at : at + length] = bytes(min(length, len(held) - at))
        else:
            held[at:at] = bytes(drawn.randrange(256) for _ in range(length))
    return bytes(held)


class Images:
    """A mutated image beside an intact one, which must be counted, and it alone or both."""

    def __init__(self, folder: Path) -> None:
        self.seeds = list(_encoded())
        self.folder = folder / "photos"
        self.folder.mkdir()
        Image.new("RGB", (24, 24), "red").save(self.folder / "whole.png")
        self.classifier = _classifier()

    def mutate(self, drawn: random.Random) -> None:
        """Mutate a file of any format that is read."""
        self.content = mutated(drawn.choice(self.seeds), drawn)
        (self.folder / "a.png").write_bytes(self.content)

    def read(self) -> str:
        """Read both through the loader, as every analysis does."""
        images = load_images(self.folder)
        reading = images.read(self.classifier.preprocessing, 2, workers=0)
        ids = [image for batch in reading for image in batch.ids.tolist()]
        left_out = {each.id: each.why for each in reading.unreadable}
        if any(len(why.splitlines()) != 1 for why in left_out.values()):
            return "message of several lines"
        if sorted([*ids, *left_out]) != [0, 1] or 1 not in ids:
            return "counted what was not read"
        if not left_out:
            return "" if decode_rgb(self.content).mode == "RGB" else "not RGB"
        refuse_strip(decode_rgb(self.content))  # one of which raises the reason
        return "left out what can be read"


class Checkpoints:
    """Weights of a run, of timm, of TorchScript, of an exported program."""

    def __init__(self, folder: Path) -> None:
        network = _network()
        self.run, self.file = folder / "run", folder / "weights.bin"
        self.run.mkdir()
        (self.run / "config.json").write_text(json.dumps(CONFIG))
        save_weights(self.run / "model.safetensors", network)
        self.digest = load_classifier(self.run, device="cpu").fingerprint
        other = create(ARCHITECTURE, num_classes=4).eval()  # which a file needs no arguments for
        state = {"state_dict": other.state_dict(), "epoch": 3, "arch": "x"}
        example = torch.zeros(1, 3, 24, 24)
        self.seeds = [
            (self.run / "model.safetensors").read_bytes(),
            safetensors.torch.save(other.state_dict()),
            _saved(lambda file: torch.save(state, file)),
            _saved(lambda file: torch.save(state, file, _use_new_zipfile_serialization=False)),
            _saved(lambda file: torch.save(network, file)),
            _saved(lambda file: torch.jit.save(torch.jit.trace(network, example), file)),
        ]

    def mutate(self, drawn: random.Random) -> None:
        """Mutate the weights of the run, or a file of any kind."""
        self.is_run = drawn.random() < 0.4
        seed = self.seeds[0] if self.is_run else drawn.choice(self.seeds)
        file = self.run / "model.safetensors" if self.is_run else self.file
        file.write_bytes(mutated(seed, drawn))

    def read(self) -> str:
        """Load a classifier; of a run, with the weights that were saved."""
        if not self.is_run:
            load_classifier(self.file, arch=ARCHITECTURE, device="cpu")
            return ""
        found = load_classifier(self.run, device="cpu").fingerprint
        return "" if found == self.digest else "other weights than those that were saved"


class Results:
    """Manifest and arrays of a saved result of each analysis."""

    def __init__(self, folder: Path) -> None:
        generator = np.random.default_rng(0)
        pixels = generator.integers(0, 256, (4, 24, 24, 3), np.uint8)
        images = ImageSet.from_arrays(pixels, [0, 1, 2, 3], CONFIG["classes"])
        analyses = (
            Occlusion(window=12, stride=12),
            Activations(layer=1, top=2),
            TopPatches(layer="all", top=2),
            Ablation(layer="all"),
            Misclassifications(mistakes=3),
        )
        self.folder = folder / "result"
        self.seeds = []
        for each in analyses:
            saved = each.run(_classifier(), images).save(folder / each.name)
            names = ("manifest.json", "arrays.npz")
            self.seeds.append({name: (saved / name).read_bytes() for name in names})
        self.folder.mkdir()

    def mutate(self, drawn: random.Random) -> None:
        """Mutate the bytes of a file, or a value of the manifest."""
        files = dict(drawn.choice(self.seeds))
        name = drawn.choice(list(files))
        if name == "manifest.json" and drawn.random() < 0.7:
            files[name] = json.dumps(_changed(json.loads(files[name]), drawn)).encode()
        else:
            files[name] = mutated(files[name], drawn)
        for each, content in files.items():
            (self.folder / each).write_bytes(content)

    def read(self) -> str:
        """Load the result, and make its tables."""
        result = load_result(self.folder)
        for table in (*result.tables().values(), result.summary()):
            list(table.rows)
        return "" if len(repr(result).splitlines()) <= 10 else "a long repr"


class Configurations:
    """The ``config.json`` of a run."""

    def __init__(self, folder: Path) -> None:
        self.run = folder / "run"
        self.run.mkdir()
        save_weights(self.run / "model.safetensors", _network())

    def mutate(self, drawn: random.Random) -> None:
        """Change some values, or the bytes."""
        config = _changed(json.loads(json.dumps(CONFIG)), drawn)
        content = json.dumps(config).encode()
        content = mutated(content, drawn) if drawn.random() < 0.3 else content
        (self.run / "config.json").write_bytes(content)

    def read(self) -> str:
        """Load the run."""
        unfinished(self.run)
        check_model(self.run)
        classifier = load_classifier(self.run, device="cpu")
        return "" if len(classifier.classes) == 4 and min(classifier.size) > 0 else "nonsense"


KINDS: dict[str, Callable[[Path], Kind]] = {
    "images": Images,
    "checkpoints": Checkpoints,
    "results": Results,
    "configurations": Configurations,
}


def _network() -> torch.nn.Module:
    torch.manual_seed(0)
    return create(ARCHITECTURE, **ARGUMENTS).eval()


def _classifier() -> Classifier:
    settings = {name: CONFIG[name] for name in ("size", "mean", "std", "classes")}
    return Classifier(_network(), **settings)


def _saved(save: Callable[[Any], object]) -> bytes:
    file = io.BytesIO()
    save(file)
    return file.getvalue()


def _changed(value: Any, drawn: random.Random) -> Any:
    """Replace one to three values at any depth of a JSON document."""
    for _ in range(drawn.randrange(1, 4)):
        place, key, held = None, None, value
        while isinstance(held, (dict, list)) and held and (place is None or drawn.random() < 0.8):
            place = held
            key = drawn.choice(list(held) if isinstance(held, dict) else range(len(held)))
            held = place[key]
        if place is not None:
            place[key] = drawn.choice(VALUES)
    return value


def _encoded() -> list[bytes]:
    """Encode an image in every format that is read, in several of their kinds."""
    generator = np.random.default_rng(0)
    rows, cols = np.mgrid[0:40, 0:48]
    smooth = np.stack([rows * 4, cols * 4, rows + cols], -1) + generator.integers(
        0, 40, (40, 48, 3)
    )
    photo = Image.fromarray(smooth.astype(np.uint8))
    alpha = photo.convert("RGBA")
    alpha.putalpha(photo.convert("L"))
    deep = Image.fromarray((smooth[..., 0] * 256).astype(np.uint16))
    real = Image.fromarray((smooth[..., 0] / 255).astype(np.float32))
    plain = [photo, photo.convert("L"), alpha, photo.convert("P"), photo.convert("1"), deep, real]
    settings: dict[str, list[dict[str, Any]]] = {
        "JPEG": [{}, {"progressive": True}, {"restart_marker_blocks": 2}],
        "WEBP": [{}, {"lossless": True}],
        "TIFF": [{"compression": each} for each in (None, "tiff_lzw", "tiff_deflate", "jpeg")],
    }
    found = []
    for name in readable():
        for image in (*plain, photo.convert("CMYK")):
            for each in settings.get(name, [{}]):
                try:
                    found.append(_saved(lambda file: image.save(file, name, **each)))  # noqa: B023
                except (OSError, ValueError, SystemError):
                    continue  # the format has no such kind
    return found
