package main

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// row is one thing that is measured.
type row struct {
	name    string
	builds  bool // whether it needs a builder and a registry
	measure func(context.Context, *lab) ([]measurement, error)
}

// rows are the benchmark.
func rows() []row {
	return []row{
		// tags, labels and annotations of a pull request, by eight rules
		{"metadata", false, metadata},
		// a build for three platforms of which nothing changed, pushed
		{"cached", true, cached},
		// twenty tags on one repository, 40 ms away
		{"tags", true, tags},
		// a builder, from nothing to its first answer
		{"setup", true, setup},
		// a builder and emulators for two platforms in one go
		{"emulation", true, emulation},
		// our memory while large images go to a registry and to a file
		{"memory", true, memory},
		// one image to three registries behind slow links
		{"registries", true, registries},
		// what a runner has to download
		{"size", false, size},
	}
}

// threePlatforms are what the builds are for, where not said otherwise.
const threePlatforms = "linux/amd64,linux/arm64,linux/arm/v7"

// The budgets.
const (
	metadataLimit   = 0.010 // seconds
	buildctlLimit   = 1.15
	manyTagsLimit   = 1.2
	peerTagsLimit   = 0.12
	memoryLimit     = 80 // MiB
	threeLimit      = 1.3
	peerThreeLimit  = 0.45
	hullwrightLimit = 45 // MB
	metadataSize    = 12 // MB
)

// eightRules are a metadata step's tags as projects write them.
var eightRules = []string{
	"type=schedule",
	"type=ref,event=branch",
	"type=ref,event=tag",
	"type=ref,event=pr",
	"type=semver,pattern={{version}}",
	"type=semver,pattern={{major}}.{{minor}}",
	"type=sha",
	"type=edge,branch=main",
}

func metadata(ctx context.Context, l *lab) ([]measurement, error) {
	environ, err := l.pullRequest()
	if err != nil {
		return nil, err
	}
	step := command{
		args: []string{l.program("metadata"), "--images", "registry.example/octo/app", "--tags", strings.Join(eightRules, "\n")},
		env:  environ,
	}
	samples, err := alternate(ctx, l, 6*l.n, l.contender("metadata", step))
	if err != nil {
		return nil, err
	}
	return []measurement{{
		what: "metadata of a pull request, 8 rules",
		ours: seconds(samples[0]), budget: atMost(metadataLimit),
	}}, nil
}

func cached(ctx context.Context, l *lab) ([]measurement, error) {
	dir, err := l.context("cached", "FROM alpine:3\nCOPY app /app\nRUN cat /app >/copy && uname -m >/machine\n", map[string]string{"app": "app\n"})
	if err != nil {
		return nil, err
	}
	b := build{context: dir, platforms: threePlatforms, references: []string{l.registry + "/cached:1.4.2"}}
	samples, err := alternate(ctx, l, l.n,
		l.contender("hullwright", l.hullwright(b)),
		l.contender("buildctl", l.buildctl(b)),
		l.contender("buildx", l.buildx(b)),
	)
	if err != nil {
		return nil, err
	}
	ours := seconds(samples[0])
	return []measurement{
		{what: "3 platforms, cached, pushed", ours: ours, peer: seconds(samples[1]), against: "buildctl build", budget: ratioAtMost(buildctlLimit)},
		{what: "3 platforms, cached, pushed", ours: ours, peer: seconds(samples[2]), against: "buildx build", budget: ratioBelow(1)},
		{what: "peak memory of that build", ours: peak(samples[0]), peer: peak(samples[2]), against: "buildx build", budget: atMost(memoryLimit)},
	}, nil
}

// twentyTags are those of a release with five flavors.
func twentyTags(repository string) []string {
	var tags []string
	for _, flavor := range []string{"", "-alpine", "-bookworm", "-slim", "-debug"} {
		for _, version := range []string{"1.4.2", "1.4", "1"} {
			tags = append(tags, repository+":"+version+flavor)
		}
		tags = append(tags, repository+":latest"+flavor)
	}
	return tags
}

