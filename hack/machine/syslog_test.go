package machine_test

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"egress.scw/cloudinit/squid"
	"egress.scw/hack/machine"
	"egress.scw/hack/pki"
	"egress.scw/webhook/api/v1alpha1"
)

const (
	logServer     = "logs.example"
	logServerPort = 6514
)

// logReceiver receives, in the Private Network, what the machine sends by syslog.
type logReceiver struct {
	config v1alpha1.SyslogConfig

	mu    sync.Mutex
	lines []string
}

// receiveLogs starts a server that receives until the test ends.
func receiveLogs(t *testing.T) *logReceiver {
	t.Helper()
	authority, err := pki.NewAuthority("logs")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := authority.Issue(pki.Leaf{Hosts: []string{logServer}})
	if err != nil {
		t.Fatal(err)
	}
	certificate, err := tls.X509KeyPair(pair.Public, pair.Key)
	if err != nil {
		t.Fatal(err)
	}
	var listener net.Listener
	err = machine.Within(netnsNode, func() (err error) {
		listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", netip.AddrPortFrom(netip.MustParseAddr(nodeAddress), logServerPort).String())
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	receiver := &logReceiver{config: v1alpha1.SyslogConfig{Host: logServer, Address: nodeAddress, Port: logServerPort, CA: string(authority.Public)}}
	listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12})
	go func() { // Ends with the test; connections with the machine.
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go receiver.receive(connection)
		}
	}()
	t.Cleanup(func() { listener.Close() })
	return receiver
}

// receive reads messages with their lengths before them (RFC 5425).
func (r *logReceiver) receive(connection net.Conn) {
	defer connection.Close()
	reader := bufio.NewReader(connection)
	for {
		length, err := reader.ReadString(' ')
		if err != nil {
			return
		}
		size, err := strconv.Atoi(strings.TrimSuffix(length, " "))
		if err != nil {
			return
		}
		message := make([]byte, size)
		if _, err := io.ReadFull(reader, message); err != nil {
			return
		}
		r.mu.Lock()
		r.lines = append(r.lines, string(message))
		r.mu.Unlock()
	}
}

// hosts counts the lines by the hosts in them.
func (r *logReceiver) hosts() (map[string]int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	result := map[string]int{}
	for _, line := range r.lines {
		var record squid.AuditRecord
		if err := json.Unmarshal([]byte(line[max(0, strings.IndexByte(line, '{')):]), &record); err != nil {
			return nil, fmt.Errorf("%w: %s", err, line)
		}
		result[record.Host]++
	}
	return result, nil
}

// checkShipped: the server has got as many lines of each host as there are in
// all files of the audit log, those of its rotations included.
func (w *world) checkShipped(t *testing.T, vm *machine.VM) {
	t.Helper()
	eventually(t, 30*time.Second, "lines at the syslog server", func() error {
		want := map[string]int{}
		for _, record := range wholeAuditLog(t, vm) {
			want[record.Host]++
		}
		got, err := w.logs.hosts()
		if err != nil {
			return err
		}
		if diff := cmp.Diff(want, got); diff != "" {
			return fmt.Errorf("by host, -audit log +server:\n%.2000s", diff)
		}
		return nil
	})
	t.Logf("%d lines", len(w.logs.lines))
}
