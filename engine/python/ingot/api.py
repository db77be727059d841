"""Sessions as onnxruntime's users know them, over the C library."""
from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from . import values
from ._native import ffi, lib
from ._quick import Runner
from .options import GraphOptimizationLevel, ModelMetadata, NodeArg, RunOptions, SessionOptions

_PROVIDER = "CPUExecutionProvider"


class IngotError(RuntimeError):
    """The engine's line about what went wrong; `status` is its name for the class of failures."""

    status = "error"


class Fail(IngotError):
    pass


class InvalidArgument(IngotError, ValueError):
    """An input or the call does not fit the model."""


class NotImplemented(IngotError, NotImplementedError):
    """A valid model with an operator, type or version that Ingot does not have."""


class InvalidGraph(IngotError):
    """The model is malformed."""


InvalidProtobuf = InvalidGraph


class Limit(IngotError, MemoryError):
    """A limit was reached or memory ran out."""


class NoSuchFile(IngotError, OSError):
    """A file cannot be read or written."""


class RunCancelled(IngotError):
    """The run was cancelled or took too long."""


_ERRORS = {
    lib.INGOT_USAGE: InvalidArgument, lib.INGOT_BAD_INPUT: InvalidArgument, lib.INGOT_UNSUPPORTED: NotImplemented,
    lib.INGOT_INVALID: InvalidGraph, lib.INGOT_LIMIT: Limit, lib.INGOT_IO: NoSuchFile, lib.INGOT_CANCELLED: RunCancelled,
}


def _text(pointer: Any) -> str:
    return ffi.string(pointer).decode("utf-8", "replace")


def _fail(status: int, message: str) -> None:
    failure = _ERRORS.get(status, Fail)(message)
    failure.status = _text(lib.ingot_status_name(status))
    raise failure


def _raise(status: int, error: Any) -> None:
    _fail(status, _text(error.message))


def _address(pointer: Any) -> int:
    return int(ffi.cast("uintptr_t", pointer))


def version() -> str:
    return _text(lib.ingot_version())


def isa() -> str:
    """The instruction set that the kernels of this process use."""
    return _text(lib.ingot_isa())


def get_available_providers() -> list[str]:
    return [_PROVIDER]


get_all_providers = get_available_providers


def get_device() -> str:
    return "CPU"


def get_version_string() -> str:
    return version()


def set_seed(seed: int) -> None:
    """No effect: operators that draw numbers take the seed that the model names, or draw the same ones in every process."""


def disable_telemetry_events() -> None:
    """No effect: there is no telemetry."""


enable_telemetry_events = disable_telemetry_events


def set_default_logger_severity(severity: int) -> None:
    """No effect: Ingot prints nothing."""


def set_default_logger_verbosity(verbosity: int) -> None:
    """No effect: Ingot prints nothing."""


class OrtDevice:
    """Where memory is: always the processor's."""

    @staticmethod
    def make(kind: str, index: int) -> "OrtDevice":
        if kind.lower() != "cpu":
            raise InvalidArgument(f"Ingot runs on the cpu, not on '{kind}'")
        return OrtDevice()

    def device_type(self) -> str:
        return "cpu"

    def device_id(self) -> int:
        return 0


class OrtValue:
    """A value that a run may read and write. It holds a NumPy array (or, for sequences, a list of them)."""

    def __init__(self, value: Any) -> None:
        self._value = value

    @staticmethod
    def ortvalue_from_numpy(array: Any, device_type: str = "cpu", device_id: int = 0) -> "OrtValue":
        OrtDevice.make(device_type, device_id)
        return OrtValue(values.as_array(array))

    @staticmethod
    def ortvalue_from_shape_and_type(shape: Sequence[int], element_type: Any, device_type: str = "cpu", device_id: int = 0) -> "OrtValue":
        OrtDevice.make(device_type, device_id)
        return OrtValue(np.zeros(shape, element_type))

    def numpy(self) -> Any:
        return self._value

    def shape(self) -> list:
        return list(self._value.shape)

    def has_value(self) -> bool:
        return self._value is not None

    def is_tensor(self) -> bool:
        return isinstance(self._value, np.ndarray)

    def device_name(self) -> str:
        return "cpu"

    def data_ptr(self) -> int:
        return self._value.ctypes.data

    def data_type(self) -> str:
        """As in NodeArg.type."""
        return f"tensor({values.TYPE_NAMES.get(self.element_type(), 'undefined')})"

    def element_type(self) -> int:
        """ONNX's number of the element type."""
        return values.number_of(self._value)

    def tensor_size_in_bytes(self) -> int:
        return self._value.nbytes

    def is_sparse_tensor(self) -> bool:
        return False

    def is_tensor_sequence(self) -> bool:
        return isinstance(self._value, list)

    @staticmethod
    def from_dlpack(data: Any, is_bool_tensor: bool = False) -> "OrtValue":
        array = values.as_array(data)
        return OrtValue(array.view(np.bool_) if is_bool_tensor else array)

    def update_inplace(self, array: Any) -> None:
        np.copyto(self._value, array)

    def __dlpack__(self, **arguments: Any) -> Any:
        return self._value.__dlpack__(**arguments)

    def __dlpack_device__(self) -> tuple:
        return self._value.__dlpack_device__()


