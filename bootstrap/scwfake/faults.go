package scwfake

import (
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"

	"sigs.k8s.io/yaml"
)

// FaultKind is a kind of fault.
type FaultKind string

// The kinds of faults. Only with FaultReplyLost the request is carried out.
const (
	// FaultTooManyRequests answers 429 as recorded: no body, no content type
	// and no Retry-After.
	FaultTooManyRequests FaultKind = "429"
	// FaultInternal answers 500 with a JSON body without a type.
	FaultInternal FaultKind = "500"
	// FaultUnavailable answers 503 with the HTML page of a gateway.
	FaultUnavailable FaultKind = "503"
	// FaultReplyLost carries out the request, then closes the connection.
	FaultReplyLost FaultKind = "reply-lost"
	// FaultTimeout does not answer until the client gives up, or API.Close.
	FaultTimeout FaultKind = "timeout"
	// FaultReset resets the connection. On a connection that was used before,
	// Go's HTTP client sends a GET a second time by itself, so that its caller
	// does not see an error.
	FaultReset FaultKind = "reset"
	// FaultQuota answers 403 quotas_exceeded, or on instance/v1 the older form,
	// which the SDK returns as the same error. It only concerns requests that
	// create a resource.
	FaultQuota FaultKind = "quota"
	// FaultOutOfStock answers out_of_stock. It concerns the same requests.
	FaultOutOfStock FaultKind = "out-of-stock"
	// FaultPermissionsDenied answers 403 permissions_denied.
	FaultPermissionsDenied FaultKind = "permissions-denied"

	noFault FaultKind = ""
)

// Fault is a fault of one request or of several ones.
type Fault struct {
	// Call is the number of the first request that it concerns, counted from 1
	// over all requests (API.Requests). 0 is the same as 1.
	Call int `json:"call,omitempty"`
	// Method, and Path as a prefix, restrict the requests. Empty: any.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Count is the number of such requests that it concerns, from Call on. 0 is
	// the same as 1.
	Count int       `json:"count,omitempty"`
	Kind  FaultKind `json:"kind"`
}

// ParseFaults reads a list of faults, in YAML or JSON. The error lists all wrong
// faults, with their paths.
func ParseFaults(text []byte) ([]Fault, error) {
	var list []Fault
	if err := yaml.UnmarshalStrict(text, &list); err != nil {
		return nil, fmt.Errorf("faults: %w", err)
	}
	var wrong []error
	for i, fault := range list {
		if err := fault.validate(); err != nil {
			wrong = append(wrong, fmt.Errorf("faults[%d]: %w", i, err))
		}
	}
	return list, errors.Join(wrong...)
}

func (f Fault) validate() error {
	kinds := []FaultKind{
		FaultTooManyRequests, FaultInternal, FaultUnavailable, FaultReplyLost, FaultTimeout,
		FaultReset, FaultQuota, FaultOutOfStock, FaultPermissionsDenied,
	}
	switch {
	case !slices.Contains(kinds, f.Kind):
		return fmt.Errorf("kind %q is not one of %q", f.Kind, kinds)
	case f.Call < 0 || f.Count < 0:
		return errors.New("call and count must not be negative")
	default:
		return nil
	}
}

// concerns reports whether the fault is one of such a request, whatever its number.
func (f Fault) concerns(r *http.Request, rt *route) bool {
	switch {
	case !strings.HasPrefix(r.URL.Path, f.Path), f.Method != "" && f.Method != r.Method:
		return false
	case f.Kind == FaultQuota, f.Kind == FaultOutOfStock:
		return rt != nil && rt.creates != ""
	default:
		return true
	}
}

// faults are the planned faults.
type faults struct {
	mu      sync.Mutex
	plan    []Fault
	applied int
	last    int
}

// SetFaults replaces the faults, and resets Applied and LastFault to 0. If several faults concern
// a request, the first one in the list applies, and the others wait.
func (a *API) SetFaults(list []Fault) {
	a.faults.mu.Lock()
	defer a.faults.mu.Unlock()
	a.faults.plan, a.faults.applied, a.faults.last = slices.Clone(list), 0, 0
	for i := range a.faults.plan {
		a.faults.plan[i].Count = max(1, a.faults.plan[i].Count)
	}
}

// Applied returns the number of requests with a fault since SetFaults.
func (a *API) Applied() int {
	a.faults.mu.Lock()
	defer a.faults.mu.Unlock()
	return a.faults.applied
}

// LastFault returns the number of the last request with a fault since SetFaults, 0 if
// there is none.
func (a *API) LastFault() int {
	a.faults.mu.Lock()
	defer a.faults.mu.Unlock()
	return a.faults.last
}

// take returns the fault of request n.
func (f *faults) take(n int, r *http.Request, rt *route) FaultKind {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.plan {
		fault := &f.plan[i]
		if fault.Count == 0 || n < fault.Call || !fault.concerns(r, rt) {
			continue
		}
		fault.Count--
		f.applied++
		f.last = n
		return fault.Kind
	}
	return noFault
}

// faultResponse returns the answer to a request that was not carried out.
func faultResponse(kind FaultKind, rt *route, r *http.Request) response {
	switch kind {
	case FaultTooManyRequests:
		return response{status: http.StatusTooManyRequests}
	case FaultUnavailable:
		return response{
			http.StatusServiceUnavailable,
			http.Header{"Content-Type": {"text/html"}},
			[]byte("<html><body><h1>503 Service Unavailable</h1>No server is available to handle this request.</body></html>\n"),
		}
	case FaultQuota:
		if strings.HasPrefix(r.URL.Path, "/instance/v1/") {
			return refusal(quotaExceededLegacy(rt.creates))
		}
		return refusal(quotasExceeded(rt.creates))
	case FaultOutOfStock:
		return refusal(outOfStock(rt.creates))
	case FaultPermissionsDenied:
		return refusal(permissionsDenied(actionOf(r), "resource"))
	case FaultInternal, FaultReplyLost, FaultTimeout, FaultReset, noFault:
	}
	return refusal(untyped(http.StatusInternalServerError, "internal error"))
}

// drop ends the connection without a reply: in the usual way, or by a reset.
func (a *API) drop(e *exchange, reset bool) {
	a.record(e, 0)
	hijacker, ok := e.w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler) // HTTP/2: the server resets the stream
	}
	connection, _, err := hijacker.Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := connection.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}
