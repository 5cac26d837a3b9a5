"""Reports: pages, cards and figures that can be sent to a colleague. Nothing in them is fetched; all text is escaped.

facts.py       what a run's page tells, as plain data; reading.py and seeds_reading.py get it from the store
pages.py       the page of one seed, seeds_page.py that of several, about.py what both have; diagnosis_page.py
html.py        what all pages share; templates/ what they look like; make.py writes them into a run
figure_files.py  PNG and SVG for a paper; curve_figure.py and flow_shape.py serve pages and files alike
"""
