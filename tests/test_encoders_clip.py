"""CLIP: transformers' own image processor and full model as second opinions, on a tiny model in the hub's layout."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file, save_file
from transformers import (
    AutoTokenizer,
    CLIPConfig,
    CLIPModel,
    CLIPTextModelWithProjection,
    CLIPVisionModelWithProjection,
)

from echoframe.encoders import _transformers
from echoframe.encoders.clip import ClipPixels, ClipTextEncoder, ClipVisualEncoder, preprocess
from echoframe.encoders.convert import convert_pytorch_bin
from echoframe.errors import BundleError
from tiny_models import CLIP_SIZE, write_tiny_clip

TEXTS = ["dog", "a dog barking in the rain", "Bells?", "waterfall " * 60]


def image_processor(directory: Path) -> Any:
    """transformers' processor on Pillow: the one named after CLIP wants torchvision since transformers 5."""
    name = "CLIPImageProcessorPil" if hasattr(transformers, "CLIPImageProcessorPil") else "CLIPImageProcessor"
    return getattr(transformers, name).from_pretrained(directory)


def frames(count: int, height: int = 48, width: int = 64, seed: int = 0) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 6, 8, 3), dtype=np.uint8)
    size = (width, height)
    return np.stack([np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BICUBIC)) for image in coarse])


def edit(path: Path, change: Callable[[dict], object]) -> None:
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


