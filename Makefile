# Every target first brings .venv up to date with requirements/*.txt. A stamp per set of packages
# makes that free when nothing changed. pip and uv take index, proxy and cache from their usual
# environment variables and configuration files.

VENV := .venv
BIN := $(VENV)/bin

# The interpreter .venv is made with. Left alone: python3, or the newest suitable one beside it.
PYTHON ?= python3
ifeq ($(origin PYTHON),file)
PYTHONS := python3 python3.13 python3.12 python3.11
else
PYTHONS := $(PYTHON)
endif

# Of exactly the present sources, or not used; without a C compiler all is well but slower.
COMPILED := $(VENV)/.compiled

PACKAGES := preprocessing models ensemble alerting tuning services

.DEFAULT_GOAL := help
.PHONY: help install compile demo test check format evaluate quality bench bench-peers serve jaeger backends backends-stop k8s-check lock clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-13s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

install: $(VENV)/.stamp-dev $(COMPILED)  ## install everything into .venv: serving, training, tests, checks

compile: $(VENV)/.stamp-train $(COMPILED)  ## compile what every event passes through; all other targets do so too

demo: $(VENV)/.stamp-train $(COMPILED)  ## train, serve and score live logins; DEMO_EXIT=1 ends by itself
	$(BIN)/ztad demo $(if $(DEMO_EXIT),--exit)

test: $(VENV)/.stamp-dev $(COMPILED)  ## run all tests
	$(BIN)/python -m pytest

check: $(VENV)/.stamp-dev  ## formatting, lint, types, import contracts
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy --strict
	$(BIN)/lint-imports --no-logo

format: $(VENV)/.stamp-dev  ## rewrite the code in the house format
	$(BIN)/ruff check --fix --exit-zero --quiet .
	$(BIN)/ruff format .

# Seeds that no development used are to be given: SEEDS=101,102,103.
evaluate: $(VENV)/.stamp-train $(COMPILED)  ## measure detection on every scenario: SEEDS=a,b,c [EVENTS=n] [OUT=dir]
	$(BIN)/ztad suite --seeds $(SEEDS) --events $(or $(EVENTS),50000) --out $(or $(OUT),build/evaluation)

quality: $(VENV)/.stamp-dev $(COMPILED)  ## print headline figures of detection beside their floors: [RAISE=1]
	$(BIN)/python -m tests.quality $(if $(RAISE),--raise)

bench: $(VENV)/.stamp-train $(COMPILED)  ## measure latency and throughput on this machine; keep it in docs/bench
	$(BIN)/ztad bench --keep docs/bench

bench-peers: $(VENV)/.stamp-train $(COMPILED) build/peers/.stamp  ## measure beside what others would build: [QUICK=1] [OUT=file]
	$(BIN)/ztad bench --peers --seconds 5 $(if $(QUICK),--quick) $(if $(OUT),--out $(OUT))

serve: $(VENV)/.stamp-train $(COMPILED)  ## serve the champion model on port 8000 until Ctrl-C
	$(BIN)/ztad serve

jaeger:  ## run Jaeger on this machine until Ctrl-C; needs Docker, or Go once
	@sh k8s/jaeger/run.sh

# Without one of them its tests skip; each server says why it cannot be had.
backends: $(VENV)/.stamp-dev  ## start PostgreSQL, Redis and Kafka for the tests: [REQUIRE=1]
	$(BIN)/python -m services.backends start $(if $(REQUIRE),--require)

backends-stop: $(VENV)/.stamp-dev  ## end them again; what they keep stays in build/backends
	$(BIN)/python -m services.backends stop

k8s-check: $(VENV)/.stamp-dev  ## render and check every Kubernetes overlay; needs Go once
	$(BIN)/python -m k8s.checks

# The sets nest: each smaller lock is resolved under the larger one. UPGRADE=--upgrade moves pins.
LOCK = $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
	--no-emit-index-url --no-header --no-annotate $(UPGRADE)
LOCK_PROJECT = $(LOCK) pyproject.toml --group pyproject.toml:build

