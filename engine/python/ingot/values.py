"""Values on both sides of the library: NumPy arrays, DLPack and lists in Python, ingot_tensor in C."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from ._native import ffi, lib

from_buffer, memmove = ffi.from_buffer, ffi.memmove

try:  # the types that NumPy has no name for, where the package is there
    import ml_dtypes
except ImportError:
    ml_dtypes = None

#: ONNX's name, ONNX's number and NumPy's type of each element type.
_TYPES = [
    ("float", lib.INGOT_FLOAT, "float32"), ("double", lib.INGOT_DOUBLE, "float64"), ("float16", lib.INGOT_FLOAT16, "float16"),
    ("int8", lib.INGOT_INT8, "int8"), ("int16", lib.INGOT_INT16, "int16"), ("int32", lib.INGOT_INT32, "int32"),
    ("int64", lib.INGOT_INT64, "int64"), ("uint8", lib.INGOT_UINT8, "uint8"), ("uint16", lib.INGOT_UINT16, "uint16"),
    ("uint32", lib.INGOT_UINT32, "uint32"), ("uint64", lib.INGOT_UINT64, "uint64"), ("bool", lib.INGOT_BOOL, "bool"),
    ("complex64", lib.INGOT_COMPLEX64, "complex64"), ("complex128", lib.INGOT_COMPLEX128, "complex128"),
]
_EXTENDED = [
    ("bfloat16", lib.INGOT_BFLOAT16, "bfloat16", "uint16"), ("float8e4m3fn", lib.INGOT_FLOAT8E4M3FN, "float8_e4m3fn", "uint8"),
    ("float8e4m3fnuz", lib.INGOT_FLOAT8E4M3FNUZ, "float8_e4m3fnuz", "uint8"),
    ("float8e5m2", lib.INGOT_FLOAT8E5M2, "float8_e5m2", "uint8"),
    ("float8e5m2fnuz", lib.INGOT_FLOAT8E5M2FNUZ, "float8_e5m2fnuz", "uint8"),
    ("float8e8m0", lib.INGOT_FLOAT8E8M0, "float8_e8m0fnu", "uint8"), ("float4e2m1", lib.INGOT_FLOAT4E2M1, "float4_e2m1fn", "uint8"),
    ("int4", lib.INGOT_INT4, "int4", "int8"), ("uint4", lib.INGOT_UINT4, "uint4", "uint8"),
    ("int2", lib.INGOT_INT2, "int2", "int8"), ("uint2", lib.INGOT_UINT2, "uint2", "uint8"),
]

#: What onnxruntime calls the type in NodeArg.type, by ONNX's number.
TYPE_NAMES = {number: name for name, number, _ in _TYPES} | {number: name for name, number, *_ in _EXTENDED}
TYPE_NAMES[lib.INGOT_STRING] = "string"
_TO_NUMPY = {number: np.dtype(name) for _, number, name in _TYPES}
_FROM_NUMPY = {np.dtype(name): number for _, number, name in _TYPES}
for _, _number, _name, _plain in _EXTENDED:
    _known = ml_dtypes is not None and hasattr(ml_dtypes, _name)
    _dtype = np.dtype(getattr(ml_dtypes, _name)) if _known else np.dtype(_plain)
    _TO_NUMPY[_number] = _dtype
    if _known:
        _FROM_NUMPY[_dtype] = _number

#: NumPy's type by ONNX's number where it is one of NumPy's own, else None.
PLAIN = tuple(next((np.dtype(name) for _, number, name in _TYPES if number == i), None) for i in range(lib.INGOT_N_DTYPES))

#: Integers of fewer than 8 bits, and the type of the bytes that the engine keeps them in.
_NARROW = {lib.INGOT_INT4: np.dtype("int8"), lib.INGOT_UINT4: np.dtype("uint8"), lib.INGOT_INT2: np.dtype("int8"),
           lib.INGOT_UINT2: np.dtype("uint8")}

KIND_NAMES = {lib.INGOT_TENSOR: "tensor", lib.INGOT_SEQUENCE: "seq", lib.INGOT_OPTIONAL: "optional", lib.INGOT_MAP: "map"}


def as_array(value: Any) -> np.ndarray:
    """The value as a NumPy array, without a copy where it is one, or lends its memory by DLPack (a torch tensor on the CPU)."""
    if type(value) is np.ndarray:
        return value
    if hasattr(value, "__dlpack__") and not isinstance(value, np.ndarray):
        if getattr(value, "requires_grad", False):
            value = value.detach()
        try:
            return np.from_dlpack(value)
        except (BufferError, TypeError):      # a type DLPack or NumPy does not have: bfloat16, bool of older versions
            if hasattr(value, "numpy"):
                return value.numpy()
            raise
    return np.asarray(value)


def fill(tensor: Any, value: Any, declared: int, keep: list) -> None:
    """Make the ingot_tensor describe `value`, which stays in Python's memory: what has to live as long goes to `keep`.

    `declared` is the type the model wants; it decides what Python's own lists and the types unknown to NumPy count as.
    """
    if tensor.kind == lib.INGOT_OPTIONAL:
        _fill_items(tensor, [] if value is None else [value], declared, keep)
        return
    if tensor.kind == lib.INGOT_SEQUENCE:
        _fill_items(tensor, list(value), declared, keep)
        return
    array = as_array(value)
    wanted = _TO_NUMPY.get(declared)
    if isinstance(value, (list, tuple, bool, int, float)) and wanted and np.can_cast(array.dtype, wanted, "same_kind"):
        array = array.astype(wanted)           # Python's numbers have no type of their own
    if array.dtype.kind in "OUS":
        _fill_strings(tensor, array, keep)
    else:
        number = _FROM_NUMPY.get(array.dtype)
        if number is None or (number != declared and _TO_NUMPY.get(declared) == array.dtype):
            number = declared                  # 4-bit types and such, of which the array holds the bytes
        if not array.flags.c_contiguous:
            array = np.ascontiguousarray(array)
        tensor.dtype = number
        # The buffer protocol knows no bfloat16, so bytes are lent; narrow integers' spare bits are not the same as the engine's.
        narrow = _NARROW.get(number)
        raw = array if array.dtype.isbuiltin == 1 else array.astype(narrow) if narrow else array.view(f"u{array.dtype.itemsize}")
        buffer = ffi.from_buffer(raw) if array.size else ffi.NULL
        keep.append(buffer)
        tensor.data = buffer
    tensor.kind = lib.INGOT_TENSOR
    tensor.rank = array.ndim
    shape = tensor.shape
    for i, size in enumerate(array.shape):
        shape[i] = size


def refill(tensor: Any, last: tuple, value: Any, keep: list) -> bool:
    """The quick way for an array like the one before (`last`: its type and shape): only the address changes."""
    if type(value) is not np.ndarray or value.dtype != last[0] or value.shape != last[1] or not value.flags.c_contiguous:
        return False
    buffer = from_buffer(value)
    keep.append(buffer)
    tensor.data = buffer
    return True


def _fill_items(tensor: Any, values: list, declared: int, keep: list) -> None:
    items = ffi.new("ingot_tensor[]", max(1, len(values)))
    for item, value in zip(items, values):
        item.kind = lib.INGOT_SEQUENCE if isinstance(value, (list, tuple)) else lib.INGOT_TENSOR
        fill(item, value, declared, keep)
    keep.append(items)
    tensor.dtype = items[0].dtype if values else declared
    tensor.rank = 1
    tensor.shape[0] = len(values)
    tensor.data = items


def _fill_strings(tensor: Any, array: np.ndarray, keep: list) -> None:
    texts = [t if isinstance(t, bytes) else str(t).encode() for t in array.ravel().tolist()]
    strings = ffi.new("ingot_string[]", max(1, len(texts)))
    for string, text in zip(strings, texts):
        string.data = ffi.from_buffer(text)
        string.size_bytes = len(text)
    keep.extend((strings, texts))
    tensor.dtype = lib.INGOT_STRING
    tensor.data = strings


def number_of(array: np.ndarray) -> int:
    """ONNX's number of the element type."""
    return lib.INGOT_STRING if array.dtype.kind in "OUS" else _FROM_NUMPY.get(array.dtype, lib.INGOT_UNDEFINED)


