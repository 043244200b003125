"""What can go wrong, each with a code that stays: scripts and agents decide by it."""

from __future__ import annotations

from typing import Literal, get_args

from outlay.errors import OutlayError

Code = Literal[
    "E_ARG_UNKNOWN", "E_CMD_UNKNOWN", "E_CONFIG_INVALID", "E_CWD_INVALID", "E_DELIVERY", "E_ENDED",
    "E_FILE_INVALID", "E_INPUT", "E_LIMIT_INVALID", "E_MODEL_INVALID", "E_MODEL_REQUIRED", "E_NAME_EXISTS",
    "E_NAME_INVALID", "E_NAME_NOT_FOUND", "E_NAME_REQUIRED", "E_NOT_ENDED", "E_NOT_RUNNING",
    "E_PATTERN_INVALID", "E_PATTERN_REQUIRED", "E_PROMPT_REQUIRED", "E_ROLE_NOT_FOUND", "E_UNEXPECTED",
    "E_WAIT_NAME_REQUIRED", "E_WORKER",
]  # fmt: skip
CODES: tuple[str, ...] = get_args(Code)


class ServiceError(OutlayError):
    """A command to the service that cannot be done. Nothing was changed by it."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code = code
