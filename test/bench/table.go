package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// quantity is a figure with its unit: s, MiB or MB.
type quantity struct {
	value float64
	unit  string
}

func (q quantity) String() string {
	switch {
	case q.unit == "":
		return "-"
	case q.unit == "s" && q.value < 0.1:
		return strconv.FormatFloat(q.value*1000, 'f', 1, 64) + " ms"
	case q.unit == "s":
		return strconv.FormatFloat(q.value, 'f', 2, 64) + " s"
	}
	return strconv.FormatFloat(q.value, 'f', 1, 64) + " " + q.unit
}

// budget is what a measurement may be at most: its ratio to the peer, or the
// figure itself in its own unit.
type budget struct {
	limit float64
	ratio bool
	below bool // the limit itself is too much
}

func atMost(limit float64) budget      { return budget{limit: limit} }
func ratioAtMost(limit float64) budget { return budget{limit: limit, ratio: true} }
func ratioBelow(limit float64) budget  { return budget{limit: limit, ratio: true, below: true} }

// measurement is one line of the table.
type measurement struct {
	what    string
	ours    quantity
	peer    quantity
	against string // the peer; empty where there is none
	budget  budget
}

// ratio is ours by the peer's; 0 where there is no peer.
func (m measurement) ratio() float64 {
	if m.peer.value == 0 {
		return 0
	}
	return m.ours.value / m.peer.value
}

// met is whether the budget is kept, by what was measured and not by what is
// printed.
func (m measurement) met() bool {
	value := m.ours.value
	if m.budget.ratio {
		value = m.ratio()
	}
	if m.budget.below {
		return value < m.budget.limit
	}
	return value <= m.budget.limit
}

func overBudget(table []measurement) int {
	over := 0
	for _, m := range table {
		if !m.met() {
			over++
		}
	}
	return over
}

// format is the table as people read it.
func format(table []measurement) string {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "WHAT\tOURS\tPEER\tRATIO\tBUDGET\tMET?")
	for _, m := range table {
		peer, ratio, met := "-", "-", "yes"
		if m.against != "" {
			peer = m.peer.String() + " " + m.against
			ratio = strconv.FormatFloat(m.ratio(), 'f', 2, 64)
		}
		if !m.met() {
			met = "over"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", m.what, m.ours, peer, ratio, m.limit(), met)
	}
	w.Flush() // to memory
	return b.String()
}

// limit is the budget as it is printed.
func (m measurement) limit() string {
	sign := "<= "
	if m.budget.below {
		sign = "< "
	}
	if m.budget.ratio {
		return sign + strconv.FormatFloat(m.budget.limit, 'g', -1, 64)
	}
	return sign + quantity{m.budget.limit, m.ours.unit}.String()
}

// seconds is the median of the samples' wall times.
func seconds(samples []sample) quantity {
	var walls []time.Duration
	for _, s := range samples {
		walls = append(walls, s.wall)
	}
	return quantity{median(walls).Seconds(), "s"}
}

// peak is the highest peak of the samples: a budget of memory is one for every run.
func peak(samples []sample) quantity {
	var most int64
	for _, s := range samples {
		most = max(most, s.peak)
	}
	return quantity{float64(most) / (1 << 20), "MiB"}
}

// median is the middle of the values, or the mean of the two in the middle; 0
// where there is none.
func median(values []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(values))
	n := len(sorted)
	if n == 0 {
		return 0
	}
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
