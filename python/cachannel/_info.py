"""What :func:`cainfo` prints of a PV."""

from __future__ import annotations

from typing import Any

from . import ca
from ._enums import DBF


def description(name: str, chid: ca.chid | None, control: dict[str, Any] | None) -> str:
    """What cainfo prints of a PV; of one that is not connected where there is no chid."""
    rights = "" if chid is None else "R" * ca.read_access(chid) + "W" * ca.write_access(chid)
    rows = [
        ("State", "Not connected" if chid is None else "Connected"),
        ("Host", "<disconnected>" if chid is None else ca.host_name(chid)),
        ("Data type", ca.dbf_text(DBF.NOTCONN if chid is None else ca.field_type(chid))),
        ("Element count", str(0 if chid is None else ca.element_count(chid))),
        ("Access", rights or "No access"),
    ]
    if control is not None:
        rows.append(("Status", ca.alarmStatusString(control["pv_status"])))
        rows.append(("Severity", ca.alarmSeverityString(control["pv_severity"])))
        if "pv_statestrings" in control:
            rows.append(("Enumerates", str(control["pv_statestrings"])))
    return "\n".join([name, *(f"    {label + ':':<16}{text}" for label, text in rows)])
