package kubectl

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"sync"

	"k8s.io/client-go/rest"
)

// connections are the open connections to API servers, by the identity that they were
// opened with.
type connections struct {
	mu   sync.Mutex
	open map[identity]*http.Transport
}

// identity is the part of a configuration that a connection depends on.
type identity struct {
	insecure, disableCompression bool
	serverName                   string
	caFile, certFile, keyFile    string
	caData, certData, keyData    string
}

// use returns a function that changes the configuration of a call: its requests end with
// the context, its warnings go to the call's output, and no proxy of the caller's
// environment is used, because the cluster is on this machine.
//
// client-go does not share connections of configurations that have a function for the
// proxy. Therefore they are shared here. The connections of "exec" are other ones.
func (c *connections) use(ctx context.Context, warnings io.Writer) func(*rest.Config) *rest.Config {
	return func(config *rest.Config) *rest.Config {
		config.UserAgent = userAgent
		config.Proxy = noProxy
		config.WarningHandler = rest.NewWarningWriter(warnings, rest.WarningWriterOptions{Deduplicate: true})
		who := identityOf(config)
		config.Wrap(func(next http.RoundTripper) http.RoundTripper {
			if transport, ok := next.(*http.Transport); ok {
				next = c.share(who, transport)
			}
			return bound{ctx, next}
		})
		return config
	}
}

// userAgent has the name of the program, from which the API server makes the name of
// the field manager.
const userAgent = "kubectl/test"

func noProxy(*http.Request) (*url.URL, error) { return nil, nil }

func identityOf(config *rest.Config) identity {
	tls := config.TLSClientConfig
	return identity{
		insecure: tls.Insecure, disableCompression: config.DisableCompression, serverName: tls.ServerName,
		caFile: tls.CAFile, certFile: tls.CertFile, keyFile: tls.KeyFile,
		caData: string(tls.CAData), certData: string(tls.CertData), keyData: string(tls.KeyData),
	}
}

// share returns the first transport of an identity.
func (c *connections) share(who identity, transport *http.Transport) *http.Transport {
	c.mu.Lock()
	defer c.mu.Unlock()
	if first, ok := c.open[who]; ok {
		return first
	}
	if c.open == nil {
		c.open = map[identity]*http.Transport{}
	}
	c.open[who] = transport
	return transport
}

// bound ends requests with a context. Some of kubectl's commands make requests without
// one.
type bound struct {
	ctx  context.Context
	next http.RoundTripper
}

func (b bound) RoundTrip(request *http.Request) (*http.Response, error) {
	ctx, cancel := context.WithCancelCause(request.Context())
	context.AfterFunc(b.ctx, func() { cancel(context.Cause(b.ctx)) }) //nolint:contextcheck // the request has its own, and ends with both
	return b.next.RoundTrip(request.WithContext(ctx))
}

// WrappedRoundTripper is for client-go, which looks for settings of TLS.
func (b bound) WrappedRoundTripper() http.RoundTripper { return b.next }
