"""Groups of figures, one module each.

Every module has `figures`, which yields figures as they are measured: of a subject and with an
effort, or without both if the group needs no model.
"""
