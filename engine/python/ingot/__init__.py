"""Ingot: runs models exported to ONNX.

    import ingot
    session = ingot.InferenceSession("MyNet.onnx")
    (scores,) = session.run(None, {"input": images})

or, for short, ``scores = ingot.load("MyNet.onnx")(images)``. The names are onnxruntime's, so that code written for it works after
``import ingot as onnxruntime``.
"""
from .api import (Fail, InferenceSession, IngotError, InvalidArgument, InvalidGraph, InvalidProtobuf, IOBinding, Limit, Model, NoSuchFile,
                  NotImplemented, OrtDevice, OrtValue, RunCancelled, disable_telemetry_events, enable_telemetry_events,
                  get_all_providers, get_available_providers, get_device, get_version_string, isa, load, set_default_logger_severity,
                  set_default_logger_verbosity, set_seed, version)
from .options import ExecutionMode, GraphOptimizationLevel, ModelMetadata, NodeArg, RunOptions, SessionOptions
from .verification import verify

__version__ = version()

__all__ = [
    "ExecutionMode", "Fail", "GraphOptimizationLevel", "InferenceSession", "IngotError", "InvalidArgument", "InvalidGraph",
    "InvalidProtobuf", "IOBinding", "Limit", "Model", "ModelMetadata", "NoSuchFile", "NodeArg", "NotImplemented", "OrtDevice", "OrtValue",
    "RunCancelled", "RunOptions", "SessionOptions", "disable_telemetry_events", "enable_telemetry_events", "get_all_providers",
    "get_available_providers", "get_device", "get_version_string", "isa", "load", "set_default_logger_severity",
    "set_default_logger_verbosity", "set_seed", "verify", "version",
]
