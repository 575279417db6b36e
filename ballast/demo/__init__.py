"""The demo: recorded prices and recorded trader flow against the whole system, on a node of its own.

    make demo [WINDOW=2021-12-04_flash]

`flow` turns records into minutes, `stage` mines blocks, `replay` runs LPs, traders, feed, arbitrage and the keeper,
`checks` proves the invariants on what they leave, `compare` repeats the same trades without hedge and at a flat fee,
`report` shows it.
"""
