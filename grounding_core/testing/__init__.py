"""Conformance tests for plugins: subclass the class of your part's role, and pytest does the rest.

    from grounding_core.testing import ImageEncoderConformance

    class TestMyEncoder(ImageEncoderConformance):
        name = "my_encoder"
        options = {"width": 16, "image_size": 32}

Choose the smallest sizes the part can have: each class builds it a few times, with random weights. This is
the only package here that needs pytest.
"""

from __future__ import annotations

import pytest

# Before the imports: assertions of modules that are loaded already are not explained.
for _module in ("adapters", "component", "encoders", "grounder", "language_model", "mask_decoder"):
    pytest.register_assert_rewrite(f"{__name__}.{_module}")

from grounding_core.testing.adapters import PromptAdapterConformance, VisionAdapterConformance  # noqa: E402
from grounding_core.testing.component import ComponentConformance  # noqa: E402
from grounding_core.testing.encoders import ImageEncoderConformance, VideoEncoderConformance  # noqa: E402
from grounding_core.testing.grounder import GrounderConformance  # noqa: E402
from grounding_core.testing.language_model import LanguageModelConformance  # noqa: E402
from grounding_core.testing.mask_decoder import MaskDecoderConformance  # noqa: E402

__all__ = [
    "ComponentConformance",
    "GrounderConformance",
    "ImageEncoderConformance",
    "LanguageModelConformance",
    "MaskDecoderConformance",
    "PromptAdapterConformance",
    "VideoEncoderConformance",
    "VisionAdapterConformance",
]
