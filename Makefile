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
# The pages' fonts, made from a package's; not in git.
FONTS := static/fonts/Inter-700.woff2
# Only what a lock names, and only files with one of its hashes. What a package needs to be built has none, so nothing is
# built; a machine that some package has no wheel for (a Mac, Alpine): make setup WHEELS=
WHEELS ?= --only-binary :all:
INSTALL := -m pip --disable-pip-version-check install --quiet --require-hashes --no-deps $(WHEELS)
TOOLS := $(VENV)/tools
CATALOGUES := $(patsubst %.po,%.mo,$(wildcard locale/*/LC_MESSAGES/django.po))

.PHONY: help setup setup-dev browser promtool run serve test lint messages lock audit clean \
	bench-relay bench-sockets bench-load bench-positions bench-candidates bench-accept bench-dispatch \
	bench-quality bench-abuse bench-pruning bench-reports bench-paint bench-marker bench-lighthouse bench-ops fuzz check-pages screenshots

help:
	@echo "make run          the demo: a simulated city on http://127.0.0.1:$(PORT)/ (PORT=8001 for another port)"
	@echo "make test         every test, on SQLite and on PostgreSQL + Redis, in Chromium (TEST_SERVICES=own: own servers)"
	@echo "make check-pages  every page in three languages, light and dark, three widths: accessible, nothing cut (half an hour)"
	@echo "make screenshots  the pictures of the README (ARGS='--all --to DIR': every state of every page)"
	@echo "make fuzz         50,000 generated frames and 10,000 requests on both set-ups (SEED=… plays them again)"
	@echo "make serve        real use: no demo data, DEBUG off (HOST, PORT; DATABASE_URL and REDIS_URL to scale)"
	@echo "make setup        the virtual environment alone"
	@echo "make lint         ruff, mypy, oxlint, import layers, migrations (made, and harmless to the last release), deployment check"
	@echo "make messages     bring the catalogues in locale/ up to date with the code, say what is not translated"
	@echo "make lock         write requirements*.lock and docs/licences.md anew (ARGS=--upgrade: newer versions)"
	@echo "make audit        look for known vulnerabilities of the locked packages (status 3: no source was reachable)"
	@echo "make bench-NAME   figures beside peers: relay, sockets, load, positions, candidates, accept, dispatch, quality, abuse, pruning, reports, paint, marker, lighthouse, ops (ARGS=--help)"
	@echo "make clean        remove the environment and caches; the data in var/ stays"

setup: $(STAMP) $(FONTS) $(CATALOGUES)

setup-dev: $(DEV_STAMP) $(FONTS) $(CATALOGUES)

# What Django reads. A language without it is not offered (stepper/languages.py).
%.mo: %.po $(STAMP)
	@$(PYTHON) -m babel.messages.frontend --quiet compile --input-file $< --output-file $@

messages: setup-dev
	@$(PYTHON) -m tests.catalogues
	@$(MAKE) --no-print-directory setup

$(PYTHON):
	@.ci/make-venv $(VENV)

$(STAMP): requirements.lock | $(PYTHON)
	@echo "Installing what the application needs into $(VENV) (once)"
	@$(PYTHON) $(INSTALL) -r requirements.lock
	@touch $@

$(FONTS): .ci/make-fonts $(STAMP)
	@$(PYTHON) .ci/make-fonts

$(DEV_STAMP): requirements-dev.lock $(STAMP)
	@echo "Installing what the tests need into $(VENV) (once)"
	@$(PYTHON) $(INSTALL) -r requirements-dev.lock
	@touch $@

$(TOOLS)/.requirements: requirements-tools.lock | $(PYTHON)
	@$(PYTHON) -m venv $(TOOLS)
	@$(TOOLS)/bin/python $(INSTALL) -r requirements-tools.lock
	@touch $@

browser:
	@command -v chromium >/dev/null || .ci/debian-install chromium \
		|| echo "Chromium is missing: the browser tests will fail. Install it (Debian: apt-get install chromium)."
	@command -v chromium-headless-shell >/dev/null || .ci/debian-install chromium-headless-shell \
		|| echo "Without chromium-headless-shell the browser tests take longer."

# Tries the alert rules.
promtool:
	@command -v promtool >/dev/null || test -x $(VENV)/bin/promtool || .ci/make-promtool $(CURDIR)/$(VENV)/bin/promtool \
		|| echo "promtool is missing: the test of the alert rules will fail. Install it (Debian: apt-get install prometheus)."

run: setup
	@exec env DEBUG=1 $(PYTHON) manage.py run --port $(PORT) --drivers $(DRIVERS) --passengers $(PASSENGERS)

serve: setup
	@$(PYTHON) manage.py prepare
	@exec $(PYTHON) manage.py serve --host $(HOST) --port $(PORT)

# Both suites run even if the first fails; pytest says on which servers. Each process that a test starts would compile
# the project again where Python may not keep what it compiled.
test: setup-dev browser promtool
	@status=0; for suite in embedded scaled; do \
		env -u PYTHONDONTWRITEBYTECODE STEPPER_SUITE=$$suite $(PYTHON) -m pytest -n $(JOBS) --dist loadgroup $(ARGS) || status=1; \
	done; exit $$status

# make test sends a few of them. Other ones each time; a failure names its seed.
fuzz: setup-dev
	@seed=$(or $(SEED),$$(date +%s)); echo "SEED=$$seed"; status=0; for suite in embedded scaled; do \
		STEPPER_SUITE=$$suite STEPPER_FUZZ_SEED=$$seed STEPPER_FUZZ_FRAMES=50000 STEPPER_FUZZ_REQUESTS=10000 \
			$(PYTHON) -m pytest tests/faults/test_fuzz.py $(ARGS) || status=1; \
	done; exit $$status

# make test takes each page once, in one of the combinations. ARGS="--only earnings" takes a few pages, --help says more.
check-pages: setup-dev browser
	@exec $(PYTHON) -m tests.pages.check $(ARGS)

screenshots: setup-dev browser
	@exec $(PYTHON) -m tests.pages.screenshots $(ARGS)

# The deployment check looks at the settings of a server behind a TLS proxy.
lint: setup-dev
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/mypy
	$(VENV)/bin/oxlint --quiet static/js
	$(VENV)/bin/lint-imports --no-cache
	$(PYTHON) manage.py makemigrations --check --dry-run
	$(PYTHON) -m tests.upgrade.compatibility
	env -u DEBUG HTTPS=1 $(PYTHON) manage.py check --deploy --fail-level WARNING

# Each prints a table and, in its last line, its figures as JSON. They want the machine for themselves.
bench-relay bench-sockets bench-load bench-positions bench-candidates bench-abuse bench-pruning bench-reports bench-paint bench-marker bench-lighthouse bench-ops: bench-%: setup-dev
	@exec $(PYTHON) -m tests.bench.$* $(ARGS)

bench-dispatch: setup-dev
	@$(PYTHON) -m tests.bench.dispatching $(ARGS)

bench-accept: setup-dev
	@exec $(PYTHON) -m tests.bench.accepts $(ARGS)

# FILE: another city's pick-ups, a CSV file with time, lat, lng.
bench-quality: setup-dev
	@exec $(PYTHON) -m tests.bench.quality $(if $(FILE),--file $(FILE)) $(ARGS)

# The versions in a lock stay as they are unless requirements*.txt or ARGS (--upgrade-package NAME) ask for others.
lock: $(TOOLS)/.requirements
	@for name in requirements requirements-dev requirements-tools; do \
		$(TOOLS)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
			--no-emit-index-url --custom-compile-command "make lock" $(ARGS) $$name.txt --output-file $$name.lock || exit 1; \
	done
	@$(MAKE) --no-print-directory setup-dev
	@$(PYTHON) -m tests.licences > docs/licences.new && mv docs/licences.new docs/licences.md

audit: $(TOOLS)/.requirements
	@$(TOOLS)/bin/python .ci/audit

clean:
	@rm -rf $(VENV) $(CATALOGUES) .pytest_cache .mypy_cache .ruff_cache .hypothesis test-results