func tags(ctx context.Context, l *lab) ([]measurement, error) {
	far, err := l.links.open(ctx, "far", l.registry, toxic{Type: "latency", Attributes: map[string]int{"latency": 40}})
	if err != nil {
		return nil, err
	}
	dir, err := l.context("tags", "FROM alpine:3\nCOPY app /app\n", map[string]string{"app": "app\n"})
	if err != nil {
		return nil, err
	}
	many := twentyTags(far + "/tags")
	twenty := build{context: dir, platforms: threePlatforms, references: many}
	one := build{context: dir, platforms: threePlatforms, references: many[:1]}
	// A file that changes makes each run push a new image.
	change := func(c command) func(context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) {
			if err := os.WriteFile(filepath.Join(dir, "app"), []byte(l.nonce()), 0o644); err != nil {
				return sample{}, err
			}
			return l.run(ctx, c)
		}
	}
	samples, err := alternate(ctx, l, l.n,
		contender{"hullwright, 20 tags", change(l.hullwright(twenty))},
		contender{"hullwright, 1 tag", change(l.hullwright(one))},
		contender{"buildx, 20 tags", change(l.buildx(twenty))},
	)
	if err != nil {
		return nil, err
	}
	ours := seconds(samples[0])
	return []measurement{
		{what: "20 tags, 40 ms away", ours: ours, peer: seconds(samples[1]), against: "1 tag", budget: ratioAtMost(manyTagsLimit)},
		{what: "20 tags, 40 ms away", ours: ours, peer: seconds(samples[2]), against: "buildx build", budget: ratioAtMost(peerTagsLimit)},
	}, nil
}

func setup(ctx context.Context, l *lab) ([]measurement, error) {
	samples, err := alternate(ctx, l, l.n,
		contender{"hullwright setup", func(ctx context.Context) (sample, error) {
			name, state := "bench-"+l.nonce(), filepath.Join(l.dir, "setup.json")
			return l.runAndUndo(ctx, l.setup(name, state, "--driver", "docker-container", "--driver-opts", "network=host"), l.teardown(state))
		}},
		contender{"buildx create", func(ctx context.Context) (sample, error) {
			name := "bench-" + l.nonce()
			return l.runAndUndo(ctx, l.create(name, "--bootstrap"), l.remove(name))
		}},
	)
	if err != nil {
		return nil, err
	}
	return []measurement{{
		what: "setup, docker-container", ours: seconds(samples[0]),
		peer: seconds(samples[1]), against: "buildx create --bootstrap", budget: ratioAtMost(1),
	}}, nil
}

// emulation has, for the peer, what the two actions of docker do one after the
// other: setup-qemu pulls and runs an image, and setup-buildx makes a builder.
func emulation(ctx context.Context, l *lab) ([]measurement, error) {
	samples, err := alternate(ctx, l, l.n,
		contender{"hullwright setup, emulation", func(ctx context.Context) (sample, error) {
			name, state := "bench-"+l.nonce(), filepath.Join(l.dir, "emulation.json")
			return l.runAndUndo(ctx, l.setup(name, state, "--driver", "docker-container", "--driver-opts", "network=host", "--platforms", threePlatforms), l.teardown(state))
		}},
		contender{"setup-qemu, buildx create", func(ctx context.Context) (sample, error) {
			return l.twoSteps(ctx)
		}},
	)
	if err != nil {
		return nil, err
	}
	return []measurement{{
		what: "setup with 2 emulated platforms", ours: seconds(samples[0]),
		peer: seconds(samples[1]), against: "setup-qemu, then buildx create", budget: ratioBelow(1),
	}}, nil
}

// qemuImage is the one that both sides take.
const qemuImage = "tonistiigi/binfmt:qemu-v10.2.3-68"

func (l *lab) twoSteps(ctx context.Context) (sample, error) {
	var whole sample
	for _, c := range []command{
		{args: []string{"docker", "pull", qemuImage}},
		{args: []string{"docker", "run", "--rm", "--privileged", "--network", "none", qemuImage, "--install", "arm64,arm"}},
	} {
		s, err := l.run(ctx, c)
		if err != nil {
			return whole, err
		}
		whole.wall += s.wall
	}
	name := "bench-" + l.nonce()
	s, err := l.runAndUndo(ctx, l.create(name, "--bootstrap"), l.remove(name))
	whole.wall += s.wall
	return whole, err
}

// randomLayer makes MIB of data that no two runs share and that don't compress.
const randomLayer = "FROM alpine:3\nARG NONCE\nARG MIB\nRUN echo $NONCE && dd if=/dev/urandom of=/layer bs=1M count=$MIB\n"

