"""What an analysis is given: a classifier, images of which a part is seen, fills, and targets."""
