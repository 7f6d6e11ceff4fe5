"""Does a study ask for the trials that it says, and refuse what no recipe has?"""

import dataclasses
import pathlib

import pytest
import torch
from networks_on_paper import noise

from interpret_kit.errors import DoesNotFit, NothingThere, UsageError
from interpret_kit.trainers.images.data import Split, TrainingData, thinned
from interpret_kit.trainers.recipe import Recipe
from interpret_kit.trainers.sweep import trial
from interpret_kit.trainers.sweep.study import read_study, shrunk, trials_of
from interpret_kit.trainers.sweep.trial import cost, fingerprint

EXAMPLES = pathlib.Path(__file__).parents[3] / "examples"
STUDIES = [*sorted((EXAMPLES / "studies").glob("*.toml")), EXAMPLES / "final.toml"]
DECISIVE = sorted((EXAMPLES / "studies" / "decisive").glob("*.toml"))
FILTERS = (16, 32, 64, 128, 256, 512, 768)
DEPTH = (32, 64, 64, 64, 64, 64)
GRIDS = {  # what varies in each committed study
    "filters_1": ("channels", [(each, 64, 64) for each in FILTERS]),
    "filters_2": ("channels", [(32, each, 64) for each in FILTERS]),
    "filters_3": ("channels", [(32, 64, 2**each) for each in range(8)]),
    "kernel": ("kernel", [5, 7, 9, 11, 13]),
    "stride": ("stride", [(1, 1, 2), (1, 2, 2), (1, 2, 1), (2, 1, 1)]),
    "pooling": ("pool", [3, 2, 0]),
    "convolutions": ("channels", [DEPTH[:each] for each in range(1, 7)]),
    "fully_connected": ("fc", [(128,) * each for each in range(5)]),
    "epochs": ("epochs", [10, 20, 30, 40, 50, 60, 70]),
    "learning_rate": ("lr", [1e-5, 1e-4, 1e-3, 1e-2, 1e-1]),
    "final": ("val_too", [True]),
}
ABOUT = '[study]\ntitle = "t"\nquestion = "q?"\n'


def write(folder, text):
    (folder / "study.toml").write_text(text)
    return folder / "study.toml"


def test_every_committed_study_is_known_here():
    assert {file.stem for file in STUDIES} == set(GRIDS)


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
def test_a_committed_study_varies_what_it_says_and_nothing_else(file):
    trials = trials_of(read_study(file))
    name, values = GRIDS[file.stem]
    first = [each.recipe for each in trials if each.place[1] == 0]
    assert [getattr(each, name) for each in first] == values
    others = [{**vars(each), name: None, "seed": None} for each in (t.recipe for t in trials)]
    assert all(each == others[0] for each in others)


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
@pytest.mark.parametrize("scale", [1.0, 0.1])
def test_every_network_of_a_committed_study_can_be_made(file, scale):
    trials = trials_of(read_study(file, scale))
    for recipe in {dataclasses.replace(each.recipe, seed=0) for each in trials}:
        counted = cost(recipe, classes=33)
        assert counted.multiply_adds > 0


@pytest.mark.parametrize("file", STUDIES, ids=lambda file: file.stem)
@pytest.mark.parametrize("scale", [0.3, 0.15, 0.02])
def test_a_committed_study_compares_as_many_recipes_at_any_scale(file, scale):
    recipes = [each.recipe for each in trials_of(read_study(file, scale))]
    assert len(set(recipes)) == len(recipes)


@pytest.mark.parametrize("file", DECISIVE, ids=lambda file: file.stem)
@pytest.mark.parametrize("scale", [1.0, 0.15])
def test_a_decisive_study_repeats_a_few_recipes_with_seeds_of_its_own(file, scale):
    decisive = read_study(file, scale)
    first = read_study(file.parents[1] / f"{file.stem.removeprefix('decide_')}.toml", scale)
    assert decisive.recipe == first.recipe
    assert not set(decisive.seeds) & set(first.seeds)
    unseeded = [
        {dataclasses.replace(each.recipe, seed=0) for each in trials_of(study)}
        for study in (decisive, first)
    ]
    assert len(unseeded[0]) == len(decisive.grid)
    assert unseeded[0] < unseeded[1]


