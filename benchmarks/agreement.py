"""How close are our occlusion's numbers to Captum's, and to a loop of single forwards?

python benchmarks/agreement.py photos/ 20
"""

import sys

import numpy as np
import torch
from captum.attr import Occlusion as CaptumOcclusion

import interpret_kit as ik
from interpret_kit.layers import evaluating

WINDOW, STRIDE, GRAY = 32, 16, 128 / 255

spec, count = (sys.argv[1:] + ["shapes", "20"][len(sys.argv) - 1 :])[:2]
classifier = ik.load_classifier()
images = ik.load_images(spec).spread(int(count)).unlabelled()
maps = ik.Occlusion(window=WINDOW, stride=STRIDE).run(classifier, images)

off_captum = off_loop = 0.0
with evaluating(classifier):
    captum = CaptumOcclusion(classifier.probabilities)
    for k, batch in enumerate(images.read(classifier.preprocessing, batch_size=1)):
        target = int(maps.target[k])
        theirs = captum.attribute(
            batch.pixels,
            sliding_window_shapes=(3, WINDOW, WINDOW),
            strides=(3, STRIDE, STRIDE),
            baselines=GRAY,
            target=target,
            perturbations_per_eval=32,
        )
        off_captum = max(off_captum, np.abs(theirs[0, 0].numpy() - maps.attribution[k]).max())
        mine = maps.confidence[k].ravel()
        for position, mask in enumerate(torch.from_numpy(maps.masks())):
            covered = torch.where(mask, GRAY, batch.pixels)
            confidence = float(classifier.probabilities(covered)[0, target])
            off_loop = max(off_loop, abs(confidence - mine[position]))
        print(f"{k + 1}: {off_captum:.1e} from Captum, {off_loop:.1e} from single forwards")
print(
    f"largest difference over {len(maps.ids)} images: attribution {off_captum:.1e} from Captum's,"
)
print(f"confidence {off_loop:.1e} from a loop of single forwards")
