package recorder

import (
	"net"
	"net/http"

	"egress.scw/hack/test/clients/matrix"
)

// proxy is a plain proxy. It permits everything.
func (r *Recorder) proxy() *http.Server {
	return &http.Server{
		ReadHeaderTimeout: timeout, IdleTimeout: timeout,
		// A request is recorded once its first line is read: a connection without one is
		// a client that speaks something else.
		ConnState: func(_ net.Conn, state http.ConnState) {
			if state == http.StateNew {
				r.record(func(seen *matrix.Observation) { seen.ProxyConnections++ })
			}
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			target := request.Host
			if request.Method != http.MethodConnect {
				target = request.URL.String()
			}
			r.record(func(seen *matrix.Observation) {
				seen.ProxyRequests = append(seen.ProxyRequests, matrix.ProxyRequest{Method: request.Method, Target: target})
			})
			switch {
			case request.Method == http.MethodConnect:
				r.connect(w, request)
			case request.URL.Scheme != "http":
				http.Error(w, "a plain proxy gets only http URLs", http.StatusBadRequest)
			default:
				r.answer(w, request, true)
			}
		}),
	}
}

// connect answers CONNECT, and makes the connection one to the origin.
func (r *Recorder) connect(w http.ResponseWriter, request *http.Request) {
	_, port, err := net.SplitHostPort(request.Host)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	connection, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	if _, err := connection.Write([]byte("HTTP/1.1 200 Connection established\r\n\r\n")); err != nil {
		_ = connection.Close()
		return
	}
	if port == "443" {
		r.encrypted.give(connection, buffered.Reader)
	} else {
		r.plain.give(connection, buffered.Reader)
	}
}
