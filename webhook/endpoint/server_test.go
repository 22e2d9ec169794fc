package endpoint_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"egress.scw/webhook/endpoint"
)

const connections = 4

// served is a server whose handler reads the body, reports its arrival, and answers
// when it is let go.
type served struct {
	address        string
	arrived, letGo chan struct{}
	stop           func() error
}

func start(t *testing.T) served {
	t.Helper()
	address := freeAddress(t)
	server := endpoint.New(endpoint.Options{Address: address, Connections: connections, Logger: slog.New(slog.DiscardHandler)})
	arrived, letGo := make(chan struct{}, connections), make(chan struct{})
	server.Register("/", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		arrived <- struct{}{}
		<-letGo
		_, _ = fmt.Fprintf(w, "%d bytes, error %v", len(body), err)
	}))
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Start(ctx) }()
	for begin := time.Now(); server.StartedChecker()(nil) != nil; time.Sleep(5 * time.Millisecond) {
		if time.Since(begin) > time.Minute {
			t.Fatal(server.StartedChecker()(nil))
		}
	}
	t.Cleanup(cancel)
	return served{address, arrived, letGo, func() error { cancel(); return <-ended }}
}

// freeAddress returns a loopback address without a listener. Tests of other packages run
// at the same time: on 127.0.0.1, one of them may get the port meanwhile.
func freeAddress(t *testing.T) string {
	t.Helper()
	address := fmt.Sprintf("127.75.%d.%d:0", rand.IntN(256), 1+rand.IntN(254))
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func dial(t *testing.T, address, text string) net.Conn {
	t.Helper()
	connection, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = connection.Close() })
	if _, err := io.WriteString(connection, text); err != nil {
		t.Fatal(err)
	}
	return connection
}

const (
	whole = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nbody"
	half  = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 400\r\n\r\nbody"
)

// TestConnectionsAreBounded: connections whose clients are waited for make room for
// others. Requests that have arrived completely keep their connections, and get
// their answers.
func TestConnectionsAreBounded(t *testing.T) {
	t.Parallel()
	server := start(t)
	address := server.address
	answered := []net.Conn{dial(t, address, whole), dial(t, address, whole)}
	for range answered {
		<-server.arrived
	}
	waiting := []net.Conn{dial(t, address, ""), dial(t, address, "POST / HTTP/1.1\r\n"), dial(t, address, half), dial(t, address, half)}
	// Two of the waiting ones are above the bound: the oldest are closed for them.
	for i, connection := range waiting[:2] {
		_ = connection.SetReadDeadline(time.Now().Add(time.Minute))
		if _, err := connection.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
			t.Errorf("waiting connection %d is not closed: %v", i, err)
		}
	}
	close(server.letGo)
	for i, connection := range answered {
		response, err := http.ReadResponse(bufio.NewReader(connection), nil)
		if err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if string(body) != "4 bytes, error <nil>" {
			t.Errorf("request %d: %q", i, body)
		}
	}
	for _, connection := range waiting {
		_ = connection.Close()
	}
	if err := server.stop(); err != nil {
		t.Error(err)
	}
}

// TestStopAnswers: a stopping server answers the requests that it has accepted.
func TestStopAnswers(t *testing.T) {
	t.Parallel()
	server := start(t)
	connection := dial(t, server.address, whole)
	<-server.arrived
	time.AfterFunc(100*time.Millisecond, func() { close(server.letGo) })
	if err := server.stop(); err != nil {
		t.Error(err)
	}
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("status %d", response.StatusCode)
	}
}

// TestAddressInUse: the error names the address.
func TestAddressInUse(t *testing.T) {
	t.Parallel()
	address := start(t).address
	server := endpoint.New(endpoint.Options{Address: address, Connections: connections, Logger: slog.New(slog.DiscardHandler)})
	if err := server.Start(t.Context()); err == nil || !strings.Contains(err.Error(), address) {
		t.Errorf("error is %v", err)
	}
	if err := server.StartedChecker()(nil); err == nil {
		t.Error("the server is reported as started")
	}
}
