"""What all blocks have in common."""

from typing import Any

from prefect.blocks.core import Block

_SCHEMAS: dict[tuple[Any, ...], dict[str, Any]] = {}


class SavedBlock(Block):
    """A block of Prefect whose JSON schema is made once.

    Prefect asks for it anew for every field of every document that it saves, which took most of the time of `apply`.
    """

    @classmethod
    def model_json_schema(cls, *given: Any, **named: Any) -> dict[str, Any]:  # noqa: ANN401  # handed on
        """As Prefect's; nobody changes what this returns."""
        key = (cls, *given, *sorted(named.items()))
        if key not in _SCHEMAS:
            _SCHEMAS[key] = super().model_json_schema(*given, **named)
        return _SCHEMAS[key]
