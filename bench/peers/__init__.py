"""One file per peer: `VERSION`, and `prepare(case, arrays, threads)`.

`prepare` makes everything ready that can be ready before the first call (weights, sessions,
result arrays) and gives a dict of variants: a label, and a function without arguments that
computes the row and returns the result in the row's layout. No variants: the peer cannot do it.
"""
