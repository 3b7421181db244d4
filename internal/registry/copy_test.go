package registry

import (
	"context"
	"errors"
	"io"
	"log"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/validate"
)

func TestCopy(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	repository := func(host, path string) name.Repository {
		r, err := name.NewRepository(host + "/" + path)
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	one, two := httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0)))), httptest.NewServer(registry.New(registry.Logger(log.New(io.Discard, "", 0))))
	defer one.Close()
	defer two.Close()
	first, second := strings.TrimPrefix(one.URL, "http://"), strings.TrimPrefix(two.URL, "http://")
	from := repository(first, "app")

	index, err := random.Index(1024, 2, 3)
	if err != nil {
		t.Fatal(err)
	}
	image, err := random.Image(1024, 2)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(from.Tag("index"), index); err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(from.Tag("image"), image); err != nil {
		t.Fatal(err)
	}
	c := New()
	for _, to := range []name.Repository{repository(first, "team/app"), repository(second, "app")} {
		d, err := index.Digest()
		if err != nil {
			t.Fatal(err)
		}
		for range 2 { // a second time finds all there
			if err := c.Copy(ctx, from, to, d); err != nil {
				t.Fatal(err)
			}
		}
		got, err := remote.Index(to.Digest(d.String()))
		if err != nil {
			t.Fatal(err)
		}
		if err := validate.Index(got); err != nil {
			t.Error(err)
		}
		if d, err = image.Digest(); err != nil {
			t.Fatal(err)
		}
		if err := c.Copy(ctx, from, to, d); err != nil {
			t.Error(err)
		}
		if tags, err := remote.List(to); err == nil && len(tags) > 0 {
			t.Errorf("a copy by digest wrote the tags %v", tags)
		}
	}
	missing := v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("0", 64)}
	if err := c.Copy(ctx, from, repository(second, "app"), missing); !errors.Is(err, ErrNotFound) {
		t.Errorf("copy of what is not there: %v", err)
	}
}
