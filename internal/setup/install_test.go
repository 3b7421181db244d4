package setup

import (
	"slices"
	"strings"
	"testing"
)

func TestImageAnswers(t *testing.T) {
	list, err := ParsePlatforms([]string{"linux/arm64", "linux/arm/v6", "linux/arm/v7", "linux/s390x"})
	check(t, err)
	rows := make([]Emulation, len(list))
	var proofs []*proof
	for i, p := range list {
		rows[i].Platform = p
		proofs = append(proofs, &proof{row: &rows[i]})
	}
	archs := absent(proofs, listing{Emulators: []string{"qemu-aarch64"}}, "img")
	if !slices.Equal(archs, []string{"arm", "s390x"}) {
		t.Errorf("to be added: %v", archs)
	}
	judge(proofs, listing{Emulators: []string{"qemu-aarch64", "qemu-arm"}}, "img")
	for i, want := range []struct {
		added, retry bool
		next         string
	}{
		{false, false, "--uninstall qemu-aarch64"}, // was there and does not work
		{true, true, ""},
		{true, true, ""},
		{false, false, "image img registered no qemu-s390x"},
	} {
		p := proofs[i]
		if p.row.Added != want.added || p.retry != want.retry || !strings.Contains(p.next, want.next) {
			t.Errorf("%s: %+v, %+v", list[i], *p, *p.row)
		}
	}
}
