"""A guard for objects that keep the state of one request, against being shared by several."""

from concordance_shared import Event, ModDefinitionError


class OneRequest:
    """Checks that an object is used for the events of one request only.

    Examples:
        >>> from concordance_sdk import Sampled
        >>> guard = OneRequest("PhraseBan")
        >>> guard.check(Sampled(request_id="r1", step=0, sampled_token=7))
        >>> try:
        ...     guard.check(Sampled(request_id="r2", step=0, sampled_token=7))
        ... except ModDefinitionError as error:
        ...     print(error.message.partition(":")[0])
        this PhraseBan is shared by several requests ('r1' and 'r2'), but keeps the state of one
    """

    def __init__(self, name: str) -> None:
        """Create a guard.

        Args:
            name: The class of the object, for the message.
        """
        self._name = name
        self._request_id: str | None = None

    def check(self, event: Event) -> None:
        """Reject an event of another request than the first.

        Raises:
            ModDefinitionError: The event is of another request.
        """
        if event.request_id == self._request_id:
            return
        if self._request_id is not None:
            raise ModDefinitionError(
                f"this {self._name} is shared by several requests ({self._request_id!r} and "
                f"{event.request_id!r}), but keeps the state of one: make a new one for each "
                "request, in `parts` or `__init__` of a class mod"
            )
        self._request_id = event.request_id
