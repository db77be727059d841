"""Does Ingot compute what PyTorch computes, and if not, from which layer on?"""
from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass
class Verification:
    """What `ingot verify --layers` found: whether all agrees, and its report."""

    agrees: bool
    report: str

    def __bool__(self) -> bool:
        return self.agrees

    def __str__(self) -> str:
        return self.report


def _record(module: Any, inputs: tuple) -> tuple[dict, Any]:
    """Outputs of every submodule by its path (a module used more than once: its last), and the module's own."""
    layers: dict[str, Any] = {}
    hooks = []
    for name, child in module.named_modules():
        if name:
            hooks.append(child.register_forward_hook(
                lambda _, __, output, name=name: layers.__setitem__(name, output) if hasattr(output, "numpy") else None))
    outputs = module(*inputs)
    for hook in hooks:
        hook.remove()
    return layers, outputs


def verify(torch_module: Any, example_inputs: Any, rtol: float = 1e-3, atol: float = 1e-4, progress: bool = False) -> Verification:
    """Export a PyTorch module, run it on the inputs and compare the outputs, layer by layer.

    progress  show the steps with tqdm, if that is installed.
    """
    import torch

    inputs = example_inputs if isinstance(example_inputs, (tuple, list)) else (example_inputs,)
    module = torch_module.eval()
    steps: Any = ["run in PyTorch", "export", "compare"]
    if progress:
        from tqdm import tqdm
        steps = tqdm(steps)
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        model, dump, layers_file = (os.path.join(folder, n) for n in ("model.onnx", "dump.npz", "layers.npz"))
        for step in steps:
            if step == "run in PyTorch":
                layers, outputs = _record(module, tuple(inputs))
                outputs = outputs if isinstance(outputs, (tuple, list)) else (outputs,)
            elif step == "export":
                names = [f"input_{i}" for i in range(len(inputs))], [f"output_{i}" for i in range(len(outputs))]
                buffer = io.BytesIO()
                torch.onnx.export(module, tuple(inputs), buffer, input_names=names[0], output_names=names[1], dynamo=False)
                with open(model, "wb") as f:
                    f.write(buffer.getvalue())
                np.savez(dump, **{n: v.numpy() for n, v in zip(names[0] + names[1], (*inputs, *outputs))})
                np.savez(layers_file, **{n: v.detach().numpy() for n, v in layers.items()})
            else:
                done = subprocess.run([sys.executable, "-m", "ingot", "verify", model, dump, "--layers", layers_file, "--rtol", str(rtol),
                                       "--atol", str(atol)], capture_output=True, text=True)
    return Verification(done.returncode == 0, (done.stdout + done.stderr).strip())
