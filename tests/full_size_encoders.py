"""CLIP ViT-L/14 and CLAP at their own sizes, with random weights.

Sizes: transformers `convert_clap_original_pytorch_to_hf.py`, the config.json of openai/clip-vit-large-patch14.
"""

from pathlib import Path
from typing import Any

from transformers import ClapConfig, ClapFeatureExtractor, ClapModel, CLIPConfig, CLIPModel

from echoframe.weights import write_json
from tiny_models import CLIP_PIXELS, write_clip_tokenizer, write_roberta_tokenizer

CLIP_LARGE: dict[str, Any] = {
    "vision_config": {
        "hidden_size": 1024,
        "intermediate_size": 4096,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "image_size": 224,
        "patch_size": 14,
        "projection_dim": 768,
    },
    "text_config": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
        "eos_token_id": 2,  # as the hub's files say it
    },
    "projection_dim": 768,
}


def write_clip_large(path: Path, words: list[str]) -> None:
    """CLIP ViT-L/14, both towers. words: what its tokenizer knows as whole words."""
    CLIPModel(CLIPConfig(**CLIP_LARGE)).save_pretrained(path)
    write_clip_tokenizer(path, words)
    write_json(path / "preprocessor_config.json", {**CLIP_PIXELS, "size": 224, "crop_size": 224})


def write_clap(path: Path, words: list[str]) -> None:
    """CLAP with HTSAT-tiny, both towers, as laion/clap-htsat-unfused. words: as in `write_clip_large`."""
    ClapModel(ClapConfig(audio_config={"enable_fusion": False}, projection_dim=512)).save_pretrained(path)
    write_roberta_tokenizer(path, words)
    ClapFeatureExtractor(truncation="rand_trunc").save_pretrained(path)
