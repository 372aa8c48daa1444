"""What is measured, each group of figures in a module of its own.

Every module has `figures(subject, effort)`, which yields figures as they are measured.
"""
