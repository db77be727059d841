"""Operators that sample, contract and attend, over modes, element types and odd sizes, beside the reference evaluator."""
import itertools

import numpy as np
import pytest

from test_movement import Cases, array, ints

COORDINATES = ["half_pixel", "half_pixel_symmetric", "pytorch_half_pixel", "align_corners", "asymmetric"]


def floats(*values):
    return np.array(values, dtype=np.float32)


def small(*shape):
    """Floats whose rounding errors stay below the tolerance where terms cancel."""
    return (array(np.float32, *shape) / 8).astype(np.float32)


@pytest.mark.parametrize("dynamic", [False, True])
@pytest.mark.parametrize("coordinates", COORDINATES)
def test_resize(ingot, tmp_path, coordinates, dynamic):
    cases, same = Cases(), {"coordinate_transformation_mode": coordinates}
    for dtype, rounding in itertools.product((np.float32, np.uint8), ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")):
        x = array(dtype, 1, 3, 7, 5)
        cases.add("Resize", x, None, floats(1, 1, 2, 2), mode="nearest", nearest_mode=rounding, **same)
        cases.add("Resize", x, None, None, ints(1, 3, 4, 9), mode="nearest", nearest_mode=rounding, **same)
    for mode in ("linear", "cubic"):
        x = small(2, 3, 7, 6)
        cases.add("Resize", x, None, floats(1, 1, 2, 2), mode=mode, **same)
        if mode == "linear":  # weights that are exact, since ties are rounded; of cubic ones the evaluator has none
            cases.add("Resize", array(np.float64, 2, 3, 7, 6), None, floats(1, 1, 0.6, 1.7), mode=mode, **same)
            if coordinates != "align_corners":
                cases.add("Resize", array(np.int32, 2, 3, 7, 6), None, floats(1, 1, 2, 2), mode=mode, **same)
        cases.add("Resize", x, None, floats(1, 1, 0.6, 1.7), mode=mode, **same)
        cases.add("Resize", x, None, None, ints(3, 11), mode=mode, axes=[2, 3], **same)
        cases.add("Resize", x, None, None, ints(4, 5), mode=mode, axes=[3, 1], **same)
        cases.add("Resize", x, None, None, ints(2, 3), mode=mode, axes=[2, 3], antialias=1, exclude_outside=1, **same)
        cases.add("Resize", x, None, None, ints(8, 12), mode=mode, axes=[2, 3], keep_aspect_ratio_policy="not_larger", **same)
    cases.check(ingot, tmp_path, 19, dynamic)


@pytest.mark.parametrize("dynamic", [False, True])
def test_crop_and_resize(ingot, tmp_path, dynamic):
    cases = Cases()
    for mode, x in (("nearest", array(np.int8, 1, 2, 6, 8)), ("linear", small(1, 2, 6, 8)), ("cubic", small(1, 2, 6, 8))):
        cases.add("Resize", x, floats(0, 0, 0.4, 0.6, 1, 1, 1.2, 0.9), None, ints(1, 2, 5, 7), mode=mode,
                  coordinate_transformation_mode="tf_crop_and_resize", extrapolation_value=9.0)
    cases.check(ingot, tmp_path, 19, dynamic)


def test_grid_sample(ingot, tmp_path):
    cases = Cases()
    for mode, padding, corners in itertools.product(("nearest", "linear", "cubic"), ("zeros", "border", "reflection"), (0, 1)):
        if mode == "cubic" and padding != "zeros":
            continue  # pixels or positions may be padded; see the corpus for what others do
        attributes = {"mode": mode, "padding_mode": padding, "align_corners": corners}
        grid = (array(np.float32, 2, 5, 9, 2) * 0.9).astype(np.float32)
        cases.add("GridSample", small(2, 3, 6, 7), grid, **attributes)
        cases.add("GridSample", array(np.float64, 1, 2, 3, 4, 5), array(np.float64, 1, 2, 3, 2, 3) * 0.7, **attributes)
    cases.add("GridSample", array(np.int16, 1, 2, 6, 7), array(np.float32, 1, 4, 4, 2), mode="nearest")
    cases.check(ingot, tmp_path, 22, False)


EQUATIONS = [("ij,jk->ik", (33, 17), (17, 21)), ("ij,jk->ki", (33, 17), (17, 21)), ("bhij,bhkj->ik", (2, 3, 9, 17), (2, 3, 8, 17)),
             ("...ij,...jk", (2, 1, 20, 17), (3, 17, 21)), ("nhij,hjk->nihk", (2, 3, 20, 16), (3, 16, 24)), ("i,j->ij", (40,), (50,)),
             ("ii->i", (7, 7)), ("ii", (7, 7)), ("ij->ji", (3, 4)), ("ij,jk,kl->il", (13, 40), (40, 30), (30, 20)),
             ("aBc,cd->adB", (3, 4, 5), (5, 6)), ("ij,kl->", (5, 6), (7, 8)), ("ij,jk->ik", (33, 1), (17, 21)),
             ("ibj,jbk->ikb", (10, 6, 20), (20, 6, 30)), ("a,b,c,d->dcba", (3,), (4,), (5,), (6,)), ("ij,jk->ik", (3, 0), (0, 4)),
             ("bij,bij->bi", (4, 30, 20), (4, 30, 20)), ("bclhn,bcshn->bclsh", (2, 1, 20, 3, 16), (2, 1, 24, 3, 16)),
             ("ab,bcd,dec->ea", (20, 6), (6, 5, 7), (7, 11, 5)), ("ij,j->i", (300, 200), (200,))]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, np.int8, np.uint16, np.int64])
