from collections.abc import Mapping, Sequence
from typing import Any

class Runner:
    def __init__(self, set_input: int, set_output: int, plan: int, run: int, output: int, value_type: int, session: int, owner: Any,
                 inputs: tuple, outputs: tuple, dtypes: tuple, ndarray: type, empty: Any, fail: Any) -> None: ...
    def __call__(self, output_names: Sequence[str] | None, input_feed: Mapping[str, Any]) -> list | None: ...
