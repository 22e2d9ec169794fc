package relay

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httputil"
	"time"

	"egress.scw/webhook/sidecar/machines"
	"egress.scw/webhook/sidecar/metrics"
)

// plainIdle is the time for which a connection for plain HTTP is kept. It is shorter
// than that of the machines, which would close a connection at the moment of a
// request.
const plainIdle = 20 * time.Second

// RoundTrip sends a captured request for plain HTTP. The proxy's refusal is the
// answer (http.RoundTripper).
func (r *Relay) RoundTrip(request *http.Request) (*http.Response, error) {
	request = request.Clone(request.Context())
	r.claims(request.Header)
	response, err := sender{r}.RoundTrip(request)
	if err != nil {
		refused := r.unsent(err)
		r.record(metrics.HTTP, request.URL.Host, *refused)
		return nil, refused
	}
	return response, r.judge(response)
}

// unsent describes a request that reached no machine.
func (r *Relay) unsent(err error) *Refusal {
	var refused *Refusal
	switch {
	case errors.As(err, &refused):
		return refused
	case errors.Is(err, machines.ErrDrained):
		return noMachines(err)
	}
	return unreachable(err)
}

// judge counts a response, and logs it if it is the machine's own.
func (r *Relay) judge(response *http.Response) error {
	if !isOwn(response.StatusCode, response.Header) {
		r.metrics.Count(metrics.HTTP, metrics.Passed)
		return nil
	}
	r.record(metrics.HTTP, response.Request.URL.Host, *explain(response.StatusCode, response.Header))
	return nil
}

// forward serves a request for plain HTTP.
func (r *Relay) forward(w http.ResponseWriter, request *http.Request) {
	if request.URL.Scheme != "http" {
		r.refuse(w, metrics.HTTP, request.URL.Host, Refusal{
			Status: http.StatusForbidden, verdict: metrics.Denied, Reason: "the proxy forwards URLs of http:// alone",
			Cure: "open a tunnel with CONNECT, as clients do for https://",
		})
		return
	}
	r.open.Add(1)
	defer r.open.Done()
	ctx, cancel := context.WithCancel(request.Context())
	defer cancel()
	stop := context.AfterFunc(r.ctx, cancel) //nolint:contextcheck // that of the relay ends it, too
	defer stop()
	r.plain.ServeHTTP(w, request.WithContext(ctx))
}

func (r *Relay) newReverseProxy() *httputil.ReverseProxy {
	return &httputil.ReverseProxy{
		Transport:     sender{r},
		FlushInterval: -1, // responses that are streams
		ErrorLog:      slog.NewLogLogger(r.logger.Handler(), slog.LevelDebug),
		Rewrite: func(proxied *httputil.ProxyRequest) {
			// The query as it is: Rewrite removes parameters that it cannot parse.
			proxied.Out.URL.RawQuery = proxied.In.URL.RawQuery
			proxied.Out.Host = proxied.In.Host
			r.claims(proxied.Out.Header)
		},
		ModifyResponse: r.judge,
		ErrorHandler: func(w http.ResponseWriter, request *http.Request, err error) {
			if request.Context().Err() == nil { // else the client has left
				r.refuse(w, metrics.HTTP, request.URL.Host, *r.unsent(err))
			}
		},
	}
}
