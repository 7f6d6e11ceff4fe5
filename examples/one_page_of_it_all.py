"""How do you turn results into one HTML page to share? Save them side by side, then write it."""

import sys
from pathlib import Path

import interpret_kit as ik
from interpret_kit.render.photo import sample_photo

out = Path(sys.argv[1] if len(sys.argv) > 1 else "ikit-out/page")

classifier, images = ik.load_classifier(), ik.load_images(sample_photo())
analyses = {
    "where": ik.Occlusion(window=56, stride=28),
    "early": ik.Activations(layer=1, top=4),
    "late": ik.Activations(layer=30, top=4),
}
for name, analysis in analyses.items():
    analysis.run(classifier, images).save(out / name, figures=True, force=True)

page = ik.write_report(out, [out / name for name in analyses], force=True)
print("open", page, "in a browser")
