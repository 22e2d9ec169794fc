package proxy

import (
	"bufio"
	"crypto/tls"
	"encoding/json"
	"errors"
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

	"egress.scw/cloudinit"
	"egress.scw/cloudinit/squid"
	"egress.scw/hack/local/machine"
	"egress.scw/hack/local/pki"
)

const (
	logServer     = "logs.example"
	logServerPort = 6514
)

// logReceiver receives the machine's syslog messages, in the Private Network.
type logReceiver struct {
	config cloudinit.Syslog
	tls    *tls.Config

	mu    sync.Mutex
	lines []string
	// open are the listener, and all connections so far.
	open []io.Closer
}

// receiveLogs starts a server that receives until it is closed, or the test
// ends.
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
	receiver := &logReceiver{
		config: cloudinit.Syslog{Host: logServer, Address: netip.MustParseAddr(nodeAddress), Port: logServerPort, CA: string(authority.Public)},
		tls:    &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12},
	}
	receiver.listen(t)
	t.Cleanup(receiver.close)
	return receiver
}

// listen starts the server at its address.
func (r *logReceiver) listen(t *testing.T) {
	t.Helper()
	var listener net.Listener
	if err := machine.Within(netnsNode, func() (err error) {
		listener, err = new(net.ListenConfig).Listen(t.Context(), "tcp", netip.AddrPortFrom(netip.MustParseAddr(nodeAddress), logServerPort).String())
		return err
	}); err != nil {
		t.Fatal(err)
	}
	r.remember(listener)
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			r.remember(connection)
			go r.receive(tls.Server(connection, r.tls))
		}
	}()
}

func (r *logReceiver) remember(c io.Closer) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.open = append(r.open, c)
}

// close ends the server and all connections to it.
func (r *logReceiver) close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, c := range r.open {
		_ = c.Close() // it may be closed already
	}
	r.open = nil
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

// checkShipped: the server has received as many lines of each host as all files
// of the audit log contain, the rotated ones included.
func (w *world) checkShipped(t *testing.T, vm *machine.VM) {
	t.Helper()
	eventually(t, "lines at the syslog server", func() error {
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
}

// checkLogServerAway stops the server and starts it again. The lines logged in
// between arrive. The line during which rsyslog notices the failure may be lost, with
// rsyslog 8.2302: it is written into a connection that has ended, and syslog has no
// acknowledgements. With 8.2504, lines may arrive twice.
func (w *world) checkLogServerAway(t *testing.T, vm *machine.VM) {
	t.Helper()
	const lines = 20
	mostCopies := map[machine.Release]int{machine.Bookworm: 1, machine.Trixie: 2}
	host := func(i int) string { return fmt.Sprintf("away-%d.other.example", i) }
	log := func(i int) {
		if _, err := get(t.Context(), sharedPort, "http://"+host(i)+"/"); err != nil {
			t.Fatal(err)
		}
	}
	w.logs.close()
	log(0)
	eventually(t, "the end of the machine's connection", func() error {
		if left := in(t, vm, "ss", "--no-header", "--tcp", "--numeric", "dport", "=", fmt.Sprint(logServerPort)); left != "" {
			return errors.New(left)
		}
		return nil
	})
	for i := range lines {
		log(1 + i)
	}
	w.logs.listen(t)
	start := time.Now()
	eventually(t, "lines of when the server was away", func() error { // rsyslog retries at least every minute
		got, err := w.logs.hosts()
		if err != nil {
			return err
		}
		for i := range lines {
			if count := got[host(1+i)]; count < 1 || count > mostCopies[w.image.Release] {
				return fmt.Errorf("%d times: %s", count, host(1+i))
			}
		}
		t.Logf("%d lines, %s after it was back; %d of the line that found it away", lines, time.Since(start).Round(time.Second/10), got[host(0)])
		return nil
	})
}
