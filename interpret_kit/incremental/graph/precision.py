"""May a kernel be replaced by another one, or has the user allowed fewer bits for one of them?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def is_exact(tensor: Tensor) -> bool:
    """Whether the CPU computes with it in float32: a setting for each kernel allows less."""
    settings: Any = torch.backends.mkldnn  # its types do not know of them
    plain = tensor.device.type == "cpu" and tensor.dtype == torch.float32
    both = settings.conv, settings.matmul
    return plain and all(each.fp32_precision in ("none", "ieee") for each in both)
