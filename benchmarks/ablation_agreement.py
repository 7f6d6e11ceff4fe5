"""Do the ablation's flips equal a loop of full forward passes with the filter's weights at zero?

python benchmarks/ablation_agreement.py ikit-demo/run 99
"""

import sys

import torch

import interpret_kit as ik
from interpret_kit.models.probing.evaluation import evaluating

run, count = sys.argv[1], int(sys.argv[2])
classifier = ik.load_classifier(run, device="cpu")
images = ik.load_images("shapes").spread(count).with_classes_of(classifier)
counts = ik.Ablation(layer="all").run(classifier, images)
(batch,) = images.read(classifier.preprocessing, batch_size=count)
modules = dict(classifier.network.named_modules())

differ = flips = 0
with evaluating(classifier):
    before = classifier(batch.pixels).argmax(1) == batch.labels
    for row, (layer, number) in enumerate(zip(counts.layer, counts.filter, strict=True)):
        module = modules[counts.layers[layer]]
        kept = {name: weight.clone() for name, weight in module.named_parameters()}
        for weight in module.parameters():
            weight[number] = 0
        after = classifier(batch.pixels).argmax(1) == batch.labels
        module.load_state_dict(kept)
        for changed, ours in [(before & ~after, counts.broken), (~before & after, counts.repaired)]:
            loop = torch.bincount(batch.labels[changed], minlength=len(classifier.classes))
            differ += int((loop.numpy() != ours[row]).sum())
            flips += int(changed.sum())
print(f"{len(counts.filter)} filters, {count} images, {flips} flips in the loop;")
print(f"{differ} counts (filter, class) differ from it")