def test_einsum(ingot, tmp_path, dtype):
    cases = Cases()
    for equation, *shapes in EQUATIONS:
        operands = [small(*shape) if dtype == np.float32 else array(dtype, *shape) for shape in shapes]
        cases.add("Einsum", *operands, equation=equation)
    cases.check(ingot, tmp_path, 28 if np.dtype(dtype).itemsize < 4 else 12, False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_attention(ingot, tmp_path, dtype):
    cases = Cases()
    for (heads, kv_heads, queries, keys, depth), causal in itertools.product(
            [(2, 2, 70, 70, 16), (4, 2, 3, 40, 8), (2, 1, 1, 30, 24), (1, 1, 65, 33, 17)], (0, 1)):
        q, k, v = array(dtype, 2, heads, queries, depth), array(dtype, 2, kv_heads, keys, depth), array(dtype, 2, kv_heads, keys, 5)
        cases.add("Attention", q, k, v, is_causal=causal)
        cases.add("Attention", q, k, v, array(dtype, queries, keys), is_causal=causal, softcap=2.0)
        cases.add("Attention", q, k, v, array(np.bool_, 2, 1, queries, keys), is_causal=causal)
        past = array(dtype, 2, kv_heads, 9, depth), array(dtype, 2, kv_heads, 9, 5)
        for mode in range(4):
            cases.add("Attention", q, k, v, None, *past, outputs=4, is_causal=causal, qk_matmul_output_mode=mode)
    cases.check(ingot, tmp_path, 24, False)


def test_transforms(ingot, tmp_path):
    cases = Cases()
    for n, length, inverse in itertools.product((1, 2, 12, 16, 17, 45), (None, 8, 20), (0, 1)):
        size = None if length is None else np.int64(length)
        cases.add("DFT", array(np.float64, 2, n, 3, 2), size, np.int64(1), inverse=inverse)
        if not inverse:
            cases.add("DFT", array(np.float64, 2, n, 1), size, np.int64(-2), onesided=1)
        elif n > 1:
            cases.add("DFT", array(np.float64, 2, n, 2), size, np.int64(-2), onesided=1, inverse=1)
    cases.check(ingot, tmp_path, 20, False)


def test_folding_and_regions(ingot, tmp_path):
    cases = Cases()
    cases.add("Col2Im", array(np.float32, 2, 3 * 6, 20), ints(6, 7), ints(2, 3), strides=[1, 1], dilations=[2, 1])
    cases.add("Col2Im", array(np.float32, 1, 2 * 6, 12), ints(8, 10), ints(2, 3), strides=[3, 2], pads=[1, 0, 1, 0])
    cases.add("Col2Im", array(np.float32, 1, 2 * 4, 500), ints(503), ints(4))
    cases.add("Col2Im", array(np.int32, 1, 2 * 4, 9), ints(5, 5), ints(2, 2), strides=[2, 2], pads=[1, 0, 0, 1])
    regions = floats(1, 2, 9, 11, 0, 0, 4, 4, 3, 3, 3.2, 30).reshape(3, 4)
    for mode, ratio, way in itertools.product(("avg", "max"), (0, 2), ("half_pixel", "output_half_pixel")):
        cases.add("RoiAlign", array(np.float32, 2, 3, 12, 13), regions, ints(1, 0, 1), mode=mode, sampling_ratio=ratio, output_height=3,
                  output_width=4, spatial_scale=0.7, coordinate_transformation_mode=way)
    cases.add("Det", array(np.float64, 4, 5, 5))
    cases.check(ingot, tmp_path, 22, False)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_deform_conv(ingot, tmp_path, dtype):
    cases = Cases()
    for group, maps, masked in ((1, 1, False), (2, 1, True), (1, 2, True), (2, 4, False)):
        x, w = array(dtype, 1, 4, 5, 6) / 8, array(dtype, 4, 4 // group, 3, 2) / 8
        positions = (1, maps * 6, 6, 3)
        cases.add("DeformConv", x, w, array(dtype, positions[0], 2 * positions[1], *positions[2:]), array(dtype, 4),
                  array(dtype, *positions) if masked else None, group=group, offset_group=maps, pads=[1, 2, 2, 0], strides=[1, 2],
                  kernel_shape=[3, 2], dilations=[1, 2])
    cases.check(ingot, tmp_path, 22, False)


@pytest.mark.parametrize("op, inputs, attributes", [
    ("Resize", [array(np.float32, 1, 1, 4, 4), None, floats(1, 1, 0, 2)], {}),
    ("Resize", [array(np.float32, 1, 1, 4, 4), None, floats(1, 1, np.nan, 2)], {}),
    ("Resize", [array(np.float32, 1, 1, 4, 4), None, floats(2, 2)], {"axes": [3, 3]}),
    ("Resize", [array(np.float32, 1, 1, 4, 4), None, floats(2)], {"axes": [-9]}),
    ("Resize", [array(np.float32, 1, 1, 4, 4), None, floats(1, 1, 1e30, 1e30)], {}),
    ("Resize", [array(np.float32, 1, 1, 4, 4), None, None, ints(1, 1, -3, 4)], {}),
    ("Einsum", [array(np.float32, 3, 4)], {"equation": "ijk->i"}),
    ("Einsum", [array(np.float32, 3, 4)], {"equation": "ij->ii"}),
    ("Einsum", [array(np.float32, 3, 4)], {"equation": "i....j"}),
    ("Einsum", [array(np.float32, 3, 4)], {"equation": "ij,jk->ik"}),
    ("Einsum", [array(np.float32, 3, 4)], {"equation": "ii"}),
    ("RoiAlign", [array(np.float32, 1, 1, 4, 4), floats(0, 0, 1, 1).reshape(1, 4), ints(5)], {}),
    ("RoiAlign", [array(np.float32, 1, 1, 4, 4), floats(0, 0, 1e30, 1e30).reshape(1, 4), ints(0)], {}),
    ("Attention", [array(np.float32, 1, 2, 3, 4), array(np.float32, 1, 3, 3, 4), array(np.float32, 1, 3, 3, 4)], {}),
    ("Attention", [array(np.float32, 1, 3, 8), array(np.float32, 1, 3, 8), array(np.float32, 1, 3, 8)], {}),
    ("DFT", [array(np.float32, 1, 8, 2), np.int64(0)], {}),
    ("DFT", [array(np.float32, 1, 8, 3)], {}),
    ("STFT", [array(np.float32, 1, 8, 1), np.int64(0)], {}),
    ("Det", [array(np.float32, 3, 4)], {}),
    ("Col2Im", [array(np.float32, 1, 6, 5), ints(5, 5), ints(0, 1)], {}),
])
def test_malformed(ingot, tmp_path, op, inputs, attributes):
    import onnx
    from onnx import helper, numpy_helper

    names = ["" if v is None else f"i{k}" for k, v in enumerate(inputs)]
    values = [numpy_helper.from_array(np.asarray(v), n) for v, n in zip(inputs, names) if n]
    graph = helper.make_graph([helper.make_node(op, names, ["y"], **attributes)], "bad", [],
                              [helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, None)], values)
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 24)], ir_version=10), str(tmp_path / "model.onnx"))
    done = ingot("run", tmp_path / "model.onnx")
    assert done.code not in (0, 3) and op in done.err, (done.code, done.err)
