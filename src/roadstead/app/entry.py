"""The console script ``roadstead``: what must come before the commands are imported, then the commands."""

import gc
import sys

from roadstead.cli import ahead


def main() -> None:
    """Run the command line."""
    reading = ahead.asked(sys.argv[1:])
    # What is imported stays: to look through it for garbage is in vain, now and in each later collection.
    gc.disable()
    from roadstead.app.main import main as commands

    gc.freeze()
    gc.enable()
    commands(reading)
