"""The eyes of the network: what stands where, what is passed over, and what must not move."""

import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from fabg.errors import ConfigError
from fabg.learn.vision import NEAREST_M, Augment, Compact, Dinov2, Eyes, VisionConfig, nearness

torch.set_num_threads(1)  # several wait for each other when the machine is busy


def pictures(count=2, size=(96, 128), seed=0):
    rng = np.random.default_rng(seed)
    left, right = rng.integers(0, 256, (2, count, 3, *size), dtype=np.uint8)
    depth = rng.uniform(0.3, 2.0, (count, 1, *size)).astype(np.float32)
    depth[rng.random(depth.shape) < 0.3] = 0.0
    return tuple(torch.from_numpy(array) for array in (left, right, depth))


def eyes(width=32, backbone=None, **config):
    torch.manual_seed(0)
    return Eyes(VisionConfig(**config), width, backbone).eval()


@pytest.mark.parametrize("depth", [True, False])
def test_there_is_a_token_for_every_place(depth):
    made = eyes(depth=depth)
    left, right, far = pictures(3)
    tokens = made(left, right, far if depth else None)
    assert made.grid == (6, 8) and made.tokens == 48 and tokens.shape == (3, 48, 32)
    # Each pair is read by itself, and levels are levels whatever their type.
    alone = made(left[1:2].float(), right[1:2].float(), far[1:2] if depth else None)
    torch.testing.assert_close(tokens[1:2], alone, rtol=1e-4, atol=1e-5)
    assert (tokens[0] - tokens[1]).abs().max() > 1e-2


@pytest.mark.parametrize("row, column", [(1, 1), (2, 5), (4, 7)])
def test_a_token_looks_at_its_place(row, column):
    made = eyes()
    left, right, depth = (picture.float().requires_grad_() for picture in pictures(1))
    made(left, right, depth)[0, 8 * row + column].square().sum().backward()
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(128.0), indexing="ij")
    for seen in (left, right, depth):
        weight = seen.grad.square().sum(dim=(0, 1))
        assert float((weight * y).sum() / weight.sum()) == pytest.approx(16 * row, abs=8)
        assert float((weight * x).sum() / weight.sum()) == pytest.approx(16 * column, abs=8)


def test_both_views_are_read_by_the_same_backbone_and_told_apart():
    seen = []

    class Patches(nn.Module):
        def forward(self, image):
            seen.append(image)
            return functional.avg_pool2d(image, 24)

    made = eyes(backbone=Patches(), depth=False)
    assert made.grid == (4, 5) and made.fuse.in_features == 6
    left, right, _ = pictures()
    tokens = made(left, right)
    torch.testing.assert_close(seen[-1], torch.cat([left, right]).float())
    means = [functional.avg_pool2d(p.float(), 24).flatten(2).transpose(1, 2) for p in (left, right)]
    torch.testing.assert_close(
        tokens, made.fuse(torch.cat(means, dim=-1)) + made.position, rtol=1e-4, atol=1e-4
    )


def test_depth_of_another_grid_is_laid_on_the_backbones():
    made = eyes(backbone=nn.AvgPool2d(14))
    assert made.grid == (6, 9) and made(*pictures()).shape == (2, 54, 32)


def test_nearness_is_inverse_depth_with_a_mask():
    depth = torch.tensor([0.0, NEAREST_M, 0.24, 1.2, 20.0, 0.05]).reshape(1, 1, 2, 3)
    near, known = nearness(depth)[0]
    torch.testing.assert_close(near.flatten(), torch.tensor([0.0, 1.0, 0.5, 0.1, 0.006, 1.0]))
    assert known.flatten().tolist() == [0, 1, 1, 1, 1, 1]


def test_missing_depth_is_told():
    with pytest.raises(ConfigError, match="depth is missing"):
        eyes()(*pictures()[:2])


@pytest.mark.parametrize(
    "change, says",
    [
        ({"backbone": "resnet"}, "'resnet': expected one of compact, dinov2"),
        ({"size": (90, 128)}, r"\(90, 128\): expected .* multiples of 16"),
        ({"size": (0, 128)}, r"\(0, 128\)"),
        ({"channels": 8}, "channels is 8: expected 16"),
        ({"channels": float("nan")}, "channels is nan"),
        ({"depth_channels": 40}, "depth_channels is 40: expected a multiple of 16"),
    ],
)
def test_wrong_values_are_refused(change, says):
    with pytest.raises(ConfigError, match=says):
        VisionConfig(**change)


def test_everything_is_learnt():
    made = eyes().train()
    made(*pictures()).square().mean().backward()
    assert all(p.grad is not None and p.grad.abs().max() > 0 for p in made.parameters())


# DINOv2 ----------------------------------------------------------------------------------------------


def test_without_transformers_the_remedy_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ConfigError, match="pip install transformers.*or choose backbone: compact"):
        Eyes(VisionConfig(backbone="dinov2"), 32)


class FakeDinov2(nn.Module):
    """Patch tokens are the mean colours of the patches; before them stands the token of the class."""

    def __init__(self):
        super().__init__()
        self.gain = nn.Parameter(torch.ones(3))
        self.drop = nn.Dropout(0.5)

    def forward(self, pixel_values):
        patches = functional.avg_pool2d(pixel_values, 14).flatten(2).transpose(1, 2) * self.gain
        return SimpleNamespace(last_hidden_state=self.drop(torch.cat([patches[:, :1] + 9.0, patches], dim=1)))


