"""What an operator may set, and where Roadstead's files are.

`places` is cheap to import (the command line needs it for every command), `schema` reads and checks the settings.
"""
