"""What do the filters of a layer answer to? Look at their maps, beside the picture."""

import sys

import interpret_kit as ik
from interpret_kit.render.photo import sample_photo

out = sys.argv[1] if len(sys.argv) > 1 else "ikit-out/answers"

classifier = ik.load_classifier()
images = ik.load_images(sample_photo())
answers = ik.Activations(layer=3, top=6).run(classifier, images)

print("strongest filters:", *answers.chosen, "with maps of shape", answers.maps.shape)
print("figures and tables are in", answers.save(out, figures=True, force=True))
