"""Learning behaviour from demonstrations: the only part that needs torch (`requirements/train.txt`)."""