class _Run:
    """One C session with what a run needs at hand, for one thread at a time."""

    def __init__(self, owner: "InferenceSession") -> None:
        self.error = ffi.new("ingot_error *")
        options = ffi.new("ingot_session_options *", {
            "size_bytes": ffi.sizeof("ingot_session_options"), "n_threads": owner._options.intra_op_num_threads,
            "max_memory_bytes": owner._options.max_memory_bytes, "timeout_s": owner._options.timeout_s,
            "profile": owner._options.enable_profiling,
        })
        session = ffi.new("ingot_session **")
        status = lib.ingot_session_create(owner._model, options, session, self.error)
        if status:
            _raise(status, self.error)
        self.session = ffi.gc(session[0], lib.ingot_session_free)
        self.model = owner._model            # is freed after its sessions
        self.tensors = {name: ffi.new("ingot_tensor *") for name in owner._inputs}
        self.last: dict[str, tuple] = {}     # type and shape of each plain array that was bound before
        self.runner = owner._make_runner(self)


class InferenceSession:
    """A model that is ready to run, with onnxruntime's methods.

    Runs of several threads at once are allowed: each takes (or makes) a session of its own of the one model. Python's global
    lock is released while the model runs.
    """

    def __init__(self, path_or_bytes: Any, sess_options: SessionOptions | None = None, providers: Sequence | None = None,
                 provider_options: Sequence[dict] | None = None, **_: Any) -> None:
        self._options = sess_options or SessionOptions()
        self._error = ffi.new("ingot_error *")
        self._model = self._load(path_or_bytes)
        self._inputs = {a.name: (a, dtype, kind) for a, dtype, kind in self._arguments(lib.ingot_model_n_inputs, lib.ingot_model_input)}
        outputs = self._arguments(lib.ingot_model_n_outputs, lib.ingot_model_output)
        self._output_args = [a for a, _, _ in outputs]
        self._output_types = {a.name: dtype for a, dtype, _ in outputs}
        self._outputs = {a.name: i for i, a in enumerate(self._output_args)}
        self._sized = {name: given for name, (a, _, _) in self._inputs.items()
                       if (given := [(axis, size) for axis, size in enumerate(a.overridden) if size is not None])}
        self._encoded = {name: name.encode() for name in self._inputs}
        self._idle: list[_Run] = []
        self._lock = threading.Lock()
        first = _Run(self)
        self._runner = first.runner
        if self._runner is None:
            self._idle.append(first)
        self._started = time.time_ns()
        self._events: list[dict] = []
        if self._options.optimized_model_filepath:
            self._check(lib.ingot_model_save(self._model, os.fsencode(self._options.optimized_model_filepath), self._error))

    def _check(self, status: int) -> None:
        if status:
            _raise(status, self._error)

    def _load(self, path_or_bytes: Any) -> Any:
        o = self._options
        names = [ffi.new("char[]", name.encode()) for name in o.disabled_passes]
        passes = ffi.new("char *[]", [*names, ffi.NULL])
        options = ffi.new("ingot_model_options *", {
            "size_bytes": ffi.sizeof("ingot_model_options"), "max_memory_bytes": o.max_memory_bytes,
            "disabled_passes": ffi.cast("const char *const *", passes),
            "no_passes": o.graph_optimization_level == GraphOptimizationLevel.ORT_DISABLE_ALL,
        })
        model = ffi.new("ingot_model **")
        if isinstance(path_or_bytes, (bytes, bytearray, memoryview)):
            self._bytes = ffi.from_buffer(path_or_bytes)      # the model reads its weights from there
            self._check(lib.ingot_model_load_memory(self._bytes, len(self._bytes), options, model, self._error))
        elif hasattr(path_or_bytes, "SerializeToString"):
            self._bytes = ffi.from_buffer(path_or_bytes.SerializeToString())
            self._check(lib.ingot_model_load_memory(self._bytes, len(self._bytes), options, model, self._error))
        else:
            self._check(lib.ingot_model_load(os.fsencode(path_or_bytes), options, model, self._error))
        return ffi.gc(model[0], lib.ingot_model_free)

    def _arguments(self, count: Any, get: Any) -> list:
        result = []
        for i in range(count(self._model)):
            info = get(self._model, i)
            name = f"tensor({values.TYPE_NAMES.get(info.dtype, 'undefined')})"
            if info.kind != lib.INGOT_TENSOR:
                name = f"{values.KIND_NAMES[info.kind]}({name})"
            shape = [info.shape[d] if info.shape[d] >= 0 else _text(info.symbols[d]) if info.symbols[d] else None
                     for d in range(max(info.rank, 0))]
            result.append((NodeArg(_text(info.name), name, shape, self._options._sizes), info.dtype, info.kind))
        return result

    def _make_runner(self, run: _Run) -> Runner | None:
        """What runs plain arrays in one call, for one thread at a time; None where a value may be something else, and in profiles."""
        kinds = [kind for *_, kind in self._arguments(lib.ingot_model_n_outputs, lib.ingot_model_output)]
        inputs = tuple((name, self._encoded[name], dtype) for name, (_, dtype, _) in self._inputs.items())
        if self._options.enable_profiling or len(inputs) > 16 or set(kinds) | {k for *_, k in self._inputs.values()} != {lib.INGOT_TENSOR}:
            return None
        functions = [_address(ffi.addressof(lib, f"ingot_session_{name}"))
                     for name in ("set_input", "set_output", "plan", "run", "output", "value_type")]
        if self._options.timeout_s:          # which counts for runs alone: they plan themselves, and outputs are copied
            functions[2] = 0
        outputs = tuple((name, name.encode()) for name in self._outputs)
        return Runner(*functions, _address(run.session), run.session, inputs, outputs, values.PLAIN, np.ndarray, np.empty, _fail)

    # ---- what the model is ----

    def get_inputs(self) -> list[NodeArg]:
        return [a for a, _, _ in self._inputs.values()]

    def get_outputs(self) -> list[NodeArg]:
        return list(self._output_args)

    def get_overridable_initializers(self) -> list[NodeArg]:
        return []

    def get_modelmeta(self) -> ModelMetadata:
        summary, key, value = ffi.new("ingot_model_summary *"), ffi.new("char const **"), ffi.new("char const **")
        lib.ingot_model_summarize(self._model, summary)
        properties: dict[str, str] = {}
        while lib.ingot_model_property(self._model, len(properties), key, value):
            properties[_text(key[0])] = _text(value[0])
        return ModelMetadata(summary, _text, properties)

    def get_providers(self) -> list[str]:
        return [_PROVIDER]

    def get_provider_options(self) -> dict:
        return {_PROVIDER: {}}

    def set_providers(self, providers: Sequence | None = None, provider_options: Sequence[dict] | None = None) -> None:
        """No effect: there is one provider."""

    def get_session_options(self) -> SessionOptions:
        return self._options

    def enable_fallback(self) -> None:
        """No effect: there is one provider."""

    disable_fallback = enable_fallback

    # ---- running ----

    def _take(self) -> _Run:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return _Run(self)

    def _give_back(self, run: _Run) -> None:
        if self._options.enable_profiling:
            self._note_steps(run)
        with self._lock:
            self._idle.append(run)

    def _bind(self, run: _Run, feed: Mapping[str, Any]) -> list:
        keep: list = []
        session, error = run.session, run.error
        for name, value in feed.items():
            known = self._inputs.get(name)
            if known is None:
                raise InvalidArgument(f"the model has no input '{name}'; its inputs are {', '.join(self._inputs)}")
            tensor = run.tensors[name]
            last = run.last.get(name)
            if last is None or not values.refill(tensor, last, value, keep):
                tensor.kind = known[2]
                values.fill(tensor, value._value if type(value) is OrtValue else value, known[1], keep)
                plain = type(value) is np.ndarray and value.dtype.isbuiltin == 1 and value.size and value.dtype.kind not in "OUS"
                run.last.pop(name, None)
                if plain:
                    run.last[name] = (value.dtype, value.shape)
            status = lib.ingot_session_set_input(session, self._encoded[name], tensor, error)
            if status:
                _raise(status, error)
        return keep

    def _execute(self, run: _Run, feed: Mapping[str, Any]) -> list:
        """Run; outputs may lie in inputs' memory, so what is returned has to live until they are fetched."""
        if not isinstance(feed, Mapping):
            raise InvalidArgument(f"inputs are given by name: {{'{next(iter(self._inputs), 'x')}': array}}, not as {type(feed).__name__}")
        for name in self._inputs:
            if name not in feed:
                raise InvalidArgument(f"input '{name}' is missing")
        keep = self._bind(run, feed)
        status = lib.ingot_session_run(run.session, run.error)
        if status:
            _raise(status, run.error)
        return keep

    def _check_sizes(self, feed: Mapping[str, Any]) -> None:
        """Inputs whose free dimensions the options gave a size must have it."""
        for name, sizes in self._sized.items():
            value = feed.get(name)
            shape = getattr(value._value if type(value) is OrtValue else value, "shape", ())
            for axis, size in sizes:
                if axis < len(shape) and shape[axis] != size:
                    raise InvalidArgument(f"input '{name}' has size {shape[axis]} in dimension {axis}, which the session's options set to {size}")

    @contextlib.contextmanager
    def _watched(self, run: _Run, run_options: RunOptions | None) -> Iterator[None]:
        """While it lasts, RunOptions.terminate ends the run."""
        if run_options is None:
            yield
            return
        if run_options.terminate:
            raise RunCancelled("the run was cancelled")

        def cancel() -> None:
            lib.ingot_session_cancel(run.session)

        run_options._running.append(cancel)
        try:
            yield
        finally:
            run_options._running.remove(cancel)

    def _indices(self, output_names: Sequence[str] | None) -> Any:
        if not output_names:
            return range(len(self._output_args))
        if isinstance(output_names, str):
            raise InvalidArgument(f"outputs are asked for by a list of names: ['{output_names}']")
        for name in output_names:
            if name not in self._outputs:
                raise InvalidArgument(f"the model has no output '{name}'; its outputs are {', '.join(self._outputs)}")
        return [self._outputs[name] for name in output_names]

    def run(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], run_options: RunOptions | None = None) -> list:
        """Run the model. Returns the named outputs (all for None): NumPy arrays of their own, lists for sequences."""
        if self._sized:
            self._check_sizes(input_feed)
        if self._runner is not None and run_options is None:
            results = self._runner(output_names, input_feed)
            if results is not None:
                return results
        indices = self._indices(output_names)
        run = self._take()
        try:
            with self._watched(run, run_options):
                results = run.runner(output_names, input_feed) if run.runner else None
                if results is not None:
                    return results
                keep = self._execute(run, input_feed)  # noqa: F841
            return [values.fetch(lib.ingot_session_output(run.session, i)) for i in indices]
        finally:
            self._give_back(run)

    def run_with_ort_values(self, output_names: Sequence[str] | None, input_dict_ort_values: Mapping[str, OrtValue],
                            run_options: RunOptions | None = None) -> list[OrtValue]:
        return [OrtValue(value) for value in self.run(output_names, input_dict_ort_values, run_options)]

    def io_binding(self) -> "IOBinding":
        return IOBinding(self)

    def run_async(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any], callback: Callable[[list, Any, str], None],
                  user_data: Any, run_options: RunOptions | None = None) -> None:
        """Run on a thread of its own, which then calls callback(results, user_data, error): the error is "" where all went well."""
        def work() -> None:
            try:
                results, error = self.run(output_names, input_feed, run_options), ""
            except Exception as e:
                results, error = [], str(e)
            callback(results, user_data, error)

        threading.Thread(target=work, daemon=True).start()

    def run_with_iobinding(self, iobinding: "IOBinding", run_options: RunOptions | None = None) -> None:
        """Run on the binding's inputs; results are written to the memory that is bound to outputs, without a copy between."""
        self._check_sizes(iobinding._feed)
        run = self._take()
        lent = []
        try:
            with self._watched(run, run_options):
                for name in iobinding._fixed:
                    tensor = values.lend(iobinding._results[name], self._output_types[name])
                    if tensor is not None:
                        lent.append((name.encode(), tensor))
                        status = lib.ingot_session_set_output(run.session, *lent[-1], run.error)
                        if status:
                            _raise(status, run.error)
                keep = self._execute(run, iobinding._feed)  # noqa: F841
            for name in iobinding._results:
                iobinding._receive(name, values.fetch(lib.ingot_session_output(run.session, self._outputs[name]), copy=False))
        finally:
            for encoded, _ in lent:
                lib.ingot_session_set_output(run.session, encoded, ffi.NULL, run.error)
            self._give_back(run)

    # ---- profiling ----

    def get_profiling_start_time_ns(self) -> int:
        return self._started

    def _note_steps(self, run: _Run) -> None:
        step, index = ffi.new("ingot_step_info *"), 0
        now = (time.time_ns() - self._started) // 1000
        while lib.ingot_session_step(run.session, index, step):
            fused, name = _text(step.fused), _text(step.node) or _text(step.op_type)
            self._events.append({"name": f"{name} + {fused}" if fused else name, "cat": "Node", "ph": "X", "pid": os.getpid(), "tid": 0,
                                 "ts": now + step.start_ns / 1000, "dur": step.time_ns / 1000,
                                 "args": {"op_name": _text(step.op_type), "kernel": _text(step.kernel)}})
            index += 1

    def end_profiling(self) -> str:
        """Write the times of all runs for chrome://tracing or ui.perfetto.dev; returns the file's name."""
        path = f"{self._options.profile_file_prefix}_{time.strftime('%Y-%m-%d_%H-%M-%S')}.json"
        with open(path, "w", encoding="utf-8") as f:
            json.dump(self._events, f)
        return path


