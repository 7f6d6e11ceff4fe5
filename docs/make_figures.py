"""How are the figures of the README made? From a demo and one of its photos, scaled down.

    python docs/make_figures.py ikit-demo [FOLDER]

They are written to FOLDER, by default docs/figures.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

import interpret_kit as ik

WIDTH, COLOURS = 1000, 256
FIGURES = {  # the figure of the demo, and the share of its height to keep, from the top
    "occlusion": ("image_0.png", 1.0),  # of the photo below, not of the demo
    "windows": ("occlusion/overview.png", 1.0),
    "top-patches": ("top-patches/layer_conv4.png", 0.396),
    "ablation": ("ablation/layers.png", 1.0),
}
SCALED = {"occlusion", "windows"}  # no palette, as it would change the colours of the colour bar

ESPRESSO = "photos/espresso/coffee.png"  # shipped by scikit-image; Rachel Michetti, CC0

demo = Path(sys.argv[1] if len(sys.argv) > 1 else "ikit-demo")
out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "figures"
out.mkdir(parents=True, exist_ok=True)
with TemporaryDirectory() as folder:
    photo = ik.load_images(demo / ESPRESSO)
    maps = ik.Occlusion(window=80, stride=8).run(ik.load_classifier("embedded"), photo)
    maps.save(Path(folder, "espresso"), figures=True)
    for name, (figure, share) in FIGURES.items():
        home = Path(folder, "espresso") if name == "occlusion" else demo
        with Image.open(home / figure) as full:
            top = full.convert("RGB").crop((0, 0, full.width, round(share * full.height)))
        height = round(top.height * WIDTH / top.width)
        small = top.resize((WIDTH, height), Image.Resampling.LANCZOS)
        if name not in SCALED:
            small = small.quantize(COLOURS)
        small.save(out / f"{name}.png", optimize=True)
        print(f"{name}.png: {(out / f'{name}.png').stat().st_size // 1024} KB")
