from typing import Any

ALGORITHMS: dict[str, int]
ACTIVATIONS: dict[str | None, int]
INTEGER_TERMS: int
INTEGER_CHANNELS: int
SUM_RESULTS: dict[str, int]
REDUCTIONS: dict[str, int]
MORE: int
PACKED_BYTES: int
POOLINGS: dict[str, int]
BORDERS: dict[str, int]
DTYPES: dict[str, int]

class Task:
    algorithm: str
    def __init__(
        self, isa: str, bits: int, algorithm: str, sizes: dict[str, Any],
        of_integers: dict[str, Any] | None = ..., /,
    ) -> None: ...
    def __call__(self, x: Any, kernel: Any, outs: tuple[Any, ...], threads: int, /) -> None: ...
    @property
    def units(self) -> int: ...
    @property
    def scratch_bytes(self) -> int: ...

class Conv2d(Task):
    @property
    def blocks(self) -> tuple[int, int, int, int]: ...
    @property
    def packed_size(self) -> int: ...
    def pack(self, weight: Any, packed: Any, /) -> None: ...
    def __call__(self, threads: int, /, *arrays: Any) -> None: ...

class Conv2dCall:
    task: Conv2d
    threads: int
    isa: str
    seconds: float
    shapes: tuple[tuple[int, ...], ...]
    dtypes: tuple[Any, ...]
    bias: Any
    def __init__(
        self, task: Conv2d, threads: int, isa: str, seconds: float,
        shapes: tuple[tuple[int, ...], ...], dtypes: tuple[Any, ...], packed: Any, bias: Any, /,
    ) -> None: ...
    def __call__(self, x: Any, out: Any, weight: Any, /) -> Any: ...

class Filter2d(Task):
    @property
    def blocks(self) -> tuple[int, int]: ...

class PlannedCall:
    def __init__(
        self, task: Task, threads: int, shared: bool, image_shape: tuple[int, ...],
        image_dtype: Any, shape: tuple[int, ...], dtype: Any, kernel: Any,
        places: int | tuple[int, ...], options: tuple[Any, ...], /,
    ) -> None: ...
    def __call__(self, image: Any, out: Any, options: tuple[Any, ...]) -> Any: ...

class Pool(Task): ...

def isas() -> dict[str, int]: ...
def openmp_max_threads() -> int: ...
def l2_bytes() -> int: ...
def has_vnni() -> bool: ...
def fma_peak(isa: str, bits: int, seconds: float, /) -> float: ...
