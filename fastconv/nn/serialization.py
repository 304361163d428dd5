"""Models and checkpoints in files: safetensors, or NumPy's npz; never pickle.

A safetensors file is the length of a header (8 bytes, little endian), the header (JSON: dtype,
shape and place of each array, and text), and the arrays one after the other
(https://huggingface.co/docs/safetensors). The text says which layers there are; a checksum beside
it tells whether any bit of them is another, as a zip archive, an npz, does itself.
"""

import json
import math
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from fastconv import nn
from fastconv._arrays import shown
from fastconv._files import replacing

FORMAT = "fastconv.nn 1"
TYPES = {"F16": "<f2", "F32": "<f4", "F64": "<f8", "I8": "<i1", "U8": "<u1", "I16": "<i2"}
TYPES = {code: np.dtype(name) for code, name in (TYPES | {"I32": "<i4", "I64": "<i8"}).items()}
CODES = {dtype: code for code, dtype in TYPES.items()}
HEADER_BYTES = 2**26  # a header that is longer is none


def save(model, path, metadata=None):
    """Write a model; what `Module.save` does."""
    write(path, model.state_dict(), {"model": described(model), "metadata": metadata})


def load(path):
    """Give the model that `save` wrote into a .safetensors or .npz file.

    Its ``metadata`` is what was saved with it. Raises ValueError for a file that is damaged or of
    another kind; weights alone, from elsewhere, are for ``load_state_dict(nn.read_arrays(path))``.
    """
    arrays, text = read(path)
    if "model" not in text:
        raise ValueError(f"load: {path} holds no layers, expected a file that model.save wrote")
    model = _built(path, text["model"])
    try:
        if arrays:
            model.to(next(iter(arrays.values())).dtype)
        model.load_state_dict(arrays)
    except (TypeError, ValueError) as error:
        raise ValueError(f"load: {path} is damaged: {error}") from None
    model.metadata = text.get("metadata")
    return model.eval()


def read_arrays(path):
    """Give the arrays of any .safetensors or .npz file, by name."""
    return read(path)[0]


def described(module):
    """A module as what JSON holds."""
    name = type(module).__name__
    if getattr(nn, name, None) is not type(module):
        raise TypeError(
            f"save: {name} is no layer of fastconv.nn; np.savez(path, **model.state_dict()) keeps "
            "its weights alone"
        )
    return {"layer": name, **module.config()}


def _built(path, description):
    """The module that was described."""
    try:
        config = dict(description)
        kind = getattr(nn, config.pop("layer"))
        if not issubclass(kind, nn.Module) or kind is nn.Module:
            raise TypeError("no layer")
        config = {key: _tuples(value) for key, value in config.items() if key != "layers"}
        layers = [_built(path, each) for each in description.get("layers", ())]
        return kind(*layers, **config)
    except (AttributeError, LookupError, TypeError, ValueError, MemoryError) as error:
        raise ValueError(f"load: {path} describes no layer of this version: {error}") from None


def _tuples(value):
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def write(path, arrays, text):
    """Write arrays and what JSON holds into a file, whole or not at all."""
    path = check_path("save", "path", path)
    try:
        text = json.dumps({"format": FORMAT, **text}, default=_plain)
    except (TypeError, ValueError) as error:
        raise TypeError(f"save: metadata {error}, expected what JSON holds") from None
    with replacing(path) as file:
        if path.suffix == ".npz":
            np.savez(file, fastconv=np.frombuffer(text.encode(), np.uint8), **arrays)
            return
        header, body, first = {"__metadata__": {"fastconv": text}}, [], 0
        for key, array in arrays.items():
            dtype = array.dtype.newbyteorder("<")
            offsets = [first, first + array.nbytes]
            header[key] = {"dtype": CODES[dtype], "shape": array.shape, "data_offsets": offsets}
            body.append(np.ascontiguousarray(array, dtype).tobytes())
            first = offsets[1]
        header["__metadata__"]["crc32"] = _checksum(header, body)
        packed = json.dumps(header).encode()
        packed += b" " * (-len(packed) % 8)  # arrays begin aligned
        file.write(struct.pack("<Q", len(packed)) + packed)
        file.writelines(body)


def _checksum(header, body):
    """The CRC-32 of a header without it and of the arrays' bytes."""
    crc = zlib.crc32(json.dumps(header).encode())
    for part in body:
        crc = zlib.crc32(part, crc)
    return f"{crc:08x}"


def _plain(value):
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"has {shown(value)}")


def check_path(function, name, path):
    """A path that a file can be written to, as far as can be said before."""
    path = _path(function, name, path)
    if path.suffix not in (".safetensors", ".npz"):
        raise ValueError(
            f"{function}: {name} {path} ends in {path.suffix!r}, expected .safetensors or .npz"
        )
    if not path.parent.is_dir():
        raise ValueError(f"{function}: {name} is {path}, expected a folder that exists")
    return path


def _path(function, name, path):
    try:
        return Path(path)
    except TypeError:
        raise TypeError(f"{function}: {name} is {shown(path)}, expected a path") from None


def read(path):
    """Give the arrays of a file and what else `write` wrote; a ValueError if it is damaged."""
    path = _path("load", "path", path)
    with open(path, "rb") as file:
        try:
            arrays, text = (_npz if path.suffix == ".npz" else _safetensors)(file)
            if text and text["format"] != FORMAT:
                raise ValueError(f"its format is {text['format']!r}, expected {FORMAT!r}")
        except Exception as error:  # a damaged file raises anything
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ValueError(f"load: {path} is damaged or no model: {reason}") from None
    return arrays, text


def _npz(file):
    if not zipfile.is_zipfile(file):
        raise ValueError("it is no zip archive, which every .npz file is")
    file.seek(0)
    with np.load(file, allow_pickle=False) as arrays:
        arrays = dict(arrays)
    packed = arrays.pop("fastconv", np.frombuffer(b"{}", np.uint8))
    return arrays, json.loads(packed.tobytes())


def _safetensors(file):
    data = file.read()
    if len(data) < 8:
        raise ValueError(f"it has {len(data)} bytes, expected a header's length in the first 8")
    (size,) = struct.unpack_from("<Q", data)
    if size > min(HEADER_BYTES, len(data) - 8):
        raise ValueError(f"it is no .safetensors file: its header would have {size} bytes")
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    crc = header.get("__metadata__", {}).pop("crc32", None)  # files from elsewhere have none
    if crc not in (None, found := _checksum(header, [body])):
        raise ValueError(f"its checksum is {found}, expected {crc}")
    text = json.loads(header.pop("__metadata__", {}).get("fastconv", "{}"))
    arrays, ends = {}, 0
    for key, entry in header.items():
        if entry["dtype"] not in TYPES:
            raise ValueError(f"{key} is {entry['dtype']}, expected one of {', '.join(TYPES)}")
        dtype, shape = TYPES[entry["dtype"]], tuple(entry["shape"])
        first, last = entry["data_offsets"]
        if not 0 <= first <= last <= len(body) or last - first != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{key} has {last - first} bytes of {len(body)}, expected its shape's")
        arrays[key] = np.frombuffer(body[first:last], dtype).reshape(shape)
        ends = max(ends, last)
    if ends != len(body):
        raise ValueError(f"it has {len(body)} bytes of arrays, expected {ends}")
    return arrays, text
