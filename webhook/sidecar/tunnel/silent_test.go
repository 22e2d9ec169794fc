package tunnel_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"

	"egress.scw/webhook/sidecar/internal/machinetest"
	"egress.scw/webhook/sidecar/tunnel"
)

// scripted connects to another side that serves frame by frame.
func scripted(t *testing.T, serve func(*http2.Framer)) (*tunnel.Conn, error) {
	t.Helper()
	address := machinetest.Target(t, func(c *net.TCPConn) {
		if _, err := io.ReadFull(c, make([]byte, len(http2.ClientPreface))); err == nil {
			serve(http2.NewFramer(c, c))
		}
	})
	raw, err := new(net.Dialer).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := tunnel.New(t.Context(), raw)
	if err == nil {
		t.Cleanup(conn.Close)
	}
	return conn, err
}

func mustScripted(t *testing.T, serve func(*http2.Framer)) *tunnel.Conn {
	t.Helper()
	conn, err := scripted(t, serve)
	if err != nil {
		t.Fatal(err)
	}
	return conn
}

// discard reads frames, and answers pings if it is asked to, until the end.
func discard(framer *http2.Framer, pings bool) {
	for {
		frame, err := framer.ReadFrame()
		if err != nil {
			return
		}
		if ping, ok := frame.(*http2.PingFrame); ok && pings {
			_ = framer.WritePing(true, ping.Data)
		}
	}
}

// TestSilentMachine: a machine that sends no frame is given up after a second, while
// its connection stays.
func TestSilentMachine(t *testing.T) {
	t.Parallel()
	conn := mustScripted(t, func(framer *http2.Framer) {
		_ = framer.WriteSettings()
		discard(framer, false)
	})
	start := time.Now()
	_, err := conn.Open(t.Context(), "a.example:443", http.Header{}, time.Second)
	if took := time.Since(start); !errors.Is(err, tunnel.ErrSilent) || took < 900*time.Millisecond || took > time.Minute {
		t.Errorf("%v after %s", err, took)
	}
	if !conn.Usable() {
		t.Error("the connection was closed, and with it tunnels that may go on")
	}
}

// TestMachineTakesNoBytes: a machine that does not even take the request is given up
// after a second, too.
func TestMachineTakesNoBytes(t *testing.T) {
	t.Parallel()
	raw, other := net.Pipe() // without a buffer: each write waits for the other side
	t.Cleanup(func() { _ = other.Close() })
	go func() {
		if _, err := io.ReadFull(other, make([]byte, len(http2.ClientPreface))); err != nil {
			return
		}
		framer := http2.NewFramer(other, other)
		for {
			frame, err := framer.ReadFrame()
			if err != nil {
				return
			}
			switch frame := frame.(type) {
			case *http2.WindowUpdateFrame: // the end of the first write
				_ = framer.WriteSettings()
			case *http2.PingFrame:
				_ = framer.WritePing(true, frame.Data)
				return
			}
		}
	}()
	conn, err := tunnel.New(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	if err := conn.Ping(t.Context()); err != nil { // behind it, nothing is being written
		t.Fatal(err)
	}
	opened := make(chan error, 1)
	go func() {
		_, err := conn.Open(t.Context(), "a.example:443", http.Header{}, time.Second)
		opened <- err
	}()
	select {
	case err := <-opened:
		if !errors.Is(err, tunnel.ErrSilent) {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("the request waits for the machine")
	}
}

// TestSlowTarget: a machine that answers pings is waited for.
func TestSlowTarget(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		raw, other := net.Pipe()
		go func() {
			defer other.Close()
			if _, err := io.ReadFull(other, make([]byte, len(http2.ClientPreface))); err != nil {
				return
			}
			framer := http2.NewFramer(other, other)
			for {
				frame, err := framer.ReadFrame()
				if err != nil {
					return
				}
				switch frame := frame.(type) {
				case *http2.WindowUpdateFrame: // the end of the first write
					_ = framer.WriteSettings()
				case *http2.PingFrame:
					_ = framer.WritePing(true, frame.Data)
				}
			}
		}()
		conn, err := tunnel.New(t.Context(), raw)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := conn.Open(ctx, "a.example:443", http.Header{}, time.Second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the client's own bound", err)
		}
	})
}

// TestFullConnection: the proxy's number of streams is kept.
func TestFullConnection(t *testing.T) {
	t.Parallel()
	conn := mustScripted(t, func(framer *http2.Framer) {
		_ = framer.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 0})
		discard(framer, true)
	})
	if _, err := conn.Open(t.Context(), "a.example:443", http.Header{}, time.Second); !errors.Is(err, tunnel.ErrFull) {
		t.Error(err)
	}
}

// TestInvalidMachine: no sequence of frames that breaks the protocol is more than an
// error.
func TestInvalidMachine(t *testing.T) {
	t.Parallel()
	for name, send := range map[string]func(*http2.Framer) error{
		"window overflow": func(f *http2.Framer) error { return f.WriteWindowUpdate(0, 1<<31-1) },
		"data on 0":       func(f *http2.Framer) error { return f.WriteRawFrame(http2.FrameData, 0, 0, []byte("x")) },
		"padding": func(f *http2.Framer) error {
			return f.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, []byte{9, 1})
		},
		"no padding": func(f *http2.Framer) error { return f.WriteRawFrame(http2.FrameData, http2.FlagDataPadded, 1, nil) },
		"push": func(f *http2.Framer) error {
			return f.WriteRawFrame(http2.FramePushPromise, http2.FlagPushPromiseEndHeaders, 1, []byte{0, 0, 0, 2})
		},
		"large frame": func(f *http2.Framer) error { return f.WriteRawFrame(http2.FrameData, 0, 1, make([]byte, 1<<15)) },
		"settings": func(f *http2.Framer) error {
			return f.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 31})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := scripted(t, func(framer *http2.Framer) {
				_ = framer.WriteSettings()
				_ = send(framer)
				discard(framer, true)
			})
			if err != nil {
				return // it has ended already
			}
			waitFor(t, "the connection ends", func() bool { return conn.Err() != nil })
		})
	}
}
