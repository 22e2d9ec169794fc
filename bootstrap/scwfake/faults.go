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

// FaultKind is what goes wrong.
type FaultKind string

// The kinds of faults. Only FaultReplyLost lets the request be carried out.
const (
	// FaultTooManyRequests answers 429 as recorded: no body, no content type
	// and no Retry-After.
	FaultTooManyRequests FaultKind = "429"
	// FaultInternal answers 500 with a JSON body without a type.
	FaultInternal FaultKind = "500"
	// FaultUnavailable answers 503 with the HTML page of a gateway.
	FaultUnavailable FaultKind = "503"
	// FaultReplyLost carries the request out, then closes the connection.
	FaultReplyLost FaultKind = "reply-lost"
	// FaultTimeout answers nothing until the client gives up or API.Close.
	FaultTimeout FaultKind = "timeout"
	// FaultReset resets the connection. Go's HTTP client sends a GET on a
	// connection it had used before a second time by itself, so that its
	// caller sees no error.
	FaultReset FaultKind = "reset"
	// FaultQuota answers 403 quotas_exceeded, or on instance/v1 the older form
	// that the SDK makes the same error of. It applies to requests that create
	// a resource only.
	FaultQuota FaultKind = "quota"
	// FaultOutOfStock answers out_of_stock, to the same requests.
	FaultOutOfStock FaultKind = "out-of-stock"
	// FaultPermissionsDenied answers 403 permissions_denied.
	FaultPermissionsDenied FaultKind = "permissions-denied"

	noFault FaultKind = ""
)

// Fault is one thing to go wrong, or several times the same.
type Fault struct {
	// Call is the first request it concerns, counted from 1 over all requests
	// served (API.Requests). 0 is the same as 1.
	Call int `json:"call,omitempty"`
	// Method and Path, a prefix, narrow the requests down; empty is any.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Count is how many such requests it concerns, the first ones from Call
	// on; 0 is the same as 1. A request that creates nothing uses up
	// FaultQuota and FaultOutOfStock, too, but goes through.
	Count int       `json:"count,omitempty"`
	Kind  FaultKind `json:"kind"`
}

// ParseFaults reads a list of faults, in YAML or JSON. The error says which
// fault is wrong.
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
		return errors.New("call and count are not negative")
	default:
		return nil
	}
}

// faults is the plan of what goes wrong.
type faults struct {
	mu      sync.Mutex
	plan    []Fault
	applied int
}

// SetFaults replaces the faults, and Applied starts from 0. If several concern
// a request, the first of the list applies and the others wait.
func (a *API) SetFaults(list []Fault) {
	a.faults.mu.Lock()
	defer a.faults.mu.Unlock()
	a.faults.plan, a.faults.applied = slices.Clone(list), 0
	for i := range a.faults.plan {
		a.faults.plan[i].Count = max(1, a.faults.plan[i].Count)
	}
}

// Applied is how many requests went wrong since SetFaults.
func (a *API) Applied() int {
	a.faults.mu.Lock()
	defer a.faults.mu.Unlock()
	return a.faults.applied
}

// take returns what goes wrong with request n.
func (f *faults) take(n int, r *http.Request, rt *route) FaultKind {
	f.mu.Lock()
	defer f.mu.Unlock()
	for i := range f.plan {
		fault := &f.plan[i]
		if fault.Count == 0 || n < fault.Call || !strings.HasPrefix(r.URL.Path, fault.Path) ||
			(fault.Method != "" && fault.Method != r.Method) {
			continue
		}
		fault.Count--
		if (fault.Kind == FaultQuota || fault.Kind == FaultOutOfStock) && (rt == nil || rt.creates == "") {
			return noFault
		}
		f.applied++
		return fault.Kind
	}
	return noFault
}

// faultResponse is the answer to a request that was not carried out.
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
		action := "write"
		if r.Method == http.MethodGet {
			action = "read"
		}
		return refusal(permissionsDenied(action, "resource"))
	case FaultInternal, FaultReplyLost, FaultTimeout, FaultReset, noFault:
	}
	return refusal(untyped(http.StatusInternalServerError, "internal error"))
}

// drop ends the connection without a reply: in the usual way, or by a reset.
func (a *API) drop(e *exchange, reset bool) {
	a.record(e, 0)
	hijacker, ok := e.w.(http.Hijacker)
	if !ok {
		panic(http.ErrAbortHandler) // HTTP/2: the server resets the stream.
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
