package internet

import (
	"encoding/json"
	"io"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// EventKind is the kind of an event.
type EventKind string

const (
	// EventConnection is an accepted connection, whether or not a request
	// follows.
	EventConnection EventKind = "connection"
	// EventRequest is a request over HTTP or HTTPS.
	EventRequest EventKind = "request"
	// EventQuery is a DNS query.
	EventQuery EventKind = "query"
)

// Protocols of events.
const (
	web    = "http"
	secure = "https"
	dnsUDP = "dns-udp"
	dnsTCP = "dns-tcp"
)

// Event is a line of the internet's log.
type Event struct {
	Time time.Time `json:"time"`
	Kind EventKind `json:"kind"`
	// Protocol is http, https, dns-udp or dns-tcp.
	Protocol string `json:"protocol"`
	// Source and Destination are the ends of the connection, ADDRESS:PORT.
	Source      string `json:"source"`
	Destination string `json:"destination"`
	// Host is the Host header of a request, or the name of a query.
	Host string `json:"host,omitempty"`
	// Method and Path are those of a request. Path includes the query.
	Method string `json:"method,omitempty"`
	Path   string `json:"path,omitempty"`
	// Type is the type of a query, such as AAAA.
	Type string `json:"type,omitempty"`
}

// eventLog writes events, one per line. Several goroutines may use it.
type eventLog struct {
	mu  sync.Mutex
	out io.Writer
}

func (l *eventLog) write(event Event) {
	event.Time = time.Now().UTC()
	line, err := json.Marshal(event)
	if err != nil {
		return // cannot happen: all fields are strings
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	// A log that cannot be written must not stop the internet.
	_, _ = l.out.Write(append(line, '\n'))
}

// connections returns a listener that logs the connections it accepts.
func (l *eventLog) connections(protocol string, listener net.Listener) net.Listener {
	return notingListener{listener, l, protocol}
}

type notingListener struct {
	net.Listener
	events   *eventLog
	protocol string
}

// Accept logs the connection that it returns.
func (l notingListener) Accept() (net.Conn, error) {
	connection, err := l.Listener.Accept()
	if err == nil {
		l.events.write(Event{
			Kind: EventConnection, Protocol: l.protocol,
			Source: connection.RemoteAddr().String(), Destination: connection.LocalAddr().String(),
		})
	}
	return connection, err
}

// requests returns a handler that logs requests before it passes them on.
func (l *eventLog) requests(protocol string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		destination := ""
		if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
			destination = local.String()
		}
		l.write(Event{
			Kind: EventRequest, Protocol: protocol, Source: r.RemoteAddr, Destination: destination,
			Host: r.Host, Method: r.Method, Path: r.URL.RequestURI(),
		})
		next.ServeHTTP(w, r)
	})
}

func (l *eventLog) query(protocol string, w dns.ResponseWriter, query *dns.Msg) {
	for _, question := range query.Question {
		l.write(Event{
			Kind: EventQuery, Protocol: protocol, Source: w.RemoteAddr().String(), Destination: w.LocalAddr().String(),
			Host: question.Name, Type: dns.Type(question.Qtype).String(),
		})
	}
}
