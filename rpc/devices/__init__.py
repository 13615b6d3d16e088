"""The boards that the user added: their addresses, what they are, and the runtime that is installed on them."""
