"""Which architectures do the analyses handle? Checks timm's, and writes docs/models/README.md.

    python docs/models/make_models.py               all of them: about an hour on two cores
    python docs/models/make_models.py resnet10t     some, without writing the page
    python docs/models/make_models.py --page        the page, from the saved outcomes

Each network is checked in a process of its own (see models_check.py), and its outcome is saved in
build/models, so that an interrupted run resumes where it stopped; --again checks all of them again.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

from models_check import CHECKS, CLASSES, FULL, REFUSED, WORKS, WRONG, Outcome

HOME = Path(__file__).parent
SAVED = HOME.parents[1] / "build" / "models"  # not committed
LIMIT = 900  # seconds for one network

# timm module: architectures, and the side of their images: the one that the architecture requires,
# or a small one. Of each module, the smallest classifiers.
ARCHITECTURES = {
    "byoanet": [("halonet_h1", 256), ("botnet26t_256", 256)],
    "byobnet": [("gernet_s", 128), ("mobileone_s0", 128)],
    "cait": [("cait_xxs24_224", 224)],
    "coat": [("coat_tiny", 224), ("coat_lite_tiny", 224)],
    "convit": [("convit_tiny", 224)],
    "convmixer": [("convmixer_768_32", 112)],
    "convnext": [("test_convnext", 160), ("convnext_atto", 128), ("convnextv2_atto", 128)],
    "cpubone": [("cpubone_nano", 128)],
    "crossvit": [("crossvit_tiny_240", 240)],
    "cspnet": [("cs3darknet_s", 128)],
    "cspnext": [("cspnext_tiny", 128)],
    "deit": [("deit_tiny_patch16_224", 224), ("deit_tiny_distilled_patch16_224", 224)],
    "densenet": [("densenet121", 128), ("densenetblur121d", 128)],
    "dla": [("dla46x_c", 128)],
    "dpn": [("dpn48b", 128)],
    "edgenext": [("edgenext_xx_small", 128)],
    "efficientformer": [("efficientformer_l1", 224)],
    "efficientformer_v2": [("efficientformerv2_s0", 224)],
    "efficientnet": [
        ("tinynet_e", 106),
        ("tf_efficientnet_lite0", 128),
        ("mobilenetv2_050", 128),
        ("mnasnet_small", 128),
        ("mixnet_s", 128),
        ("spnasnet_100", 128),
    ],
    "efficientvim": [("efficientvim_m1", 224)],
    "efficientvit_mit": [("efficientvit_b0", 128)],
    "efficientvit_msra": [("efficientvit_m0", 224)],
    "eva": [("eva02_tiny_patch14_224", 224)],
    "fasternet": [("fasternet_t0", 128)],
    "fastvit": [("fastvit_t8", 128)],
    "gcvit": [("gcvit_xxtiny", 224)],
    "ghostnet": [("ghostnet_050", 128)],
    "hardcorenas": [("hardcorenas_a", 128)],
    "hgnet": [("hgnetv2_b0", 128)],
    "hrnet": [("hrnet_w18_small", 128)],
    "iformer": [("iformer_t", 224)],
    "inception_next": [("inception_next_atto", 128)],
    "inception_v3": [("inception_v3", 160)],
    "lcnetv2": [("lcnetv2_small", 128)],
    "levit": [("levit_128s", 224)],
    "lowformer": [("lowformer_b0", 128)],
    "mambaout": [("test_mambaout", 160), ("mambaout_femto", 128)],
    "maxxvit": [("test_coatnet", 160), ("maxvit_pico_rw_256", 256)],
    "metaformer": [("poolformer_s12", 128), ("caformer_s18", 128)],
    "mlp_mixer": [("gmlp_ti16_224", 224), ("resmlp_12_224", 224)],
    "mobilenetv3": [("mobilenetv3_small_050", 128), ("lcnet_050", 128), ("fbnetv3_b", 128)],
    "mobilevit": [("mobilevit_xxs", 128), ("mobilevitv2_050", 128)],
    "nextvit": [("nextvit_small", 128)],
    "nfnet": [("test_nfnet", 160), ("nf_resnet26", 128)],
    "pit": [("pit_ti_224", 224)],
    "pvt_v2": [("pvt_v2_b0", 128)],
    "regnet": [("regnetx_002", 128), ("regnety_002", 128)],
    "repghost": [("repghostnet_050", 128)],
    "repvit": [("repvit_m0_9", 128)],
    "resnest": [("resnest14d", 128)],
    "resnet": [("resnet10t", 128), ("resnet18", 128), ("seresnext26d_32x4d", 96)],
    "resnetv2": [("resnetv2_18", 128)],
    "rexnet": [("rexnet_100", 128)],
    "senet": [("legacy_seresnet18", 128)],
    "shvit": [("shvit_s1", 224)],
    "sknet": [("skresnet18", 128)],
    "starnet": [("starnet_s050", 128)],
    "swiftformer": [("swiftformer_xs", 224)],
    "swin_transformer": [("swin_tiny_patch4_window7_224", 224)],
    "swin_transformer_v2": [("swinv2_tiny_window8_256", 256)],
    "tiny_vit": [("tiny_vit_5m_224", 224)],
    "vision_transformer": [("test_vit", 160), ("vit_tiny_patch16_224", 224)],
    "vision_transformer_hybrid": [("vit_tiny_r_s16_p8_224", 224)],
    "vision_transformer_relpos": [("test_vit_relpos", 160)],
    "visformer": [("visformer_tiny", 224)],
    "vovnet": [("ese_vovnet19b_slim_dw", 128)],
    "xcit": [("xcit_nano_12_p8_224", 224)],
}


def main() -> None:
    """Check the networks, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", help="architectures; by default all")
    parser.add_argument("--again", action="store_true", help="repeat the saved checks")
    parser.add_argument("--page", action="store_true", help="write the page only")
    parser.add_argument("--one", metavar="NAME", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one:
        _one(given.one)
        return
    SAVED.mkdir(parents=True, exist_ok=True)
    known = [name for entries in ARCHITECTURES.values() for name, _ in entries]
    unknown = sorted(set(given.names) - set(known))
    if unknown:
        parser.error(f"no architecture {unknown[0]!r} in ARCHITECTURES")
    for name in [] if given.page else given.names or known:
        if given.again or not _file(name).is_file():
            _check(name)
        print(name, *(f"{each.analysis}: {each.how}." for each in _read(name)), flush=True)
    if not given.names:
        checked = {name: _read(name) for name in known if _file(name).is_file()}
        (HOME / "README.md").write_text(page(checked))


def _file(name: str) -> Path:
    return SAVED / f"{name}.json"


def _read(name: str) -> list[Outcome]:
    return [Outcome(**each) for each in json.loads(_file(name).read_text())]


def _check(name: str) -> None:
    """Check one network in a process of its own, so that a leak or a crash affects no other."""
    command = [sys.executable, __file__, "--one", name]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT, check=False)
        failure = "" if ran.returncode == 0 else ran.stderr.strip().splitlines()[-1]
    except subprocess.TimeoutExpired:
        failure = f"not finished after {LIMIT} s"
    if failure:
        _file(name).write_text(json.dumps([dataclasses.asdict(Outcome("all", WRONG, failure))]))


