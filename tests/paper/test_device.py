"""The device: which one is selected, and that temporary settings are restored."""

import pytest
import torch

from nital.errors import SettingError
from nital.paper.device import repeatable, resolve_device, using_threads


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert resolve_device("auto").type == "cpu"
    with pytest.raises(SettingError, match="'cuda': not on this machine; use one of auto, cpu"):
        resolve_device("cuda")
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert resolve_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert resolve_device("auto").type == "cuda"


def test_what_is_set_for_a_while_is_put_back() -> None:
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    with repeatable("cuda", threads + 1):
        assert torch.get_float32_matmul_precision() == "high"
        assert torch.get_num_threads() == threads + 1
        with using_threads(1):
            assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == threads + 1
    assert torch.get_float32_matmul_precision() == precision
    assert torch.get_num_threads() == threads


def stop() -> None:
    raise ValueError("stop")


def test_it_is_put_back_after_an_error_as_well() -> None:
    precision, threads = torch.get_float32_matmul_precision(), torch.get_num_threads()
    with pytest.raises(ValueError, match="stop"), repeatable("cuda", threads + 1):
        stop()
    assert torch.get_float32_matmul_precision() == precision
    assert torch.get_num_threads() == threads
