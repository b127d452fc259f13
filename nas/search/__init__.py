"""Architecture search: Optuna's studies, our workers, costs known before anything is trained.

`sweep` runs as many worker processes as asked for, each of which asks the study for a trial,
evaluates it and tells the study. Nothing of a search lives in a process: killed at any moment, the
same command goes on.
"""
