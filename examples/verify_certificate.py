"""Checks certificates of generated images: `python examples/verify_certificate.py CERTIFICATE ...`.

Each is a folder that `mdl certify`, `mdl demo` or `mdl.certify` wrote. Of other data sets,
`mdl.verify(folder, data=PLACE)` needs to know where the images lie.
"""

import sys

import mdl


def main() -> int:
    """Recompute each certificate; 1 if any number differs from what is stated."""
    exit_code = 0
    for folder in sys.argv[1:]:
        found = mdl.verify(folder)
        if found.ok and found.certificate is not None:
            made = found.certificate
            print(
                f"{folder}: true error <= {made.bound:.4f} with probability {1 - made.delta:.4g}, "
                f"from {made.description_bits:,} bits and {made.errors.num_errors:,} errors on "
                f"{made.errors.num_samples:,} images"
            )
        else:
            exit_code = 1
            print(f"{folder}: not verified", *found.differences, sep="\n  ")
    return exit_code


if __name__ == "__main__":
    sys.exit(main())
