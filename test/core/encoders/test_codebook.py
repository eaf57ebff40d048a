"""The search for words: the same ones by either way, nearly always the nearest of all."""

import pytest
import torch
from torch.nn.functional import normalize

from ace_slam_ros.core.config.sections import EncoderConfig
from ace_slam_ros.core.encoders.codebook import Codebook
from ace_slam_ros.core.encoders.loading import load_encoder
from ace_slam_ros.core.encoders.torch_codebook import TorchCodebook

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def codebook():
    """The one that ships: 4,096 words in 64 groups."""
    return TorchCodebook(load_encoder(EncoderConfig(), CPU).codebook, CPU)


def some_descriptors(codebook, count=1200, noise=0.6):
    """Near words, as descriptors of images are."""
    generator = torch.Generator().manual_seed(1)
    words = codebook.words_KD[torch.randint(len(codebook.words_KD), (count,), generator=generator)]
    apart = torch.randn(words.shape, generator=generator) * noise / words.shape[1] ** 0.5
    return normalize(words + apart, dim=1)


@pytest.mark.parametrize("neighbors", [1, 2, 5])
def test_words_are_equal_by_both_search_paths(codebook, neighbors):
    d = some_descriptors(codebook)
    by_group, at_once = codebook.nearest(d, neighbors), codebook.nearest_at_once(d, neighbors)
    assert by_group.dtype == at_once.dtype == torch.int64
    # where two words or groups are as near, rounding decides
    similar = (d[:, None] * codebook.words_KD[by_group]).sum(-1) - (
        d[:, None] * codebook.words_KD[at_once]).sum(-1)
    assert similar.abs().max() < 1e-5
    assert (by_group == at_once).all(dim=1).float().mean() > 0.999


@pytest.mark.parametrize("groups", [1, 3, 7])
def test_few_groups_and_empty_ones_are_searched(groups):
    generator = torch.Generator().manual_seed(2)
    words, centers, d = (normalize(torch.randn(n, 12, generator=generator), dim=1)
                         for n in (40, groups, 200))
    centers[-1] = centers[0]  # no word is nearer to the last
    small = TorchCodebook(Codebook(words, torch.eye(12), centers), CPU)
    some = small.nearest(d, 1)
    assert torch.equal(some, small.nearest_at_once(d, 1)) or groups > 4
    apart = (d * words[some[:, 0]]).sum(1) - (d * words[small.nearest_at_once(d, 1)[:, 0]]).sum(1)
    assert (apart.abs() < 1e-5).float().mean() > 0.8, "of groups as near, either may count"
    assert len(small.nearest(d[:0], 3)) == 0


@pytest.mark.cuda
def test_a_gpu_finds_the_same_words(codebook):
    if not torch.cuda.is_available():
        pytest.skip("no GPU")
    d = some_descriptors(codebook)
    there = TorchCodebook(codebook._host, "cuda").nearest(d.cuda(), 1).cpu()
    assert (there == codebook.nearest(d, 1)).float().mean() > 0.999


def test_most_words_are_the_nearest_of_all(codebook):
    d = some_descriptors(codebook)
    found = codebook.nearest(d, 2)
    best = (d @ codebook.words_KD.T).argmax(dim=1)
    assert (found[:, 0] == best).float().mean() > 0.9
    chosen = (d[:, None] * codebook.words_KD[found]).sum(-1)
    assert (chosen[:, 0] >= chosen[:, 1]).all() and (found[:, 0] != found[:, 1]).all()
