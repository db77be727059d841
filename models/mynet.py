"""MyNet: Conv2d, BatchNorm2d, ReLU, view, Linear. Trained on handwritten digits and exported to ONNX.

    python models/mynet.py [--out DIR] [--epochs N] [--layers]      DIR: models/ of this project

Writes into DIR
    MyNet.onnx                     the trained model, in eval mode, BatchNormalization still in the graph, dynamic batch
    MyNet/test_data_set_0/         input_0.pb and output_0.pb: one image, and what PyTorch's eager mode makes of it
    MyNet/test_data_set_1/         the same for a batch of seven
    MyNet/layers.npz               with --layers: the output of every module for test_data_set_0, by ONNX value name
    digits/LABEL_K.png             the first two held-out images of each class, 32x32 RGB
    digits.txt                     one class name per line

A pixel becomes an input element as byte / 255 in float32, RGB, (N, 3, 32, 32): what `ingot run --input x.png` feeds.
Needs torch, onnx, onnxscript, onnxruntime, scikit-learn and pillow; a CPU is enough. Everything is seeded.
"""
import argparse
import pathlib

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import nn

SEED = 20
SIZE = 32                        # an 8x8 digit is enlarged to this
IMAGES_PER_CLASS = 2
LABELS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]


class MyNet(nn.Module):
    """(N, 3, 32, 32) images to (N, 10) scores."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 64, kernel_size=3, padding=1)
        self.bn = nn.BatchNorm2d(64)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(64 * SIZE * SIZE, len(LABELS))

    def forward(self, x):
        x = self.relu(self.bn(self.conv(x)))
        x = x.view(x.size(0), -1)
        return self.fc(x)


def digit_images():
    """The digits of scikit-learn as (N, 32, 32, 3) bytes, light on dark: training and held-out images and labels.

    Pixels are made bytes before training, so a PNG holds exactly what the network sees.
    """
    data = load_digits()
    grey = np.rint(data.images * 255 / 16).astype(np.uint8)
    large = [np.asarray(Image.fromarray(g).resize((SIZE, SIZE), Image.Resampling.BILINEAR).convert("RGB")) for g in grey]
    return train_test_split(np.stack(large), data.target, test_size=0.2, stratify=data.target, random_state=SEED)


def to_input(images):
    """(N, 32, 32, 3) bytes to the (N, 3, 32, 32) float32 tensor that the network takes."""
    return torch.from_numpy(images.astype(np.float32) / np.float32(255)).permute(0, 3, 1, 2).contiguous()


def train(images, labels, epochs):
    model = MyNet().train()
    x, y = to_input(images), torch.from_numpy(labels)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-4, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    for epoch in range(epochs):
        total = 0.0
        for batch in torch.randperm(len(x)).split(64):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(x[batch]), y[batch])
            loss.backward()
            optimizer.step()
            total += loss.item() * len(batch)
        schedule.step()
        print(f"epoch {epoch + 1:2}: loss {total / len(x):.4f}")
    return model.eval()


def accuracy(model, images, labels):
    with torch.no_grad():
        return (model(to_input(images)).argmax(1).numpy() == labels).mean()


def export(model, path):
    """Write the model as one file. optimize=False keeps BatchNormalization as the node it is in the source."""
    example = torch.zeros(2, 3, SIZE, SIZE)               # a batch of 1 would be taken for a constant
    program = torch.onnx.export(model, (example,), dynamo=True, optimize=False, verbose=False,
                                input_names=["x"], output_names=["y"],
                                dynamic_shapes=({0: torch.export.Dim("batch")},))
    proto = program.model_proto
    # The exporter notes the source line of every node, with the path that this script has on this machine.
    for item in [proto.graph, *proto.graph.node, *proto.graph.value_info, *proto.graph.input, *proto.graph.output,
                 *proto.graph.initializer]:
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    onnx.checker.check_model(proto, full_check=True)
    assert any(node.op_type == "BatchNormalization" for node in proto.graph.node)
    onnx.save(proto, path)


def write_tensor(path, array, name):
    path.write_bytes(numpy_helper.from_array(array, name).SerializeToString())


def dump(model, images, folder):
    """One data set in the layout of the ONNX test suite: the input, and the output of PyTorch's eager mode."""
    folder.mkdir(parents=True, exist_ok=True)
    x = to_input(images)
    with torch.no_grad():
        y = model(x)
    write_tensor(folder / "input_0.pb", x.numpy(), "x")
    write_tensor(folder / "output_0.pb", y.numpy(), "y")
    return x.numpy(), y.numpy()


def dump_layers(model, images, onnx_path, path):
    """What every module computes, under the name that its value has in the exported graph."""
    operators = {"Conv": model.conv, "BatchNormalization": model.bn, "Relu": model.relu, "Gemm": model.fc}
    outputs, hooks = {}, []
    for node in onnx.load(onnx_path).graph.node:
        if node.op_type in operators:
            def keep(_module, _inputs, output, name=node.output[0]):
                outputs[name] = output.numpy()
            hooks.append(operators[node.op_type].register_forward_hook(keep))
    with torch.no_grad():
        model(to_input(images))
    for hook in hooks:
        hook.remove()
    np.savez(path, **outputs)


def write_images(images, labels, folder):
    folder.mkdir(parents=True, exist_ok=True)
    for label in range(len(LABELS)):
        for k, image in enumerate(images[labels == label][:IMAGES_PER_CLASS]):
            Image.fromarray(image).save(folder / f"{label}_{k}.png", optimize=True)


def check(path, x, want):
    """An independent runtime agrees with PyTorch about the file that was written."""
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    got = session.run(None, {"x": x})[0]
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
    print(f"{path.name}: batch {len(x)}, onnxruntime differs from PyTorch by at most {np.abs(got - want).max():.1e}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parent)
    parser.add_argument("--epochs", type=int, default=15)
    parser.add_argument("--layers", action="store_true", help="also write MyNet/layers.npz")
    args = parser.parse_args()

    torch.manual_seed(SEED)
    torch.use_deterministic_algorithms(True)
    train_x, test_x, train_y, test_y = digit_images()
    model = train(train_x, train_y, args.epochs)
    print(f"accuracy on {len(test_x)} held-out images: {accuracy(model, test_x, test_y):.4f}")

    args.out.mkdir(parents=True, exist_ok=True)
    path, data = args.out / "MyNet.onnx", args.out / "MyNet"
    export(model, path)
    for k, batch in enumerate([test_x[:1], test_x[1:8]]):
        check(path, *dump(model, batch, data / f"test_data_set_{k}"))
    if args.layers:
        dump_layers(model, test_x[:1], path, data / "layers.npz")
    write_images(test_x, test_y, args.out / "digits")
    (args.out / "digits.txt").write_text("\n".join(LABELS) + "\n")


if __name__ == "__main__":
    main()