def test_weights_come_from_this_machine_alone(monkeypatch):
    asked = []

    class Absent:
        @staticmethod
        def from_pretrained(name, **options):
            asked.append((name, options))
            raise OSError("no such weights")

    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(Dinov2Model=Absent))
    with pytest.raises(
        ConfigError, match="weights 'own/weights'.*no such weights.*huggingface-cli download own/weights"
    ):
        Eyes(VisionConfig(backbone="dinov2", weights="own/weights"), 32)
    assert asked == [("own/weights", {"local_files_only": True})]


def test_dinov2_reads_whole_patches_and_stays_as_it_is(monkeypatch):
    present = SimpleNamespace(from_pretrained=lambda name, **options: FakeDinov2())
    monkeypatch.setitem(sys.modules, "transformers", SimpleNamespace(Dinov2Model=present))
    made = Eyes(VisionConfig(backbone="dinov2"), 32)
    assert made.grid == (7, 9)
    made.train()
    assert not made.backbone.model.training
    assert not any(p.requires_grad for p in made.backbone.parameters())
    # ImageNet's mean colour is read as 0, one standard deviation more as 1.
    mean = torch.tensor([0.485, 0.456, 0.406]) * 255
    spread = torch.tensor([0.229, 0.224, 0.225]) * 255
    plain = torch.ones(1, 3, 96, 128) * mean.reshape(1, 3, 1, 1)
    torch.testing.assert_close(made.backbone(plain), torch.zeros(1, 3, 7, 9), atol=1e-4, rtol=0)
    brighter = plain + spread.reshape(1, 3, 1, 1)
    torch.testing.assert_close(made.backbone(brighter), torch.ones(1, 3, 7, 9), atol=1e-4, rtol=0)
    # Row by row, as the patches lie.
    spot = plain.clone()
    spot[:, :, 50:54, 100:104] = 255
    assert divmod(int(made.backbone(spot)[0, 0].argmax()), 9) == (int(52 / 96 * 7), int(102 / 128 * 9))


def test_a_real_dinov2_of_small_size_fits():
    transformers = pytest.importorskip("transformers")
    small = transformers.Dinov2Config(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, image_size=98, patch_size=14
    )
    made = eyes(backbone=Dinov2(transformers.Dinov2Model(small), (96, 128)))
    assert made.grid == (7, 9) and made(*pictures()).shape == (2, 63, 32)


# Export ----------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("depth", [True, False])
def test_onnx_runtime_gives_the_same_tokens(tmp_path, depth):
    import onnxruntime

    made = eyes(width=64, depth=depth)
    seen = pictures(1)[: 3 if depth else 2]
    names = ("left", "right", "depth")[: len(seen)]
    path = tmp_path / "eyes.onnx"
    torch.onnx.export(made, seen, path, input_names=list(names), opset_version=18, dynamo=True, verbose=False)
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    for seed in range(3):
        inputs = pictures(1, seed=seed)[: len(seen)]
        (tokens,) = session.run(None, {n: p.numpy() for n, p in zip(names, inputs, strict=True)})
        with torch.inference_mode():
            torch.testing.assert_close(torch.from_numpy(tokens), made(*inputs), atol=1e-4, rtol=0)


# Augmentation ----------------------------------------------------------------------------------------


def test_light_changes_alike_in_both_views_and_nothing_moves():
    left, right, _ = pictures(4)
    left, right = left // 2 + 64, right // 2 + 64  # far from black and white, where levels are cut
    mild = Augment(brightness=0.05, contrast=0.2, tint=0.05, noise=0.0)
    new_left, new_right = mild(left, right, torch.Generator().manual_seed(3))
    changes = []
    for sample in range(4):
        for colour in range(3):
            before = torch.cat([left[sample, colour].flatten(), right[sample, colour].flatten()]).double()
            after = torch.cat(
                [new_left[sample, colour].flatten(), new_right[sample, colour].flatten()]
            ).double()
            gain, shift = np.polyfit(before.numpy(), after.numpy(), 1)
            # The new level of a pixel depends on its old level alone.
            np.testing.assert_allclose(gain * before + shift, after, atol=1e-2)
            assert 0.7 < gain < 1.3
            changes.append((gain, shift))
    assert np.std(changes, axis=0).min() > 1e-3


def test_noise_is_of_the_size_that_is_told():
    grey = torch.full((64, 3, 32, 32), 128, dtype=torch.uint8)
    only = Augment(brightness=0.0, contrast=0.0, tint=0.0, noise=8.0)
    left, right = only(grey, grey, torch.Generator().manual_seed(0))
    spread = (left - 128).flatten(1).std(dim=1)
    assert spread.min() < 1.0 and 7.0 < spread.max() < 8.6
    assert abs(float(((left - 128) * (right - 128)).mean())) < 0.2


def test_the_same_generator_gives_the_same_images():
    left, right, _ = pictures()
    first, again, other = (
        Augment()(left, right, torch.Generator().manual_seed(seed))[0] for seed in (5, 5, 6)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert first.dtype == torch.float32 and first.min() >= 0 and first.max() <= 255


def test_the_compact_backbone_takes_any_multiple_of_its_stride():
    assert Compact(32)(torch.zeros(2, 3, 192, 256)).shape == (2, 32, 12, 16)
