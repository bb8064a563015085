"""What melodygen does, as typed requests and results: the commands, the Python API and servers call the same.

A service resolves names and defaults, reads files, does the work, saves whole files and reports in a dataclass. It
never prints.
"""
