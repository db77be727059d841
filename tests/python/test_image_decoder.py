"""ImageDecoder beside Pillow: formats, kinds of pixels, and pictures that are damaged or promise too much."""
import io
import random
import struct
import zlib

import numpy as np
import pytest
from onnx import TensorProto, helper
from PIL import Image

from conftest import save_model


@pytest.fixture
def decode(ingot, tmp_path):
    """Decode bytes; gives the pixels, or the command's result where it fails. Skips what the build has no library for."""
    def call(data, pixel_format="RGB"):
        node = helper.make_node("ImageDecoder", ["data"], ["image"], pixel_format=pixel_format)
        model = save_model(tmp_path / "decode.onnx", [node], [("data", TensorProto.UINT8, ["N"])],
                           [("image", TensorProto.UINT8, ["H", "W", "C"])], opset=20)
        np.save(tmp_path / "data.npy", np.frombuffer(data, np.uint8))
        done = ingot("run", model, "--input", tmp_path / "data.npy", "--output-dir", tmp_path)
        if "made without" in done.err:
            pytest.skip(done.err)
        return done if done.code else np.load(tmp_path / "image.npy")

    return call


def picture(mode, width=37, height=21):
    pixels = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    pixels[4:12, 5:20] = (200, 30, 90)                   # so that there is something to compress
    image = Image.fromarray(pixels)
    if mode == "RGBA":
        image.putalpha(Image.fromarray(pixels[..., 1]))
        return image
    return image.quantize(40) if mode == "P" else image.convert(mode)


def encode(image, form, **options):
    with io.BytesIO() as f:
        image.save(f, form, **options)
        return f.getvalue()


CASES = [("PNG", m, {}) for m in ("1", "L", "P", "RGB", "RGBA")] + [("BMP", m, {}) for m in ("1", "L", "P", "RGB", "RGBA")]
CASES += [("PPM", m, {}) for m in ("1", "L", "RGB")] + [("JPEG", "L", {}), ("JPEG", "RGB", {}), ("JPEG", "RGB", {"progressive": True}),
          ("JPEG", "RGB", {"subsampling": 0}), ("WEBP", "RGB", {}), ("WEBP", "RGB", {"lossless": True}), ("JPEG2000", "RGB", {}),
          ("JPEG2000", "L", {}), ("TIFF", "L", {}), ("TIFF", "RGB", {}), ("TIFF", "RGB", {"compression": "tiff_lzw"})]


@pytest.mark.parametrize("form, mode, options", CASES, ids=lambda v: str(v))
def test_as_pillow_decodes(decode, form, mode, options):
    data = encode(picture(mode), form, **options)
    want = np.array(Image.open(io.BytesIO(data)).convert("RGB"))
    assert np.array_equal(decode(data), want)
    assert np.array_equal(decode(data, "BGR"), want[..., ::-1])
    gray = np.array(Image.fromarray(want).convert("L"))[..., None]
    assert np.array_equal(decode(data, "Grayscale"), gray)


def test_text_maps(decode):
    assert decode(b"P1 # bits\n3 2\n1 0 1\n010").tolist() == [[[0] * 3, [255] * 3, [0] * 3], [[255] * 3, [0] * 3, [255] * 3]]
    assert decode(b"P2\n2 1\n# levels\n4\n0 4", "Grayscale").tolist() == [[[0], [255]]]
    assert decode(b"P3 1 1 255\n7 8 9").tolist() == [[[7, 8, 9]]]
    assert decode(b"P5 2 1 65535\n" + struct.pack(">2H", 65535, 257), "Grayscale").tolist() == [[[255], [1]]]


@pytest.mark.parametrize("data", [b"", b"no picture", b"P6 4 4 255\n12", b"BM" + bytes(60), b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff",
                                  b"RIFF....WEBP", b"II*\0" + b"\xff" * 8, b"\xff\x4f\xff\x51" + b"\xff" * 60], ids=repr)
def test_no_picture_has_no_pixels(decode, data):
    result = decode(data)
    if not isinstance(result, np.ndarray):
        assert result.code in (3, 6)                     # a kind that is not read, or a size out of proportion
    else:
        assert result.shape == (0, 0, 3)


def test_a_promise_of_pixels_takes_no_memory(decode):
    data = bytearray(encode(picture("RGB"), "PNG"))
    data[16:24] = struct.pack(">2I", 100000, 10000)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    result = decode(bytes(data))
    assert result.code == 6 and "100000 x 10000" in result.err


@pytest.mark.parametrize("form", ["PNG", "BMP", "PPM", "JPEG", "WEBP", "JPEG2000", "TIFF"])
def test_damaged_pictures(decode, form):
    """Whatever bytes are wrong: pixels, none, or one line that says why."""
    whole, draw = encode(picture("RGB"), form), random.Random(5)
    for _ in range(8):
        data = bytearray(whole)
        for _ in range(draw.randint(1, 6)):
            data[draw.randrange(min(len(data), draw.choice([60, len(data)])))] = draw.randrange(256)
        result = decode(bytes(data[:draw.choice([len(data), draw.randrange(1, len(data))])]))
        assert isinstance(result, np.ndarray) or (result.code in (3, 6) and result.err.count("\n") == 1)
