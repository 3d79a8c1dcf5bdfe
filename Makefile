# Everything needs Python 3.11 or newer and make; `make install` fetches the rest, pinned by hash.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$p && break; done)
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
# A shell that forbids bytecode would have each process that a test starts compile the whole project anew.
unexport PYTHONDONTWRITEBYTECODE
SEEDS ?= 2000
ROUNDS ?= 10
TARGET_PORT ?= 9000
CASES ?= 5000
PYTEST := $(BIN)/python -m pytest

.DEFAULT_GOAL := help
.PHONY: help install demo serve target docs test test-long test-fast test-services test-wan test-wan-short testbed fuzz check lint types types-server types-sdk format bench bench-throughput bench-race \
	bench-latency bench-pacing bench-retry bench-sdk bench-webhooks bench-console bench-domains bench-memory bench-wan kill-rounds simulate outage wheels lock clean

help: ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "%-18s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

install: $(INSTALLED) ## make .venv with everything pinned

$(INSTALLED): requirements.lock pyproject.toml sdk/pyproject.toml
	@test -n "$(PYTHON)" || { echo "Python 3.11 or newer is needed: set PYTHON=/path/to/python3"; exit 1; }
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation -e . -e sdk
	@touch $@

demo: install ## start the service, race, retry, reroute, deduplicate: see it happen
	$(BIN)/python -m bench.demo

serve: install ## run the service on port 8080, private targets allowed, with a key to play with in data/play.key
	@umask 077; mkdir -p data; test -s data/play.key || \
		$(BIN)/ezthrottle keys create --customer cust_play | head -n 1 > data/play.key
	$(BIN)/ezthrottle serve --allow-private-targets

target: install ## an API to play with on port 9000: it answers, prints what it is asked, and takes webhooks
	$(BIN)/python sdk/examples/stand_in.py $(TARGET_PORT)

docs: install ## the documentation as a site to open from disk, with its reference and a search: build/docs/html
	$(BIN)/python -m bench.site

test: install ## every test that CI runs: those that start services beside those that do not, each half shown when it ends; a short one on a WAN beside whichever takes longer
	$(MAKE) --jobs=2 --output-sync=target test-fast test-services test-wan-short

test-long: install ## what CI leaves out too: every seed, victim, restart and example
	EZTHROTTLE_LONG=1 EZTHROTTLE_FUZZ_CASES=560 $(MAKE) test PYTEST='$(PYTEST) -m ""'

fuzz: install ## drawn requests, many of them taken, against the whole service and its description: CASES=5000
	EZTHROTTLE_FUZZ_CASES=$(CASES) $(BIN)/python -m pytest tests/acceptance/test_described.py -o log_cli=true -o log_cli_level=INFO

test-fast: install ## the tests that start no service
	$(PYTEST) --durations=15 tests/unit tests/property tests/conformance tests/simulation tests/typing tests/compatibility

test-services: install ## the tests that start services
	$(PYTEST) --durations=25 tests/acceptance tests/integration tests/chaos

# Each fault so often, in one started service.
test-wan: ROUNDS = 1
test-wan: install ## faults on a WAN of machines made of namespaces: needs root and /dev/net/tun; RESULTS=file keeps the figures, ROUNDS=5 has medians, ONLY=word chooses
	EZTHROTTLE_WAN_ROUNDS=$(ROUNDS) $(if $(RESULTS),EZTHROTTLE_WAN_RESULTS=$(RESULTS)) $(PYTEST) tests/wan $(if $(ONLY),-k "$(ONLY)")

test-wan-short: install ## one of them that takes half a minute: agents join, race, and are cut off; where no testbed can be made it is skipped, and says why
	$(PYTEST) --no-fold-skipped -m short tests/wan

testbed: install ## such machines to try things on: `help` names the commands
	$(BIN)/python -m bench.testbed

check: lint types ## style, types, layers, generated files

lint: install ## ruff and the layers' contracts
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache
	$(BIN)/python -m bench.diagrams --check

types: types-server types-sdk ## mypy strict, server and SDK

types-server: install
	$(BIN)/mypy

