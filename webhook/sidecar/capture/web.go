package capture

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"sync"
	"time"
)

const (
	// webPort is the port of plain HTTP.
	webPort = 80
	// headSize bounds the head of a request, in bytes. net/http adds 4 KiB.
	headSize = 32 << 10
	// headTimeout bounds the time for the head of a request.
	headTimeout = 30 * time.Second
	// idleTimeout bounds the time between the requests of a connection.
	idleTimeout = 90 * time.Second
)

// web forwards the requests of captured connections to the port of plain HTTP one by
// one, so that the proxy sees their URLs.
type web struct {
	capture *Capture
	port    uint16
	server  *http.Server
	queue   *queue
	proxy   *httputil.ReverseProxy
}

type nameKey struct{}

func newWeb(c *Capture) *web {
	w := &web{capture: c, port: webPort, queue: &queue{conns: make(chan net.Conn), done: make(chan struct{})}}
	w.server = &http.Server{
		Handler: w, ReadHeaderTimeout: headTimeout, IdleTimeout: idleTimeout, MaxHeaderBytes: headSize,
		ErrorLog: slog.NewLogLogger(c.log.Handler(), slog.LevelDebug),
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			return context.WithValue(ctx, nameKey{}, conn.(*connection).name) //nolint:forcetypeassert // take has this type
		},
	}
	w.proxy = &httputil.ReverseProxy{
		Transport: c.proxy, BufferPool: &bodyBuffers{}, FlushInterval: -1, ErrorLog: w.server.ErrorLog,
		Rewrite: rewrite, ErrorHandler: fail,
	}
	go func() { _ = w.server.Serve(w.queue) }() // its error is ErrServerClosed
	return w
}

// take serves a connection. It returns false when the server has been closed.
func (w *web) take(conn *connection) bool {
	select {
	case w.queue.conns <- conn:
		return true
	case <-w.queue.done:
		return false
	}
}

// drain closes the connections that wait for a request, and others after their answer.
func (w *web) drain() {
	go func() { _ = w.server.Shutdown(context.Background()) }() // close ends it
}

func (w *web) close() { _ = w.server.Close() }

// ServeHTTP forwards a request to the name of its connection.
func (w *web) ServeHTTP(response http.ResponseWriter, r *http.Request) {
	name, _ := r.Context().Value(nameKey{}).(string)
	switch {
	case r.Method == http.MethodConnect:
		http.Error(response, "The egress sidecar accepts CONNECT on its own port only, and not on the address of a name.", http.StatusMethodNotAllowed)
	case !isHost(r.Host, name, w.port):
		w.capture.log.Warn("a request is refused, because it is for another host than the name of its connection",
			"name", name, "host", r.Host, "cure", "let the program resolve and connect to the host of its request")
		http.Error(response, fmt.Sprintf("The egress sidecar refused the request: it is for the host %q, but the connection is for the name %q. Connect to the host of the request.", r.Host, name), http.StatusMisdirectedRequest)
	case changesProtocol(r):
		w.upgrade(response, r, name)
	default:
		w.proxy.ServeHTTP(response, r)
	}
}

// isHost reports whether the host of a request is the name of its connection. HTTP/1.0
// knows requests without a host.
func isHost(host, name string, port uint16) bool {
	if hostname, number, err := net.SplitHostPort(host); err == nil {
		if number != fmt.Sprint(port) {
			return false
		}
		host = hostname
	}
	return host == "" || canonical(host) == name
}

// changesProtocol reports whether a request asks for another protocol on its connection.
// Clients that ask for HTTP/2 go on with HTTP/1 when they get no answer to it.
func changesProtocol(r *http.Request) bool {
	upgrade := r.Header.Get("Upgrade")
	return upgrade != "" && !strings.EqualFold(upgrade, "h2c")
}

func rewrite(r *httputil.ProxyRequest) {
	name, _ := r.In.Context().Value(nameKey{}).(string)
	r.Out.URL.Scheme, r.Out.URL.Host, r.Out.Host = "http", name, name
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	for _, header := range []string{"Upgrade", "Http2-Settings", "Expect"} { // the last was answered here
		r.Out.Header.Del(header)
	}
	if r.Out.Header.Get("Connection") == "Upgrade" {
		r.Out.Header.Del("Connection")
	}
	for _, header := range []string{"Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"} {
		if values, found := r.In.Header[header]; found {
			r.Out.Header[header] = values
		}
	}
}

// fail answers a request that got no answer from the proxy.
func fail(response http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return // the program has closed the connection
	}
	http.Error(response, fmt.Sprintf("The egress sidecar got no answer from the proxy: %v.", err), http.StatusBadGateway)
}

// queue is a listener whose connections are handed to it.
type queue struct {
	conns chan net.Conn
	once  sync.Once
	done  chan struct{}
}

// Accept returns the next connection.
func (q *queue) Accept() (net.Conn, error) {
	select {
	case conn := <-q.conns:
		return conn, nil
	case <-q.done:
		return nil, net.ErrClosed
	}
}

// Close ends Accept.
func (q *queue) Close() error {
	q.once.Do(func() { close(q.done) })
	return nil
}

// Addr is not used by the server.
func (q *queue) Addr() net.Addr { return &net.TCPAddr{} }

// bodyBuffers are the buffers for the bodies of answers.
type bodyBuffers struct{ pool sync.Pool }

// bodySize is the size of a buffer.
const bodySize = 16 << 10

// Get returns a buffer.
func (b *bodyBuffers) Get() []byte {
	if buffer, ok := b.pool.Get().(*[bodySize]byte); ok {
		return buffer[:]
	}
	return make([]byte, bodySize)
}

// Put takes a buffer back.
func (b *bodyBuffers) Put(buffer []byte) { b.pool.Put((*[bodySize]byte)(buffer)) }
