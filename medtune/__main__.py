"""`python -m medtune` is the command line, so that `torchrun -m medtune` works too."""

from medtune.cli import main

if __name__ == "__main__":
    main()
