"""Where does the classifier look? Occlude parts of a photo, and measure its confidence."""

import sys

import interpret_kit as ik
from interpret_kit.render.photo import sample_photo

out = sys.argv[1] if len(sys.argv) > 1 else "ikit-out/where"

classifier = ik.load_classifier()  # the embedded ImageNet model; or a run, or a timm name
images = ik.load_images(sample_photo())  # or a file or folder of yours
maps = ik.Occlusion(window=56, stride=28, target="military uniform").run(classifier, images)

for row in maps.summary().rows:
    print(*row, sep=" | ")
print("figures and tables are in", maps.save(out, figures=True, force=True))
