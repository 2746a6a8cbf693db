# make run and make test are all a newcomer needs; `make help` lists the rest.

SHELL := /bin/sh
.DEFAULT_GOAL := help

PORT ?= 8000
HOST ?= 127.0.0.1
DRIVERS ?= 29
PASSENGERS ?= 1
# How many tests run at once (three keep two cores busy, as many of them wait for a browser or a server), and what else
# goes to pytest: make test ARGS="-k dispatch".
JOBS ?= 3
ARGS ?=

VENV := .venv
PYTHON := $(VENV)/bin/python
# Newer than the requirements: nothing to install, so a second start takes a second.
STAMP := $(VENV)/.requirements
DEV_STAMP := $(VENV)/.requirements-dev
PIP := $(PYTHON) -m pip --disable-pip-version-check install --quiet

.PHONY: help setup setup-dev browser run serve test lint constraints clean \
	bench-relay bench-sockets bench-load bench-positions bench-candidates bench-accept bench-dispatch \
	bench-quality bench-abuse fuzz

help:
	@echo "make run          the demo: a simulated city on http://127.0.0.1:$(PORT)/ (PORT=8001 for another port)"
	@echo "make test         every test, on SQLite and on PostgreSQL + Redis, in Chromium (TEST_SERVICES=own: own servers)"
	@echo "make fuzz         50,000 generated frames and 10,000 requests on both set-ups (SEED=… plays them again)"
	@echo "make serve        real use: no demo data, DEBUG off (HOST, PORT; DATABASE_URL and REDIS_URL to scale)"
	@echo "make setup        the virtual environment alone"
	@echo "make lint         ruff, mypy, import layers, migrations check, deployment check"
	@echo "make constraints  write requirements-constraints.txt anew from the environment"
	@echo "make bench-NAME   figures beside peers: relay, sockets, load, positions, candidates, accept, dispatch, quality, abuse (ARGS=--help)"
	@echo "make clean        remove the environment and caches; the data in var/ stays"

setup: $(STAMP)

setup-dev: $(DEV_STAMP)

$(PYTHON):
	@.ci/make-venv $(VENV)

$(STAMP): requirements.txt requirements-constraints.txt | $(PYTHON)
	@echo "Installing what the application needs into $(VENV) (once)"
	@$(PIP) -r requirements.txt
	@touch $@

$(DEV_STAMP): requirements-dev.txt $(STAMP)
	@echo "Installing what the tests need into $(VENV) (once)"
	@$(PIP) -r requirements-dev.txt
	@touch $@

browser:
	@command -v chromium >/dev/null || .ci/debian-install chromium \
		|| echo "Chromium is missing: the browser tests will fail. Install it (Debian: apt-get install chromium)."

run: setup
	@exec env DEBUG=1 $(PYTHON) manage.py run --port $(PORT) --drivers $(DRIVERS) --passengers $(PASSENGERS)

serve: setup
	@$(PYTHON) manage.py prepare
	@exec $(PYTHON) manage.py serve --host $(HOST) --port $(PORT)

# Both suites run even if the first fails; pytest says on which servers.
test: setup-dev browser
	@status=0; for suite in embedded scaled; do \
		STEPPER_SUITE=$$suite $(PYTHON) -m pytest -n $(JOBS) --dist loadgroup $(ARGS) || status=1; \
	done; exit $$status

# make test sends a few of them. Other ones each time; a failure names its seed.
fuzz: setup-dev
	@seed=$(or $(SEED),$$(date +%s)); echo "SEED=$$seed"; status=0; for suite in embedded scaled; do \
		STEPPER_SUITE=$$suite STEPPER_FUZZ_SEED=$$seed STEPPER_FUZZ_FRAMES=50000 STEPPER_FUZZ_REQUESTS=10000 \
			$(PYTHON) -m pytest tests/faults/test_fuzz.py $(ARGS) || status=1; \
	done; exit $$status

# The deployment check looks at the settings of a server behind a TLS proxy.
lint: setup-dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache
	$(PYTHON) manage.py makemigrations --check --dry-run
	env -u DEBUG HTTPS=1 $(PYTHON) manage.py check --deploy --fail-level WARNING

# Each prints a table and, in its last line, its figures as JSON. They want the machine for themselves.
bench-relay bench-sockets bench-load bench-positions bench-candidates bench-abuse: bench-%: setup-dev
	@exec $(PYTHON) -m tests.bench.$* $(ARGS)

bench-dispatch: setup-dev
	@$(PYTHON) -m tests.bench.dispatching $(ARGS)

bench-accept: setup-dev
	@exec $(PYTHON) -m tests.bench.accepts $(ARGS)

# FILE: another city's pick-ups, a CSV file with time, lat, lng.
bench-quality: setup-dev
	@exec $(PYTHON) -m tests.bench.quality $(if $(FILE),--file $(FILE)) $(ARGS)

constraints: setup-dev
	@{ echo "# Every package's exact version, direct or not, so that every set-up is the same. Made by \`make constraints\`."; \
		$(PYTHON) -m pip freeze | sort -f; } > requirements-constraints.new
	@mv requirements-constraints.new requirements-constraints.txt

clean:
	@rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis test-results
