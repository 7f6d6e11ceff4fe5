"""How is a network of your own asked? Wrap it, and say what it was trained with."""

import sys

import timm
import torch

import interpret_kit as ik

out = sys.argv[1] if len(sys.argv) > 1 else "ikit-out/own"

network = timm.create_model("resnet18", num_classes=2)  # any module that returns logits
classifier = ik.Classifier(
    network, size=(64, 96), mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25), classes=["cat", "dog"]
)
pixels = torch.rand(2, 3, 64, 96)  # RGB in [0, 1]: normalisation is inside

lost = ik.FilterAblation(classifier, "layer1.0.conv1").attribute(pixels, target=1)
print("logit of 'dog' lost without each filter, (batch, filters):", tuple(lost.shape))

images = ik.ImageSet.from_arrays(pixels.permute(0, 2, 3, 1).numpy())
maps = ik.Occlusion(window="16x24", stride=16, target="dog").run(classifier, images)
print("figures and tables are in", maps.save(out, figures=True, force=True))
