package main

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write golden files")

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		values []time.Duration
		want   time.Duration
	}{
		{nil, 0},
		{[]time.Duration{7}, 7},
		{[]time.Duration{9, 1, 5}, 5},
		{[]time.Duration{1, 9, 5, 3}, 4},
		{[]time.Duration{3, 3, 100, 3, 3}, 3},
	} {
		before := append([]time.Duration(nil), tt.values...)
		if got := median(tt.values); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.values, got, tt.want)
		}
		if diff := cmp.Diff(before, tt.values); diff != "" {
			t.Errorf("median changed its argument: %s", diff)
		}
	}
}

func TestQuantityOfSamples(t *testing.T) {
	samples := []sample{{3 * time.Second, 10 << 20}, {time.Second, 30 << 20}, {2 * time.Second, 20 << 20}}
	if got, want := seconds(samples), (quantity{2, "s"}); got != want {
		t.Errorf("seconds = %v, want the median %v", got, want)
	}
	if got, want := peak(samples), (quantity{30, "MiB"}); got != want {
		t.Errorf("peak = %v, want the highest %v", got, want)
	}
}

func TestMet(t *testing.T) {
	for _, tt := range []struct {
		name string
		m    measurement
		want bool
	}{
		{"figure at its limit", measurement{ours: quantity{80, "MiB"}, budget: atMost(80)}, true},
		{"figure over its limit", measurement{ours: quantity{80.01, "MiB"}, budget: atMost(80)}, false},
		{"a peer does not change a figure's budget", measurement{ours: quantity{90, "MiB"}, peer: quantity{900, "MiB"}, budget: atMost(80)}, false},
		{"ratio at its limit", measurement{ours: quantity{3, "s"}, peer: quantity{2, "s"}, budget: ratioAtMost(1.5)}, true},
		{"ratio over its limit", measurement{ours: quantity{3.1, "s"}, peer: quantity{2, "s"}, budget: ratioAtMost(1.5)}, false},
		{"ratio that must be below", measurement{ours: quantity{2, "s"}, peer: quantity{2, "s"}, budget: ratioBelow(1)}, false},
		// 1.154 is printed as 1.15 and is more.
		{"ratio that rounds down", measurement{ours: quantity{1.154, "s"}, peer: quantity{1, "s"}, budget: ratioAtMost(1.15)}, false},
	} {
		if got := tt.m.met(); got != tt.want {
			t.Errorf("%s: met = %v, want %v", tt.name, got, tt.want)
		}
	}
}

func TestFormat(t *testing.T) {
	table := []measurement{
		{what: "metadata", ours: quantity{0.0064, "s"}, budget: atMost(0.010)},
		{what: "build", ours: quantity{0.5, "s"}, peer: quantity{0.4, "s"}, against: "buildctl", budget: ratioAtMost(1.15)},
		{what: "build", ours: quantity{0.5, "s"}, peer: quantity{1, "s"}, against: "buildx", budget: ratioBelow(1)},
		{what: "size of metadata", ours: quantity{12.04, "MB"}, budget: atMost(12)},
	}
	golden := filepath.Join("testdata", "table.golden")
	got := format(table)
	if *update {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), got); diff != "" {
		t.Errorf("table (-want +got; -update writes it):\n%s", diff)
	}
	if got := overBudget(table); got != 2 {
		t.Errorf("overBudget = %d, want 2", got)
	}
}
