"""How far two models are from each other, layer by layer."""
