"""The explorer: a page in the browser that shows a simulation while it runs, and changes it.

`explorer` starts a server for one simulation; `server` answers the page; `session` runs the
simulation and makes what is shown; `controls` describes what can be set. Start at
`explorer.explore`.
"""
