"""Can two threads use one classifier?"""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch
from networks_on_paper import noisy_images, pixels_of, small_classifier

from interpret_kit.analyses.ablation import Ablation


def test_two_threads_on_one_classifier_get_the_numbers_of_one(classifier, images):
    analysis = Ablation(layer="all")
    pixels = pixels_of(images, classifier)
    alone = analysis.run(small_classifier(), noisy_images())
    expected = small_classifier()(pixels)
    classifier.network.train()
    started = threading.Barrier(2)
    within = threading.Event()

    def ablate():
        started.wait()
        return analysis.run(classifier, images, batch_size=4, progress=lambda *_: within.set())

    def predict():
        started.wait()
        within.wait()  # in the middle of the ablation, with its hooks and its mode
        return classifier(pixels)

    with ThreadPoolExecutor(2) as pool, torch.no_grad():
        ablating, predicting = pool.submit(ablate), pool.submit(predict)
        result, outputs = ablating.result(60), predicting.result(60)
    assert result.score == alone.score
    assert (result.broken == alone.broken).all()
    torch.testing.assert_close(outputs, expected, rtol=1e-5, atol=1e-5)
    assert all(each.training for each in classifier.network.modules())
    assert not any(each._forward_hooks for each in classifier.network.modules())
