"""The host's end of a session with a board: the way there, TVM's RPC through it, and artifacts that run on it."""
