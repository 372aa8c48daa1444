"""The load of the first model, until which a server takes no requests but those for its state."""

from typing import ClassVar

from concordance_shared import EngineError


class ModelLoadingError(EngineError):
    """The first model is being loaded."""

    status_code: ClassVar[int] = 503
    type: ClassVar[str] = "overloaded"
    code: ClassVar[str] = "model_loading"


class Startup:
    """The load of the first model. Any thread may note its progress.

    Attributes:
        is_over: True once the model is loaded.
        doing: The step of the load.
    """

    def __init__(self, *, is_over: bool = True) -> None:
        """Begin; by default there is nothing to load."""
        self.is_over = is_over
        self.doing = "starting"
