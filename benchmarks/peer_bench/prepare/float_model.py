"""The float model that every peer's file is made of, and the job that all runtimes do."""

from pathlib import Path

import torch
from transformers import AutoModel, PreTrainedModel  # pyright: ignore[reportMissingImports]

INPUT_NAMES = ("input_ids", "attention_mask", "token_type_ids")


class Encoder(torch.nn.Module):
    """Token ids -> token states [batch, length, hidden]; with ``pooling`` their mean [batch, hidden]."""

    def __init__(self, model: PreTrainedModel, pooling: bool) -> None:
        super().__init__()
        self.model = model
        self.pooling = pooling

    def forward(
        self, input_ids: torch.Tensor, attention_mask: torch.Tensor, token_type_ids: torch.Tensor
    ) -> torch.Tensor:
        states = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            token_type_ids=token_type_ids,
            return_dict=False,
        )[0]
        if not self.pooling:
            return states
        weights = attention_mask.unsqueeze(-1).to(states.dtype)
        return (states * weights).sum(1) / weights.sum(1)


def load_encoder(folder: Path, pooling: bool, attention: str) -> Encoder:
    """The checkpoint, its attention ``eager`` or ``sdpa``: whichever the exporter knows best."""
    model = AutoModel.from_pretrained(
        folder, attn_implementation=attention, add_pooling_layer=False, dtype=torch.float32
    )
    return Encoder(model, pooling).eval()


def example_inputs(length: int = 128) -> dict[str, torch.Tensor]:
    """Inputs to trace with."""
    ids = torch.arange(1000, 1000 + length).unsqueeze(0)
    return dict(zip(INPUT_NAMES, (ids, torch.ones_like(ids), torch.zeros_like(ids)), strict=True))
