"""Music as immutable data: scores, harmony, spelling, engraving, instruments and units. No input or
output.
"""
