package relay

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"egress.scw/webhook/api/names"
	"egress.scw/webhook/sidecar/machines"
)

// askAfter is the time without an answer after which a machine is asked for a sign of
// life. The answer itself may take as long as the target does.
const askAfter = 500 * time.Millisecond

// errSilent: the machine gave no sign of life in time.
var errSilent = errors.New("the machine did not answer in time")

// machineKey is the key of the machine's address in the context of a request.
type machineKey struct{}

// newTransport sends requests with their URL in full, over HTTP/1.1, to the machine of a
// set that their context has.
func newTransport(set *machines.Set) *http.Transport {
	return &http.Transport{
		Proxy: func(request *http.Request) (*url.URL, error) {
			address, _ := request.Context().Value(machineKey{}).(string)
			return &url.URL{Scheme: "https", Host: address}, nil
		},
		DialTLSContext:     func(ctx context.Context, _, address string) (net.Conn, error) { return set.DialHTTP(ctx, address) },
		DisableCompression: true, MaxIdleConnsPerHost: 8, IdleConnTimeout: plainIdle,
		MaxResponseHeaderBytes: 64 << 10,
	}
}

// sender sends requests for plain HTTP by the first machine that answers
// (http.RoundTripper).
type sender struct{ *Relay }

// RoundTrip tries the machines one after the other, as long as a request was not sent, or
// can be sent twice.
func (s sender) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.WithContext(request.Context()) // a copy, whose body is replaced
	body := keepBody(request)
	defer body.release()
	for {
		current := s.current.Load()
		if current.machines == nil {
			return nil, noMachines(current.problem)
		}
		response, err := current.send(request)
		if errors.Is(err, machines.ErrDrained) && s.current.Load() != current {
			continue // the files changed at this moment
		}
		return response, err
	}
}

func (s *state) send(request *http.Request) (*http.Response, error) {
	var unserved *http.Response
	var errs []error
	for _, address := range s.machines.Addresses() {
		response, err := s.sendTo(address, request)
		var undialed *machines.DialError
		switch {
		case err == nil && unserves(response) && isRepeatable(request):
			discard(unserved)
			unserved = response
		case err == nil:
			discard(unserved)
			return response, nil
		case request.Context().Err() == nil && errors.As(err, &undialed):
			errs = append(errs, s.machines.PassOver(address, undialed.Err))
		case errors.Is(err, errSilent):
			errs = append(errs, s.machines.PassOver(address, err))
			if !isRepeatable(request) {
				return nil, errors.Join(errs...)
			}
		default:
			return nil, err
		}
	}
	if unserved != nil {
		return unserved, nil
	}
	return nil, errors.Join(errs...)
}

// sendTo sends a request to a machine. If it does not answer, it is asked for a sign of
// life on the connection of tunnels: connections of HTTP/1.1 have none.
func (s *state) sendTo(address string, request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(context.WithValue(request.Context(), machineKey{}, address))
	var decided atomic.Bool // that there is an answer, or that the machine is silent
	timer := time.AfterFunc(askAfter, func() {
		bounded, stop := context.WithTimeout(ctx, s.machines.Patience(address)-askAfter)
		defer stop()
		if s.machines.Alive(bounded, address) != nil && decided.CompareAndSwap(false, true) {
			cancel(errSilent)
		}
	})
	var connected atomic.Bool
	trace := &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) { connected.Store(true) }}
	response, err := s.transport.RoundTrip(request.WithContext(httptrace.WithClientTrace(ctx, trace)))
	timer.Stop()
	switch silent := !decided.CompareAndSwap(false, true); {
	case silent && !connected.Load():
		return nil, &machines.DialError{Err: errSilent}
	case silent:
		discard(response)
		return nil, errSilent
	}
	if err != nil {
		cancel(err)
	}
	return response, err // the context ends with the request's own
}

// unserves reports whether an answer shows that Squid does not run on the machine: it is
// that of HAProxy, which is in front of it.
func unserves(response *http.Response) bool {
	return response.StatusCode == http.StatusServiceUnavailable && isOwn(response.StatusCode, response.Header) &&
		response.Header.Get(errorPage) == "" && response.Header.Get(names.HeaderReason) == ""
}

// isRepeatable reports whether a request may reach its target twice.
func isRepeatable(request *http.Request) bool {
	switch request.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace:
		return request.Body == nil || request.Body == http.NoBody
	}
	return false
}

func discard(response *http.Response) {
	if response != nil {
		_ = response.Body.Close()
	}
}
