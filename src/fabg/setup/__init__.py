"""Makes and checks the environment. Standard library only: it runs before anything is installed."""
