# Everything starts here. `make help` lists what there is.
PYTHON ?= python3
VENV := .venv/bin
SETUP := $(PYTHON) tools/setup_env.py
export PYTHONUNBUFFERED := 1
# A Python of this environment must not believe that another one has prepared it.
unexport _ROS_WHEELS_BOOTSTRAP_COMPLETE PYTHONPATH PYTHONHOME

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast lint bench studies doctor colcon clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: ## make .venv and everything in it
	@$(SETUP)

demo: setup ## the robot answers a real face; INPUT=video.mp4, a device number or a folder; POLICY=mirror; TASK=...
	@$(VENV)/fabg demo $(if $(INPUT),--input "$(INPUT)") $(if $(POLICY),--policy "$(POLICY)") $(if $(TASK),--task "$(TASK)")

test: ## run all tests, those of training too
	@$(SETUP) --with test --with train
	$(VENV)/python -m pytest $(ARGS)

test-fast: ## run the tests that take moments and start no nodes
	@$(SETUP) --with test
	$(VENV)/python -m pytest -m "not slow and not graph" $(ARGS)

lint: ## ruff and mypy
	@$(SETUP) --with test --with train
	$(VENV)/ruff check .
	$(VENV)/ruff format --check -q .
	$(VENV)/mypy

bench: setup ## run the benchmarks; they write JSON into runs/
	@mkdir -p runs/bench
	@set -e; for file in $$(grep -l '^if __name__' benchmarks/*.py); do echo "== $$file"; \
	  $(VENV)/python $$file --json runs/bench/$$(basename $$file .py).json; done

studies: ## train and play the studies of the learnt policy (hours); RGB=rgb.onnx RGBD=rgbd.onnx for the paper's table
	@$(SETUP) --with train
	@mkdir -p benchmarks/results/studies
	@set -e; for name in demonstrations ablations jaw sweep table; do echo "== $$name"; set --; \
	  if [ $$name = table ]; then set -- $(if $(RGB),--rgb "$(RGB)") $(if $(RGBD),--rgbd "$(RGBD)"); fi; \
	  $(VENV)/python benchmarks/studies/$$name.py --json benchmarks/results/studies/$$name.json \
	    --plot docs/media/study-$$name.png "$$@" >/dev/null; done

doctor: setup ## what is installed, what is missing, and the remedy
	@$(VENV)/fabg doctor

colcon: ## build the packages as a ROS 2 workspace does, against the wheels
	@$(SETUP) --with test
	tools/colcon_build.sh

clean: ## remove .venv, caches and builds; runs/ stays
	rm -rf .venv .cache build install log
