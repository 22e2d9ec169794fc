package scwfake

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"sync"
	"time"
)

// The project and organisation of resources whose request names neither.
const (
	DefaultProjectID      = "11111111-1111-4111-8111-111111111111"
	DefaultOrganizationID = "22222222-2222-4222-8222-222222222222"
)

// maxBody bounds the length of a request's body. User data is the longest one.
const maxBody = 4 << 20

// Options are the settings of a fake. The zero value works.
type Options struct {
	// LatencyScale multiplies the recorded durations (Latencies). At 0, requests
	// do not sleep, and each read of a resource performs its next transition.
	// Above 0, requests sleep as long as recorded, and transitions happen with
	// time. A request whose client gives up during the sleep is not carried out.
	LatencyScale float64
	// Token is the only accepted secret key. Empty: any UUID is accepted.
	Token string
	// AccessKey is the access key of Token. The default is DefaultAccessKey.
	AccessKey string
	// ProjectID and OrganizationID are the token's. The defaults are
	// DefaultProjectID and DefaultOrganizationID.
	ProjectID, OrganizationID string
	// FlexibleIPs and GatewayIPs are the pools of public IPv4 addresses. The
	// prefix's own address is assigned first, then the following ones, and after
	// the last one those from the beginning of the prefix. An address in use is
	// not assigned again. The defaults are the two halves of 203.0.113.0/24, which
	// is reserved for documentation.
	FlexibleIPs, GatewayIPs netip.Prefix
	// ForeignNamespaces are the names of registry namespaces of another
	// organisation, in all regions: they are taken, and not visible.
	ForeignNamespaces []string
	// Machines, if set, is notified of the changes of servers.
	Machines Machines
	// Kubeconfig returns the kubeconfig that is served for a cluster. Its error
	// becomes a status 500. It is called without a lock. The default is a
	// kubeconfig whose server does not exist.
	Kubeconfig func(clusterID, name string) ([]byte, error)
	// OnRequest is called before request n is handled, counted from 1. OnReply is
	// called after the request is carried out, and before the reply is written.
	// Both are called from the request's goroutine, without a lock, also for
	// requests with faults; OnReply only if there is a reply, or a lost one
	// (FaultReplyLost).
	OnRequest, OnReply func(n int, r *http.Request)
	// Log receives a line for each request: number, method, path and status. It
	// does not receive headers or bodies, because they can contain secrets.
	Log io.Writer
}

// API is one fake Scaleway with one project in it. It is an http.Handler and
// safe for concurrent use.
type API struct {
	options   Options
	latencies map[Operation]time.Duration
	table     []route
	faults    faults
	closed    chan struct{}
	closing   sync.Once

	mu sync.Mutex
	state
	lastTime     time.Time
	flexiblePool addressPool
	gatewayPool  addressPool
	macs         uint32
	// short are the types that are sold out (SetShortage).
	short    []string
	requests int
	calls    []Call
	// events are the pending calls to Options.Machines.
	events     []func()
	delivering bool
}

// Call is one request that was served.
type Call struct {
	Method, Path string
	// Status is the reply's, or 0 if a fault prevented the reply.
	Status int
}

// New returns a fake with an empty project.
func New(options Options) *API {
	options.ProjectID = cmp.Or(options.ProjectID, DefaultProjectID)
	options.OrganizationID = cmp.Or(options.OrganizationID, DefaultOrganizationID)
	options.FlexibleIPs = cmp.Or(options.FlexibleIPs, netip.MustParsePrefix("203.0.113.1/25"))
	options.GatewayIPs = cmp.Or(options.GatewayIPs, netip.MustParsePrefix("203.0.113.129/25"))
	if options.Kubeconfig == nil {
		options.Kubeconfig = defaultKubeconfig
	}
	a := &API{
		options: options, latencies: Latencies(), state: newState(), closed: make(chan struct{}),
		flexiblePool: addressPool{prefix: options.FlexibleIPs}, gatewayPool: addressPool{prefix: options.GatewayIPs},
	}
	owned := a.newBase("", "", options.ProjectID, nil, "")
	owned.id = cmp.Or(options.AccessKey, DefaultAccessKey)
	a.apiKeys.add(&apiKey{base: owned, secret: options.Token, description: "the owner's"})
	a.table = a.routes()
	return a
}

// Close ends the requests that a FaultTimeout holds, so that the server around the
// fake can be closed. The fake can still be used.
func (a *API) Close() { a.closing.Do(func() { close(a.closed) }) }

// Requests returns the number of requests since the start or ResetCount. All
// requests count: also those to /metadata, to unknown paths, without a valid token,
// and with faults.
func (a *API) Requests() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.requests
}

// ResetCount makes the next request number 1, and clears Calls.
func (a *API) ResetCount() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests, a.calls = 0, nil
}

// Calls returns the requests in the order in which they were finished.
func (a *API) Calls() []Call {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.calls)
}

