"""The console scripts. ``roadstead``: a plain `ps` at once, everything else through the parser of the command line."""

import sys

from roadstead.cli import plain


def main() -> None:
    """Run what was typed."""
    if not plain.ran(sys.argv[1:]):
        from roadstead.app.main import main as parsed

        parsed()


def prepare_vm() -> None:
    """Run ``xscontainer-prepare-vm``."""
    from roadstead.cli.commands import prepare_vm as script

    script.run()
