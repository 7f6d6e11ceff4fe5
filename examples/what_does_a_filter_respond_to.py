"""What do the filters of a layer respond to? Plot their feature maps beside the image."""

import sys

import interpret_kit as ik
from interpret_kit.render.photo import sample_photo

out = sys.argv[1] if len(sys.argv) > 1 else "ikit-out/responses"

classifier = ik.load_classifier()
images = ik.load_images(sample_photo())
responses = ik.Activations(layer=3, top=6).run(classifier, images)

print("strongest filters:", *responses.chosen, "with feature maps of shape", responses.maps.shape)
print("figures and tables are in", responses.save(out, figures=True, force=True))
