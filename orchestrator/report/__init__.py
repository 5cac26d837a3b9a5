"""Reports: pages, cards and figures that can be sent to a colleague. Nothing in them is fetched; all text is escaped.

run_facts.py   what a run's page tells, as plain data; reading.py and seeds_reading.py get it from the store
run_page.py    the page of one seed, seeds_page.py that of several, about.py what both have; diagnosis_page.py
page.py        what all pages share; *.html.j2 their templates, style.css.j2 their look
figure_files.py  PNG and SVG for a paper; curve_figure.py, flow_shape.py and palette.py serve pages and files alike
model_card.py  the card of an exported model; loading_code.py, markdown.py
"""
