"""Ingot as an ONNX backend: what onnx.backend.test drives."""
from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from onnx.backend.base import Backend, BackendRep, Device, DeviceType, namedtupledict

from .api import InferenceSession


class IngotRep(BackendRep):
    """A prepared model."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._names = [a.name for a in session.get_inputs()]
        self._outputs = [a.name for a in session.get_outputs()]

    def run(self, inputs: Any, **_: Any) -> tuple:
        feed = inputs if isinstance(inputs, dict) else dict(zip(self._names, inputs))
        return namedtupledict("Outputs", self._outputs)(*self._session.run(None, feed))


class IngotBackend(Backend):
    """Runs on the processor."""

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: str = "CPU", **kwargs: Any) -> IngotRep:
        return IngotRep(InferenceSession(model.SerializeToString()))

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: str = "CPU", **kwargs: Any) -> tuple:
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(cls, node: onnx.NodeProto, inputs: Any, device: str = "CPU", outputs_info: Any = None, **kwargs: Any) -> tuple:
        arrays = [np.asarray(i) for i in inputs]
        infos = [onnx.helper.make_tensor_value_info(n, onnx.helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
                 for n, a in zip(node.input, arrays)]
        outputs = [onnx.ValueInfoProto(name=n) for n in node.output]
        graph = onnx.helper.make_graph([node], "node", infos, outputs)
        version = kwargs.get("opset_version", onnx.defs.onnx_opset_version())
        model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, version)])
        return cls.run_model(model, arrays, device)

    @classmethod
    def supports_device(cls, device: str) -> bool:
        return Device(device).type == DeviceType.CPU


prepare = IngotBackend.prepare
run = IngotBackend.run_model
run_model = IngotBackend.run_model
run_node = IngotBackend.run_node
supports_device = IngotBackend.supports_device
is_compatible = IngotBackend.is_compatible
