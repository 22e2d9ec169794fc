package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

const (
	largestBody     = 7 << 20
	idleConnections = 300
	// idlePatience is reached only if the server does not close connections.
	idlePatience = 2 * time.Minute
	// usualDepth is nearly the nesting that is decoded.
	usualDepth = 1990

	// attackedAddress is the variable with the address to attack, in the process of
	// the attackers.
	attackedAddress = "TEST_ATTACKED_ADDRESS"
)

// runAttackers runs the attackers in a process of their own, so that their memory
// is not the server's, and returns their report.
func runAttackers(t *testing.T, address string) []byte {
	t.Helper()
	command := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestAttackers$")
	command.Env = append(os.Environ(), attackedAddress+"="+address)
	report, err := command.Output()
	if err != nil {
		t.Errorf("the attackers: %v", err)
	}
	return report
}

// TestAttackers is the process of the attackers. Among the other tests, it does not
// attack, and only checks the size of its bodies.
func TestAttackers(t *testing.T) {
	bodies := hostileBodies()
	for name, body := range bodies {
		if len(body) > largestBody || len(body) < largestBody-64 {
			t.Fatalf("%s: %d bytes", name, len(body))
		}
	}
	address := os.Getenv(attackedAddress)
	if address == "" {
		return
	}
	ctx, stop := context.WithTimeout(t.Context(), floodFor)
	defer stop()
	var running sync.WaitGroup
	attack := &attacker{address: address}
	header := func(length int) string {
		return fmt.Sprintf("POST /mutate-pods HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", length)
	}
	nestedUsual := nestedReview(usualDepth)
	for _, attempt := range []struct {
		count  int
		secure bool
		head   string
		body   []byte
	}{
		{count: 80, secure: true, head: header(largestBody), body: bodies["one string"]},
		{count: 20, secure: true, head: header(largestBody - 64), body: bodies["many containers"]},
		{count: 20, secure: true, head: header(largestBody), body: bodies["nested"]},
		{count: 100, secure: true, head: header(len(nestedUsual)), body: nestedUsual},
		{count: 300, secure: true, head: "POST /mutate-pods HTTP/1.1\r\nHost: x\r\n"},
		{count: 100, secure: true, head: header(largestBody), body: bodies["one string"][:1<<20]},
	} {
		for range attempt.count {
			running.Go(func() {
				for ctx.Err() == nil {
					attack.send(ctx, attempt.secure, attempt.head, attempt.body)
					time.Sleep(100 * time.Millisecond)
				}
			})
		}
	}
	for range idleConnections {
		running.Go(func() { attack.idle(ctx) })
	}
	running.Wait()
	fmt.Fprintf(os.Stdout, "opened %d closed %d\n", attack.opened.Load(), attack.closedIdle.Load())
}

func hostileBodies() map[string][]byte {
	open := `{"kind":"AdmissionReview","request":{"object":{"spec":{"containers":[`
	many := open + strings.Repeat("{},", (largestBody-64-len(open))/3) + strings.Repeat(" ", 3)
	return map[string][]byte{
		"one string":      append([]byte(`{"kind":"`), bytes.Repeat([]byte("x"), largestBody-len(`{"kind":"`))...),
		"many containers": []byte(many)[:largestBody-64],
		"nested":          bytes.Repeat([]byte("["), largestBody),
	}
}

// nestedReview is a review with a field of that many levels, as long as that of a
// usual pod.
func nestedReview(levels int) []byte {
	return []byte(`{"kind":"AdmissionReview","request":{"object":{"spec":{"x":` +
		strings.Repeat("[", levels) + strings.Repeat("]", levels) + `}}}}`)
}

// attacker connects from an address of its own.
type attacker struct {
	address            string
	opened, closedIdle atomic.Int64
}

func (a *attacker) dial(ctx context.Context, secure bool) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second, LocalAddr: &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}}
	plain, err := dialer.DialContext(ctx, "tcp", a.address)
	if err != nil {
		return nil, err
	}
	a.opened.Add(1)
	if !secure {
		return plain, nil
	}
	return tls.Client(plain, &tls.Config{InsecureSkipVerify: true}), nil
}

// idle opens connections on which it sends nothing, one after another until the
// flood ends, and waits for each until the server closes it. A busy machine opens
// the first ones late, so this wait outlasts the flood.
func (a *attacker) idle(flood context.Context) {
	ctx, stop := context.WithTimeout(context.WithoutCancel(flood), idlePatience)
	defer stop()
	for first := true; ctx.Err() == nil && (first || flood.Err() == nil); time.Sleep(100 * time.Millisecond) {
		if a.send(ctx, false, "", nil) {
			a.closedIdle.Add(1)
			first = false
		}
	}
}

// send opens a connection, sends header and body, and waits until the server closes
// the connection. It returns whether the server did.
func (a *attacker) send(ctx context.Context, secure bool, head string, body []byte) bool {
	connection, err := a.dial(ctx, secure)
	if err != nil {
		return false
	}
	stop := context.AfterFunc(ctx, func() { _ = connection.Close() })
	defer stop()
	defer connection.Close()
	if head != "" {
		if _, err := io.WriteString(connection, head); err != nil {
			return false
		}
		if _, err := connection.Write(body); err != nil {
			return false
		}
	}
	_, _ = io.Copy(io.Discard, connection)
	return ctx.Err() == nil
}
