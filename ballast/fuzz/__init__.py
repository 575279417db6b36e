"""Whole-system fuzzing in process: random sequences on the contracts and their exact twin, checked after every step.

`world` builds both sides, `actions` says what can happen, `plan` chooses what happens next, `invariants` says what
must hold afterwards and `promises` what a single call owes, `runner` drives, `reach` says what a search must have
seen, `shrink` makes a failure short, `planted` and `history` put known bugs in to see them found. A sequence is plain
data: a list of [action, arguments].
"""
