"""Settings of the site, which ``make docs`` builds into ``docs/_site`` without the internet."""

import alliance_stats

project = "alliance_stats"
author = "The alliance_stats authors"
version = release = alliance_stats.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_heading_anchors = 3
myst_enable_extensions = ["colon_fence"]

autodoc_typehints = "none"  # the docstrings name types in words
autodoc_member_order = "bysource"
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_ivar = True
napoleon_attr_annotations = False
add_module_names = False
toc_object_entries_show_parents = "hide"

html_theme = "furo"
html_title = "alliance_stats"
html_show_copyright = False
html_show_sourcelink = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["site.css"]

# A result's fields have the same plain names in many classes; Sphinx need not choose among them.
suppress_warnings = ["ref.python"]
