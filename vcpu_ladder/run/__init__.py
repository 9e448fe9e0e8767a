"""One run, in seven steps: ``stage.py`` reads like the list of them."""
