"""How do you analyse a network of your own? Wrap it, and give the preprocessing of its training."""

import sys

import timm
import torch

import interpret_kit as ik

out = sys.argv[1] if len(sys.argv) > 1 else "ikit-out/own"

network = timm.create_model("resnet18", num_classes=2)  # any module that returns logits
classifier = ik.Classifier(
    network, size=(64, 96), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), classes=["cat", "dog"]
)
pixels = torch.rand(2, 3, 64, 96)  # RGB in [0, 1]; the classifier normalises

drops = ik.FilterAblation(classifier, "layer1.0.conv1").attribute(pixels, target=1)
print("drop of the logit of 'dog' without each filter, (batch, filters):", tuple(drops.shape))

images = ik.ImageSet.from_arrays(pixels.permute(0, 2, 3, 1).numpy())
maps = ik.Occlusion(window=(16, 24), stride=16, target="dog").run(classifier, images)
print("figures and tables are in", maps.save(out, figures=True, force=True))
