# The commands of the project. On a bare Debian machine with Go, as root:
#
#   make demo    brings a cloud up and boots a real server in it
#   make test    sets up and passes all tests, end to end included
#
# ONCE=1 makes the demo take everything down again and exit; HYPERVISOR=libvirt
# runs its server with libvirt, in a plugin.

GO ?= go
GOFUMPT = $(GO) run mvdan.cc/gofumpt@v0.12.0
STATICCHECK = $(GO) run honnef.co/go/tools/cmd/staticcheck@v0.8.2
BUF = $(GO) run github.com/bufbuild/buf/cmd/buf@v1.75.0

.PHONY: demo test unit e2e e2e-cgo evidence lint bench build build-libvirt clean

demo:
	@scripts/setup demo$(if $(filter libvirt,$(HYPERVISOR)),-libvirt)
	@echo "building (the first time takes a minute or two)"
	@$(MAKE) --no-print-directory build $(if $(filter libvirt,$(HYPERVISOR)),build-libvirt)
	@bin/demo $(if $(ONCE),-once) $(if $(HYPERVISOR),-hypervisor $(HYPERVISOR))

build:
	@CGO_ENABLED=0 $(GO) build -trimpath -o bin/ ./examples/allinone ./examples/demo

# The plugin for libvirt links its library, so it takes gcc and libvirt-dev.
build-libvirt:
	@CGO_ENABLED=1 $(GO) build -trimpath -tags libvirt -o bin/ ./examples/plugin-libvirt

test:
	@scripts/setup test
	@$(MAKE) --no-print-directory lint unit e2e

# Fakes and both databases, under the race detector; then, without it, the walks
# from crash to crash, the suites and the random checks that are shorter with it,
# the certificates of plugins, images with LUKS, and the examples of cloudtest.
# Without the variable each of eighty programs sleeps for a second when it ends.
unit:
	GORACE=atexit_sleep_ms=0 scripts/with-postgres $(GO) test -race -timeout 10m ./...
	$(GO) test -count=1 -timeout 10m -run '^(TestACrash|TestDeleteWhileBuilding|TestCandidatesAreThoseOfTheOracle)' \
		./blockstorage ./compute ./scheduler/placement
	$(GO) test -count=1 -timeout 10m ./cloud/cloudtest ./driver/blob/... ./driver/plugin/... ./examples/plugin-scheduler \
		./image/inspect ./scheduler/extension/...

# Real QEMU, network namespaces and clients; needs root.
e2e:
	NEPHOS_E2E=1 $(GO) test -p 1 -count=1 -timeout 15m ./agent/... ./driver/... ./examples/... ./e2e/...
	@$(MAKE) --no-print-directory e2e-cgo

# The drivers that link a library: libvirt with a daemon of the test's, Ceph with a
# cluster of the test's, and guests on volumes there.
# Of libvirt's tests `make test` runs those that end soon; `make e2e-libvirt` runs all, for about six minutes.
LIBVIRT_SOON = ^(TestSuite|TestImaginedHost|TestImaginedHostOverTheWire|TestTwoHosts|TestDaemonRestart|TestKilledDriver)$$
LIBVIRT = ./driver/hypervisor/libvirt/... ./examples/plugin-libvirt/...
CEPH = ./driver/internal/ceph/... ./driver/volume/rbd/... ./driver/blob/rbd/... ./examples/plugin-rbd/...
e2e-cgo:
	NEPHOS_E2E=1 $(GO) test -p 1 -count=1 -timeout 10m -tags libvirt -run '$(LIBVIRT_SOON)' ./driver/hypervisor/libvirt/...
	NEPHOS_E2E=1 $(GO) test -p 1 -count=1 -timeout 10m -tags 'ceph pacific' $(CEPH)
	NEPHOS_E2E=1 $(GO) test -p 1 -count=1 -timeout 10m -tags 'libvirt ceph pacific' -run '^TestGuestsOnCeph$$' ./driver/hypervisor/libvirt

# Writes docs/compatibility.md, and the lists it is made of, anew; make e2e compares them.
evidence:
	NEPHOS_E2E=1 NEPHOS_ACCEPTANCE_UPDATE=1 NEPHOS_COMPATIBILITY_UPDATE=1 $(GO) test -p 1 -count=1 -timeout 15m \
		-run '^(TestOpenStackCommand|TestGophercloud|TestThePageIsWhatTheTestsHaveShown)$$' ./e2e ./e2e/acceptance ./e2e/compat

e2e-libvirt:
	NEPHOS_E2E=1 $(GO) test -p 1 -count=1 -timeout 20m -tags libvirt $(LIBVIRT)

lint:
	$(GO) vet ./...
	@out=$$($(GOFUMPT) -l $$(git ls-files '*.go' | grep -v '\.pb\.go$$')); [ -z "$$out" ] || { echo "not formatted (run gofumpt -w):"; echo "$$out"; exit 1; }
	$(STATICCHECK) ./...
	@if pkg-config --exists libvirt 2>/dev/null; then $(GO) vet -tags libvirt $(LIBVIRT); else echo "not vetted for want of libvirt-dev: $(LIBVIRT)"; fi
	@if [ -e /usr/include/rbd/librbd.h ]; then $(GO) vet -tags 'ceph pacific' $(CEPH); else echo "not vetted for want of librbd-dev: $(CEPH)"; fi
	@if pkg-config --exists libvirt 2>/dev/null && [ -e /usr/include/rbd/librbd.h ]; then $(GO) vet -tags 'libvirt ceph pacific' ./driver/hypervisor/libvirt/...; fi
	cd driver/plugin/proto && $(BUF) lint && $(BUF) breaking --against released.binpb

bench: build
	@$(GO) build -trimpath -o bin/ ./bench
	bin/bench

clean:
	rm -rf bin
