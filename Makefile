# Every target brings up what it needs by itself: see test/env.
ENV := go run ./test/env

.PHONY: all build generate env test check demo bench fuzz down clean

all: build

build: ## the four programs, in bin/
	CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o bin/ ./cmd/...

generate: ## docs/inputs.md and the actions' inputs, from their declarations in Go
	go generate ./...

env: ## Docker Engine, BuildKit, QEMU, registry, base images, CI runners
	$(ENV) up

test: build env ## all tests, against the real environment
	$(ENV) exec -- sh .ci/test

check: build env ## what a change must pass: format, vet, staticcheck, vulnerabilities, generated files, races
	$(ENV) exec -- sh .ci/check

demo: build ## the main job on examples/app, into a local registry
	$(ENV) up packages tools registry bases
	$(ENV) exec -- sh examples/demo.sh

bench: build env ## ratios against docker buildx build and buildctl build
	$(ENV) exec -- go run ./test/bench

fuzz: ## every fuzz target for FUZZTIME (60s each); what is interesting becomes a seed
	sh .ci/fuzz

down: ## stops what env started
	$(ENV) down

clean: down
	rm -rf bin