types-sdk: install
	cd sdk && ../$(BIN)/mypy
	cd sdk && MYPYPATH=examples ../$(BIN)/mypy --explicit-package-bases examples/*.py

format: install ## format the code and draw the generated diagrams
	$(BIN)/ruff format .
	$(BIN)/python -m bench.diagrams

bench: bench-latency bench-race bench-throughput bench-pacing bench-retry bench-sdk bench-webhooks ## every benchmark

bench-throughput: install ## the whole path under load, beside the raw floor: BESIDE=checkout compares with another one
	$(BIN)/python -m bench.throughput $(if $(BESIDE),--beside $(BESIDE))

bench-race: install ## how soon losers are closed, and what racing and hedging are worth: QUICK=1 for five minutes
	$(BIN)/python -m bench.race.losers
	$(BIN)/python -m bench.race $(if $(QUICK),--jobs 300 --runs 1 --per-s 40)

bench-latency: install ## acknowledgement and submit-to-webhook: BESIDE=checkout compares with another one
	$(BIN)/python -m bench.latency $(if $(BESIDE),--beside $(BESIDE))

bench-pacing: install ## strict servers that answer 429 past their own limit: QUICK=1 for two minutes
	$(BIN)/python -m bench.pacing $(if $(QUICK),--quick)
	$(BIN)/python -m bench.pacing_troubles $(if $(QUICK),--quick)

bench-retry: install ## a storm of 429s and an outage, beside clients that retry by themselves: QUICK=1 for some minutes, OUTAGE_S=300
	$(BIN)/python -m bench.storm $(if $(QUICK),--quick) $(if $(OUTAGE_S),--outage-s $(OUTAGE_S))

bench-sdk: install ## one client's submissions, beside the published client's
	$(BIN)/python -m bench.submissions

bench-webhooks: install ## what nine receivers feel of a tenth that hangs: QUICK=1 for half a minute
	$(BIN)/python -m bench.webhooks $(if $(QUICK),--quick)

bench-memory: install ## what one customer can make the service hold, in many ways: ONLY=names with commas for some
	$(BIN)/python -m bench.memory $(if $(ONLY),--only $(ONLY),--json bench/results/memory.json)

bench-console: install ## the console over a million jobs and ten thousand targets, and what it costs the jobs: QUICK=1 for a tenth
	$(BIN)/python -m bench.console $(if $(QUICK),--jobs 100000 --domains 1000 --rounds 20 --pairs 3)

bench-domains: install ## what 100,000 targets cost: bytes when idle, and time to pick the next request
	$(BIN)/python -m tests.simulation.many_domains --json bench/results/domains.json

bench-wan: install ## on machines of namespaces, as root: races over agents beside an echo over the same paths, and an executor on another machine
	$(BIN)/python -m bench.far_races
	$(BIN)/python -m bench.apart

kill-rounds: install ## kill -9 under load, restart, and look for what is missing: ROUNDS=10
	$(BIN)/python -m bench.kill_rounds --rounds $(ROUNDS)

outage: install ## 15 simulated minutes without a target, at 1,000 jobs a second, in five ways
	$(BIN)/python -m tests.simulation.outage

simulate: install ## the core under a virtual clock and seeded faults: SEEDS=2000
	EZTHROTTLE_SIM_SEEDS=0:$(SEEDS) $(BIN)/python -m pytest tests/simulation/test_histories.py --timeout 3600

wheels: install ## what machines install: the package, its client and the versions that they stand on, in dist/
	rm -rf dist && $(BIN)/python -m hatchling build --target wheel
	cd sdk && ../$(BIN)/python -m hatchling build --target wheel --directory ../dist
	sed -e 's/ *--hash=[^ ]*//' -e 's/ *\\$$//' -e '/^ *$$/d' requirements.lock > dist/constraints.txt

lock: ## resolve the dependencies anew (needs uv)
	$(PYTHON) -m bench.requirements | uv pip compile - --universal --python-version 3.11 \
		--generate-hashes --no-header --no-annotate --quiet --output-file requirements.lock

clean: ## forget the environment
	rm -rf $(VENV)