def test_the_variants_of_the_final_recipe_differ_from_it_where_they_say():
    final = trials_of(read_study(EXAMPLES / "final.toml"))[0].recipe
    variants = [each.recipe for each in trials_of(read_study(EXAMPLES / "final_variants.toml"))]
    varied = {(each.kernel, each.channels, each.shift) for each in variants}
    assert len(variants) == len(varied) == 8
    halves = tuple(each // 2 for each in final.channels)
    assert {each.channels for each in variants} == {halves, (halves[1], *halves[1:])}
    names = ("channels", "kernel", "shift", "epochs", "val_too", "test", "precision")
    same = {name: getattr(final, name) for name in names}
    for each in variants:
        assert (each.epochs, each.val_too, each.test) == (final.epochs // 8, False, False)
        assert dataclasses.replace(each, **same) == final


def test_only_the_final_study_looks_at_the_test_images():
    tested = {file.stem for file in STUDIES if trials_of(read_study(file))[0].recipe.test}
    assert tested == {"final"}


def test_the_last_choice_varies_fastest_and_each_recipe_has_all_seeds(tmp_path):
    text = ABOUT + "seeds = [3, 5]\n[vary]\nkernel = [1, 3]\nfc = [[], [4]]\n"
    study = read_study(write(tmp_path, text))
    assert study.labels == (
        "kernel 1, fc none",
        "kernel 1, fc 4",
        "kernel 3, fc none",
        "kernel 3, fc 4",
    )
    recipes = [each.recipe for each in trials_of(study)]
    assert [(each.kernel, each.fc, each.seed) for each in recipes] == [
        (1, (), 3), (1, (), 5), (1, (4,), 3), (1, (4,), 5),
        (3, (), 3), (3, (), 5), (3, (4,), 3), (3, (4,), 5),
    ]  # fmt: skip


def test_a_study_may_be_one_recipe_and_its_data_another(tmp_path):
    text = ABOUT + '[recipe]\nlr = 1\ndata = "here"\n'
    study = read_study(write(tmp_path, text), data="there")
    (trial,) = trials_of(study)
    assert study.labels == ("t",)
    assert trial.recipe == Recipe(data="there", lr=1.0, seed=0, test=False)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[study", "is not valid TOML"),
        (ABOUT + "[recipes]\n", "no section 'recipes'; similar names: recipe"),
        (ABOUT + "tilte = 1\n", r"no field of \[study\] 'tilte'; similar names: title"),
        (ABOUT + "[recipe]\nkernels = 3\n", "field of a recipe 'kernels'; similar names: kernel"),
        (ABOUT + "[vary]\nepoch = [3]\n", "no field of a recipe 'epoch'; similar names: epochs"),
        (ABOUT + "[recipe]\nseed = 3\n", r"list them as `seeds` of the study"),
        (ABOUT + "[recipe]\nlr = true\n", "`lr` is True; it must be: number"),
        (ABOUT + "[recipe]\nchannels = 3\n", "`channels` is 3; it must be: list of integers"),
        (
            ABOUT + '[vary]\nactivation = ["relu", "gelo"]\n',
            "`activation` is 'gelo'; similar names: gelu",
        ),
        (ABOUT + '[recipe]\nactivation = "gelo"\n', "`activation` is 'gelo'; similar names: gelu"),
        (
            ABOUT + "[vary]\nkernel = [3, [3, 0]]\n",
            "`kernel` is 0; it must be an integer of at least 1",
        ),
        (ABOUT + "[vary]\nchannels = [[8], [8, -8]]\n", "`channels` is -8; it must be an integer"),
        (ABOUT + "[vary]\nfc = [[], [0]]\n", "`fc` is 0; it must be an integer of at least 1"),
        (ABOUT + "[vary]\ndropout = [0, 1]\n", "`dropout` is 1; it must be at least 0 and below 1"),
        (ABOUT + "[recipe]\nlr = 0\n", "`lr` is 0; it must be above 0"),
        (
            ABOUT + '[recipe]\noptimizer = "adamv"\n',
            "`optimizer` is 'adamv', which timm does not have",
        ),
        (
            ABOUT + '[vary]\narch = ["resnet81"]\n',
            "`arch`: 'resnet81' is not a file, run folder or",
        ),
        (ABOUT + '[vary]\nkernel = [3, "4"]\n', "'4'; it must be: integer or list of integers"),
        (
            ABOUT + "[vary]\nkernel = 3\n",
            r"\[vary\] kernel is 3; it must be a list of at least one",
        ),
        (
            ABOUT + "[vary]\nkernel = []\n",
            r"\[vary\] kernel is \[\]; it must be a list of at least one",
        ),
        (ABOUT + "[vary]\nkernel = [3, 3]\n", "a value is listed twice"),
        (ABOUT + "[recipe]\nlr = 1\n[vary]\nlr = [2]\n", r"`lr` is in \[recipe\] and in \[vary\]"),
        (ABOUT + "seeds = [1, -1]\n", "they must be integers of at least 0"),
        (ABOUT + "report = [1, 2]\n", "one accuracy in percent for each of 1 recipes"),
        ('[study]\ntitle = "t"\n', "has no question"),
        ("study = 3\n", r"study is 3; it must be a section \[study\]"),
    ],
)
def test_a_study_that_no_recipe_could_follow_is_refused_by_the_line_that_is_wrong(
    tmp_path, text, message
):
    with pytest.raises(UsageError, match=message):
        read_study(write(tmp_path, text))


def test_values_that_only_some_recipes_can_have_are_left_to_their_trials(tmp_path):
    text = ABOUT + "[recipe]\ncrop = 0.5\npretrained = true\n[vary]\naugment = [true, false]\n"
    text += "drop_path = [0.0, 0.1]\nkernel = [3, 99]\n"
    assert len(trials_of(read_study(write(tmp_path, text)))) == 8


def test_what_is_varied_cannot_be_changed_for_all(tmp_path):
    file = write(tmp_path, ABOUT + '[vary]\ndata = ["one", "two"]\n')
    with pytest.raises(UsageError, match="the study varies `data`; drop `data`"):
        read_study(file, data="three")


def test_a_study_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NothingThere, match=r"cannot read .*none\.toml"):
        read_study(tmp_path / "none.toml")


