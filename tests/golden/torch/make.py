"""Write what PyTorch writes: python make.py, where PyTorch 2 is."""

import numpy as np
import torch

torch.manual_seed(0)
whole = torch.randn(3, 4)
model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.LayerNorm(3))
tensors = dict(
    model.state_dict(),
    whole=whole,
    turned=whole.t(),
    part=whole[1:, 1:3],
    tied=whole,
    half=whole.half(),
    bfloat16=whole.bfloat16(),
    double=whole.double(),
    numbers=torch.arange(5),
    flags=torch.tensor([True, False]),
    scalar=torch.tensor(3.5),
    empty=torch.zeros(0, 4),
    parameter=torch.nn.Parameter(whole),
)
state = model.state_dict()
state.update(tensors)
torch.save(state, "zip.bin")
torch.save(tensors, "legacy.bin", _use_new_zipfile_serialization=False)
np.savez("tensors.npz", **{name: value.detach().float().numpy() for name, value in tensors.items()})
