"""The command ikit, as ``python -m interpret_kit``: what torchrun and Accelerate launch."""

from interpret_kit.cli.main import main

if __name__ == "__main__":
    main()