def test_a_quarter_of_the_work_is_a_quarter_of_epochs_and_images_and_half_the_widths():
    whole = Recipe(channels=(64, 10, 1), fc=(128,), epochs=10, data_share=0.5)
    small = shrunk(whole, 0.25)
    assert (small.channels, small.fc) == ((32, 5, 1), (64,))
    assert (small.epochs, small.data_share) == (2, 0.125)
    assert shrunk(whole, 1.0) == whole
    assert shrunk(Recipe(arch="resnet18"), 0.25).channels == Recipe().channels


def test_what_a_study_tells_apart_stays_apart_when_it_is_shrunk():
    # halved, 1 to 8 are 0.5, 1, 2, 4; of 5 epochs and 6, a quarter is 1.25 and 1.5
    vary = {"channels": [[1, 64], [2, 64], [4, 64], [8, 64]], "epochs": [5, 6, 400]}
    small = {
        (channels[0], epochs): shrunk(Recipe(channels=channels, epochs=epochs), 0.25, vary)
        for channels in vary["channels"]
        for epochs in vary["epochs"]
    }
    assert [small[each, 400].channels for each in (1, 2, 4, 8)] == [
        (1, 32), (2, 32), (3, 32), (4, 32),
    ]  # fmt: skip
    assert [small[1, each].epochs for each in (5, 6, 400)] == [1, 2, 100]


def test_a_network_costs_its_weights_once_for_each_cell_they_are_used_in():
    # conv1: 3 -> 4 filters of 3x3 on 8x8 cells; pooled to 4x4; head: 4*4*4 features, 5 classes
    recipe = Recipe(size=8, channels=(4,), fc=(), batch_norm=False)
    counted = cost(recipe, classes=5)
    assert counted.multiply_adds == 4 * 3 * 9 * 64 + 64 * 5
    assert counted.parameters == 4 * 3 * 9 + 4 + 64 * 5 + 5


