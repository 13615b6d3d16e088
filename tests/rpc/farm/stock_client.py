"""A client of TVM's own: ``stock_client.py PORT KEY SECONDS`` gets a board, calls it, and holds it.

It prints the features of the board and keeps the session until its standard input closes.
"""

from __future__ import annotations

import sys

from tvm import rpc


def main(port: int, key: str, seconds: float) -> None:
    session = rpc.connect_tracker("127.0.0.1", port).request(key, session_timeout=seconds)
    features = session.get_function("intbert.features")
    print(bytes(features()).decode(), flush=True)
    sys.stdin.read()
    features()
    print("still there", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2], float(sys.argv[3]))
