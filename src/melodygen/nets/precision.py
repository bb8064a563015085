"""Which number type a device multiplies fastest."""

from __future__ import annotations

import torch


def has_bf16(device: torch.device | str = "cpu") -> bool:
    """Return whether the device multiplies bfloat16 natively.

    Where a device only emulates it (a processor without AVX-512 BF16, a GPU older than Ampere) float32 is up
    to a hundred times faster. On MPS bfloat16 gains too little to give up digits, so the answer is False
    there.
    """
    kind = torch.device(device).type
    if kind == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    probe = getattr(torch.cpu, "get_capabilities", None)  # torch 2.5 has no such question: then float32
    return kind == "cpu" and probe is not None and bool(probe().get("avx512_bf16", False))
