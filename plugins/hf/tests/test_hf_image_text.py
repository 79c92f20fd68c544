"""Two-tower models of transformers compare crops with phrases, as they do by themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import transformers
from grounding_hf.image_text import HfImageText, ImageTextConfig
from PIL import Image
from tokenizers import Tokenizer, models, pre_tokenizers

from benchmarks.image_text import Sight
from grounding_core.errors import GroundingError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A random CLIP with a tokenizer of a few words."""
    words = {
        word: id for id, word in enumerate(("<pad>", "<end>", "<unk>", "a", "photo", "of", "cat", "dog"))
    }
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="<end>",
        unk_token="<unk>",
        model_max_length=8,
    )
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    text = {"vocab_size": 8, "max_position_embeddings": 8, "eos_token_id": 1, "pad_token_id": 0, **sizes}
    vision = {"image_size": 32, "patch_size": 16, **sizes}
    config = transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=8)
    torch.manual_seed(0)
    transformers.CLIPModel(config).save_pretrained(tmp_path)
    side = {"height": 32, "width": 32}
    pictures = transformers.CLIPImageProcessor(size=side, crop_size=side)
    transformers.CLIPProcessor(image_processor=pictures, tokenizer=fast).save_pretrained(tmp_path)
    return tmp_path


def test_crops_and_phrases_are_compared(folder: Path) -> None:
    frame = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    mask = np.zeros((40, 50), bool)
    mask[10:30, 5:35] = True
    sight = Sight(frame, mask)
    model = HfImageText(ImageTextConfig(weights=str(folder)))
    found = model.similarity([sight, sight], ["cat", "dog", "a dog"])
    whole = transformers.CLIPModel.from_pretrained(folder).eval()
    processor = transformers.AutoProcessor.from_pretrained(folder)
    texts = ["a photo of cat", "a photo of dog", "a photo of a dog"]
    picture = Image.fromarray(sight.crop)
    given = processor(text=texts, images=picture, padding="max_length", truncation=True, return_tensors="pt")
    with torch.inference_mode():
        expected = whole(**given).logits_per_image
    assert found.shape == (2, 3) and found[1] == pytest.approx(expected[0].numpy(), abs=1e-4)
    assert model.similarity([sight], []).shape == (1, 0)


def test_models_without_words_are_refused(tmp_path: Path) -> None:
    with pytest.raises(GroundingError, match=r"has no config\.json"):
        HfImageText(ImageTextConfig(weights=str(tmp_path))).similarity(
            [Sight(np.zeros((4, 4, 3), np.uint8), np.ones((4, 4), bool))], ["a"]
        )
