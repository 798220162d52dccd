"""Any exception as a JSON-RPC error object. No traceback, no path of ours, no secret leaves."""

from __future__ import annotations

import logging
import uuid
from typing import Any

from pygls.exceptions import JsonRpcException

from protocol.errors import INTERNAL_ERROR, ErrorData, code_of
from protocol.naming import to_wire
from sidecar.domain.errors import SidecarError
from sidecar.rpc.converter import InvalidParams

log = logging.getLogger(__name__)


def to_response_error(error: BaseException) -> dict[str, Any]:
    """{code, message, data}. Unexpected errors are logged under an incident id and say nothing else."""
    if isinstance(error, SidecarError):
        issues = error.issues if isinstance(error, InvalidParams) else None
        data = ErrorData(error.kind, error.detail, error.remedy, error.retryable, issues)
        return {"code": code_of(error.kind), "message": error.message, "data": _lean(data)}
    incident = uuid.uuid4().hex[:12]
    log.error("incident %s", incident, exc_info=error)
    data = ErrorData("internal", "", "Nothing was half-applied. The log has the details under this incident id.", incident_id=incident)
    return {"code": INTERNAL_ERROR, "message": f"Something unexpected happened ({type(error).__name__}).", "data": _lean(data)}


def _lean(data: ErrorData) -> dict[str, Any]:
    return {name: value for name, value in to_wire(data).items() if value is not None}


def as_exception(error: BaseException) -> JsonRpcException:
    """The same as an exception that pygls passes on untouched."""
    body = to_response_error(error)
    return JsonRpcException(message=body["message"], code=body["code"], data=body["data"])
