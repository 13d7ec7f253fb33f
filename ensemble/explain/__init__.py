"""Why one event got its score, and what would have kept it quiet. Each method is one file.

``explaining.py`` puts them together with what an explanation rests on; ``wording.py`` tells them.
"""
