//go:build !linux

package setup

// kernel is empty where no Linux program runs: no node shares it.
func kernel() string { return "" }
