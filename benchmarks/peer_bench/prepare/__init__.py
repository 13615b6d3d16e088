"""Makes the peers' model files. Its modules run in the peers' venv."""
