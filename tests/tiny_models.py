"""Tiny CLIP and CLAP models with random weights, in exactly the layout the model hub uses."""

from collections.abc import Sequence
from pathlib import Path

import torch
from tokenizers import pre_tokenizers
from torch import nn
from transformers import AutoTokenizer, ClapConfig, ClapFeatureExtractor, ClapModel, CLIPConfig, CLIPModel

from echoframe.weights import write_json

CLIP_SIZE = 32  # px
LETTERS = sorted(pre_tokenizers.ByteLevel.alphabet())
MERGES = [("d", "o"), ("a", "t"), ("i", "n")]
CLIP_PIXELS = {
    "crop_size": CLIP_SIZE,
    "do_center_crop": True,
    "do_normalize": True,
    "do_resize": True,
    "feature_extractor_type": "CLIPFeatureExtractor",
    "image_mean": [0.48145466, 0.4578275, 0.40821073],
    "image_std": [0.26862954, 0.26130258, 0.27577711],
    "resample": 3,
    "size": CLIP_SIZE,
}


def write_tiny_clip(path: Path, *, projection_dim: int = 16, seed: int = 0) -> Path:
    """A CLIP of 2 + 2 layers that looks at 32 x 32 px, as openai/clip-vit-base-patch32 lies on the hub."""
    path.mkdir(parents=True, exist_ok=True)
    vocab_size = write_clip_tokenizer(path)
    sizes = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4}
    text = {**sizes, "vocab_size": vocab_size, "max_position_embeddings": 77, "projection_dim": projection_dim}
    # the hub's files say eos_token_id 2, though "<|endoftext|>" is the last token: transformers knows of it
    text |= {"bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
    vision = {**sizes, "image_size": CLIP_SIZE, "patch_size": 8, "projection_dim": projection_dim}
    model = CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=projection_dim))
    randomise(model, seed)
    model.save_pretrained(path)
    write_json(path / "preprocessor_config.json", CLIP_PIXELS)
    return path


def write_tiny_clap(path: Path, *, projection_dim: int = 32, fusion: bool = False, seed: int = 0) -> Path:
    """A CLAP with a two-stage HTSAT and a two-layer RoBERTa, as laion/clap-htsat-unfused (or -fused) on the hub."""
    path.mkdir(parents=True, exist_ok=True)
    vocab_size = write_roberta_tokenizer(path)
    text = {"vocab_size": vocab_size, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2}
    text |= {"num_attention_heads": 4, "max_position_embeddings": 514, "type_vocab_size": 1}
    text |= {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2}
    audio = {"patch_embeds_hidden_size": 16, "hidden_size": 32, "depths": [1, 1], "num_attention_heads": [2, 2]}
    audio |= {"num_hidden_layers": 2, "enable_fusion": fusion, "fusion_type": "aff_2d" if fusion else None}
    config = ClapConfig(text_config=text, audio_config=audio, projection_dim=projection_dim)
    model = ClapModel(config)
    randomise(model, seed)
    decibels = dict(model.named_buffers())
    decibels["audio_model.audio_encoder.batch_norm.running_mean"].fill_(-40.0)
    decibels["audio_model.audio_encoder.batch_norm.running_var"].fill_(400.0)
    model.save_pretrained(path)
    ClapFeatureExtractor(truncation="fusion" if fusion else "rand_trunc").save_pretrained(path)
    return path


def randomise(model: nn.Module, seed: int) -> None:
    """Larger weights than transformers' own: with those, a tiny model gives all inputs nearly the same vector."""
    random = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim > 1:
                fan_in = weight[0].numel() if "embedding" not in name else 4
                weight.copy_(torch.randn(weight.shape, generator=random) * (2 / fan_in**0.5))
            elif name.endswith("bias"):
                weight.copy_(torch.randn(weight.shape, generator=random) * 0.1)
    model.eval()


def write_clip_tokenizer(path: Path, words: Sequence[str] = ()) -> int:
    """CLIP's byte-level BPE. words: that are joined from their letters. Returns how many tokens there are."""
    merges = [*MERGES, ("do", "g</w>"), *_joined([[*word[:-1], f"{word[-1]}</w>"] for word in words])]
    merges = [*dict.fromkeys(merges)]
    tokens = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), *_new_tokens(merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    marks = {"bos_token": tokens[-2], "eos_token": tokens[-1], "unk_token": tokens[-1], "pad_token": tokens[-1]}
    settings = {**marks, "model_max_length": 77, "tokenizer_class": "CLIPTokenizer", "do_lower_case": True}
    return _write_tokenizer(path, tokens, merges, marks, settings)


def write_roberta_tokenizer(path: Path, words: Sequence[str] = ()) -> int:
    """RoBERTa's byte-level BPE. words: that are joined from their letters. Returns how many tokens there are."""
    merges = [*dict.fromkeys([*MERGES, *_joined([["Ġ", *word] for word in words])])]
    tokens = ["<s>", "<pad>", "</s>", "<unk>", *LETTERS, *_new_tokens(merges), "<mask>"]
    marks = {"bos_token": "<s>", "eos_token": "</s>", "sep_token": "</s>", "cls_token": "<s>"}
    marks |= {"unk_token": "<unk>", "pad_token": "<pad>", "mask_token": "<mask>"}
    settings = {**marks, "model_max_length": 512, "tokenizer_class": "RobertaTokenizer", "add_prefix_space": False}
    return _write_tokenizer(path, tokens, merges, marks, settings)


def _joined(words: list[list[str]]) -> list[tuple[str, str]]:
    """The merges that join each word's symbols, from the left."""
    return [("".join(word[:n]), word[n]) for word in words for n in range(1, len(word))]


def _new_tokens(merges: list[tuple[str, str]]) -> list[str]:
    return [*dict.fromkeys("".join(pair) for pair in merges)]


def _write_tokenizer(path: Path, tokens: list[str], merges: list[tuple[str, str]], marks: dict, settings: dict) -> int:
    write_json(path / "vocab.json", {token: n for n, token in enumerate(tokens)})
    lines = ["#version: 0.2", *(" ".join(pair) for pair in merges)]
    (path / "merges.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    write_json(path / "special_tokens_map.json", marks)
    write_json(path / "tokenizer_config.json", settings)
    # the hub also has tokenizer.json, which holds the same in one file
    AutoTokenizer.from_pretrained(path).save_pretrained(path)
    return len(tokens)
