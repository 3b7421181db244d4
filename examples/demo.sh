#!/bin/sh
# The main job: from the git ref of this checkout to a pushed, verified index
# for three platforms. `make demo` runs it with a local registry.
set -eu
cd "$(dirname "$0")/.."
registry=${HULLWRIGHT_TEST_REGISTRY:?run it by make demo}

if docker info >/dev/null 2>&1; then
	echo "an engine answers: the builder is a container"
	go run ./test/env up images
	set -- --driver docker-container --driver-opts network=host
else
	echo "no engine answers: the builder is a process"
	set -- --driver process
fi

bin/hullwright build-push "$@" \
	--images "$registry/demo/app" \
	--tags type=raw,value=1.4.2 --tags type=raw,value=1.4 --tags type=sha \
	--platforms linux/amd64,linux/arm64,linux/arm/v7 \
	--build-args VERSION=1.4.2 \
	examples/app

echo
echo "the index, as any client reads it:"
crane manifest "$registry/demo/app:1.4.2"