class IOBinding:
    """Inputs and outputs bound before a run."""

    def __init__(self, session: InferenceSession) -> None:
        self._session = session
        self._feed: dict[str, Any] = {}
        self._results: dict[str, Any] = {}
        self._fixed: set[str] = set()

    def bind_cpu_input(self, name: str, array: Any) -> None:
        self._feed[name] = array

    def bind_ortvalue_input(self, name: str, value: OrtValue) -> None:
        self._feed[name] = value

    def bind_input(self, name: str, device_type: str, device_id: int, element_type: Any, shape: Sequence[int], buffer_ptr: int) -> None:
        OrtDevice.make(device_type, device_id)
        self._feed[name] = self._at(element_type, shape, buffer_ptr)

    def bind_output(self, name: str, device_type: str = "cpu", device_id: int = 0, element_type: Any = None,
                    shape: Sequence[int] | None = None, buffer_ptr: int | None = None) -> None:
        OrtDevice.make(device_type, device_id)
        self._session._indices([name])
        self._results[name] = None if buffer_ptr is None else self._at(element_type, shape or (), buffer_ptr)
        (self._fixed.discard if buffer_ptr is None else self._fixed.add)(name)

    def bind_ortvalue_output(self, name: str, value: OrtValue) -> None:
        self._session._indices([name])
        self._results[name] = value._value
        self._fixed.add(name)

    @staticmethod
    def _at(element_type: Any, shape: Sequence[int], pointer: int) -> np.ndarray:
        dtype = np.dtype(element_type)
        size = dtype.itemsize * int(np.prod(shape, dtype=np.int64))
        return np.frombuffer(ffi.buffer(ffi.cast("char *", pointer), size), dtype).reshape(shape)

    def _receive(self, name: str, value: Any) -> None:
        if name not in self._fixed:
            self._results[name] = value.copy() if isinstance(value, np.ndarray) else value
            return
        bound = self._results[name]
        if bound.shape != value.shape or bound.dtype != value.dtype:
            raise InvalidArgument(f"output '{name}' is {value.dtype} {value.shape}, what is bound to it {bound.dtype} {bound.shape}")
        if bound.ctypes.data != value.ctypes.data:
            np.copyto(bound, value)

    def get_outputs(self) -> list[OrtValue]:
        return [OrtValue(value) for value in self._results.values()]

    def copy_outputs_to_cpu(self) -> list:
        return list(self._results.values())

    def clear_binding_inputs(self) -> None:
        self._feed.clear()

    def clear_binding_outputs(self) -> None:
        self._results.clear()
        self._fixed.clear()

    def synchronize_inputs(self) -> None:
        """No effect: there is one device."""

    synchronize_outputs = synchronize_inputs


class Model:
    """A model to call: inputs in graph order or by name; one output as it is, several as a tuple."""

    def __init__(self, session: InferenceSession) -> None:
        self.session = session
        self._names = [a.name for a in session.get_inputs()]

    def __call__(self, *inputs: Any, **named: Any) -> Any:
        if len(inputs) > len(self._names):
            raise InvalidArgument(f"{len(inputs)} inputs are given, the model has {len(self._names)}")
        results = self.session.run(None, {**dict(zip(self._names, inputs)), **named})
        return results[0] if len(results) == 1 else tuple(results)


def load(path_or_bytes: Any, threads: int = 0) -> Model:
    """Load a model (a path, bytes or a ModelProto) to be called."""
    options = SessionOptions()
    options.intra_op_num_threads = threads
    return Model(InferenceSession(path_or_bytes, options))
