"""The benchmark: every detector family and every baseline on every superclass held out.

A *slot* is one place of the table: a family (or the baselines), a held-out superclass, a set of
leads, a seed. What fills it is a *cell*, one small file that keeps the ranks of the scores, so that
the table with its intervals is made again without training anything.

    study.py                    which slots there are, and what decides each: its key
    sources.py                  the code that decides a cell, as a digest
    windows.py                  the windows of every role, and the test's with recorded noise
    runs.py                     trains and scores one slot
    cells.py                    the files
    execution.py, workers.py    what is run, in processes beside one another
    rows.py, measures.py        figures with intervals
    headline.py, sections.py    what they say, as text and tables
    table.py, page.py           results.json, results.md, results.html
"""
