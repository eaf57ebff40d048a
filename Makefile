# Everything a person types: `make demo`, `make test`; both prepare .venv first.
.DEFAULT_GOAL := help
.PHONY: help setup demo test test-fast test-live lint docs clean clean-setup

# A ROS installation sourced in the calling shell must not mix with the one in .venv.
unexport AMENT_PREFIX_PATH CMAKE_PREFIX_PATH COLCON_PREFIX_PATH LD_LIBRARY_PATH
unexport PYTHONHOME PYTHONPATH VIRTUAL_ENV _ROS_WHEELS_BOOTSTRAP_COMPLETE
# rclpy writes its logs below HOME and fails without one.
ifeq ($(HOME),)
export HOME := /tmp
endif

PYTEST = .venv/bin/python -m pytest -q -ra

help: ## This list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z-]*\):.*## /  make \1  /p' Makefile

setup: ## Prepare .venv: Python packages, ROS 2 wheels, interfaces (quick when up to date)
	@scripts/setup.sh

demo: setup ## Map a sequence live with three nodes; SOURCE=folder-or-bag takes your own
	@.venv/bin/ace-slam demo $(if $(SOURCE),"$(SOURCE)")

# Those that start nodes, or are about what two cores do in time, run alone.
test: setup lint ## Run style checks and all tests, as continuous integration does
	@failed=0; \
	  $(PYTEST) --durations=10 -n 2 --dist loadfile -m "not live and not alone" $(TESTS) || [ $$? = 5 ] || failed=1; \
	  $(PYTEST) --durations=10 -m "live or alone" $(TESTS) || [ $$? = 5 ] || failed=1; \
	  exit $$failed

test-fast: setup ## Run the tests of single functions: no nodes, no rendering, a minute
	@$(PYTEST) -n 2 -m "not slow and not live and not render" $(TESTS)

test-live: setup ## Run the tests that start ROS 2 nodes
	@$(PYTEST) --durations=10 -m live $(TESTS)

lint: setup ## Check style (ruff) and types (mypy)
	@.venv/bin/ruff check .
	@if .venv/bin/python -c 'import numpy; exit(numpy.__version__ < "2")'; then .venv/bin/mypy; \
	  else echo "mypy: left out, NumPy 1 (Python 3.10) describes its arrays otherwise"; fi

docs: setup ## Build the documentation into out/docs
	@.venv/bin/mkdocs build --strict --site-dir out/docs

clean: ## Remove build products, caches and outputs, but not .venv
	rm -rf build install log out .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
	find . -name __pycache__ -not -path './.venv/*' -prune -exec rm -rf {} +

# That file first: without it, half a .venv is not taken for a whole one.
clean-setup: ## Remove .venv, so that the next set-up starts anew
	rm -rf .venv/pyvenv.cfg .venv
