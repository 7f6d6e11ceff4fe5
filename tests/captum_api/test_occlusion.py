import warnings

import captum.attr
import pytest
import torch
from float_rules import assert_exact, assert_near, in_double, terms_of
from incremental_answers import noise_image
from networks_on_paper import SmallNet, drawn, plain, small_classifier
from torch import nn

import interpret_kit.captum_api.occlusion
import interpret_kit.incremental.occlusion.backend
from interpret_kit import IncrementalOcclusion
from interpret_kit.errors import BadWeights, DoesNotFit, UsageError
from interpret_kit.incremental import worth
from interpret_kit.incremental.graph.executor import RunnableGraph
from interpret_kit.incremental.occlusion import full_passes
from interpret_kit.incremental.occlusion.backend import PartialOcclusion
from interpret_kit.models.layers.hooks import ablated

SIZE = (12, 10)
WINDOW, STRIDES = (3, 5, 4), (3, 3, 2)  # windows end beyond both edges


@pytest.fixture(autouse=True)
def quick(monkeypatch, auto_tries):
    """Evaluate incrementally wherever possible; the list counts how often."""
    used = []
    image = PartialOcclusion.image
    monkeypatch.setattr(PartialOcclusion, "image", lambda *given: used.append(1) or image(*given))
    return used


@pytest.fixture
def network():
    return SmallNet().eval()


def noise_images(count=3, size=SIZE):
    return torch.cat([noise_image(k, size=size) for k in range(count)])


def assert_captums(function, *arguments, **settings):
    """Compare with Captum's own in float32 and float64; it needs eval mode to be set before."""
    ours, theirs = both(function, *arguments, **settings)
    double = in_double(getattr(function, "__self__", function))
    given, named = in_float64(arguments), in_float64(settings)
    same = getattr(double, function.__name__) if hasattr(function, "__self__") else double
    exact, truth = both(same, *given, **named)
    assert truth.abs().max() > 1e-3
    inputs = given[0] if given else named["inputs"]
    inputs = inputs[0] if isinstance(inputs, tuple) else inputs
    scale = terms_of(double.network if isinstance(double, Then) else double, inputs)
    assert_exact(exact, truth, scale)
    if ours.dtype == torch.float32:
        assert_near(ours, truth, theirs=theirs, terms=scale)


def both(function, *arguments, **settings):
    """Maps by our way and by Captum's."""
    ours = IncrementalOcclusion(function).attribute(*arguments, **settings)
    with torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = captum.attr.Occlusion(function).attribute(*arguments, **settings)
    if isinstance(theirs, tuple):
        assert isinstance(ours, tuple)
        (ours,), (theirs,) = ours, theirs
    assert (ours.shape, ours.dtype) == (theirs.shape, theirs.dtype)
    return ours, theirs


def in_float64(given):
    """Tensors of floats among arguments as float64."""
    if isinstance(given, dict):
        return {name: in_float64(each) for name, each in given.items()}
    if isinstance(given, tuple):
        return tuple(map(in_float64, given))
    return (
        given.double() if isinstance(given, torch.Tensor) and given.is_floating_point() else given
    )


def assert_near_captums(ours, network, seen, **settings):
    """Compare maps that were made before, of class 1, with Captum's."""
    settings = {"strides": STRIDES, "target": 1, **settings}
    double = in_double(network)
    with torch.no_grad():
        theirs = captum.attr.Occlusion(network).attribute(seen, WINDOW, **settings)
        truth = captum.attr.Occlusion(double).attribute(seen.double(), WINDOW, **settings)
    assert_near(ours, truth, theirs=theirs, terms=terms_of(network, seen))


@pytest.mark.parametrize(
    "target",
    [2, -1, [4, 0, 1], torch.tensor([4, 0, 1]), torch.tensor(3), torch.tensor([3]), None],
    ids=str,
)
def test_any_target_gets_captums_maps(network, quick, target):
    assert_captums(network, noise_images(), WINDOW, STRIDES, target=target)
    assert len(quick) == 2 * 3


@pytest.mark.parametrize(
    "baselines",
    [None, 0, 0.7, -2, noise_image(9, size=SIZE), noise_images(4)[1:]],
    ids=lambda each: str(each)[:6],
)
def test_any_baseline_gets_captums_maps(network, quick, baselines):
    assert_captums(network, noise_images(), WINDOW, STRIDES, baselines=baselines, target=1)
    assert len(quick) == 2 * 3


