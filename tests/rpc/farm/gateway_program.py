"""A gateway whose board is a server of this machine: ``gateway_program.py SERVER.json --tracker HOST:PORT ...``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from intbert.errors import RemoteError
from intbert.rpc.farm import offer, serving
from intbert.rpc.farm.endpoint import Endpoint
from intbert.rpc.sessions.board_session import BoardServer


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("server", type=Path, help='{"port": ..., "key": ...}, read at every attempt')
    parser.add_argument("--tracker", type=Endpoint.parse)
    parser.add_argument("--proxy", type=Endpoint.parse)
    parser.add_argument("--key", default="rpi4")
    parser.add_argument("--device", default="pi")
    parser.add_argument("--idle", type=float, default=600.0)
    options = parser.parse_args()
    serving.FIRST_DELAY = serving.LONGEST_DELAY = offer.RETRY_SECONDS = 0.2
    signal.signal(signal.SIGTERM, signal.default_int_handler)

    @contextmanager
    def opened() -> Iterator[BoardServer]:
        try:
            yield BoardServer(**json.loads(options.server.read_text()))
        except FileNotFoundError:
            raise RemoteError("the board is off") from None

    if options.proxy is not None:
        offered = serving.proxy_offer(options.proxy, options.key, options.device)
    else:
        offered = serving.tracker_offer(options.tracker, options.key, options.device)

    def tell(message: str) -> None:
        print(message, file=sys.stderr, flush=True)

    try:
        serving.keep_serving(options.device, opened, offered, tell, serving.Limits(60.0, options.idle))
    except KeyboardInterrupt:
        tell("ended")


if __name__ == "__main__":
    main()
