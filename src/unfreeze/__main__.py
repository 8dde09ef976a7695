"""`python -m unfreeze` is the same as `unfreeze`."""

from unfreeze.cli import main

if __name__ == "__main__":
    main()
