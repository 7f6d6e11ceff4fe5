"""What is a filter for? Ablate it, and see which predictions flip."""

import sys

import numpy as np

import interpret_kit as ik
from interpret_kit.render.photo import sample_photo

out = sys.argv[1] if len(sys.argv) > 1 else "ikit-out/ablated"

classifier = ik.load_classifier()
photo = np.asarray(ik.load_images(sample_photo()).decode(0))  # (height, width, 3), RGB
truth = classifier.class_index("military uniform")
images = ik.ImageSet.from_arrays(photo[None], labels=[truth])  # or a folder of class folders
counts = ik.Ablation(layer=36).run(classifier, images)

for row in counts.tables()["flips"].head(5).rows:
    print(*row, sep=" | ")
print("figures and tables are in", counts.save(out, figures=True, force=True))
