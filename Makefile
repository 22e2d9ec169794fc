# All targets run on a machine with Debian 12 or 13, with Go and make, without a container
# engine. They install further dependencies (apt, as root) or build them from
# pinned Go modules. Binaries are kept in the user's cache folder.

# Plain su keeps the user's PATH, without nft and sysctl.
export PATH := $(PATH):/usr/sbin:/sbin
# Not all CI systems set HOME, and Go needs it.
export HOME ?= $(shell getent passwd "$$(id -u)" | cut -d: -f6)

# Product and tools run in images and namespaces that contain no other files.
# Builds with and without cgo share no cache.
export CGO_ENABLED = 0

OUTPUT     ?= dist
# golangci-lint with kube-api-linter, which only .golangci-api.yaml uses.
LINT       := go tool -modfile=$(CURDIR)/hack/tools/lint/go.mod golangci-lint-kube-api-linter
# -vet=off: make verify runs govet over the same packages, with all analyzers of go
# test. On a fresh machine, vet would also analyze every dependency.
# -s -w: linking takes a third less time without the symbols for debuggers.
TESTSUM    := go tool -modfile=$(CURDIR)/hack/tools/lint/go.mod gotestsum --format pkgname -- -vet=off "-ldflags=-s -w"
GENERATE   := go tool -modfile=$(CURDIR)/hack/tools/generate/go.mod
STAGE      := hack/scripts/stage.sh
LOCAL      := bin/local
FUZZTIME   ?= 30s
# End-to-end tests of bootstrap, of the proxy machine alone, of pages and of kubectl
# egress, which are the same on every network of pods. A test that is not listed runs
# on Cilium too.
NOT_OF_PODS := TestKubeconfigWorks|TestPlanIsEmptyAfterApply|TestAddAndRemoveTenant|TestPage|TestDomainIsAdded|TestUnreadableConfigurationIsRefused|TestProxyReboot|TestCookbook|TestQuickStart|TestQuickStartOnKapsule|TestVerifyNamesPlantedFaults
KWOK_NODES ?= 0
CNI        ?= routed
IMAGE      ?=

.PHONY: help
help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: demo
demo: deps-local local ## Bring the whole product up here, with the demo in it; RELEASE: a release's images and chart (root)
	@$(LOCAL) demo --release="$(RELEASE)"

# -count=1: Go's cache of test results ignores other modules and the programs
# that tests start. -parallel: bootstrap's runs with injected faults mostly
# wait. -p: so do the tests of cloudinit, for Squid and for the machine's scripts;
# other packages run meanwhile. Machines mostly wait for their boot; the integration
# tests run beside them, on a control plane of their own. GOGC: a sixth of the CPU time of bootstrap's runs
# would be garbage collection. -timeout: other programs may use most of the machine.
.PHONY: test
test: deps local ## Run every test that this machine can run
	@hack/scripts/deps.sh npm
	@$(STAGE) "programs of the tests" $(LOCAL) build
	@GOGC=400 $(STAGE) "unit tests" $(TESTSUM) -count=1 -timeout 60m -p 4 -parallel 6 ./...
	@$(STAGE) "race detector" hack/scripts/race.sh
	@cd hack && ../$(STAGE) "unit tests of charts, documents and the local environment" $(TESTSUM) -count=1 -timeout 30m $$(go list ./... | grep -v -e '/test/integration$$' -e '/test/e2e$$' -e '/test/proxy$$')
	@cd hack && ../$(STAGE) "integration tests (real control plane, no root); the proxy's machine, booted (root)" $(TESTSUM) -count=1 -timeout 60m -p 2 ./test/integration ./test/proxy
	@cd hack && ../$(STAGE) "end-to-end tests (real node, root)" $(TESTSUM) -count=1 -timeout 60m ./test/e2e

.PHONY: test-proxy
test-proxy: deps ## Run the tests of the proxy's machine on one IMAGE, such as bookworm-dhclient (root)
	@cd hack && ../$(STAGE) "the proxy's machine, booted (root)" $(TESTSUM) -count=1 -timeout 60m ./test/proxy -args -image=$(IMAGE)

.PHONY: test-cilium
test-cilium: cilium ## Run the end-to-end tests of pods, policies and attacks on Cilium (root)
	@cd hack && ../$(STAGE) "end-to-end tests on Cilium (real node, root)" $(TESTSUM) -count=1 -timeout 60m ./test/e2e -skip '^($(NOT_OF_PODS))$$' -args -cni=cilium

.PHONY: cilium
cilium: deps local ## Build the local environment with Cilium; the first time takes 5 minutes more
	@hack/scripts/deps.sh cilium
	@$(STAGE) "programs of the local environment with Cilium" $(LOCAL) build --cni=cilium

