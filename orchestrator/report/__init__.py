"""Reports: pages and figures that can be sent to a colleague. They fetch nothing, and all text in them is escaped.

facts.py         the contents of a run's page as plain data; reading.py and seeds_reading.py get them from the store
pages.py         the page of one seed; seeds_page.py has that of several seeds, about.py the parts common to both
sweep_page.py    the page of a sweep; diagnosis_page.py has that of a diagnosis
html.py          common to all pages; templates/ defines their look; make.py writes them into a run
figure_files.py  PNG and SVG for a paper; curve_figure.py and flow_shape.py serve both pages and files
"""
