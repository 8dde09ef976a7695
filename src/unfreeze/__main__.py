"""`python -m unfreeze` is the same as `unfreeze`."""

from unfreeze.cli.main import main

if __name__ == "__main__":
    main()
