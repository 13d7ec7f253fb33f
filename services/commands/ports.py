"""Ports as options of commands."""

from __future__ import annotations

import argparse


def port(text: str) -> int:
    """A port that can be listened on; what argparse turns a refusal into is one line."""
    if not (text.isascii() and text.isdigit() and 0 < int(text) < 65536):
        raise argparse.ArgumentTypeError(f"{text!r}: expected a port from 1 to 65535")
    return int(text)
