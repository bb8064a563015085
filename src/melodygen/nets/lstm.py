"""An LSTM language model with the interface of the Transformer.

Letters: B batch, T steps, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LstmState = list[Tensor]


class Lstm(nn.Module):
    """LSTM language model: ids (B, T) -> logits (B, T, V). The embedding is also the output matrix, through a
    projection.

    Args:
        vocabulary_size: number of token ids.
        width: width of the embedding.
        hidden: width of the LSTM.
        layers: number of LSTM layers.
        dropout: probability 0-1, between layers and around them.
        context: largest number of tokens in a training window.
    """

    def __init__(
        self, vocabulary_size: int, width: int = 256, hidden: int = 640, layers: int = 2, dropout: float = 0.0,
        context: int = 1024,
    ) -> None:  # fmt: skip
        super().__init__()
        self.context = context
        self.width = width
        self.layers = layers
        self.hidden = hidden
        self.embedding = nn.Embedding(vocabulary_size, width)
        self.lstm = nn.LSTM(width, hidden, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.project = nn.Linear(hidden, width, bias=False)
        self.norm = nn.RMSNorm(width, eps=1e-6)
        self.dropout = nn.Dropout(dropout)
        nn.init.normal_(self.embedding.weight, std=0.02)

    def _run(self, ids: Tensor, state: tuple[Tensor, Tensor] | None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        x = self.dropout(self.embedding(ids) * self.width**0.5)
        out, state = self.lstm(x, state)
        hidden = self.norm(self.project(self.dropout(out)))
        assert state is not None
        return functional.linear(hidden, self.embedding.weight), state

    def forward(self, ids: Tensor) -> Tensor:
        """Return the logits (B, T, V) of ids (B, T)."""
        return self._run(ids, None)[0]

    def new_state(self, batch: int, capacity: int) -> LstmState:
        """Return zero hidden and cell state. An LSTM needs no ``capacity``; the Transformer does."""
        zeros = self.embedding.weight.new_zeros(self.layers, batch, self.hidden)
        return [zeros, zeros.clone()]

    def step(self, ids: Tensor, state: LstmState, at: int, starts: Tensor | None = None) -> Tensor:
        """Feed ids (B, T) and return the logits (B, V) of the next token; the state is replaced in place.

        ``at`` and ``starts`` belong to the Transformer: an LSTM keeps no positions.
        """
        logits, (hidden, cell) = self._run(ids, (state[0], state[1]))
        state[0], state[1] = hidden, cell
        return logits[:, -1]

    def merge_states(self, states: list[LstmState], lengths: list[int], capacity: int) -> LstmState:
        """Return one state made from states of one row each."""
        return [torch.cat([s[part] for s in states], dim=1) for part in range(2)]

    def keep_rows(self, state: LstmState, rows: list[int]) -> LstmState:
        """Return the state of the given rows only."""
        return [part[:, rows] for part in state]
