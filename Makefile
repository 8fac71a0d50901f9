# Every target builds what it needs first; stamp files make the second time quick.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
JAVASCRIPT := fleet/javascript
SERVER_STAMP := $(VENV)/.requirements
DEV_STAMP := $(VENV)/.requirements-dev
NPM_STAMP := $(JAVASCRIPT)/node_modules/.installed
PIP_INSTALL := $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes

.DEFAULT_GOAL := help
.PHONY: help run test lint types openapi proto bench-cells bench-federation bench-sync bench-wire chaos lock clean system-packages

help: ## List these targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(SERVER_STAMP) ## Start everything with a simulated fleet (ARGS="--rest-addr :8081" and so on)
	@exec $(BIN)/python manage.py up --demo $(ARGS)

test: $(DEV_STAMP) system-packages $(NPM_STAMP) lint types ## Lint, types, migrations, then every test
	@# It would like to ask the databases, but does not need to: none runs here.
	$(BIN)/python -W ignore::RuntimeWarning manage.py makemigrations --check --dry-run
	@# By file: an installation that the tests of one share is started once, not by each worker.
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ARGS)

lint: $(DEV_STAMP) ## Format and lint, without changing anything
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m ruff check .

types: $(DEV_STAMP) ## Check types, strictly
	$(BIN)/python -m mypy .

openapi: $(SERVER_STAMP) ## Write docs/openapi.yaml anew, from the code
	@# It would like to ask the databases, but does not need to.
	$(BIN)/python -W ignore::RuntimeWarning manage.py spectacular --fail-on-warn --validate --file docs/openapi.yaml

proto: $(DEV_STAMP) $(NPM_STAMP) ## Generate the code of proto/, which is committed
	$(BIN)/python -m grpc_tools.protoc -I proto --python_out=. --pyi_out=. proto/constellation/v1/*.proto
	$(BIN)/python -m grpc_tools.protoc -I proto --grpc_python_out=. proto/constellation/v1/service.proto
	$(BIN)/python -m grpc_tools.protoc -I proto --include_imports --descriptor_set_out=$(JAVASCRIPT)/.schema \
	  $(addprefix constellation/v1/,device.proto sync.proto bundle.proto codebook.proto)
	node $(JAVASCRIPT)/schema.mjs < $(JAVASCRIPT)/.schema > $(JAVASCRIPT)/src/schema.js; rm $(JAVASCRIPT)/.schema

bench-cells: $(DEV_STAMP) ## Hold the k-means of a round against faiss and against sgemm
	$(BIN)/python -m benchmarks.cells $(ARGS)

bench-federation: $(DEV_STAMP) ## Hold reading, assigning and merging of a round against COPY, sgemm and the clock
	$(BIN)/python -m benchmarks.federation $(ARGS)

bench-sync: $(DEV_STAMP) ## Hold syncs of a whole shard against pgbench, peers and limits (ARGS="--quick")
	$(BIN)/python -m benchmarks.sync $(ARGS)

bench-wire: $(DEV_STAMP) ## Hold bytes, cosines, lift and cost of a sync against their limits (ARGS="--movielens DIR")
	$(BIN)/python -m benchmarks.wire $(ARGS)

chaos: $(DEV_STAMP) ## Hold 50 rounds over five shards while processes are killed (ARGS="--rounds 5 --seed 7")
	$(BIN)/python -m tests.chaos $(ARGS)

lock: $(DEV_STAMP) ## Compile requirements*.in into hash-pinned requirements*.txt
	$(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 requirements.in -o requirements.txt
	$(BIN)/python -m uv pip compile --quiet --universal --generate-hashes --python-version 3.11 -c requirements.txt requirements-dev.in -o requirements-dev.txt

clean: ## Remove the environment and caches; data in .constellation stay
	rm -rf $(VENV) $(JAVASCRIPT)/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -not -path './.constellation/*' -prune -exec rm -rf {} +

$(VENV)/.created:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
	  echo "Constellation needs Python 3.11 or newer, and '$(PYTHON)' is not." >&2; \
	  echo "Install one, or name it: make PYTHON=python3.12 ..." >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || { \
	  echo "'$(PYTHON)' cannot make virtual environments." >&2; \
	  echo "On Debian and Ubuntu: apt-get install python3-venv" >&2; exit 1; }
	@# One that works is kept, whoever made it.
	@$(BIN)/python -c 'import pip' 2>/dev/null || { \
	  echo "Making a virtual environment in $(VENV)"; \
	  $(PYTHON) -m venv --clear $(VENV); }
	@touch $@

$(SERVER_STAMP): requirements.txt $(VENV)/.created
	@echo "Installing dependencies"
	@$(PIP_INSTALL) -r requirements.txt
	@touch $@

$(DEV_STAMP): requirements-dev.txt $(SERVER_STAMP)
	@echo "Installing development dependencies"
	@$(PIP_INSTALL) -r requirements-dev.txt
	@touch $@

# For the TV that isn't Python. Node may come with the system packages.
$(NPM_STAMP): $(JAVASCRIPT)/package-lock.json $(JAVASCRIPT)/package.json | system-packages
	@command -v npm >/dev/null || { \
	  echo "The JavaScript TV needs Node 18 or newer, and npm." >&2; \
	  echo "On Debian and Ubuntu: apt-get install nodejs npm ca-certificates" >&2; exit 1; }
	@echo "Installing development dependencies of the JavaScript TV"
	@cd $(JAVASCRIPT) && npm ci --loglevel=error
	@touch $@

# What some tests talk to. Best effort: only root may install, and only Debian knows these names.
system-packages:
	@command -v apt-get >/dev/null && [ "$$(id -u)" = 0 ] || exit 0; \
	missing=; \
	command -v chromium >/dev/null || missing="$$missing chromium"; \
	command -v redis-server >/dev/null || missing="$$missing redis-server"; \
	command -v node >/dev/null || missing="$$missing nodejs"; \
	command -v npm >/dev/null || missing="$$missing npm ca-certificates"; \
	[ -n "$$missing" ] || exit 0; \
	echo "Installing$$missing"; \
	export DEBIAN_FRONTEND=noninteractive; \
	{ apt-get -qq update && apt-get -qq install --no-install-recommends -y $$missing; } \
	  >/dev/null 2>&1 || echo "Could not install$$missing; going on without" >&2
