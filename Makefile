# SPDX-FileCopyrightText: 2026 The vos_ros authors
# SPDX-License-Identifier: Apache-2.0
#
# Everything here works on a machine with nothing but Python 3.10 to 3.12 and pip: .venv is made
# from the pins in requirements/, real rclpy and Fast DDS included. `make help` lists the targets.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

# make demo
OUT ?= demo_out
# make demo3d
OUT3D := $(if $(filter file default undefined,$(origin OUT)),demo3d_out,$(OUT))
# make bench: what `python benchmarks --help` lists
BENCH ?=
# make test / make check; TRAINING=0 leaves torch and the tests that need it out
TRAINING ?= 1
# 1: pip checks every file by its hash (requirements/*.lock); not torch and the site of the docs
HASHES ?= 0
PYTEST_ARGS ?=

# The wheels' rclpy must not meet the libraries of a ROS that this shell has sourced: they are
# taken out of the environment of what make starts, and nowhere else.
unexport PYTHONPATH PYTHONHOME CMAKE_PREFIX_PATH COLCON_PREFIX_PATH ROS_DISTRO RMW_IMPLEMENTATION
ifdef ROS_DISTRO
unexport LD_LIBRARY_PATH
endif
export AMENT_PREFIX_PATH := $(abspath $(VENV))

RUNTIME := $(VENV)/.runtime
TEST := $(VENV)/.test$(TRAINING)
# What pip copies instead of linking; folders too, so that a removed file is noticed.
COPIED := setup.py setup.cfg package.xml \
  $(shell find launch config models scripts resource -not -name '__pycache__' -not -name '*.pyc' 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help venv demo demo3d test quick matrix check lint format types docs bench clean
.DELETE_ON_ERROR:

help:  ## this list
	@grep -hE '^[a-z0-9]+:.*##' $(firstword $(MAKEFILE_LIST)) | sed -E 's/:[^#]*## */\t/' | expand -t 10

venv: $(RUNTIME)  ## make .venv with the runtime: .venv/bin/vos
	@echo 'ready: $(BIN)/vos --help'

demo: $(RUNTIME)  ## node, camera and recorder over DDS: demo_out/{report.json,overlay.mp4,index.html}; VIDEO= MASK= | DAVIS= | MODEL= | FRAMES= | RATE=
	@$(if $(filter demo_out build/demo,$(OUT)),rm -rf $(OUT))  # of this checkout; also what a killed run left
	@$(BIN)/vos demo --out '$(OUT)' $(if $(VIDEO),--video '$(VIDEO)') $(if $(MASK),--mask '$(MASK)') \
	  $(if $(DAVIS),--davis '$(DAVIS)') $(if $(MODEL),--model '$(MODEL)') \
	  $(if $(FRAMES),--frames '$(FRAMES)') $(if $(RATE),--rate '$(RATE)')

demo3d: $(RUNTIME)  ## segmenter and objects_3d over DDS, a drawn scene with depth: demo3d_out/{index.html,clouds.png,report.json}; MODEL= | FRAMES= | RATE=
	@$(if $(filter demo3d_out build/demo3d,$(OUT3D)),rm -rf $(OUT3D))
	@$(BIN)/vos demo3d --out '$(OUT3D)' $(if $(MODEL),--model '$(MODEL)') \
	  $(if $(FRAMES),--frames '$(FRAMES)') $(if $(RATE),--rate '$(RATE)')

test: $(TEST)  ## all tests; PYTEST_ARGS='-k name -x'; TRAINING=0 without torch
	@$(BIN)/python -m pytest test $(if $(filter 0,$(TRAINING)),,training/test) $(PYTEST_ARGS)

quick: $(VENV)/.test0  ## tests that need neither ROS nor long: under a minute
	@$(BIN)/python -m pytest test -m 'not ros and not integration and not slow' $(PYTEST_ARGS)

# nox, in a folder of its own; what it tries is in noxfile.py
MATRIX ?=
matrix: build/nox/.ready  ## the tests beside the versions of other distributions; MATRIX='-s kilted'
	build/nox/bin/nox $(MATRIX)

build/nox/.ready: requirements/matrix.txt
	@$(PYTHON) -m venv build/nox
	build/nox/bin/python -m pip --disable-pip-version-check -qq install -r requirements/matrix.txt
	@touch $@

check: lint types test  ## what must pass before a commit: lint, types, test

lint: $(TEST)  ## ruff, rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(TEST)  ## let ruff put right what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(TEST)  ## mypy
	$(BIN)/mypy

docs: $(VENV)/.docs  ## the pages of docs/ as a site: site/index.html; fails where a link leads nowhere
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet
	@echo 'look at site/index.html'

bench: $(TEST)  ## measure this machine, 15 min: benchmarks/results/<date>-<machine>/; BENCH='--davis ROOT'
	$(BIN)/python benchmarks $(BENCH)

clean:  ## remove .venv and everything that tools leave
	rm -rf $(VENV) demo_out demo3d_out build site *.egg-info training/*.egg-info .mypy_cache .pytest_cache .ruff_cache
	find . -name __pycache__ -not -path './.git/*' -prune -exec rm -rf {} +

# Editable: Python files are linked, so that no stale copy is ever run or tested. An editable
# install leaves data files out (launch, config, models, ament marker, what ros2 run starts), so
# they are copied beside it, and again whenever one of them has changed, come or gone.
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq
EDITABLE := install --no-deps --no-build-isolation --editable

pins = $(if $(filter 1,$(HASHES)),--require-hashes -r requirements/$(1).lock,-r requirements/$(1).txt -c requirements/constraints.txt)

$(VENV)/.wheels: requirements/runtime.txt requirements/constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 12))' || \
	  { echo 'make: Python 3.10, 3.11 or 3.12 is needed; name one: make PYTHON=python3.11'; exit 1; }
	@$(PYTHON) -m venv $(VENV) || \
	  { echo 'make: python3 -m venv failed; on Debian and Ubuntu: apt install python3-venv'; exit 1; }
	@echo 'installing pinned packages into $(VENV) (a minute or two, once)'
	$(PIP) install $(call pins,runtime)
	@touch $@

$(RUNTIME): $(VENV)/.wheels $(COPIED) Makefile
	$(PIP) $(EDITABLE) .
	@rm -rf $(VENV)/share/vos_ros $(VENV)/lib/vos_ros
	@PYTHONWARNINGS=ignore $(BIN)/python setup.py -q install_data --install-dir $(abspath $(VENV))
	@touch $@

$(VENV)/.tools: $(VENV)/.wheels requirements/test.txt
	$(PIP) install $(call pins,test)
	@touch $@

$(VENV)/.docs: $(VENV)/.wheels requirements/docs.txt
	@$(BIN)/python -c 'import sys; sys.exit(sys.version_info[:2] < (3, 11))' || \
	  { echo 'make: the site needs Python 3.11 or 3.12: make clean docs PYTHON=python3.11'; exit 1; }
	$(PIP) install -r requirements/docs.txt -c requirements/constraints.txt
	@touch $@

$(VENV)/.test0: $(RUNTIME) $(VENV)/.tools
	@touch $@

$(VENV)/.training: $(VENV)/.tools requirements/training.txt training/pyproject.toml
	$(PIP) install -r requirements/training.txt -c requirements/constraints.txt
	$(PIP) $(EDITABLE) training
	@touch $@

$(VENV)/.test1: $(RUNTIME) $(VENV)/.training
	@touch $@
