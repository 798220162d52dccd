"""Segments: the immutable files of a device's log. The format is described byte for byte in docs/format.md."""

from sidecar.adapters.segments.codec import SegmentReader
from sidecar.adapters.segments.values import LARGE_VALUE_BYTES, BlobRef
from sidecar.adapters.segments.writer import Segment, SegmentWriter

__all__ = ["LARGE_VALUE_BYTES", "BlobRef", "Segment", "SegmentReader", "SegmentWriter"]
