"""A search for money: what can somebody take out of the system by knowing it well?

`game` plays an attacker's moves on the exact twin, in surroundings whose future he partly knows; `search` breeds
sequences of moves that gain; `rules` takes one protective rule away from twin and contracts, to see what it was good
for; `confirm` does the best sequence on the real contracts.
"""
