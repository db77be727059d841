"""python -m ingot: the command line."""
import os
import sys


def main() -> None:
    command = os.path.join(os.path.dirname(__file__), "bin", "ingot")
    os.execv(command, ["ingot", *sys.argv[1:]])


if __name__ == "__main__":
    main()
