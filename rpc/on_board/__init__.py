"""What runs on a board: the server with its lease, the store of files, samples of the latency. No ``import tvm``."""
