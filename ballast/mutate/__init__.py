"""Mutation testing of the contracts: what tests and fuzzing would not notice if the code were wrong.

`syntax` reads the contracts with Vyper's own parser and types, `operators` says how a line may be wrong, `mutants`
names and keeps them. `server` holds a warm pytest session and forks a child per mutant, `campaign` decides what runs
when and writes results, `report` says what survived. `equivalent.toml` holds what people found out about survivors.
"""
