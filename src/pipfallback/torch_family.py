"""The distributions that belong to torch (DESIGN 4): what a change of torch changes with it."""

from __future__ import annotations

# Its companions, each built for one torch.
TORCH_FAMILY = ("torch", "torchvision", "torchaudio", "torchtext", "torchcodec", "triton")

# What each build of torch brings in the one version that it is built with: its CUDA libraries, by how they are called.
COMES_WITH_TORCH = ("nvidia-", "cuda-")


def is_of_torch(name: str) -> bool:
    """Whether a distribution (PEP 503 name) is of torch's family: one of its companions, or what comes with it."""
    return name in TORCH_FAMILY or comes_with_torch(name)


def comes_with_torch(name: str) -> bool:
    """Whether a build of torch brings it in the one version that it is built with: its compiler, its CUDA libraries."""
    return name == "triton" or name.startswith(COMES_WITH_TORCH)
