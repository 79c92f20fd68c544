"""A device that is not there: finds on any machine what would mix devices on a GPU.

Its tensors hold numbers of the CPU's, but say that they are elsewhere: an operation on tensors of both places
fails as it does on a GPU, and so does making NumPy arrays of them. Results are the CPU's but for last bits:
PyTorch takes other kernels here and there, for attention above all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any, NoReturn
from unittest import mock

import pytest
import torch
from torch import Tensor
from torch.utils import backend_registration
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

_NAME = "away"
_aten: Any = torch.ops.aten
# What moves numbers from one device to another.
_MOVES = frozenset({_aten.copy_.default, _aten._to_copy.default})
# A GPU takes indices from the CPU's memory.
_INDEXED = frozenset({_aten.index.Tensor, _aten.index_put.default, _aten.index_put_.default})
# What Python has to know the result of, or its shape.
_WAITS = frozenset(
    {
        _aten._local_scalar_dense.default,
        _aten.nonzero.default,
        _aten.masked_select.default,
        _aten.equal.default,
        _aten.repeat_interleave.Tensor,
    }
)


@contextmanager
def away() -> Iterator[torch.device]:
    """Tensors can be made on the device that is yielded, and sent there, until the end.

    Skips a test where PyTorch takes no such device.
    """
    found = _register()
    if isinstance(found, str):
        pytest.skip(found)
    modes, future = torch.inference_mode, torch.__future__
    swapped = future.get_swap_module_params_on_conversion()
    # As on a GPU, a parameter that is sent there stays the object that an optimizer knows.
    future.set_swap_module_params_on_conversion(True)
    # Tensors that are made of others can't be marked as only for inference.
    with (
        mock.patch.object(modes, "__enter__", _no_grad),
        mock.patch.object(modes, "__exit__", _grad_again),
        # Backward passes on this thread: PyTorch's own threads for devices know nothing of Python.
        torch.autograd.set_multithreading_enabled(False),
        _Mode(),
    ):
        try:
            yield torch.device(_NAME, 0)
        finally:
            future.set_swap_module_params_on_conversion(swapped)


class Recording(TorchDispatchMode):
    """Refuses what can't be recorded as a CUDA graph: to wait for numbers, and to send some.

    Entered within `away`.
    """

    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        places = {leaf.device.type for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)}
        if operation in _MOVES and kwargs.get("device") is not None:
            places.add(torch.device(kwargs["device"]).type)
        sends = operation in _MOVES and len(places) > 1
        picks = operation in _INDEXED and any(
            index is not None and index.dtype == torch.bool for index in args[1]
        )
        if sends or picks or operation in _WAITS:
            raise RuntimeError(f"{operation} can't be recorded as a CUDA graph")
        return operation(*args, **kwargs)


class _Module:
    """What ``torch.cuda`` is for CUDA. Random numbers are the CPU's."""

    get_rng_state = staticmethod(lambda device=None: torch.get_rng_state())
    set_rng_state = staticmethod(lambda state, device=None: torch.set_rng_state(state))
    device = staticmethod(lambda index: nullcontext())

    def is_available(self) -> bool:
        return False  # or others would take it for the machine's accelerator

    def is_initialized(self) -> bool:
        return True

    def _is_in_bad_fork(self) -> bool:
        return False

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def manual_seed_all(self, seed: int) -> None:
        """With the CPU's."""

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]


