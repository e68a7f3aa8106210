"""Turn published files into a release folder, and say what came out.

python examples/convert_checkpoint.py hummingbird-0.7b 07B_merged_all.pt
"""

import sys

from rufous.checkpoints import ConvertConfig, convert, describe_path


def main(output: str, *sources: str, tokenizer: str = "hub") -> None:
    manifest = convert(sources, output, ConvertConfig(tokenizer=tokenizer))
    print(f"manifest {manifest.id}")
    for component in describe_path(output).components:
        print(f"{component.name}: {component.num_parameters:,} parameters")


if __name__ == "__main__":
    main(*sys.argv[1:])
