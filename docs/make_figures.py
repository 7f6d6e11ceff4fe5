"""How are the figures of the README made? From those of a demo, scaled down.

    python docs/make_figures.py ikit-demo [FOLDER]

They are written to FOLDER, by default docs/figures.
"""

import sys
from pathlib import Path

from PIL import Image

WIDTH, COLOURS = 1000, 256
FIGURES = {  # the figure of the demo, and the share of its height to keep, from the top
    "occlusion": ("photo-occlusion-uniform/image_0.png", 1.0),
    "windows": ("occlusion/overview.png", 1.0),
    "top-patches": ("top-patches/layer_conv4.png", 0.396),
    "ablation": ("ablation/layers.png", 1.0),
}
SCALED = {"occlusion", "windows"}  # no palette, as it would change the colours of the colour bar

demo = Path(sys.argv[1] if len(sys.argv) > 1 else "ikit-demo")
out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "figures"
out.mkdir(parents=True, exist_ok=True)
for name, (figure, share) in FIGURES.items():
    with Image.open(demo / figure) as full:
        top = full.convert("RGB").crop((0, 0, full.width, round(share * full.height)))
    height = round(top.height * WIDTH / top.width)
    small = top.resize((WIDTH, height), Image.Resampling.LANCZOS)
    if name not in SCALED:
        small = small.quantize(COLOURS)
    small.save(out / f"{name}.png", optimize=True)
    print(f"{name}.png: {(out / f'{name}.png').stat().st_size // 1024} KB")
