"""Pictures as inputs: the bits of Pillow's resize, torchvision's arithmetic, layouts, channels, batches, top classes."""
import json

import numpy as np
import pytest
from conftest import identity
from onnx import TensorProto
from PIL import Image
from test_cli import fails

MEAN, STD = np.float32([0.485, 0.456, 0.406]), np.float32([0.229, 0.224, 0.225])
FILTERS = {"bilinear": Image.BILINEAR, "bicubic": Image.BICUBIC, "lanczos": Image.LANCZOS}
random = np.random.default_rng(5)


def picture(height, width):
    return Image.fromarray(random.integers(0, 256, (height, width, 3), dtype=np.uint8))


def planes(image):
    """(1, C, H, W), float32 from 0 to 1, as torchvision's ToTensor."""
    array = np.asarray(image)
    array = array[..., None] if array.ndim == 2 else array
    return np.moveaxis(array, 2, 0)[None].astype(np.float32) / np.float32(255)


def imagenet(image):
    """torchvision's Resize(256), CenterCrop(224), ToTensor, Normalize."""
    w, h = image.size
    size = (256, int(256 * h / w)) if w <= h else (int(256 * w / h), 256)
    left, top = (int(round((s - 224) / 2)) for s in size)
    cropped = image.resize(size, Image.BILINEAR).crop((left, top, left + 224, top + 224))
    return (planes(cropped) - MEAN[:, None, None]) / STD[:, None, None]


@pytest.fixture
def colour(tmp_path):
    return identity(tmp_path / "colour.onnx", TensorProto.FLOAT, ["N", 3, "H", "W"])


@pytest.fixture
def through(ingot, tmp_path):
    """What a model that passes its input on makes of files."""
    def call(model, *files, options=()):
        arguments = [a for f in files for a in ("--input", f)]
        done = ingot("run", model, *arguments, *options, "--output-dir", tmp_path / "out", "--quiet")
        assert done.code == 0, done.err
        return np.load(tmp_path / "out" / "y.npy")
    return call


@pytest.mark.parametrize("size", [(480, 640), (501, 333), (260, 300), (256, 256), (77, 100), (257, 231)])
def test_imagenet_preset_has_the_bits_of_torchvision(through, colour, tmp_path, size):
    image = picture(*size)
    image.save(tmp_path / "p.png")
    assert np.array_equal(through(colour, tmp_path / "p.png", options=["--preset", "imagenet"]), imagenet(image))


@pytest.mark.parametrize("dtype, number", [("float16", TensorProto.FLOAT16), ("float64", TensorProto.DOUBLE)])
def test_other_floats_are_rounded_once(through, tmp_path, dtype, number):
    model = identity(tmp_path / "m.onnx", number, ["N", 3, "H", "W"])
    image = picture(30, 40)
    image.save(tmp_path / "p.png")
    got = through(model, tmp_path / "p.png")
    assert got.dtype == dtype and np.array_equal(got, planes(image).astype(dtype))
    for mean, std in ((0.5, 1e-4), (0, 3e5), (0.2, 7)):           # infinities, then steps of the smallest numbers
        with np.errstate(over="ignore"):
            want = ((planes(image) - np.float32(mean)) / np.float32(std)).astype(dtype)
        assert np.array_equal(through(model, tmp_path / "p.png", options=["--mean", mean, "--std", std]), want)


@pytest.mark.parametrize("name", FILTERS)
@pytest.mark.parametrize("size", [(123, 311), (20, 20), (50, 40), (1, 1), (500, 40)])
def test_resize_has_the_bits_of_pillow(through, colour, tmp_path, name, size):
    image = picture(40, 50)
    image.save(tmp_path / "p.png")
    got = through(colour, tmp_path / "p.png", options=["--resize", f"{size[0]}x{size[1]}", "--filter", name])
    assert np.array_equal(got, planes(image.resize(size, FILTERS[name])))


def test_webp_and_jpeg(through, colour, tmp_path):
    image = picture(8, 6).resize((96, 64))
    image.save(tmp_path / "p.webp", lossless=True)
    assert np.array_equal(through(colour, tmp_path / "p.webp"), planes(image))
    for name in ("p.webp", "p.jpg"):
        image.save(tmp_path / name, quality=90)
        want = planes(Image.open(tmp_path / name).convert("RGB"))
        assert np.abs(through(colour, tmp_path / name) - want).max() <= 3 / 255


def test_explicit_options_go_before_the_preset(through, colour, tmp_path):
    image = picture(64, 64)
    image.save(tmp_path / "p.png")
    got = through(colour, tmp_path / "p.png", options=["--preset", "imagenet", "--resize", "40", "--crop", "31x17", "--mean", "0.5", "--std", "2,1,0.5"])
    cropped = image.resize((40, 40), Image.BILINEAR).crop((4, 12, 35, 29))       # halves go to the even side
    assert np.array_equal(got, (planes(cropped) - np.float32(0.5)) / np.float32([2, 1, 0.5])[:, None, None])


