"""Are images in tar and Parquet files the same, to the last byte, as in class folders?"""

import pytest
from networks_on_paper import small_classifier
from same_images import in_folder, in_parquet, in_tars
from small_analyses import bytes_of, shards_of_five  # noqa: F401 - a fixture

from interpret_kit.analyses.misclassifications import Misclassifications
from interpret_kit.analyses.top_patches import TopPatches
from interpret_kit.data.load import load_images

FEW = [TopPatches(layer="conv1", top=3), Misclassifications(ablate="2:1,4", mistakes=5)]
each_analysis = pytest.mark.parametrize("analysis", FEW, ids=lambda each: each.name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return in_folder(tmp_path_factory.mktemp("same"))


@pytest.fixture(scope="module", params=[in_tars, in_parquet], ids=lambda make: make.__name__)
def images(request, tmp_path_factory):
    return request.param(tmp_path_factory.mktemp("same"))


@each_analysis
def test_a_result_has_the_bytes_of_one_from_a_folder(analysis, folder, images):
    (arrays, facts, *_), (same, others, *_) = (
        bytes_of(analysis.run(small_classifier(), each)) for each in (folder, images)
    )
    assert same == arrays
    assert others == facts


@each_analysis
def test_a_job_is_resumed_with_the_same_bytes(analysis, images, tmp_path):
    whole = bytes_of(analysis.run(small_classifier(), images, job=tmp_path / "job"))
    (tmp_path / "job" / "shards" / "000001.state").unlink()
    again = load_images(images.source)
    resumed = analysis.run(small_classifier(), again, job=tmp_path / "job", resume=True)
    assert bytes_of(resumed) == whole
