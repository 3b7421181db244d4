package setup

import "fmt"

// owner is a process, told from all others that ever have its number.
type owner struct {
	PID       int    `json:"pid"`
	Start     string `json:"start,omitempty"`     // in the kernel's ticks since the boot
	Boot      string `json:"boot,omitempty"`      // the boot's id
	Host      string `json:"host,omitempty"`      // the machine's name
	Namespace string `json:"namespace,omitempty"` // where the number counts
}

func (o *owner) String() string {
	return fmt.Sprintf("process %d started at %s of boot %s", o.PID, o.Start, o.Boot)
}

// life is what is known of an owner.
type life int

const (
	lifeUnknown life = iota // it is on another machine, or in another container
	lifeOver
	lifeOn
)
