"""What a measurement ran on, in a line."""

from __future__ import annotations

import platform
import resource
import sys
from pathlib import Path

import torch


def machine(device: str = "cpu") -> str:
    """One line: processor or GPU, threads, versions."""
    versions = f"torch {torch.__version__}, Python {platform.python_version()}"
    if device.startswith("cuda"):
        return f"{torch.cuda.get_device_name(device)}, CUDA {torch.version.cuda}, {versions}"
    return f"{_processor()}, {torch.get_num_threads()} threads, {versions}"


def peak_memory_mb() -> float:
    """The most that this process has held so far, in MB."""
    kept = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return kept / 1e6 if sys.platform == "darwin" else kept * 1024 / 1e6


def _processor() -> str:
    """The processor's own name where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
