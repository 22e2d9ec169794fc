package recorder

import (
	"context"
	"crypto/sha1" //nolint:gosec // RFC 6455 prescribes it for the handshake
	"crypto/tls"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"egress.scw/hack/test/clients/matrix"
)

// byProxy is the key of whether a connection came through the proxy.
type byProxy struct{}

// origin answers every request on every address.
func (r *Recorder) origin(certificate tls.Certificate) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		ReadHeaderTimeout: timeout, IdleTimeout: timeout, Protocols: protocols,
		TLSConfig: &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
		ConnContext: func(ctx context.Context, connection net.Conn) context.Context {
			if encrypted, ok := connection.(*tls.Conn); ok {
				connection = encrypted.NetConn()
			}
			_, proxied := connection.(*tunnel)
			if !proxied {
				r.record(func(seen *matrix.Observation) { seen.Direct = append(seen.Direct, addressOf(connection.LocalAddr())) })
			}
			return context.WithValue(ctx, byProxy{}, proxied)
		},
		Handler: http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
			proxied, _ := request.Context().Value(byProxy{}).(bool)
			r.answer(w, request, proxied)
		}),
	}
}

func addressOf(address net.Addr) netip.AddrPort {
	tcp, ok := address.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(tcp.AddrPort().Addr().Unmap(), tcp.AddrPort().Port())
}

// answer records the request and answers it.
func (r *Recorder) answer(w http.ResponseWriter, request *http.Request, proxied bool) {
	r.record(func(seen *matrix.Observation) {
		if proxied {
			seen.AnsweredByProxy++
		} else {
			seen.Answered++
		}
	})
	switch {
	case strings.EqualFold(request.Header.Get("Upgrade"), "websocket"):
		upgrade(w, request)
	case strings.HasPrefix(request.Header.Get("Content-Type"), "application/grpc"):
		answerGRPC(w)
	case strings.HasSuffix(request.URL.Path, "/info/refs"): // of a Git repository
		fmt.Fprintf(w, "%040d\trefs/heads/main\n", 1)
	case strings.HasSuffix(request.URL.Path, "/HEAD"):
		fmt.Fprintln(w, "ref: refs/heads/main")
	default:
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprintln(w, "hello")
	}
}

// upgrade accepts a WebSocket, and closes it.
func upgrade(w http.ResponseWriter, request *http.Request) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	defer connection.Close()
	const constant = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
	accept := sha1.Sum([]byte(request.Header.Get("Sec-WebSocket-Key") + constant)) //nolint:gosec // as above
	const closeFrame = "\x88\x00"
	_, _ = fmt.Fprintf(connection, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %s\r\n\r\n%s",
		base64.StdEncoding.EncodeToString(accept[:]), closeFrame) // the client may have closed it
}

// answerGRPC answers a health check with SERVING.
func answerGRPC(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/grpc")
	w.Header().Set("Trailer", "Grpc-Status")
	_, _ = w.Write([]byte{0, 0, 0, 0, 2, 8, 1})
	w.Header().Set("Grpc-Status", "0")
}