def test_a_trial_is_called_after_all_that_decides_its_numbers(monkeypatch):
    recipe = Recipe(lr=0.01)
    name = fingerprint(recipe, "images")
    assert fingerprint(Recipe(lr=0.01), "images") == name
    others = {
        fingerprint(Recipe(lr=0.02), "images"),
        fingerprint(Recipe(lr=0.01, seed=1), "images"),
        fingerprint(recipe, "others"),
    }
    monkeypatch.setattr(trial, "NUMBERS", trial.NUMBERS + 1)
    others.add(fingerprint(recipe, "images"))
    monkeypatch.undo()
    monkeypatch.setattr(trial, "versions", lambda: {"torch": "9"})
    others.add(fingerprint(recipe, "images"))
    assert len(others | {name}) == 6


def test_trials_keep_their_names_when_recipes_get_another_field(monkeypatch):
    name = fingerprint(Recipe(lr=0.01), "images")

    @dataclasses.dataclass(frozen=True)
    class Later(Recipe):
        another: float = 0.0

    monkeypatch.setattr(trial, "Recipe", Later)
    assert fingerprint(Later(lr=0.01), "images") == name
    assert fingerprint(Later(lr=0.01, another=1.0), "images") != name


def test_a_default_that_changes_gives_all_trials_other_names():
    # A trial's name leaves out what is at its default: raise `trial.NUMBERS` with this list.
    assert trial.NUMBERS == 4
    defaults = {field.name: field.default for field in dataclasses.fields(Recipe)}
    known = {
        "data_share": 1.0, "size": 64, "arch": "ikit_convnet", "pretrained": False,
        "channels": (16, 32, 64, 64, 64), "kernel": 3, "stride": 1, "padding": None, "pool": 2,
        "pool_stride": None, "batch_norm": True, "activation": "relu", "global_pool": False,
        "fc": (128,), "dropout": 0.0, "epochs": 10, "batch_size": 48, "lr": 0.003,
        "optimizer": "adamw", "weight_decay": 0.05, "schedule": "cosine", "warmup": 0.15,
        "augment": True, "shift": 0.0625, "crop": 1.0, "randaugment": 0, "magnitude": 5.0,
        "colour": 0.0, "erase": 0.0, "mixup": 0.0, "cutmix": 0.0,
        "label_smoothing": 0.0, "clip": 0.0, "ema": 0.0, "drop_path": 0.0, "patience": 0,
        "val_too": False, "test": True, "seed": 0, "precision": "auto", "compile": "auto",
    }  # fmt: skip
    assert {name: defaults[name] for name in known} == known


def test_a_share_of_the_training_images_is_one_of_each_class_and_always_the_same():
    pixels = torch.from_numpy(noise(15, (4, 4)))
    pixels[:, 0, 0, 0] = torch.arange(15)  # which image it is
    labels = torch.tensor([0] * 10 + [1] * 4 + [2])
    data = TrainingData(Split(pixels, labels), None, None, ("a", "b", "c"), ())
    half, fifth = thinned(data, 0.5).train, thinned(data, 0.2).train
    assert half.labels.tolist() == [0] * 5 + [1] * 2 + [2]
    assert fifth.labels.tolist() == [0] * 2 + [1, 2]
    which = half.pixels[:, 0, 0, 0].tolist()
    assert which == sorted(which)
    assert set(fifth.pixels[:, 0, 0, 0].tolist()) <= set(which)
    assert labels[which].tolist() == half.labels.tolist()
    assert which == thinned(data, 0.5).train.pixels[:, 0, 0, 0].tolist()


@pytest.mark.parametrize("share", [0.0, 1.5])
def test_a_share_that_is_none_is_refused(share):
    with pytest.raises(DoesNotFit, match=f"`data_share` is {share:g}; it must be above 0"):
        Recipe(data_share=share)


def test_a_study_that_is_not_there_names_what_is(tmp_path):
    with pytest.raises(NothingThere, match=r"No such file or directory; see examples/studies/"):
        read_study(tmp_path / "kernle.toml")
    (tmp_path / "kernel.toml").touch()
    with pytest.raises(NothingThere, match=r"similar names: kernel\.toml"):
        read_study(tmp_path / "kernle.toml")