class _Away(Tensor):
    """A tensor that says it is elsewhere.

    Attributes:
        here: its numbers.
    """

    here: Tensor

    @staticmethod
    def __new__(cls, here: Tensor) -> _Away:
        made: Any = Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            here.size(),
            strides=here.stride(),
            storage_offset=here.storage_offset(),
            dtype=here.dtype,
            layout=here.layout,
            device=torch.device(_NAME, 0),
            requires_grad=here.requires_grad,
        )
        made.here = here
        found: _Away = made
        return found

    @classmethod
    def __torch_dispatch__(  # type: ignore[override]
        cls, operation: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(operation, args, kwargs or {})

    def __repr__(self, **options: Any) -> str:  # type: ignore[override]
        return f"away({self.here!r})"

    def tolist(self) -> Any:
        return self.here.tolist()

    def __reduce_ex__(self, protocol: Any) -> Any:  # files hold numbers of the CPU
        return self.here.__reduce_ex__(protocol)

    # Where memory is: checkpoints ask which tensors share some.
    def data_ptr(self) -> int:
        return self.here.data_ptr()

    def storage(self) -> Any:
        return self.here._typed_storage()

    def untyped_storage(self) -> torch.UntypedStorage:
        return self.here.untyped_storage()

    def numpy(self, *, force: bool = False) -> NoReturn:
        raise TypeError(f"can't make a NumPy array of a tensor on {self.device}: send it to the CPU first")


class _Mode(TorchDispatchMode):
    def __torch_dispatch__(
        self, operation: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(operation, args, kwargs or {})


def _run(operation: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """An operation on the numbers; its results are where PyTorch would put them."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    moved = {id(tensor.here): tensor for tensor in tensors if isinstance(tensor, _Away)}
    device = kwargs.get("device")
    aimed = None if device is None else torch.device(device).type == _NAME
    generator = kwargs.get("generator")
    if aimed and generator is not None and generator.device.type != _NAME:
        raise RuntimeError(f"{operation} on {_NAME} got a generator of {generator.device}")
    if moved and operation not in _MOVES:
        _refuse_mixture(operation, args, tensors)
    result = operation(*tree_map(_here, args), **tree_map(_here, kwargs))
    if operation is _aten.copy_.default:
        return args[0]
    if operation is _aten._local_scalar_dense.default or not (moved if aimed is None else aimed):
        return result

    def wrap(value: Any) -> Any:
        if not isinstance(value, Tensor):
            return value
        return moved[id(value)] if id(value) in moved else _Away(value)

    return tree_map(wrap, result)


def _refuse_mixture(operation: Any, args: Sequence[Any], tensors: Sequence[Tensor]) -> None:
    strangers = [tensor for tensor in tensors if not isinstance(tensor, _Away) and tensor.dim()]
    if operation in _INDEXED and isinstance(args[0], _Away):
        indices = {id(index) for index in args[1]}
        strangers = [tensor for tensor in strangers if id(tensor) not in indices]
    if strangers:
        kinds = ", ".join(f"{tuple(tensor.shape)} on {tensor.device}" for tensor in tensors)
        raise RuntimeError(f"Expected all tensors to be on the same device: {operation} got {kinds}")


def _here(value: Any) -> Any:
    if isinstance(value, _Away):
        return value.here
    if isinstance(value, torch.device) and value.type == _NAME:
        return torch.device("cpu")
    return value


def _empty_strided(size: Any, stride: Any, *, dtype: Any = None, **rest: Any) -> Tensor:
    return _Away(torch.empty_strided(size, stride, dtype=dtype))


def _empty(size: Any, *, dtype: Any = None, **rest: Any) -> Tensor:
    return _Away(torch.empty(size, dtype=dtype))


def _copy_from(source: Tensor, target: Tensor, non_blocking: bool = False) -> Tensor:
    _here(target).copy_(_here(source))
    return target


def _no_grad(self: Any) -> None:
    self.away = torch.no_grad() if self.mode else nullcontext()
    self.away.__enter__()


def _grad_again(self: Any, *error: Any) -> None:
    self.away.__exit__(*error)


@cache
def _register() -> torch.library.Library | str:
    """Tell PyTorch of the device, for the rest of the process; what it knows it by, or why it takes none."""
    tell = getattr(backend_registration, "_setup_privateuseone_for_python_backend", None)
    if tell is None:
        return f"PyTorch {torch.__version__} takes no device that is written in Python"
    try:
        tell(_NAME, backend_module=_Module())
    except RuntimeError as error:  # its one place for devices from outside is taken
        return f"PyTorch takes no other device: {error}"
    library = torch.library.Library("aten", "IMPL")
    # Some functions, torch.tensor among them, pass the dispatch mode by.
    library.impl("empty_strided", _empty_strided, "PrivateUse1")
    library.impl("empty.memory_format", _empty, "PrivateUse1")
    library.impl("_copy_from", _copy_from, "PrivateUse1")
    return library
