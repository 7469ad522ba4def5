"""The formats, by the names that callers give."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from app.domain.contract import ExportFormat
from workers.exports.adapter import Adapter
from workers.exports.gguf_lora import GgufLora
from workers.exports.gguf_whole import WholeGguf
from workers.exports.merged import Merged
from workers.exports.package import Package
from workers.exports.updates import Updates

FORMATS: Mapping[ExportFormat, type[Package]] = MappingProxyType(
    {
        ExportFormat.MERGED: Merged,
        ExportFormat.PEFT: Adapter,
        ExportFormat.UPDATES: Updates,
        ExportFormat.GGUF: WholeGguf,
        ExportFormat.GGUF_LORA: GgufLora,
    }
)
