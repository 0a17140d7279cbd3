# make run    build, and start with a demo account
# make test   everything that must hold; sets itself up; what CI calls
# make check  formatting, static checks and builds for other systems only
# make bench  the benchmarks, briefly

GO ?= go

# What make test runs under the race detector as well: packages whose point is
# concurrency, and whose tests are quick.
RACE := ./engine/... ./channel/... ./inbox/... ./dispatch/... ./gate/... ./directory/... ./adapter/... ./app/... ./telemetry/...

.PHONY: run build test check race bench tools docs

run: build
	./bin/gatehouse serve --demo

build:
	CGO_ENABLED=0 $(GO) build -trimpath -o bin/gatehouse ./cmd/gatehouse

# The toolchain that go.mod asks for, the modules and the tools are fetched as
# needed, into Go's own caches. Tests fetch the clients of others that judge the
# protocols: see internal/judge.
tools:
	@command -v $(GO) >/dev/null || { echo "Go is missing: install Go 1.26 or later from https://go.dev/dl/"; exit 1; }
	@$(GO) version
	$(GO) mod download

check: tools
	@unformatted=$$($(GO) tool gofumpt -l .); [ -z "$$unformatted" ] || { echo "not formatted by gofumpt:"; echo "$$unformatted"; exit 1; }
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	for os in darwin windows; do CGO_ENABLED=0 GOOS=$$os $(GO) build -o /dev/null ./cmd/gatehouse || exit 1; done

test: check build
	$(GO) test -timeout 8m ./...
	@if [ "$$($(GO) env CGO_ENABLED)" = 1 ] && command -v $${CC:-cc} >/dev/null; then $(MAKE) --no-print-directory race; \
	else echo "no C compiler: the race detector is left out"; fi

race:
	$(GO) test -race -short -timeout 8m $(RACE)

bench:
	$(GO) test -run '^$$' -bench . -benchtime 1s ./...

# The pages of docs that are made from the code.
docs:
	$(GO) test ./app -run TestReference -update
	$(GO) test ./telemetry -run TestReference -update
