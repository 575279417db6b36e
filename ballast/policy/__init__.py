"""What the off-chain policies know: forecasts for whoever posts surfaces, and parameters for the steward's key.

Both only ever propose. What they may do is bounded on chain: the drift of a surface by `VolSurface`, that of a
parameter by `Steward`.
"""
