"""The analyses of "Rethinking Residual Distribution in Locate-then-Edit Model Editing" (BLUE), of any model.

A file an analysis. Letters are the paper's: l is a critical layer, L the last one; R*_l is the residual that is
computed at l, R_L the one at L, and R_l the part of R_L that a spread gives to l.
"""
