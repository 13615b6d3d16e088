"""What a library for a GPU holds beside the host's code: machine code in place of CUDA source, and what it needs."""