def _one(name: str) -> None:
    import timm
    import torch
    from models_check import check, make_subject

    size = next(s for entries in ARCHITECTURES.values() for n, s in entries if n == name)
    with torch.no_grad():
        subject = make_subject(lambda: timm.create_model(name, num_classes=CLASSES), size)
        outcomes = check(subject)
    _file(name).write_text(json.dumps([dataclasses.asdict(each) for each in outcomes]))


def page(outcomes: dict[str, list[Outcome]]) -> str:
    """Write the page: counts, a row for each architecture, and the reasons as numbered notes."""
    counted = Counter(each.how for found in outcomes.values() for each in found)
    reasons: dict[str, int] = {}
    rows, families = [], set()
    for family, entries in ARCHITECTURES.items():
        for name, size in entries:
            if name not in outcomes:
                continue
            families.add(family)
            found = {each.analysis: each for each in outcomes[name]}
            cells = [_cell(found.get(each, found.get("all")), reasons) for each in CHECKS]
            rows.append(f"| {name} | {family} | {size} | {' | '.join(cells)} |")
    notes = [f"{number}. {text}" for text, number in reasons.items()]
    total = f"{len(outcomes)} architectures of {len(families)} families"
    counts = ", ".join(f"{counted[how]} {how}" for how in (WORKS, FULL, REFUSED, WRONG))
    return _PAGE.format(
        total=total,
        counts=counts,
        analyses=" | ".join(CHECKS),
        rows="\n".join(rows),
        notes="\n".join(notes),
    )


def _cell(outcome: Outcome | None, reasons: dict[str, int]) -> str:
    assert outcome is not None, "each analysis has an outcome, or all of them have one"
    if not outcome.why:
        return outcome.how
    number = reasons.setdefault(outcome.why, len(reasons) + 1)
    return f"{outcome.how} ({number})"


_PAGE = """# Which architectures work

This page covers {total} of [timm](https://github.com/huggingface/pytorch-image-models). On each,
five analyses are compared with a brute-force implementation, which runs a full forward pass for
every occluded image, and reads or overwrites channels with forward hooks. The sixth, `Attribution`,
runs Captum's own gradient methods. In total: {counts}.

- *works*: the results match brute force; occlusion and ablation were evaluated incrementally.
- *full forward passes*: the results match, but without the speed-up, for the reason in the note.
- *refused*: the note is the error message that the user sees.
- *WRONG*: the error exceeds four times that of brute force in float32 (measured against float64),
  or the rounding error of its largest terms.

The networks have random weights and ten classes, the images are coarse noise, and the layer
analysed is the middle one of the numbered layers. `python docs/models/make_models.py` makes this
page; the test suite checks a sample of it.

| architecture | family | side (px) | {analyses} |
| --- | --- | --- | --- | --- | --- | --- | --- |
{rows}

{notes}
"""


if __name__ == "__main__":
    main()
