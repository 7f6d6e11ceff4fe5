"""Long runs that are interrupted and resumed: what has been computed is kept in a folder."""
