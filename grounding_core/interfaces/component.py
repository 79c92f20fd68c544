"""What every component has in common: a validated configuration. No torch here."""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict


class ComponentConfig(BaseModel):
    """Options of a component as written in a recipe. Subclass it; describe every field."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Configured:
    """Mixin of all components: ``Config`` is the class its options are validated with."""

    Config: ClassVar[type[ComponentConfig]] = ComponentConfig
