"""What onnxruntime's users set: session and run options, and the constants in them. What Ingot decides by itself is accepted and
has no effect; each such attribute says so."""
from __future__ import annotations

import enum
from collections.abc import Callable
from typing import Any


class GraphOptimizationLevel(enum.IntEnum):
    """Everything from ORT_ENABLE_BASIC on is all of Ingot's passes."""

    ORT_DISABLE_ALL = 0
    ORT_ENABLE_BASIC = 1
    ORT_ENABLE_EXTENDED = 2
    ORT_ENABLE_LAYOUT = 3
    ORT_ENABLE_ALL = 99


class ExecutionMode(enum.IntEnum):
    """Nodes always run one after the other, each on all threads."""

    ORT_SEQUENTIAL = 0
    ORT_PARALLEL = 1


class SessionOptions:
    """Options of a session, with onnxruntime's names and Ingot's own."""

    def __init__(self) -> None:
        #: Threads of a run; 0: as many processors as the process may use.
        self.intra_op_num_threads: int = 0
        #: No effect: nodes run one after the other.
        self.inter_op_num_threads: int = 0
        self.execution_mode: ExecutionMode = ExecutionMode.ORT_SEQUENTIAL
        self.graph_optimization_level: GraphOptimizationLevel = GraphOptimizationLevel.ORT_ENABLE_ALL
        #: Where to write the model as the passes left it; "": nowhere.
        self.optimized_model_filepath: str = ""
        self.enable_profiling: bool = False
        #: Start of the name of the file that InferenceSession.end_profiling() writes.
        self.profile_file_prefix: str = "ingot_profile"
        #: No effect: Ingot prints nothing.
        self.log_severity_level: int = 2
        self.log_verbosity_level: int = 0
        self.logid: str = ""
        #: No effect: memory is always planned, and freed with the session.
        self.enable_mem_pattern: bool = True
        self.enable_mem_reuse: bool = True
        self.enable_cpu_mem_arena: bool = True
        #: No effect: results always have the same bits.
        self.use_deterministic_compute: bool = False
        #: Ingot's own: bytes that a session may allocate (0: no limit), seconds a run may take (0: no limit), passes left out.
        self.max_memory_bytes: int = 0
        self.timeout_s: float = 0.0
        self.disabled_passes: list[str] = []
        self._entries: dict[str, str] = {}
        self._sizes: dict[str, int] = {}

    def add_session_config_entry(self, key: str, value: str) -> None:
        """Kept and given back; none has an effect."""
        self._entries[key] = value

    def get_session_config_entry(self, key: str) -> str:
        return self._entries[key]

    def add_free_dimension_override_by_name(self, name: str, size: int) -> None:
        """Inputs must then have this size where the model's dimension has that name; NodeArg.shape shows it."""
        self._sizes[name] = size

    def register_custom_ops_library(self, path: str) -> None:
        raise NotImplementedError("Ingot loads no code of other engines")


class RunOptions:
    """Options of one run; `terminate` alone has an effect."""

    def __init__(self) -> None:
        self._terminate = False
        self._running: list[Callable[[], None]] = []
        self.log_severity_level: int = 2
        self.log_verbosity_level: int = 0
        self.logid: str = ""
        self.only_execute_path_to_fetches: bool = False
        self._entries: dict[str, str] = {}

    @property
    def terminate(self) -> bool:
        """Set it, from any thread, to end the runs that have these options with RunCancelled, and those that follow until it is unset."""
        return self._terminate

    @terminate.setter
    def terminate(self, value: bool) -> None:
        self._terminate = value
        for cancel in list(self._running) if value else []:
            cancel()

    def add_run_config_entry(self, key: str, value: str) -> None:
        self._entries[key] = value

    def get_run_config_entry(self, key: str) -> str:
        return self._entries[key]


class ModelMetadata:
    """What a model says about itself."""

    def __init__(self, summary: Any, text: Any, properties: dict[str, str]) -> None:
        self.producer_name: str = text(summary.producer)
        self.graph_name: str = text(summary.graph_name)
        self.domain: str = text(summary.domain)
        #: Texts of documentation are not kept when a model is loaded.
        self.description: str = ""
        self.graph_description: str = ""
        self.version: int = summary.model_version
        self.custom_metadata_map: dict[str, str] = properties


class NodeArg:
    """Name, type and shape of a graph input or output."""

    def __init__(self, name: str, type_name: str, shape: list, sizes: dict[str, int] | None = None) -> None:
        self.name, self.type = name, type_name
        #: Sizes from SessionOptions.add_free_dimension_override_by_name(), None elsewhere.
        self.overridden: list = [(sizes or {}).get(d) if isinstance(d, str) else None for d in shape]
        self.shape: list = [d if size is None else size for d, size in zip(shape, self.overridden)]

    def __repr__(self) -> str:
        return f"NodeArg(name='{self.name}', type='{self.type}', shape={self.shape})"
