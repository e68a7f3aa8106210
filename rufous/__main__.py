"""``python -m rufous``: the command line, where the program ``rufous`` is not installed."""

from rufous.apps.cli import main

if __name__ == "__main__":
    main()