def test_layout_channels_and_white(through, colour, tmp_path):
    image = picture(5, 7)
    image.save(tmp_path / "p.png")
    last = identity(tmp_path / "last.onnx", TensorProto.FLOAT, ["N", "H", "W", 3])
    free = identity(tmp_path / "free.onnx", TensorProto.FLOAT, ["N", "A", "B", "C"])
    one = identity(tmp_path / "one.onnx", TensorProto.FLOAT, [1, 1, "H", "W"])
    raw = identity(tmp_path / "raw.onnx", TensorProto.UINT8, [1, 5, 7, 3])
    want = planes(image)
    assert np.array_equal(through(last, tmp_path / "p.png"), want.transpose(0, 2, 3, 1))
    assert np.array_equal(through(free, tmp_path / "p.png", options=["--layout", "nhwc"]), want.transpose(0, 2, 3, 1))
    assert np.array_equal(through(free, tmp_path / "p.png"), want)
    assert np.array_equal(through(colour, tmp_path / "p.png", options=["--channels", "bgr"]), want[:, ::-1])
    assert np.array_equal(through(one, tmp_path / "p.png", options=["--channels", "gray"]), planes(image.convert("L")))
    assert np.array_equal(through(raw, tmp_path / "p.png", options=["--channels", "bgr"])[0], np.asarray(image)[..., ::-1])
    assert np.array_equal(through(colour, tmp_path / "p.png", options=["--white", "255"]), np.round(want * 255))


def test_several_pictures_are_a_batch(through, ingot, colour, tmp_path):
    images = [picture(20 + i, 30) for i in range(3)]
    names = [tmp_path / f"{i}.png" for i in range(3)]
    for image, name in zip(images, names):
        image.save(name)
    want = np.concatenate([planes(i.resize((16, 16), Image.BILINEAR)) for i in images])
    assert np.array_equal(through(colour, *names, options=["--resize", "16x16"]), want)
    assert np.array_equal(through(colour, *[f"x={n}" for n in names], options=["--resize", "16x16"]), want)
    fails(ingot("run", colour, "--input", names[0], "--input", names[1]), 5, "1.png", "30 x 21", "--resize")
    fixed = identity(tmp_path / "two.onnx", TensorProto.FLOAT, [2, 3, 16, 16])
    assert np.array_equal(through(fixed, *names[:2], options=["--resize", "16x16"]), want[:2])
    fails(ingot("run", fixed, "--input", names[0], "--resize", "16x16"), 5, "1 picture for", "[2,3,16,16]")


def test_wrong_options_and_files(ingot, colour, tmp_path):
    picture(10, 10).save(tmp_path / "p.png")
    for options, word in [(["--resize", "0"], "--resize"), (["--resize", "3x"], "--resize"), (["--resize", "axb"], "--resize"),
                          (["--resize", "-3"], "--resize"), (["--crop", "1x2x3"], "--crop"), (["--mean", "1,2"], "--mean"), (["--mean", "nan"], "--mean"),
                          (["--std", "0"], "--std"), (["--std", "1,2,3,4"], "--std"), (["--filter", "box"], "--filter"),
                          (["--preset", "coco"], "--preset")]:
        fails(ingot("run", "no-such-model.onnx", "--input", tmp_path / "p.png", *options), 2, word)
    fails(ingot("run", colour, "--input", tmp_path / "p.png", "--crop", "11"), 5, "p.png", "no middle")
    fails(ingot("run", colour, "--input", tmp_path / "p.png", "--resize", "999999x999999"), 6, "p.png")
    raw = identity(tmp_path / "raw.onnx", TensorProto.UINT8, [1, 3, 10, 10])
    fails(ingot("run", raw, "--input", tmp_path / "p.png", "--mean", "0.5"), 2, "bytes")
    good = (tmp_path / "p.png").read_bytes()
    for name, data in [("a.webp", b"RIFF\x00\x00\x00\x00WEBPVP8 " + bytes(20)), ("b.webp", b"RIFF"), ("c.png", good[:60]), ("d.jpg", b"")]:
        (tmp_path / name).write_bytes(data)
        fails(ingot("run", colour, "--input", tmp_path / name), 5, name)
    Image.new("RGB", (4, 4)).save(tmp_path / "e.webp", save_all=True, append_images=[Image.new("RGB", (4, 4), "red")])
    fails(ingot("run", colour, "--input", tmp_path / "e.webp"), 5, "animation")


def test_answers(ingot, relu, tmp_path):
    np.save(tmp_path / "x.npy", np.float32([[1, 3, 2], [0, 0, 5]]))
    (tmp_path / "labels.txt").write_text("ant\nbee\ncat\n")
    done = ingot("run", relu, "--input", tmp_path / "x.npy", "--top", "2", "--softmax", "--labels", tmp_path / "labels.txt", "--json", "--checksum")
    report = json.loads(done.out)
    (output,) = report["outputs"]
    assert output["name"] == "y" and output["shape"] == [2, 3] and output["type"] == "float" and output["not_finite"] == 0
    assert (output["min"], output["max"], output["mean"]) == (0, 5, 1.83333) and len(output["checksum"]) == 16
    want = np.exp([3, 2]) / np.exp([1, 2, 3]).sum()
    assert [(c["class"], c["label"]) for c in output["rows"][0]["top"]] == [(1, "bee"), (2, "cat")]
    assert [c["probability"] for c in output["rows"][0]["top"]] == pytest.approx(want, rel=1e-5)
    assert output["rows"][1]["top"][0]["class"] == 2
    assert "bee" in ingot("run", relu, "--input", tmp_path / "x.npy", "--softmax", "--labels", tmp_path / "labels.txt").out
