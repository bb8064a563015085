"""``python -m melodygen``."""

from melodygen.cli import main

if __name__ == "__main__":
    main()
