"""How are the figures of the README made? From a demo and one of its photos, scaled down.

    python docs/make_figures.py ikit-demo [FOLDER]

They are written to FOLDER, by default docs/figures. The screenshot of the atlas needs
playwright and the browser chromium; without them, the present one is kept.
"""

import importlib.util
import shutil
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image

import interpret_kit as ik

WIDTH, COLOURS = 1000, 256
FIGURES = {  # the figure of the demo, and the share of its height to keep, from the top
    "occlusion": ("image_0_coffee.png", 1.0),  # of the photo below, not of the demo
    "windows": ("occlusion/overview.png", 1.0),
    "top-patches": ("top-patches/layer_conv4.png", 0.396),
    "ablation": ("ablation/layers.png", 1.0),
}
SCALED = {"occlusion", "windows"}  # no palette, as it would change the colours of the colour bar

ATLAS, WINDOW = "atlas/index.html", {"width": 1200, "height": 900}

ESPRESSO = "photos/espresso/coffee.png"  # shipped by scikit-image; Rachel Michetti, CC0


def screenshot(page: Path, file: Path, browser: str) -> None:
    """Write a screenshot of the top of a page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as started:
        opened = started.chromium.launch(executable_path=browser)
        tab = opened.new_page(viewport=WINDOW, color_scheme="light")
        tab.goto(page.absolute().as_uri(), wait_until="load")
        tab.screenshot(path=file)
        opened.close()
    with Image.open(file) as full:
        full.convert("RGB").quantize(COLOURS).save(file, optimize=True)
    print(f"{file.name}: {file.stat().st_size // 1024} KB")


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
chromium = shutil.which("chromium")
if chromium and importlib.util.find_spec("playwright"):
    screenshot(demo / ATLAS, out / "atlas.png", chromium)
else:
    print("atlas.png: kept; a new one needs playwright and chromium")