// zeroLayer is one layer of MIB of zeros, made anew where NONCE is.
const zeroLayer = "FROM alpine:3\nARG NONCE\nARG MIB\nRUN echo $NONCE && dd if=/dev/zero of=/layer bs=1M count=$MIB\n"

// memory takes one sample of each: the peak is what counts, and all bytes move
// but once.
func memory(ctx context.Context, l *lab) ([]measurement, error) {
	pushed, err := l.peakOf(ctx, "pushed", randomLayer, "MIB=512")
	if err != nil {
		return nil, err
	}
	// Uncompressed, so that all of it goes through the program to the file.
	file := filepath.Join(l.dir, "image.tar")
	written, err := l.peakOf(ctx, "written", zeroLayer, "MIB=2048", "--outputs", "type=oci,compression=uncompressed,force-compression=true,dest="+file)
	if err != nil {
		return nil, err
	}
	info, err := os.Stat(file)
	if err != nil {
		return nil, err
	}
	if info.Size() < 2048<<20 {
		return nil, fmt.Errorf("%s has %d bytes, which is no image of 2 GiB", file, info.Size())
	}
	return []measurement{
		{what: "peak memory, layer of 512 MiB pushed", ours: pushed, budget: atMost(memoryLimit)},
		{what: "peak memory, image of 2 GiB pushed and written to a tar", ours: written, budget: atMost(memoryLimit)},
	}, os.Remove(file)
}

// peakOf is our peak of memory in one build.
func (l *lab) peakOf(ctx context.Context, name, dockerfile, size string, more ...string) (quantity, error) {
	dir, err := l.context(name, dockerfile, nil)
	if err != nil {
		return quantity{}, err
	}
	c := l.hullwright(build{
		context: dir, platforms: "linux/amd64", references: []string{l.registry + "/" + name + ":1.4.2"},
		args: []string{size, "NONCE=" + l.nonce()},
	})
	c.args = append(c.args, more...)
	s, err := l.run(ctx, c)
	return peak([]sample{s}), err
}

func registries(ctx context.Context, l *lab) ([]measurement, error) {
	dir, err := l.context("registries", randomLayer, nil)
	if err != nil {
		return nil, err
	}
	var references []string
	for i := range 3 {
		// Three registries indeed: to BuildKit the addresses of one host are one
		// registry, where a blob is mounted from another repository and not sent.
		name := "registry" + strconv.Itoa(i+1)
		address, err := l.startRegistry(ctx, name)
		if err != nil {
			return nil, err
		}
		slow, err := l.links.open(ctx, name, address, toxic{Type: "bandwidth", Attributes: map[string]int{"rate": 12500}}) // KB/s
		if err != nil {
			return nil, err
		}
		references = append(references, slow+"/app:1.4.2")
	}
	push := func(to func(build) command, references []string) func(context.Context) (sample, error) {
		return func(ctx context.Context) (sample, error) {
			return l.run(ctx, to(build{
				context: dir, platforms: "linux/amd64", references: references,
				args: []string{"MIB=30", "NONCE=" + l.nonce()},
			}))
		}
	}
	samples, err := alternate(ctx, l, l.n,
		contender{"hullwright, 3 registries", push(l.hullwright, references)},
		contender{"hullwright, 1 registry", push(l.hullwright, references[:1])},
		contender{"buildx, 3 registries", push(l.buildx, references)},
	)
	if err != nil {
		return nil, err
	}
	ours := seconds(samples[0])
	return []measurement{
		{what: "30 MB to 3 registries, 100 Mbit/s", ours: ours, peer: seconds(samples[1]), against: "1 registry", budget: ratioAtMost(threeLimit)},
		{what: "30 MB to 3 registries, 100 Mbit/s", ours: ours, peer: seconds(samples[2]), against: "buildx build", budget: ratioAtMost(peerThreeLimit)},
	}, nil
}

func size(_ context.Context, l *lab) ([]measurement, error) {
	limits := map[string]float64{"hullwright": hullwrightLimit, "metadata": metadataSize}
	var out []measurement
	for _, name := range slices.Sorted(maps.Keys(limits)) {
		info, err := os.Stat(l.program(name))
		if err != nil {
			return out, err
		}
		out = append(out, measurement{
			what: fmt.Sprintf("size of %s", name),
			ours: quantity{float64(info.Size()) / 1e6, "MB"}, budget: atMost(limits[name]),
		})
	}
	return out, nil
}