.PHONY: verify
verify: ## Check style, arrows between packages, and that generated files are up to date
	@hack/scripts/deps.sh verify
	@$(STAGE) "generated files" hack/scripts/verify.sh
	@$(STAGE) "shell" hack/scripts/lint.sh shell
	@$(STAGE) "documents" hack/scripts/lint.sh markdown
	@$(STAGE) "alert rules and metric names" hack/scripts/lint.sh prometheus
	@echo "lint (the first time it is built, which takes some minutes)"
	@$(STAGE) "lint" $(LINT) run ./...
	@cd hack && ../$(STAGE) "lint hack" $(LINT) run --config ../.golangci.yaml ./...
	@$(STAGE) "lint the Kubernetes API" $(LINT) run --config .golangci-api.yaml ./webhook/api/v1alpha1

.PHONY: generate
generate: ## Generate deep copies, the CRD, the chart's README and the reference pages
	@$(GENERATE) controller-gen object paths=./webhook/api/v1alpha1
	@$(GENERATE) controller-gen crd:maxDescLen=2000 paths=./webhook/api/v1alpha1 output:crd:dir=charts/egress-webhook/crds
	@$(GENERATE) helm-docs --chart-search-root charts --sort-values-order file --log-level warning
	@mkdir -p bin && cd hack && go build -buildvcs=false -o ../bin/reference ./tools/reference
	@bin/reference

.PHONY: pictures
pictures: ## Make the pictures of the documents, which needs Chromium (docs/images)
	@mkdir -p bin docs/images && cd hack && go build -buildvcs=false -o ../bin/pictures ./tools/pictures
	@bin/pictures

.PHONY: bench
bench: ## Measure admission handler, bootstrap, Squid and sidecar against their floors, and the webhook beside 20,000 pods
	@go test ./webhook/admission ./webhook/sidecar/capture ./bootstrap/... ./cloudinit/squid -timeout 30m -run '^$$' -bench . -benchmem
	@cd hack && go test ./test/integration -timeout 90m -run '^$$' -bench . -benchtime 1x

# Outside of make test: package registries change. -parallel: each client of
# each target starts a program of its own.
.PHONY: clients
clients: deps ## Send requests with the real clients of docs/reference/clients.md, which it installs (root)
	@hack/scripts/deps.sh clients
	@cd hack && ../$(STAGE) "real clients" $(TESTSUM) -count=1 -timeout 60m -parallel 4 ./test/clients -run '^TestClients$$' -args -conformance

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s)
	@hack/scripts/fuzz.sh $(FUZZTIME)

# Not by "go run": a signal ends only "go run", and the program continues.
.PHONY: local
local:
	@[ -e $(LOCAL) ] || echo "building $(LOCAL) (the first time this takes some minutes)"
	@mkdir -p bin && cd hack && GOGC=400 go build -buildvcs=false -ldflags "-s -w" -o ../$(LOCAL) ./local

# The version is that of the git tag, without its leading v, as in a release.
.PHONY: build
build: VERSION ?= $(patsubst v%,%,$(shell git describe --tags --always --dirty 2>/dev/null || echo unknown))
build: ## Build webhook, sidecar, bootstrap, kubectl-egress and demo into bin/
	@mkdir -p bin
	@go build -trimpath -ldflags "-s -w -X main.version=$(VERSION)" -o bin/ ./webhook ./webhook/sidecar ./webhook/kubectl-egress ./bootstrap ./demo

.PHONY: release
release: ## Build a release of VERSION (the git tag's) into OUTPUT (dist) and push it to REGISTRY (none); DOWNLOADS: URL of krew's archives
	@mkdir -p bin && cd hack && go build -buildvcs=false -o ../bin/release ./tools/release
	@bin/release --version="$(VERSION)" --output="$(OUTPUT)" --registry="$(REGISTRY)" --downloads="$(DOWNLOADS)"

.PHONY: local-up
local-up: deps-local local ## Bring the local environment up, with KWOK_NODES (0) extra nodes, and Cilium if CNI is cilium (root)
	@[ "$(CNI)" != cilium ] || hack/scripts/deps.sh cilium
	@$(LOCAL) up --kwok-nodes=$(KWOK_NODES) --release="$(RELEASE)" --cni=$(CNI)

.PHONY: local-down
local-down: local ## Remove the local environment, whatever its state (root)
	@$(LOCAL) down

.PHONY: local-status
local-status: local ## Show the existing parts of the local environment (root)
	@$(LOCAL) status

.PHONY: clean
clean: local ## Remove the remains of killed tests: processes, folders, networks and machines
	@$(LOCAL) clean

# Of the local environment alone: without compiler, browser and the programs of tests.
.PHONY: deps-local
deps-local:
	@hack/scripts/deps.sh local

.PHONY: deps
deps: ## Install the Debian packages that demo and tests need (root)
	@hack/scripts/deps.sh
