package cloudinit

import (
	"bytes"
	"compress/gzip"
	"encoding/base64"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
)

func TestSquidConfTravels(t *testing.T) {
	conf := []byte(strings.Repeat("http_access deny all\n", 1000))
	value, err := EncodeSquidConf(conf)
	if err != nil {
		t.Fatal(err)
	}
	if len(value) > len(conf)/10 {
		t.Errorf("%d bytes became %d", len(conf), len(value))
	}
	again, err := EncodeSquidConf(conf)
	if err != nil || !bytes.Equal(value, again) {
		t.Errorf("encoding it again gives something else: %v", err)
	}
	// The optional parts of a gzip header are flags and a time. This header has neither.
	if header, err := base64.StdEncoding.DecodeString(string(value)); err != nil || !bytes.Equal(header[3:8], make([]byte, 5)) {
		t.Errorf("header % x: %v", header[:10], err)
	}
	got, err := DecodeSquidConf(value)
	if err != nil || !bytes.Equal(got, conf) {
		t.Errorf("it comes out as %d bytes: %v", len(got), err)
	}
}

func TestSquidConfTooLarge(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 100_000) // grows by a third in base64, and cannot be compressed
	for i := range noise {
		noise[i] = byte(random.Uint32())
	}
	// Without the gzip header, this size would be the limit.
	if _, err := EncodeSquidConf(noise[:maxSquidConfValue/4*3-100]); err != nil {
		t.Errorf("below the limit: %v", err)
	}
	_, err := EncodeSquidConf(noise)
	if err == nil || !strings.Contains(err.Error(), "takes 1334") || !strings.Contains(err.Error(), "more than the 120000") || !strings.Contains(err.Error(), "shorten") {
		t.Errorf("above it: %v", err)
	}
	// A file too large to be decompressed is not compressed.
	if _, err := EncodeSquidConf(make([]byte, maxSquidConf+1)); err == nil || !strings.Contains(err.Error(), "16777217 bytes") {
		t.Errorf("too large to unpack: %v", err)
	}
	if _, err := EncodeSquidConf(nil); err == nil {
		t.Error("an empty file is taken")
	}
}

func TestForeignUserData(t *testing.T) {
	good, err := EncodeSquidConf([]byte("via off\n"))
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range map[string][]byte{
		"nothing":      nil,
		"cloud-config": []byte("#cloud-config\n"),
		"base64 alone": []byte("aHR0cF9hY2Nlc3M="),
		"gzip alone":   packed(t, []byte("via off\n")),
		"cut short":    good[:len(good)-8],
		"changed":      bytes.Replace(good, good[20:22], []byte("zz"), 1),
		"empty file":   encoded(packed(t, nil)),
		"bomb":         encoded(packed(t, make([]byte, maxSquidConf+1))),
	} {
		t.Run(name, func(t *testing.T) {
			if conf, err := DecodeSquidConf(value); err == nil || conf != nil {
				t.Errorf("%d bytes and %v", len(conf), err)
			}
		})
	}
}

func packed(t *testing.T, text []byte) []byte {
	t.Helper()
	var result bytes.Buffer
	writer := gzip.NewWriter(&result)
	if _, err := writer.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	return result.Bytes()
}

func encoded(data []byte) []byte { return []byte(base64.StdEncoding.EncodeToString(data)) }

// FuzzDecodeSquidConf: any user data is decoded or refused. A decoded file can be
// encoded again, unless it has become too large.
func FuzzDecodeSquidConf(f *testing.F) {
	good, err := EncodeSquidConf([]byte("via off\n"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(good[:len(good)-4])
	f.Add(append(good, '\n'))
	f.Add([]byte("#cloud-config\n"))
	f.Fuzz(func(t *testing.T, value []byte) {
		conf, err := DecodeSquidConf(value)
		if err != nil {
			if conf != nil {
				t.Errorf("a file in spite of %v", err)
			}
			return
		}
		again, err := EncodeSquidConf(conf)
		if err != nil {
			if len(value) <= maxSquidConfValue/2 && len(conf) < maxSquidConfValue/2 {
				t.Errorf("what came cannot go: %v", err)
			}
			return
		}
		if back, err := DecodeSquidConf(again); err != nil || !bytes.Equal(back, conf) {
			t.Errorf("comes back changed: %v", err)
		}
	})
}

// FuzzSquidConfTravels: every file that fits is unchanged after encoding and decoding.
func FuzzSquidConfTravels(f *testing.F) {
	f.Add([]byte("via off\n"))
	f.Add([]byte{0, 255})
	f.Fuzz(func(t *testing.T, conf []byte) {
		value, err := EncodeSquidConf(conf)
		if err != nil {
			if len(conf) > 0 && len(conf) < maxSquidConfValue/2 {
				t.Error(err)
			}
			return
		}
		if got, err := DecodeSquidConf(value); err != nil || !bytes.Equal(got, conf) {
			t.Errorf("it comes out as %q: %v", got, err)
		}
	})
}

// TestDrainedSquidConf: a value has a drained form if it is a squid.conf, and that form is
// its own.
func TestDrainedSquidConf(t *testing.T) {
	t.Parallel()
	conf, err := SquidConf(validMachine(), nil, Addresses{Shared: netip.MustParseAddr("203.0.113.50")})
	if err != nil {
		t.Fatal(err)
	}
	value, err := EncodeSquidConf(conf)
	if err != nil {
		t.Fatal(err)
	}
	drained, err := DrainedSquidConf(value)
	if err != nil || bytes.Equal(drained, value) {
		t.Fatalf("%v, %t", err, bytes.Equal(drained, value))
	}
	if again, err := DrainedSquidConf(drained); err != nil || !bytes.Equal(again, drained) {
		t.Errorf("drained twice: %v", err)
	}
	other, err := EncodeSquidConf([]byte("http_port 3128\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, value := range [][]byte{nil, []byte("x"), other} {
		if drained, err := DrainedSquidConf(value); err == nil {
			t.Errorf("%q has the drained form %q", value, drained)
		}
	}
}
