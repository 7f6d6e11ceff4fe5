"""Which classes are misclassified, and as what? Train a small network, and count."""

import sys
from pathlib import Path

import interpret_kit as ik

out = Path(sys.argv[1] if len(sys.argv) > 1 else "ikit-out/failures")

# Trains for seconds only, so most classes fail; the default Recipe() takes a minute or two.
recipe = ik.Recipe(data="shapes", channels=(8, 16, 32), stride=(2, 1, 1), fc=(), epochs=2)
run = ik.train(recipe, out / "run", force=True)
counts = ik.Misclassifications(mistakes=8).run(run.classifier(), ik.load_images("shapes"))

print(f"test accuracy {run.metrics['test_accuracy']:.2f}; the worst classes:")
for row in counts.summary().rows:
    print(*row, sep=" | ")
print("figures and tables are in", counts.save(out / "counts", figures=True, force=True))
