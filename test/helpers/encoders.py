"""Random weights and codebooks for encoders of others."""

import torch
from safetensors.torch import save_file

CPU = torch.device("cpu")


def random_weights(network, path, seed=0):
    """Write a state dict of random tensors that keep activations alive."""
    torch.manual_seed(seed)
    state = network.state_dict()
    for name, value in state.items():
        if value.ndim == 4:
            torch.nn.init.kaiming_normal_(value)
        elif name.endswith("running_var"):
            value.uniform_(0.5, 2.0)
        elif value.is_floating_point():
            value.normal_(0, 0.1)
    torch.save(state, path)
    return state


def random_codebook(path, dimension, words=64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    d = torch.nn.functional.normalize(torch.randn(words, dimension, generator=generator), dim=1)
    save_file({"words": d.half(), "coarse": d[:8].clone(),
               "projection": torch.randn(dimension, 16, generator=generator)}, path)
