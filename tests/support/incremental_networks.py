"""Which small networks have, between them, every kind of operation that a window can meet?

Each is a body of a few lines that makes maps, and an end that makes logits of them. Weights are
drawn so that a window changes the logits by about as much as they are.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from networks_on_paper import drawn
from torch import Tensor, nn
from torch.nn import functional as F

Step = Callable[[Tensor], Tensor]
SIZE = (61, 67)
CLASSES = 7


class Net(nn.Module):
    """Layers and a function that uses them; then the mean of each map, and a linear layer."""

    def __init__(self, forward: Callable[..., Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.body = forward
        self.layers = nn.ModuleDict(layers)
        self.head = nn.LazyLinear(CLASSES)

    def forward(self, pixels: Tensor) -> Tensor:
        features = self.body(pixels, **self.layers)
        if features.dim() == 4:
            features = features.mean((2, 3))
        return self.head(features.flatten(1))


def conv(filters: int, kernel: int = 3, **settings) -> nn.Module:
    return nn.LazyConv2d(filters, kernel, **settings)


def norm(filters: int = 4) -> nn.Module:
    return nn.BatchNorm2d(filters)


def sequence(*parts: nn.Module) -> nn.Module:
    return Net(lambda x, body: body(x), body=nn.Sequential(*parts))


def first_norm() -> list[nn.Module]:
    """What every network starts with, so that a window changes what follows."""
    return [conv(4, padding=1), norm(), nn.ReLU(inplace=True)]


def pooled(pool: nn.Module) -> nn.Module:
    """A pooling of maps of both signs, read by a convolution that pads."""
    return sequence(conv(4, padding=1), norm(), pool, conv(5, padding=1), nn.ReLU())


def padded(*amounts: int, value: float = 0.0, before: Step = F.relu, last: nn.Module) -> nn.Module:
    """Maps with constant cells around them, read by one more layer."""
    return Net(
        lambda x, first, last: last(F.pad(before(first(x)), amounts, value=value)),
        first=nn.Sequential(conv(4, padding=1), norm()),
        last=last,
    )


def functional(step: Step, *before: nn.Module) -> nn.Module:
    """A function of the maps of a convolution, then one more convolution."""
    return Net(
        lambda x, first, last: F.relu(last(step(first(x)))),
        first=nn.Sequential(*(before or (conv(4, padding=1), norm()))),
        last=conv(5, padding=1),
    )


def _below_zero(x: Tensor) -> Tensor:
    return -F.relu(x) - 1


def _residual(x: Tensor, first, block, shortcut) -> Tensor:
    x = first(x)
    x = F.relu_(block(x) + shortcut(x))
    return x + F.relu(x)


def _identity_residual(x: Tensor, first, block) -> Tensor:
    x = first(x)
    y = block(x)
    y += x
    return F.relu_(y)


def _twice_read(x: Tensor, first, last) -> Tensor:
    x = first(x)
    active = F.relu(x)
    return last(torch.cat([active, x, F.relu(x) * 2, -x], dim=1))


def _in_place_among_readers(x: Tensor, first, one, other) -> Tensor:
    x = first(x)
    left, right = one(x), other(x)
    left = left.relu_().add_(right)
    return torch.cat([left, right.sigmoid(), x], dim=1)


def _squeeze_excite(x: Tensor, first, narrow, wide) -> Tensor:
    x = first(x)
    gate = wide(F.relu(narrow(x.mean((2, 3), keepdim=True))))
    return F.relu(x * gate.sigmoid())


def _convnext(x: Tensor, first, norm, wide, narrow) -> Tensor:
    x = first(x)
    y = norm(x.permute(0, 2, 3, 1))
    return x + narrow(F.gelu(wide(y))).permute(0, 3, 1, 2)


def _means_of_two(x: Tensor, first, last) -> Tensor:
    x = first(x)
    y = F.relu(last(x))
    return torch.cat([x.mean((2, 3)), F.adaptive_avg_pool2d(y, 1).flatten(1), y.mean((3, 2))], 1)


def _split(x: Tensor, first, last) -> Tensor:
    one, other = first(x).chunk(2, dim=1)
    return torch.cat([other, last(one)], dim=1)


def _pad_of_two(x: Tensor, first, last) -> Tensor:
    x = F.pad(first(x), (1, 2, 0, 1))
    return last(x) + F.relu(x)[:, :, 1:-1, 1:-1].mean(1, keepdim=True)


def _reused(x: Tensor, first, again, act) -> Tensor:
    x = act(first(x))
    return act(again(act(again(x))) + x)


def _fork(x: Tensor, conv, one, other) -> Tensor:
    x = conv(x)
    return F.relu(one(x)) - F.relu(other(x))


def _slopes_by_row(x: Tensor, first, slopes, last) -> Tensor:
    x = F.prelu(first(x).permute(0, 2, 3, 1), slopes.weight).permute(0, 3, 1, 2)
    return last(x)


class WithMap(nn.Module):
    """Multiplies by numbers of its own, of any shape."""

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(shape))

    def forward(self, x: Tensor) -> Tensor:
        return x * self.weight


class Standardised(nn.Conv2d):
    """A convolution whose weights are standardised before use."""

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        weight = weight / (weight.var((1, 2, 3), keepdim=True) + 1e-3).sqrt()
        return self._conv_forward(x, weight, self.bias)


def _token(x: Tensor, first, token) -> Tensor:
    x = first(x).flatten(2).transpose(1, 2)
    first_of_all = token.weight.expand(len(x), -1, -1)
    return torch.cat([first_of_all, x], dim=1).tanh().mean(1)


NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "stride and padding": lambda: sequence(
        conv(4, (5, 3), stride=(2, 3), padding=(2, 0)), norm(), nn.ReLU(), conv(6, 3, padding=1)
    ),
    "dilation": lambda: sequence(
        *first_norm(), conv(4, 3, dilation=(2, 3), padding=(2, 1)), nn.ReLU()
    ),
    "groups": lambda: sequence(*first_norm(), conv(8, 3, groups=4, padding=1, stride=2), nn.ReLU()),
    "same padding": lambda: sequence(
        *first_norm(), conv(4, 4, padding="same"), nn.ReLU(), conv(4, (2, 3), padding="same")
    ),
    "valid padding": lambda: sequence(*first_norm(), conv(4, 3, padding="valid"), nn.Tanh()),
    "steps of one cell": lambda: sequence(
        *first_norm(), conv(4, 1, stride=2), nn.ReLU(), conv(4, (1, 3), stride=(3, 1), padding=1)
    ),
    "max pool": lambda: pooled(nn.MaxPool2d(3, 2, padding=1)),
    "max pool, ceil": lambda: pooled(nn.MaxPool2d(2, 3, ceil_mode=True)),
    "max pool, dilated": lambda: pooled(nn.MaxPool2d((2, 3), (1, 2), padding=1, dilation=(2, 1))),
    "max pool of one cell": lambda: pooled(nn.MaxPool2d(1, 2)),
    "average": lambda: pooled(nn.AvgPool2d(3, 2, padding=1)),
    "average without padding": lambda: pooled(
        nn.AvgPool2d(3, 2, padding=1, count_include_pad=False)
    ),
    "average, ceil": lambda: pooled(nn.AvgPool2d((2, 4), (3, 3), padding=(1, 2), ceil_mode=True)),
    "average, ceil, without padding": lambda: pooled(
        nn.AvgPool2d((2, 4), (3, 3), padding=1, ceil_mode=True, count_include_pad=False)
    ),
    "average, divisor": lambda: pooled(
        nn.AvgPool2d((3, 2), 2, padding=1, ceil_mode=True, divisor_override=5)
    ),
    "residual": lambda: Net(
        _residual,
        first=nn.Sequential(*first_norm()),
        block=nn.Sequential(conv(6, 3, stride=2, padding=1), norm(6), nn.ReLU(), conv(6, 1)),
        shortcut=nn.Sequential(conv(6, 1, stride=2), norm(6)),
    ),
    "residual without a shortcut": lambda: Net(
        _identity_residual, first=nn.Sequential(*first_norm()), block=conv(4, 5, padding=2)
    ),
    "read many times": lambda: Net(_twice_read, first=conv(4, padding=1), last=conv(5, padding=1)),
    "in place among readers": lambda: Net(
        _in_place_among_readers,
        first=nn.Sequential(*first_norm()),
        one=conv(4, padding=1),
        other=conv(4, 3, padding=1, bias=False),
    ),
    "added to itself": lambda: functional(lambda x: F.relu(x + x)),
    "norm before convolution": lambda: sequence(
        conv(4, padding=1), nn.ReLU(), norm(), nn.ReLU(), conv(5, padding=1), norm(5), nn.ReLU()
    ),
    "norm of two kinds": lambda: Net(_fork, conv=conv(4, padding=1), one=norm(), other=norm()),
    "channels": lambda: functional(lambda x: torch.cat([x[:, 1:-1], x[:, ::2], x[:, -3:]], 1)),
    "split": lambda: Net(_split, first=nn.Sequential(*first_norm()), last=conv(3, padding=1)),
    "squeeze and excite": lambda: Net(
        _squeeze_excite, first=nn.Sequential(*first_norm()), narrow=conv(2, 1), wide=conv(4, 1)
    ),
    "channels last": lambda: Net(
        _convnext,
        first=conv(6, 7, padding=3, stride=2),
        norm=nn.LayerNorm(6),
        wide=nn.LazyLinear(12),
        narrow=nn.LazyLinear(6),
    ),
    "upsampled": lambda: functional(lambda x: F.interpolate(F.relu(x), scale_factor=2)),
    "padded unevenly": lambda: padded(2, 0, 1, 3, value=0.7, last=conv(5)),
    "padded pixels": lambda: sequence(nn.ConstantPad2d((0, 1, 2, 1), -0.5), conv(4, 3, stride=2)),
    "padded before a pool": lambda: padded(
        *(1, 2, 0, 1), value=-0.1, before=torch.neg, last=nn.MaxPool2d(3, 2)
    ),
    "padded before a pool, ceil": lambda: padded(
        *(1, 2, 0, 0), value=-0.5, before=_below_zero, last=nn.MaxPool2d(2, 3, ceil_mode=True)
    ),
    "padded before an average, ceil": lambda: padded(
        *(1, 2, 0, 1), value=3.0, last=nn.AvgPool2d(3, 4, ceil_mode=True)
    ),
    "padded twice": lambda: functional(lambda x: F.pad(F.pad(x, (1, 1, 0, 0)), (0, 2, 1, 1))),
    "padded and cut": lambda: functional(lambda x: F.pad(x, (2, -1, -2, 1))),
    "padded, then read with padding": lambda: padded(
        *(1, 0, 0, 1), value=2.0, last=conv(4, padding=1)
    ),
    "padded for two": lambda: Net(_pad_of_two, first=nn.Sequential(*first_norm()), last=conv(4, 3)),
    "reflected": lambda: functional(
        F.relu, conv(4, padding=2, padding_mode="reflect"), nn.ReplicationPad2d(1)
    ),
    "large kernel": lambda: sequence(
        *first_norm(), nn.MaxPool2d(4), conv(5, 3, padding=1), nn.ReLU(), conv(6, 7), nn.Flatten(1)
    ),
    "large strides": lambda: sequence(
        conv(4, 3, stride=7), norm(), nn.ReLU(), conv(6, 2, stride=3), nn.ReLU(), nn.Flatten(1)
    ),
    "flat": lambda: sequence(
        *first_norm(), nn.MaxPool2d(5), nn.Flatten(1), nn.LazyLinear(9), nn.ReLU(), nn.Dropout()
    ),
    "means of several": lambda: Net(
        _means_of_two, first=nn.Sequential(*first_norm()), last=conv(5, 3, stride=2)
    ),
    "adaptive": lambda: sequence(
        *first_norm(), nn.AdaptiveAvgPool2d((3, 5)), conv(4, 2), nn.AdaptiveMaxPool2d(1)
    ),
    "mean first": lambda: Net(
        lambda x, first: F.relu(first(x).mean((2, 3))), first=nn.Sequential(*first_norm())
    ),
    "slopes": lambda: sequence(
        conv(4, padding=1), nn.PReLU(), conv(4, padding=1), nn.PReLU(4), conv(4, stride=2)
    ),
    "slopes by row": lambda: Net(
        _slopes_by_row, first=conv(4, padding=1), slopes=WithMap(SIZE[0]), last=conv(4)
    ),
    "scalars": lambda: functional(lambda x: (2 * x - 0.3).clamp(-1, 1.5) / 0.5 + 1),
    "numbers by cell": lambda: sequence(
        *first_norm(), WithMap(1, 4, *SIZE), conv(4, 9, stride=8), nn.Flatten(1)
    ),
    "numbers by channel": lambda: sequence(*first_norm(), WithMap(4, 1, 1), WithMap(), conv(4, 3)),
    "numbers by row": lambda: sequence(*first_norm(), WithMap(SIZE[0], 1), conv(4, 3)),
    "a gate by cell": lambda: Net(
        lambda x, first, gate: F.relu(first(x)) * gate(x).sigmoid(),
        first=conv(4, padding=1),
        gate=conv(1, padding=1),
    ),
    "modules used twice": lambda: Net(
        _reused, first=conv(4, padding=1), again=conv(4, 3, padding=1), act=nn.ReLU(inplace=True)
    ),
    "depthwise": lambda: sequence(
        conv(6, 3, stride=2, padding=1, bias=False),
        norm(6),
        nn.ReLU6(inplace=True),
        conv(6, 3, groups=6, padding=1, bias=False),
        norm(6),
        nn.Hardswish(inplace=True),
        conv(4, 1, bias=False),
        norm(4),
    ),
    "standardised": lambda: sequence(Standardised(3, 4, 3), nn.SiLU(), Standardised(4, 4, 3)),
    "a token": lambda: Net(_token, first=conv(4, 8, stride=8), token=WithMap(1, 1, 4)),
}


def made(name: str, channels: int = 3) -> nn.Module:
    """The network of this name, always with the same weights."""
    network = NETWORKS[name]().eval()
    with torch.no_grad():
        network(torch.zeros(2, channels, *SIZE))
    return drawn(network, seed=len(name))