@pytest.mark.parametrize(
    ("window", "strides"),
    [
        ((3, 5, 4), None),
        ((3, 5, 4), 3),
        ((3, 5, 4), (1, 2, 4)),
        ((3, 1, 1), (3, 1, 1)),
        ((3, 12, 10), (3, 1, 1)),
        ((3, 12, 3), (3, 50, 2)),  # one row of windows: its stride does not count
        ((3, 7, 10), (2, 5, 9)),
    ],
)
def test_any_window_and_stride_get_captums_maps(network, quick, window, strides):
    assert_captums(network, noise_images(2), window, strides, target=1)
    assert len(quick) == 2 * 2


def test_pixels_may_be_given_to_a_classifier_or_its_probabilities(quick):
    classifier = small_classifier().eval()
    pixels = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    for function in (classifier, classifier.probabilities):
        for baselines in (0.5, pixels.flip(0)):
            assert_captums(function, pixels, WINDOW, STRIDES, baselines, target=[1, 2])
    assert len(quick) == 2 * 8


def test_a_gray_classifier_is_asked_about_pixels_in_colour(quick):
    network = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(320, 1))
    classifier = plain(drawn(network), SIZE)
    gray = type(classifier)(classifier.network, size=SIZE, mean=(0.4,), std=(0.3,)).eval()
    pixels = torch.rand(2, 3, *SIZE, generator=torch.Generator().manual_seed(0))
    assert_captums(gray.probabilities, pixels, WINDOW, STRIDES, 0.5, target=1)
    assert len(quick) == 2 * 2


def test_double_precision_stays(network, quick):
    assert_captums(network.double(), noise_images(1).double(), WINDOW, STRIDES, target=1)
    assert len(quick) == 2


# --- what is left to Captum ---


class Then(nn.Module):
    """A network, and a function of its answers."""

    def __init__(self, function):
        super().__init__()
        self.network, self.function = SmallNet().eval(), function

    def forward(self, pixels, *more):
        return self.function(self.network(pixels), *more)


TWO = {
    "inputs": noise_images(2),
    "sliding_window_shapes": WINDOW,
    "strides": (1, 3, 2),
    "target": 1,
}
CASES = {
    "a function": (Then(torch.tanh).forward, TWO),
    "a tuple": (SmallNet().eval(), {**TWO, "inputs": (noise_images(2),)}),
    "some channels": (SmallNet().eval(), {**TWO, "sliding_window_shapes": (1, 5, 4)}),
    "more arguments": (Then(torch.mul), {**TWO, "additional_forward_args": (2.0,)}),
    "a vector": (Then(lambda scores: scores[:, 0]), {**TWO, "target": None}),
    "one number": (Then(lambda scores: scores[:, 0].sum()), {**TWO, "target": None}),
    "scores in two dimensions": (
        Then(lambda scores: torch.stack([scores, -scores], 2)),
        {**TWO, "target": (1, 0)},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_calls_that_cannot_be_incremental_return_captums_own_result(quick, name):
    function, given = CASES[name]
    assert_captums(function, **given)
    assert not quick


def test_inputs_that_are_not_finite_get_captums_own_maps(quick, caplog):
    # A mean that holds an infinity is NaN once that is subtracted; computed again, it is finite.
    network = nn.Sequential(nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Tanh())
    occlusion, seen = IncrementalOcclusion(network), noise_images(2)
    occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    assert quick
    for value in (torch.inf, torch.nan):
        seen[1, 1, 4, 4] = value
        ours = occlusion.attribute(seen, WINDOW, STRIDES, target=1)
        theirs = captum.attr.Occlusion(network).attribute(seen, WINDOW, STRIDES, target=1)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0, equal_nan=True)
    assert len(quick) == 2
    assert "rest of its batch" not in caplog.text
    with pytest.raises(UsageError, match="not available: the inputs are not finite, or the netw"):
        IncrementalOcclusion(network, "incremental").attribute(seen, WINDOW, STRIDES, target=1)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"sliding_window_shapes": (3, 13, 4)}, "cannot exceed input dimensions"),
        ({"strides": (3, 6, 2)}, "cannot be larger than sliding window"),
    ],
)
def test_what_captum_refuses_is_refused(network, changed, said):
    given = {"sliding_window_shapes": WINDOW, "strides": STRIDES, "target": 1, **changed}
    with pytest.raises(AssertionError, match=said):
        captum.attr.Occlusion(network).attribute(noise_images(2), **given)
    with pytest.raises(DoesNotFit, match=r"are larger than the inputs|leave gaps between windows"):
        IncrementalOcclusion(network).attribute(noise_images(2), **given)


def test_targets_that_are_not_one_for_each_input_are_refused(network):
    with pytest.raises(UsageError, match="target names 1 class for 2 inputs; give one class for"):
        IncrementalOcclusion(network).attribute(noise_images(2), WINDOW, STRIDES, target=[1])


