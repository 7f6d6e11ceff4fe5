"""Which patches activate a filter most? Search a data set in one pass."""

import sys

import interpret_kit as ik

out = sys.argv[1] if len(sys.argv) > 1 else "ikit-out/patches"

classifier = ik.load_classifier()
images = ik.load_images("shapes").take(33)  # or a folder of yours
found = ik.TopPatches(layer=[1, 3], top=5).run(classifier, images)

for row in found.summary().rows:
    print(*row, sep=" | ")
print("figures and tables are in", found.save(out, figures=True, force=True))
