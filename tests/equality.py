"""Exact comparison of what environments return."""

import numpy as np


def differences(found, expected, path="it"):
    """Return where two values differ in type, dtype, shape, keys or value; empty if nowhere."""
    if isinstance(expected, dict):
        if not isinstance(found, dict) or found.keys() != expected.keys():
            return [f"{path}: {found!r} instead of {expected!r}"]
        return [d for k in expected for d in differences(found[k], expected[k], f"{path}[{k!r}]")]
    if isinstance(expected, (list, tuple)):
        if type(found) is not type(expected) or len(found) != len(expected):
            return [f"{path}: {found!r} instead of {expected!r}"]
        pairs = enumerate(zip(found, expected, strict=True))
        return [d for i, (f, e) in pairs for d in differences(f, e, f"{path}[{i}]")]
    if isinstance(expected, np.ndarray):
        is_alike = isinstance(found, np.ndarray) and (found.dtype, found.shape) == (
            expected.dtype,
            expected.shape,
        )
        if is_alike and expected.dtype == object:
            return differences(list(found.ravel()), list(expected.ravel()), path)
        is_same = is_alike and np.array_equal(found, expected)
    else:
        is_same = type(found) is type(expected) and bool(found == expected)
    return [] if is_same else [f"{path}: {found!r} instead of {expected!r}"]


def assert_same(found, expected, path="it"):
    """Fail and say where, unless two values are equal in every bit and type."""
    found_differences = differences(found, expected, path)
    assert not found_differences, "\n".join(found_differences[:10])