def lend(array: np.ndarray, declared: int) -> Any:
    """The array as a tensor that a run may write to; None where it is of another type, or the engine's bytes are not the array's."""
    number = _FROM_NUMPY.get(array.dtype)
    if number is None or number != declared or number in _NARROW or not array.flags.carray or not array.size:
        return None
    tensor = ffi.new("ingot_tensor *", {"kind": lib.INGOT_TENSOR, "dtype": number, "rank": array.ndim, "shape": list(array.shape)})
    tensor.data = ffi.cast("void *", array.ctypes.data)
    return tensor


def fetch(tensor: Any, copy: bool = True) -> Any:
    """The value as NumPy and Python have it. Without `copy` an array is the session's memory, valid until its next call."""
    if tensor.kind == lib.INGOT_TENSOR:
        return _fetch_tensor(tensor, copy)
    items = ffi.cast("ingot_tensor *", tensor.data)
    if tensor.kind == lib.INGOT_MAP:
        return dict(zip(_listed(items[0]), _listed(items[1])))
    values = [fetch(items[i], copy) for i in range(tensor.shape[0])]
    if tensor.kind == lib.INGOT_OPTIONAL:
        return values[0] if values else None
    return values


def _listed(tensor: Any) -> list:
    value = fetch(tensor)
    return value.tolist() if isinstance(value, np.ndarray) else value


def _fetch_tensor(tensor: Any, copy: bool) -> np.ndarray:
    shape = ffi.unpack(tensor.shape, tensor.rank)
    count = math.prod(shape)
    if tensor.dtype == lib.INGOT_STRING:
        strings = ffi.cast("ingot_string *", tensor.data)
        texts = [ffi.unpack(strings[i].data, strings[i].size_bytes).decode("utf-8", "surrogateescape") if strings[i].size_bytes else ""
                 for i in range(count)]
        result = np.empty(count, dtype=object)
        result[:] = texts
        return result.reshape(shape)
    dtype = _TO_NUMPY[tensor.dtype]
    if not count:
        return np.empty(shape, dtype)
    stored = _NARROW.get(tensor.dtype, dtype)
    size_bytes = count * dtype.itemsize
    if copy and dtype.isbuiltin == 1:
        array = np.empty(shape, dtype)
        memmove(from_buffer(array), tensor.data, size_bytes)
        return array
    array = np.frombuffer(ffi.buffer(tensor.data, size_bytes), stored).reshape(shape)
    if stored != dtype:
        return array.astype(dtype)
    return array.copy() if copy else array
