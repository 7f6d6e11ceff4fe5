"""How are the README's pictures made? From a demo.

    python docs/make_pictures.py ikit-demo

Each is a figure of the demo, made as small as it stays legible.
"""

import sys
from pathlib import Path

from PIL import Image

WIDTH, COLOURS = 1000, 256
PICTURES = {  # the figure, and how much of its height is taken, from above
    "occlusion": ("photo-occlusion-uniform/image_0.png", 1.0),
    "windows": ("occlusion/overview.png", 1.0),
    "top-patches": ("top-patches/layer_conv4.png", 0.39),
    "ablation": ("ablation/layers.png", 1.0),
}
SCALED = {"occlusion", "windows"}  # a colour bar is no longer true in a palette

demo = Path(sys.argv[1] if len(sys.argv) > 1 else "ikit-demo")
out = Path(sys.argv[2]) if len(sys.argv) > 2 else Path(__file__).parent / "pictures"
out.mkdir(parents=True, exist_ok=True)
for name, (figure, share) in PICTURES.items():
    with Image.open(demo / figure) as picture:
        taken = picture.convert("RGB").crop((0, 0, picture.width, round(share * picture.height)))
    height = round(taken.height * WIDTH / taken.width)
    small = taken.resize((WIDTH, height), Image.Resampling.LANCZOS)
    if name not in SCALED:
        small = small.quantize(COLOURS)
    small.save(out / f"{name}.png", optimize=True)
    print(f"{name}.png: {(out / f'{name}.png').stat().st_size // 1024} KB")