def pooled(output: Any) -> torch.Tensor:
    """transformers 5 wraps what version 4 returns as it is."""
    return getattr(output, "pooler_output", output)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_clip(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """A directory of its own, to be damaged."""
    return write_tiny_clip(tmp_path / "clip")


@pytest.mark.parametrize(("height", "width"), [(48, 64), (64, 48), (32, 32), (32, 57), (33, 99), (20, 31), (360, 640)])
def test_preprocessing_against_transformers(directory: Path, height: int, width: int) -> None:
    images = frames(2, height, width)
    expected = image_processor(directory)(images=list(images), return_tensors="np")["pixel_values"]
    pixels = ClipPixels.from_directory(directory)
    found = preprocess(images, pixels).numpy()
    assert found.shape == expected.shape == (2, 3, CLIP_SIZE, CLIP_SIZE)
    # in grey levels: torch and Pillow round their two passes of bicubic differently
    error = np.abs(found - expected) * np.array(pixels.std).reshape(3, 1, 1) * 255
    assert error.max() < 2.01
    assert error.mean() < 0.1


def test_preprocessing_at_the_right_size_is_exact(directory: Path) -> None:
    images = frames(2, 32, 60)
    expected = image_processor(directory)(images=list(images), return_tensors="np")["pixel_values"]
    assert np.abs(preprocess(images, ClipPixels.from_directory(directory)).numpy() - expected).max() < 1e-5


def test_frames_against_transformers(directory: Path) -> None:
    images = frames(3, 32, 60)
    pixel_values = image_processor(directory)(images=list(images), return_tensors="pt")["pixel_values"]
    with torch.no_grad():
        expected = pooled(CLIPModel.from_pretrained(directory).get_image_features(pixel_values=pixel_values))
    expected = expected / expected.norm(dim=1, keepdim=True)
    assert torch.allclose(ClipVisualEncoder.from_directory(directory)(images), expected, atol=1e-5)
    assert (expected @ expected.T).min() < 0.95  # the tiny model does tell frames apart


def test_texts_against_transformers(directory: Path) -> None:
    tokens = AutoTokenizer.from_pretrained(directory)(
        TEXTS, padding="max_length", truncation=True, max_length=77, return_tensors="pt"
    )
    with torch.no_grad():
        features = CLIPModel.from_pretrained(directory).get_text_features(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        )
    expected = torch.nn.functional.normalize(pooled(features), dim=1)
    assert torch.allclose(ClipTextEncoder.from_directory(directory)(TEXTS), expected, atol=1e-5)
    assert (expected @ expected.T).min() < 0.95


def test_sizes_and_names(directory: Path) -> None:
    visual = ClipVisualEncoder.from_directory(directory)
    assert (visual.dim, visual.short_side, visual.name) == (16, 32, "clip-16")
    assert ClipTextEncoder.from_directory(directory).name == "clip-16"
    assert ClipVisualEncoder.from_directory(directory, name="openai/clip").name == "openai/clip"


def test_a_tower_of_its_own_loads_too(directory: Path, tmp_path: Path) -> None:
    CLIPVisionModelWithProjection.from_pretrained(directory).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_bytes((directory / "preprocessor_config.json").read_bytes())
    alone = ClipVisualEncoder.from_directory(tmp_path)
    assert torch.equal(alone(frames(2)), ClipVisualEncoder.from_directory(directory)(frames(2)))


def test_batch_equals_single_frames(directory: Path) -> None:
    encoder = ClipVisualEncoder.from_directory(directory)
    images = frames(35)  # more than one chunk
    together = encoder(images)
    alone = torch.cat([encoder(images[i : i + 1]) for i in range(35)])
    assert together.shape == (35, 16)
    assert torch.allclose(together, alone, atol=1e-5)
    assert torch.allclose(together.norm(dim=1), torch.ones(35), atol=1e-5)


def test_frames_that_repeat_are_encoded_once(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A still is 64 equal frames; a film may hold a picture for a while and come back to it."""
    encoder, seen = ClipVisualEncoder.from_directory(directory), []
    forward = encoder.model.forward
    monkeypatch.setattr(
        encoder.model, "forward", lambda **given: seen.append(len(given["pixel_values"])) or forward(**given)
    )
    one, other = frames(2)
    still = encoder(np.repeat(one[None], 64, axis=0))
    assert seen == [1]
    torch.testing.assert_close(still, encoder(one[None]).expand(64, -1), rtol=0, atol=0)
    seen.clear()
    film = encoder(np.stack([one, one, other, one]))
    assert seen == [3]
    torch.testing.assert_close(film, encoder(np.stack([one, other]))[[0, 0, 1, 0]], rtol=1e-4, atol=1e-5)


def test_batch_equals_single_texts(directory: Path) -> None:
    encoder = ClipTextEncoder.from_directory(directory)
    alone = torch.cat([encoder([text]) for text in TEXTS])
    assert torch.allclose(encoder(TEXTS), alone, atol=1e-5)
    assert encoder([]).shape == (0, 16)
    assert ClipVisualEncoder.from_directory(directory)(frames(1)[:0]).shape == (0, 16)


@pytest.mark.parametrize(("kind", "given"), [(ClipVisualEncoder, frames(2)), (ClipTextEncoder, TEXTS)])
def test_frozen(directory: Path, kind: Any, given: Any) -> None:
    encoder = kind.from_directory(directory)
    before = encoder(given)
    encoder.train()
    assert not any(module.training for module in encoder.modules())
    assert not any(weight.requires_grad for weight in encoder.parameters())
    assert torch.equal(encoder(given), before)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize(("kind", "given"), [(ClipVisualEncoder, frames(2)), (ClipTextEncoder, TEXTS)])
def test_half_precision_is_close(directory: Path, dtype: torch.dtype, kind: Any, given: Any) -> None:
    full, half = kind.from_directory(directory)(given), kind.from_directory(directory, dtype=dtype)(given)
    assert half.dtype == torch.float32
    # bfloat16 keeps 8 bits: what it rounds to differs from one processor to the next
    assert ((full * half).sum(dim=1) > {torch.float16: 0.999, torch.bfloat16: 0.99}[dtype]).all()


def test_loading_is_quiet_and_leaves_transformers_as_it_was(directory: Path, capfd: pytest.CaptureFixture) -> None:
    logging = transformers.utils.logging
    before = (logging.get_verbosity(), logging.is_progress_bar_enabled())
    ClipVisualEncoder.from_directory(directory)
    ClipTextEncoder.from_directory(directory)
    captured = capfd.readouterr()
    assert captured.out == captured.err == ""
    assert (logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_progress_bars_that_were_off_stay_off() -> None:
    logging = transformers.utils.logging
    logging.disable_progress_bar()
    try:
        with _transformers.quiet():
            pass
        assert not logging.is_progress_bar_enabled()
    finally:
        logging.enable_progress_bar()


@pytest.mark.parametrize(("change", "message"), [
    (lambda values: values.update(do_center_crop=False), "do_center_crop off, expected CLIP's bicubic resize"),
    (lambda values: values.update(resample=2), "resample 2, expected CLIP's bicubic resize"),
    (lambda values: values.update(crop_size=24), "crops 24 px of 32, config.json expects 32; take both from one"),
    (lambda values: values.update(size=16), "crops 32 px of 16, config.json expects 32"),
])  # fmt: skip
def test_other_preprocessing_is_refused(own: Path, change: Callable[[dict], object], message: str) -> None:
    edit(own / "preprocessor_config.json", change)
    with pytest.raises(BundleError, match=message):
        ClipVisualEncoder.from_directory(own)


def test_both_ways_of_writing_a_size(own: Path) -> None:
    old = ClipPixels.from_directory(own)
    new = {"size": {"shortest_edge": CLIP_SIZE}, "crop_size": {"height": CLIP_SIZE, "width": CLIP_SIZE}}
    edit(own / "preprocessor_config.json", lambda values: values.update(new))
    assert ClipPixels.from_directory(own) == old


def test_missing_files_are_named(own: Path) -> None:
    (own / "preprocessor_config.json").unlink()
    with pytest.raises(BundleError, match=r"clip: lacks preprocessor_config\.json"):
        ClipVisualEncoder.from_directory(own)
    (own / "tokenizer_config.json").unlink()
    with pytest.raises(BundleError, match=r"clip: lacks tokenizer_config\.json"):
        ClipTextEncoder.from_directory(own)
    (own / "model.safetensors").unlink()
    (own / "config.json").unlink()
    with pytest.raises(BundleError, match=r"clip: lacks config\.json, model\.safetensors"):
        ClipVisualEncoder.from_directory(own)


def test_tokenizer_without_a_vocabulary_is_refused(own: Path) -> None:
    for name in ("tokenizer.json", "vocab.json", "merges.txt"):
        (own / name).write_text("{")
    with pytest.raises(BundleError, match="clip: no tokenizer can be loaded from it"):
        ClipTextEncoder.from_directory(own)


def test_missing_weights_are_not_made_up(own: Path) -> None:
    tensors = load_file(own / "model.safetensors")
    del tensors["visual_projection.weight"]
    save_file(tensors, own / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(BundleError, match=r"clip: lacks 1 weights of CLIPVision\w+ \(visual_projection"):
        ClipVisualEncoder.from_directory(own)
    ClipTextEncoder.from_directory(own)  # the other tower is whole


def test_weights_of_another_size_are_refused(own: Path) -> None:
    edit(own / "config.json", lambda values: values["vision_config"].update(projection_dim=8))
    with pytest.raises(BundleError, match="clip: cannot be loaded as CLIPVisionModelWithProjection"):
        ClipVisualEncoder.from_directory(own)


def test_truncated_weights_are_refused(own: Path) -> None:
    whole = (own / "model.safetensors").read_bytes()
    (own / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BundleError, match="clip: cannot be loaded as CLIPTextModelWithProjection"):
        ClipTextEncoder.from_directory(own)


def test_pickled_weights_have_to_be_converted_first(own: Path) -> None:
    expected = ClipVisualEncoder.from_directory(own)(frames(1))
    torch.save(load_file(own / "model.safetensors"), own / "pytorch_model.bin")
    (own / "model.safetensors").unlink()
    with pytest.raises(BundleError, match=r"holds only pytorch_model\.bin; write model\.safetensors with .*convert"):
        ClipVisualEncoder.from_directory(own)
    convert_pytorch_bin(own)
    assert torch.equal(ClipVisualEncoder.from_directory(own)(frames(1)), expected)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("layers", "width", "heads", "patch", "dim"), [(12, 768, 12, 32, 512), (24, 1024, 16, 14, 768)]
)
def test_full_size(layers: int, width: int, heads: int, patch: int, dim: int) -> None:
    """ViT-B/32 and ViT-L/14 at the sizes of openai/clip-vit-base-patch32 and -large-patch14."""
    vision = {
        "num_hidden_layers": layers,
        "hidden_size": width,
        "num_attention_heads": width // 64,
        "patch_size": patch,
    }
    vision |= {"intermediate_size": 4 * width, "projection_dim": dim, "image_size": 224}
    text = {"num_hidden_layers": 12, "hidden_size": dim, "num_attention_heads": dim // 64, "projection_dim": dim}
    text |= {"intermediate_size": 4 * dim}
    config: Any = CLIPConfig(vision_config=vision, text_config=text, projection_dim=dim)
    encoder = ClipVisualEncoder(CLIPVisionModelWithProjection(config.vision_config), ClipPixels(), name="full")
    assert encoder(frames(2, 224, 300)).shape == (2, dim)
    tower = CLIPTextModelWithProjection(config.text_config)
    assert tower(input_ids=torch.tensor([[49406, 320, 49407]])).text_embeds.shape == (1, dim)
