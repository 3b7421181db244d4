package registry

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"syscall"

	"github.com/hullwright/hullwright/internal/errdefs"
)

// place is how far a host is out of strangers' reach. A registry may lead us, by
// a redirect, a realm or a Location, to where it is itself and to what is less far,
// no further: a public one has no business in the network that a job runs in.
type place int

const (
	public    place = iota
	private         // loopback, or a private network
	linkLocal       // seen by neighbors alone, as a cloud's metadata service, which hands out credentials of the machine
)

// placeOf is where an address is.
func placeOf(ip netip.Addr) place {
	ip = ip.Unmap().WithZone("")
	switch {
	case ip.IsLinkLocalUnicast():
		return linkLocal
	case ip.IsLoopback(), ip.IsPrivate(), ip.IsUnspecified(), isShared(ip):
		return private
	}
	return public
}

// isShared is whether an address is of the space that providers share, where
// Alibaba's metadata service is too: https://www.rfc-editor.org/rfc/rfc6598
func isShared(ip netip.Addr) bool {
	return netip.PrefixFrom(netip.AddrFrom4([4]byte{100, 64}), 10).Contains(ip)
}

// placeOfName is where a host is, "name" or "name:port", by its name alone.
func placeOfName(host string) place {
	name := hostname(host)
	if isLoopback(name) {
		return private
	}
	ip, err := netip.ParseAddr(name)
	if err != nil {
		return public
	}
	return placeOf(ip)
}

// lead is what a request comes of that does not go to the registry itself.
type lead struct {
	registry string
	from     place  // the registry's own
	wants    string // "redirects", "wants credentials sent" or "wants a blob sent"
}

// intrusion is a request that would go further than the registry may lead us.
type intrusion struct {
	lead
	host    string
	address string // of host, where that is a name
	to      place
}

// Error implements error.
func (i *intrusion) Error() string {
	where := "into a private network, to"
	if i.to == linkLocal {
		where = "to a link-local address,"
	}
	at := ""
	if i.address != "" && i.address != hostname(i.host) {
		at = " (" + i.address + ")"
	}
	return fmt.Sprintf("registry %s %s %s %s%s", i.registry, i.wants, where, i.host, at)
}

// refusal is the intrusion as a person is told of it.
func (i *intrusion) refusal() error {
	return errdefs.New(errdefs.Denied, "%w", i).
		WithHint("if %s is meant to be there, name it in trust-realms", i.host)
}

// free is whether a registry may lead to a host wherever that is: to itself, and
// to where the user says that it may.
func (c *Client) free(registry, host string) bool {
	return strings.EqualFold(host, registry) || c.trusted[strings.ToLower(host)]
}

// check holds a host's name against the rule. Its address is held against it when
// it is dialed.
func (c *Client) check(l lead, host string) error {
	if to := placeOfName(host); to > l.from && !c.free(l.registry, host) {
		return (&intrusion{lead: l, host: host, to: to}).refusal()
	}
	return nil
}

type leadKey struct{}

// led is a request with what it comes of, for the fence.
func (c *Client) led(req *http.Request, l lead) *http.Request {
	if c.free(l.registry, req.URL.Host) {
		return req
	}
	return req.WithContext(context.WithValue(req.Context(), leadKey{}, l))
}

// fence is a transport that holds every address that it dials for a request with a
// lead against the rule: the name may be public, and its address need not be, or
// not the second time (DNS rebinding). Such requests have connections of their own,
// so that none uses one that was dialed for who may go further.
type fence struct {
	open   http.RoundTripper
	proxy  func(*http.Request) (*url.URL, error)
	behind map[place]func() http.RoundTripper // by the lead's place
}

// newFence is a fence around t. finish is what every transport here gets besides.
func newFence(t *http.Transport, finish func(*http.Transport) http.RoundTripper) *fence {
	f := &fence{open: finish(t), proxy: t.Proxy, behind: map[place]func() http.RoundTripper{}}
	for _, limit := range []place{public, private} {
		f.behind[limit] = sync.OnceValue(func() http.RoundTripper {
			own := t.Clone()
			own.Proxy = nil
			own.DialContext = fenced(t.DialContext, limit)
			return finish(own)
		})
	}
	return f
}

// RoundTrip implements http.RoundTripper.
func (f *fence) RoundTrip(req *http.Request) (*http.Response, error) {
	l, ok := req.Context().Value(leadKey{}).(lead)
	behind := f.behind[l.from]
	if !ok || behind == nil || f.proxied(req) {
		return f.open.RoundTrip(req)
	}
	resp, err := behind().RoundTrip(req)
	var in *intrusion
	if errors.As(err, &in) {
		return nil, (&intrusion{lead: l, host: req.URL.Host, address: in.address, to: in.to}).refusal()
	}
	return resp, err
}

// proxied is whether a proxy dials for the request, and knows what it may.
func (f *fence) proxied(req *http.Request) bool {
	if f.proxy == nil {
		return false
	}
	via, err := f.proxy(req)
	return err != nil || via != nil
}

type limitKey struct{}

type dialContext func(ctx context.Context, network, address string) (net.Conn, error)

// fenced dials, by a dialer with [dialable], what is no further than limit.
func fenced(dial dialContext, limit place) dialContext {
	if dial == nil {
		dial = newDialer().DialContext
	}
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		return dial(context.WithValue(ctx, limitKey{}, limit), network, address)
	}
}

// dialable is a net.Dialer's ControlContext: it sees the address that a name was
// resolved to, before anything is sent there.
func dialable(ctx context.Context, _, address string, _ syscall.RawConn) error {
	limit, ok := ctx.Value(limitKey{}).(place)
	if !ok {
		return nil
	}
	at, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if to := placeOf(at.Addr()); to > limit {
		return &intrusion{address: at.Addr().String(), to: to}
	}
	return nil
}

// knock is the transport of a registry's first request. It notes where the
// registry is.
type knock struct {
	client *Client
	host   string
	place  place
}

// RoundTrip implements http.RoundTripper.
func (k *knock) RoundTrip(req *http.Request) (*http.Response, error) {
	if !strings.EqualFold(req.URL.Host, k.host) {
		return k.client.base.RoundTrip(k.client.led(req, k.lead()))
	}
	if f, ok := k.client.base.(*fence); ok && !f.proxied(req) {
		req = req.WithContext(httptrace.WithClientTrace(req.Context(), &httptrace.ClientTrace{
			GotConn: func(info httptrace.GotConnInfo) {
				if at, err := netip.ParseAddrPort(info.Conn.RemoteAddr().String()); err == nil {
					k.place = max(k.place, placeOf(at.Addr()))
				}
			},
		}))
	}
	return k.client.base.RoundTrip(req)
}

func (k *knock) checkRedirect(req *http.Request, via []*http.Request) error {
	return k.client.checkRedirect(k.lead(), req, via)
}

func (k *knock) lead() lead { return lead{registry: k.host, from: k.place, wants: "redirects"} }