lock: $(VENV)/.stamp-uv  ## regenerate requirements/*.txt from pyproject.toml
	@echo "resolving requirements/*.txt"
	@set -e; $(pip_settings_for_uv); \
	$(LOCK_PROJECT) --extra explain --extra train --extra dev --output-file requirements/dev.txt; \
	$(LOCK_PROJECT) --extra explain --extra train --constraint requirements/dev.txt --output-file requirements/train.txt; \
	$(LOCK_PROJECT) --extra explain --constraint requirements/train.txt --output-file requirements/explain.txt; \
	$(LOCK_PROJECT) --constraint requirements/explain.txt --output-file requirements/serve.txt; \
	$(LOCK) --group pyproject.toml:compile --group pyproject.toml:build --constraint requirements/dev.txt --output-file requirements/compile.txt; \
	$(LOCK) --group pyproject.toml:peers --output-file requirements/peers.txt; \
	$(LOCK) --group pyproject.toml:installer --output-file requirements/uv.txt

clean:  ## remove .venv, caches and build output
	@[ ! -d build/backends ] || $(BIN)/python -m services.backends stop
	rm -rf $(VENV) .tools build dist preprocessing/_compiled ztad.egg-info .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find $(PACKAGES) peers tests -name __pycache__ -type d -prune -exec rm -rf {} +

# Beside what is installed already: nothing that the larger sets do not pin alike.
$(COMPILED): $(wildcard preprocessing/*.py) requirements/compile.txt | $(VENV)/.stamp-uv
	@$(pip_settings_for_uv); $(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/compile.txt
	@echo "compiling the history"
	@$(BIN)/python -m preprocessing.compiling
	@touch $@

# Of other people's services: in an environment of their own, so that ours has none of it.
build/peers/.stamp: requirements/peers.txt | $(VENV)/.stamp-uv
	@echo "installing the packages of $<"
	@$(pip_settings_for_uv); quiet=$$([ -t 2 ] || echo --quiet); \
	$(BIN)/uv venv --quiet --clear --python $(BIN)/python build/peers/venv && \
	$(BIN)/uv pip install $$quiet --python build/peers/venv/bin/python --require-hashes -r $<
	@touch $@

SUITABLE = import sys, ensurepip, venv; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))

define make_venv
for python in $(PYTHONS); do \
  if "$$python" -c '$(SUITABLE)' 2>/dev/null; then \
    echo "making $(VENV) with $$("$$python" --version)"; exec "$$python" -m venv --clear $(VENV); \
  fi; \
done; \
echo "error: ztad needs Python 3.11, 3.12 or 3.13 with its venv module; tried: $(PYTHONS)." >&2; \
echo "Install one (Debian, Ubuntu: apt install python3.11 python3.11-venv), or name one you have:" >&2; \
echo "make $(or $(MAKECMDGOALS),install) PYTHON=/path/to/python3.12" >&2; \
exit 1
endef

# uv does not read pip's configuration, so an index or certificate set up for pip is handed on.
define pip_settings_for_uv
index=$${UV_DEFAULT_INDEX:-$${UV_INDEX_URL:-$${PIP_INDEX_URL:-$$($(BIN)/python -m pip config get global.index-url 2>/dev/null || true)}}}; \
if [ -n "$$index" ]; then export UV_DEFAULT_INDEX="$$index"; fi; \
extra=$${UV_INDEX:-$${PIP_EXTRA_INDEX_URL:-}}; \
if [ -n "$$extra" ]; then export UV_INDEX="$$extra"; fi; \
if [ -n "$${PIP_CERT:-}" ]; then export SSL_CERT_FILE="$${SSL_CERT_FILE:-$$PIP_CERT}"; fi
endef

$(VENV)/.stamp-uv: requirements/uv.txt
	@$(BIN)/python -c '$(SUITABLE)' 2>/dev/null || { $(make_venv); }
	@echo "installing uv"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $<
	@touch $@

$(VENV)/.stamp-%: requirements/%.txt pyproject.toml $(VENV)/.stamp-uv
	@echo "installing the packages of $<"
	@$(pip_settings_for_uv); quiet=$$([ -t 2 ] || echo --quiet); \
	$(BIN)/uv pip install $$quiet --python $(BIN)/python --require-hashes -r $< && \
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@
