"""Workers whose models run on a GPU; they wait for it before a run ends."""