def test_it_is_one_of_captums_occlusions(network):
    assert isinstance(IncrementalOcclusion(network), captum.attr.Occlusion)


# --- the network, before and after ---


def test_a_network_in_train_mode_is_asked_in_eval_mode_and_comes_back_as_it_was(quick):
    network = SmallNet().train()
    network.norm2.eval()
    before = {name: each.clone() for name, each in network.state_dict().items()}
    seen = noise_images(2)
    ours = IncrementalOcclusion(network).attribute(seen, WINDOW, STRIDES, target=1)
    assert len(quick) == 2
    assert network.training
    assert network.norm1.training
    assert not network.norm2.training
    for name, each in network.state_dict().items():
        assert torch.equal(each, before[name]), name
    assert torch.is_grad_enabled()
    assert_near_captums(ours, network.eval(), seen)
    assert not ours.requires_grad


def _step(network):
    optimizer = torch.optim.SGD(network.parameters(), lr=0.01)
    network(noise_images(2)).logsumexp(1).sum().backward()
    optimizer.step()


CHANGES = {
    "an optimizer's step": _step,
    "a weight behind autograd's back": lambda net: net.conv1.weight.data.mul_(-1),
    "a running mean": lambda net: net.norm1.running_mean.add_(1),
    "a hook": lambda net: net.act1.register_forward_hook(lambda *given: given[-1] * 2),
    "a number that its Python reads": lambda net: setattr(net.norm1, "eps", 5.0),
    "another module": lambda net: setattr(net, "act1", nn.Tanh()),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_network_that_was_changed_is_traced_again(network, quick, name):
    occlusion, seen = IncrementalOcclusion(network), noise_images(1)
    before = occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    CHANGES[name](network)
    after = occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    assert (before - after).abs().max() > 1e-3
    assert len(quick) == 2
    assert_near_captums(after, network, seen)


class Masked(nn.Module):
    """A network of which the last class is excluded, scaled by what no hash covers."""

    def __init__(self):
        super().__init__()
        self.network, self.scale = SmallNet(), torch.tensor(1.0)

    def forward(self, pixels):
        scores = self.network(pixels) * self.scale
        return torch.cat([scores[:, :-1], torch.full_like(scores[:, :1], -torch.inf)], 1)


def test_a_change_is_noticed_beside_a_class_that_is_excluded(quick):
    network = Masked().eval()
    occlusion, seen = IncrementalOcclusion(network), noise_images(1)
    before = occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    network.scale = torch.tensor(3.0)
    after = occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    torch.testing.assert_close(after, 3 * before)
    assert len(quick) == 3, "the first one of the second call is stale"


@pytest.mark.parametrize("engine", ["auto", "incremental", "full"])
def test_weights_that_diverge_between_two_calls_are_refused(network, engine):
    occlusion, seen = IncrementalOcclusion(network, engine), noise_images(1)
    before = occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    kept = network.norm1.running_var.clone()
    network.norm1.running_var.data[1] = torch.nan
    for _ in range(2):
        with pytest.raises(BadWeights, match=r"'norm1.running_var' holds values .* not finite"):
            occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    network.norm1.running_var.data.copy_(kept)
    assert torch.equal(occlusion.attribute(seen, WINDOW, STRIDES, target=1), before)


def test_weights_are_looked_through_again_only_if_they_changed(network, monkeypatch):
    looked = []
    monkeypatch.setattr(
        interpret_kit.captum_api.occlusion, "refuse_not_finite", lambda *_: looked.append(1)
    )
    occlusion, seen = IncrementalOcclusion(network), noise_images(1)
    for _ in range(3):
        occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    assert len(looked) == 1
    network.conv1.weight.data.mul_(-1)
    occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    assert len(looked) == 2


def test_a_forward_pass_is_priced_once_however_many_calls_are_too_few_for_a_trace(
    network, monkeypatch, quick
):
    monkeypatch.setattr(worth, "MARGIN", 0.0)
    counted, count = [], full_passes.work_of
    monkeypatch.setattr(full_passes, "work_of", lambda *given: counted.append(1) or count(*given))
    occlusion, seen = IncrementalOcclusion(network), noise_images(1)
    for _ in range(3):
        occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    assert not quick
    assert not occlusion._backend.settled
    assert len(counted) == 1
    network.conv1.weight.data.mul_(-1)
    occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    assert len(counted) == 2


def test_an_image_is_run_once_without_a_window_by_either_way(network, monkeypatch):
    occlusion, seen, passes = IncrementalOcclusion(network), noise_images(3), []
    occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    run, forward = RunnableGraph.run, SmallNet.forward
    monkeypatch.setattr(
        RunnableGraph, "run", lambda self, x, keep: passes.append(len(x)) or run(self, x, keep)
    )
    monkeypatch.setattr(
        SmallNet, "forward", lambda self, x: passes.append(-len(x)) or forward(self, x)
    )
    occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    assert passes == [-3, 1, 1, 1]  # by the network, all together; by the graph, one by one


@pytest.mark.parametrize("changed", [(0, 0), (600, 90), (-1, -1)], ids=str)
def test_every_number_of_a_large_weight_is_read(network, monkeypatch, changed):
    network.head = nn.Sequential(wide := nn.Linear(180, 8000), nn.ReLU(), nn.Linear(8000, 5))
    asked, occlusion, seen = [], IncrementalOcclusion(network), noise_images(1)
    module, traced = (
        interpret_kit.captum_api.occlusion,
        interpret_kit.incremental.occlusion.backend.occlusion_backend,
    )
    monkeypatch.setattr(
        module, "occlusion_backend", lambda *given, **how: asked.append(1) or traced(*given, **how)
    )
    for _ in range(2):
        occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    assert len(asked) == 1
    with torch.no_grad():
        wide.weight[changed] += 1e-6  # too little to be heard in the answer
    occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    assert len(asked) == 2


def test_a_filter_may_be_ablated_between_two_calls(network, quick):
    occlusion, seen = IncrementalOcclusion(network), noise_images(1)
    before = occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    with ablated(network, [("conv1", 1)], [0]):
        altered = occlusion.attribute(seen, WINDOW, STRIDES, target=1)
        assert_near_captums(altered, network, seen)
    assert (before - altered).abs().max() > 1e-3
    again = occlusion.attribute(seen, WINDOW, STRIDES, target=1)
    torch.testing.assert_close(before, again, rtol=0, atol=0)


def test_a_network_whose_hook_changed_is_traced_again(network, quick):
    silent = []  # a filter

    def hook(_module, _inputs, output):
        output = output.clone()
        for each in silent:
            output[:, each] = 0
        return output

    seen = torch.zeros(1, 3, *SIZE)  # filter 2 fires beside a window only
    network.conv1.bias.data[2] = network.norm1.running_mean[2]
    network.norm1.bias.data[2] = -0.01
    network.act1.register_forward_hook(hook)
    occlusion = IncrementalOcclusion(network)
    settings = {"strides": STRIDES, "target": 1, "baselines": 2.0}
    before = occlusion.attribute(seen, WINDOW, **settings)
    assert quick
    silent.append(2)
    after = occlusion.attribute(seen, WINDOW, **settings)
    assert (before - after).abs().max() > 1e-3
    assert_near_captums(after, network, seen, baselines=2.0)


def test_the_same_question_is_traced_once(network, monkeypatch):
    made = []
    start = PartialOcclusion.__init__
    monkeypatch.setattr(
        PartialOcclusion,
        "__init__",
        lambda *given, **how: made.append(1) or start(*given, **how),
    )
    occlusion = IncrementalOcclusion(network)
    for k in range(3):
        occlusion.attribute(noise_images(k + 1), WINDOW, STRIDES, target=k)
    assert len(made) == 1
    occlusion.attribute(noise_images(1), (3, 4, 4), STRIDES, target=1)
    assert len(made) == 2


def test_a_network_that_cannot_be_traced_is_tried_once(caplog):
    class Branching(SmallNet):
        def forward(self, pixels):
            return super().forward(pixels if pixels.sum() > 1e9 else pixels * 2)

    network = Branching().eval()
    occlusion = IncrementalOcclusion(network)
    for _ in range(3):
        ours = occlusion.attribute(noise_images(2), WINDOW, STRIDES, target=1)
    assert_near_captums(ours, network, noise_images(2))
    said = [each for each in caplog.records if each.name.startswith("interpret_kit")]
    assert len(said) == 1


def test_inputs_stay_as_they_are(network):
    seen = noise_images(2).requires_grad_()
    before = seen.detach().clone()
    IncrementalOcclusion(network).attribute(seen, WINDOW, STRIDES, target=1)
    assert torch.equal(seen, before)
    assert seen.grad is None


@pytest.mark.parametrize("shown", [True, False])
def test_progress_is_shown_where_it_is_asked_for(network, quick, capsys, shown):
    IncrementalOcclusion(network).attribute(
        noise_images(2), WINDOW, STRIDES, target=1, show_progress=shown
    )
    assert quick
    # 4 rows and 4 columns of windows on each of two images
    assert ("attribution: 100%" in (message := capsys.readouterr().err)) == shown
    assert ("32/32" in message) == shown
