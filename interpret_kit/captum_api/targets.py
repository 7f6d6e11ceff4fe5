"""Which class is attributed, image by image: by index, by name, one for all or one for each?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from interpret_kit.errors import ClassNotFound, UsageError
from interpret_kit.models.arguments import target_argument

if TYPE_CHECKING:
    from collections.abc import Iterable

    from interpret_kit.data.image_set import ImageSet
    from interpret_kit.models.classes.lookup import HasClasses


def targets_by_id(target: Any, classifier: HasClasses, images: ImageSet) -> dict[int, int]:
    """Look up what `target_argument` has read: the class of each image, by its id.

    Raises:
        ClassNotFound: if the classifier has no such class.
        UsageError: if there are fewer or more classes than images.
    """
    several = isinstance(target, tuple)
    if several:
        _check_count(len(target), len(images), "images")
    wanted = indices_of(target, classifier)
    return dict(zip(images.ids.tolist(), wanted if several else wanted * len(images), strict=True))


def indices_of(target: Any, classifier: HasClasses) -> list[int]:
    """Look up what `target_argument` has read: one class, or one for each image.

    Raises:
        ClassNotFound: if the classifier has no such class.
    """
    names = target if isinstance(target, tuple) else [target]
    try:
        return [classifier.class_index(each) for each in names]
    except ClassNotFound as error:
        raise ClassNotFound(f"{error}; or give predicted, or label") from None


def as_captum_takes_it(target: Any, function: object, count: int) -> Any:
    """Turn names, arrays and ranges into the indices that Captum knows; the rest stays.

    Args:
        target: of an attribution, in any form: Captum's own, which include None and tuples, or a
            name, an array or a range.
        function: what is attributed; a classifier, or its ``probabilities``, has names.
        count: how many inputs there are.

    Raises:
        ClassNotFound: a name that the classifier does not have.
        UsageError: a name where there are none, or fewer or more targets than inputs.
    """
    numel = getattr(target, "numel", None)  # of a tensor: Captum takes a single number for all
    if target is None or isinstance(target, tuple) or (callable(numel) and numel() == 1):
        return target
    if isinstance(target, list) and any(isinstance(each, tuple) for each in target):
        return target
    read = target if _is_negative(target) else target_argument(target)
    if not isinstance(read, tuple):
        return _index(read, function)
    _check_count(len(read), count, "inputs")
    return [_index(each, function) for each in read]


def check_columns(targets: Iterable[int | None], count: int) -> None:
    """Refuse a class that the outputs do not have.

    Raises:
        ClassNotFound: naming it, and how many there are.
    """
    for each in targets:
        if each is not None and not -count <= each < count:
            raise ClassNotFound(
                f"no class {each} in the outputs; there are {count}, from 0 to {count - 1}"
            )


def _is_negative(target: Any) -> bool:
    return type(target) is int and target < 0  # from the last class backwards


def _index(target: Any, function: object) -> int:
    if not isinstance(target, str):
        index: int = target
        return index
    owner = getattr(function, "__self__", function)
    if not hasattr(owner, "class_index"):
        raise ClassNotFound(
            f"target {target!r} is a name, and a plain network has none: give an index, as in "
            "target=2, or wrap the network in ik.Classifier(..., classes=[...])"
        )
    found: int = owner.class_index(target)
    return found


def _check_count(targets: int, count: int, what: str) -> None:
    if targets != count:
        raise UsageError(
            f"target names {targets} {'class' if targets == 1 else 'classes'} for {count} {what}; "
            "give one class for all, or one for each"
        )
