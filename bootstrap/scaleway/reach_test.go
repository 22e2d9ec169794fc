package scaleway

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// network is a network without the API: a function takes the place of its answers.
type network func(context.Context) (*http.Response, error)

func (n network) RoundTrip(r *http.Request) (*http.Response, error) { return n(r.Context()) }

func refused(context.Context) (*http.Response, error) {
	return nil, errors.New("dial tcp 192.0.2.1:443: connect: connection refused")
}

// lost is a network in which packets get lost.
func lost(ctx context.Context) (*http.Response, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// An API that cannot be reached is reported at once and again, and given up after half a
// minute, with the cause. Before, it took 82 s without a word, and 7 min where packets get
// lost.
func TestUnreachableAPI(t *testing.T) {
	for name, test := range map[string]struct {
		network network
		first   time.Duration // until the first report
		cause   string
	}{
		"refused":      {refused, 0, "dial tcp 192.0.2.1:443: connect: connection refused"},
		"packets lost": {lost, 10 * time.Second, "no answer within 10s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				begin := time.Now()
				var reports []string
				first := time.Duration(-1)
				tr := withDefaultsAt(t, test.network, func(text string) {
					if len(reports) == 0 {
						first = time.Since(begin)
					}
					reports = append(reports, text)
				})
				response, err := tr.RoundTrip(newRequest(t))
				discard(response)
				took := time.Since(begin)
				t.Logf("after %s and %d reports: %v", took, len(reports), err)
				if took < 15*time.Second || took > 40*time.Second {
					t.Errorf("given up after %s", took)
				}
				if len(reports) < 2 || first > test.first || !strings.Contains(reports[0], "the Scaleway API (https://api.scaleway.com) does not answer yet: "+test.cause) {
					t.Errorf("the first of the reports comes after %s: %q", first, reports)
				}
				var unreachable *unreachableError
				if !errors.As(err, &unreachable) || !strings.Contains(err.Error(), test.cause+": check the network") || strings.Contains(err.Error(), "password") {
					t.Errorf("the error is %v", err)
				}
			})
		})
	}
}

// An API that has answered once is waited for longer, without reports: its trouble
// passes, and progress is shown by the steps. The time is bounded all the same.
func TestAPIThatGoesAway(t *testing.T) {
	for name, test := range map[string]struct {
		network network
		most    time.Duration
	}{
		"refused":      {refused, 2 * time.Minute},
		"packets lost": {lost, 2*time.Minute + 30*time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				answers := 0
				tr := withDefaultsAt(t, func(ctx context.Context) (*http.Response, error) {
					if answers++; answers == 1 {
						return &http.Response{StatusCode: http.StatusNotFound, Body: http.NoBody}, nil
					}
					return test.network(ctx)
				}, func(text string) { t.Errorf("reported: %s", text) })
				response, err := tr.RoundTrip(newRequest(t))
				if err != nil {
					t.Fatal(err)
				}
				discard(response)
				begin := time.Now()
				response, err = tr.RoundTrip(newRequest(t))
				discard(response)
				took := time.Since(begin)
				t.Logf("after %s: %v", took, err)
				var unreachable *unreachableError
				if err == nil || errors.As(err, &unreachable) || !strings.Contains(err.Error(), "given up after") {
					t.Errorf("the error is %v", err)
				}
				if took < 40*time.Second || took > test.most {
					t.Errorf("given up after %s", took)
				}
			})
		})
	}
}

// withDefaultsAt returns a transport with the default bounds.
func withDefaultsAt(t *testing.T, base network, report func(string)) *transport {
	t.Helper()
	o := Options{}.withDefaults()
	return &transport{
		base: base, timeout: o.RequestTimeout, backoff: backoff{o.RetryFirst, o.RetryLongest, o.Tries}, limit: o.RetryTimeout, ctx: t.Context(),
		reach: reach{timeout: o.ReachTimeout, report: report},
	}
}

// newRequest returns a request to an address with a password, which no message contains.
func newRequest(t *testing.T) *http.Request {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "https://api.scaleway.com/metadata", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	request.URL.User = url.UserPassword("user", "password")
	return request
}
