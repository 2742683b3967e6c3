"""The log of every process: one JSON object a line for machines, or words for a terminal.

`log` makes lines and hides secrets in them, `writer` gets them out without ever holding up an event loop, `events` is the catalogue
of what is logged, and `reading` shows lines to people again.
"""
