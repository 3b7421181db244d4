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

// Owner is a process, as what it makes notes it.
type Owner = owner

// Self is the owner that this process is.
func Self() *Owner { return self() }

// Runs is whether the process is at work still.
func (o *owner) Runs() bool { return o.life() == lifeOn }

// Over is whether the process has ended. One of another machine, or in another
// container, is neither known to run nor to be over.
func (o *owner) Over() bool { return o.life() == lifeOver }

// Mine is whether a file is this user's, and no link to another's.
func Mine(path string) bool { return mine(path) }
