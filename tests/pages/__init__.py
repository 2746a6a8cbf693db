"""Every page that a person opens, in one table (`table`): who opens it, and what must be there first.

`tests/browser/test_pages.py` checks each page in one combination of language, colours and width, `make check-pages`
every page in all of them, and `make screenshots` makes pictures of the same pages.
"""