// response is a reply before it is written.
type response struct {
	status int
	header http.Header
	body   []byte
}

// ServeHTTP answers one request.
func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	e := &exchange{w: w, r: r, body: body, n: a.arrive()}
	if a.options.OnRequest != nil {
		a.options.OnRequest(e.n, r)
	}
	if err != nil {
		a.reply(e, refusal(untyped(http.StatusRequestEntityTooLarge, "scwfake: "+err.Error())))
		return
	}
	rt, values, err := match(a.table, r)
	switch fault := a.faults.take(e.n, r, rt); fault {
	case FaultTimeout:
		select {
		case <-r.Context().Done():
		case <-a.closed:
		}
		a.drop(e, false)
	case FaultReset:
		a.drop(e, true)
	case FaultTooManyRequests, FaultInternal, FaultUnavailable, FaultQuota, FaultOutOfStock, FaultPermissionsDenied:
		a.reply(e, faultResponse(fault, rt, r))
	case FaultReplyLost, noFault:
		reply := refusal(err)
		if err == nil {
			if a.pause(r.Context(), rt.latency) != nil {
				a.drop(e, false)
				return
			}
			reply = a.handle(rt, values, e)
			a.deliver()
		}
		if fault == FaultReplyLost {
			a.onReply(e)
			a.drop(e, false)
			return
		}
		a.reply(e, reply)
	}
}

// exchange is a request, its number, and where its reply goes.
type exchange struct {
	w    http.ResponseWriter
	r    *http.Request
	body []byte
	n    int
}

// arrive counts a request and returns its number.
func (a *API) arrive() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.requests++
	return a.requests
}

// late is a reply whose result is computed without the lock, because code of the
// caller computes it.
type late func() (any, error)

// handle carries out the request and encodes the reply.
func (a *API) handle(rt *route, values map[string]string, e *exchange) response {
	reply, rest := a.handleLocked(rt, values, e)
	if rest == nil {
		return reply
	}
	result, err := rest()
	if err != nil {
		return refusal(err)
	}
	return success(reply.status, reply.header, result)
}

// handleLocked encodes the reply under the lock, because the reply shares slices
// with the state.
func (a *API) handleLocked(rt *route, values map[string]string, e *exchange) (response, late) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.settle()
	c := &call{api: a, path: e.r.URL.Path, values: values, query: e.r.URL.Query(), body: e.body, header: http.Header{}}
	if err := cmp.Or(a.authenticate(e.r), c.checkPlace()); err != nil {
		return refusal(err), nil
	}
	result, err := rt.handle(c)
	if err != nil {
		return refusal(err), nil
	}
	status := cmp.Or(rt.status, http.StatusOK)
	if rest, ok := result.(late); ok {
		return response{status: status, header: c.header}, rest
	}
	return success(status, c.header, result), nil
}

// success returns the reply with a result: raw, nil, or a value for JSON.
func success(status int, header http.Header, result any) response {
	header.Set("Content-Type", "application/json")
	switch result := result.(type) {
	case nil:
		return response{status, header, nil}
	case raw:
		header.Set("Content-Type", result.contentType)
		return response{cmp.Or(result.status, status), header, result.body}
	default:
		body, err := json.Marshal(result)
		if err != nil {
			return refusal(err)
		}
		return response{status, header, body}
	}
}

// refusal returns the reply with an error.
func refusal(err error) response {
	refused := untyped(http.StatusInternalServerError, "scwfake: internal error")
	if !errors.As(err, &refused) && err != nil {
		refused.body["message"] = "scwfake: " + err.Error()
	}
	var body bytes.Buffer
	_ = json.NewEncoder(&body).Encode(refused.body) // contains only strings and numbers
	return response{refused.status, http.Header{"Content-Type": {"application/json"}}, body.Bytes()}
}

// reply writes the response.
func (a *API) reply(e *exchange, reply response) {
	a.onReply(e)
	a.record(e, reply.status)
	maps.Copy(e.w.Header(), reply.header)
	e.w.Header().Set("Server", "Scaleway API Gateway (scwfake)")
	e.w.WriteHeader(reply.status)
	_, _ = e.w.Write(reply.body) // the client may have disconnected
}

func (a *API) onReply(e *exchange) {
	if a.options.OnReply != nil {
		a.options.OnReply(e.n, e.r)
	}
}

// record notes the request as finished.
func (a *API) record(e *exchange, status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.calls = append(a.calls, Call{Method: e.r.Method, Path: e.r.URL.Path, Status: status})
	if a.options.Log != nil {
		_, _ = fmt.Fprintf(a.options.Log, "%d %s %q %d\n", e.n, e.r.Method, e.r.URL.Path, status)
	}
}

// metadataPath is requested by the SDK itself, for the domain in resource names.
const metadataPath = "/metadata"

func (a *API) getMetadata(*call) (any, error) {
	return object{"platform": "scaleway", "partition": "scaleway", "domain": "scw"}, nil
}
