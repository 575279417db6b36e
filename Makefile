# Every target prepares the toolchain by itself (scripts/bootstrap.sh); `make help` lists them.
RUN := ./scripts/bootstrap.sh
JOBS ?= 2
WINDOW ?= 2021-05_crash
MINUTES ?= 10
TESTS ?= tests

.DEFAULT_GOAL := help
.PHONY: help install test demo devnet sims fuzz mutate lint gas size versus clean

help: ## list the targets
	@grep -E '^[a-z]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

install: ## Python packages, anvil, Uniswap and Aave artifacts
	@$(RUN)

# Contracts first, which every worker would wait for. Files as they come: those of tests/unit, the short ones, are last.
test: ## every test (TESTS=path to narrow, JOBS=n workers)
	@$(RUN) python -m ballast.chain.build --jobs $(JOBS) >/dev/null
	@$(RUN) python -m pytest -q -n $(JOBS) --dist loadfile --no-loadscope-reorder $(TESTS)

demo: ## replay real prices against the whole system (WINDOW=name)
	@$(RUN) python -m ballast.demo --window $(WINDOW)

devnet: ## a local chain with everything on it, until Ctrl-C (ARGS="--port 8546")
	@$(RUN) python -m ballast.devnet $(ARGS)

sims: ## every experiment of sims/experiments -> sims/findings and out/sims/*.html (JOBS=n)
	@$(RUN) ballast-sim run sims/experiments/*.toml --jobs $(JOBS) --publish

fuzz: ## search for broken invariants (MINUTES=n JOBS=n ARGS="--seed 7 --resume")
	@$(RUN) ballast-fuzz run --minutes $(MINUTES) --jobs $(JOBS) $(ARGS)

mutate: ## what tests would not notice -> docs/reports/mutants.md (ARGS="--only Vault", --sample 500)
	@$(RUN) ballast-mutate run --jobs $(JOBS) --report docs/reports/mutants.md $(ARGS)

lint: ## ruff, mypy --strict; of contracts format (mamushi) and style (natrix): lint.toml
	@$(RUN) ruff check .
	@$(RUN) ruff format --check ballast scripts sims tests
	@$(RUN) mypy
	@$(RUN) python -m scripts.lint

gas: ## whole-transaction gas on Anvil -> docs/reports/gas.md
	@$(RUN) python -m scripts.report gas

size: ## deployed bytes -> docs/reports/size.md; fails above 22,000
	@$(RUN) python -m scripts.report size

versus: ## this fuzzer against Foundry's invariant mode -> docs/reports/versus-foundry.md
	@$(RUN) python -m scripts.report versus-foundry

clean: ## caches and outputs (keeps the installed toolchain)
	@rm -rf .build .pytest_cache .ruff_cache .mypy_cache .hypothesis out
