"""Ingot: runs models exported to ONNX.

    import ingot
    session = ingot.InferenceSession("MyNet.onnx")
    (scores,) = session.run(None, {"input": images})

or, for short, ``scores = ingot.load("MyNet.onnx")(images)``. The names are onnxruntime's, so that code written for it works after
``import ingot as onnxruntime``.
"""
from .api import (Fail, InferenceSession, IngotError, InvalidArgument, InvalidGraph, InvalidProtobuf, IOBinding, Limit, Model, NoSuchFile,
                  NotImplemented, OrtDevice, OrtValue, RunCancelled, get_all_providers, get_available_providers, get_device, isa, load,
                  set_default_logger_severity, set_default_logger_verbosity, version)
from .options import ExecutionMode, GraphOptimizationLevel, ModelMetadata, NodeArg, RunOptions, SessionOptions
from .verification import verify

__version__ = version()

__all__ = [
    "ExecutionMode", "Fail", "GraphOptimizationLevel", "InferenceSession", "IngotError", "InvalidArgument", "InvalidGraph",
    "InvalidProtobuf", "IOBinding", "Limit", "Model", "ModelMetadata", "NoSuchFile", "NodeArg", "NotImplemented", "OrtDevice", "OrtValue",
    "RunCancelled", "RunOptions", "SessionOptions", "get_all_providers", "get_available_providers", "get_device", "isa", "load",
    "set_default_logger_severity", "set_default_logger_verbosity", "verify", "version",
]
