"""Training tokens a second beside a Hugging Face GPT-2 of the same size, on the same batch, alternating in one run.

    pip install transformers
    python benchmarks/train.py [--rows 6] [--rounds 5] [--threads 2]

Seconds are the process's own CPU time over the threads, so that other work on the machine does not count. A step is
forward, backward, clipping and the optimizer's step: ours as `melodygen train` does it (Muon), and both nets
with the same AdamW, so that the net and the optimizer can be told apart.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import GPT2Config, GPT2LMHeadModel

from melodygen.nets.precision import has_bf16
from melodygen.nets.transformer import Transformer
from melodygen.tokens.vocabulary import VOCABULARY
from melodygen.training.generator.trainer import GeneratorRecipe, make_optimizers


def stepper(
    net: nn.Module, forward: Callable[[Tensor], Tensor], kind: str, bf16: bool
) -> Callable[[Tensor], None]:
    optimizers = make_optimizers(net, GeneratorRecipe(optimizer=kind))

    def step(tokens: Tensor) -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = forward(tokens[:, :-1])
        loss = functional.cross_entropy(logits.float().flatten(0, 1), tokens[:, 1:].flatten())
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(net.parameters(), 1.0)
        for optimizer in optimizers:
            optimizer.step()

    return step


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    bf16 = has_bf16()
    ours = [Transformer(VOCABULARY.size, 256, 6, 4) for _ in range(2)]
    config = GPT2Config(vocab_size=VOCABULARY.size, n_positions=1024, n_embd=256, n_layer=6, n_head=4,
                        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0)  # fmt: skip
    theirs = GPT2LMHeadModel(config).train()
    steps = {
        "melodygen, muon": stepper(ours[0], ours[0], "muon", bf16),
        "melodygen, adamw": stepper(ours[1], ours[1], "adamw", bf16),
        "gpt2, adamw": stepper(
            theirs, lambda ids: theirs(input_ids=ids, use_cache=False).logits, "adamw", bf16
        ),
    }
    tokens = torch.randint(0, VOCABULARY.size, (arguments.rows, 1025))
    for step in steps.values():
        step(tokens)
    spent: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(arguments.rounds):
        for name, step in steps.items():
            begun = time.process_time()
            step(tokens)
            spent[name].append((time.process_time() - begun) / arguments.threads)
    base = np.array(spent["gpt2, adamw"])
    told = {
        "parameters": {
            "melodygen": sum(p.numel() for p in ours[0].parameters()),
            "gpt2": sum(p.numel() for p in theirs.parameters()),
        },
        "bf16": bf16, "attention": theirs.config._attn_implementation,
        "tokens_a_second": {n: round(arguments.rows * 1024 / float(np.median(s))) for n, s in spent.items()},
        "over_gpt2": {n: round(float(np.median(base / np.array(s))), 2) for n, s in spent.items()},
    }  # fmt: skip
    print(json.dumps(told, indent=1))


if __name__ == "__main__":
    main()
